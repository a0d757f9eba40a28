"""What hostile code can reach from the jail: nothing.  Each kind of attack is a few lines that run there."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from course import jail as jail_module
from course import sandbox
from course.guard import Guard
from course.jailed import Channel
from course.sandbox import (
    LIMITS,
    ROOT,
    Answers,
    Budget,
    JailError,
    read_arrays,
    remove,
    run_jailed,
    scratch_folder,
    strongest,
    sweep,
)
from course.words import clean, clean_values

QUICK = {**LIMITS, "seconds": 5, "start_seconds": 5, "total_seconds": 12, "wall": 4, "total_wall": 20,
         "memory": 2**30, "disk": 2**24, "answer": 2**20}
STRONG = [mode for mode in ("bubblewrap", "namespaces")
          if sys.platform == "linux" and (mode == "namespaces" or shutil.which("bwrap"))]


def attack(lines, mode=None, limits=QUICK, receive=None):
    """Run lines of Python in a jail; returns (what they put into ``got``, as text; why the process was ended)."""
    code = ("import ctypes, os, sys, time, socket, signal\nfrom pathlib import Path\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "def answer(channel, places):\n    global box\n    box, got = Path(places['box']), ''\n"
            + "".join(f"    {line}\n" for line in lines.splitlines()) + "    channel('got', str(got))\n")
    heard = []
    ended, _ = run_jailed("hostile", [], {"hostile.py": code.encode("utf-8")},
                          receive or (lambda *message: heard.append(message)), limits, Budget(limits), mode)
    return (heard[-1][1].decode() if heard else ""), ended


def tried(expression):
    """Lines that put "refused: ..." into got where the expression raises OSError, and its value where not."""
    return f"try:\n    got = {expression}\nexcept OSError as error:\n    got = f'refused: {{error.strerror}}'"


@pytest.fixture(scope="module", params=STRONG or [pytest.param("none", marks=pytest.mark.skip("Linux alone has it"))])
def jail(request):
    """A strong mode that this system allows."""
    try:
        attack("got = 1", request.param)
    except JailError as error:
        pytest.skip(f"this system allows no such jail: {error}")
    return request.param


CALL = "try:\n    got = 'refused' if ({0}) != 0 else 'done'\nexcept OSError:\n    got = 'refused'"
# kind -> lines whose ``got`` begins with "refused" in a jail.
REFUSED = {
    "the solution is read": tried(f"open({str(ROOT / 'models.py')!r}).read()"),
    "the kit's history is read": tried(f"os.listdir({str(ROOT / '.git')!r})"),
    "a line is added to the kit's code": tried(f"open({str(ROOT / 'utils.py')!r}, 'a').write('x')"),
    "the kit's folder is listed": tried(f"os.listdir({str(ROOT)!r})"),
    "the grader's home is listed": tried(f"os.listdir({str(Path.home() / '.ssh')!r})"),
    "passwords are read": tried("open('/etc/passwd').read()"),
    "the disk is opened": tried("os.listdir('/dev/disk')"),
    "a file is written into the root": tried("open('/evil', 'w').write('x')"),
    "the interpreter is written to": tried("open(sys.executable, 'r+b').write(b'x')"),
    "the standard library is written to": tried("open(os.__file__, 'a').write('x')"),
    "the packages are written to": tried("open('/packages/0/evil.pth', 'w').write('x')"),
    "the jail's own files are written to": tried("open('/given/jail.py', 'a').write('x')"),
    "the jail's own files are replaced": tried("os.rename(box, '/given/jail.py')"),
    "a value of the kernel is set": tried("open('/proc/sys/kernel/core_pattern', 'w').write('|/box/x')"),
    "the machine is asked to restart": tried("open('/proc/sysrq-trigger', 'w').write('b')"),
    "the root is mounted again, to be written to": CALL.format("libc.mount(None, b'/', None, 32 | 4096, None)"),
    "something is unmounted": CALL.format("libc.umount2(b'/given', 2)"),
    "memory is mounted": CALL.format("libc.mount(b'tmpfs', os.fsencode(box), b'tmpfs', 0, None)"),
    "new namespaces are entered": CALL.format("libc.unshare(0x10000000 | 0x20000)"),
    "a process with new namespaces is started": CALL.format("1 if libc.syscall(56 if os.uname().machine == 'x86_64' "
                                                            "else 220, 0x10000000 | 17, 0, 0, 0, 0) < 0 else 0"),
    "another root is chosen": tried("os.chroot(box)"),
    "root is asked for": tried("os.setuid(0)"),
    "the first process is traced": CALL.format("libc.ptrace(16, 1, 0, 0)"),
    "the first process's memory is read": tried("open('/proc/1/mem', 'rb').read(1)"),
    "keys of the system are read": CALL.format("libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 1)"
                                               " < 0"),
    "memory without a file": tried("os.memfd_create('x')"),
    "memory of System V": CALL.format("libc.shmget(0, 4096, 0o1600) < 0"),
    "a socket of the network": tried("socket.socket(socket.AF_INET)"),
    "a socket to the machine's host": tried("socket.socket(40)"),
    "a socket to the kernel": tried("socket.socket(16, socket.SOCK_RAW)"),
    "the grader's terminal": tried("open('/dev/tty')"),
    "a device is made": tried("os.mknod(box / 'disk', 0o60666, os.makedev(254, 0))"),
    "a file is given rights": CALL.format("(lambda f: (f.write_bytes(b'x'), os.chmod(f, 0o4755), os.setreuid(-1, 0)))"
                                          "(box / 'x') and 0"),
    "a file of another user's is opened by its number": CALL.format("libc.open_by_handle_at(-100, bytes(32), 0) < 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_in_the_jail(kind, jail):
    got, ended = attack(REFUSED[kind], jail)
    assert got.startswith("refused") or got == "", (kind, got)
    assert got or ended, kind


# kind -> (lines, what ``got`` is)
HARMLESS = {
    "no other processes are seen": ("got = len([p for p in os.listdir('/proc') if p.isdigit()])", "2"),
    "no rights": ("got = {l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')}",
                  "{'0000000000000000'}"),
    "nobody": ("got = os.getuid(), os.getgid(), os.getgroups()", "(65534, 65534, [])"),
    "no files of the grader are open": ("got = [f for f in os.listdir('/proc/self/fd') if int(f) > 4]", "[]"),
    "nothing of the grader's environment": (
        "got = sorted(set(os.environ) & {'SSH_AUTH_SOCK', 'SECRET_OF_A_TEST', 'VIRTUAL_ENV', 'PWD_OF_GRADER'})", "[]"),
    "the name of the machine": ("got = socket.gethostname()", "jail"),
    "a link, a pipe and a folder in the places of results": (
        "os.mkfifo(box / 'settings.json')\nos.symlink('/etc/passwd', box / 'status.json')\nos.mkfifo(box / 'out')\n"
        "os.mkfifo(box / 'generator_shapes.txt')\ngot = len(list(box.iterdir()))", "4"),
    "a tree a thousand folders deep": (
        "os.chdir(box)\nfor _ in range(1000):\n    os.mkdir('d')\n    os.chdir('d')\ngot = 'made'", "made"),
    "folders that may not be read": (
        "for k in range(5):\n    (box / f'{k}' / 'x').mkdir(parents=True)\n    os.chmod(box / f'{k}', 0)\ngot = 'made'",
        "made"),
    "the first process is killed": ("for n in (9, 15, 19):\n    os.kill(1, n)\ngot = 'it lives'", "it lives"),
    "everybody is killed": ("signal.signal(15, signal.SIG_IGN)\ntry:\n    os.kill(-1, 15)\nexcept OSError:\n    pass\n"
                           "got = 'alone'", "alone"),
    "the disk is filled": ("try:\n    for k in range(99):\n        (box / f'{k}').write_bytes(bytes(2**20))\n"
                           "except OSError as error:\n    got = error.errno", "28"),
    "the shared memory is filled": (
        "try:\n    for k in range(999):\n        Path(f'/dev/shm/{k}').write_bytes(bytes(2**22))\n"
        "except OSError as error:\n    got = error.errno", "28"),
    "the other scratch folder is filled": (
        "try:\n    for k in range(999):\n        Path(f'/tmp/{k}').write_bytes(bytes(2**22))\n"
        "except OSError as error:\n    got = error.errno", "28"),
    "a file without end": ("signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ntry:\n"
                           "    with open('/dev/shm/x', 'wb') as f:\n"
                           "        for k in range(99):\n            f.write(bytes(2**20))\n"
                           "except OSError as error:\n    got = error.errno", "27"),
    "threads without end": (
        "import threading\ntry:\n    for k in range(9999):\n        threading.Thread(target=time.sleep, args=(9,), "
        "daemon=True).start()\nexcept (RuntimeError, MemoryError):\n    got = 'no more'", "no more"),
    "more memory than allowed": ("try:\n    x = bytearray(2**40)\nexcept MemoryError:\n    got = 'no more'", "no more"),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_does_no_harm_in_the_jail(kind, jail, monkeypatch):
    monkeypatch.setenv("SECRET_OF_A_TEST", "42")
    lines, expected = HARMLESS[kind]
    limits = {**QUICK, "memory": 2**32} if "filled" in kind or "threads" in kind else QUICK
    assert attack(lines, jail, limits)[0] == expected
    assert not list(Path(tempfile.gettempdir()).glob(f"{sandbox.PREFIX}{os.getpid()}-*"))


# Of processor time and of the clock, so that the one or the other is reached, on a busy computer too.
BUSY = {**QUICK, "total_wall": 100, "wall": 100, "total_seconds": 2, "seconds": 1, "start_seconds": 0}
IDLE = {**QUICK, "total_wall": 5, "wall": 3}
# kind -> (lines, part of the reason for which the process was ended)
STOPPED = {
    "calculates for ever": ("while True:\n    pass", "of processor time"),
    "sleeps for ever": ("time.sleep(600)", "asleep"),
    "drips": ("while True:\n    channel('x', 'x')\n    t = time.process_time()\n"
              "    while time.process_time() < t + 0.5:\n        pass", "the hand-in has used its"),
    "drips while asleep": ("while True:\n    channel('x', 'x')\n    time.sleep(1)", "for the hand-in"),
    "answers without end": ("while True:\n    channel('x', 'x' * 10**5)", "more than 1 MiB of answers"),
    "speaks nonsense": ("os.write(channel._file.fileno(), b'\\xff' * 100)\ntime.sleep(60)", "answers that are none"),
    "forks without end": ("while True:\n    try:\n        os.fork()\n    except OSError:\n        pass", "stopped"),
    "fills the memory": ("x = []\nwhile True:\n    x.append(bytearray(os.urandom(2**20)) * 32)", ""),
    "prints without end": ("while True:\n    print('x' * 10**6)", "of processor time"),
    "says nothing": ("os._exit(0)", ""),
    "kills itself": ("os.kill(os.getpid(), 9)", "the process ended"),
    "files without end": ("k = 0\nwhile True:\n    k += 1\n    try:\n        open(box / str(k), 'w').close()\n"
                          "    except OSError:\n        os._exit(125)", "the process ended"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STOPPED)
def test_what_is_stopped(kind, jail):
    lines, why = STOPPED[kind]
    begun = time.monotonic()
    _, ended = attack(lines, jail, IDLE if "sleep" in kind else BUSY)
    assert why in ended and time.monotonic() - begun < 60


@pytest.mark.slow
def test_a_child_that_gets_away_ends_with_the_jail(jail):
    attack("for k in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
           "            os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(4321)'])\n"
           "        os._exit(0)\ntime.sleep(0.5)", jail)
    time.sleep(0.3)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(4321)" in " ".join(p.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_sigkill_of_the_grader_ends_what_it_has_started_and_the_next_one_sweeps(jail, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom course.sandbox import *\n"
            "run_jailed('hostile', [], {'hostile.py': b'import time\\ndef answer(c, p):\\n    c(\"a\", \"b\")\\n"
            "    time.sleep(1234)'}, lambda *m: print('here', flush=True), LIMITS, Budget(LIMITS), "
            f"{jail!r})")
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert grader.stdout.readline().strip() == b"here"
    started = psutil.Process(grader.pid).children(recursive=True)
    assert len(started) >= 2 and list(tmp_path.glob(f"{sandbox.PREFIX}*"))
    grader.kill()
    grader.wait()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive
    sweep()
    assert not list(tmp_path.glob(f"{sandbox.PREFIX}*"))


def test_sockets_of_the_machine_are_out_of_reach(jail, tmp_path):
    server = socket.create_server(("127.0.0.1", 0))
    named, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
    named.bind(str(tmp_path / "s"))
    abstract.bind("\0a_socket_of_a_test")
    for one in (named, abstract):
        one.listen()
    for expression in (f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)",
                       f"socket.socket(socket.AF_UNIX).connect({str(tmp_path / 's')!r})",
                       "socket.socket(socket.AF_UNIX).connect('\\0a_socket_of_a_test')"):
        assert attack(tried(expression), jail)[0].startswith("refused")
    for one in (server, named, abstract):
        one.close()


def test_a_jail_that_is_half_made_runs_nothing(jail, monkeypatch):
    """A mount that is refused, whichever it is, ends the jail before any code has run."""
    monkeypatch.setattr(sandbox, "_system", lambda: [("/no/such/place", "/no/such/place")])
    with pytest.raises(JailError):
        attack("got = 1", jail)


def test_the_next_weaker_mode_is_taken_and_named(monkeypatch):
    heard, run = [], sandbox._run

    def only_plain(settings, *more):
        heard.append(settings["mode"])
        if settings["mode"] != "plain":
            raise JailError("refused here")
        return run(settings, *more)
    monkeypatch.setattr(sandbox, "_run", only_plain)
    strongest.cache_clear()
    try:
        mode, why = strongest()
        assert mode == "plain" and why.count("refused here") == 2
        assert heard == ["inside", "namespaces", "plain"]
    except JailError as error:            # root, whose interpreter an ordinary user cannot read
        assert os.getuid() == 0 and "ordinary" in str(error)
    finally:
        strongest.cache_clear()


# ---------------------------------------------------------------- what comes out

def frames(tmp_path, send):
    """What a Channel writes, as (name, content)."""
    with open(tmp_path / "frames", "wb") as file:
        send(Channel(file))
    data, found = (tmp_path / "frames").read_bytes(), []
    while data:
        name_size, size = struct.unpack_from("!HI", data)
        found.append((data[6:6 + name_size].decode(), data[6 + name_size:6 + name_size + size]))
        data = data[6 + name_size + size:]
    return found


def test_arrays_come_through_as_they_were(tmp_path):
    arrays = {"number": np.array(7), "flags": np.array([True, False]),
              "image": np.arange(24.0).reshape(2, 3, 4)[:, ::2],
              "none": np.zeros((0, 3), np.float32), "big": np.array([1, 2], ">i4")}
    (_, content), = frames(tmp_path, lambda channel: channel.arrays("x.arrays", arrays))
    found = read_arrays(content)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape and np.array_equal(found[name], array)


def forged(head, body=b""):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("!I", len(text)) + text + body


@pytest.mark.parametrize("content", [
    b"", b"\0", b"\xff\xff\xff\xff", forged(b"{"), forged(b"[" * 100_000), forged({}, b"x"), forged(3), forged(None),
    forged([["a", "|O", [1]]], bytes(8)), forged([["a", "<U4", [1]]], bytes(16)), forged([["a", "<f8", [2]]], bytes(8)),
    forged([["a", "<f8", [-1]]], bytes(8)), forged([["a", "<f8", [2**40]]]), forged([["a", "<f8", [2**30] * 3]]),
    forged([["a", "<f8", [True]]], bytes(8)), forged([["a", "<f8", [1.0]]], bytes(8)), forged([["a", "zzz", [1]]]),
    forged([["a", "<f8", []], ["a", "<f8", []]], bytes(16)), forged([["a" * 101, "<f8", []]], bytes(8)),
    forged([["a", "<f8", []]] * 65, bytes(8 * 65)), forged([["a", "<f8", []]], bytes(9)), forged([["a", "<f8"]]),
    forged([["a", "<f8", [1] * 9]], bytes(8)), forged([[None, "<f8", []]], bytes(8)),
    forged([["a", "<c16", []]], bytes(16)),
    forged([["a", "<M8[s]", []]], bytes(8)), forged([["a", "i4,i4", []]], bytes(8)), forged(b'["\xff"]'),
    forged([["\ud800", "<f8", []]], bytes(8))])
def test_arrays_that_are_none_are_refused(content):
    with pytest.raises(ValueError):
        read_arrays(content)


@pytest.mark.parametrize("name, content", [
    ("b.arrays", forged([])), ("a.txt", b""), ("a", b""), ("", b""), ("c.failure", b"x"), ("a.failure.arrays", b"")])
def test_only_the_answer_to_the_next_probe_is_taken(name, content):
    answers = Answers(["a", "b"], 1000)
    with pytest.raises(ValueError):
        answers(name, content)
    assert not answers.arrays and not answers.failures


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", "ValueError: \ud800".encode("utf-8", "surrogatepass")])
def test_a_failure_that_says_nothing_is_a_failure(content):
    answers = Answers(["generator_shapes"], 1000)
    answers("generator_shapes.failure", content)
    assert answers.failures["generator_shapes"] and not answers.arrays
    assert answers.failures["generator_shapes"].encode("utf-8")


def test_an_answer_without_arrays_earns_nothing():
    answers = Answers(["generator_shapes"], 1000)
    answers("generator_shapes.arrays", b"nonsense")
    assert "generator_shapes" in answers.failures and not answers.arrays


def test_words_of_a_hand_in_are_cut_and_cleaned():
    text = clean("File /home/teacher/kit/course/probes.py\nValueError: \ud800\u202e\x00" + "x" * 9999, lines=2)
    assert "teacher" not in text and "\ud800" not in text and "\x00" not in text and "\u202e" not in text
    assert len(text) <= 500 and text.encode("utf-8")
    assert clean(r"C:\Users\teacher\kit\models.py, line 3") == "models.py, line 3"
    deep = value = []
    for _ in range(500):
        value.append([])
        value = value[0]
    assert json.dumps(clean_values({"\ud800": deep, "a": "\udfff"})).isascii()


# ---------------------------------------------------------------- folders, and what there is without a jail

def deep(folder, levels):
    """Folders in folders; made from inside, for their path would be too long."""
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(levels):
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
        Path("file").write_text("x")
    finally:
        os.chdir(here)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such trees, links or pipes")
def test_what_cannot_be_removed_in_the_usual_way_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "kept").write_text("x")
    deep(tmp_path / "a", 1200)
    for k in range(3):
        (tmp_path / "a" / f"x{k}" / "y").mkdir(parents=True)
        (tmp_path / "a" / f"x{k}" / "y" / "z").write_text("x")
        os.chmod(tmp_path / "a" / f"x{k}" / "y", 0)
        os.chmod(tmp_path / "a" / f"x{k}", 0)
    os.symlink(tmp_path / "kept", tmp_path / "a" / "link")
    os.symlink(tmp_path, tmp_path / "a" / "link to a folder")
    os.mkfifo(tmp_path / "a" / "pipe")
    remove(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_a_scratch_folder_of_a_killed_grading_is_swept_and_that_of_a_living_one_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / f"{sandbox.PREFIX}999999999-1-abc"
    (dead / "box").mkdir(parents=True)
    (tmp_path / f"{sandbox.PREFIX}nonsense").mkdir()
    with scratch_folder() as alive:
        sweep()
        assert alive.exists() and not dead.exists() and (tmp_path / f"{sandbox.PREFIX}nonsense").exists()
    assert not alive.exists()


@pytest.mark.parametrize("change", ["a line added", "replaced, of the same size and time", "new", "compiled", "gone"])
def test_without_a_jail_a_change_of_the_kit_is_seen(tmp_path, change, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "support").mkdir()
    file = tmp_path / "support" / "layers.py"
    file.write_text("a = 1")
    (tmp_path / "copy" / "support").mkdir(parents=True)
    shutil.copy(file, tmp_path / "copy" / "support" / "layers.py")
    (tmp_path / "copy").rename(tmp_path.parent / f"{tmp_path.name}_copy")          # a second folder, of equal names
    guard, state = Guard([tmp_path, tmp_path.parent / f"{tmp_path.name}_copy"]), file.stat()
    assert guard.changed() == []
    if change == "a line added":
        file.write_text("a = 1\nevil = 1")
    elif change == "new":
        (tmp_path / "support" / "evil.py").write_text("x")
    elif change == "compiled":
        (tmp_path / "support" / "__pycache__").mkdir()
        (tmp_path / "support" / "__pycache__" / "layers.pyc").write_text("x")
    elif change == "gone":
        file.unlink()
    else:
        file.write_text("a = 2")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    name = {"new": "evil.py", "compiled": os.path.join("__pycache__", "layers.pyc")}.get(change, "layers.py")
    assert guard.changed() == [os.path.join("support", name)]


def test_nonsense_that_comes_with_the_first_message_is_no_broken_jail():
    """Otherwise a hand-in could choose a weaker jail."""
    for nonsense, most, reason in ((b"\xff" * 100, 1000, "answers that are none"),
                                   (b"\0" * 5000, 4000, "MiB of answers")):
        reading, writing = os.pipe()
        os.write(writing, jail_module.message(jail_module.READY, b"") + nonsense)
        os.close(writing)
        messages = sandbox.Messages(os.fdopen(reading, "rb"), most)
        messages._thread.join(5)
        assert messages.take()[0] == (jail_module.READY, b"")
        with pytest.raises(ValueError, match=reason):
            messages.take()
            messages.take()
        messages.close()

"""Running what cannot be trusted in a process of its own that can do no harm: a student's code, a hand-in's files.

What runs there sends messages; that is all that comes back.  No file that it has written is ever opened here.
"""

import contextlib
import json
import math
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter, namedtuple
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil

from course import jail
from course.handin import code_files
from course.words import clean

ROOT = Path(__file__).resolve().parents[1]
# Seconds of processor time: for the start, for each probe, for a hand-in as a whole; seconds by the clock: without a
# result, and for a hand-in as a whole; bytes.  disk is the size of the scratch folder.
LIMITS = {"seconds": 30, "start_seconds": 60, "total_seconds": 300, "wall": 240, "total_wall": 900,
          "memory": 6 * 2**30, "processes": 40, "file_size": 64 * 2**20, "disk": 400 * 2**20, "answer": 64 * 2**20}
# The files that run in a jail, as they are now: code without a jail could change them on the disk.
OWN = {name: (ROOT / "course" / name).read_bytes() for name in ("jail.py", "jailed.py", "probes.py", "walk.py")}
THREADS = 256         # of all processes in a jail together
MAX_DEATHS = 2        # a process may die so often in probes of one network before its other probes are given up
ASLEEP = "stopped, asleep,"
POLL_SECONDS = 0.1    # between two looks at a running process
PREFIX = "srgan-jail-"
MODES = ("bubblewrap", "namespaces", "plain")
WEAK = "weaker: this system has no jail; code of students could see and change your files"
KINDS = "biuf"        # of the arrays' types: truth values, whole numbers, floating-point numbers
MAX_ARRAYS, MAX_NAME = 64, 100
# arrays: dict probe -> dict of arrays.  failures: dict probe -> why it gave none.  notes: list of sentences.
Outcome = namedtuple("Outcome", "arrays failures notes mode", defaults=("",))


class JailError(RuntimeError):
    """No jail could be made; the message says why."""


class Budget:
    """The time of one hand-in, over all processes that are started for it."""

    def __init__(self, limits):
        self.seconds, self.end = limits["total_seconds"], time.monotonic() + limits["total_wall"]
        self.limits = limits

    def spent(self, seconds):
        """Why nothing more may run if a process has taken so many seconds of processor time, or ""."""
        if seconds > self.seconds:
            return f"stopped: the hand-in has used its {self.limits['total_seconds']} s of processor time"
        if time.monotonic() > self.end:
            return f"{ASLEEP} after {self.limits['total_wall']} s by the clock for the hand-in"
        return ""


def copy_code(source, folder, leave_out=()):
    """Copy the Python files of a kit or a hand-in, those at its top level and those of support/, over what is there."""
    for name, path in code_files(source).items():
        if name.as_posix() not in leave_out:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


# ---------------------------------------------------------------- probes

def run_probes(code, inputs, names, *, limits=LIMITS, mode=None, budget=None):
    """Run probes on the code in a folder.  Where a probe ends the process, the next ones run in a new one.

    Args:
        code: folder with the student's models.py and solver.py, and the other files of the kit; the code runs in a
            copy of it.
        inputs: bytes of inputs.npz.
        names: of the probes.  After one that loads a file (``models_import``) has ended the process, no probe of that
            file is tried.
        mode: one of MODES (default: the strongest that this system allows).
        budget: of the hand-in, where something of it is used already.

    Returns:
        Outcome

    Raises:
        JailError: if no jail can be made.
    """
    given = {"inputs.npz": inputs, "code": Path(code)}
    left, arrays, failures, deaths, budget = list(names), {}, {}, Counter(), budget or Budget(limits)
    while left:
        answers = Answers(left, limits["answer"])
        died, mode = run_jailed("probes", left, given, answers, limits, budget, mode)
        arrays.update(answers.arrays)
        failures.update(answers.failures)
        left = left[answers.done:]
        if not left:
            break
        # The probe that was running is to blame, and is not tried again.
        died, culprit, left = died or "the process ended without a result", left[0], left[1:]
        failures[culprit] = died
        deaths[_part(culprit)] += MAX_DEATHS if died.startswith(ASLEEP) else 1       # that has taken minutes already
        given_up = left if budget.spent(0) else [
            name for name in left if deaths[_part(name)] >= MAX_DEATHS or _hangs_on_it(name, culprit)]
        failures.update(dict.fromkeys(given_up, f"not tried: before, {died}"))
        left = [name for name in left if name not in given_up]
    return Outcome(arrays, failures, [WEAK] if mode == "plain" else [], mode)


class Answers:
    """The answers to a list of probes, which have to come in its order; nothing else is taken."""

    def __init__(self, names, most):
        self.names, self.most, self.done, self.arrays, self.failures = names, most, 0, {}, {}

    def __call__(self, name, content):
        """Take one message.

        Raises:
            ValueError: if it is not the answer to the next probe.
        """
        probe, _, kind = name.partition(".")
        if self.done == len(self.names) or probe != self.names[self.done] or kind not in ("arrays", "failure"):
            raise ValueError("an answer that was not asked for")
        if kind == "failure":
            self.failures[probe] = clean(content.decode("utf-8", "replace"), lines=6) or "it failed and did not say how"
        else:
            try:
                self.arrays[probe] = read_arrays(content)
            except ValueError as error:
                self.failures[probe] = clean(str(error))
        self.done += 1


def read_arrays(content):
    """The arrays of a message that may come from a stranger (``Channel.arrays``): checked names, types and sizes.

    Raises:
        ValueError: for anything else.
    """
    try:
        size, = struct.unpack_from("!I", content)
        head, at, arrays = json.loads(content[4:4 + size]), 4 + size, {}
        if len(head) > MAX_ARRAYS:
            raise ValueError("too many arrays")
        for name, kind, shape in head:
            kind = np.dtype(str(kind)[:8])
            if not (isinstance(name, str) and name.isascii() and len(name) <= MAX_NAME and name not in arrays):
                raise ValueError("an array without a name")
            if kind.kind not in KINDS or kind.itemsize > 8 or len(shape) > 8 or not all(
                    type(side) is int and 0 <= side < 2**31 for side in shape):
                raise ValueError("arrays that hold no numbers")
            count = math.prod(shape)
            if at + count * kind.itemsize > len(content):
                raise ValueError("an array that is cut off")
            arrays[name] = np.frombuffer(content, kind, count, at).reshape(shape).astype(kind.newbyteorder("="))
            at += count * kind.itemsize
    except (struct.error, TypeError, KeyError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"no arrays: {type(error).__name__}") from error
    if at != len(content):
        raise ValueError("more than its arrays")
    return arrays


def _part(name):
    """What a probe is about: "generator", "discriminator", "vgg" or "train"."""
    return name.partition("_")[0]


def _hangs_on_it(name, culprit):
    """Whether a probe loads the file that could not even be loaded: code that hangs there does so every time."""
    of_solver = ("train", "solver")
    return culprit.endswith("_import") and (_part(name) in of_solver) == (_part(culprit) in of_solver)


# ---------------------------------------------------------------- one process in a jail

def run_jailed(module, arguments, given, receive, limits, budget, mode=None, shared=()):
    """Run ``module.answer(channel, places, *arguments)`` in a jail.

    Args:
        given: dict name -> bytes, or path of a file or folder to copy; they lie in the folder places["given"].
        receive: called with name and content of each message; a ValueError of it ends the process.
        budget: Budget; what the process uses is taken off.
        shared: dict name -> folder that is seen as places[name], read-only.

    Returns:
        (why the process was ended or "", the mode in which it ran)

    Raises:
        JailError: if no jail can be made.
    """
    reasons = []
    for one in MODES[MODES.index(mode or strongest()[0]):]:
        with scratch_folder() as scratch:
            settings = _settings(one, scratch, module, arguments, given, limits, dict(shared))
            try:
                return _run(settings, scratch, receive, limits, budget), one
            except JailError as error:
                reasons.append(f"{one}: {error}")
        if mode:
            raise JailError(reasons[0])
    raise JailError("No jail could be made here: " + "; ".join(reasons))


@lru_cache(maxsize=1)
def strongest():
    """(the strongest mode of this system, why the stronger ones are none: a sentence or "")."""
    reasons, heard = [], []
    for mode in MODES:
        try:
            heard.clear()
            ended, _ = run_jailed("jailed", [], {}, _listener(heard), LIMITS, Budget(LIMITS), mode)
            if heard != [("packages", b"found")]:
                raise JailError(f"{mode}: what a result needs is missing in it ({ended or 'no answer'})")
            return mode, "; ".join(reasons)
        except JailError as error:
            reasons.append(str(error))
    raise JailError("No jail could be made here: " + "; ".join(reasons)
                    + ". If you are root, use an ordinary account.")


def _listener(heard):
    return lambda name, content: heard.append((name, content))


def _settings(mode, scratch, module, arguments, given, limits, shared):
    """Fill the scratch folder and write settings.json; returns the settings."""
    folder, box = scratch / "given", scratch / "box"
    for place in (folder, box, scratch / "root"):
        place.mkdir()
    for name, content in {**given, **OWN}.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif content.is_dir():
            copy_code(content, folder / name)
        else:
            shutil.copyfile(content, folder / name)
    hosts = {"given": folder, **shared}
    is_plain, packages = mode == "plain", _packages()
    places = {"box": str(box) if is_plain else "/box",
              **{name: str(path) if is_plain else f"/{name}" for name, path in hosts.items()}}
    inside = packages if is_plain else [f"/packages/{k}" for k in range(len(packages))]
    binds = [*_system(), *zip(packages, inside), *((str(hosts[name]), f"/{name}") for name in hosts)]
    command = [os.path.realpath(sys.executable), "-I", "-S", "-B", f"{places['given']}/jailed.py",
               f"{places['given']}/settings.json"]
    settings = {"mode": {"bubblewrap": "inside"}.get(mode, mode), "places": places, "binds": [] if is_plain else binds,
                "root": str(scratch / "root"), "sizes": {"/box": limits["disk"], "/tmp": 2**26, "/dev/shm": 2**27},
                "command": command, "module": module, "arguments": [str(argument) for argument in arguments],
                "path": [name for name in ("given", "kit") if name in places], "packages": inside,
                "memory": limits["memory"], "file_size": limits["file_size"], "seconds": limits["total_seconds"] + 5,
                "threads": THREADS + _threads_of(jail.NOBODY if os.name == "posix" and os.getuid() == 0 else None)}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    _open_to_all(scratch if is_plain else folder)
    if is_plain:
        box.chmod(0o777)
    return settings


def _open_to_all(folder):
    """Let an ordinary user read a folder: in the jail the code is nobody, also where root is grading."""
    if os.name == "posix":
        for place, folders, files in os.walk(folder):
            os.chmod(place, 0o755)
            for name in files:
                os.chmod(os.path.join(place, name), 0o644)
            del folders


@lru_cache(maxsize=1)
def _packages():
    """The folders of installed packages."""
    found = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and os.path.isdir(path)]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _system():
    """What the interpreter needs of this machine, as pairs (path, the same path)."""
    base, interpreter = Path(sys.base_prefix), os.path.realpath(sys.executable)
    wanted = [interpreter, sysconfig.get_paths()["stdlib"], "/lib", "/lib64",
              "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
              "/sys/devices/system/cpu", *(str(base / name) for name in ("lib", "lib64") if base != Path("/"))]
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        wanted += sorted({line.split(None, 5)[5].strip() for line in maps if ".so" in line and "/" in line})
    chosen = []
    for path in sorted({os.path.normpath(path) for path in wanted}, key=lambda path: path.count("/")):
        covered = any(Path(path).is_relative_to(other) for other in [*chosen, *_packages()])
        covered |= any(Path(path).is_relative_to(os.path.realpath(other)) for other in [*chosen, *_packages()])
        if os.path.exists(path) and not covered:
            chosen.append(path)
    return [(path, path) for path in chosen]


def _threads_of(user):
    """How many threads a user (by default: this one) has at the moment; the limit of threads counts them all."""
    total = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, AttributeError):
            if user is None and process.username() == _own_name() or user is not None and process.uids().real == user:
                total += process.num_threads()
    return total


@lru_cache(maxsize=1)
def _own_name():
    return psutil.Process().username()


def _command(settings, folder):
    """The command that makes the jail."""
    start = [os.path.realpath(sys.executable), "-I", "-S", "-B"]
    if settings["mode"] != "inside":
        return [*start, str(folder / "jail.py"), str(folder / "settings.json")]
    program = shutil.which("bwrap")
    if program is None:
        raise JailError("bubblewrap is not installed")
    is_root = os.getuid() == 0
    command = [program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
               "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "jail", "--proc", "/proc"]
    command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"
                ] if is_root else ["--unshare-user", "--uid", str(jail.NOBODY), "--gid", str(jail.NOBODY)]
    for place, size in settings["sizes"].items():
        command += ["--perms", "1777", "--size", str(size), "--tmpfs", place]
    targets = [target for _, target in settings["binds"]]
    for place in sorted({str(parent) for target in targets for parent in Path(target).parents} - {"/", *targets}):
        command += ["--perms", "755", "--dir", place]              # bubblewrap itself would close them to others
    for source, target in settings["binds"]:
        command += ["--ro-bind", source, target]
    for name in jail.DEVICES:
        command += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    return [*command, "--remount-ro", "/", "--chdir", "/box", "--", *start, "/given/jail.py", "/given/settings.json"]


def _run(settings, scratch, receive, limits, budget):
    """Run one process; returns why it was ended, or how it failed, or "".

    Raises:
        JailError: if no jail could be made: nothing has run then.
    """
    box, places = settings["places"]["box"], settings["places"]
    environment = {"HOME": box, "USERPROFILE": box, "TMPDIR": box, "TEMP": box, "TMP": box, "PATH": os.defpath,
                   "USER": "student", "LOGNAME": "student", "LANG": "C.UTF-8",
                   "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1",
                   **{key: os.environ[key] for key in ("SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ}}
    process = subprocess.Popen(_command(settings, scratch / "given"), stdin=subprocess.PIPE, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                               cwd=places["box"] if settings["mode"] == "plain" else scratch)
    messages, said = Messages(process.stdout, limits["answer"]), Messages(process.stderr, 2000)
    watch = Watch(process, limits, budget)
    try:
        ended = watch.until_the_end(messages, receive)
    finally:
        watch.kill()
        process.stdin.close()
        messages.close()
        said.close()
    if not watch.stands:
        raise JailError(clean(watch.why or said.text() or ended or "it did not start", lines=3))
    return ended


class Messages:
    """The messages that a process writes, read by a thread: a process that writes nothing holds up nobody."""

    def __init__(self, file, most):
        self._file, self._most, self._data, self._total, self._lock = file, most, bytearray(), 0, threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._file.fileno(), 1 << 16):
                with self._lock:
                    if self._total <= self._most:
                        self._data += chunk
                    self._total += len(chunk)

    def take(self):
        """The messages that are complete by now: list of (name, content).

        What is wrong is reported after all that came before it: otherwise nonsense that arrives together with the
        jail's own first message would look like a jail that could not be made.

        Raises:
            ValueError: for what is no message, or for too much of it.
        """
        found, wrong = [], ""
        with self._lock:
            if self._total > self._most:
                wrong = f"more than {self._most / 2**20:.0f} MiB of answers"
            while len(self._data) >= 6:
                name_size, size = struct.unpack_from("!HI", self._data)
                if name_size > MAX_NAME or size > self._most:
                    wrong = wrong or "answers that are none"
                    break
                if len(self._data) < 6 + name_size + size:
                    break
                name = self._data[6:6 + name_size].decode("ascii", "replace")
                found.append((name, bytes(self._data[6 + name_size:6 + name_size + size])))
                del self._data[:6 + name_size + size]
        if wrong and not found:
            raise ValueError(wrong)
        return found

    def text(self):
        with self._lock:
            return self._data[-2000:].decode("utf-8", "replace")

    def close(self):
        """Wait a little for the thread; a process that has got away may hold the other end for ever."""
        self._thread.join(2)
        if not self._thread.is_alive():
            self._file.close()


class Watch:
    """Watches a process in a jail.

    Limits count processor time, so that a busy computer takes no points away; the clock only ends what sleeps.
    """

    def __init__(self, process, limits, budget):
        self.process, self.limits, self.budget = process, limits, budget
        self.stands, self.why = False, ""          # whether the jail stands; why not
        self.known = {}                            # all processes that were ever seen, by id

    def until_the_end(self, messages, receive):
        """Hand the messages on until the process ends; returns why it was stopped, or how it failed, or ""."""
        allowed = self.limits["start_seconds"] + self.limits["seconds"]
        spent, now, began, running = 0.0, 0.0, time.monotonic(), True
        try:
            while running:
                running = self.process.poll() is None
                if not running:
                    messages._thread.join(2)
                found = messages.take()
                for name, content in found:
                    if not self._is_first(name, content):
                        receive(name, content)
                        allowed, spent, began = self.limits["seconds"], now, time.monotonic()
                if self.why:
                    return self.why
                family = self._family()
                now = max(now, sum(map(_seconds, family)))
                stopped = (self._stopped(family, now - spent, allowed, time.monotonic() - began)
                           or self.budget.spent(now))
                if stopped and running:
                    return stopped
                if running:
                    time.sleep(POLL_SECONDS)
        except ValueError as error:
            return f"stopped: {error}"
        finally:
            self.budget.seconds -= now
        return f"the process ended with status {self.process.returncode}" if self.process.returncode else ""

    def _is_first(self, name, content):
        """Whether a message is the jail's own, which comes before all others."""
        if self.stands:
            return False
        self.stands = name == jail.READY
        self.why = "" if self.stands else content.decode("utf-8", "replace") or "it did not start"
        return True

    def _stopped(self, family, seconds, allowed, clock):
        """Why the process has to be stopped, or ""."""
        if seconds > allowed:
            return f"stopped after {allowed} s of processor time"
        if clock > self.limits["wall"]:
            return f"{ASLEEP} after {self.limits['wall']} s by the clock"
        if len(family) > self.limits["processes"]:
            return f"stopped: more than {self.limits['processes']} processes"
        if sum(map(_memory, family)) > self.limits["memory"]:
            return f"stopped: more than {self.limits['memory'] / 2**30:.0f} GiB of memory"
        return ""

    def _family(self):
        try:
            parent = psutil.Process(self.process.pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.Error:
            return []
        self.known.update({member.pid: member for member in family})
        return family

    def kill(self):
        """End the process and all processes that it has started, and wait until they have ended."""
        self._family()
        for member in reversed(list(self.known.values())):
            with contextlib.suppress(psutil.Error):
                member.kill()                      # psutil checks that the number still is that process
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs([member for member in self.known.values() if member.pid != self.process.pid], timeout=3)


def _seconds(process):
    """Processor time of a process and of those of its children that have ended."""
    try:
        return sum(process.cpu_times()[:4])
    except psutil.Error:
        return 0.0


def _memory(process):
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


# ---------------------------------------------------------------- folders that come and go

@contextlib.contextmanager
def scratch_folder():
    """A folder that is gone afterwards, whatever was written into it; those of killed gradings go too."""
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-"))
    try:
        yield folder
    finally:
        remove(folder)


def _started(number):
    """When a process was started, in hundredths of a second, or None if there is none of that number."""
    try:
        return int(psutil.Process(number).create_time() * 100)
    except psutil.Error:
        return None


def sweep():
    """Remove the scratch folders of gradings that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        parts = path.name.removeprefix(PREFIX).split("-")
        with contextlib.suppress(OSError, ValueError):
            state = path.lstat()
            is_own = stat.S_ISDIR(state.st_mode) and (os.name != "posix" or state.st_uid == os.getuid())
            started = _started(int(parts[0]))
            if is_own and (started is None or abs(started - int(parts[1])) > 100):
                remove(path)


def remove(folder):
    """Remove a folder however deep it is, links as links; what cannot be removed stays and stops nothing.

    Folders of folders are moved up until none has any: names of 4096 characters and recursion do not come into it.
    """
    folder, number = os.fspath(folder), 0
    for _ in range(100_000):
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        before = number, len(entries)
        for entry in entries:
            if not _is_folder(entry):
                _quietly(os.unlink, entry.path)
                continue
            _quietly(os.chmod, entry.path, 0o700)
            with contextlib.suppress(OSError):
                for inner in list(os.scandir(entry.path)):
                    number += 1
                    if _is_folder(inner):
                        _quietly(os.chmod, inner.path, 0o700)
                        _quietly(os.rename, inner.path, os.path.join(folder, f".{number}"))
                    elif not _quietly(os.unlink, inner.path):
                        _quietly(os.chmod, inner.path, 0o600)         # Windows keeps what may not be written to
                        _quietly(os.unlink, inner.path)
            _quietly(os.rmdir, entry.path)
        if _quietly(os.rmdir, folder) or before == (number, len(entries)) and not _fewer(folder, entries):
            return


def _is_folder(entry):
    return entry.is_dir(follow_symlinks=False) and not getattr(entry, "is_junction", bool)()


def _fewer(folder, entries):
    try:
        return len(list(os.scandir(folder))) < len(entries)
    except OSError:
        return False


def _quietly(do, *arguments):
    try:
        do(*arguments)
        return True
    except OSError:
        return False

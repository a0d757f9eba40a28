"""Running a student's code on given inputs, in a process of its own that can do no harm."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, namedtuple
from pathlib import Path

import psutil

from course import jail, probes
from course.handin import code_files
from course.hidden import load_arrays

ROOT = Path(__file__).resolve().parents[1]
# Seconds of processor time, for the start and for each probe; seconds by the clock; bytes.
LIMITS = {"seconds": 30, "start_seconds": 60, "wall": 240,
          "memory": 6 * 2**30, "processes": 40, "file_size": 64 * 2**20}
MAX_DEATHS = 2        # a process may die so often in probes of one network before its other probes are given up
ASLEEP = "stopped, asleep,"
POLL_SECONDS = 0.1    # between two looks at a running process
# arrays: dict probe -> dict of arrays.  failures: dict probe -> why it gave none.  notes: list of sentences.
Outcome = namedtuple("Outcome", "arrays failures notes")


def copy_code(source, folder, leave_out=()):
    """Copy the Python files of a kit or a hand-in, those at its top level and those of support/, over what is there."""
    for name, path in code_files(source).items():
        if name.as_posix() not in leave_out:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


def run_probes(code, inputs, names, scratch, hide=(), limits=LIMITS):
    """Run probes on the code in a folder.  Where a probe ends the process, the next ones run in a new one.

    Args:
        code: folder with the student's models.py and solver.py, and the other files of the kit.
        inputs: path of inputs.npz.
        names: of the probes.
        scratch: an empty folder; the code runs in it.
        hide: paths that the code must not see.

    Returns:
        Outcome
    """
    scratch = Path(scratch)
    out, home = scratch / "out", scratch / "home"
    for folder in (out, home):
        folder.mkdir(parents=True)
    shutil.copy(inputs, scratch / "inputs.npz")
    shutil.copy(probes.__file__, scratch / "probes.py")
    left, failures, notes, deaths = list(names), {}, [], Counter()
    while left:
        died, note = _run(scratch, Path(code), left, [str(path) for path in hide], limits)
        notes += [note] if note and note not in notes else []
        at = next((k for k, name in enumerate(left) if not _is_done(out, name)), len(left))
        if at == len(left):
            break
        # The probe that was running is to blame, and is not tried again.
        died, culprit, left = died or "the process ended without a result", left[at], left[at + 1:]
        failures[culprit] = died
        deaths[_part(culprit)] += MAX_DEATHS if died.startswith(ASLEEP) else 1       # that has taken minutes already
        # Code that hangs or exits on import does so in every probe.
        given_up = [name for name in left if deaths[_part(name)] >= MAX_DEATHS]
        failures.update(dict.fromkeys(given_up, f"not tried: before, {died}"))
        left = [name for name in left if name not in given_up]
    arrays = {}
    for name in names:
        try:
            if any((out / f"{name}{kind}").is_symlink() for kind in (".npz", ".txt")):
                raise ValueError("a link in the place of a result")
            if (out / f"{name}.npz").exists():
                arrays[name] = load_arrays(out / f"{name}.npz")
            elif (out / f"{name}.txt").exists():
                failures[name] = _last_lines(out / f"{name}.txt")
        except (ValueError, OSError) as error:
            failures[name] = str(error)
    return Outcome(arrays, failures, notes)


def _part(name):
    """What a probe is about: "generator", "discriminator", "vgg" or "train"."""
    return name.partition("_")[0]


def _is_done(out, name):
    return (out / f"{name}.npz").exists() or (out / f"{name}.txt").exists()


def _last_lines(path):
    """The last lines of the error that a probe raised, without the folders of this machine."""
    text = path.read_bytes()[-2000:].decode("utf-8", "replace").strip()
    return "\n".join(line.replace(str(ROOT), "") for line in text.splitlines()[-6:])


def _run(scratch, code, names, hide, limits):
    """Run one process for the probes that are left; returns (why it was ended or "", a note on the jail or "")."""
    command = [sys.executable, "-I", "-B", str(scratch / "probes.py"), str(scratch / "inputs.npz"),
               str(scratch / "out"), str(code), *names]
    settings = {"command": command, "folder": str(scratch / "home"), "hide": hide, "memory": limits["memory"],
                "file_size": limits["file_size"], "seconds": limits["start_seconds"] + limits["seconds"] * len(names),
                "status": str(scratch / "status.json")}
    (scratch / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    home = str(scratch / "home")
    environment = {"HOME": home, "USERPROFILE": home, "TMPDIR": home, "TEMP": home, "TMP": home, "PATH": os.defpath,
                   "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1",
                   **{key: os.environ[key] for key in ("SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ}}
    with open(scratch / "said.txt", "wb") as said:
        process = subprocess.Popen([sys.executable, "-I", jail.__file__, str(scratch / "settings.json")], stdout=said,
                                   stderr=said, stdin=subprocess.DEVNULL, env=environment, cwd=home,
                                   start_new_session=True)
        try:
            died = _watch(process, scratch / "out", names, limits)
        finally:
            _kill(process)
    try:
        status = json.loads((scratch / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        status = {"namespaces": False, "why": "the jail did not start"}
    note = "" if status["namespaces"] else ("network, other processes and files could not be shut off on this system"
                                            + f" ({status['why']})" * bool(status["why"]))
    return died, note


def _watch(process, out, names, limits):
    """Wait for the end of a process; returns why it was stopped, or how it failed, or "".

    Limits count processor time, so that a busy computer takes no points away; the clock only ends what sleeps.
    """
    done, budget, spent, began = 0, limits["start_seconds"] + limits["seconds"], 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        family = _family(process)
        now_spent = sum(map(_seconds, family))
        now_done = sum(_is_done(out, name) for name in names)
        if now_done > done:
            done, budget, spent, began = now_done, limits["seconds"], now_spent, time.monotonic()
        if now_spent - spent > budget:
            return f"stopped after {budget} s of processor time"
        if time.monotonic() - began > limits["wall"]:
            return f"{ASLEEP} after {limits['wall']} s by the clock"
        if len(family) > limits["processes"]:
            return f"stopped: more than {limits['processes']} processes"
        if sum(map(_memory, family)) > limits["memory"]:
            return f"stopped: more than {limits['memory'] / 2**30:.0f} GiB of memory"
        said = out.parent / "said.txt"
        if said.stat().st_size > limits["file_size"]:
            return "stopped: it printed without end"
    return f"the process ended with status {process.returncode}" if process.returncode else ""


def _family(process):
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


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


def _kill(process):
    """End a process and all processes that it has started."""
    for member in reversed(_family(process)):
        try:
            member.kill()
        except psutil.Error:
            continue
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()

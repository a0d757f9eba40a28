"""Whose outputs a run folder holds: whether another process trains it now, and who has trained it."""

import contextlib
import json
import os
import platform
import time
from pathlib import Path

import psutil

from support import provenance
from support.checkpoints import CheckpointError
from support.files import write_atomically

FILE = "training.json"       # in the run folder, while it is being trained
SILENCE = 900                # seconds without a sign of a trainer on another machine, after which it is taken for gone


class TrainedElsewhere(CheckpointError):
    """Another process trains this run: two would overwrite each other's checkpoints."""

    def _render_traceback_(self):
        """What IPython shows below the cell: the sentence alone."""
        return [str(self)]


def trainer_of(folder):
    """The other process that trains the run now: dict pid, host, command, stage, since; None if there is none.

    Args:
        folder: runs/<name>.
    """
    path = Path(folder, FILE)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not on_this_machine(facts):                   # a shared folder: no way to ask, but it gives signs of life
            return facts if time.time() - path.stat().st_mtime < SILENCE else None
        # A number is given to another process one day: the time of its start tells them apart.
        is_it = abs(psutil.Process(facts["pid"]).create_time() - facts["created"]) < 2
        return facts if is_it and facts["pid"] != os.getpid() else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):     # not there, left by a kill, or spoiled
        return None


@contextlib.contextmanager
def training(folder, stage):
    """Inside ``with``, other processes see that this one trains the run; yields a function to be called now and then.

    Raises:
        TrainedElsewhere: if another process of this machine trains it.
    """
    other = trainer_of(folder)
    if other and on_this_machine(other):
        raise TrainedElsewhere(f"{sentence(other, folder)} Two trainings would overwrite each other's checkpoints. "
                               f"Wait until it has ended, stop it (kill {other['pid']}: it saves first), or choose "
                               "another run_name.")
    path, me = Path(folder, FILE), psutil.Process()
    facts = {"pid": me.pid, "created": me.create_time(), "host": platform.node(), "command": provenance.command(),
             "stage": stage, "since": time.strftime("%Y-%m-%d %H:%M")}
    with contextlib.suppress(OSError):                   # whoever writes next says so
        write_atomically(path, json.dumps(facts).encode("utf-8"))

    def alive():
        with contextlib.suppress(OSError):               # deleted by hand
            os.utime(path)
    try:
        yield alive
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def on_this_machine(facts):
    """Whether the process is one of this machine, and so certainly alive; another one (Colab's) may be lost already."""
    return facts["host"] == platform.node()


def sentence(facts, folder):
    """That another process trains a run, as text."""
    where = "" if on_this_machine(facts) else f" on {facts['host']}"
    return (f"{Path(folder).as_posix()} is being trained by another process{where} ({facts['command']}, process "
            f"{facts['pid']}, since {facts['since']}).")


def whose_outputs(folder):
    """Whose outputs a run folder holds now, as a sentence in both languages; "" for one that is new."""
    folder = Path(folder)
    if other := trainer_of(folder):
        return (f"**{sentence(other, folder)} What is shown here is what that process has left so far.** "
                f"**另一个进程正在训练 {folder.as_posix()}（{other['command']}，进程号 {other['pid']}，"
                f"{other['since']} 开始），这里显示的是它目前留下的结果。**")
    starts = provenance.starts_of(folder)
    if not starts:
        return ""
    last = starts[-1]
    return (f"{folder.as_posix()} was trained before this cell ran: last started {last['time']}, stage "
            f"{last['stage']}, by {last['command']}. {folder.as_posix()} 在运行本单元格之前已经训练过：最近一次启动于 "
            f"{last['time']}，阶段 {last['stage']}，命令 {last['command']}。")

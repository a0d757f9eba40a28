"""Ctrl-C and SIGTERM, sent to real processes: the update is completed, everything is saved, and a sentence says how to
continue."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from support.checkpoints import load_checkpoint
from support.safeguards import STOP_SIGNALS, Stopped, StopRequest, exit_status
from tests.helpers import copy_kit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these to another process")
# Long enough to be stopped, in updates of some milliseconds.
SHORT = ["pretrain.epochs=500", "pretrain.updates_per_epoch=40", "print_freq=2", "checkpoint_every=1000",
         "content_loss=mse"]


# ---------------------------------------------------------------- inside a process

def test_the_status_is_that_of_the_shell():
    assert exit_status(Stopped(signal.SIGINT)) == exit_status(KeyboardInterrupt()) == 130
    assert exit_status(Stopped(signal.SIGTERM)) == 143


def test_a_second_sigterm_changes_nothing_and_ctrl_c_after_it_stops_at_once():
    with StopRequest() as request:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert request.made
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped, match="SIGTERM"):
            request.check()


def test_the_former_handlers_are_back_afterwards():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with StopRequest():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_what_a_notebook_shows_of_it_is_one_line():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    shell = InteractiveShell()
    shell.user_ns["error"] = Stopped(signal.SIGTERM)
    with capture_output() as shown:
        shell.run_cell("def update():\n    raise error\nupdate()")
    assert [line for line in shown.stdout.splitlines() if line.strip()] == ["Stopped by SIGTERM; everything is saved"]


# ---------------------------------------------------------------- run_notebooks.py

@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit")
    copy_kit(folder, "*.ipynb")
    return folder


def started(kit, name, *more):
    """``run_notebooks.py train`` in a process of its own, once its training has made some updates."""
    fresh = ["--fresh"] if name != "again" else []
    command = [sys.executable, "run_notebooks.py", "train", *fresh, "--name", name, "--set", *SHORT, *more]
    process = subprocess.Popen(command, cwd=kit, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               encoding="utf-8", env={**os.environ, "OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if "update" in line:
            return process
    pytest.fail(f"no training: {process.communicate()}")


def kernel_of(process):
    return next(child for child in psutil.Process(process.pid).children() if "ipykernel_launcher" in child.cmdline())


@pytest.mark.slow
@pytest.mark.parametrize("number, target, status, word", [
    (signal.SIGINT, "command", 130, "Ctrl-C"), (signal.SIGTERM, "command", 143, "SIGTERM"),
    (signal.SIGTERM, "kernel", 143, "SIGTERM"), (signal.SIGTERM, "all", 143, "SIGTERM")], ids=str)
def test_run_notebooks_saves_and_says_how_to_continue(kit, number, target, status, word):
    """``all``: the kernel and its loader process too, as Slurm does."""
    name = f"stopped{status}{target}"
    process = started(kit, name, "workers=1")
    kernel = kernel_of(process)
    time.sleep(1)
    everyone = [kernel.pid, *(child.pid for child in kernel.children(recursive=True))]
    for pid in {"command": [process.pid], "kernel": [kernel.pid], "all": [*everyone, process.pid]}[target]:
        os.kill(pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    said = [line for line in errors.splitlines() if line.strip()]
    assert len(said) < 6 and not re.search("Traceback|DeadKernel|Error", errors), errors
    assert f"train.ipynb was stopped by {'the signal ' * (word == 'SIGTERM')}{word}." in said[-1]
    assert f"saved in runs/{name}/checkpoints. To resume there: python run_notebooks.py train" in said[-1]
    assert "--fresh" not in said[-1]                     # it would delete what has been saved
    saved = load_checkpoint(kit / "runs" / name / "checkpoints/pretrain_last.pth")
    # checkpoint_every is longer than an epoch: a checkpoint inside one can only be that of the stop
    assert saved["epoch"] > 0 or saved["update"] > 0
    outputs = (kit / "runs" / name / "train.ipynb").read_text("utf-8")
    assert "everything is saved first" in outputs and "Resuming" not in outputs
    assert not psutil.pid_exists(kernel.pid) or kernel.status() == psutil.STATUS_ZOMBIE
    shown = [line for cell in json.loads(outputs)["cells"] for output in cell.get("outputs", ())
             for line in output.get("traceback", ())]
    assert len(shown) == 1 and shown[0].startswith("Stopped by SIG")


@pytest.mark.slow
def test_a_kernel_that_is_killed_is_named_in_a_sentence(kit):
    process = started(kit, "killed")
    kernel_of(process).kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 137 and "signal SIGKILL" in errors and "Traceback" not in errors, errors


@pytest.mark.slow
def test_the_same_command_resumes(kit):
    process = started(kit, "again", "pretrain.updates_per_epoch=4000")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143
    first = load_checkpoint(kit / "runs/again/checkpoints/pretrain_last.pth")
    assert first["epoch"] == 0 and first["update"] > 0
    process = started(kit, "again", "pretrain.updates_per_epoch=4000")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert load_checkpoint(kit / "runs/again/checkpoints/pretrain_last.pth")["update"] > first["update"]
    assert f"{first['update']} updates of the next" in (kit / "runs/again/train.ipynb").read_text("utf-8")


@pytest.mark.slow
def test_a_stop_before_anything_is_trained(kit):
    process = subprocess.Popen([sys.executable, "run_notebooks.py", "train", "--name", "early"], cwd=kit,
                               stderr=subprocess.PIPE, text=True, encoding="utf-8")
    while not psutil.Process(process.pid).children():
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Nothing had been trained yet" in errors and "Traceback" not in errors, errors

"""A training that is killed 50 times, at random moments, ends as one that was never stopped."""

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.checkpoints import load_checkpoint, read_weights
from support.files import UNFINISHED
from tests.helpers import differences

TRAINING = Path(__file__).with_name("killed_training.py")
MOMENTS = ("half", "written", "old", "renamed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def start(data, name, folder, *event):
    """A process that trains; it has said that it is ready."""
    process = subprocess.Popen([sys.executable, str(TRAINING), str(data), name, *event], cwd=folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout.readline() == "ready\n", process.stdout.read()
    return process


def finish(data, name, folder):
    """Let the training come to its end; returns the seconds that took."""
    process = start(data, name, folder)
    begun = time.perf_counter()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and out.endswith("finished\n"), out
    return time.perf_counter() - begun


def kill_in_writing(data, name, folder, event):
    process = start(data, name, folder, event)
    out, _ = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), out        # 0: fewer files were written than that
    return process.returncode != 0


def kill_after(data, name, folder, seconds):
    process = start(data, name, folder)
    time.sleep(seconds)
    process.kill()
    out, _ = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), out
    return process.returncode != 0


def assert_same_runs(a, b):
    for name in ("pretrain_last", "pretrain_best", "srgan_last", "srgan_best"):
        first, second = (load_checkpoint(folder / "checkpoints" / f"{name}.pth") for folder in (a, b))
        assert differences(first, second) == [], name
    files = [{file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} for folder in (a, b)]
    if (b / "notices.txt").exists():          # what the killed run has noticed, and the other had no reason to
        files[1].remove("notices.txt")
        for line in (b / "notices.txt").read_text(encoding="utf-8").splitlines():
            assert "The one before it is whole" in line
    assert files[0] == files[1] and not any(UNFINISHED.search(file) for file in files[0])
    for file in files[0]:
        if file.endswith(".png"):
            assert (a / file).read_bytes() == (b / file).read_bytes(), file
        if file.endswith(".safetensors"):            # its header is written in another order each time
            assert differences(read_weights(a / file), read_weights(b / file)) == [], file
    logs = []
    for folder in (a, b):
        with open(folder / "log.csv", encoding="utf-8", newline="") as file:
            logs.append([{**row, "seconds": ""} for row in csv.DictReader(file)])
    assert logs[0] == logs[1] and len(logs[0]) == 6


def kill_again_and_again(data, folder, n, seed):
    """n kills, in half of them while a file is written, spread over trainings; returns (kills, trainings)."""
    chance, kills, trainings = random.Random(seed), 0, 0
    seconds = finish(data, "whole", folder)
    while kills < n:
        name = f"killed{trainings}"
        for _ in range(min(chance.randint(5, 12), n - kills)):
            if chance.random() < 0.5:
                kills += kill_in_writing(data, name, folder, f"{chance.randint(1, 30)}.{chance.choice(MOMENTS)}")
            else:
                kills += kill_after(data, name, folder, chance.uniform(0, 0.6 * seconds))
        finish(data, name, folder)
        assert_same_runs(folder / "runs" / "whole", folder / "runs" / name)
        trainings += 1
    return kills, trainings


@pytest.mark.long
def test_fifty_kills(data, tmp_path):
    kills, trainings = kill_again_and_again(data, tmp_path, 50, seed=0)
    print(f"{kills} kills in {trainings} trainings, none lost anything")


@pytest.mark.long
def test_one_kill_at_each_moment_of_writing_a_checkpoint(data, tmp_path):
    finish(data, "whole", tmp_path)
    for number, moment in enumerate(MOMENTS, start=5):
        assert kill_in_writing(data, "killed", tmp_path, f"{number}.{moment}")
    finish(data, "killed", tmp_path)
    assert_same_runs(tmp_path / "runs" / "whole", tmp_path / "runs" / "killed")

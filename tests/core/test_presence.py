"""Whose outputs a notebook shows: a run that another process trains says so, and is not trained twice."""

import json
import os
import platform
import re
import subprocess
import sys
import time

import psutil
import pytest

import inference
from models import Discriminator, Generator
from support import preflight, presence
from support.presence import FILE, TrainedElsewhere, trainer_of, training, whose_outputs
from support.run import run_folder
from tests.helpers import Stop, fit, interrupt


@pytest.fixture
def other():
    """Another process of this machine; the facts that it would leave."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield {"pid": process.pid, "created": psutil.Process(process.pid).create_time(), "host": platform.node(),
           "command": "run_notebooks.py --preset course", "stage": "srgan", "since": "2026-01-02 20:15"}
    process.kill()
    process.wait()


def leave(folder, facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(facts), encoding="utf-8")


def test_while_a_stage_trains_its_folder_says_who_does(config):
    seen = []
    fit(config, "pretrain", Stop(3, lambda: seen.append(json.loads((run_folder(config) / FILE).read_text("utf-8")))))
    assert seen[0]["pid"] == os.getpid() and seen[0]["stage"] == "pretrain"
    assert not (run_folder(config) / FILE).exists()
    with pytest.raises(KeyboardInterrupt):
        fit(config, "srgan", Stop(3, interrupt))
    assert not (run_folder(config) / FILE).exists()


def test_a_run_that_another_process_trains_is_not_trained_by_this_one(config, other):
    leave(run_folder(config), other)
    with pytest.raises(TrainedElsewhere, match=rf"process {other['pid']}, since 2026.*overwrite.*another run_name"):
        fit(config, "pretrain")
    assert [path.name for path in run_folder(config).iterdir()] == [FILE]           # nothing was touched


@pytest.mark.parametrize("change", [
    lambda facts: facts.update(created=facts["created"] - 60), lambda facts: facts.update(pid=2**22 + 1),
    lambda facts: facts.clear()], ids=["its number is another's now", "no such process", "spoiled"])
def test_what_a_killed_training_has_left_holds_nobody_up(config, other, change):
    change(other)
    leave(run_folder(config), other)
    assert trainer_of(run_folder(config)) is None
    fit(config, "pretrain")
    assert not (run_folder(config) / FILE).exists()


def test_another_machine_counts_while_it_gives_signs_of_life(config, other, tmp_path):
    other.update(host="another", pid=os.getpid())
    leave(tmp_path / "run", other)
    assert "on another" in presence.sentence(trainer_of(tmp_path / "run"), tmp_path)
    with training(tmp_path / "run", "srgan"):                # it may have lost its machine (Colab): no refusal
        pass
    leave(tmp_path / "run", other)
    os.utime(tmp_path / "run" / FILE, (time.time() - 1000,) * 2)
    assert trainer_of(tmp_path / "run") is None


def test_the_first_cell_refuses_a_run_that_is_trained_here_but_not_one_of_a_machine_that_may_be_lost(config, other):
    config.update(preset="laptop", test_sets=[])
    leave(run_folder(config), other)
    with pytest.raises(preflight.NotReady, match="(?s)being trained by another process.*正在训练这个 run"):
        preflight.check(config, Generator, Discriminator, None)
    leave(run_folder(config), {**other, "host": "another"})
    preflight.check(config, Generator, Discriminator, None)


def test_a_notebook_that_shows_a_run_in_training_says_so(config, other):
    fit(config, "pretrain")
    run_folder(config).joinpath("config.json").unlink()       # as of a run that will have both stages
    leave(run_folder(config), other)
    generators, note, _ = inference.generators_of(config)
    assert list(generators) == ["pretrain"]                   # SRGAN's is not there yet
    assert "is being trained by another process" in note and "目前留下的结果" in note
    assert re.search(r"run_notebooks.py --preset course", whose_outputs(run_folder(config)))


def test_a_finished_run_says_when_and_by_what_it_was_trained(config, monkeypatch):
    assert whose_outputs(run_folder(config)) == ""
    monkeypatch.setenv("SRGAN_KIT_COMMAND", "run_notebooks.py --name mine")
    fit(config, "pretrain")
    text = whose_outputs(run_folder(config))
    assert "was trained before this cell ran" in text and "by run_notebooks.py --name mine" in text and "训练过" in text

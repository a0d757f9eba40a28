"""A run that was stopped and started again equals one that never stopped, bit for bit."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from datasets import SRDataset, make_loader
from models import Generator
from solver import fit_pretrain
from support.checkpoints import CheckpointError, load_checkpoint
from support.run import run_folder
from support.stage import Stage
from tests.helpers import ROOT, Stop, differences, fit, interrupt, last, run_of

pytestmark = pytest.mark.slow        # trainings, stopped and resumed


# An epoch has 10 updates, a checkpoint is made after the updates 3, 6, 9 and 10 of each.
@pytest.mark.parametrize("stage, stops", [
    pytest.param("pretrain", (13,), marks=pytest.mark.slow), ("pretrain", (2, 6, 17)),
    pytest.param("pretrain", (10,), marks=pytest.mark.slow), ("srgan", (4,)),
    pytest.param("srgan", (6, 17, 20), marks=pytest.mark.slow)], ids=str)
def test_a_stopped_run_equals_an_uninterrupted_one(config, stage, stops):
    config.update(checkpoint_every=3, averaging=0.95)
    whole, parts = run_of(config, "whole"), run_of(config, "parts")
    fit(whole, stage)
    positions = []
    for stop in stops:
        monitor = Stop(stop, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(parts, stage, monitor)
        positions += monitor.seen
    monitor = Stop(None, None)
    fit(parts, stage, monitor)
    positions = [*positions, *monitor.seen][1:]
    expected = {2: (0, 0), 4: (0, 3), 6: (0, 6), 10: (0, 9), 13: (1, 3), 17: (1, 6), 20: (1, 9)}
    assert positions == [expected[stop] for stop in stops]
    a, b = last(whole, stage), last(parts, stage)
    assert a["epoch"] == 2 and set(a) >= {"generator", "averaged", "optimizer_g", "optimizer_d", "history", "random"}
    assert differences(a, b) == []
    best = [load_checkpoint(run_folder(c) / "checkpoints" / f"{stage}_best.pth") for c in (whole, parts)]
    assert differences(*best) == []


@pytest.mark.slow
def test_with_vgg_workers_cosine_and_warm_up_too(config):
    config.update(checkpoint_every=3, lr_schedule="cosine", warmup=5, epochs=2)
    whole, parts = run_of(config, "whole"), run_of(config, "parts", workers=2)
    fit(whole, "srgan", vgg=True)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, "srgan", Stop(15, interrupt), vgg=True)
    fit(parts, "srgan", vgg=True)
    assert [path for path in differences(last(whole, "srgan"), last(parts, "srgan")) if "workers" not in path] == []


@pytest.mark.slow
def test_the_random_states_go_on_where_they_were(config):
    config.update(checkpoint_every=3)
    whole, parts = run_of(config, "whole"), run_of(config, "parts")
    fit(whole, "pretrain", noisy=True)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, "pretrain", Stop(14, interrupt), noisy=True)
    fit(parts, "pretrain", noisy=True)
    assert differences(last(whole, "pretrain"), last(parts, "pretrain")) == []


def test_the_networks_given_end_with_the_resumed_weights(config):
    fit(config, "pretrain")
    torch.manual_seed(1234)
    stranger = Generator(config)
    loader, valid = make_loader(SRDataset("train", config), 4), SRDataset("valid", config)
    history = fit_pretrain(config, stranger, loader, valid)           # complete already: nothing is trained
    saved = last(config, "pretrain")
    assert all(torch.equal(value, saved["generator"][name]) for name, value in stranger.state_dict().items())
    assert len(history) == 2


def test_a_second_stage_does_not_resume_the_first(config):
    fit(config, "pretrain")
    monitor = Stop(None, None)
    fit(config, "srgan", monitor)
    assert monitor.seen == [(0, 0)]


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {root!r})
    import torch
    torch.set_num_threads({threads})
    from tests.helpers import Stop, fit, tiny_config
    config = tiny_config({data!r}, name="killed", checkpoint_every=3, averaging=0.95)
    fit(config, "srgan", Stop({update}, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_is_continued_by_another(config, data, tmp_path):
    config.update(checkpoint_every=3, averaging=0.95)
    whole, killed = run_of(config, "whole"), run_of(config, "killed")
    code = textwrap.dedent(KILLED).format(root=str(ROOT), threads=torch.get_num_threads(),
                                          data=str(data), update=17)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    fit(whole, "srgan")                    # in the meantime
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -9, errors
    assert (last(killed, "srgan")["epoch"], last(killed, "srgan")["update"]) == (1, 6)
    fit(killed, "srgan")
    assert differences(last(whole, "srgan"), last(killed, "srgan")) == []


INTERRUPTED = """
    import os, signal, sys
    sys.path.insert(0, {root!r})
    import torch
    torch.set_num_threads({threads})
    from datasets import SRDataset, make_loader
    from models import Discriminator, Generator
    from solver import fit_pretrain
    from tests.helpers import Stop, tiny_config
    from utils import seed_everything
    signal.signal(signal.SIGINT, signal.default_int_handler)       # a background job starts with interrupts ignored
    config = tiny_config({data!r}, name="interrupted", checkpoint_every=3, workers=2)
    seed_everything(config.seed)
    generator, _ = Generator(config), Discriminator(config)        # as fit() draws its random numbers
    loader, valid = make_loader(SRDataset("train", config), 4, workers=2), SRDataset("valid", config)
    try:
        fit_pretrain(config, generator, loader, valid, Stop(14, lambda: os.killpg(0, signal.SIGINT)))
    except KeyboardInterrupt:
        fit_pretrain(config, generator, loader, valid)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_an_interrupt_of_the_workers_too_lets_the_cell_run_again(config, data, tmp_path):
    # Jupyter's stop button interrupts the whole process group: the loader's workers as well.
    config.update(checkpoint_every=3, workers=2)
    whole, interrupted = run_of(config, "whole"), run_of(config, "interrupted")
    code = textwrap.dedent(INTERRUPTED).format(root=str(ROOT), data=str(data),
                                               threads=torch.get_num_threads())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          start_new_session=True)
    assert done.returncode == 0, done.stderr
    assert "Stopped." in done.stdout and "epoch 1 of 2 complete, 4 updates" in done.stdout
    fit(whole, "pretrain")
    assert differences(last(whole, "pretrain"), last(interrupted, "pretrain")) == []


def test_resuming_says_where_it_goes_on_and_what_differs(config, capsys):
    config.update(checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(14, interrupt))
    capsys.readouterr()
    slower = run_of(config, config.name, pretrain=dict(epochs=2, lr=5e-4), beta=1, print_freq=2)
    fit(slower, "pretrain")
    out = capsys.readouterr().out
    assert "epoch 1 of 2 complete, 3 updates of the next" in out
    assert "lr was 0.001 and is 0.0005" in out
    assert not any(word in out for word in ("threads", "beta", "print_freq"))      # no effect on these weights
    fit(slower, "pretrain")
    assert "complete" in capsys.readouterr().out


def test_another_number_of_threads_is_said(config, capsys, monkeypatch):
    config.update(checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(4, interrupt))
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    fit(config, "pretrain")
    assert f"{threads} threads and uses {threads + 1}" in capsys.readouterr().out


def test_a_checkpoint_of_another_network_is_not_resumed(config):
    fit(config, "pretrain")
    path = run_folder(config) / "checkpoints" / "pretrain_last.pth"
    config.G.n_channels = 5
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"pretrain_last\.pth"):
        fit(config, "pretrain")
    assert path.read_bytes() == before


def test_the_configuration_of_the_run_is_kept_with_it(config):
    fit(config, "pretrain")
    assert json.loads((run_folder(config) / "config.json").read_text("utf-8")) == last(config, "pretrain")["config"]


@pytest.mark.parametrize("step", ["save_sample", "write_log"])
def test_stopped_while_an_epoch_is_being_ended_nothing_of_it_is_missing(config, monkeypatch, step):
    with monkeypatch.context() as patch:
        right = getattr(Stage, step)

        def stop_the_first_time_in_an_epoch(stage):
            if stage.epoch == 1:
                interrupt()
            right(stage)
        patch.setattr(Stage, step, stop_the_first_time_in_an_epoch)
        with pytest.raises(KeyboardInterrupt):
            fit(config, "pretrain")
    fit(config, "pretrain")
    folder = run_folder(config)
    for name in ("checkpoints/pretrain_best.pth", "checkpoints/pretrain_epoch_001.safetensors",
                 "samples/pretrain_001.png"):
        assert (folder / name).exists(), name
    assert "\npretrain,1," in (folder / "log.csv").read_text(encoding="utf-8")

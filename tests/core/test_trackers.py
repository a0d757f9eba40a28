"""config.tracker: TensorBoard and W&B for every training; pictures inside long epochs; neither changes the numbers."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from support import figures, records
from support.enlarging import super_resolve
from support.run import run_folder
from support.settings import BadSetting
from support.trackers import TrackerError, trackers_of
from tests.helpers import Stop, differences, fit, interrupt, last, run_of


@pytest.fixture
def boards(monkeypatch):
    """What stand-ins of both packages are told."""
    told = types.SimpleNamespace(scalars=[], pictures=[], folders=[], logged=[], inits=[], ended=[])

    class Writer:
        def __init__(self, folder):
            told.folders.append(Path(folder).as_posix())

        def add_scalar(self, name, value, step):
            told.scalars.append((name, step))

        def add_image(self, name, image, step, dataformats):
            assert dataformats == "HWC" and image.dtype == np.uint8
            told.pictures.append(step)

        def close(self):
            told.ended.append("tensorboard")

    def init(**options):
        told.inits.append(options)
        return types.SimpleNamespace(log=lambda values, step=None: told.logged.append((sorted(values), step)),
                                     finish=lambda: told.ended.append("wandb"))
    monkeypatch.delenv("WANDB_MODE", raising=False), monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Image=lambda image: image.shape))
    return told


def test_tensorboard_follows_both_stages(config, boards):
    config.update(tracker="tensorboard", print_freq=5, sample_every=4)
    fit(config, "pretrain")
    fit(config, "srgan")
    assert boards.folders == [f"runs/{config.name}/tensorboard/{stage}" for stage in ("pretrain", "srgan")]
    assert {("content", 5), ("content", 20), ("valid_psnr", 10), ("discriminator", 5), ("d_sr", 20)} <= set(
        boards.scalars)
    # an epoch has ten updates: pictures are made at 4 and 8, and sent with the next reading
    assert boards.pictures == [5, 10, 10, 15, 20, 20] * 2 and boards.ended == ["tensorboard"] * 2


def test_wandb_gets_a_run_for_each_stage_that_resumes(config, boards):
    config.update(tracker=["wandb"], print_freq=5)
    with pytest.raises(KeyboardInterrupt):
        fit(config, "pretrain", Stop(5, interrupt))
    assert boards.ended == ["wandb"]                      # also after Ctrl-C
    fit(config, "pretrain")
    fit(config, "srgan")
    first, again, srgan = boards.inits
    assert first["id"] == again["id"] != srgan["id"] and first["resume"] == "allow" and first["mode"] == "offline"
    assert [one["group"] for one in boards.inits] == [config.name] * 3 and srgan["name"] == f"{config.name}-srgan"
    assert (["content"], 10) in boards.logged and (["epoch", "valid_psnr", "valid_ssim"], 20) in boards.logged


@pytest.mark.parametrize("names", ["mlflow", ["wandb", "mlflow"], []])
def test_only_known_trackers_can_be_set(config, names):
    with pytest.raises(BadSetting, match="'tensorboard' or 'wandb', or a list of these"):
        config.update(tracker=names)


@pytest.mark.parametrize("name, text", [("wandb", "pip install wandb"), ("tensorboard", "pip install tensorboard")])
def test_a_tracker_that_is_not_there_is_named_before_any_work(config, monkeypatch, name, text):
    for module in ("wandb", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    config.update(tracker=name)
    with pytest.raises(TrackerError, match=text):
        trackers_of(config)
    with pytest.raises(TrackerError):
        fit(config, "pretrain")
    assert not list(run_folder(config).glob("*"))


# ---------------------------------------------------------------- pictures inside an epoch

@pytest.mark.parametrize("stage", ["pretrain", "srgan"])
def test_pictures_inside_an_epoch_change_no_number(config, stage, monkeypatch):
    """Also where upscaling draws random numbers, as training does; and a stopped training makes the same pictures."""
    monkeypatch.setattr(records, "super_resolve", lambda *both: (torch.rand(1), super_resolve(*both))[1])
    without, often, stopped = (run_of(config, name, sample_every=every, checkpoint_every=4)
                               for name, every in (("without", 0), ("often", 3), ("stopped", 3)))
    for one in (without, often):
        fit(one, stage, noisy=True)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, stage, Stop(6, interrupt), noisy=True)
    fit(stopped, stage, noisy=True)
    alike = {key: {**last(one, stage), "config": 0} for key, one in (("without", without), ("often", often),
                                                                   ("stopped", stopped))}
    assert differences(alike["without"], alike["often"]) == differences(alike["often"], alike["stopped"]) == []
    names = [sorted(path.name for path in (run_folder(one) / "samples").glob(f"{stage}*")) for one in (often, stopped)]
    assert names[0] == names[1] == sorted(
        f"{stage}_{name}.png" for name in ("000", "000_000003", "000_000006", "000_000009", "001", "001_000003",
                                           "001_000006", "001_000009", "002"))
    for name in names[0]:
        first, second = (run_folder(one) / "samples" / name for one in (often, stopped))
        assert first.read_bytes() == second.read_bytes()


def test_the_strip_names_the_update(config):
    config.update(sample_every=5)
    fit(config, "pretrain")
    titles = [title for title, _ in figures.sample_strip(run_folder(config), "pretrain", n=9)]
    assert titles == ["LR", "before", "epoch 1, update 5", "epoch 1", "epoch 2, update 5", "epoch 2", "HR"]


@pytest.mark.parametrize("stage", ["pretrain", "srgan"])
def test_the_picture_is_shown_before_the_first_epoch_ends(config, stage, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    monkeypatch.setattr(figures, "show", lambda figure, path, handle: shown.append(figures.as_png(figure)))
    monkeypatch.setattr(figures.StatusLine, "show", lambda *_, **__: None)
    config.update(sample_every=4, print_freq=2)          # pictures: before the training, after 4 and 8 updates
    with pytest.raises(KeyboardInterrupt):
        curves = figures.LiveCurves()
        real = curves.progress
        curves.progress = lambda stage: (real(stage), interrupt() if stage.updates_done == 8 else None)
        fit(config, stage, curves)
    assert len(shown) == 3 and all(png.startswith(b"\x89PNG") for png in shown)

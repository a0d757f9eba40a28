"""What a run will need is checked in the first cell, and what is missing is said before anything is trained."""

import os
import re
import subprocess
import sys
import types

import pytest
import torch

from config import get_config
from models import Discriminator, Generator, fetch_vgg19
from support import preflight, vgg16
from support.image_store import ImageStore
from support.preflight import NotReady
from tests.helpers import copy_kit

CLOSED = "http://127.0.0.1:9"              # nothing listens there: a connection is refused


@pytest.fixture
def run(config):
    """A configuration for which everything is here."""
    config.update(preset="laptop", name="new", test_sets=["valid"], tracker=None)
    return config


def faults(config, generator=Generator, discriminator=Discriminator, fetch=None):
    with pytest.raises(NotReady) as error:
        preflight.check(config, generator, discriminator, fetch)
    return str(error.value)


def test_a_run_that_has_everything_is_not_held_up(run, capsys):
    state = torch.get_rng_state()
    preflight.check(run, Generator, Discriminator, None)
    assert capsys.readouterr().out == "" and torch.equal(state, torch.get_rng_state())


def test_what_is_missing_is_told_at_once_and_in_both_languages(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run.update(tracker="wandb", checkpoint="mine.pth", csv_folder="nowhere", content_loss="vgg", vgg19_weights="my.pth")
    text = faults(run)
    for number, words in enumerate(("no list nowhere.train_images.csv", "no list nowhere.valid_images.csv",
                                    "no weight file my.pth", "no weight file mine.pth", "pip install wandb"), start=1):
        assert re.search(rf"(?m)^{number}\. .*{words}.*\n   .*[\u4e00-\u9fff]", text), (number, words, text)
    assert NotReady(text)._render_traceback_() == [text]          # no thirty lines of code


def test_vgg19_that_cannot_be_fetched_is_told_with_its_mirrors(run, monkeypatch, tmp_path):
    monkeypatch.setenv("https_proxy", CLOSED), monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    run.update(content_loss="vgg", vgg19_weights="imagenet")
    text = faults(run, fetch=fetch_vgg19)
    assert "VGG19" in text and "could not be fetched" in text and all(mirror in text for mirror in preflight.MIRRORS)
    run.epochs = 0                          # no stage that needs it
    preflight.check(run, Generator, Discriminator, fetch_vgg19)


@pytest.mark.slow
def test_preset_course_without_a_way_to_the_server_stops_before_anything_is_trained(own_data, tmp_path):
    """The real command, its first cell, and a refused connection: the error used to come after the pre-training."""
    copy_kit(tmp_path, "train.ipynb")
    command = ["run_notebooks.py", "train", "--preset", "course", "--data", str(own_data), "--name", "cut_off"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=300,
        env={**os.environ, "https_proxy": CLOSED, "no_proxy": "", "TORCH_HOME": str(tmp_path / "torch")})
    assert done.returncode == 1
    assert not (tmp_path / "runs/cut_off/checkpoints").exists() and not (own_data / ".store").exists()
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) < 25, done.stderr
    assert preflight.MIRRORS[0] in done.stderr and "VGG19 的 ImageNet 权重下载失败" in done.stderr, done.stderr


def test_the_demo_without_vgg16_says_so_and_trains_with_pixels_others_stop(run, monkeypatch, capsys):
    monkeypatch.setattr(vgg16.importlib.util, "find_spec", lambda name: None)
    run.update(content_loss="vgg", vgg19_weights="vgg16")
    assert "python -m support.vgg16" in faults(run) and run.content_loss == "vgg"
    run.preset = "demo"
    preflight.check(run, Generator, Discriminator, None)
    assert run.content_loss == "mse" and "未安装预训练的 VGG16" in capsys.readouterr().out


def test_a_card_that_cannot_compute_is_found_by_computing(run, monkeypatch):
    run.device = "cuda"                     # this torch, or this machine, has none
    if torch.cuda.is_available():
        monkeypatch.setattr(preflight.functional, "conv2d", lambda *_, **__: 1 / torch.zeros(1, device="cuda"))
    text = faults(run)
    assert "cannot compute on cuda" in text and "无法在 cuda 上计算" in text


def test_a_driver_without_a_card_for_torch_is_noticed(run, monkeypatch, capsys):
    monkeypatch.setattr(preflight.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    preflight.check(run, Generator, Discriminator, None)
    assert "this torch finds no card" in capsys.readouterr().out


def test_test_sets_that_are_not_here_are_named_and_faulty_ones_stop(run, own_data, capsys):
    run.update(csv_folder=str(own_data), test_sets=["Set5", "Set14", "valid"])
    preflight.check(run, Generator, Discriminator, None)
    out = capsys.readouterr().out
    assert "valid" not in out
    assert "Set5, Set14" in out and "--download benchmark" in out and "缺少测试集：Set5、Set14" in out
    (own_data / "Set5_images.csv").write_text("HR/a.png\n", encoding="utf-8")
    assert "Set5_images.csv cannot be used" in faults(run)


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(run, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda place: types.SimpleNamespace(total=1e9, free=1000))
    text = faults(run)
    assert re.search(r"write about [\d.]+ MB .* 0.0 MB are free", text)
    assert "config.keep_every = 0" in text


def test_what_the_image_store_and_the_checkpoints_will_take_is_what_they_take(run, own_data, tmp_path):
    """Against what a training really leaves; images are raw bytes, so they are counted to the byte."""
    from datasets import SRDataset
    from tests.helpers import fit
    run.update(csv_folder=str(own_data), keep_every=1)
    networks = Generator, Discriminator
    sizes = [preflight.parameters_of(network, run)[0] for network in networks]
    assert sizes == [sum(weight.numel() for weight in network(run).parameters()) for network in networks]
    foretold = preflight.store_bytes(run)
    SRDataset("train", run), SRDataset("valid", run)
    real = sum(path.stat().st_size for path in (own_data / ".store").iterdir())
    assert foretold <= real < foretold + 4096 * 20 and preflight.store_bytes(run) == 0
    foretold = preflight.checkpoint_bytes(run, *sizes)
    for stage in ("pretrain", "srgan"):
        fit(run, stage)
    real = sum(path.stat().st_size for path in (tmp_path / "runs/new/checkpoints").iterdir())
    assert 0 < foretold < 1.5 * real       # tiny networks: the files' own words weigh more than their weights


def test_memory_follows_batch_and_crop(run):
    sizes = [preflight.parameters_of(network, run) for network in (Generator, Discriminator)]
    assert all(kept > 0 for _, kept in sizes)
    small = preflight.memory_bytes(run, *sizes)
    run.batch_size *= 2
    assert preflight.memory_bytes(run, *sizes) - small == run.batch_size // 2 * sum(kept for _, kept in sizes)


def test_what_course_keeps_of_a_batch_is_what_was_measured():
    """1.3 GB was measured for the whole process, with batches of 16: a lower bound of it, and no tiny part."""
    config = get_config("course")
    config.update(content_loss="mse", device="cpu")
    sizes = [preflight.parameters_of(network, config) for network in (Generator, Discriminator)]
    assert 0.4e9 < preflight.memory_bytes(config, *sizes) < 1.3e9


def test_too_little_memory_stops_on_a_card_and_is_a_notice_on_a_cpu(run, monkeypatch, capsys):
    monkeypatch.setattr(preflight.psutil, "virtual_memory", lambda: types.SimpleNamespace(available=1000))
    preflight.check(run, Generator, Discriminator, None)
    assert "config.batch_size = 1" in capsys.readouterr().out
    run.device = "cuda"
    monkeypatch.setattr(preflight, "device_faults", lambda config: [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    assert "are free on cuda" in faults(run)


def test_networks_that_are_not_written_yet_are_left_to_their_cell(run):
    class Mine:
        def __init__(self, config):
            raise NotImplementedError("yours to write")
    preflight.check(run, Mine, Mine, None)


def test_frozen_layers_under_other_names_are_missed_before_the_pre_training(run):
    class Mine(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.farben = torch.nn.Conv2d(3, 3, 3)
    before = torch.get_rng_state()
    run.freeze_tail = False
    preflight.check(run, Mine, Discriminator, None)
    run.freeze_tail = True
    with pytest.raises(NotReady, match=r"(?s)this Mine upscale.*self\.upsampling and self\.last.*请按上面英文"):
        preflight.check(run, Mine, Discriminator, None)
    preflight.check(run, Generator, Discriminator, None)             # the kit's own has them
    assert torch.equal(before, torch.get_rng_state())


def test_images_in_memory_are_missing_each_time(run):
    assert ImageStore(None).missing(["a.png"]) == ["a.png"]

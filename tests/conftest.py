"""What the tests share: photographs from scikit-image, tiny lists of pairs, tiny configurations."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from config import get_config
from imresize import imresize

torch.set_num_threads(1)      # tiny networks: a second thread only makes them slower

# derandomize: the same cases each time; a slow machine is no failure.
QUIET = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
settings.register_profile("quick", max_examples=100, **QUIET)
settings.register_profile("long", max_examples=2500, **QUIET)       # make test-long
settings.load_profile("quick")

PHOTOS = Path(importlib.util.find_spec("skimage").origin).parent / "data"     # part of the installed package
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def photo(name, top=0, left=0, height=None, width=None):
    """A crop of one of scikit-image's photographs: astronaut.png, coffee.png, camera.png (grey), ..."""
    with Image.open(PHOTOS / name) as image:
        whole = np.array(image)
    return np.ascontiguousarray(whole[top:, left:][:height, :width])


def write_image(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def write_list(folder, split, rows):
    path = Path(folder, f"{split}_images.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def write_set(folder, split, images, scale=4):
    """``images``: dict name -> HR array.  Writes HR, LR and the list."""
    for name, hr in images.items():
        h, w = (length // scale * scale for length in hr.shape[:2])
        write_image(Path(folder, "HR", f"{name}.png"), hr)
        write_image(Path(folder, "LR", f"{name}x{scale}.png"), imresize(hr[:h, :w], 1 / scale))
    write_list(folder, split, [(f"HR/{name}.png", f"LR/{name}x{scale}.png") for name in sorted(images)])
    return Path(folder)


def write_data(folder):
    """Four photographs to train on (one of them grey), two to validate."""
    write_set(folder, "train", {
        "face": photo("astronaut.png", 40, 160, 96, 104), "cup": photo("coffee.png", 100, 200, 72, 120),
        "man": photo("camera.png", 100, 200, 80, 64), "cat": photo("chelsea.png", 100, 100, 65, 67)})
    return write_set(folder, "valid", {
        "rocket": photo("rocket.jpg", 100, 280, 64, 56), "suit": photo("astronaut.png", 300, 100, 48, 64)})


def tiny_config(folder, **changes):
    """A configuration whose training takes a second on a CPU."""
    config = get_config("demo", data_folder=str(folder), name="tiny", seed=3)
    config.update(
        scaling_factor=4, crop_size=16, patch_num=10, batch_size=4, workers=0, checkpoint=None, start_epoch=0, epochs=2,
        G=dict(large_kernel_size=5, small_kernel_size=3, n_channels=4, n_blocks=1),
        D=dict(kernel_size=3, n_channels=4, n_blocks=4, fc_size=8),
        updates_per_epoch=None, lr=1e-3, lr_schedule="steps", lr_milestones=[0.5], warmup=0,
        content_loss="mse", averaging=0.9, amp=None, channels_last=False, device="cpu",
        print_freq=1, checkpoint_every=1000, keep_every=1, n_valid=2, pretrain=dict(epochs=2, lr=1e-3))
    config.update(changes)
    return config


def learn(loss, parameters, n, rate=4e-3):
    """n updates by Adam, its learning rate falling as a cosine; ``loss`` is called anew each time.  All losses."""
    optimizer = torch.optim.Adam(parameters, rate)
    schedule, losses = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n), []
    for _ in range(n):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return losses


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder of a tiny data set, shared: do not write into it."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def own_data(tmp_path):
    """The same in a folder of the test's own."""
    return write_data(tmp_path / "data")


@pytest.fixture
def config(data, tmp_path, monkeypatch):
    """A tiny configuration; runs/ lies in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return tiny_config(data)


@pytest.fixture(scope="session")
def benchmark():
    """Set5 and Set14: dict of set -> list of (name, HR path, path of the LR that MATLAB made)."""
    sets = {}
    for name, number in (("Set5", 5), ("Set14", 14)):
        folder = SHARED / "benchmark" / name
        pairs = [(hr.stem, hr, folder / "LR_bicubic" / "X4" / f"{hr.stem}x4.png")
                 for hr in sorted((folder / "HR").glob("*.png"))]
        if len(pairs) != number or not all(lr.is_file() for _, _, lr in pairs):
            pytest.skip(f"{name} with MATLAB's LR is not in ../shared/data/benchmark/{name} beside the repository")
        sets[name] = pairs
    return sets

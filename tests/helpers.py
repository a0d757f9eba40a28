"""What the tests share: photographs of scikit-image, tiny data sets and configurations, trainings, plain loops.

What one room alone needs lies in that room; fixtures are in conftest.py.
"""

import copy
import csv
import importlib.util
import io
import math
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from config import get_config
from imresize import imresize
from support.checkpoints import load_checkpoint
from support.run import run_folder

ROOT = Path(__file__).resolve().parents[1]                                    # of the kit
SHARED = ROOT.parent / "shared" / "data"                                      # real data sets, where there are any
PHOTOS = Path(importlib.util.find_spec("skimage").origin).parent / "data"     # part of the installed package


# ---------------------------------------------------------------- images

def photo(name, top=0, left=0, height=None, width=None):
    """A crop of one of scikit-image's photographs: astronaut.png, coffee.png, camera.png (grey), ..."""
    with Image.open(PHOTOS / name) as image:
        whole = np.array(image)
    return np.ascontiguousarray(whole[top:, left:][:height, :width])


def noise(height, width, seed=0, channels=3):
    """8-bit noise, no two patches of it alike: (H, W, 3), or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def write_image(path, image, **options):
    """``image``: an array or one of Pillow's.  Its folder is made; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def png(image):
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


# ---------------------------------------------------------------- data sets

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


# ---------------------------------------------------------------- configurations and trainings

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


def run_of(config, name, **changes):
    """The same configuration for another run."""
    other = copy.deepcopy(config)
    other.name = name
    other.update(changes)
    return other


def fit(config, stage, monitor=None, vgg=False, noisy=False):
    """One stage from the weights that the seed gives; the whole of what a process would do."""
    # Not above: the students' tests import this module too, while models.py and solver.py are being written.
    from datasets import SRDataset, make_loader
    from models import Discriminator, Generator, TruncatedVGG19
    from solver import fit_pretrain, fit_srgan
    from support.run import seed_everything
    seed_everything(config.seed)
    generator, discriminator = Generator(config), Discriminator(config)
    truncated = TruncatedVGG19(1, 1, weights="random") if vgg else None
    if noisy:                              # a network that draws random numbers, as dropout does
        generator.register_forward_hook(lambda _, __, sr: sr + 0.1 * torch.randn_like(sr) + 0.1 * random.random()
                                        + 0.1 * np.random.rand())
    loader = make_loader(SRDataset("train", config), config.batch_size, config.workers)
    valid = SRDataset("valid", config)
    if stage == "pretrain":
        return fit_pretrain(config, generator, loader, valid, monitor)
    return fit_srgan(config, generator, discriminator, truncated, loader, valid, monitor)


def interrupt():
    raise KeyboardInterrupt


class Stop:
    """A monitor that stops the run after so many updates of it; ``seen``: where it began."""

    def __init__(self, after, how=interrupt):
        self.after, self.how, self.seen = after, how, []

    def begin(self, stage):
        self.seen.append((stage.epoch, stage.update))

    def progress(self, stage):
        if stage.updates_done == self.after:
            self.how()

    def epoch_end(self, stage):
        pass


def last(config, stage, which="last"):
    """The content of a run's checkpoint."""
    return load_checkpoint(run_folder(config) / "checkpoints" / f"{stage}_{which}.pth")


def differences(a, b, path=""):
    """Where two checkpoints differ, as a list of paths; times and the run's name may differ."""
    if torch.is_tensor(a):
        return [] if torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b) else [path]
    if isinstance(a, dict):
        keys = (a.keys() | b.keys()) - {"seconds", "name"}
        return sum((differences(a.get(key), b.get(key), f"{path}/{key}") for key in keys), [])
    if isinstance(a, (list, tuple)):
        same_length = [] if len(a) == len(b) else [path]
        return same_length + sum((differences(x, y, f"{path}/{n}") for n, (x, y) in enumerate(zip(a, b))), [])
    return [] if a == b else [f"{path}: {a!r} != {b!r}"]


def learn(loss, parameters, n, rate=4e-3):
    """n updates by Adam, its learning rate falling as a cosine; ``loss`` is called again each time.  All losses."""
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


# ---------------------------------------------------------------- the kit itself, and its notebooks

def copy_kit(folder, *parts):
    """Copy the top level's Python files and support/ into ``folder``, and ``parts``: folders, or patterns of files."""
    for pattern in ("*.py", "pyproject.toml", "support", *parts):
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, folder / path.name)
            else:
                shutil.copy(path, folder)


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


# ---------------------------------------------------------------- imresize in plain loops, from MATLAB's rules

def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def inside(k, n, edges):
    """The pixel (from 1) that stands for pixel k of a row of n."""
    if edges == "replicate":
        return min(max(k, 1), n)
    while not 1 <= k <= n:
        k = 1 - k if k < 1 else 2 * n + 1 - k
    return k


def in_order(numbers):
    """Their plain sum; Python's own sum() is compensated for rounding from 3.12 on, MATLAB's is not."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def loop_row(row, out_length, scale, kernel, support, edges):
    """One row of numbers, pixel by pixel."""
    shrink = min(scale, 1)
    result = []
    for x in range(1, out_length + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        reach = support / shrink
        taps = range(math.floor(u - reach) - 1, math.ceil(u + reach) + 2)
        weights = [kernel(shrink * (u - k)) for k in taps]
        values = [row[inside(k, len(row), edges) - 1] for k in taps]
        total = in_order(weights)
        result.append(in_order(w / total * v for w, v in zip(weights, values)))
    return result


def loop_resize(image, shape, scales, kernel=keys, support=2, edges="symmetric", order=None):
    """image (H, W): one dimension after the other, the smaller scale first, rows before columns on a tie."""
    eight_bits = image.dtype == np.uint8
    out = image.astype(float)
    for axis in order or ([1, 0] if scales[1] < scales[0] else [0, 1]):
        lines = out.T if axis == 0 else out
        out = np.array([loop_row(list(line), shape[axis], scales[axis], kernel, support, edges) for line in lines])
        if eight_bits:
            out = np.clip(np.floor(out + 0.5), 0, 255)
        out = out.T if axis == 0 else out
    return out

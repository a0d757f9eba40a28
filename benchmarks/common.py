"""What the parts of the speed table share: their rows, data and networks."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict

import datasets
from benchmarks.measure import write_pairs
from models import Discriminator, Generator, TruncatedVGG19
from support.convert import convert_image, to_float

# what is measured, its value, the unit, the lower bound (or None), how it came about
Row = namedtuple("Row", "what value unit bound note")
CROP = 96


def data_config(folder):
    return EasyDict(csv_folder=str(folder), crop_size=CROP, scaling_factor=4, patch_num=500, seed=0)


def pairs_folder(work):
    """Eight pairs of 2040 x 1356, made once for all parts."""
    folder = Path(work, "pairs")
    if not (folder / "train_images.csv").exists():
        write_pairs(folder)
    return folder


def check_same(values, tolerance=1e-5):
    """Both ways have computed the same numbers (relative to the larger of 1 and the number)."""
    ours, theirs = (np.atleast_1d(value) for value in values)
    error = float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)))
    if error > tolerance:
        raise AssertionError(f"The two ways differ: {ours} and {theirs}.")
    return error


def batch_of(folder, batch_size):
    """The first batch of the loader, as float tensors: LR in [0, 1], HR in [-1, 1]."""
    dataset = datasets.SRDataset("train", data_config(folder))
    lr, hr = (to_float(x).contiguous() for x in next(iter(datasets.make_loader(dataset, batch_size, n_batches=1))))
    return lr, convert_image(hr, "[0, 1]", "[-1, 1]")


def full_networks():
    torch.manual_seed(0)
    generator = Generator().start_as_interpolation()
    return generator, Discriminator(), TruncatedVGG19(5, 4, weights="random")


def operations(step):
    """Floating-point operations of a step."""
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()

"""What the parts of the speed table share: rows, sizes, data and networks."""

from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict

import datasets
from benchmarks.measure import side_by_side, write_pairs
from models import Discriminator, Generator, TruncatedVGG19
from support.convert import convert_image, to_float
from support.run import EpochProgress

# what is measured, its value, the unit, the lower bound (or None), how it was measured
Row = namedtuple("Row", "what value unit bound note")


@dataclass(frozen=True)
class Sizes:
    """How large the inputs of the parts are and how often they run; the defaults are those of the speed table.

    The tests run each part on tiny inputs: a part takes every size from here.
    """

    image: tuple = (1356, 2040)            # height and width of an HR image: those of DIV2K
    n_images: int = 8                      # pairs in the training list
    patch_num: int = 500                   # patches of each image in an epoch
    crop_size: int = 96
    batch_size: int = 16
    n_batches: tuple = (200, 2)            # batches loaded in one run: by the kit, by decoding
    srgan_batch_sizes: tuple = (4, 16)
    generator: dict = field(default_factory=dict)         # arguments other than the paper's
    discriminator: dict = field(default_factory=dict)
    vgg: tuple = (5, 4)                    # i and j
    a2n_blocks: tuple = (4, 16)
    a2n_side: int = 64                     # of the LR image
    pairs: int = 5                         # measured runs of each way
    step_pairs: int = 7                    # the same of the pre-training step, whose share of the machine is shown too
    matrices: tuple = (1024, 2048, 4096)   # sides of the matrix products that give the machine's rate
    seconds: float = 8                     # on a CUDA card: of a measurement of the plain loop
    updates: int = 200                     # on a CUDA card: of a measurement of the kit's loop
    apart: bool = True                     # each way in a process of its own


FULL = Sizes()


def text_of(height, width):
    return f"{width} x {height}"


def compare(ours, plain, sizes, **options):
    """``side_by_side`` with the repetitions of ``sizes``."""
    return side_by_side(ours, plain, **{"pairs": sizes.pairs, "apart": sizes.apart, **options})


def data_config(folder, sizes=FULL):
    return EasyDict(csv_folder=str(folder), crop_size=sizes.crop_size, scaling_factor=4, patch_num=sizes.patch_num,
                    seed=0)


def pairs_folder(work, sizes=FULL):
    """A folder with a training list, made once for all parts that share ``work``."""
    folder = Path(work, "pairs")
    if not (folder / "train_images.csv").exists():
        write_pairs(folder, sizes.n_images, *sizes.image)
    return folder


def check_same(values, tolerance=1e-5):
    """Both ways have computed the same numbers (relative to the larger of 1 and the number).

    Raises:
        AssertionError: if they have not.
    """
    ours, theirs = (np.atleast_1d(value) for value in values)
    error = float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)))
    if error > tolerance:
        raise AssertionError(f"The two ways differ: {ours} and {theirs}.")
    return error


def loader_of(folder, sizes, batch_size, n_batches=1, **options):
    """The kit's training loader of a folder made by ``pairs_folder``."""
    dataset = datasets.SRDataset("train", data_config(folder, sizes))
    return datasets.make_loader(dataset, batch_size, n_batches=n_batches, **options)


def batch_of(folder, sizes, batch_size):
    """The first batch of the loader, float tensors: LR (N, 3, c/4, c/4) in [0, 1], HR (N, 3, c, c) in [-1, 1]."""
    lr, hr = (to_float(x).contiguous() for x in next(iter(loader_of(folder, sizes, batch_size))))
    return lr, convert_image(hr, "[0, 1]", "[-1, 1]")


def full_networks(sizes=FULL):
    """(generator, discriminator, truncated VGG), always with the same weights; the paper's, if ``sizes`` is FULL."""
    torch.manual_seed(0)
    generator = Generator(**sizes.generator).start_as_interpolation()
    return generator, Discriminator(**sizes.discriminator), TruncatedVGG19(*sizes.vgg, weights="random")


def silent(precision, after_update=lambda *_: None):
    """Keywords of an epoch in the kit's loops: this arithmetic, and no line about the losses."""
    return {"progress": EpochProgress(precision=precision, after_update=after_update)}


def operations(step):
    """Floating-point operations of a step."""
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()

"""A signpost: the course's functions in one place, ``utils.psnr``, ``utils.load_generator``, ``utils.convert_image``.

Nothing is computed here.  Each import below names the module that holds a function; new code imports it from there.
"""

import math
import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from metrics import (
    LUMA,
    fullest_boxes,
    gradient_magnitude,
    gradients,
    psnr,
    squared_error,
    ssim,
    three_channels,
)
from support.checkpoints import CheckpointError, load_weights, read_weights
from support.convert import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SOURCES,
    TARGETS,
    convert_image,
    to_float,
    to_uint8,
)
from support.files import save_image
from support.images import TooManyBits, as_8_bit_array, open_image, read_image
from support.progress import StatusLine, in_notebook
from support.run import (
    AverageMeter,
    adjust_learning_rate,
    random_states,
    restore_random_states,
    seed_everything,
)

Line = StatusLine        # its name on older slides


def load_generator(path):
    """The generator in a checkpoint or weight file: see ``inference.load_generator``."""
    # Imported here and not at the top: inference imports models, and a student's models.py may import utils.
    from inference import load_generator
    return load_generator(path)


__all__ = [
    # images: files, value ranges, bytes
    "read_image", "open_image", "as_8_bit_array", "save_image", "TooManyBits",
    "convert_image", "to_uint8", "to_float", "SOURCES", "TARGETS", "IMAGENET_MEAN", "IMAGENET_STD",
    # the ruler
    "psnr", "ssim", "squared_error", "gradients", "gradient_magnitude", "fullest_boxes", "three_channels", "LUMA",
    # weights
    "load_generator", "load_weights", "read_weights", "CheckpointError",
    # training
    "AverageMeter", "adjust_learning_rate", "seed_everything", "random_states", "restore_random_states",
    # progress
    "StatusLine", "Line", "in_notebook",
    # Slides write ``from utils import *`` and then use np, torch, Image, ...
    "math", "random", "shutil", "sys", "time", "Path", "np", "torch", "Image", "ImageOps",
]

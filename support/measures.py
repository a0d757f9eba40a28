"""What PSNR cannot see: the perceptual measures of benchmark.csv, and which way is better."""

import importlib.util
from collections import namedtuple
from functools import lru_cache

import numpy as np
import torch

from metrics import grid, niqe, texture, three_channels
from support import vgg16
from support.convert import to_float
from support.naturalness import ImageTooSmall

# function: (sr, hr) -> float.  of_hr: whether HR has a score of its own to compare with (function(hr, hr)).
Measure = namedtuple("Measure", "title direction digits function of_hr")


def vgg16_distance(sr, hr):
    """Distance of two images by a learned VGG16 (``vgg16.distance``), 0 to 2: uint8 (H, W, 3) or (H, W) each.

    Blind spot: what the network was not trained on, such as faces and letters; it is also what a generator trained
    with this loss has learnt to please.

    Raises:
        FeaturesMissing: if the network is not installed.
    """
    with torch.inference_mode():
        return distance_of(sr, hr, _vgg16().stages)


def distance_of(sr, hr, stages):
    """``vgg16.distance`` of two arrays, as ``vgg16_distance``; stages: function (1, 3, H, W) -> feature maps."""
    first, second = (stages(as_batch(image)) for image in (sr, hr))
    return float(vgg16.distance(first, second))


def as_batch(image):
    """uint8 (H, W, 3) or (H, W) -> float tensor (1, 3, H, W) in [0, 1]."""
    array = np.array(three_channels(np.asarray(image)))
    return to_float(torch.from_numpy(array).permute(2, 0, 1)[None]).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def _vgg16():
    return vgg16.TruncatedVGG16().to(memory_format=torch.channels_last)


def lpips_distance(sr, hr):
    """LPIPS (Zhang et al. 2018) with AlexNet, by the package ``lpips``, on RGB; its two weight files are needed.

    Raises:
        ImageTooSmall: if AlexNet's strides and pools leave nothing of the image.
    """
    if min(hr.shape[:2]) < 31:
        raise ImageTooSmall(f"LPIPS needs 31 x 31 pixels; the image has {hr.shape[:2]}.")
    with torch.inference_mode():
        return float(_lpips()(2 * as_batch(sr) - 1, 2 * as_batch(hr) - 1))


@lru_cache(maxsize=1)
def _lpips():
    import lpips
    return lpips.LPIPS(net="alex", verbose=False).eval()


MEASURES = {
    "niqe": Measure("NIQE", "↓", 2, lambda sr, hr: niqe(sr), True),
    "vgg16": Measure("VGG16 distance", "↓", 4, vgg16_distance, False),
    "lpips": Measure("LPIPS", "↓", 4, lpips_distance, False),
    "texture": Measure("texture", "→ 1", 2, texture, False),
    "grid": Measure("grid", "↓", 2, grid, True)}


def available(names):
    """Which of these measures can be taken here.

    Returns:
        (list of names, dict name -> how to get it)

    Raises:
        ValueError: for a measure that does not exist.
    """
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise ValueError(f"config.measures: there is no measure {unknown[0]!r}; known: {', '.join(MEASURES)}.")
    missing = {}
    if "vgg16" in names and not vgg16.is_installed():
        missing["vgg16"] = vgg16.COMMAND
    if "lpips" in names and importlib.util.find_spec("lpips") is None:
        missing["lpips"] = "pip install --no-deps lpips"
    return [name for name in names if name not in missing], missing


def measured(sr, hr, names):
    """dict name -> value of each measure; NaN where an image is too small for it."""
    values = {}
    for name in names:
        try:
            values[name] = MEASURES[name].function(sr, hr)
        except ImageTooSmall:
            values[name] = float("nan")
    return values


def measured_of_hr(hr, names):
    """The same of HR itself, of the measures where that says something."""
    return measured(hr, hr, [name for name in names if MEASURES[name].of_hr])

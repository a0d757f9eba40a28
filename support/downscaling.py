"""Which tool has made an LR image: the LR of the usual tools, computed from HR, and compared with it.

Of 310 photographs (Set5, Set14 and 291 for training) each of these was told from all the others, on every image.
Agreement with imresize, in dB over them: its own and MATLAB's files (19 of them) to the last bit; Pillow's BICUBIC and
imresize in floating point 53.5 to 59; all others, as the median of a set, 23 to 44.
"""

import numpy as np
from PIL import Image

from imresize import imresize
from metrics import three_channels

RING = 2            # LR pixels at the border that depend on how a tool goes on beyond the edge
MOST = 120.0        # dB, said of images that are equal


def agreement(a, b):
    """PSNR in dB of two uint8 images of the same size, without the ring at the border; MOST where they are equal."""
    a, b = (three_channels(image)[RING:-RING, RING:-RING].astype(np.float64) for image in (a, b))
    error = np.mean((a - b) ** 2) if a.size else 0
    return min(MOST, float(10 * np.log10(255**2 / error))) if error else MOST


def _pillow(method):
    def shrink(hr, scale):
        height, width = (n // scale for n in hr.shape[:2])
        return np.array(Image.fromarray(hr).resize((width, height), method))
    return shrink


def _without_antialiasing(weights):
    """Only the pixels around the middle of each s x s square, whatever the scale: a new pixel lies between two old."""
    def shrink(hr, scale):
        out, reach = hr.astype(np.float64), len(weights) // 2
        for axis in (0, 1):
            padded = np.pad(out, [(reach, reach) if a == axis else (0, 0) for a in range(out.ndim)], mode="edge")
            first = scale // 2             # in the padded image; the middle lies at scale / 2 - 1/2 of the square
            taps = [np.take(padded, np.arange(first + k, first + k + out.shape[axis] - scale + 1, scale), axis)
                    for k in range(len(weights))]
            out = sum(weight * tap for weight, tap in zip(weights, taps))
        return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8)
    return shrink


def _in_floating_point(hr, scale):
    return np.clip(np.floor(imresize(hr.astype(np.float64), 1 / scale) + 0.5), 0, 255).astype(np.uint8)


# Name -> function (HR uint8, its sides divisible by the scale; scale) -> LR.
TOOLS = {
    "imresize in floating point, as some Python ports": _in_floating_point,
    "Pillow's resize, BICUBIC": _pillow(Image.Resampling.BICUBIC),
    "Pillow's resize, BILINEAR": _pillow(Image.Resampling.BILINEAR),
    "Pillow's resize, BOX (= OpenCV's INTER_AREA, mean pooling)": _pillow(Image.Resampling.BOX),
    "Pillow's resize, HAMMING": _pillow(Image.Resampling.HAMMING),
    "Pillow's resize, LANCZOS": _pillow(Image.Resampling.LANCZOS),
    "OpenCV's INTER_CUBIC or torch's bicubic, without antialiasing":        # Keys' kernel with a = -0.75, half way
        _without_antialiasing((-0.09375, 0.59375, 0.59375, -0.09375)),
    "OpenCV's INTER_LINEAR or torch's bilinear, without antialiasing": _without_antialiasing((0.5, 0.5)),
    "Pillow's NEAREST": lambda hr, scale: hr[scale // 2::scale, scale // 2::scale],
    "OpenCV's INTER_NEAREST, every s-th pixel": lambda hr, scale: hr[::scale, ::scale],
}


def likely_tool(pairs, scale):
    """The tool whose LR agree best with those of some pairs, and how well.

    Args:
        pairs: list of (HR, LR), uint8 arrays of fitting sizes, see support.lists.fit_pair.

    Returns:
        (name, agreement in dB): the median over the pairs.
    """
    medians = {name: float(np.median([agreement(shrink(hr, scale), lr) for hr, lr in pairs]))
               for name, shrink in TOOLS.items()}
    best = max(medians, key=medians.get)
    return best, medians[best]

"""Bicubic upscaling of tensors with the kernel of ``imresize``, differentiable and on any device.

SRDiff and other residual methods add the network's output to the upscaled LR.  torch's own
"bicubic" has another kernel (a = -0.75, where MATLAB and the data have -0.5) and other
borders: training with one and testing with the other adds the difference of the two to every
image.
"""

import functools

import numpy as np
import torch

from imresize import contributions


@functools.lru_cache(maxsize=64)
def _matrix(n, scale):
    """float32 (scale n, n): upscaling one dimension of n pixels as a matrix product; each row sums to 1."""
    weights, indices = contributions(n, scale * n, float(scale))               # (scale n, taps) each
    matrix = np.zeros((scale * n, n))
    # add.at and not +=: at a mirrored border one pixel comes twice in a row.
    np.add.at(matrix, (np.arange(scale * n)[:, None], indices), weights)
    with torch.inference_mode(False):        # cached: a tensor made in inference mode could not be used in training
        return torch.from_numpy(matrix).float()


def bicubic(images, scale):
    """(N, C, h, w) -> (N, C, scale h, scale w), any range; not clipped, not rounded.

    The values of ``imresize(image, scale)`` of a float image (the two differ by float32 rounding).

    Args:
        scale: a whole number.
    """
    rows, columns = (_matrix(n, scale).to(images.device) for n in images.shape[-2:])
    # Mixed precision would round pixels to 8 bits of mantissa, and residuals are small.
    with torch.autocast(images.device.type, enabled=False):
        return rows @ images.float() @ columns.T

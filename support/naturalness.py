"""NIQE, the natural image quality evaluator (Mittal, Soundararajan and Bovik 2013), on one luma plane.

It compares the statistics of a picture with those of natural photographs and needs no HR.  ``metrics.niqe`` is the
function to call.  "Section" and "equation" are those of "Making a 'Completely Blind' Image Quality Analyzer",
IEEE Signal Processing Letters 20(3).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import gamma

from imresize import imresize

### BEGIN SOLUTION
# Made by benchmarks/natural_scenes.py.
### END SOLUTION
PARAMETERS = Path(__file__).with_name("niqe_parameters.npz")
BLOCK = 96              # side of the blocks that are described one by one, in pixels


class ImageTooSmall(ValueError):
    """An image in which not enough blocks fit for a measure."""


def normalised(y):
    """Mean-subtracted, contrast-normalised coefficients (equation 1): float64 (H, W) -> (coefficients, deviation)."""
    window = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)       # 7 x 7, three standard deviations to each side
    window /= window.sum()

    def blurred(image):
        return correlate1d(correlate1d(image, window, 0, mode="nearest"), window, 1, mode="nearest")
    mean = blurred(y)
    deviation = np.sqrt(np.abs(blurred(y * y) - mean * mean))
    return (y - mean) / (deviation + 1), deviation


# ratio of the moments -> shape of a generalised Gaussian: equations 4 and 7 have no inverse in closed form
_SHAPES = np.arange(0.2, 10.001, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))        # rises with the shape


def asymmetric_gaussian(x):
    """Moment fit of an asymmetric generalised Gaussian (equation 5): values (N, K) of N blocks -> shape, left, right.

    left and right are its scales below and above zero, beta_l and beta_r; each of the three is (N,).
    """
    with np.errstate(divide="ignore", invalid="ignore"):            # a block without texture: NaN, left out later
        left = np.sqrt((x**2).sum(1, where=x < 0) / (x < 0).sum(1))
        right = np.sqrt((x**2).sum(1, where=x > 0) / (x > 0).sum(1))
        ratio = left / right
        moments = np.abs(x).mean(1) ** 2 / (x**2).mean(1)
        moments *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        shape = _SHAPES[np.abs(_RATIOS - np.nan_to_num(moments)[:, None]).argmin(1)]
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def block_features(coefficients, size):
    """The 18 features of each block of size x size (section 2.2): (H, W) -> (N, 18)."""
    rows, columns = (length // size for length in coefficients.shape)
    blocks = coefficients[:rows * size, :columns * size].reshape(rows, size, columns, size)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(-1, size, size)
    shape, left, right = asymmetric_gaussian(blocks.reshape(len(blocks), -1))
    features = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):                 # products of neighbours in four directions
        products = blocks * np.roll(blocks, shift, axis=(1, 2))
        shape, left, right = asymmetric_gaussian(products.reshape(len(blocks), -1))
        features += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]      # equation 8
    return np.stack(features, axis=1)


def features(y):
    """The features of every whole block of a luma plane: float64 (H, W) in [0, 255] -> (N, 36).

    Raises:
        ImageTooSmall: where not even one block of 96 x 96 fits.
    """
    rows, columns = (length // BLOCK for length in y.shape)
    if not rows * columns:
        raise ImageTooSmall(f"NIQE describes blocks of {BLOCK} x {BLOCK} pixels, and none fits into {y.shape}.")
    y = y[:rows * BLOCK, :columns * BLOCK]
    half = imresize(y, 0.5)
    return np.hstack([block_features(normalised(y)[0], BLOCK), block_features(normalised(half)[0], BLOCK // 2)])


def describe(y):
    """Mean (36,) and covariance (36, 36) of a plane's features.

    A block without texture has no shape: its numbers that are missing do not count in the mean, and the block not in
    the covariance.

    Raises:
        ImageTooSmall: where fewer than two blocks have texture.
    """
    found = features(y)
    found[~np.isfinite(found)] = np.nan
    whole = found[~np.isnan(found).any(1)]
    if len(whole) < 2:
        raise ImageTooSmall(f"NIQE needs two blocks of {BLOCK} x {BLOCK} pixels with texture in them.")
    return np.nanmean(found, axis=0), np.cov(whole, rowvar=False)


def describe_photographs(planes, sharpness=0.75):
    """The same of many natural photographs: only their sharp blocks count (section 2.1).

    Args:
        planes: an iterable of luma planes.
        sharpness: a block counts where its mean deviation is more than this part of the sharpest block's.

    Returns:
        (mean (36,), covariance (36, 36), number of blocks)
    """
    chosen = []
    for y in planes:
        rows, columns = (length // BLOCK for length in y.shape)
        if rows * columns:
            deviation = normalised(y[:rows * BLOCK, :columns * BLOCK])[1]
            sharp = deviation.reshape(rows, BLOCK, columns, BLOCK).mean((1, 3)).ravel()
            chosen.append(features(y)[sharp > sharpness * sharp.max()])
    chosen = np.concatenate(chosen)
    chosen = chosen[np.isfinite(chosen).all(1)]
    return chosen.mean(0), np.cov(chosen, rowvar=False), len(chosen)


@lru_cache(maxsize=2)
def read_parameters(path=PARAMETERS):
    """Mean (36,) and covariance (36, 36) of natural photographs, from a file of this module or of a public NIQE.

    Raises:
        ValueError: if the file holds neither.
    """
    with np.load(path) as file:
        for mean, covariance in (("mean", "covariance"), ("mu_pris_param", "cov_pris_param")):
            if mean in file and covariance in file:
                return file[mean].ravel(), file[covariance]
    raise ValueError(f"{path} holds no parameters of NIQE (mean and covariance of 36 features).")


def distance(y, parameters=None):
    """How far a luma plane's statistics are from those of natural photographs (equation 10); low is natural."""
    mean, covariance = parameters or read_parameters()
    own_mean, own_covariance = describe(y)
    difference = own_mean - mean
    return float(np.sqrt(difference @ np.linalg.pinv((own_covariance + covariance) / 2) @ difference))

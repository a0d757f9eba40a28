"""MATLAB's imresize, bit for bit, in numpy.

Every super-resolution paper of the DIV2K era makes its low-resolution images
with MATLAB's ``imresize(hr, 1/4)``.  Other tools differ: Pillow's bicubic in its
borders and rounding only, others in the kernel or because they do not
antialias.  ``test.ipynb`` measures what such LR images do to the scores.

How MATLAB does it:

1. The cubic kernel of Keys (1981, "Cubic convolution interpolation for digital
   image processing"), a = -0.5.
2. When the image shrinks, the kernel is stretched by 1/scale, so that it also
   removes the frequencies that the small image cannot hold (antialiasing).
3. The weights of each output pixel are divided by their sum.
4. One dimension after the other, in order of increasing scale.  An 8-bit image
   is rounded and clipped to 8 bits after *each* dimension.
"""

import math

import numpy as np


def cubic(x):
    """Keys' cubic kernel with a = -0.5, support [-2, 2] (Keys 1981, eq. 15)."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1            # |x| <= 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2   # 1 < |x| <= 2
    return inner * (x <= 1) + outer * ((x > 1) & (x <= 2))


def triangle(x):
    """The linear kernel, support [-1, 1]."""
    return np.maximum(1 - np.abs(x), 0)


KERNELS = {"bicubic": (cubic, 4.0), "bilinear": (triangle, 2.0)}  # kernel, support width


def contributions(in_length, out_length, scale, method="bicubic", edges="symmetric"):
    """Which input pixels make each output pixel of one dimension, and how much of each.

    Returns ``(weights, indices)``, both of shape (out_length, taps): output row
    ``o`` is ``sum_k weights[o, k] * row[indices[o, k]]``.
    """
    kernel, width = KERNELS[method]
    stretch = min(scale, 1.0)              # below 1 the kernel gets wider: antialiasing
    width = width / stretch

    # Pixel centres: output pixel x (counted from 1, as in MATLAB) lies at input coordinate u.
    x = np.arange(1, out_length + 1, dtype=np.float64)
    u = x / scale + 0.5 * (1 - 1 / scale)

    first = np.floor(u - width / 2)
    taps = math.ceil(width) + 2
    indices = first[:, None] + np.arange(taps)                # (out, taps), counted from 1
    weights = stretch * kernel(stretch * (u[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)

    indices = indices.astype(np.int64) - 1                    # counted from 0
    if edges == "symmetric":      # ... c b a | a b c ... x y z | z y x ...
        mirror = np.concatenate([np.arange(in_length), np.arange(in_length)[::-1]])
        indices = mirror[np.mod(indices, 2 * in_length)]
    else:                         # "replicate": ... a a a | a b c ... x y z | z z z ...
        indices = np.clip(indices, 0, in_length - 1)

    used = np.any(weights != 0, axis=0)    # columns that are zero for every pixel only cost time
    return weights[:, used], indices[:, used]


def _exact_dtype(weights):
    """The smallest float type in which sums of ``weights`` x 8-bit values are exact in any order, or None.

    The weights of 2, 4, 8, 1/2, 1/4 and 1/8 are multiples of a power of two, so every product and sum is
    one too, and none is rounded where the type has the bits.  Other weights, such as those of 1/3, are
    rounded themselves, and then the order of the sum can decide whether an exact half goes up.
    """
    for dtype, bits in (np.float32, 24), (np.float64, 53):
        unit = 2.0**(9 - bits)       # sums stay below 2^9: the |weights| of a pixel add up to less than 2
        if np.all(weights % unit == 0):
            return dtype
    return None


def _bands(weights, indices, dtype, block=12):
    """The same weights as dense matrices, one for each ``block`` output rows.

    Returns a list of ``(first, low, high, band)``: output rows ``first`` to ``first + block``
    are ``band @ rows[low:high]``; ``band`` has the shape (block, high - low).
    """
    bands = []
    for first in range(0, len(indices), block):
        taps, values = indices[first:first + block], weights[first:first + block]
        low, high = taps.min(), taps.max() + 1
        # bincount adds up the taps that fall on one input pixel, as several do where an edge is mirrored or repeated.
        places = np.arange(len(taps))[:, None] * (high - low) + taps - low
        band = np.bincount(places.ravel(), values.ravel(), len(taps) * (high - low))
        bands.append((first, low, high, band.reshape(len(taps), -1).astype(dtype)))
    return bands


def _resize_rows(image, weights, indices, result):
    """One dimension: rows of ``image`` (sheets, n, m) -> ``result`` (sheets, out, m) of the same dtype."""
    dtype = _exact_dtype(weights) if image.dtype == np.uint8 else None
    bands = _bands(weights, indices, dtype) if dtype else []
    # Strip by strip: float sums of a whole photograph would take many times the result's memory, and those of a
    # strip stay in the processor's cache.  A product of at most 2^18 steps is too small for BLAS to start
    # threads, which on a busy machine wait for each other a hundred times longer than the product takes.
    width = max(1, 2**19 // max([image.shape[1], len(indices)] + [2 * band.size for *_, band in bands]))
    for rows, target in zip(image, result):
        for left in range(0, rows.shape[1], width):
            strip = rows[:, left:left + width]
            sums = _banded(strip.astype(dtype), bands, len(indices)) if bands else _tap_by_tap(strip, weights, indices)
            if image.dtype == np.uint8:
                # MATLAB rounds halves up; numpy's round() takes them to the even neighbour.
                np.clip(sums, 0, 255, out=sums)
                sums += 0.5                       # on the way to uint8 the fraction is dropped
            target[:, left:left + width] = sums


def _banded(strip, bands, out_length):
    """Where the order of the sums does not matter: (n, m) -> (out, m)."""
    sums = np.empty_like(strip, shape=(out_length, strip.shape[1]))
    for first, low, high, band in bands:
        np.matmul(band, strip[low:high], out=sums[first:first + len(band)])
    return sums


def _tap_by_tap(strip, weights, indices):
    """Where it does: one tap after the other, (n, m) -> (out, m), the same on every machine."""
    strip = strip.astype(np.float64, order="C")
    sums = np.zeros((len(indices), strip.shape[1]))
    for k in range(weights.shape[1]):
        sums += weights[:, k, None] * strip[indices[:, k]]
    return sums


def imresize(image, scalar_scale=None, output_shape=None, method="bicubic", edges="symmetric"):
    """Resize an image exactly as MATLAB's ``imresize`` does.

    Args:
        image: uint8 or float array, (H, W) or (H, W, C).  A float image keeps its
            range and is not clipped: bicubic may go a little above and below it.
        scalar_scale: the factor for both dimensions (0.25 makes it four times
            smaller; the size is rounded up, as in MATLAB), or
        output_shape: (height, width) of the result.
        method: ``"bicubic"`` or ``"bilinear"``.
        edges: ``"symmetric"`` mirrors at the border (MATLAB today), ``"replicate"``
            repeats the outermost pixel (older MATLAB, which made the LR images of
            Set5 and Set14).  The two differ in an outer ring of two LR pixels only.

    Returns:
        Array of the same dtype, (H', W') or (H', W', C).

    Raises:
        ValueError: for both or neither of scale and shape, a scale that is not
            positive, an image that is not (H, W) or (H, W, C), or an unknown
            method or edge rule.
        TypeError: for a dtype other than uint8 and the floats.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"imresize takes an image (H, W) or (H, W, C), not an array of shape {image.shape}.")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"imresize takes uint8 or float images, not {image.dtype}. "
                        "Convert first: an integer image has no agreed range.")
    if (scalar_scale is None) == (output_shape is None):
        raise ValueError("Give imresize either scalar_scale (such as 0.25) or output_shape (height, width).")
    if method not in KERNELS:
        raise ValueError(f"Unknown method {method!r}; choose one of {', '.join(KERNELS)}.")
    if edges not in ("symmetric", "replicate"):
        raise ValueError(f"Unknown edges {edges!r}; choose 'symmetric' or 'replicate'.")

    if output_shape is None:
        if not 0 < scalar_scale < math.inf:
            raise ValueError(f"scalar_scale must be a positive number, not {scalar_scale}.")
        scales = [float(scalar_scale)] * 2
        output_shape = [math.ceil(scalar_scale * n) for n in image.shape[:2]]
    else:
        output_shape = [int(n) for n in output_shape]
        if len(output_shape) != 2 or min(output_shape) < 1:
            raise ValueError(f"output_shape is (height, width), at least 1 x 1, not {tuple(output_shape)}.")
        scales = [out / n for out, n in zip(output_shape, image.shape[:2])]

    out = image.reshape(*image.shape[:2], -1)         # (H, W, C)
    for axis in np.argsort(scales, kind="stable"):    # the smaller scale first; rows first on a tie
        weights, indices = contributions(out.shape[axis], output_shape[axis], scales[axis], method, edges)
        shape = list(out.shape)
        shape[axis] = output_shape[axis]
        result = np.empty(shape, image.dtype)
        if axis == 0:      # whole rows, (1, H, W * C)
            _resize_rows(out.reshape(1, len(out), -1), weights, indices, result.reshape(1, len(result), -1))
        else:              # each channel's columns, (C, W, H): views, no pixel is moved
            _resize_rows(out.T, weights, indices, result.T)
        out = result
    return out.reshape(out.shape[:2] + image.shape[2:])

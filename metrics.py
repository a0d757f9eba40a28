"""The ruler: PSNR and SSIM by the protocol of the papers, what they cannot see, and where in an image the detail is."""

import numpy as np

from support import naturalness
from support.gaussian import STRIP, gaussian_means

LUMA = (65.481, 128.553, 24.966)      # ITU-R BT.601: Y = 16 + (65.481 R + 128.553 G + 24.966 B), RGB in [0, 1]
GREY = ("values", "colour")           # the two ways to compare a grey HR, see ``psnr``
SMALLEST = 11 + 2 * 4                 # side of the smallest image that can be measured: SSIM's window and the borders


def three_channels(image):
    """Grey (H, W) -> three equal channels (H, W, 3); a colour image stays as it is."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def luma(image):
    """Y of an 8-bit image: (H, W, 3) -> (H, W) float64 in [16, 235]; grey (H, W) keeps its values.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.  Pillow's ``convert("L")`` is another
    formula (full range, rounded) and moves the PSNR by 1.3 dB.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"PSNR and SSIM are measured on uint8 arrays (H, W, 3) or (H, W), "
                         f"not {image.dtype} {image.shape}.")
    if image.ndim == 2:
        return image.astype(np.float64)
    weights, y = np.array(LUMA) / 255, np.empty(image.shape[:2])
    for top in range(0, len(y), 16):       # in strips: all of the picture in float64 would not fit into the cache
        y[top:top + 16] = 16 + image[top:top + 16].astype(np.float64) @ weights
    return y


def _compared(sr, hr, crop, grey):
    """Both images as the protocol compares them: luma in float64, border cut off."""
    if grey not in GREY:
        raise ValueError(f'grey={grey!r} is unknown. Write "values" to compare a grey HR on its grey values, or '
                         '"colour" to put it through the colour formula as three equal channels.')
    sr, hr = np.asarray(sr), np.asarray(hr)
    if sr.shape[:2] != hr.shape[:2]:
        raise ValueError(f"SR and HR differ in size: {sr.shape[:2]} and {hr.shape[:2]} (height, width).")
    if min(hr.shape[:2]) <= 2 * crop:
        raise ValueError(f"An image of {hr.shape[:2]} has nothing left when {crop} pixels are cut off every side.")
    if hr.ndim == 2 and grey == "values":
        y_sr, y_hr = luma(sr), luma(hr)                  # checks dtype and shape
        if sr.ndim == 3:
            y_sr = sr.mean(axis=2)
    else:                                                # where HR is a colour image, there is one way only
        y_sr, y_hr = luma(three_channels(sr)), luma(three_channels(hr))
    inside = np.s_[crop:hr.shape[0] - crop, crop:hr.shape[1] - crop]
    return y_sr[inside], y_hr[inside]


def squared_error(sr, hr, crop=4, grey="values"):
    """(Y_SR - Y_HR)^2 at each pixel that is left, float64; arguments and errors as in ``psnr``."""
    y_sr, y_hr = _compared(sr, hr, crop, grey)
    error = y_sr - y_hr
    error *= error        # in place: to fetch new memory takes longer than the product
    return error


def psnr(sr, hr, crop=4, grey="values"):
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / MSE), on luma, without the border.

    Args:
        sr, hr: uint8 arrays of equal size, (H, W, 3) or (H, W).
        crop: pixels cut off every side (the scaling factor, by custom).
        grey: how a grey HR is compared (Set14 has one, "bridge"); no effect where HR is a colour image.
            "values": its grey values with the mean of SR's channels, as evaluations in MATLAB do (the bicubic row
            of the papers, VDSR, SRGAN).
            "colour": as three equal channels, through the formula of ``luma``, as evaluations in PyTorch do (EDSR,
            IMDN, PAN, A2N).  The same image gains 1.32 dB, for it has 219 levels then and not 255.

    Raises:
        ValueError: for other dtypes or shapes, sizes that differ, or an unknown ``grey``.
    """
    mse = squared_error(sr, hr, crop, grey).mean()
    return float(10 * np.log10(255**2 / mse)) if mse > 0 else float("inf")


def ssim(sr, hr, crop=4, grey="values"):
    """Structural similarity (Wang et al. 2004), on luma, without the border, averaged over the image.

        SSIM = (2 mu_x mu_y + c1) (2 cov_xy + c2) / ((mu_x^2 + mu_y^2 + c1) (var_x + var_y + c2))     (equation 13)

    Means, variances and covariance are taken under a Gaussian window of 11 x 11 pixels, sigma 1.5, where it lies
    wholly inside; c1 = (0.01 L)^2 and c2 = (0.03 L)^2 with L = 255.  Arguments and errors as in ``psnr``.
    """
    x, y = _compared(sr, hr, crop, grey)
    if min(x.shape) < 11:
        raise ValueError(f"SSIM's window is 11 x 11; what is left of the image is {x.shape}.")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total = 0.0
    for top in range(0, len(x) - 10, STRIP):
        a, b = x[top:top + STRIP + 10], y[top:top + STRIP + 10]
        # Four means and not five: equation 13 needs only the sum of the two variances.
        mu_x, mu_y, squares, products = gaussian_means(np.stack([a, b, a * a + b * b, a * b]))
        mu_xy, mu_squares = mu_x * mu_y, mu_x**2 + mu_y**2
        variances = squares - mu_squares                           # var_x + var_y
        cov = products - mu_xy
        index = (2 * mu_xy + c1) * (2 * cov + c2) / ((mu_squares + c1) * (variances + c2))
        total += index.sum()
    return float(total / ((x.shape[0] - 10) * (x.shape[1] - 10)))


def gradients(image):
    """Length of the luma gradient at each pixel: uint8 (H, W, 3) or (H, W) -> float64 (H, W)."""
    # A grey file counts as three equal channels: HR and the network's RGB picture are measured on one scale.
    y = luma(three_channels(np.asarray(image)))
    wide_enough = np.pad(y, [(0, int(length == 1)) for length in y.shape], "edge")       # one pixel has no gradient
    gy, gx = np.gradient(wide_enough)
    return np.hypot(gy, gx)[:y.shape[0], :y.shape[1]]


def gradient_magnitude(image):
    """Mean length of the luma gradient, in grey levels a pixel: how much texture a picture has."""
    return float(gradients(image).mean())


def texture(sr, hr):
    """How much texture SR has, compared with HR: the ratio of their mean gradients; 1 is as much.

    Blind spot: it does not ask whether the texture is the right one.  Noise, a grid and ringing count too.

    Args:
        sr, hr: uint8 arrays of equal size, (H, W, 3) or (H, W).
    """
    return gradient_magnitude(sr) / max(gradient_magnitude(hr), 1e-9)


def grid(sr, hr, scale=4, size=32, flattest=0.1):
    """Strength of a regular grid in the flat parts of an image, in grey levels: the lower, the better.

    Sub-pixel convolution fills squares of scale x scale pixels, each position with weights of its own.  Where a
    photograph is flat, all positions must have the same mean; the score is the standard deviation of these means
    (over the ``flattest`` part of the blocks of size x size, the ones where HR varies least).  From about 0.5 on,
    people see dots or lines.  Blind spot: a grid that changes its sign from block to block, and all texture.

    Args:
        sr, hr: uint8 arrays of equal size, (H, W, 3) or (H, W), with sides of at least ``size``.
    """
    y, reference = (luma(three_channels(np.asarray(image))) for image in (sr, hr))
    if min(y.shape) < size:
        raise naturalness.ImageTooSmall(f"The grid is measured in blocks of {size} x {size}; the image has {y.shape}.")
    rows, columns = (length // size for length in y.shape)

    def blocks(plane):
        squares = plane[:rows * size, :columns * size].reshape(rows, size, columns, size)
        return squares.swapaxes(1, 2).reshape(-1, size, size)
    flat = blocks(reference).std((1, 2)).argsort(kind="stable")[:max(1, int(flattest * rows * columns))]
    means = blocks(y)[flat].reshape(-1, size // scale, scale, size // scale, scale).mean((1, 3))    # (N, scale, scale)
    return float(means.mean(0).std())


def niqe(image, crop=4):
    """Natural image quality evaluator (Mittal et al. 2013): how natural an image's fine structure is; low is natural.

    It needs no HR: the statistics of the image's pixels are compared with those of photographs (support/naturalness.py
    has the equations).  On luma, ``crop`` pixels cut off every side.  Blind spot: it does not know what the image
    shows.  Well-made texture in the wrong place scores well, and an HR that is smooth by nature scores badly.

    Args:
        image: uint8 array (H, W, 3) or (H, W).

    Raises:
        ImageTooSmall: where fewer than two blocks of 96 x 96 pixels fit (a ValueError).
    """
    y = luma(three_channels(np.asarray(image)))
    return naturalness.distance(y[crop:y.shape[0] - crop, crop:y.shape[1] - crop])


def fullest_boxes(values, size, n=1, step=1):
    """The n squares with the largest sums that do not overlap.

    Args:
        values: float array (H, W), such as the detail or the error at each pixel.
        size: side of the squares, in pixels.
        step: only squares whose corner lies on a grid of so many pixels.

    Returns:
        list of (top, left, mean value inside); fewer than n where there is no room.
    """
    size = min(size, *values.shape)
    return [(top, left, total / size**2) for top, left, total in
            _highest_apart(_box_sums(values, size, step), size, n, step)]


def gain_boxes(error, reference, detail, size, n=1, step=1, worst=False):
    """The n squares in which most of a reference's error is gone, or least; they do not overlap.

    What counts is the part that is gone, (reference - error) / reference, and not the amount: a flat square has
    hardly an error that could go, a black edge against white much of it by any method.  Only the third of the squares
    that has most detail takes part.

    Args:
        error, reference: squared errors of a method and of bicubic interpolation, float arrays (H, W).
        detail: gradients of HR, float array (H, W); capped, one strong edge does not stand for texture.
        worst: whether to take the squares in which least is gone.
        size, step: as in ``fullest_boxes``.

    Returns:
        list of (top, left, part that is gone): 1 is all of it, below 0 there is more error than before; fewer than n
        where there is no room.
    """
    size = min(size, *error.shape)
    errors, references, details = (_box_sums(values, size, step) for values in (error, reference, detail))
    gain = (references - errors) / np.maximum(references, 1e-9)
    gain = np.where((details >= np.quantile(details, 2 / 3)) & (references > 0), -gain if worst else gain, -np.inf)
    return [(top, left, -value if worst else value) for top, left, value in _highest_apart(gain, size, n, step)]


def _box_sums(values, size, step):
    """Sums of all squares of size x size whose corner lies on a grid of ``step`` pixels: float array."""
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))       # sums of all rectangles from the top left
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    return sums[::step, ::step]


def _highest_apart(scores, size, n, step):
    """The n squares with the highest finite scores that do not overlap: list of (top, left, score)."""
    scores = scores.copy()
    T, L = np.meshgrid(*(step * np.arange(length) for length in scores.shape), indexing="ij")
    boxes = []
    while len(boxes) < n and np.isfinite(scores).any():
        k = np.unravel_index(scores.argmax(), scores.shape)
        boxes.append((int(T[k]), int(L[k]), float(scores[k])))
        scores[(abs(T - T[k]) < size) & (abs(L - L[k]) < size)] = -np.inf
    return boxes

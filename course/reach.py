"""Does a result hold more of HR than any x4 network can know?  HR under noise, blur, JPEG, other colours, or mixed in.

PSNR does not tell: HR that is ten grey levels brighter has 28 dB.  So HR's luma is fitted, by least squares, from what
is known to everybody (bicubic and the results of the kit's networks) and from the result in question: a small filter
undoes a blur or a shift, three channels undo other colours, and the known results are taken off a mixture.  What an
honest network adds to the known ones is little, for LR says no more.  What holds HR gives HR back.
"""

import math

import numpy as np

RADIUS = 2               # of the filter on the result, in pixels; on the known ones 1
BORDER = 8               # pixels that are left out, at each side
STRIP = 64               # rows at a time: a baby of 512 x 512 with 90 columns would be 200 MB
# Networks ever published gain about as much on the kit's as those gain on bicubic (on Set5 33.4, 31.4 and 28.4 dB).
MARGIN = 2.0             # dB beyond that


def beyond_reach(picture, references):
    """What is wrong with a result that holds detail which LR does not determine; "" if nothing is.

    Args:
        picture: uint8 (H, W, 3).
        references: of this image: dict kind -> uint8 (H, W, 3), with "HR", "bicubic" and "the kit's ..." (several).
    """
    known = [luma(image) for kind, image in references.items() if kind == "bicubic" or kind.startswith("the kit's")]
    if len(known) < 2:
        return ""                        # nothing to compare with
    hr, bicubic = luma(references["HR"]), luma(references["bicubic"])
    of_known = fitted_psnr(hr, shifted(known, 1))
    limit = of_known + max(0.0, of_known - fitted_psnr(hr, [bicubic])) + MARGIN
    colours = [picture[..., 0].astype(float), picture[..., 2].astype(float), luma(picture) ** 2]
    found = fitted_psnr(hr, shifted(known, 1) + shifted([luma(picture)], RADIUS) + colours)
    return f"HR follows from it with {found:.1f} dB; from results of x4 networks with at most {limit:.1f} dB" \
        if found > limit else ""


def luma(image):
    """Y of a uint8 image (H, W, 3): float (H, W)."""
    return 16 + image.astype(float) @ [65.481 / 255, 128.553 / 255, 24.966 / 255]


def shifted(images, radius):
    """Each image (H, W), moved by up to ``radius`` pixels in every direction: views, which need no memory."""
    steps = range(2 * radius + 1)
    padded = [(image.shape, np.pad(image, radius)) for image in images]
    return [image[i:i + height, j:j + width]
            for (height, width), image in padded for i in steps for j in steps]


def fitted_psnr(wanted, columns):
    """PSNR of the sum of ``columns`` and a constant, (H, W) each, with the weights that come nearest to ``wanted``."""
    inside = [image[BORDER:-BORDER, BORDER:-BORDER] for image in (*columns, np.ones_like(wanted), wanted)]
    scale = np.array([max(image.std(), 1e-6 * 255) for image in inside[:-2]] + [1.0, 1.0])
    middle = np.array([image.mean() for image in inside[:-2]] + [0.0, 0.0])
    products = 0
    for top in range(0, len(inside[0]), STRIP):
        rows = np.stack([image[top:top + STRIP].ravel() for image in inside], axis=1)
        rows = (rows - middle) / scale
        products = products + rows.T @ rows
    n = len(products) - 1
    # A little of the diagonal: neighbouring pixels are almost equal, and 8 bits carry no more.
    weights = np.linalg.solve(products[:n, :n] + 1e-9 * np.trace(products) * np.eye(n), products[:n, n])
    error = products[n, n] - 2 * weights @ products[:n, n] + weights @ products[:n, :n] @ weights
    return 10 * math.log10(255 ** 2 / max(error / inside[0].size, 1e-6))

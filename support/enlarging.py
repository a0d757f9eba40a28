"""A network in use: upscaling an image of any size tile by tile, measuring a test set."""

import math
from pathlib import Path

import numpy as np
import torch

from metrics import GREY, psnr, ssim
from support.convert import convert_image, to_float, to_uint8
from support.files import save_image
from support.layers import folded

MEMORY = 2**29      # bytes for feature maps


def super_resolve(model, lr, memory=MEMORY, self_ensemble=False, progress=None):
    """Upscale one image: uint8 array (h, w, 3) -> uint8 array (s h, s w, 3).

    The trunk runs on the whole image where that fits into ``memory``, otherwise on tiles; the
    much larger feature maps of the tail are always made tile by tile.  A tile is cut with a
    margin as wide as the receptive field reaches, so the result is that of the whole image.
    BatchNorm is folded into the convolutions.  The model itself is not changed.

    Args:
        model: a generator, on any device; it is used in eval mode.
        lr: the image.  A grey one goes in as three equal channels (``utils.three_channels``), and comes out so: a
            network, above all an adversarially trained one, would give it coloured edges.
        memory: bytes for the network's feature maps; image and result are not counted.
        self_ensemble: the mean over the eight flips and rotations of the image (Timofte et
            al. 2016, arXiv 1511.02228): eight times the work, a slightly higher PSNR.
        progress: function that is given a line of text after each tile.

    Raises:
        ValueError: for another dtype or shape, or where ``memory`` is too small for a single tile.
    """
    if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3:
        raise ValueError(f"super_resolve takes a uint8 array (h, w, 3), not {lr.dtype} {lr.shape}.")
    network = folded(model).to(memory_format=torch.channels_last)
    x = torch.from_numpy(np.array(lr)).permute(2, 0, 1)[None]      # (1, 3, h, w) uint8
    passes, done = 8 if self_ensemble else 1, 0
    is_grey = bool((lr == lr[..., :1]).all())

    def finish(sr):                         # float (1, 3, H, W) in [-1, 1] -> uint8
        return as_8_bit(sr.mean(1, keepdim=True).expand_as(sr) if is_grey else sr)

    def report(n_pixels):
        nonlocal done
        done += n_pixels
        if progress:
            progress(f"Upscaling {lr.shape[1]} x {lr.shape[0]}: {done / (passes * lr.shape[0] * lr.shape[1]):.0%}")

    with torch.inference_mode():
        if self_ensemble:      # the mean is taken before rounding to 8 bits
            sr = finish(sum(_turned_back(_upscale(network, _turned(x, turn), memory, report, torch.Tensor.cpu), turn)
                               for turn in range(8)) / 8)
        else:
            sr = _upscale(network, x, memory, report, finish)
    return sr[0].permute(1, 2, 0).contiguous().numpy()


def _upscale(network, x, memory, report, finish):
    """uint8 (1, 3, h, w) -> (1, 3, s h, s w), where ``finish`` has been applied to each tile of SR.

    ``report`` is called with the number of LR pixels of each tile that is done.
    """
    device, (h, w) = next(network.parameters()).device, x.shape[-2:]
    if not hasattr(network, "receptive_margin"):          # some other network, whose receptive field is not known
        return finish(network(to_float(x.to(device))))
    s, result = network.scaling_factor, None
    trunk_margin, tail_margin = network.receptive_margin()
    trunk_bytes, tail_bytes = network.bytes_per_pixel()
    whole = h * w * trunk_bytes <= memory
    outer_side = max(h, w) if whole else _side(memory, trunk_bytes, trunk_margin + tail_margin)
    # An eighth for the tail: its margin is narrow, so that small tiles cost little, and they fit into the cache.
    inner_side = _side(memory / 8, tail_bytes, tail_margin)
    for outer in tiles((0, h, 0, w), outer_side):
        seen = grown(outer, trunk_margin + tail_margin, h, w)
        features = network.trunk(to_float(cut_out(x, seen).to(device)))                   # (1, C, ...)
        for inner in tiles(outer, inner_side):
            cut = grown(inner, tail_margin, h, w)
            sr = finish(network.tail(cut_out(features, cut, origin=seen)))                # (1, 3, ...)
            if result is None:
                result = sr.new_empty((1, h * s, w * s, 3)).permute(0, 3, 1, 2)        # channels_last order
            cut_out(result, inner, scale=s).copy_(cut_out(sr, inner, origin=cut, scale=s))
            report((inner[1] - inner[0]) * (inner[3] - inner[2]))
    return result


# A box is (top, bottom, left, right), in pixels of the whole LR image.

def _side(memory, bytes_per_pixel, margin):
    """The side of a square tile whose feature maps fit into ``memory`` together with its margin."""
    side = math.isqrt(int(memory / bytes_per_pixel)) - 2 * margin
    if side < 8:
        raise ValueError("memory is too small for this network: a tile of 8 x 8 pixels with its margin takes "
                         f"{(8 + 2 * margin)**2 * bytes_per_pixel / 1e6:.1f} MB (for the tail, an eighth of memory).")
    return side


def tiles(box, side):
    """Boxes no larger than ``side``, all about equal, that fill a box."""
    def ends(first, last):
        n = -(-(last - first) // side)
        return [first + (last - first) * k // n for k in range(n + 1)]
    rows, columns = ends(*box[:2]), ends(*box[2:])
    return [(top, bottom, left, right) for top, bottom in zip(rows, rows[1:])
            for left, right in zip(columns, columns[1:])]


def grown(box, margin, h, w):
    """The box with a margin, cut off at the borders of the image."""
    top, bottom, left, right = box
    return max(top - margin, 0), min(bottom + margin, h), max(left - margin, 0), min(right + margin, w)


def cut_out(x, box, origin=(0, 0, 0, 0), scale=1):
    """The part of x (..., H, W) inside a box; the first pixel of x is that of the box ``origin``."""
    top, bottom, left, right = box
    y, x0 = origin[0], origin[2]
    return x[..., scale * (top - y):scale * (bottom - y), scale * (left - x0):scale * (right - x0)]


def as_8_bit(sr):
    """Float tensor in [-1, 1] on any device -> uint8 tensor of the same shape on the CPU."""
    return to_uint8(convert_image(sr, "[-1, 1]", "[0, 1]")).cpu()


def _turned(x, turn):
    """One of the eight flips and rotations (0 to 7) of images (..., H, W)."""
    flips = [axis for bit, axis in ((1, -2), (2, -1)) if turn & bit]
    x = x.flip(flips)
    return x.transpose(-2, -1) if turn & 4 else x


def _turned_back(x, turn):
    """The inverse of ``_turned``."""
    if turn & 4:
        x = x.transpose(-2, -1)
    return x.flip([axis for bit, axis in ((1, -2), (2, -1)) if turn & bit])


def evaluate(upscale, dataset, n_images=None, results=None, also=None, by_colour=False):
    """PSNR and SSIM of each image of a test set, by the protocol of metrics.psnr.

    Args:
        upscale: function uint8 (h, w, 3) -> uint8 (s h, s w, 3), such as
            ``lambda lr: super_resolve(model, lr)``.
        dataset: an SRDataset of whole pairs.
        n_images: only the first n.
        results: folder for the upscaled images, ``<image>.png``; None keeps none.
        also: function (sr, hr) -> anything, measured too.
        by_colour: measure a grey HR in both ways, see ``grey`` of metrics.psnr.

    Returns:
        list of (name, psnr in dB, ssim), for each image; then what ``also`` gave, where there is one; then, of
        ``by_colour``, the pair (psnr, ssim) with grey="colour", which is the same one for a colour HR.
    """
    rows = []
    for i in range(min(len(dataset), n_images or len(dataset))):
        lr, hr = dataset.pair(i)
        sr = upscale(lr)
        if results is not None:
            save_image(Path(results, dataset.names[i] + ".png"), sr)
        scores = psnr(sr, hr), ssim(sr, hr)
        row = [dataset.names[i], *scores]
        if also is not None:
            row.append(also(sr, hr))
        if by_colour:                      # only a grey HR has to be measured again
            row.append(scores if hr.ndim == 3 else (psnr(sr, hr, grey="colour"), ssim(sr, hr, grey="colour")))
        rows.append(tuple(row))
    return rows


def mean_of(rows, grey="values"):
    """(psnr in dB, ssim) averaged over the rows of ``evaluate``.

    Args:
        grey: as in metrics.psnr; "colour" takes rows that ``evaluate`` made with by_colour=True.

    Raises:
        ValueError: if the rows were not measured in this way, or there is no such way.
    """
    if grey not in GREY:
        raise ValueError(f"grey={grey!r} is unknown; known: {', '.join(GREY)}.")
    if grey == "colour" and not all(isinstance(row[-1], tuple) for row in rows):
        raise ValueError("These rows have no scores by the colour formula: evaluate(..., by_colour=True) gives them.")
    pairs = [row[1:3] if grey == "values" else row[-1] for row in rows]
    return tuple(float(np.mean([pair[k] for pair in pairs])) for k in (0, 1))

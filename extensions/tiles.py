"""Large pictures in squares that overlap and fade into each other, for networks of which nothing is known."""

import math

import torch


def by_tiles(function, side, step, *images, together=2**18):
    """A function of images (N, C, H, W) -> (N, C', H, W), applied to tiles that overlap, and blended.

    Neighbours overlap by a quarter and fade into each other, so that no border is seen, whatever the
    network makes of what it does not see.  Images of no more than side x side pixels are taken whole.

    Args:
        side: the largest height and width of a tile.  They are chosen as even as possible, all of one size.
        step: H and W, the tiles' sides and the places where they begin are multiples of it.
        images: one or more tensors of equal N, H and W.
        together: pixels that are computed at once (but one tile at least).
    """
    n, _, h, w = images[0].shape
    if h * w <= side * side:
        return function(*images)
    (tops, height), (lefts, width) = _tiles(h, side, step), _tiles(w, side, step)
    corners = [(top, left) for top in tops for left in lefts]
    fade = (_fade(height)[:, None] * _fade(width)).to(images[0].device)
    result, total = None, torch.zeros(h, w, device=fade.device)
    at_once = max(1, together // (n * height * width))
    for first in range(0, len(corners), at_once):
        some = corners[first:first + at_once]
        cut = [torch.cat([image[..., y:y + height, x:x + width] for y, x in some]) for image in images]
        out = function(*cut).float()                                       # (tiles x N, C', height, width)
        result = out.new_zeros(n, out.shape[1], h, w) if result is None else result
        for (y, x), part in zip(some, out.split(n)):
            result[..., y:y + height, x:x + width] += fade * part
            total[y:y + height, x:x + width] += fade
    return result / total


def _tiles(length, side, step):
    """(where the tiles begin, their length) in one dimension: they reach both ends."""
    side = max(side // step, 1) * step
    n = 1 if length <= side else 1 + math.ceil((length - side) / (0.75 * side))
    side = math.ceil(length / (0.75 * n + 0.25) / step) * step             # n tiles that overlap by a quarter
    return [round(k * (length - side) / max(n - 1, 1) / step) * step for k in range(n)], side


def _fade(side):
    """Weights of a tile's rows: 1 in the middle, falling towards both ends over a quarter of the side, never 0."""
    distance = torch.arange(side) + 0.5
    return (torch.minimum(distance, side - distance) / (side / 4)).clamp(max=1)

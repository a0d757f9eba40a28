"""Large images in tiles that overlap and are blended, for networks whose receptive field is not known."""

import math

import torch


def by_tiles(function, side, step, *images, together=2**18):
    """A function of images (N, C, H, W) -> (N, C', H, W), applied to overlapping tiles and blended.

    Neighbours overlap by a quarter and fade into each other, so that no border is visible, whatever the
    network does where it lacks context.  Images of no more than side x side pixels are processed whole.

    Args:
        side: the largest height and width of a tile.  All tiles have one size, and they are spread evenly.
        step: H, W, the sides of the tiles and their positions are multiples of it.
        images: one or more tensors of equal N, H and W.
        together: pixels that are processed at once (at least one tile).
    """
    n, _, h, w = images[0].shape
    if h * w <= side * side:
        return function(*images)
    (tops, height), (lefts, width) = _tiles(h, side, step), _tiles(w, side, step)
    corners = [(top, left) for top in tops for left in lefts]
    fade = (_fade(height)[:, None] * _fade(width)).to(images[0].device)
    result, total = None, torch.zeros(h, w, device=fade.device)
    at_once = max(1, together // (n * height * width))
    for start in range(0, len(corners), at_once):
        some = corners[start:start + at_once]
        cut = [torch.cat([image[..., y:y + height, x:x + width] for y, x in some]) for image in images]
        out = function(*cut).float()                                       # (tiles x N, C', height, width)
        result = out.new_zeros(n, out.shape[1], h, w) if result is None else result
        for (y, x), part in zip(some, out.split(n)):
            result[..., y:y + height, x:x + width] += fade * part
            total[y:y + height, x:x + width] += fade
    return result / total


def _tiles(length, side, step):
    """(positions of the tiles, their length) in one dimension: they cover both ends."""
    side = max(side // step, 1) * step
    n = 1 if length <= side else 1 + math.ceil((length - side) / (0.75 * side))
    side = math.ceil(length / (0.75 * n + 0.25) / step) * step             # n tiles that overlap by a quarter
    return [round(k * (length - side) / max(n - 1, 1) / step) * step for k in range(n)], side


def _fade(side):
    """Weights of a tile's rows: 1 in the middle, falling towards both ends over a quarter of the side, never 0."""
    distance = torch.arange(side) + 0.5
    return (torch.minimum(distance, side - distance) / (side / 4)).clamp(max=1)

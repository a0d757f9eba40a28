"""Sampling with SRDiff: images of any size in tiles, and what it can do besides upscaling.

Images are float tensors (N, 3, H, W) in [-1, 1], LR in [0, 1]; ``model`` is an srdiff.SRDiff.
"""

import torch
from torch.nn import functional

from extensions.diffusion import randn
from support.enlarging import cut_out, grown, tiles
from support.precision import Precision


class Tiles:
    """One LR batch for the U-Net: computes once what is the same in all steps, and predicts noise tile by tile.

    A tile has a margin as wide as the U-Net looks (``unet.receptive_margin()``), and its corners lie
    on the grid of the U-Net's strides, so that the prediction is the same as for the whole image.
    LR's features are computed for the whole image: they have 16 times fewer pixels.
    """

    def __init__(self, model, lr):
        self.unet, s = model.unet, model.scaling_factor
        cell = max(model.unet.cell, s)               # everything below is counted in cells of cell x cell HR pixels
        self.cell, self.features_cell = cell, cell // s
        # Reflection padding needs two pixels at the lowest resolution, hence at least two cells.
        h, w = (max(-(-s * length // cell), 2) for length in lr.shape[-2:])
        bottom, right = (n * self.features_cell - length for n, length in zip((h, w), lr.shape[-2:]))
        padded = functional.pad(lr, (0, right, 0, bottom), mode="replicate")
        self.size = cell * h, cell * w
        self.precision = Precision(lr.device, "auto")
        with self.precision.autocast():
            _, self.features = model.encoder.features(padded.contiguous(memory_format=torch.channels_last))
        margin = -(-model.unet.receptive_margin() // cell)
        # Two maps in, two out, and the workspace of a convolution: float32, at full resolution.
        bytes_per_cell = len(lr) * cell**2 * 4 * 8 * model.settings["n_channels"]
        side = int((model.memory / bytes_per_cell) ** 0.5)
        if h * w > side**2:
            side = max(side - 2 * margin, 1)                  # at least one; with little memory it only takes longer
            self.boxes = [(box, grown(box, margin, h, w)) for box in tiles((0, h, 0, w), side)]
        else:
            self.boxes = [((0, h, 0, w), (0, h, 0, w))]
        # If there is a single tile, its projected features fit into memory too.
        self.projected = self._project(self.boxes[0][1]) if len(self.boxes) == 1 else None

    def _project(self, box):
        with self.precision.autocast():
            return self.unet.condition(cut_out(self.features, box, scale=self.features_cell))

    def noise(self, x, t):
        """The noise in x (N, 3, H, W) at step t, an int."""
        time, result = torch.tensor([t], device=x.device), torch.empty_like(x)
        for box, seen in self.boxes:
            part = cut_out(x, seen, scale=self.cell).contiguous(memory_format=torch.channels_last)
            condition = self._project(seen) if self.projected is None else self.projected
            with self.precision.autocast():
                noise = self.unet(part, condition, time, is_projected=True).float()
            cut_out(result, box, scale=self.cell).copy_(cut_out(noise, box, origin=seen, scale=self.cell))
        return result


# ---------------------------------------------------------------- many images of one LR

def diverse(model, lr, seeds):
    """An image for each seed; downscaled, all of them give (nearly) the same LR.

    Args:
        lr: (N, 3, h, w) in [0, 1].

    Returns:
        list of (N, 3, s h, s w).
    """
    before, images = model.seed, []
    try:
        for model.seed in seeds:
            images.append(model.sample(lr))
    finally:
        model.seed = before
    return images


def latent_interpolation(model, lr, first, second, t=None, weights=(0, 0.25, 0.5, 0.75, 1)):
    """Images between two: their residuals get noise, are mixed, and are denoised again with one LR.

    Args:
        lr: (N, 3, h, w) in [0, 1].
        first, second: two images of this LR, (N, 3, s h, s w) in [-1, 1], such as two samples.
        t: steps of noise, 1 to T (default: half of T).  With few, the results are a cross-fade; with
            all, nothing is left of the two.
        weights: of ``second``.

    Returns:
        list of (N, 3, s h, s w), one for each weight.

    Raises:
        ValueError: for a t outside 1 to T, or images whose size does not fit LR.
    """
    up = model.enlarged(lr)
    step = _last_step(model, t)
    generator = _generator(model)
    residuals = [model.residual_of(_fitting(image, up), up) for image in (first, second)]
    noises = [randn(up, generator) for _ in residuals]
    results = []
    for weight in weights:
        residual = (1 - weight) * residuals[0] + weight * residuals[1]
        # The mean of two noises has half their variance, a level that no step was trained on: scaled back to 1.
        noise = ((1 - weight) * noises[0] + weight * noises[1]) / ((1 - weight) ** 2 + weight**2) ** 0.5
        x = model.diffusion.add_noise(residual, torch.full((len(up),), step), noise)
        results.append(model.sample(lr, x=x, start=step))
    return results


def content_fusion(model, lr, own, other, box, t=None):
    """A region of one image in another: pasted, given noise, and denoised with the LR of ``own``.

    Args:
        lr: (N, 3, h, w) in [0, 1], of the image ``own``.
        own, other: (N, 3, s h, s w) in [-1, 1].
        box: (top, left, height, width) in HR pixels: the region taken from ``other``, at the same position.
        t: steps of noise, 1 to T (default: half of T).  With few, the paste and its edge stay; with many, LR wins.

    Returns:
        (pasted, fused), each (N, 3, s h, s w).

    Raises:
        ValueError: for a t outside 1 to T, a box outside the image, or images whose size does not fit LR.
    """
    up = model.enlarged(lr)
    step = _last_step(model, t)
    top, left, height, width = box
    if min(top, left) < 0 or min(height, width) < 1 or top + height > up.shape[2] or left + width > up.shape[3]:
        raise ValueError(f"The box {tuple(box)} (top, left, height, width) is not inside an image of "
                         f"{up.shape[2]} x {up.shape[3]} (height x width).")
    pasted, region = _fitting(own, up).clone(), (..., slice(top, top + height), slice(left, left + width))
    pasted[region] = _fitting(other, up)[region]
    noise = randn(up, _generator(model))
    x = model.diffusion.add_noise(model.residual_of(pasted, up), torch.full((len(up),), step), noise)
    return pasted, model.sample(lr, x=x, start=step)


def _generator(model):
    """For the first noise: with the seed itself, the steps of sampling would draw the same numbers again."""
    return torch.Generator().manual_seed(model.seed + 2**32)


def _last_step(model, t):
    """The number, from 0, of the last of t steps."""
    n = model.diffusion.n_steps
    t = n // 2 if t is None else t
    if not 1 <= t <= n:
        raise ValueError(f"t counts steps of noise, 1 to {n}; it is {t}.")
    return t - 1


def _fitting(image, up):
    if image.shape != up.shape:
        raise ValueError(f"An image of shape {tuple(image.shape)} is not one of this LR, whose images are "
                         f"{tuple(up.shape)}.")
    return image

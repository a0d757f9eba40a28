"""SR3: image super-resolution via iterative refinement (Saharia et al. 2021, arXiv 2104.07636), and DDPM.

The image itself is sampled from noise, with the upscaled LR as a second input.  The network is
told the noise *level* sqrt(alphabar), not the number of the step, so that testing may use another
schedule.  Images inside are in [-1, 1].

    SR3(...)                      a network of the kit: ``loss(lr, hr)`` trains it, ``network(lr)`` upscales
    python -m extensions sr3      trains one of the PRESETS
    extensions/sr3_commands.py    the commands and JSON configurations of the public SR3 code
"""

import math

import torch
from torch import nn
from torch.nn import functional

from extensions.diffusion import Diffusion, linear_betas, randn
from extensions.interpolation import bicubic
from extensions.tiles import by_tiles
from support.checkpoints import register_method
from support.convert import convert_image
from support.layers import FewChannelsConv2d
from support.precision import Precision
from support.run import stage_config


class NoiseEmbedding(nn.Module):
    """Sines and cosines of the noise level (SR3) or of the step (DDPM), then two linear layers."""

    def __init__(self, size, scale=1.0):
        super().__init__()
        half = size // 2
        self.scale = scale
        self.register_buffer("frequencies", torch.exp(-math.log(1e4) * torch.arange(half) / half), persistent=False)
        self.layers = nn.Sequential(nn.Linear(size, 4 * size), nn.SiLU(), nn.Linear(4 * size, size))

    def forward(self, level):
        # bfloat16 has 8 bits of mantissa: it cannot tell the levels 0.998 and 1 apart, noise of 0.06 and none.
        with torch.autocast(level.device.type, enabled=False):
            angles = self.scale * level.float()[:, None] * self.frequencies
            return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))         # (N, size)


def block(c_in, c_out, groups, dropout=0.0, layer=nn.Conv2d):
    """GroupNorm, Swish, dropout, a convolution: (N, C, h, w) -> (N, C', h, w)."""
    return nn.Sequential(nn.GroupNorm(groups, c_in), nn.SiLU(), nn.Dropout(dropout) if dropout else nn.Identity(),
                         layer(c_in, c_out, 3, padding=1))


class ResBlock(nn.Module):
    """Two blocks with the noise level added between them, a skip, and attention if asked for."""

    def __init__(self, c_in, c_out, c_time, groups, dropout, swish_level=False, attention=False):
        super().__init__()
        self.first, self.second = block(c_in, c_out, groups), block(c_out, c_out, groups, dropout)
        self.time = nn.Sequential(nn.SiLU() if swish_level else nn.Identity(), nn.Linear(c_time, c_out))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.attention = Attention(c_out, groups) if attention else nn.Identity()

    def forward(self, x, time):
        h = self.first(x) + self.time(time)[:, :, None, None]
        return self.attention(self.second(h) + self.skip(x))


class Attention(nn.Module):
    """Every position attends to every other: x + k1(softmax(q k / sqrt(C)) v), one head (N, C, h, w)."""

    def __init__(self, n_channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, n_channels)
        self.qkv = nn.Conv2d(n_channels, 3 * n_channels, 1, bias=False)
        self.leave = nn.Conv2d(n_channels, n_channels, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)      # each (N, h w, C)
        out = functional.scaled_dot_product_attention(q, k, v)
        return x + self.leave(out.transpose(1, 2).reshape(n, c, h, w))


class UNet(nn.Module):
    """Predicts the noise: (N, c_in, H, W), noise levels (N,) -> (N, 3, H, W).

    Args:
        c_in: 6, the upscaled LR and the noisy image; 3 without a condition.
        n_channels, multipliers: channels of each level.
        attention_at: the sizes of feature maps (in pixels) that get attention, for training images of ``size``.
        n_res_blocks: of each level.
        groups: of GroupNorm.
        level_scale: factor of the noise level in its embedding.
        swish_level: a Swish before each block's use of the embedding, which DDPM has and SR3 has not.

    H and W have to be divisible by ``factor``, which is 2 for each downsampling.

    Raises:
        ValueError: if the channels cannot be divided into the groups.
    """

    def __init__(self, c_in=6, n_channels=64, multipliers=(1, 2, 4, 8, 8), attention_at=(16,), n_res_blocks=2,
                 dropout=0.2, groups=32, size=128, level_scale=1.0, swish_level=False):
        super().__init__()
        if any(n_channels * multiplier % groups for multiplier in multipliers):
            raise ValueError(f"The levels have {[n_channels * m for m in multipliers]} channels, which cannot be "
                             f"divided into {groups} groups each: choose other groups.")
        self.factor = 2 ** (len(multipliers) - 1)
        options = dict(c_time=n_channels, groups=groups, dropout=dropout, swish_level=swish_level)
        self.level = NoiseEmbedding(n_channels, level_scale)
        self.first = nn.Conv2d(c_in, n_channels, 3, padding=1)
        self.down, c, skips = nn.ModuleList(), n_channels, [n_channels]
        for k, multiplier in enumerate(multipliers):
            for _ in range(n_res_blocks):
                self.down.append(ResBlock(c, multiplier * n_channels, attention=size in attention_at, **options))
                c = multiplier * n_channels
                skips.append(c)
            if k < len(multipliers) - 1:
                self.down.append(nn.Conv2d(c, c, 3, stride=2, padding=1))
                skips.append(c)
                size //= 2
        self.middle = nn.ModuleList([ResBlock(c, c, attention=True, **options), ResBlock(c, c, **options)])
        self.up = nn.ModuleList()
        for k, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(n_res_blocks + 1):
                self.up.append(ResBlock(c + skips.pop(), multiplier * n_channels, attention=size in attention_at,
                                        **options))
                c = multiplier * n_channels
            if k > 0:
                self.up.append(Upsample(c))
                size *= 2
        self.head = block(c, 3, groups, layer=FewChannelsConv2d)
        self.apply(_orthogonal)

    def forward(self, x, level):
        time = self.level(level)
        x = self.first(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, time) if isinstance(layer, ResBlock) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, time)
        for layer in self.up:
            x = layer(torch.cat([x, skips.pop()], dim=1), time) if isinstance(layer, ResBlock) else layer(x)
        return self.head(x)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling and a convolution: (N, C, h, w) -> (N, C, 2h, 2w)."""

    def __init__(self, n_channels):
        super().__init__()
        self.conv = nn.Conv2d(n_channels, n_channels, 3, padding=1)

    def forward(self, x):
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


def _orthogonal(layer):
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.orthogonal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# ---------------------------------------------------------------- the method

@register_method("sr3", "SR3", "tab:purple")
class SR3(nn.Module):
    """Super-resolution by iterative denoising: (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1].

    In eval mode the result is a function of the input and of ``seed``: the noise comes from a random generator
    of its own on the CPU.  These attributes may be changed at any time: ``n_steps``, ``ddim``, ``seed``, ``tile``;
    and the schedule, by ``walk(betas)``.

    Args:
        unet: dict of arguments of UNet (c_in and swish_level follow from the others).
        betas: (first, last, number of steps) of training's linear schedule.
        test_betas: the same for sampling (default: training's).  SR3 only: DDPM knows steps, not noise levels.
        target: what is sampled: "image", HR itself, as in the paper; or "residual",
            2 (HR - up(LR)), as in SRDiff (arXiv 2104.14951, section 3.2): colours are right from the start.
        variant: "sr3", the network is told the noise level; or "ddpm", it is told the number of the step.
        conditional: False: LR is not used; an image of SR's size is sampled from noise alone.
        n_steps: of sampling, spread over the schedule (default: all).
        ddim: sample without new noise (arXiv 2010.02502).
        tile: larger images are processed in overlapping square tiles of this side (in SR's pixels).

    Raises:
        ValueError: for settings that do not fit together.
    """

    def __init__(self, unet, betas=(1e-6, 1e-2, 2000), test_betas=None, target="image", variant="sr3",
                 conditional=True, scaling_factor=4, n_steps=None, ddim=False, seed=0, tile=256):
        super().__init__()
        if target not in ("image", "residual") or variant not in ("sr3", "ddpm"):
            raise ValueError(f"target is 'image' or 'residual', variant 'sr3' or 'ddpm', not {target!r}, {variant!r}.")
        if target == "residual" and not conditional:
            raise ValueError("Without a condition there is no LR, and so no residual: set target = 'image'.")
        self.settings = dict(unet=dict(unet), betas=list(betas), test_betas=test_betas and list(test_betas),
                             target=target, variant=variant, conditional=conditional, scaling_factor=scaling_factor,
                             n_steps=n_steps, ddim=ddim, seed=seed, tile=tile)
        self.target, self.variant, self.conditional = target, variant, conditional
        self.scaling_factor, self.n_steps, self.ddim, self.seed, self.tile = scaling_factor, n_steps, ddim, seed, tile
        self.unet = UNet(**{**unet, "c_in": 6 if conditional else 3, "swish_level": variant == "ddpm"})
        self.diffusion = self.test_diffusion = _schedule(betas)
        if test_betas:
            self.walk(test_betas)

    def walk(self, betas):
        """From now on sample with the linear schedule ``betas``: (first, last, number of steps).

        Fewer steps need larger betas: 100 of 1e-6 to 1e-2 leave alphabar = 0.605 of the image at the
        noisiest step, and yet sampling begins there with pure noise; 1e-6 to 0.1 leaves 0.0056.

        Raises:
            ValueError: for DDPM, unless it is training's.
        """
        schedule = _schedule(betas)
        if self.variant == "ddpm" and not torch.equal(schedule.betas, self.diffusion.betas):
            raise ValueError("DDPM was told the numbers of the steps in training, so it can use that schedule only. "
                             "For fewer steps set n_steps.")
        self.test_diffusion = schedule

    def loss(self, lr, hr):
        """The mean of |noise - predicted noise| (the paper's equation 6 with p = 1); lr in [0, 1], hr in [-1, 1]."""
        condition = self.condition(lr)
        x0 = hr if self.target == "image" else (2 * (hr - condition)).clamp(-1, 1)
        # Not randn_like: it fills memory in storage order, so that channels_last would get other noise from one seed.
        noise, told, level = torch.randn(x0.shape, device=x0.device), *self.draw_levels(len(x0))
        # In float64 up to here: at the first steps level is 1 - 10^-7, and float32 would lose the difference from 1.
        keep, spread = (factor.to(x0)[:, None, None, None] for factor in (level, (1 - level**2).sqrt()))
        x = keep * x0 + spread * noise                                 # equation 4, gamma = level^2
        return (self.predict(x, condition, told.to(x0)).float() - noise).abs().mean()

    def draw_levels(self, n):
        """(what the network is told, noise level sqrt(alphabar)) for n training images, float64 (n,) each.

        SR3 (section 2.4): a step t at random, and a level between those of t - 1 and t, so that the
        network has seen all levels and any schedule can be used later.  DDPM: the step, and its level.
        """
        t = torch.randint(self.diffusion.n_steps, (n,))
        low = self.diffusion.alphabar[t].sqrt()
        if self.variant == "ddpm":
            return t.double(), low
        high = self.diffusion.alphabar_before[t].sqrt()
        level = low + (high - low) * torch.rand(n, dtype=torch.float64)
        return level, level

    def condition(self, lr):
        """LR upscaled by MATLAB's bicubic: (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in about [-1, 1]."""
        return convert_image(bicubic(lr, self.scaling_factor), "[0, 1]", "[-1, 1]")

    def predict(self, x, condition, told):
        """The noise in x, all (N, 3, H, W) with H and W divisible by ``unet.factor``; told: (N,)."""
        return self.unet(torch.cat([condition, x], dim=1) if self.conditional else x, told)

    def forward(self, lr):
        return self.sample(lr)

    @torch.inference_mode()
    def sample(self, lr, on_step=None):
        """SR of LR, in [-1, 1].

        Args:
            on_step: function (number, image), called before the first step (number -1) and after each step.
        """
        condition = self.condition(lr)
        h, w = condition.shape[2:]
        padding = (0, -w % self.unet.factor, 0, -h % self.unet.factor)
        padded = functional.pad(condition, padding, mode="replicate")
        generator = torch.Generator().manual_seed(self.seed)
        schedule, precision = self.test_diffusion, Precision(lr.device, "auto")

        def image_of(x):
            x = x[..., :h, :w]
            return x if self.target == "image" else condition + x / 2

        def predict(x, t):
            told = t if self.variant == "ddpm" else schedule.alphabar[t].sqrt().item()

            def of_tiles(x, condition):
                return self.predict(x, condition, torch.full((len(x),), told).to(x))
            with precision.autocast():
                return by_tiles(of_tiles, self.tile, self.unet.factor, x, padded).float()

        x = randn(padded, generator)
        if on_step:
            on_step(-1, image_of(x))
        x = schedule.sample(predict, x, generator, self.n_steps, self.ddim,
                            on_step=on_step and (lambda number, _, x: on_step(number, image_of(x))))
        return image_of(x).clamp(-1, 1)


def _schedule(betas):
    first, last, n_steps = betas
    return Diffusion(linear_betas(n_steps, first, last))


def process(network, lr, n_states=10):
    """The sampling process in images: LR upscaled, and ``n_states`` states from pure noise to SR.

    Args:
        lr: (1, 3, h, w) in [0, 1].

    Returns:
        list of (title, tensor (3, s h, s w) in [-1, 1]).
    """
    n = len(network.test_diffusion.steps(network.n_steps))
    shown = {round(k * n / (n_states - 1)) for k in range(n_states)}           # numbers of steps done
    states = [("LR, upscaled" if network.conditional else "(LR is not used)", network.condition(lr)[0])]

    def keep(number, image):
        if number + 1 in shown:
            states.append((f"{number + 1} of {n} steps", image[0].clamp(-1, 1)))
    network.sample(lr, keep)
    return states


# ---------------------------------------------------------------- configurations

# Name -> arguments of UNet, and the schedule of training: (betas from, to, steps).
CONFIGURATIONS = {
    "sr3_16_128": ({}, (1e-6, 1e-2, 2000)),
    "sr3_64_512": (dict(multipliers=(1, 2, 4, 8, 16), attention_at=(), n_res_blocks=1, dropout=0.0, groups=16,
                        size=512), (1e-6, 1e-2, 2000)),
    "ddpm_16_128": (dict(multipliers=(1, 1, 2, 2, 4, 4)), (1e-4, 2e-2, 2000)),
    "sr3_128": (dict(c_in=3), (1e-6, 1e-2, 2000)),
    "ddpm_128": (dict(c_in=3, multipliers=(1, 1, 2, 2, 4, 4)), (1e-4, 2e-2, 2000)),
}

SHORT = [1e-6, 0.1, 100]        # fewer steps need larger betas, see SR3.walk
SMALL = dict(n_channels=24, multipliers=[1, 2, 2], attention_at=[], n_res_blocks=1, dropout=0.0, groups=8, size=48)


def _small(target):
    """Within ten minutes on two CPU cores: a tiny part of the paper's training, so every number is a compromise.

    Little averaging: a long average would still hold the beginning of so short a run.
    """
    return dict(
        stages=["sr3"], crop_size=48, batch_size=8, averaging=0.99, n_valid=2, print_freq=25, checkpoint_every=250,
        sr3=dict(epochs=4, updates_per_epoch=550, lr=1e-3, lr_schedule="cosine", warmup=100,
                 network=dict(unet=SMALL, betas=SHORT, target=target, n_steps=10)))


PRESETS = {
    # To see every command work, in seconds; its images are still noisy.
    "demo": dict(
        stages=["sr3"], crop_size=32, patch_num=100, batch_size=8, averaging=0.9, n_valid=1, print_freq=10,
        sr3=dict(epochs=2, updates_per_epoch=60, lr=2e-3, lr_schedule="cosine", warmup=10,
                 network=dict(unet=dict(SMALL, n_channels=8, multipliers=[1, 2], groups=4, size=32), betas=SHORT,
                              target="residual", n_steps=5, ddim=True))),
    "small": _small("residual"),
    "small_image": _small("image"),      # the paper's target in the same time: it shows what residuals gain
    # The public SR3 code's face configuration (97.8 M parameters, 10^6 updates of 4 images of 128 x 128, Adam
    # 1e-4, dropout 0.2), on this kit's patches.  Validated with 100 steps; the 2,000 are for testing: walk(betas).
    "full": dict(
        stages=["sr3"], crop_size=128, batch_size=4, averaging=0.9999, n_valid=3, checkpoint_every=5000,
        sr3=dict(epochs=100, updates_per_epoch=10_000, lr=1e-4, lr_schedule="steps", lr_milestones=[],
                 network=dict(unet={}, betas=[1e-6, 1e-2, 2000], test_betas=SHORT, target="image"))),
}


def build(config, stage):
    """The network of a stage, with fresh weights."""
    return SR3(scaling_factor=config.scaling_factor, **stage_config(config, stage).network)

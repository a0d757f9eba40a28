"""SRDiff's two networks: the encoder, which learns super-resolution by itself, and the U-Net, which predicts noise.

Both have a ``start_as_interpolation``, which is not in the paper: a short training then need not learn first what an
image is.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from extensions.mish import mish
from support.checkpoints import register_method

SLOPE = 0.2


def conv3(c_in, c_out):
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def copying(weight, bias, out, source, kernel):
    """Set a convolution's output channel to one input channel, filtered by a kernel (k, k)."""
    weight[out], bias[out] = 0, 0
    weight[out, source] = kernel


def single(size, row, column):
    """A kernel (size, size) with a single 1."""
    kernel = torch.zeros(size, size)
    kernel[row, column] = 1
    return kernel


# ---------------------------------------------------------------- encoder

class DenseBlock(nn.Module):
    """x + 0.2 F(x), where F is five densely connected convolutions (ESRGAN, figure 4)."""

    def __init__(self, n_channels, growth):
        super().__init__()
        self.convolutions = nn.ModuleList(
            conv3(n_channels + i * growth, growth if i < 4 else n_channels) for i in range(5))

    def forward(self, x):
        seen = [x]
        for i, convolution in enumerate(self.convolutions):
            out = convolution(torch.cat(seen, dim=1))
            seen.append(functional.leaky_relu(out, SLOPE) if i < 4 else out)
        return x + 0.2 * seen[-1]


class RRDB(nn.Module):
    """Residual in residual dense block: x + 0.2 of three dense blocks."""

    def __init__(self, n_channels, growth):
        super().__init__()
        self.layers = nn.Sequential(*[DenseBlock(n_channels, growth) for _ in range(3)])

    def forward(self, x):
        return x + 0.2 * self.layers(x)


@register_method("srdiff_encoder", "SRDiff's encoder", "tab:olive")
class Encoder(nn.Module):
    """RRDBNet: (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1]; ``features`` for the U-Net.

    Args:
        n_channels: of the feature maps.
        n_blocks: number of RRDBs; every third output is part of the condition.
        scaling_factor: 4 or 8.

    Raises:
        ValueError: for another scaling factor.
    """

    def __init__(self, n_channels=32, n_blocks=8, scaling_factor=4):
        super().__init__()
        if scaling_factor not in (4, 8):
            raise ValueError(f"SRDiff upscales 4 or 8 times, not {scaling_factor}.")
        self.settings = dict(n_channels=n_channels, n_blocks=n_blocks, scaling_factor=scaling_factor)
        self.scaling_factor = scaling_factor
        self.first = conv3(3, n_channels)
        self.blocks = nn.ModuleList(RRDB(n_channels, n_channels // 2) for _ in range(n_blocks))
        self.trunk_conv = conv3(n_channels, n_channels)
        self.doublings = nn.ModuleList(conv3(n_channels, n_channels) for _ in range(int(math.log2(scaling_factor))))
        self.head = nn.Sequential(conv3(n_channels, n_channels), nn.LeakyReLU(SLOPE), conv3(n_channels, 3))

    @torch.no_grad()
    def start_as_interpolation(self):
        """Initialise as bilinear interpolation (except at the border): three channels carry R, G and B to the end."""
        middle = single(3, 1, 1)
        triangle = torch.outer(*2 * [torch.tensor([1.0, 2, 1]) / 4])       # after nearest x2: bilinear x2
        for c in range(3):
            copying(self.first.weight, self.first.bias, c, c, middle)
            self.trunk_conv.weight[c], self.trunk_conv.bias[c] = 0, 0
            for convolution in self.doublings:
                copying(convolution.weight, convolution.bias, c, c, triangle)
            for convolution in (self.head[0], self.head[2]):
                copying(convolution.weight, convolution.bias, c, c, middle)
        return self

    def n_condition(self):
        """Number of channels of the condition."""
        return self.settings["n_channels"] * len(range(self.settings["n_blocks"] + 1)[2::3])

    def features(self, lr):
        """(final features (N, C, h, w), condition (N, C', h, w))."""
        first = self.first(lr)
        outputs, x = [], first
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        final = first + self.trunk_conv(x)
        return final, torch.cat([*outputs, final][2::3], dim=1)

    def forward(self, lr):
        x, _ = self.features(lr)
        for convolution in self.doublings:
            x = functional.leaky_relu(convolution(functional.interpolate(x, scale_factor=2, mode="nearest")), SLOPE)
        sr = self.head(x)
        return 2 * (sr if self.training else sr.clamp(0, 1)) - 1      # in training a clamp would stop gradients

    def loss(self, lr, hr):
        """Mean absolute error of SR (the encoder's pre-training); lr in [0, 1], hr in [-1, 1]."""
        return functional.l1_loss(self(lr).float(), hr)


# ---------------------------------------------------------------- U-Net

class Block(nn.Module):
    """Reflection padding, a convolution, Mish: padding with zeros would darken the border."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3)

    def forward(self, x):
        return mish(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect")))


class ResBlock(nn.Module):
    """Two blocks, the step's embedding between them, and a skip."""

    def __init__(self, c_in, c_out, c_time):
        super().__init__()
        self.first, self.second = Block(c_in, c_out), Block(c_out, c_out)
        self.time = nn.Sequential(nn.Mish(), nn.Linear(c_time, c_out))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, time):
        h = self.first(x) + self.time(time)[:, :, None, None]
        return self.second(h) + self.skip(x)


class Downsample(nn.Module):
    """Reflection padding and a convolution of stride 2: (N, C, H, W) -> (N, C, H/2, W/2)."""

    def __init__(self, n_channels):
        super().__init__()
        self.conv = nn.Conv2d(n_channels, n_channels, 3, stride=2)

    def forward(self, x):
        return self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect"))


class StepEmbedding(nn.Module):
    """The step t as sines and cosines of many frequencies, then two linear layers (DDPM, appendix B)."""

    def __init__(self, size, n_frequencies=32):
        super().__init__()
        half = n_frequencies - 1
        self.register_buffer("frequencies", torch.exp(-torch.arange(n_frequencies) * math.log(1e4) / half),
                             persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_frequencies, 4 * size), nn.Mish(), nn.Linear(4 * size, size))

    def forward(self, t):
        angles = t[:, None].to(self.frequencies) * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))        # (N, size)


class UNet(nn.Module):
    """Predicts the noise in a residual: (N, 3, H, W), condition (N, C', h, w), steps (N,) -> (N, 3, H, W).

    H and W have to be divisible by ``cell`` (2 for each downsampling), and at least twice as large.

    Args:
        n_channels, multipliers: level k has n_channels times multipliers[k] channels.
        n_condition: C', channels of the encoder's features.
    """

    def __init__(self, n_channels, multipliers, n_condition, scaling_factor):
        super().__init__()
        sizes = [n_channels * multiplier for multiplier in multipliers]
        s, self.cell = scaling_factor, 2 ** (len(sizes) - 1)
        self.time = StepEmbedding(n_channels)
        self.condition = nn.ConvTranspose2d(n_condition, sizes[0], 2 * s, stride=s, padding=s // 2)
        self.down, c = nn.ModuleList(), 3
        for k, size in enumerate(sizes):
            self.down.append(nn.ModuleList([
                ResBlock(c, size, n_channels), ResBlock(size, size, n_channels),
                Downsample(size) if k < len(sizes) - 1 else nn.Identity()]))
            c = size
        self.middle = nn.ModuleList([ResBlock(c, c, n_channels), ResBlock(c, c, n_channels)])
        self.up = nn.ModuleList()
        for size, skip in zip(sizes[-2::-1], sizes[:0:-1]):
            self.up.append(nn.ModuleList([
                ResBlock(2 * skip, size, n_channels), ResBlock(size, size, n_channels),
                nn.ConvTranspose2d(size, size, 4, stride=2, padding=1)]))
        self.head = nn.Sequential(Block(sizes[0], sizes[0]), nn.Conv2d(sizes[0], 3, 1))

    @torch.no_grad()
    def start_as_interpolation(self):
        """Initialise so that the predicted noise is x itself: the residual in x is close to zero.

        Every value of the noise has to pass through all convolutions of the network (there is no skip
        from x to the end), and a short training would learn little else.  Here 12 channels carry the
        four pixels of each 2 x 2 square through half the resolution, and every block begins as its skip.

        Raises:
            ValueError: if the network has fewer than 12 channels.
        """
        if self.head[1].in_channels < 12:
            raise ValueError(f"start_as_interpolation needs 12 channels or more, not {self.head[1].in_channels}; "
                             'set config.start = "random".')
        for block in self.modules():
            if isinstance(block, ResBlock):
                block.second.conv.weight.zero_(), block.second.conv.bias.zero_()
        (enter, _, downsample), (below, _, _), (up, _, upsample) = self.down[0], self.down[1], self.up[-1]
        self.condition.weight[:, :3], self.condition.bias[:3] = 0, 0
        head, last = self.head[0].conv, self.head[1]
        last.weight.zero_()
        for c in range(3):
            copying(enter.skip.weight, enter.skip.bias, c, c, single(1, 0, 0))
            upsample.weight[:, c], upsample.bias[c] = 0, 0         # a transposed convolution: (in, out, k, k)
            for k in range(4):                                     # the pixels of a square
                row, column, carrier = 1 + k // 2, 1 + k % 2, 3 * k + c
                copying(downsample.conv.weight, downsample.conv.bias, carrier, c, single(3, row, column))
                if isinstance(below.skip, nn.Conv2d):
                    copying(below.skip.weight, below.skip.bias, carrier, carrier, single(1, 0, 0))
                skipped = up.skip.in_channels // 2 + carrier       # after the channels that come from below
                copying(up.skip.weight, up.skip.bias, carrier, skipped, single(1, 0, 0))
                upsample.weight[carrier, c] = single(4, row, column)
            # Mish is close to x for x above 3: with 4 added before it and taken away after it, noise passes unchanged.
            copying(head.weight, head.bias, c, c, single(3, 1, 1))
            head.bias[c], last.weight[c, c], last.bias[c] = 4, 1, -4
        return self

    def receptive_margin(self):
        """Up to how many pixels away in x a pixel changes the noise that is predicted here."""
        levels = [2**k for k in range(len(self.down))]          # pixels of x for one of the level's
        down = sum(4 * f for f in levels) + sum(levels[:-1])    # four convolutions a level, and the downsampling
        up = sum(4 * f + f for f in levels[1:])                 # the same, and the upsampling
        return down + 4 * levels[-1] + up + 1

    def forward(self, x, condition, t, is_projected=False):
        """``is_projected``: the condition is already ``self.condition(features)``, which is the same in all steps."""
        time, condition, skips = self.time(t), condition if is_projected else self.condition(condition), []
        for k, (first, second, downsample) in enumerate(self.down):
            x = second(first(x, time), time)
            if k == 0:
                x = x + condition             # after the first level's blocks: LR's features at HR's size
            skips.append(x)
            x = downsample(x)
        for block in self.middle:
            x = block(x, time)
        for first, second, upsample in self.up:
            # The skip of the full resolution is not used: the last level has none.
            x = upsample(second(first(torch.cat([x, skips.pop()], dim=1), time), time))
        return self.head(x)

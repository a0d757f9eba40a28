"""Public SRResNet and SRGAN generators of others, so that a class can compare its work with them.

Their weights come in through ``python -m extensions import_weights`` (import_weights.py).  Each takes and gives what
every generator of this kit does; what range of values its authors chose is an affair of the network's own.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from models import Generator
from support.checkpoints import register_method
from support.convert import convert_image

RANGES = ("[0, 1]", "imagenet-norm")


@register_method("public-srresnet", "public SRResNet", "tab:olive")
class PublicSRResNet(Generator):
    """SRResNet that ends in tanh: (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1].

    Args:
        lr_range: what the network itself takes: LR as it is, or normalised with ImageNet's mean and deviation.  (That
            cannot be moved into the first convolution: its zero padding means another colour there.)
        batchnorm_after: whether the convolution after the blocks is followed by BatchNorm, or by PReLU.
        others: as models.Generator.

    Raises:
        ValueError: for another ``lr_range``, and as models.Generator.
    """

    def __init__(self, large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16, scaling_factor=4,
                 lr_range="[0, 1]", batchnorm_after=True):
        if lr_range not in RANGES:
            raise ValueError(f"lr_range is one of {', '.join(RANGES)}, not {lr_range!r}.")
        super().__init__(large_kernel_size, small_kernel_size, n_channels, n_blocks, scaling_factor)
        self.settings.update(lr_range=lr_range, batchnorm_after=batchnorm_after)
        if not batchnorm_after:
            self.after_blocks = nn.Sequential(
                nn.Conv2d(n_channels, n_channels, small_kernel_size, padding=small_kernel_size // 2), nn.PReLU())

    def trunk(self, lr):
        return super().trunk(convert_image(lr, "[0, 1]", self.settings["lr_range"]))

    def tail(self, features):
        return torch.tanh(super().tail(features))


@register_method("msrresnet", "MSRResNet", "tab:cyan")
class MSRResNet(nn.Module):
    """SRResNet without BatchNorm, the modified one of BasicSR: (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1].

    Small kernels throughout; LR, interpolated bilinearly, is added at the end.

    Args:
        n_channels: channels of the feature maps.
        n_blocks: residual blocks.
        scaling_factor: 2, 3 or 4.

    Raises:
        ValueError: for another scaling factor.
    """

    SLOPE = 0.1

    def __init__(self, n_channels=64, n_blocks=16, scaling_factor=4):
        super().__init__()
        if scaling_factor not in (2, 3, 4):
            raise ValueError(f"MSRResNet upscales by 2, 3 or 4: scaling_factor cannot be {scaling_factor}.")
        self.settings = dict(n_channels=n_channels, n_blocks=n_blocks, scaling_factor=scaling_factor)
        self.scaling_factor = scaling_factor
        self.first = nn.Conv2d(3, n_channels, 3, padding=1)
        self.blocks = nn.Sequential(*[PlainBlock(n_channels) for _ in range(n_blocks)])
        self.factors = {4: (2, 2)}.get(scaling_factor, (scaling_factor,))
        self.upsampling = nn.ModuleList([nn.Conv2d(n_channels, factor**2 * n_channels, 3, padding=1)
                                         for factor in self.factors])
        self.before_last = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.last = nn.Conv2d(n_channels, 3, 3, padding=1)

    def forward(self, lr):
        return self.tail(self.trunk(lr))

    def trunk(self, lr):
        """(N, 3, h, w) in [0, 1] -> (N, C + 3, h, w): the features at LR's size, and LR itself."""
        features = functional.leaky_relu(self.first(lr), self.SLOPE)          # (N, C, h, w)
        return torch.cat([self.blocks(features), lr], dim=1)

    def tail(self, x):
        """(N, C + 3, h, w) -> (N, 3, s h, s w) in [-1, 1]."""
        x, lr = x[:, :-3], x[:, -3:]
        for conv, factor in zip(self.upsampling, self.factors):
            x = functional.leaky_relu(functional.pixel_shuffle(conv(x), factor), self.SLOPE)
        x = self.last(functional.leaky_relu(self.before_last(x), self.SLOPE))       # (N, 3, s h, s w)
        upscaled = functional.interpolate(lr, scale_factor=self.scaling_factor, mode="bilinear", align_corners=False)
        return 2 * (x + upscaled) - 1

    def receptive_margin(self):
        """How far an output pixel looks, in LR pixels: (in the trunk, in the tail); see models.Generator."""
        sizes = [math.prod(self.factors[:i]) for i in range(len(self.factors))]     # of the maps, in LR pixels
        return 1 + 2 * len(self.blocks), math.ceil(sum(1 / n for n in sizes) + 2 / self.scaling_factor)

    def bytes_per_pixel(self):
        """Bytes that an LR pixel takes in feature maps without gradients: (in the trunk, in the tail); estimates."""
        channels = self.settings["n_channels"]
        return 4 * 4 * channels, 4 * self.scaling_factor**2 * (3 * channels + 9)


class PlainBlock(nn.Module):
    """x + conv(ReLU(conv(x))): (N, C, h, w) -> (N, C, h, w)."""

    def __init__(self, n_channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(n_channels, n_channels, 3, padding=1), nn.ReLU(),
                                    nn.Conv2d(n_channels, n_channels, 3, padding=1))

    def forward(self, x):
        return x + self.layers(x)

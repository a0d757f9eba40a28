"""Layers that compute what torch's own do, in less time on a CPU.

Parameters and results are those of the plain layers (to float32 rounding), so that weights
fit both; on any other device the plain layer runs.
"""
### BEGIN SOLUTION
# How much time each saves: python -m benchmarks step.
### END SOLUTION

import copy

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


class PReLU(nn.PReLU):
    """max(x, 0) + a min(x, 0) with one learned slope a (He et al. 2015, arXiv 1502.01852, equation 1).

    torch's backward writes a gradient of a for every pixel and sums them up afterwards;
    here they are multiplied and summed with less memory for intermediate results.
    """

    def forward(self, x):
        if x.device.type != "cpu" or self.num_parameters != 1:
            return super().forward(x)
        return _OneSlope.apply(x, self.weight)


class _OneSlope(torch.autograd.Function):
    """PReLU with one slope, as a leaky ReLU whose slope has a gradient."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return functional.leaky_relu(x, slope.item())

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, slope = ctx.saved_tensors
        # dL/dx = dL/dy where x > 0, a dL/dy elsewhere;  dL/da = sum of dL/dy min(x, 0)
        of_x = torch.ops.aten.leaky_relu_backward(gradient, x, slope.item(), False)
        of_slope = x.clamp(max=0).mul_(gradient).sum()
        return of_x, of_slope.to(slope.dtype).view_as(slope)


class FewChannelsConv2d(nn.Conv2d):
    """A convolution with very few output channels, such as the last one, which makes R, G and B.

    A processor computes 8 or 16 output channels at once; with 3, most of its lanes are idle.
    The same sum in another order keeps them busy: a 1 x k convolution that computes the
    contribution of each of the kernel's k rows separately (3 k channels), then k shifted additions.
    """

    def forward(self, x):
        if x.device.type != "cpu":
            return super().forward(x)
        k, channels = self.kernel_size[0], self.out_channels
        rows = self.weight.permute(2, 0, 1, 3).reshape(k * channels, -1, 1, k)        # (k * 3, C, 1, k)
        parts = functional.conv2d(x, rows, padding=(0, k // 2)).split(channels, dim=1)    # k times (N, 3, H, W)
        # Row i of the kernel looks i - k // 2 pixels down, so its part moves up by as much.
        moved = [functional.pad(part, (0, 0, k - 1 - i, i)) for i, part in enumerate(parts)]
        total = sum(moved)[:, :, k // 2:k // 2 + x.shape[2]]
        return total + self.bias.to(total.dtype).view(1, -1, 1, 1)       # in mixed precision the parts have 16 bits


class SubPixelConv2d(nn.Conv2d):
    """A convolution to 4 C channels that become pixels: (N, C_in, h, w) -> (N, C, 2h, 2w).

    The same as ``nn.PixelShuffle(2)`` after the convolution.  PixelShuffle takes the four
    numbers of a 2 x 2 square from neighbouring channels.  With the channels in another
    order (the square's positions first), runs of C numbers stay together in memory.
    """

    def forward(self, x):
        if x.device.type != "cpu":
            return functional.pixel_shuffle(super().forward(x), 2)
        weight = self.weight.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)    # (4 C, ...), position first
        bias = self.bias.unflatten(0, (-1, 4)).t().flatten()
        x = functional.conv2d(x, weight, bias, padding=self.padding).permute(0, 2, 3, 1)    # (N, h, w, 4 C)
        n, h, w, channels = x.shape
        squares = x.reshape(n, h, w, 2, 2, channels // 4).transpose(2, 3)           # (N, h, 2, w, 2, C)
        return squares.reshape(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)


def folded(network):
    """A copy of a network in eval mode, each BatchNorm after a convolution folded into it.

    In eval mode BatchNorm is a factor and a summand for each channel, constants that fit
    into the convolution's own weights and bias: the same result, one pass less.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for layers in network.modules():
        if isinstance(layers, nn.Sequential):
            for i in range(len(layers) - 1):
                if isinstance(layers[i], nn.Conv2d) and isinstance(layers[i + 1], nn.BatchNorm2d):
                    layers[i], layers[i + 1] = fuse_conv_bn_eval(layers[i], layers[i + 1]), nn.Identity()
    return network

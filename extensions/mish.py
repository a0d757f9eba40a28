"""Mish, x tanh(log(1 + e^x)) (Misra 2020, arXiv 1908.08681, equation 1), faster on a CPU.

torch's own computes an exponential, a logarithm and a hyperbolic tangent for each number.
With d = (1 + e^x)^2 + 1 the same is x - 2 x / d: one exponential, and arithmetic.  torch's Mish
takes almost half of the time of SRDiff's U-Net (``python -m benchmarks.diffusion srdiff``).
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

LARGEST = 20.0      # above, Mish equals x to float64's last digit, and e^x squared would overflow


def mish(x):
    """``torch.nn.functional.mish`` to float32 rounding (about 1e-6); any shape and float dtype."""
    return _Mish.apply(x) if x.device.type == "cpu" else functional.mish(x)


class _Mish(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        # e^x may become infinite here: x - 2 x / infinity = x, as it should.
        d = x.exp().add_(1).square_().add_(1)
        return torch.addcdiv(x, x, d, value=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        # y' = 1 - 2/d + 2 x d'/d^2 with d' = 2 e^x (1 + e^x), written as 1 + (2/d) (2 x e^x (1 + e^x)/d - 1)
        x = x.clamp(max=LARGEST)
        e = x.exp()
        p = e + 1
        r = p.square().add_(1).reciprocal_()                                                     # 1/d
        return e.mul_(p).mul_(r).mul_(x).mul_(2).sub_(1).mul_(r).mul_(2).add_(1).mul_(gradient)

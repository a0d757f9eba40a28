"""The fast layers compute what torch's own do, forward and backward."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.plain import plain_layers
from datasets import SRDataset, make_loader
from models import Generator
from support.convert import to_float
from support.enlarging import super_resolve
from support.layers import FewChannelsConv2d, PReLU, SubPixelConv2d, folded
from tests.helpers import photo, tiny_config

LAYERS = [(lambda: PReLU(init=0.3), lambda: nn.PReLU()),
          (lambda: FewChannelsConv2d(6, 3, 9, padding=4), lambda: nn.Conv2d(6, 3, 9, padding=4)),
          (lambda: FewChannelsConv2d(6, 2, 1), lambda: nn.Conv2d(6, 2, 1)),
          (lambda: SubPixelConv2d(6, 20, 3, padding=1),
           lambda: nn.Sequential(nn.Conv2d(6, 20, 3, padding=1), nn.PixelShuffle(2)))]


@pytest.mark.parametrize("fast, plain", LAYERS)
@pytest.mark.parametrize("shape", [(2, 6, 11, 8), (1, 6, 1, 1), (3, 6, 2, 17)])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_a_fast_layer_gives_values_and_gradients_of_the_plain_one(fast, plain, shape, memory_format):
    torch.manual_seed(0)
    fast, plain = fast().double(), plain().double()
    for own, other in zip(fast.parameters(), plain.parameters(), strict=True):
        other.data.copy_(own.data)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=memory_format)
    results = []
    for layer in (fast, plain):
        image = x.clone().requires_grad_()
        out = layer(image)
        weight = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).reshape(out.shape)
        results.append([out, *torch.autograd.grad((out * weight).sum(), [image, *layer.parameters()])])
    for own, other in zip(*results, strict=True):
        assert own.shape == other.shape
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


def test_the_slope_of_each_channel_is_left_to_torch():
    layer, x = PReLU(3, init=0.1), torch.tensor([-1.0, -2.0, -3.0]).view(1, 3, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert layer(x).flatten().tolist() == [-1, -4, -9]


def test_the_layers_work_in_mixed_precision():
    torch.manual_seed(0)
    network = Generator(9, 3, 8, 1).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x)
    out.float().square().mean().backward()
    exact = network(x)
    assert out.dtype == torch.bfloat16 and 0 < (out.float() - exact).abs().max() < 0.1
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_generator_is_the_same_with_torchs_own_layers():
    torch.manual_seed(0)
    fast = Generator(9, 3, 8, 2).double().train()
    plain = plain_layers(fast)
    kinds = {type(layer).__module__.split(".")[0] for layer in plain.modules()}
    assert kinds == {"torch", "models"} and list(plain.parameters())[0] is not list(fast.parameters())[0]
    x, losses = torch.rand(2, 3, 7, 5, dtype=torch.float64), []
    for network in (fast, plain):
        losses.append(network(x).square().mean())
        losses[-1].backward()
    assert torch.isclose(*losses, rtol=1e-12)
    for own, other in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_folding_changes_nothing_but_the_number_of_layers(data):
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 2)
    with torch.no_grad():
        for lr, _ in make_loader(SRDataset("train", tiny_config(data)), 4):       # running statistics that are not 0, 1
            network(to_float(lr))
    before = copy.deepcopy(network.state_dict())
    fast = folded(network)
    assert network.training and not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    x = torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), network.eval()(x), rtol=1e-5, atol=1e-5)


def test_folding_leaves_other_networks_alone():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    assert [type(layer) for layer in folded(network)] == [type(layer) for layer in network]


@pytest.mark.parametrize("scale", [2, 4])
def test_upscaling_by_the_fast_layers_is_upscaling_by_the_plain_ones(scale):
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 2, scale)
    lr = photo("coffee.png", 100, 200, 23, 31)
    difference = np.abs(super_resolve(network, lr).astype(int) - super_resolve(plain_layers(network), lr))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3

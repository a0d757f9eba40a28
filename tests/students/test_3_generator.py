"""Exercise 3: Generator in models.py, SRResNet (section 2.1.1, figure 4, top)."""

import math

import pytest
import torch
from easydict import EasyDict
from torch import nn

from models import Generator
from tests.students.tiny import SMALL, SMALL_D, count, of_kind


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_generator_upscales_by_the_scaling_factor(scale):
    lr = torch.rand(2, 3, 6, 9)
    sr = Generator(**SMALL, scaling_factor=scale)(lr)
    assert tuple(sr.shape) == (2, 3, 6 * scale, 9 * scale), (
        f"LR (2, 3, 6, 9) with scaling_factor={scale} has to give SR (2, 3, {6 * scale}, {9 * scale}), not "
        f"{tuple(sr.shape)}. Figure 4: {int(math.log2(scale))} sub-pixel blocks, each doubling height and width; "
        "convolutions keep the size with padding = kernel // 2.")


def test_the_generator_has_the_layers_of_figure_4():
    network = Generator(**SMALL)
    norms, convolutions = len(of_kind(network, nn.BatchNorm2d)), len(of_kind(network, nn.Conv2d))
    assert norms == 2 * 2 + 1, (
        f"A generator with 2 blocks has 2 x 2 + 1 = 5 BatchNorms, not {norms}. Figure 4: two in each block, one "
        "before the long skip, none elsewhere.")
    assert convolutions == 1 + 2 * 2 + 1 + 2 + 1, (
        f"A generator with 2 blocks and x4 has 1 + 2 x 2 + 1 + 2 + 1 = 9 convolutions, not {convolutions} (figure 4).")
    assert not of_kind(network, nn.ConvTranspose2d), (
        "There is a transposed convolution. The paper upscales by PixelShuffle (section 2.1.1, figure 4).")


def test_the_full_generator_has_about_one_and_a_half_million_parameters():
    n = count(Generator())
    assert 1.50e6 < n < 1.60e6, (
        f"Generator() has {n:,} parameters, expected about 1,547,350. Figure 4: 64 channels, 16 blocks, kernels 9, 3; "
        "each sub-pixel convolution makes 4 x 64 channels.")


def test_the_generator_is_made_from_a_config_too():
    config = EasyDict(G=SMALL, D=SMALL_D, scaling_factor=2)
    assert count(Generator(config)) == count(Generator(**SMALL, scaling_factor=2)), (
        "Generator(config) has to be the same network as Generator(**config.G, scaling_factor=config.scaling_factor).")


def test_the_last_layer_is_linear():
    network = Generator(**SMALL).eval()
    nn.init.constant_(of_kind(network, nn.Conv2d)[-1].bias, 7)
    mean = network(torch.rand(1, 3, 8, 8)).mean().item()
    assert mean > 5, (f"With a last bias of 7 the output's mean is {mean:.2f}: something bounds it. Figure 4: nothing "
                      "follows the last convolution, not even tanh.")


def test_every_parameter_of_the_generator_learns():
    network = Generator(**SMALL).train()
    (network(torch.rand(2, 3, 8, 8)) ** 2).mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not idle, f"No gradient reaches {', '.join(idle)}: are these layers used in forward()?"


def test_in_eval_mode_a_picture_does_not_depend_on_its_batch():
    network, batch = Generator(**SMALL), torch.rand(3, 3, 8, 8)
    network(batch)                                   # in training mode BatchNorm updates its statistics
    network.eval()
    with torch.no_grad():
        assert torch.allclose(network(batch)[:1], network(batch[:1]), atol=1e-5), (
            "In eval mode the result of an image changes with its batch: a layer uses the other images of the batch. "
            "Use nn.BatchNorm2d, and no statistics of your own.")

"""Your models.py against the paper: what has to come out of each network.

    python -m pytest tests/students

Each failure says what is wrong, and which part of the paper says what is right (Ledig et al. 2017, arXiv 1609.04802).
"""

import copy
import math

import pytest
import torch
from easydict import EasyDict
from torch import nn

from models import Discriminator, Generator, ResidualBlock, TruncatedVGG19

SMALL = dict(large_kernel_size=5, small_kernel_size=3, n_channels=8, n_blocks=2)
SMALL_D = dict(kernel_size=3, n_channels=8, n_blocks=4, fc_size=16)


def count(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def of_kind(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


# ---------------------------------------------------------------- Generator

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


def test_a_residual_block_adds_its_input():
    block, x = ResidualBlock(8, 3).eval(), torch.randn(2, 8, 5, 5)
    assert block(x).shape == x.shape, f"A block keeps the shape (2, 8, 5, 5), not {tuple(block(x).shape)}."
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.allclose(block(x), x), (
        "With all weights zero a residual block has to return its input: x + F(x), and no activation after the sum "
        "(section 2.1.1).")


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


# ---------------------------------------------------------------- Discriminator

@pytest.mark.parametrize("size", [96, 48])
def test_the_discriminator_gives_one_number_a_picture(size):
    out = Discriminator(**SMALL_D)(2 * torch.rand(3, 3, size, size) - 1)
    assert out.numel() == 3, (
        f"Three crops of {size} x {size} have to give 3 numbers, not {tuple(out.shape)}. Figure 4: two linear "
        "layers follow the blocks; the last one has a single output.")


def test_the_discriminator_gives_logits():
    network = Discriminator(**SMALL_D).eval()
    nn.init.constant_(of_kind(network, nn.Linear)[-1].bias, -7)
    mean = network(torch.rand(2, 3, 96, 96)).mean().item()
    assert mean < -3, (f"With a last bias of -7 the output's mean is {mean:.2f}: it goes through a sigmoid. "
                       "BCEWithLogitsLoss has one inside, and needs logits.")


def test_the_discriminator_has_the_layers_of_figure_4():
    network = Discriminator()
    convolutions = of_kind(network, nn.Conv2d)
    strides, channels = [c.stride[0] for c in convolutions], [c.out_channels for c in convolutions]
    assert channels == [64, 64, 128, 128, 256, 256, 512, 512], (
        f"The channels of the eight convolutions are {channels}; figure 4: 64, 64, 128, 128, 256, 256, 512, 512.")
    assert strides == [1, 2] * 4, f"The strides are {strides}; figure 4: 1, 2, 1, 2, 1, 2, 1, 2."
    norms = len(of_kind(network, nn.BatchNorm2d))
    assert norms == 7, f"There are {norms} BatchNorms; figure 4: one in every block except the first, so 7."
    slopes = {layer.negative_slope for layer in of_kind(network, nn.LeakyReLU)}
    assert slopes == {0.2}, f"The slopes of LeakyReLU are {slopes}; section 2.1.1: 0.2."


def test_every_parameter_of_the_discriminator_learns():
    network = Discriminator(**SMALL_D).train()
    (network(torch.rand(2, 3, 48, 48)) ** 2).mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not idle, f"No gradient reaches {', '.join(idle)}: are these layers used in forward()?"


# ---------------------------------------------------------------- TruncatedVGG19

@pytest.mark.parametrize("i, j, shape", [(1, 2, (64, 32, 32)), (2, 2, (128, 16, 16)), (3, 4, (256, 8, 8))])
def test_the_feature_map_has_its_shape(i, j, shape):
    features = TruncatedVGG19(i, j, weights="random")(torch.rand(2, 3, 32, 32))
    assert tuple(features.shape) == (2, *shape), (
        f"VGG {i},{j} of (2, 3, 32, 32) has to be {(2, *shape)}, not {tuple(features.shape)}. Section 2.2.1: {j}-th "
        f"convolution (after its activation) before the {i}-th max-pool.")
    assert features.min() >= 0, "The feature map has negative values: take it after the ReLU (section 2.2.1)."


def test_vgg_is_frozen_and_lets_gradients_through():
    network = TruncatedVGG19(2, 2, weights="random")
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(images).mean().backward()
    assert count(network) == 0, "VGG19 is not trained: its parameters must not be trainable (requires_grad_(False))."
    assert images.grad.abs().max() > 0, (
        "No gradient reaches the image: do not put VGG inside torch.no_grad(), the generator learns through it.")


def test_vgg_changes_neither_its_input_nor_its_mode():
    network, images = TruncatedVGG19(1, 2, weights="random"), torch.rand(1, 3, 16, 16)
    before = copy.deepcopy(images)
    network(images)
    assert torch.equal(images, before), "VGG has changed its input: the first ReLU must not work in place on it."
    assert not network.training, "VGG has to be in eval mode."

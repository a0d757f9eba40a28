"""Exercise 4: Discriminator in models.py (section 2.1.1, figure 4, bottom)."""

import pytest
import torch
from torch import nn

from models import Discriminator
from tests.students.tiny import SMALL_D, of_kind


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

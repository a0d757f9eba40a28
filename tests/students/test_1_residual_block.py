"""Exercise 1: ResidualBlock in models.py, the part of the generator that is repeated (section 2.1.1, figure 4)."""

import torch
from torch import nn

from models import ResidualBlock
from tests.students.tiny import of_kind


def test_a_residual_block_adds_its_input():
    block, x = ResidualBlock(8, 3).eval(), torch.randn(2, 8, 5, 5)
    assert block(x).shape == x.shape, f"A block keeps the shape (2, 8, 5, 5), not {tuple(block(x).shape)}."
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.allclose(block(x), x), (
        "With all weights zero a residual block has to return its input: x + F(x), and no activation after the sum "
        "(section 2.1.1).")


def test_its_layers_are_those_of_figure_4():
    block = ResidualBlock(8, 3)
    convolutions, norms, slopes = (len(of_kind(block, kind)) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.PReLU))
    assert (convolutions, norms, slopes) == (2, 2, 1), (
        f"A block has two convolutions, two BatchNorms and one PReLU (figure 4), not {convolutions}, {norms} and "
        f"{slopes}.")

"""Exercise 2: UpsampleBlock in models.py, sub-pixel convolution (Shi et al. 2016, arXiv 1609.05158; figure 4)."""

import torch
from torch import nn

from models import UpsampleBlock
from tests.students.tiny import of_kind


def test_it_doubles_height_and_width():
    shape = tuple(UpsampleBlock(8, 3)(torch.rand(2, 8, 5, 7)).shape)
    assert shape == (2, 8, 10, 14), (
        f"(2, 8, 5, 7) has to become (2, 8, 10, 14), not {shape}: a convolution makes 4 x 8 channels, PixelShuffle(2) "
        "turns them into 8 channels of twice the height and width; padding = kernel // 2.")


def test_its_layers_are_those_of_figure_4():
    block = UpsampleBlock(8, 3)
    channels, slopes = [layer.out_channels for layer in of_kind(block, nn.Conv2d)], of_kind(block, nn.PReLU)
    assert channels == [32], f"There is one convolution, to 4 x 8 = 32 channels (figure 4); here they make {channels}."
    assert len(slopes) == 1, f"One PReLU follows PixelShuffle (figure 4); here there are {len(slopes)}."


def test_four_channels_become_a_square_of_pixels():
    block = UpsampleBlock(2, 3).eval()
    convolution = of_kind(block, nn.Conv2d)[0]
    nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        convolution.bias.copy_(torch.arange(1.0, 9.0))          # channel k is k + 1 everywhere
        out = block(torch.rand(1, 2, 1, 1))[0]                  # (2, 2, 2)
    assert out.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], (
        f"Channels 0 to 3 have to become the four pixels of a 2 x 2 square of channel 0, row by row, and channels 4 to "
        f"7 those of channel 1, as nn.PixelShuffle(2) does it; with channel k equal to k + 1 the result is "
        f"{out.tolist()}.")

"""Exercise 5: TruncatedVGG19 in models.py, the feature maps of the content loss (section 2.2.1, equation 5)."""

import copy

import pytest
import torch

from models import TruncatedVGG19
from tests.students.tiny import count


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

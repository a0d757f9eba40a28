"""Weights of the public SR3 code: each has its place in our network, and what they compute."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from extensions import sr3
from extensions.sr3_weights import load_public, our_name, read_public, take_public
from support.checkpoints import CheckpointError
from tests.extensions.public_sr3 import TINY, TINY_UNET, public_shapes, write_public

COUNTS = {"sr3_16_128": 97_807_491, "sr3_64_512": 155_334_339, "ddpm_16_128": 26_451_587, "sr3_128": 97_805_763,
          "ddpm_128": 26_449_859}
# Name -> (input channels, multipliers, sizes with attention, ResBlocks a level, size of the images).
PUBLIC = {"sr3_16_128": (6, (1, 2, 4, 8, 8), (16,), 2, 128), "sr3_64_512": (6, (1, 2, 4, 8, 16), (), 1, 512),
          "ddpm_16_128": (6, (1, 1, 2, 2, 4, 4), (16,), 2, 128), "sr3_128": (3, (1, 2, 4, 8, 8), (16,), 2, 128),
          "ddpm_128": (3, (1, 1, 2, 2, 4, 4), (16,), 2, 128)}


# ---------------------------------------------------------------- names and shapes

@pytest.mark.parametrize("name", list(PUBLIC))
def test_every_public_name_has_its_place_in_our_network_and_the_counts_are_right(name, monkeypatch):
    monkeypatch.setattr(sr3, "_orthogonal", lambda layer: None)
    public = public_shapes(*PUBLIC[name], ddpm=name.startswith("ddpm"))
    public.pop("time_mlp.0.inv_freq", None)
    assert sum(math.prod(shape) for shape in public.values()) == COUNTS[name]
    with torch.device("meta"):
        own = sr3.UNet(**sr3.CONFIGURATIONS[name][0]).state_dict()
    assert {our_name(key): shape for key, shape in public.items()} == {
        key: tuple(tensor.shape) for key, tensor in own.items()}


# ---------------------------------------------------------------- what they compute

def public_forward(state, x, level, ddpm, groups=4):
    """The public U-Net with the configuration TINY, written out from its tensors alone."""
    def get(name):
        return state[f"denoise_fn.{name}.weight"], state.get(f"denoise_fn.{name}.bias")

    def swish(x):
        return x * torch.sigmoid(x)

    def conv(name, x, **options):
        return functional.conv2d(x, *get(name), **options)

    def blocks(name, x):
        return conv(f"{name}.block.3", swish(functional.group_norm(x, groups, *get(f"{name}.block.0"))), padding=1)

    def res(name, x):
        inner = f"{name}.res_block"
        shift = functional.linear(swish(embedding), *get(f"{inner}.mlp.1")) if ddpm else functional.linear(
            embedding, *get(f"{inner}.noise_func.noise_func.0"))
        h = blocks(f"{inner}.block2", blocks(f"{inner}.block1", x) + shift[:, :, None, None])
        x = h + (conv(f"{inner}.res_conv", x) if f"denoise_fn.{inner}.res_conv.weight" in state else x)
        if f"denoise_fn.{name}.attn.qkv.weight" not in state:
            return x
        n, c, height, width = x.shape
        q, k, v = conv(f"{name}.attn.qkv", functional.group_norm(x, groups, *get(f"{name}.attn.norm"))).view(
            n, 3, c, -1).unbind(1)
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(c), dim=2)
        return x + conv(f"{name}.attn.out", (v @ weights.transpose(1, 2)).view(n, c, height, width))

    half = 4
    angles = level[:, None] * torch.exp(-math.log(1e4) * torch.arange(half) / half)
    mlp = "time_mlp" if ddpm else "noise_level_mlp"
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    embedding = functional.linear(swish(functional.linear(embedding, *get(f"{mlp}.1"))), *get(f"{mlp}.3"))
    skips = [conv("downs.0", x, padding=1)]
    skips.append(res("downs.1", skips[-1]))
    skips.append(conv("downs.2.conv", skips[-1], stride=2, padding=1))
    skips.append(res("downs.3", skips[-1]))
    x = res("mid.1", res("mid.0", skips[-1]))
    for name in ("ups.0", "ups.1"):
        x = res(name, torch.cat([x, skips.pop()], dim=1))
    x = conv("ups.2.conv", functional.interpolate(x, scale_factor=2), padding=1)
    for name in ("ups.3", "ups.4"):
        x = res(name, torch.cat([x, skips.pop()], dim=1))
    return blocks("final_conv", x)


@pytest.mark.parametrize("variant", ["sr3", "ddpm"])
def test_the_loaded_network_computes_what_the_public_one_does(variant, tmp_path):
    ddpm = variant == "ddpm"
    path = tmp_path / "I20_E1_gen.pth"
    state = write_public(path, public_shapes(*TINY, ddpm=ddpm, inner=8))
    network = take_public(sr3.SR3(TINY_UNET, variant=variant), path).eval()
    x, level = torch.randn(2, 6, 8, 8), torch.tensor([700.0, 3.0]) if ddpm else torch.tensor([0.9, 0.2])
    with torch.no_grad():
        found, expected = network.unet(x, level), public_forward(state, x, level, ddpm)
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


def test_the_schedule_comes_from_the_file(tmp_path):
    path = tmp_path / "a_gen.pth"
    write_public(path, public_shapes(*TINY, ddpm=True, inner=8), np.linspace(1e-4, 2e-2, 1000))
    assert read_public(path)[1:] == ("ddpm", (1e-4, 2e-2, 1000))


def test_a_configuration_is_found_by_its_shapes(tmp_path, monkeypatch):
    path = tmp_path / "a_gen.pth"
    write_public(path, public_shapes(*TINY, ddpm=False, inner=8), np.linspace(1e-6, 0.1, 100))
    with pytest.raises(CheckpointError, match="none of the configurations"):
        load_public(path)
    monkeypatch.setitem(sr3.CONFIGURATIONS, "tiny", (TINY_UNET, (1e-6, 1e-2, 2000)))
    network = load_public(path, scaling_factor=4)
    assert network.settings["betas"] == [1e-6, 0.1, 100] and network.scaling_factor == 4 and not network.training


# ---------------------------------------------------------------- what is refused

def test_ddpm_needs_the_schedule_that_it_was_trained_with(tmp_path):
    path = tmp_path / "a_gen.pth"
    write_public(path, public_shapes(*TINY, ddpm=True, inner=8), np.linspace(1e-4, 2e-2, 1000))
    take_public(sr3.SR3(TINY_UNET, (1e-4, 2e-2, 1000), variant="ddpm"), path)
    with pytest.raises(CheckpointError, match=r"Set model.beta_schedule.train .* to \[0.0001, 0.02, 1000\]"):
        take_public(sr3.SR3(TINY_UNET, (1e-4, 2e-2, 2000), variant="ddpm"), path)


def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "a_gen.pth"
    write_public(path, public_shapes(*TINY, ddpm=False, inner=16))
    network = sr3.SR3(TINY_UNET)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match="does not fit"):
        take_public(network, path)
    with pytest.raises(CheckpointError, match='Set model.which_model_G to "sr3"'):
        take_public(sr3.SR3(TINY_UNET, variant="ddpm"), path)
    with pytest.raises(CheckpointError, match='Set model.diffusion.target to "image"'):
        take_public(sr3.SR3(TINY_UNET, target="residual"), path)
    with pytest.raises(CheckpointError, match="Set model.diffusion.conditional to true"):
        take_public(sr3.SR3(TINY_UNET, conditional=False), path)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_other_files_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other_gen.pth")
    with pytest.raises(CheckpointError, match="no tensor named denoise_fn"):
        read_public(tmp_path / "other_gen.pth")
    torch.save({"denoise_fn.a": torch.zeros(1), "code": CheckpointError}, tmp_path / "code_gen.pth")
    with pytest.raises(CheckpointError, match="can run code"):
        read_public(tmp_path / "code_gen.pth")
    with pytest.raises(CheckpointError, match="no weight file"):
        read_public(tmp_path / "none_gen.pth")
    write_public(tmp_path / "cosine_gen.pth", public_shapes(*TINY, ddpm=False, inner=8),
                 np.linspace(0.01, 0.3, 50) ** 2)
    with pytest.raises(CheckpointError, match="not linear"):
        read_public(tmp_path / "cosine_gen.pth")

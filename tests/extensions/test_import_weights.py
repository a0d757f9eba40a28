"""extensions/import_weights.py: files with the names and shapes of public code, and what their networks compute.

The expected images come from the forward passes below, which are written with torch.nn.functional from the public
networks' own names of tensors; none of the kit's layers is used.
"""

import re
import sys
import types

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from extensions import import_weights as importing
from extensions.train import main
from inference import load_generator
from models import Generator
from support.checkpoints import CheckpointError, read_metadata
from support.enlarging import super_resolve
from tests.helpers import photo

C = 6                      # channels


def numbers(shapes):
    """A state_dict of plausible numbers: name -> shape; PReLU slopes, variances and counters as they occur."""
    random, state = torch.Generator().manual_seed(1), {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=random)
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        elif len(shape) == 4:
            value = value / (shape[1] * shape[2] * shape[3]) ** 0.5
        elif name.endswith("num_batches_tracked"):
            value = torch.tensor(5)
        else:
            value = 0.3 * value
        state[name] = value
    return state


def conv(name, c_out, c_in, k, bias=True):
    return {f"{name}.weight": (c_out, c_in, k, k), **({f"{name}.bias": (c_out,)} if bias else {})}


def norm(name, counter=True):
    return {f"{name}.{part}": (C,) for part in ("weight", "bias", "running_mean", "running_var")} | (
        {f"{name}.num_batches_tracked": ()} if counter else {})


def slope(name):
    return {f"{name}.weight": (1,)}


# ---------------------------------------------------------------- the four layouts

def leftthomas(doublings=2, batchnorm=True):
    shapes = conv("block1.0", C, 3, 9) | slope("block1.1")
    for i in range(2, 7):
        shapes |= conv(f"block{i}.conv1", C, C, 3) | norm(f"block{i}.bn1", batchnorm) | slope(f"block{i}.prelu")
        shapes |= conv(f"block{i}.conv2", C, C, 3) | norm(f"block{i}.bn2", batchnorm)
    shapes |= conv("block7.0", C, C, 3) | (norm("block7.1") if batchnorm else slope("block7.1"))
    for i in range(doublings):
        shapes |= conv(f"block8.{i}.conv", 4 * C, C, 3) | slope(f"block8.{i}.prelu")
    return numbers(shapes | conv(f"block8.{doublings}", 3, C, 9))


def sgrvinod(doublings=2, prefix=""):
    shapes = conv("conv_block1.conv_block.0", C, 3, 9) | slope("conv_block1.conv_block.1")
    for i in range(3):
        for k in (1, 2):
            name = f"residual_blocks.{i}.conv_block{k}.conv_block"
            shapes |= conv(f"{name}.0", C, C, 3) | norm(f"{name}.1") | (slope(f"{name}.2") if k == 1 else {})
    shapes |= conv("conv_block2.conv_block.0", C, C, 3) | norm("conv_block2.conv_block.1")
    for i in range(doublings):
        shapes |= conv(f"subpixel_convolutional_blocks.{i}.conv", 4 * C, C, 3)
        shapes |= slope(f"subpixel_convolutional_blocks.{i}.prelu")
    shapes |= conv("conv_block3.conv_block.0", 3, C, 9)
    return numbers({prefix + name: shape for name, shape in shapes.items()})


def lornatang(doublings=2, word="conv"):
    shapes = conv(f"{word}1.0", C, 3, 9) | slope(f"{word}1.1")
    for i in range(3):
        name = f"trunk.{i}.rcb"
        shapes |= conv(f"{name}.0", C, C, 3, False) | norm(f"{name}.1") | slope(f"{name}.2")
        shapes |= conv(f"{name}.3", C, C, 3, False) | norm(f"{name}.4")
    shapes |= conv(f"{word}2.0", C, C, 3, False) | norm(f"{word}2.1")
    for i in range(doublings):
        shapes |= conv(f"upsampling.{i}.upsample_block.0", 4 * C, C, 3) | slope(f"upsampling.{i}.upsample_block.2")
    return numbers(shapes | conv(f"{word}3", 3, C, 9))


def msrresnet(scale=4):
    shapes = conv("conv_first", C, 3, 3)
    for i in range(3):
        shapes |= conv(f"body.{i}.conv1", C, C, 3) | conv(f"body.{i}.conv2", C, C, 3)
    shapes |= conv("upconv1", C * (9 if scale == 3 else 4), C, 3)
    if scale == 4:
        shapes |= conv("upconv2", 4 * C, C, 3)
    return numbers(shapes | conv("conv_hr", C, C, 3) | conv("conv_last", 3, C, 3))


# ---------------------------------------------------------------- their forward passes, by torch.nn.functional

def convolve(x, state, name):
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def normalise(x, state, name):
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def of_leftthomas(state, x):
    start = features = F.prelu(convolve(x, state, "block1.0"), state["block1.1.weight"])
    for i in range(2, 7):
        y = normalise(convolve(features, state, f"block{i}.conv1"), state, f"block{i}.bn1")
        y = convolve(F.prelu(y, state[f"block{i}.prelu.weight"]), state, f"block{i}.conv2")
        features = features + normalise(y, state, f"block{i}.bn2")
    y = convolve(features, state, "block7.0")
    y = start + (normalise(y, state, "block7.1") if "block7.1.bias" in state else F.prelu(y, state["block7.1.weight"]))
    i = 0
    while f"block8.{i}.conv.weight" in state:
        y = F.prelu(F.pixel_shuffle(convolve(y, state, f"block8.{i}.conv"), 2), state[f"block8.{i}.prelu.weight"])
        i += 1
    return (torch.tanh(convolve(y, state, f"block8.{i}")) + 1) / 2


def of_sgrvinod(state, x):
    state = {name.removeprefix("net."): value for name, value in state.items()}
    x = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    start = y = F.prelu(convolve(x, state, "conv_block1.conv_block.0"), state["conv_block1.conv_block.1.weight"])
    for i in range(3):
        first, second = (f"residual_blocks.{i}.conv_block{k}.conv_block" for k in (1, 2))
        z = F.prelu(normalise(convolve(y, state, f"{first}.0"), state, f"{first}.1"), state[f"{first}.2.weight"])
        y = y + normalise(convolve(z, state, f"{second}.0"), state, f"{second}.1")
    y = start + normalise(convolve(y, state, "conv_block2.conv_block.0"), state, "conv_block2.conv_block.1")
    i = 0
    while f"subpixel_convolutional_blocks.{i}.conv.weight" in state:
        name = f"subpixel_convolutional_blocks.{i}"
        y = F.prelu(F.pixel_shuffle(convolve(y, state, f"{name}.conv"), 2), state[f"{name}.prelu.weight"])
        i += 1
    return (torch.tanh(convolve(y, state, "conv_block3.conv_block.0")) + 1) / 2


def of_lornatang(state, x):
    state = {name.replace("conv_block", "conv"): value for name, value in state.items()}
    start = y = F.prelu(convolve(x, state, "conv1.0"), state["conv1.1.weight"])
    for i in range(3):
        name = f"trunk.{i}.rcb"
        z = F.prelu(normalise(convolve(y, state, f"{name}.0"), state, f"{name}.1"), state[f"{name}.2.weight"])
        y = y + normalise(convolve(z, state, f"{name}.3"), state, f"{name}.4")
    y = start + normalise(convolve(y, state, "conv2.0"), state, "conv2.1")
    i = 0
    while f"upsampling.{i}.upsample_block.0.weight" in state:
        name = f"upsampling.{i}.upsample_block"
        y = F.prelu(F.pixel_shuffle(convolve(y, state, f"{name}.0"), 2), state[f"{name}.2.weight"])
        i += 1
    return convolve(y, state, "conv3").clamp(0, 1)


def of_msrresnet(state, x):
    scale = 4 if "upconv2.weight" in state else {9: 3, 4: 2}[len(state["upconv1.bias"]) // C]
    y = F.leaky_relu(convolve(x, state, "conv_first"), 0.1)
    for i in range(3):
        y = y + convolve(F.relu(convolve(y, state, f"body.{i}.conv1")), state, f"body.{i}.conv2")
    y = F.leaky_relu(F.pixel_shuffle(convolve(y, state, "upconv1"), 3 if scale == 3 else 2), 0.1)
    if scale == 4:
        y = F.leaky_relu(F.pixel_shuffle(convolve(y, state, "upconv2"), 2), 0.1)
    y = convolve(F.leaky_relu(convolve(y, state, "conv_hr"), 0.1), state, "conv_last")
    height, width = (scale * n for n in x.shape[-2:])
    return y + F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


FILES = {                  # name -> (content, forward pass, method, words in the source)
    "leftthomas x4": (leftthomas(), of_leftthomas, "public-srresnet", "leftthomas"),
    "leftthomas x2": (leftthomas(1), of_leftthomas, "public-srresnet", "leftthomas"),
    "leftthomas x8": (leftthomas(3), of_leftthomas, "public-srresnet", "leftthomas"),
    "leftthomas of 2017": (leftthomas(2, False), of_leftthomas, "public-srresnet", "leftthomas"),
    "sgrvinod SRResNet": (sgrvinod(), of_sgrvinod, "public-srresnet", "sgrvinod"),
    "sgrvinod SRGAN": (sgrvinod(prefix="net."), of_sgrvinod, "public-srresnet", "sgrvinod"),
    "Lornatang": (lornatang(), of_lornatang, "srgan", "Lornatang"),
    "Lornatang of 2022, x2": (lornatang(1, "conv_block"), of_lornatang, "srgan", "Lornatang"),
    **{f"MSRResNet x{s}": (msrresnet(s), of_msrresnet, "msrresnet", "MSRResNet") for s in (2, 3, 4)}}


def image(height=11, width=9):
    return torch.from_numpy(photo("astronaut.png", 40, 200, height, width)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", FILES)
def test_each_layout_becomes_a_file_that_computes_what_its_code_does(tmp_path, name, capsys):
    state, forward, method, source = FILES[name]
    torch.save(state, tmp_path / "theirs.pth")
    assert main(["import_weights", str(tmp_path / "theirs.pth")]) == 0
    printed = capsys.readouterr().out
    assert source in printed and "load_generator" in printed
    network = load_generator(tmp_path / "theirs.safetensors")
    facts = read_metadata(tmp_path / "theirs.safetensors")["facts"]
    assert network.method == method and source in facts["source"] and len(facts["sha256"]) == 64
    with torch.no_grad():
        expected = forward(state, image())
        got = (network(image()) + 1) / 2
    assert expected.std() > 0.05 and (expected > 0).float().mean() > 0.2           # otherwise it proves nothing
    if "Lornatang" in name:                # ours is clamped where an 8-bit image is made of it
        got = got.clamp(0, 1)
    assert torch.allclose(got, expected, atol=2e-6), (got - expected).abs().max()
    assert isinstance(network, Generator) or method == "msrresnet"


@pytest.mark.parametrize("name", ["leftthomas x4", "sgrvinod SRGAN", "MSRResNet x3", "MSRResNet x4"])
def test_tiles_give_the_whole_image(tmp_path, name):
    state, forward, *_ = FILES[name]
    network, _ = importing.recognise(state, "theirs.pth")
    lr = photo("coffee.png", 100, 200, 61, 47)
    x = torch.from_numpy(lr.copy()).permute(2, 0, 1)[None].float() / 255
    expected = (forward(state, x).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy().astype(int)
    sizes = []
    for memory in (2**29, 8_000_000):
        sr = super_resolve(network, lr, memory=memory, progress=sizes.append).astype(int)
        assert np.abs(sr - expected).max() <= 1 and (sr != expected).mean() < 0.001
    assert len(sizes) > 6                                                          # there were tiles


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
def test_the_tutorials_checkpoint_is_a_pickled_module_and_only_its_tensors_are_read(tmp_path, capsys, legacy):
    """{"epoch", "generator": a whole module, "discriminator", "optimizer_g", ...}, of classes that are not here."""
    theirs = types.ModuleType("theirs")
    exec("from torch import nn\nclass Block(nn.Module): pass\nclass Generator(nn.Module): pass", theirs.__dict__)
    for cls in (theirs.Block, theirs.Generator):
        cls.__module__ = "theirs"

    def module_of(state):
        network = theirs.Generator()
        for name, value in state.items():
            place = network
            *path, last = name.split(".")
            for part in path:
                if part not in place._modules:
                    place.add_module(part, theirs.Block())
                place = place._modules[part]
            if re.search("running|tracked", last):
                place.register_buffer(last, value)
            else:
                place.register_parameter(last, torch.nn.Parameter(value))
        return network
    state = sgrvinod(prefix="net.")
    generator, other = module_of(state), module_of({"fc1.weight": torch.ones(2, 2)})
    sys.modules["theirs"] = theirs
    torch.save({"epoch": 3, "generator": generator, "discriminator": other,
                "optimizer_g": torch.optim.Adam(generator.parameters())},
               tmp_path / "checkpoint_srgan.pth.tar", _use_new_zipfile_serialization=not legacy)
    del sys.modules["theirs"]
    assert main(["import_weights", str(tmp_path / "checkpoint_srgan.pth.tar")]) == 0
    assert "theirs.Generator" in capsys.readouterr().out and "theirs" not in sys.modules
    network = load_generator(tmp_path / "checkpoint_srgan.safetensors")
    with torch.no_grad():
        assert torch.allclose((network(image()) + 1) / 2, of_sgrvinod(state, image()), atol=2e-6)


def test_basicsr_keeps_two_and_the_averaged_one_is_taken(tmp_path, capsys):
    state = msrresnet()
    torch.save({"params": {name: value + 1 for name, value in state.items()},
                "params_ema": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "net_g.pth")
    out = tmp_path / "mine"
    assert main(["import_weights", str(tmp_path / "net_g.pth"), "--out", str(out)]) == 0
    assert "'params_ema' (there too: params)" in capsys.readouterr().out
    network = load_generator(tmp_path / "mine.safetensors")
    assert torch.equal(network.first.weight, state["conv_first.weight"])
    assert main(["import_weights", str(tmp_path / "net_g.pth"), "--key", "params", "--out", f"{out}2"]) == 0
    assert torch.equal(load_generator(tmp_path / "mine2.safetensors").first.weight, state["conv_first.weight"] + 1)


def test_what_is_there_is_not_overwritten(tmp_path, capsys):
    torch.save(lornatang(), tmp_path / "g.pth")
    (tmp_path / "g.safetensors").write_bytes(b"mine")
    assert main(["import_weights", str(tmp_path / "g.pth")]) == 1
    assert "--out" in capsys.readouterr().err and (tmp_path / "g.safetensors").read_bytes() == b"mine"


def test_a_network_that_is_not_known_and_one_that_lacks_tensors(tmp_path, capsys):
    state = lornatang()
    for number, (content, words) in enumerate((
            ({"conv.weight": torch.zeros(3)}, ["not known here", "conv.weight", "leftthomas", "LAYOUTS"]),
            ({name: value for name, value in state.items() if not name.startswith("conv1")},
             ["names of Lornatang", "not all of its tensors"]),
            ({name: value for name, value in state.items() if name != "conv2.1.bias"},
             ["after_blocks.1.bias is missing"]),
            ({**state, "extra": torch.zeros(1)}, ["not known here"]))):
        torch.save(content, tmp_path / f"{number}.pth")
        assert main(["import_weights", str(tmp_path / f"{number}.pth")]) == 1
        printed = capsys.readouterr().err
        assert all(part in printed for part in words), printed
    assert main(["import_weights", str(tmp_path / "none.pth")]) == 1
    assert "no weight file" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


def test_training_mode_keeps_meaning_what_it_meant():
    """The biases before BatchNorm are in its mean: a training goes on from the same network."""
    state = leftthomas()
    network, _ = importing.recognise(state, "theirs.pth")
    mean = state["block2.bn1.running_mean"] - state["block2.conv1.bias"]
    assert torch.equal(network.blocks[0].layers[1].running_mean, mean)
    with pytest.raises(ValueError, match="lr_range"):
        importing.PublicSRResNet(lr_range="[0, 255]")
    with pytest.raises(ValueError, match="2, 3 or 4"):
        importing.MSRResNet(scaling_factor=8)
    with pytest.raises(CheckpointError, match="not known"):
        importing.recognise({"a": torch.zeros(1)}, "a.pth")

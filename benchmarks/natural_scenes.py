"""Make NIQE's parameters from natural photographs: python -m benchmarks.natural_scenes FOLDER

Writes support/niqe_parameters.npz.  The kit's were made from the 291 training images (91 + BSD200); they are a mean
and a covariance, no image can be made from them.  Scores by other parameters, such as those of the authors' release,
are other numbers: only scores by the same parameters can be compared.
"""

import argparse
from pathlib import Path

import numpy as np

from metrics import luma, three_channels
from support.images import SUFFIXES, read_image
from support.naturalness import PARAMETERS, describe_photographs


def planes(folder):
    """The luma planes of the images of a folder, in the order of their names."""
    for path in sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES):
        yield luma(three_channels(read_image(path)[0]))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs without noise, blur and compression")
    parser.add_argument("--out", type=Path, default=PARAMETERS, help="default: the file that the kit uses")
    args = parser.parse_args(arguments)
    mean, covariance, n_blocks = describe_photographs(planes(args.folder))
    np.savez(args.out, mean=mean, covariance=covariance, n_blocks=n_blocks)
    print(f"{args.out}: {n_blocks} blocks")


if __name__ == "__main__":
    main()

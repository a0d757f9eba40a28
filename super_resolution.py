### BEGIN SOLUTION
"""Upscale images with a trained generator: the code behind super_resolution.ipynb, for single files and folders.

    python super_resolution.py holiday.jpg                     -> enlarged/holiday_x4.png
    python super_resolution.py my_photos --out large           every image of a folder
    python super_resolution.py old.png --weights srresnet-x4   the weights with the highest PSNR
    python super_resolution.py old.png --weights runs/mine/checkpoints/srgan_last.pth
"""
### REPLACED BY
# """Upscale images with your trained generator: the code behind super_resolution.ipynb, for single files and folders.
#
#     python super_resolution.py holiday.jpg --weights runs/mine/checkpoints/srgan_last.pth
#     python super_resolution.py my_photos --weights runs/mine/checkpoints/srgan_last.pth --out large
#
# The first writes enlarged/holiday_x4.png, the second takes every image of a folder.
# """
### END SOLUTION

import argparse
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imresize import imresize
from inference import load_generator
from metrics import three_channels
from support.checkpoints import CheckpointError
from support.enlarging import super_resolve
from support.files import save_image
from support.images import as_8_bit_array, open_image
from support.messages import NotWritten
from support.progress import StatusLine
from support.safeguards import is_out_of_memory

### BEGIN SOLUTION
from inference import SHIPPED
from support.checkpoints import shipped_names
### END SOLUTION

# lr: uint8 (h, w, 3).  alpha: uint8 (h, w) or None.  profile: the ICC profile's bytes or None.
Picture = namedtuple("Picture", "lr alpha profile notice")


def read_picture(path):
    """Read a photograph as cameras and phones make it: turned upright, alpha channel and colour profile apart.

    Returns:
        Picture; ``notice`` is "" or says what was changed.

    Raises:
        ValueError: for what is not an image, is damaged, or has 16 bits a channel.
    """
    image, notices = open_image(path)
    # A phone's colours are often those of Display P3: without the profile they would look pale.
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA"))
        return Picture(rgba[..., :3].copy(), rgba[..., 3].copy(), profile, ", and ".join(notices))
    lr, changed = as_8_bit_array(image)
    return Picture(three_channels(lr), None, profile, ", and ".join(filter(None, [changed, *notices])))


def enlarge(picture, upscale):
    """The picture upscaled: uint8 (s h, s w, 3), or (s h, s w, 4) where it has an alpha channel.

    Args:
        picture: Picture, see ``read_picture``.
        upscale: function uint8 (h, w, 3) -> uint8 (s h, s w, 3).
    """
    sr = upscale(picture.lr)
    if picture.alpha is None:
        return sr
    # The network has learnt photographs, not masks; and colours must not leak into the mask.
    return np.dstack([sr, imresize(picture.alpha, output_shape=sr.shape[:2])])


def save_picture(path, sr, picture):
    """Write the array that ``enlarge`` returned as PNG, with the colour profile of the picture."""
    save_image(path, sr, **({"icc_profile": picture.profile} if picture.profile else {}))


def find_pictures(paths):
    """The image files among files and folders (subfolders are not searched), each once, a folder's sorted by name.

    Raises:
        ValueError: for a path that does not exist, or a folder without an image.
    """
    # Pillow does not read HEIC; without its endings, a phone's photographs would be skipped silently.
    endings, found = {*Image.registered_extensions(), ".heic", ".heif"}, []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir()
                            if file.suffix.lower() in endings and not file.name.startswith("."))
            if not inside:
                raise ValueError(f"There is no image in the folder {path}.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist.")
    return list(dict.fromkeys(found))


def result_names(paths, scale):
    """dict path -> name of its result; where two would get one name, the ending tells them apart.

    Raises:
        ValueError: where the ending does not, either.
    """
    stems = [path.stem.lower() for path in paths]
    names = {path: f"{path.stem if stems.count(path.stem.lower()) == 1 else path.name.replace('.', '_')}_x{scale}.png"
             for path in paths}
    taken = [name.lower() for name in names.values()]
    twice = [str(path) for path, name in names.items() if taken.count(name.lower()) > 1]
    if twice:
        raise ValueError(f"{' and '.join(twice)} would be written to one file. Upscale them one at a time, each with "
                         "its own --out.")
    return names


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    ### BEGIN SOLUTION
    parser.add_argument("--weights", default=SHIPPED["srgan"], metavar="NAME|FILE",
                        help=f"{', '.join(shipped_names())}, or a .pth or .safetensors file (default: %(default)s)")
    ### REPLACED BY
    # parser.add_argument("--weights", required=True, metavar="FILE",
    #                     help="a .pth or .safetensors file, such as runs/demo/checkpoints/srgan_last.pth")
    ### END SOLUTION
    parser.add_argument("--out", type=Path, default=Path("enlarged"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--self-ensemble", action="store_true",
                        help="the mean over eight flips and rotations: it takes eight times as long and gives a little "
                             "more PSNR (for an SRResNet; it takes some of an SRGAN's texture away)")
    args = parser.parse_args(arguments)
    if args.out.exists() and not args.out.is_dir():
        parser.error(f"--out {args.out} is a file. Give a folder; it is made where it is missing.")
    try:
        generator = load_generator(args.weights).to("cuda" if torch.cuda.is_available() else "cpu")
        names = result_names(find_pictures(args.pictures), generator.scaling_factor)
    except (CheckpointError, ValueError, NotWritten) as error:
        parser.error(str(error))

    labels = [f"[{number}/{len(names)}] {path.name}" for number, path in enumerate(names, start=1)]
    done = [upscale_file(path, args.out / name, generator, args.self_ensemble, label)
            for (path, name), label in zip(names.items(), labels)]
    return 0 if all(done) else 1


def upscale_file(path, target, generator, self_ensemble, label):
    """Upscale one file and say so on a line of its own; False, with the reason, where that cannot be done."""
    line = StatusLine()

    def upscale(lr):
        return super_resolve(generator, lr, self_ensemble=self_ensemble,
                             progress=lambda text: line.show(f"{label}  {text}"))
    try:
        picture = read_picture(path)
        sr = enlarge(picture, upscale)
        replaced = target.exists()
        save_picture(target, sr, picture)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:       # the other images must not suffer
        told = isinstance(error, (ValueError, OSError, NotWritten))
        if not told and isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        reason = str(error) if told else (
            "the memory does not hold an image of this size. Reduce it first.")
        line.show(f"{label}  NOT UPSCALED: {reason}", last=True)
        return False
    notice = f" ({picture.notice})" * bool(picture.notice) + " (the former one is replaced)" * replaced
    line.show(f"{label}  {sr.shape[1]} x {sr.shape[0]}, {target}{notice}", last=True)
    return True


if __name__ == "__main__":
    sys.exit(main())

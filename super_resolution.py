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
import hashlib
import sys
from pathlib import Path

import torch

from inference import load_generator
from support.checkpoints import CheckpointError
from support.enlarging import super_resolve
from support.messages import NotWritten, count
from support.picture_files import (
    expanded,
    find_pictures,
    is_there,
    real,
    result_names,
    source_of,
    try_folder,
    why_not,
)
from support.pictures import Picture, enlarge, read_picture, save_picture
from support.progress import StatusLine
from support.safeguards import is_out_of_memory

### BEGIN SOLUTION
from inference import SHIPPED
from support.checkpoints import shipped_names
### END SOLUTION

ABOUT = """\
Results are PNG files.  Kept are transparency, the colour profile of RGB and grey images, EXIF (turned upright) and
resolution; grey stays grey.  CMYK and LAB become sRGB, by their profile where there is one.  What is lost is said.
Images of more than 8 bits a channel, or of more bands than RGB and transparency, are refused: convert them first.
Where an image is flat, the result is interpolated: a network would shift the colour and add a pattern.
"""
LARGE = 50_000_000      # pixels of LR: its result, 800 megapixels, takes 2.4 GB of memory, and more while it is made

__all__ = ["Picture", "enlarge", "find_pictures", "main", "read_picture", "result_names", "save_picture"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, epilog=ABOUT,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument("--subfolders", action="store_true",
                        help="the images in the subfolders of a folder as well; the results lie in such subfolders")
    args = parser.parse_args(arguments)
    try:
        return run(args, parser.error)
    except KeyboardInterrupt:
        print("\nStopped. The same command again goes on from here.", file=sys.stderr)
        return 130


def run(args, error):
    """Do what the command line says; returns the exit status.  ``error`` is given what keeps it from beginning."""
    if args.out.exists() and not args.out.is_dir():
        error(f"--out {args.out} is a file. Give a folder; it is made where it is missing.")
    try:
        generator = load_generator(args.weights).to("cuda" if torch.cuda.is_available() else "cpu")
        folders = [path for path in expanded(args.pictures) if path.is_dir()]
        pictures = find_pictures(args.pictures, args.subfolders, say=lambda text: print(text, file=sys.stderr))
        names = result_names(pictures, generator.scaling_factor, folders)
        try_folder(args.out)
    except (CheckpointError, ValueError, NotWritten) as problem:
        error(str(problem))
    return upscale_all({path: args.out / name for path, name in names.items()}, generator, args.self_ensemble)


def upscale_all(targets, generator, self_ensemble):
    """Upscale pictures, dict path -> file of the result; the command's exit status."""
    settings, inputs = (digest_of(generator), generator.scaling_factor, self_ensemble), set(map(real, targets))
    labels = {path: f"[{number}/{len(targets)}] {path.name}" for number, path in enumerate(targets, start=1)}
    # Said before the first picture is computed, which may take an hour.
    refused = {path: reason for path, target in targets.items() if (reason := why_not(target, inputs))}
    for path, reason in refused.items():
        StatusLine().show(f"{labels[path]}  NOT UPSCALED: {reason}", last=True)
    # A folder that was interrupted; one picture alone is upscaled as often as it is named.
    here = {path for path, target in targets.items() if len(targets) > 1 and path not in refused
            and is_there(target, path, *settings)}
    if here:
        print(f"{count(here)} upscaled already, from the same content by the same weights: passed over.", flush=True)
    done = [upscale_file(path, target, generator, self_ensemble, labels[path], settings)
            for path, target in targets.items() if path not in refused and path not in here]
    return 0 if all(done) and not refused else 1


def digest_of(generator):
    """16 hexadecimal digits that identify a network's weights."""
    digest = hashlib.sha256()
    for name, value in generator.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def upscale_file(path, target, generator, self_ensemble, label, settings):
    """Upscale one file and print a line on it; False, with the reason on stderr, where that cannot be done."""
    line = StatusLine()

    def upscale(lr):
        return super_resolve(generator, lr, self_ensemble=self_ensemble,
                             progress=lambda text: line.show(f"{label}  {text}"))
    try:
        source, picture = source_of(path, *settings), read_picture(path)
        h, w = picture.lr.shape[:2]
        if h * w > LARGE:
            gigabytes = 3 * generator.scaling_factor**2 * h * w / 1e9
            line.show(f"{label}  {h * w / 1e6:.0f} megapixels: the result alone takes {gigabytes:.1f} GB of memory",
                      last=True)
        sr = enlarge(picture, upscale)
        replaced = target.exists()
        save_picture(target, sr, picture, source)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:       # the other images must not suffer
        told = isinstance(error, (ValueError, OSError, NotWritten))
        if not told and isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        reason = str(error) if told else "the memory does not hold an image of this size. Reduce it first."
        if isinstance(error, OSError) and error.strerror:        # str() would begin with "[Errno 2]"
            reason = f"{path} cannot be read: {error.strerror}." if error.filename else error.strerror
        line.show(f"{label}  NOT UPSCALED: {reason}", last=True)
        return False
    notice = f" ({picture.notice})" * bool(picture.notice) + " (the former one is replaced)" * replaced
    line.clear()
    print(f"{label}  {sr.shape[1]} x {sr.shape[0]}, {target}{notice}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())

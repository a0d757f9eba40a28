"""Square images for SR3: LR, HR, and LR upscaled, in the folders that users of the public code know.

    python -m extensions.sr3_commands prepare_data --path photos --out dataset/faces --size 64,512

makes dataset/faces_64_512/ with hr_512/, lr_64/, sr_64_512/ and the lists by which this kit reads them.
"""

from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from create_data_lists import write_list
from imresize import imresize
from metrics import three_channels
from support.files import save_image
from support.images import SUFFIXES, read_image
from support.lists import DataError
from support.messages import notice
from support.progress import StatusLine


def images_below(path):
    """The image files of a folder and of the folders in it, or one file; sorted.

    Raises:
        DataError: if there are none.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{path} is no image and no folder with images ({', '.join(sorted(SUFFIXES))}).")
    return files


def square(image, size):
    """The central square of an image, uint8 (H, W, 3), whose shorter side is reduced to ``size``: (size, size, 3)."""
    shorter = min(image.shape[:2])
    shape = [max(size, round(length * size / shorter)) for length in image.shape[:2]]
    image = image if shorter == size else imresize(image, output_shape=shape)
    top, left = ((length - size) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[top:top + size, left:left + size])


def three_sizes(image, low, high):
    """(LR, HR, LR upscaled) of an image, uint8.

    LR is made from HR by MATLAB's bicubic, as everywhere in this kit: what the network has to undo is known
    exactly.  The public code makes each from the photograph by Pillow's, whose borders and rounding differ a little.
    """
    hr = square(image, high)
    lr = imresize(hr, low / high)
    return lr, hr, imresize(lr, high / low)


def _prepare(out, low, high, file):
    """Make the three files of one image.

    Returns:
        (fault, changes): why it is left out, or what was changed in it; else "".
    """
    try:
        image, changed = read_image(file)
    except ValueError as error:
        return str(error), ""
    if min(image.shape[:2]) < high:
        return f"{file} is {image.shape[1]} x {image.shape[0]}, smaller than HR of {high} x {high}.", ""
    folders = f"lr_{low}", f"hr_{high}", f"sr_{low}_{high}"
    for folder, resized in zip(folders, three_sizes(three_channels(image), low, high)):
        save_image(out / folder / f"{_name(file)}.png", resized)
    return "", f"{file}: {changed}." if changed else ""


def _name(file):
    """The name of an image's files: 1.jpg becomes 00001, as in the public code."""
    return file.stem.zfill(5)


def prepare(path, out, low, high, n_worker=1):
    """Make the three folders and the lists of all images below ``path``.

    Args:
        out: the sizes are appended: "faces" becomes faces_64_512.
        n_worker: number of processes.

    Returns:
        the folder, a Path.

    Raises:
        DataError: if no image is large enough, or two have the same name.
        ValueError: for sizes that do not fit together.
    """
    if not 0 < low < high or high % low or high // low not in (2, 4, 8):
        raise ValueError(f"--size {low},{high}: give two sizes, the larger one 2, 4 or 8 times the smaller one.")
    files, out = images_below(path), Path(f"{out}_{low}_{high}")
    seen = {}
    for file in files:
        other = seen.setdefault(_name(file).lower(), file)         # to Windows and macOS A.png and a.png are one file
        if other != file:
            raise DataError(f"{other} and {file} would become one file, {_name(file)}.png: rename one of them.")
    line, faults, changes = StatusLine(), [], []
    with get_context("spawn").Pool(n_worker) if n_worker > 1 else _ThisProcess() as pool:
        for done, (fault, changed) in enumerate(pool.imap(partial(_prepare, out, low, high), files), start=1):
            faults += [fault] if fault else []
            changes += [changed] if changed else []
            line.show(f"{done} of {len(files)} images", last=done == len(files))
    if changes:
        notice(f"{len(changes)} of {len(files)} images were changed:\n  " + "\n  ".join(changes))
    if faults:
        notice(f"{len(faults)} of {len(files)} images are left out:\n  " + "\n  ".join(faults))
    if len(faults) == len(files):
        raise DataError(f"No image of {path} could be used.")
    write_lists(out, low, high)
    return out


class _ThisProcess:
    """The part of a Pool that is used here, without other processes."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    imap = staticmethod(map)


def write_lists(folder, low, high):
    """train_images.csv and valid_images.csv of a folder: all its pairs in both, for the kit's SRDataset.

    The configuration says which folder is for training and which for validation.  If LR is missing
    (HR alone is enough for ``sample``), it is made from HR, with a notice.

    Raises:
        DataError: if hr_<high> holds no PNG.
    """
    folder, pairs, made = Path(folder), [], 0
    for hr in sorted((folder / f"hr_{high}").glob("*.png")):
        lr = folder / f"lr_{low}" / hr.name
        if not lr.exists():
            save_image(lr, imresize(read_image(hr)[0], low / high))
            made += 1
        pairs.append((hr, lr))
    if not pairs:
        raise DataError(f"{folder / f'hr_{high}'} holds no PNG. Make it with prepare_data.")
    if made:
        notice(f"{made} images of {folder / f'lr_{low}'} were missing and have been made from HR.")
    for split in ("train", "valid"):
        write_list(folder, split, pairs, folder)

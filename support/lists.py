"""The lists of images, <split>_images.csv: reading them, and which rows cannot be used (no torch here)."""

import csv
import os
from collections import namedtuple
from pathlib import Path

from metrics import SMALLEST
from support.messages import notice

Pair = namedtuple("Pair", "hr lr row")      # two paths, and the row of the list, counted from 1


class DataError(ValueError):
    """A list, an image or a pair that cannot be used; the message says which and what to do."""


class MissingList(DataError):
    """A split that has no list: its images are not here, or were not listed yet."""


def list_path(csv_folder, split):
    """Path of the list of a split, whether it exists or not."""
    return Path(csv_folder, f"{split}_images.csv")


def read_list(split, config):
    """The pairs of ``<csv_folder>/<split>_images.csv``: one row an image, HR,LR, no header.

    Paths are taken relative to ``config.HR_data_folder`` and ``config.LR_data_folder``
    where these are given, else to the folder of the list.  Rows that cannot be used are
    left out, with a notice that names each.

    Returns:
        list of Pair.

    Raises:
        DataError: if the list is missing, or no row of it can be used.
    """
    path = list_path(config.csv_folder, split)
    if not path.is_file():
        source = {"train": "div2k", "valid": "div2k"}.get(split, "benchmark")
        raise MissingList(f"There is no list {path}. Where the images are in {config.csv_folder}: "
                          f"python create_data_lists.py --root {config.csv_folder}; "
                          f"to fetch them first, add --download {source}")
    folders = [Path(config.get(key) or path.parent) for key in ("HR_data_folder", "LR_data_folder")]
    pairs, faults = read_rows(path, folders)
    leave_out(path, [f"row {row}: {problem} {remedy}" for row, problem, remedy in faults], len(pairs))
    return pairs


def read_rows(path, folders):
    """The rows of a list, good and bad.

    Args:
        folders: what HR and LR are relative to.

    Returns:
        (pairs, faults): a list of Pair, and a list of (row, problem, remedy), where row 0 is the whole list.
    """
    pairs, faults, remedy = [], [], "Make the list again, or fix this row."
    try:
        # surrogateescape: bytes that are not UTF-8 are then found in their own row; so are the zeros of UTF-16, at
        # which Python 3.10's csv would stop.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(line.replace("\0", "\udc80") for line in file))
    except (csv.Error, OSError) as error:
        return [], [(0, f"The list is not a CSV file in UTF-8 ({error}).", "Make it again, or save it as 'CSV UTF-8'.")]
    for number, row in enumerate(rows, start=1):
        outside = next((name for name, folder in zip(row, folders) if leads_outside(name, folder)), None)
        if not row:
            continue
        if any("\udc80" <= letter <= "\udcff" for name in row for letter in name):
            faults.append((number, "It is not written in UTF-8.", "Make the list again, or save it as 'CSV UTF-8'."))
        elif number == 1 and [name.strip().lower() for name in row] == ["hr", "lr"]:
            faults.append((1, "A header, where the first pair should be.",
                           "Delete this row: the lists have no header."))
        elif len(row) != 2:
            faults.append((number, f"{len(row)} column{'s' * (len(row) > 1)} instead of two (HR,LR).", remedy))
        elif outside is not None:
            faults.append((number, f"{outside!r} leads out of the data folder.",
                           "Copy the image into it, or give its real folder (config.HR_data_folder, LR_data_folder)."))
        else:
            pairs.append(Pair(folders[0] / row[0], folders[1] / row[1], number))
    if not pairs and not faults:
        faults.append((0, "The list names no image.", "Make it again with create_data_lists.py."))
    return pairs, faults


def leave_out(path, faults, n_left):
    """Say what of a list is left out, and why.

    Raises:
        DataError: if nothing is left.
    """
    if not faults:
        return
    text = "\n  ".join(faults) + "\ncreate_data_lists.py --check says more."
    if not n_left:
        raise DataError(f"{path} cannot be used:\n  {text}")
    means = "" if path.stem.startswith("train") else " Means over the rest are not comparable with published ones."
    notice(f"left out of {path}: {len(faults)} of {len(faults) + n_left} pairs.{means}\n  {text}")


def leads_outside(name, folder=None):
    """Whether a path written in a list leaves the folder that it is relative to, through a link included."""
    first = os.path.normpath(name.strip().replace("\\", "/")).replace("\\", "/").split("/")[0]
    if not name.strip() or first in ("", "..") or ":" in first:       # rooted, upwards, or C:
        return True
    if folder is None or "\0" in name:
        return False
    # The data folder may itself be a link; nothing in it leads anywhere else.
    return not os.path.realpath(Path(folder, name)).startswith(os.path.join(os.path.realpath(folder), ""))


def fit_pair(hr_shape, lr_shape, scale):
    """The common part of a pair: ((H, W), (h, w)) with H = s h and W = s w, both from the top left.

    LR is floor(HR / s); some tools round up, and then LR's last row or column is cropped.
    Any other size means that the two files do not belong together.

    Args:
        hr_shape, lr_shape: (height, width, ...).
        scale: s.

    Raises:
        DataError: for any other size.
    """
    lr = []
    for big, small in zip(hr_shape[:2], lr_shape[:2]):
        if small not in (big // scale, -(-big // scale)) or big < scale:
            raise DataError(f"LR is {lr_shape[1]} x {lr_shape[0]}, but HR of {hr_shape[1]} x {hr_shape[0]} "
                            f"needs {hr_shape[1] // scale} x {hr_shape[0] // scale} (width x height) at scale {scale}")
        lr.append(big // scale)
    return (scale * lr[0], scale * lr[1]), tuple(lr)


def too_small(hr_shape, scale):
    """Why an image cannot be measured, as a phrase; "" where it can.

    Args:
        hr_shape: (height, width, ...).
        scale: both sides are cropped to a multiple of it.
    """
    least = -(-SMALLEST // scale) * scale
    if min(hr_shape[:2]) >= least:
        return ""
    return (f"HR is {hr_shape[1]} x {hr_shape[0]}, too small to be measured: SSIM's window of 11 x 11 pixels and the "
            f"border that is cut off need {least} x {least}")

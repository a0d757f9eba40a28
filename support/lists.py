"""The lists of images, <split>_images.csv: reading them, and which rows cannot be used (no torch here)."""

import csv
import os
import unicodedata
from collections import namedtuple
from pathlib import Path

from metrics import SMALLEST
from support.messages import SaysItAll, notice

LINKED = "linked_folders.txt"               # beside the lists; see linked_folders
Pair = namedtuple("Pair", "hr lr row")      # two paths, and the row of the list, counted from 1
SOURCES = {"train": "div2k", "valid": "div2k"}      # of a split: create_data_lists.py --download; others: "benchmark"


class DataError(SaysItAll, ValueError):
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
        source = SOURCES.get(split, "benchmark")
        raise MissingList(f"There is no list {path}. Where the images are in {config.csv_folder}: "
                          f"python create_data_lists.py --root {config.csv_folder}; "
                          f"to fetch them first, add --download {source}")
    folders = [Path(config.get(key) or path.parent) for key in ("HR_data_folder", "LR_data_folder")]
    pairs, faults = read_rows(path, folders)
    leave_out(path, [f"row {row}: {problem} {remedy}" for row, problem, remedy in faults], len(pairs))
    return pairs


def how_to_get(splits, csv_folder):
    """One line (Markdown, English and Chinese) on the test sets that are not in a folder; splits: their names."""
    demo = Path("data/demo")                     # the demo's own folder, into which nothing is downloaded
    splits = [split for split in splits if split != "demo"]
    if not splits:
        return f"`demo` is not here: it lies in `{demo.as_posix()}`. `demo` 在 `{demo.as_posix()}` 中。"
    folder = "data" if Path(csv_folder) == demo else Path(csv_folder).as_posix()
    sources = " ".join(dict.fromkeys(SOURCES.get(split, "benchmark") for split in splits))
    command = f"`python create_data_lists.py --root {folder} --download {sources}`"
    also = f", then `data_folder = \"{folder}\"`", f"，再设 `data_folder = \"{folder}\"`"
    en, zh = also if folder != Path(csv_folder).as_posix() else ("", "")
    return (f"Not here: {', '.join(splits)}. To get them: {command}{en}. "
            f"缺少以上测试集：请运行上面的命令{zh}。")


def read_rows(path, folders):
    """The rows of a list, good and bad.

    Args:
        folders: what HR and LR are relative to.

    Returns:
        (pairs, faults): a list of Pair, and a list of (row, problem, remedy), where row 0 is the whole list.
    """
    pairs, faults, remedy = [], [], "Make the list again, or fix this row."
    linked = linked_folders(Path(path).parent)
    try:
        # surrogateescape: bytes that are not UTF-8 are then found in their own row; so are the zeros of UTF-16, at
        # which Python 3.10's csv would stop.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(line.replace("\0", "\udc80") for line in file))
    except (csv.Error, OSError) as error:
        return [], [(0, f"The list is not a CSV file in UTF-8 ({error}).", "Make it again, or save it as 'CSV UTF-8'.")]
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        row = [name if "\udc80" in name else spelled(name, folder) for name, folder in zip(row, folders)] + row[2:]
        outside = next((name for name, folder in zip(row, folders) if leads_outside(name, folder, linked)), None)
        if any("\udc80" <= letter <= "\udcff" for name in row for letter in name):
            faults.append((number, "It is not written in UTF-8.", "Make the list again, or save it as 'CSV UTF-8'."))
        elif number == 1 and [name.strip().lower() for name in row] == ["hr", "lr"]:
            faults.append((1, "A header, where the first pair should be.",
                           "Delete this row: the lists have no header."))
        elif len(row) != 2:
            semicolons = " It has a semicolon: save the list with commas." * (len(row) == 1 and ";" in row[0])
            columns = f"{len(row)} column{'s' * (len(row) > 1)}"
            faults.append((number, f"{columns} instead of two (HR,LR).{semicolons}", remedy))
        elif outside is not None:
            faults.append((number, f"{outside!r} leads out of the data folder.",
                           "Copy the image into it, or give its real folder (config.HR_data_folder, LR_data_folder); "
                           "where a link in it is meant: create_data_lists.py --follow-links."))
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


def spelled(name, folder):
    """The name that a row means, as the disk has it; where there is no such file, the name as it is.

    Lists come from other systems: with backslashes, blanks around a name, composed or decomposed letters (ü is one
    letter or two), and with the whole path of a file that lies inside the folder.
    """
    plain = name.strip().replace("\\", "/")
    for base in (os.path.abspath(folder), os.path.realpath(folder)):
        base = base.replace("\\", "/").rstrip("/") + "/"
        if os.path.isabs(plain) and plain.startswith(base):
            return plain.removeprefix(base)
    spellings = [name, name.strip(), plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))]
    return next((each for each in spellings if each.strip() and os.path.lexists(Path(folder, each))), name)


def linked_folders(csv_folder):
    """The folders outside that links may lead to: those that create_data_lists.py --follow-links was told to allow."""
    try:
        text = Path(csv_folder, LINKED).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def unique_names(paths):
    """A name for each image, without ending: what its results are called.  Two of one name get their folder, or their
    ending, or at last their row: results must not overwrite each other."""
    def keys(names):
        return [unicodedata.normalize("NFC", name).casefold() for name in names]
    names = [path.stem for path in paths]
    for longer in (lambda path: f"{path.parent.name}_{path.stem}",
                   lambda path: f"{path.parent.name}_{path.name.replace('.', '_')}"):
        taken = keys(names)
        names = [longer(path) if taken.count(key) > 1 else name for path, name, key in zip(paths, names, taken)]
    taken = keys(names)
    return [f"{name}_{row}" if taken.count(key) > 1 else name for row, (name, key) in enumerate(zip(names, taken), 1)]


def leads_outside(name, folder=None, linked=()):
    """Whether a path written in a list leaves the folder that it is relative to, through a link included.

    Args:
        linked: folders that links may lead to.
    """
    first = os.path.normpath(name.strip().replace("\\", "/")).replace("\\", "/").split("/")[0]
    if not name.strip() or first in ("", "..") or ":" in first:       # rooted, upwards, or C:
        return True
    if folder is None or "\0" in name:
        return False
    # The data folder may itself be a link; nothing in it leads anywhere else.
    real = os.path.realpath(Path(folder, name))
    return not any(real.startswith(os.path.join(os.path.realpath(place), "")) for place in (folder, *linked))


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

"""Where the images of a data folder are: the published layouts, and which LR belongs to which HR."""

import shutil
import textwrap
import unicodedata
from collections import namedtuple

from support.images import SUFFIXES

TEST_SETS = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100}
SPLITS = ("train", "valid", "Set5", "Set14", "B100", "Urban100", "demo")
TRAINING = ("train", "valid")                                # every other split is a test set
ALIASES = {"set5": "Set5", "set14": "Set14", "urban100": "Urban100",
           "b100": "B100", "bsd100": "B100", "bsds100": "B100"}
DIV2K_IMAGES = {"div2k_train_hr": 800, "div2k_valid_hr": 100}


# ---------------------------------------------------------------- finding the pairs

# pairs: list of (hr, lr) paths; hr_only, lr_only: files without a partner; twins: files that
# differ from a paired or single HR file only in their ending (a.png, a.jpg)
Found = namedtuple("Found", "hr_folder lr_folder pairs hr_only lr_only twins")


def images_in(folder):
    """The image files of a folder (not of its subfolders), sorted by name."""
    return [p for p in entries(folder)
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]


def subfolders(folder):
    """The folders directly in a folder, sorted by name; hidden ones are left out."""
    return [p for p in entries(folder) if p.is_dir() and not p.name.startswith(".")]


def entries(folder):
    """Everything in a folder, sorted by name; an empty list where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:            # not there, or a system folder that must not be read
        return []


def lr_folder_of(hr_folder, scale):
    """The folder of LR images of an HR folder: ``X_HR`` -> ``X_LR_bicubic/X4``, ``X/HR`` -> ``X/LR_bicubic/X4``."""
    name = hr_folder.name
    if name.upper() == "HR":
        stem = ""
    elif name.upper().endswith("_HR"):
        stem = name[:-2]
    else:
        stem = name + "_"
    return descend(hr_folder.parent, f"{stem}LR_bicubic", f"X{scale}")


def lr_stem_of(hr_stem, scale, one_folder):
    """``0001`` -> ``0001x4``; in the layout with one folder, ``img_001_SRF_4_HR`` -> ``img_001_SRF_4_LR``."""
    return hr_stem[:-2] + "LR" if one_folder else f"{hr_stem}x{scale}"


def match(hr_folder, lr_folder, scale):
    """Pair the images of two folders by their names: a Found."""
    one_folder = hr_folder == lr_folder                      # image_SRF_4
    hr_images, lr_images = images_in(hr_folder), images_in(lr_folder)
    if one_folder:
        hr_images = [p for p in hr_images if p.stem.upper().endswith("_HR")]
        lr_images = [p for p in lr_images if p.stem.upper().endswith("_LR")]
    lr_by_stem, seen = {p.stem: p for p in reversed(lr_images)}, set()
    found = Found(hr_folder, lr_folder, [], [], [], [])
    for hr in hr_images:
        stem = lr_stem_of(hr.stem, scale, one_folder)
        if stem in seen:
            found.twins.append(hr)
        elif stem in lr_by_stem:
            found.pairs.append((hr, lr_by_stem[stem]))
        else:
            found.hr_only.append(hr)
        seen.add(stem)
    found.lr_only.extend(p for p in lr_images if p.stem not in seen)
    return found


def descend(folder, *names):
    """``folder/name/...`` with the spelling (Set5, set5, SET5) that is there; where nothing is, as given."""
    for name in names:
        folder = next((p for p in entries(folder) if p.name.lower() == name.lower()), folder / name)
    return folder


def find_sets(root, scale):
    """The known sets in ``root`` and in its direct subfolders: dict split -> Found (the one with most pairs)."""
    candidates = []
    for place in [root, *subfolders(root)]:
        for split in TRAINING:
            hr_folder = descend(place, f"DIV2K_{split}_HR")
            candidates.append((split, hr_folder, lr_folder_of(hr_folder, scale)))
        for folder in subfolders(place):
            if split := ALIASES.get(folder.name.lower()):
                hr_folder = descend(folder, "HR")
                together = descend(folder, f"image_SRF_{scale}")
                candidates += [(split, hr_folder, lr_folder_of(hr_folder, scale)), (split, together, together)]
    sets = {}
    for split, *folders in candidates:
        found = match(*folders, scale)
        size = (len(found.pairs), len(found.hr_only))
        if any(size) and (split not in sets or size > (len(sets[split].pairs), len(sets[split].hr_only))):
            sets[split] = found
    return sets


def expected_number(split, hr_files):
    """How many images a published set has; None for a set of one's own."""
    folders = {file.parent.name.lower() for file in hr_files}
    return TEST_SETS.get(split) or (DIV2K_IMAGES.get(folders.pop()) if len(folders) == 1 else None)


# ---------------------------------------------------------------- words and tables

def size(shape):
    """(height, width, ...) as people write it: width x height."""
    return f"{shape[1]} x {shape[0]}"


def print_table(header, rows, fold=0):
    """Print rows as columns; the last ``fold`` columns are folded to the width of the terminal."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(columns, cells)) for cells in zip(*rows)]
    if fold:
        room = shutil.get_terminal_size((120, 24)).columns - sum(width + 2 for width in widths[:-fold])
        widths[-fold:] = [min(width, max(30, room // fold - 2)) for width in widths[-fold:]]
    for row in rows:
        first = len(row) - fold
        cells = [[cell] if i < first else textwrap.wrap(cell, widths[i], break_long_words=False, break_on_hyphens=False)
                 for i, cell in enumerate(row)]
        for line in range(max(map(len, cells))):
            texts = [cell[line] if line < len(cell) else "" for cell in cells]
            print("  ".join(text + " " * (width - columns(text)) for text, width in zip(texts, widths)).rstrip())


def columns(text):
    """How many columns of a terminal a text takes: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)

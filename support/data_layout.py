"""Where the images of a data folder are: the published layouts, and which LR belongs to which HR."""

import os
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
# differ from a paired or single HR file only in their ending (a.png, a.jpg); rule: of name_rules
Found = namedtuple("Found", "hr_folder lr_folder pairs hr_only lr_only twins rule")

HR_FOLDERS = ("hr", "gtmod12", "gt", "original")             # of a test set, in the published layouts


def images_in(folder):
    """The image files of a folder (not of its subfolders), sorted by name."""
    return [p for p in entries(folder)
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]


def subfolders(folder):
    """The folders directly in a folder, sorted by name; hidden ones are left out."""
    try:
        with os.scandir(folder) as inside:             # many images: no question to the disk for each
            return sorted(folder / e.name for e in inside if not e.name.startswith(".") and e.is_dir())
    except OSError:            # not there, or a system folder that must not be read
        return []


def entries(folder):
    """Everything in a folder, sorted by name; an empty list where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:            # not there, or a system folder that must not be read
        return []


def lr_folder_of(hr_folder, scale):
    """The folder of LR images of an HR folder: ``X_HR`` -> ``X_LR_bicubic/X4``, ``X/HR`` -> ``X/LR_bicubic/X4``."""
    name = hr_folder.name
    if name.lower() in HR_FOLDERS:
        stem = ""
    elif name.upper().endswith("_HR"):
        stem = name[:-2]
    else:
        stem = name + "_"
    return descend(hr_folder.parent, f"{stem}LR_bicubic", f"X{scale}")


def name_rules(scale, one_folder=False):
    """How an LR file may be called: dict rule as people read it -> function HR stem -> LR stem; the first is ours."""
    if one_folder:                                           # image_SRF_4
        return {"..._HR and ..._LR": lambda stem: stem[:-2] + "LR"}
    return {f"NAMEx{scale}": lambda stem: f"{stem}x{scale}",
            "NAME": lambda stem: stem,
            f"NAME_x{scale}": lambda stem: f"{stem}_x{scale}",
            "NAME_LR": lambda stem: (stem[:-3] if stem.upper().endswith("_HR") else stem) + "_LR"}


def name_key(stem):
    """What makes two names one: letters are composed in one way (macOS decomposes what Windows and Linux do not)."""
    return unicodedata.normalize("NFC", stem)


def lr_path_of(hr, found, scale):
    """Where the LR of an HR file of ``found`` is, or would be: by the rule of its other pairs."""
    return found.lr_folder / f"{name_rules(scale, found.hr_folder == found.lr_folder)[found.rule](hr.stem)}.png"


def match(hr_folder, lr_folder, scale):
    """Pair the images of two folders by their names, by the rule that gives most pairs: a Found."""
    one_folder = hr_folder == lr_folder                      # image_SRF_4
    hr_images, lr_images = images_in(hr_folder), images_in(lr_folder)
    if one_folder:
        hr_images = [p for p in hr_images if p.stem.upper().endswith("_HR")]
        lr_images = [p for p in lr_images if p.stem.upper().endswith("_LR")]
    lr_by_stem = {name_key(p.stem): p for p in reversed(lr_images)}
    rules = name_rules(scale, one_folder)
    rule = max(rules, key=lambda rule: sum(name_key(rules[rule](hr.stem)) in lr_by_stem for hr in hr_images))
    found, seen = Found(hr_folder, lr_folder, [], [], [], [], rule), set()
    for hr in hr_images:
        stem = name_key(rules[rule](hr.stem))
        if stem in seen:
            found.twins.append(hr)
        elif stem in lr_by_stem:
            found.pairs.append((hr, lr_by_stem[stem]))
        else:
            found.hr_only.append(hr)
        seen.add(stem)
    found.lr_only.extend(p for p in lr_images if name_key(p.stem) not in seen)
    return found


def descend(folder, *names):
    """``folder/name/...`` with the spelling (Set5, set5, SET5) that is there; where nothing is, as given."""
    for name in names:
        folder = next((p for p in entries(folder) if p.name.lower() == name.lower()), folder / name)
    return folder


def find_sets(root, scale):
    """The known sets below ``root``: dict split -> Found (the one with most pairs).

    Archives that were unpacked into folders of their own names are found too: DIV2K_train_HR/DIV2K_train_HR/0001.png.
    """
    folders, candidates = list(folders_below(root)), []
    for split in TRAINING:
        for hr_folder in named(folders, f"DIV2K_{split}_HR"):
            lr_folders = [lr_folder_of(hr_folder, scale), *named(folders, f"DIV2K_{split}_LR_bicubic/X{scale}"),
                          *named(folders, f"DIV2K_{split}_LR_bicubic_X{scale}"),
                          *named(folders, f"DIV2K_{split}_LR_bicubic"), *named(folders, f"DIV2K_{split}_LR_x{scale}")]
            candidates += [(split, hr_folder, lr_folder) for lr_folder in lr_folders]
        if not any(candidate[0] == split for candidate in candidates):       # LR alone is said, too
            candidates += [(split, lr.parent.parent / f"DIV2K_{split}_HR", lr)
                           for lr in named(folders, f"DIV2K_{split}_LR_bicubic/X{scale}")]
    for folder in folders:
        if split := ALIASES.get(folder.name.lower()):
            together = descend(folder, f"image_SRF_{scale}")
            candidates += [(split, *pair) for pair in test_set_folders(folder, scale)] + [(split, together, together)]
    sets = {}
    for split, *pair in candidates:
        found = match(*pair, scale)
        size = (len(found.pairs), len(found.hr_only))
        if any(size) and (split not in sets or size > (len(sets[split].pairs), len(sets[split].hr_only))):
            sets[split] = found
    return sets


def test_set_folders(folder, scale):
    """(HR folder, LR folder) of a test set as they may be called; the published layout comes first."""
    inside = list(folders_below(folder, 2))
    lr_names = (f"LR_bicubic/X{scale}", f"LRbicx{scale}", f"LR_bicubic_X{scale}", f"LR/X{scale}", f"LR_x{scale}",
                f"LRx{scale}", f"X{scale}", "LR_bicubic", "LR", "lq")
    for hr_folder in (descend(folder, name) for name in HR_FOLDERS):
        yield hr_folder, lr_folder_of(hr_folder, scale)
        for name in lr_names:
            for lr_folder in named(inside, name):
                yield hr_folder, lr_folder


def folders_below(folder, depth=5):
    """A folder, and those in it down to some depth; hidden ones are left out."""
    yield folder
    if depth:
        for inner in subfolders(folder):
            yield from folders_below(inner, depth - 1)


def named(folders, name):
    """Those of some folders that are called ``name``, or ``parent/name``, in any spelling."""
    ending = name.lower().split("/")
    return [folder for folder in folders if [part.lower() for part in folder.parts[-len(ending):]] == ending]


def match_own(hr_folder, scale):
    """The images of a folder of one's own, as ``match``: its LR in the kit's place, or in a layout of others."""
    lr_folders = [lr_folder_of(hr_folder, scale), hr_folder]
    if hr_folder.name.lower() in HR_FOLDERS:
        lr_folders += [lr for hr, lr in test_set_folders(hr_folder.parent, scale) if hr == hr_folder]
    return max((match(hr_folder, lr_folder, scale) for lr_folder in lr_folders), key=lambda found: len(found.pairs))


def folders_with_images(root):
    """Folders below ``root`` that hold images, as "name (number)"."""
    numbers = {folder: len(images_in(folder)) for folder in folders_below(root, 3)}
    return [f"{folder.relative_to(root).as_posix()} ({n})" for folder, n in numbers.items() if n]


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

"""Find, fetch, pair, list and check the images: everything between a data folder and the CSV lists."""

import argparse
import csv
import io
import multiprocessing
import os
import shutil
import sys
import textwrap
import unicodedata
from collections import Counter, namedtuple
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from PIL import Image, PngImagePlugin
from tqdm import tqdm

from datasets import DataError, fit_pair, leads_outside, list_path
from download import MIRROR, TEST_SETS, download
from imresize import imresize
from utils import read_image, write_atomically

SPLITS = ("train", "valid", "Set5", "Set14", "B100", "Urban100", "demo")
TRAINING = ("train", "valid")                                # every other split is a test set
ALIASES = {"set5": "Set5", "set14": "Set14", "urban100": "Urban100",
           "b100": "B100", "bsd100": "B100", "bsds100": "B100"}
DIV2K_IMAGES = {"div2k_train_hr": 800, "div2k_valid_hr": 100}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
PARALLEL_FROM = 100_000_000            # bytes of HR files: below that, processes take longer to begin than to work
MADE_HERE = "create_data_lists.py"     # written into every LR made here: only these are ever made anew

# The demo set: scikit-image's own photographs (CC0 or public domain), part of its installation.
DEMO = {
    # Both views of the motorcycle are on one side: they show the same thing.
    "train": ["motorcycle_left.png", "motorcycle_right.png", "hubble_deep_field.jpg", "retina.jpg", "brick.png",
              "grass.png", "gravel.png", "moon.png", "page.png", "text.png", "cell.png"],
    "valid": ["coins.png", "ihc.png"],
    "demo": ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"],          # the test set
}


# ---------------------------------------------------------------- finding the pairs

# pairs: list of (hr, lr) paths; hr_only, lr_only: files without a partner; twins: files that
# differ from one taken only in their ending (a.png, a.jpg)
Found = namedtuple("Found", "hr_folder lr_folder pairs hr_only lr_only twins")


def images_in(folder):
    """The image files of a folder (not of its subfolders), sorted by name."""
    return [p for p in entries(folder)
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]


def subfolders(folder):
    return [p for p in entries(folder) if p.is_dir() and not p.name.startswith(".")]


def entries(folder):
    try:
        return sorted(folder.iterdir())
    except OSError:            # not there, or a system's folder that nobody may read
        return []


def lr_folder_of(hr_folder, scale):
    """Where the LR images of an HR folder lie: ``X_HR`` -> ``X_LR_bicubic/X4``, ``X/HR`` -> ``X/LR_bicubic/X4``."""
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
    """The known sets in ``root`` and in its direct subfolders: dict split -> Found (the fullest one)."""
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


def take_in(folder, root):
    """The folder of one's own HR images, inside ``root``: a row of a list never leads outside."""
    folder, root = Path(folder), Path(root)
    if not images_in(folder):
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} (--train-hr).")
        raise DataError(f"--train-hr {folder} holds no image ({', '.join(sorted(SUFFIXES))}). "
                        "Its subfolders are not searched; name the folder that the images are in.")
    inside, top = Path(os.path.abspath(folder)), Path(os.path.abspath(root))
    if inside == top:
        raise DataError(f"--train-hr and --root are the same folder {folder}. Put the images into a folder of "
                        f"their own, for example {root / 'my_HR'}.")
    if inside.is_relative_to(top):
        return root / inside.relative_to(top)
    name = inside.parent.name if inside.name.upper() == "HR" and inside.parent.name else inside.name
    target = root / (name if name.upper().endswith("_HR") else f"{name}_HR")
    copy_images(folder, target)
    return target


def copy_images(source, target):
    """Copy the images of a folder; those that are there already are not copied again."""
    images = images_in(source)
    others = {p.name for p in images_in(target)} - {p.name for p in images}
    if others:
        raise DataError(f"{source} would be copied to {target}, but there are other images in it already "
                        f"({few(sorted(others))}). Rename or remove {target}.")
    target.mkdir(parents=True, exist_ok=True)
    new = [image for image in images if not is_copy(target / image.name, image)]
    for image in tqdm(new, desc=f"Copying to {target.name}", unit=" images", disable=len(new) < 20, mininterval=1):
        write_atomically(target / image.name, image.read_bytes())


def is_copy(copy, original):
    if not copy.is_file():
        return False
    copy, original = copy.stat(), original.stat()
    return copy.st_size == original.st_size and copy.st_mtime >= original.st_mtime


# ---------------------------------------------------------------- making LR

def write_png(path, image):
    """Write a uint8 array (H, W) or (H, W, 3) as PNG, marked as made here."""
    facts, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    facts.add_text("Software", MADE_HERE)
    Image.fromarray(image).save(buffer, "PNG", pnginfo=facts)
    write_atomically(path, buffer.getvalue())


def make_one_lr(job):
    """(HR file, LR file, scale) -> what went wrong, or ""."""
    hr, lr, scale = job
    try:
        image, _ = read_image(hr)
        height, width = (n // scale * scale for n in image.shape[:2])     # the pairs' rule: cropped from the top left
        if 0 in (height, width):
            return f"{hr} is smaller than {scale} x {scale} pixels. Take it out."
        write_png(lr, imresize(image[:height, :width], 1 / scale))
        return ""
    except (ValueError, OSError) as error:
        return str(error)


def make_lr(jobs):
    """Make LR images, many of them in parallel: jobs are (HR file, LR file, scale).  Returns a list of problems."""
    progress = dict(total=len(jobs), desc="Making LR", unit=" images", disable=len(jobs) < 8, mininterval=1)
    if sum(os.path.getsize(hr) for hr, _, _ in jobs) < PARALLEL_FROM:
        return [problem for problem in tqdm(map(make_one_lr, jobs), **progress) if problem]
    # "spawn" is what Windows and macOS do: the same everywhere.
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=multiprocessing.get_context("spawn")) as pool:
        return [problem for problem in tqdm(pool.map(make_one_lr, jobs, chunksize=4), **progress) if problem]


def missing_lr(found, scale):
    """The jobs for ``make_lr``: HR without LR, and HR that has changed since its LR was made here."""
    one_folder = found.hr_folder == found.lr_folder
    jobs = [(hr, found.lr_folder / f"{lr_stem_of(hr.stem, scale, one_folder)}.png", scale) for hr in found.hr_only]
    return jobs + [(hr, lr, scale) for hr, lr in found.pairs
                   if hr.stat().st_mtime > lr.stat().st_mtime and made_here(lr)]


def made_here(path):
    # A published LR image may well be older than its HR (unpacked in that order); it is not ours to replace.
    try:
        with Image.open(path) as file:
            return file.info.get("Software") == MADE_HERE
    except Exception:          # Pillow raises many kinds for damaged files; --check is who reports them
        return False


# ---------------------------------------------------------------- lists

def list_images(root, csv_folder=None, train_hr=None, valid_count=0, make=False, scale=4):
    """Find the sets in ``root``, write their lists, and print a table of what is where.

    Args:
        root: the data folder; rows are relative to it.
        csv_folder: where the lists go (default: ``root``).
        train_hr: a folder of one's own HR images for training; copied into ``root`` if outside.
        valid_count: so many of them are held out as split valid (unless DIV2K's is there).
        make: make the LR images that are missing.
        scale: 2, 4 or 8.

    Returns:
        list of problems, as sentences: images left out and why; empty when all is well.

    Raises:
        DataError: if ``root`` or ``train_hr`` cannot be used at all.
    """
    root, problems = Path(root), []
    csv_folder = Path(csv_folder or root)
    own_folder = take_in(train_hr, root) if train_hr else None         # it makes the root where there is none
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Name the folder with the images (--root), fetch them "
                        "(--download div2k benchmark), or begin with the small demo set (--demo).")
    sets = find_sets(root, scale)
    if train_hr:
        sets["train"] = match(own_folder, lr_folder_of(own_folder, scale), scale)
    if make:
        problems += make_lr([job for found in sets.values() for job in missing_lr(found, scale)])
        sets = {split: match(found.hr_folder, found.lr_folder, scale) for split, found in sets.items()}
    problems += [problem for found in sets.values() for problem in left_out(found, make)]

    pairs = {split: found.pairs for split, found in sets.items()}
    where = {split: found.hr_folder.as_posix() for split, found in sets.items()}
    if valid_count and pairs.get("valid"):
        print(f"Notice: --valid-count is not used, because the images of {where['valid']} are the split valid.")
    elif valid_count and pairs["train"]:
        pairs["train"], pairs["valid"] = hold_out(pairs["train"], valid_count)
        where["valid"] = f"held out of {where['train']}"
    for split, its_pairs in pairs.items():
        if its_pairs:
            write_list(csv_folder, split, its_pairs, root)
    print_overview(root, csv_folder, pairs, where)
    if not any(list_path(csv_folder, split).is_file() for split in SPLITS):
        problems.append(f"No pair of images was found in {root}: no list was written.")
    shared = set.intersection(*(set(list_rows(list_path(csv_folder, split))) for split in TRAINING))
    if shared:
        problems.append(f"{count(shared)} are both in the training and in the validation list, one of which is of an "
                        "earlier run. Give --valid-count again, or delete the list that is old.")
    return problems


def left_out(found, made):
    """Sentences about the images of a set that have no partner."""
    if found.hr_only and not made:          # after --make-lr, each of them has its own sentence
        yield (f"{count(found.hr_only)} of {found.hr_folder.as_posix()} left out, without LR in "
               f"{found.lr_folder.as_posix()} ({few(found.hr_only)}). Make the LR images with --make-lr.")
    if found.lr_only:
        yield (f"{count(found.lr_only)} of {found.lr_folder.as_posix()} left out, without HR in "
               f"{found.hr_folder.as_posix()} ({few(found.lr_only)}). Fetch the HR images, or remove these.")
    if found.twins:
        yield (f"{count(found.twins)} of {found.hr_folder.as_posix()} left out, with the name of another one "
               f"but for the ending ({few(found.twins)}). Rename or remove one of the two.")


def hold_out(pairs, n):
    """Split (train, valid): ``n`` of the pairs, evenly spaced, are held out."""
    if n >= len(pairs):
        raise DataError(f"--valid-count {n} leaves nothing to train on: there are {len(pairs)} pairs.")
    chosen = {(2 * i + 1) * len(pairs) // (2 * n) for i in range(n)}
    return [p for i, p in enumerate(pairs) if i not in chosen], [p for i, p in enumerate(pairs) if i in chosen]


def write_list(csv_folder, split, pairs, root):
    """Write ``<split>_images.csv`` with rows relative to ``root``, and say so where it replaces another list."""
    path, text = list_path(csv_folder, split), io.StringIO()
    rows = sorted(tuple(file.relative_to(root).as_posix() for file in pair) for pair in pairs)
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode("utf-8")
    before = list_rows(path)
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
        if before:
            print(f"Notice: {path} has changed: {len(before)} rows before, {len(rows)} after.")


def list_rows(path):
    """The lines of a list, whatever is in them; none where there is no list."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]


def print_overview(root, csv_folder, pairs, where):
    command = "python create_data_lists.py" + (f" --root {root.as_posix()}" if root != Path("data") else "")
    how = {"train": f"{command} --download div2k, or --train-hr DIR --make-lr",
           "valid": f"{command} --download div2k, or --valid-count N with --train-hr"}
    rows = []
    for split in SPLITS:
        path = list_path(csv_folder, split)
        if split == "demo" and not path.is_file():           # it has its own command
            continue
        if pairs.get(split):
            expected = expected_number(split, [hr for hr, _ in pairs[split]])
            of = f" of {expected}" if expected not in (None, len(pairs[split])) else ""
            rows.append((split, f"{len(pairs[split])}{of}", where[split]))
        elif path.is_file():
            rows.append((split, len(list_rows(path)), f"kept: the list of an earlier run, {path.as_posix()}"))
        elif split in where:
            rows.append((split, 0, f"{where[split]} has no pair: see below"))
        else:
            rows.append((split, "-", "not found: " + how.get(split, f"{command} --download benchmark")))
    print()
    print_table(("split", "images", "where"), rows)
    missing = [split for split, n, _ in rows if n == "-" and split in TEST_SETS]
    if missing:
        print(f"\nThe test sets by hand, in a browser: {MIRROR}\n"
              f"Unpack them so that there is a folder {(root / 'benchmark' / missing[0] / 'HR').as_posix()}.")


def expected_number(split, hr_files):
    """How many images a published set has; None for one's own."""
    folders = {file.parent.name.lower() for file in hr_files}
    return TEST_SETS.get(split) or (DIV2K_IMAGES.get(folders.pop()) if len(folders) == 1 else None)


# ---------------------------------------------------------------- checking

# row: number in the list, 0 for the whole list; fails: False for a mere notice
Finding = namedtuple("Finding", "split row file kind problem remedy fails")
Row = namedtuple("Row", "split number names paths")          # names and paths: (HR, LR)
Facts = namedtuple("Facts", "shape notice kind problem jpeg")

AGAIN = "Fetch or copy it again."


def check(csv_folder, hr_folder=None, lr_folder=None, scale=4):
    """Read every pair of every list in ``csv_folder``, whole, and find all that is wrong.

    Args:
        hr_folder, lr_folder: what the rows are relative to (default: the lists' folder).

    Returns:
        (findings, n): a list of Finding, sorted by list and row, and dict split -> number of rows.

    Raises:
        DataError: if there is no list at all.
    """
    splits = [split for split in SPLITS if list_path(csv_folder, split).is_file()]
    if not splits:
        raise DataError(f"There is no list in {csv_folder}. Make the lists with: "
                        f"python create_data_lists.py --root {csv_folder}")
    folders = [Path(folder or csv_folder) for folder in (hr_folder, lr_folder)]
    findings, rows = [], {}
    for split in splits:
        rows[split], faults = read_rows(list_path(csv_folder, split), split, folders)
        findings += faults
    repeated = list(find_repeated(rows))
    findings += repeated
    findings += [finding for split in splits for finding in find_missing_images(split, rows[split], scale)]

    again = {(finding.split, finding.row) for finding in repeated}     # the row named first speaks for its files
    unread = [row for split in splits for row in rows[split] if (split, row.number) not in again]
    facts = inspect_all(sorted({path for row in unread for path in row.paths}))
    findings += [finding for row in unread for finding in check_row(row, *(facts[p] for p in row.paths), scale)]
    findings.sort(key=lambda finding: (SPLITS.index(finding.split), finding.row))
    return findings, {split: len(rows[split]) for split in splits}


def read_rows(path, split, folders):
    """(rows, findings) of a list, by the rules of ``datasets.read_list``, but one bad row hides no other."""
    rows, findings = [], []

    def fault(number, problem, remedy="Make the list again, or mend this row."):
        findings.append(Finding(split, number, path.name, "row", problem, remedy, True))

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        fault(0, f"The list is not a CSV file in UTF-8 ({error}).", "Make it again, or save it as 'CSV UTF-8'.")
        return rows, findings
    for number, row in enumerate(lines, start=1):
        outside = [name for name in row if leads_outside(name)]
        if number == 1 and [name.strip().lower() for name in row] == ["hr", "lr"]:
            fault(number, "A header, where the first pair should be.", "Delete this row: the lists have no header.")
        elif row and len(row) != 2:
            fault(number, f"{len(row)} column{'s' * (len(row) > 1)} instead of two (HR,LR).")
        elif outside:
            fault(number, f"{outside[0]!r} leads out of the data folder.")
        elif row:
            rows.append(Row(split, number, tuple(row), tuple(folder / name for folder, name in zip(folders, row))))
    if not rows and not findings:
        fault(0, "The list names no image.", "Make it again.")
    return rows, findings


def find_repeated(rows):
    """Rows whose HR or LR an earlier row has; test and validation images that are trained on."""
    trained = {}
    for split, its_rows in rows.items():
        seen = {}
        for row in its_rows:
            keys = [os.path.normcase(os.path.abspath(path)) for path in row.paths]
            for kind, name, key in zip(("HR", "LR"), row.names, keys):
                if key in seen and seen[key] != row.number:
                    yield Finding(split, row.number, name, "duplicate", f"The same {kind} file as row {seen[key]}.",
                                  "Delete one of the two rows, or make the list again.", True)
                    break
            else:
                if keys[0] in trained:
                    yield Finding(split, row.number, row.names[0], "duplicate",
                                  f"Also row {trained[keys[0]]} of the training list: what was learnt proves nothing.",
                                  "Take it out of one of the two lists.", True)
            for key in keys:
                seen.setdefault(key, row.number)
            if split == "train":
                trained.setdefault(keys[0], row.number)


def find_missing_images(split, rows, scale):
    """A set with the wrong number of images, and files in its folders that have no partner."""
    listed = {path for row in rows for path in row.paths}
    hr_files = {row.paths[0] for row in rows}
    written = {path.parent: Path(name).parent for row in rows for path, name in zip(row.paths, row.names)}
    expected = expected_number(split, hr_files)
    if rows and expected not in (None, len(hr_files)):
        yield Finding(split, 0, list_path("", split).name, "number",
                      f"{count(hr_files)} instead of {expected}.",
                      "Fetch the set again and make the list again.", True)
    for hr_folder, lr_folder in sorted({(row.paths[0].parent, row.paths[1].parent) for row in rows}):
        found = match(hr_folder, lr_folder, scale)
        if not any(set(pair) <= listed for pair in found.pairs):
            continue                            # these files are named by another rule than ours
        for kind, files, remedy in (("LR", found.hr_only, "Make the LR with --make-lr, or remove the file."),
                                    ("HR", found.lr_only, "Fetch the HR again, or remove the file.")):
            for file in files:
                if file not in listed:
                    yield Finding(split, 0, (written[file.parent] / file.name).as_posix(), "missing partner",
                                  f"It has no {kind} partner.", remedy, True)


def inspect_all(paths):
    with ThreadPoolExecutor(os.cpu_count()) as pool:         # Pillow decodes outside Python's lock
        facts = list(tqdm(pool.map(inspect, paths), total=len(paths), desc="Reading", unit=" images",
                          disable=len(paths) < 20, mininterval=1))
    return dict(zip(paths, facts))


def inspect(path):
    """Read an image file whole: its Facts; ``problem`` is "" where it can be used."""
    if not path.is_file():
        return Facts(None, "", "missing partner", "The {} file does not exist.", False)
    header, mode, jpeg = b"", "", False
    try:
        with open(path, "rb") as file:
            header = file.read(26)
        jpeg = header.startswith(b"\xff\xd8\xff")
        with Image.open(path) as image:
            mode = image.mode
            image.verify()       # PNG: the checksums to the very end, which load() passes over
        if header.startswith(b"\x89PNG") and header[24] == 16:
            # Of a colour PNG, Pillow takes the upper 8 bits and says nothing.
            return Facts(None, "", "wrong mode", "It has 16 bits a channel.", jpeg)
        array, notice = read_image(path)
        return Facts(array.shape, notice, "", "", jpeg)
    except Exception as error:   # Pillow raises many kinds for damaged files
        if mode.startswith(("I", "F")):
            return Facts(None, "", "wrong mode", f"It has more than 8 bits a channel (mode {mode}).", jpeg)
        reason = str(error).removeprefix(f"{path} cannot be read as an image (").removesuffix(f"). {AGAIN}")
        reason = reason.replace(repr(str(path)), "it").replace(str(path), "it") if header else "it is empty"
        return Facts(None, "", "unreadable", f"It cannot be read, damaged or cut short: {reason}.", jpeg)


def check_row(row, hr, lr, scale):
    """All findings about one pair, from the Facts of its two files."""
    def fault(which, kind, problem, remedy, fails=True):
        return Finding(row.split, row.number, row.names[which], kind, problem, remedy, fails)

    if os.path.normcase(os.path.abspath(row.paths[0])) == os.path.normcase(os.path.abspath(row.paths[1])):
        yield fault(0, "same file", "HR and LR are the same file.", "Make the list again, or mend this row.")
        return
    is_test = row.split not in TRAINING
    for which, (name, facts) in enumerate((("HR", hr), ("LR", lr))):
        if facts.problem:
            remedy = {"missing partner": "Make it with --make-lr, or fetch it again." if which else AGAIN,
                      "wrong mode": "Convert it to 8-bit RGB or grey."}.get(facts.kind, AGAIN)
            yield fault(which, facts.kind, facts.problem.format(name), remedy)
        if facts.notice:
            yield fault(which, "wrong mode", f"Neither RGB nor grey: {facts.notice}.",
                        "Fetch the original, RGB or grey, again." if is_test else "Convert it, if this is not wanted.",
                        is_test)
        if facts.jpeg and is_test:
            yield fault(which, "JPEG", "A JPEG in a test set: what it lost cannot be measured.",
                        "Fetch the lossless original.")
    if hr.shape and lr.shape:
        try:
            fit_pair(hr.shape, lr.shape, scale)
        except DataError as error:
            if hr.shape[0] < lr.shape[0] and hr.shape[1] < lr.shape[1]:
                yield fault(0, "swapped", f"HR ({size(hr)}) is smaller than LR ({size(lr)}): the columns are swapped.",
                            "A row is HR,LR: exchange the two, or make the list again.")
            else:
                yield fault(1, "wrong size", f"{error}.", "Make or fetch the LR again, or give another --scale.")


def report(findings, n_rows):
    """Print the table of findings and a summary.  Returns the exit status."""
    if findings:
        print_table(("list", "row", "file", "what is wrong", "what to do"),
                    [(f.split, f.row or "-", f.file, ("" if f.fails else "Notice: ") + f.problem, f.remedy)
                     for f in findings], fold=2)
        print()
    for split, n in n_rows.items():
        missing = sum(f.split == split and f.row > 0 and f.kind == "missing partner" for f in findings)
        if n and missing == 2 * n:
            print(f"No row of {split} leads to its files: are --root, --hr-folder and --lr-folder right?")
    kinds = Counter(f.kind for f in findings if f.fails)
    notices = sum(not f.fails for f in findings)
    print("Checked: " + ", ".join(f"{split} {n}" for split, n in n_rows.items()) + " (pairs).")
    if kinds:
        print(f"Faults: {sum(kinds.values())} (" + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) + ").")
    else:
        print("Every file is whole and every pair fits." + (f" Notices: {notices}, none a fault." if notices else ""))
    return 1 if kinds else 0


# ---------------------------------------------------------------- the demo set

def make_demo(folder, scale=4):
    """A small set of pairs from scikit-image's photographs: train, valid and demo (the test set), with lists.

    What is there already is not made again.

    Raises:
        DataError: if a photograph is missing from the installation.
    """
    import skimage.data
    # The files themselves, not skimage.data.astronaut(): such functions may want to download.
    photographs, folder = Path(skimage.data.__file__).parent, Path(folder)
    for split, names in DEMO.items():
        pairs = []
        for name in names:
            hr = folder / "HR" / f"{Path(name).stem}.png"
            lr = folder / "LR_bicubic" / f"X{scale}" / f"{hr.stem}x{scale}.png"
            if not hr.is_file():
                write_png(hr, demo_image(photographs / name, split))
            problem = "" if lr.is_file() else make_one_lr((hr, lr, scale))
            if problem:
                raise DataError(problem)
            pairs.append((hr, lr))
        write_list(folder, split, pairs, folder)


def demo_image(path, split):
    if not path.is_file():
        raise DataError(f"scikit-image's photograph {path} is missing. Install the package again: "
                        "python -m pip install --force-reinstall scikit-image")
    image, _ = read_image(path)
    if path.suffix == ".jpg" and split == "train":
        image = imresize(image, 0.5)        # else the 8 x 8 blocks of JPEG would be learnt
    return image


# ---------------------------------------------------------------- words and tables

def few(names, n=3):
    """The first names of many: ``a.png, b.png, c.png and 9 more``."""
    names = [Path(name).name for name in names]
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def count(files):
    return f"{len(files)} image{'s' * (len(files) != 1)}"


def size(facts):
    return f"{facts.shape[1]} x {facts.shape[0]}"


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


# ---------------------------------------------------------------- the command

EXAMPLES = """\
examples:
  python create_data_lists.py --demo
      make a small set of photographs in data/demo, without any download (begin here)
  python create_data_lists.py --download div2k benchmark
      fetch the training images and the four test sets into data, and list them
  python create_data_lists.py --root D:/images
      list the sets that are in D:/images
  python create_data_lists.py --train-hr my_photos --valid-count 10 --make-lr
      train on your own images: make their LR, hold out 10 for validation
  python create_data_lists.py --check
      read every image of the lists in data and report all that is wrong
  python create_data_lists.py --root /mnt/div2k --csv-folder lists
      list images in a folder that cannot be written to

exit status: 0 all is well, 1 something is wrong (it says what), 2 the command was not understood
"""


def parser():
    p = argparse.ArgumentParser(prog="create_data_lists.py", description=__doc__.split(":")[0] + ".",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", metavar="DIR", help="the data folder (default: data; with --demo: data/demo)")
    p.add_argument("--csv-folder", metavar="DIR", help="where the lists are (default: the data folder)")
    p.add_argument("--scale", type=int, default=4, choices=(2, 4, 8),
                   help="HR is so many times larger than LR (default: 4)")
    p.add_argument("--demo", action="store_true", help="make the demo set from scikit-image's photographs")
    p.add_argument("--download", nargs="+", default=[], choices=("div2k", "benchmark"), metavar="SET",
                   help="fetch 'div2k' (several GB) and/or 'benchmark' (Set5, Set14, B100, Urban100; 250 MB); "
                        "goes on where it was interrupted")
    p.add_argument("--train-hr", metavar="DIR", help="a folder of your own HR images to train on")
    p.add_argument("--valid-count", type=int, default=0, metavar="N",
                   help="hold out N of the --train-hr images for validation")
    p.add_argument("--make-lr", action="store_true", help="make the LR images that are missing")
    p.add_argument("--check", action="store_true", help="read every pair of the lists and report every fault")
    p.add_argument("--hr-folder", metavar="DIR",
                   help="for --check: what the HR names are relative to (config.HR_data_folder)")
    p.add_argument("--lr-folder", metavar="DIR",
                   help="for --check: what the LR names are relative to (config.LR_data_folder)")
    return p


def main(argv=None):
    """The command; returns its exit status."""
    p = parser()
    args = p.parse_args(argv)
    if args.valid_count < 0 or args.valid_count and not args.train_hr:
        p.error("--valid-count takes a positive number, and goes with --train-hr")
    if args.demo and (args.download or args.train_hr or args.csv_folder):
        p.error("--demo goes without --download, --train-hr and --csv-folder")
    if (args.hr_folder or args.lr_folder) and not args.check:
        p.error("--hr-folder and --lr-folder go with --check")
    try:
        return run(args)
    except (DataError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again: it goes on from here.", file=sys.stderr)
        return 130


def run(args):
    root = Path(args.root or ("data/demo" if args.demo else "data"))
    csv_folder = Path(args.csv_folder or root)
    elsewhere = os.path.abspath(csv_folder) != os.path.abspath(root)
    problems = download(args.download, root) if args.download else []
    is_new = not any(list_path(csv_folder, split).is_file() for split in SPLITS)
    if args.demo:
        make_demo(root, args.scale)
        print_table(("split", "images", "where"), [(split, len(names), f"{root.as_posix()}/HR: " + ", ".join(
            Path(name).stem for name in names)) for split, names in DEMO.items()], fold=1)
    elif args.download or args.train_hr or args.make_lr or not args.check or is_new:
        # A mere --check looks at the lists as they are.
        problems += list_images(root, csv_folder, args.train_hr, args.valid_count, args.make_lr, args.scale)
    for problem in problems:
        print(f"\nProblem: {problem}")
    status = 1 if problems else 0
    if args.check:
        print()
        base = root if elsewhere else None
        found = check(csv_folder, args.hr_folder or base, args.lr_folder or base, args.scale)
        return report(*found) or status
    if not is_new or any(list_path(csv_folder, split).is_file() for split in SPLITS):
        print_next_steps(root, csv_folder, elsewhere)
    return status


def print_next_steps(root, csv_folder, elsewhere):
    print(f"\nThe lists are in {csv_folder.as_posix()}. In the notebooks:\n"
          f'    config.csv_folder = "{csv_folder.as_posix()}"')
    if elsewhere:
        print(f'    config.HR_data_folder = config.LR_data_folder = "{root.as_posix()}"')
    options = f"--root {root.as_posix()}" + (f" --csv-folder {csv_folder.as_posix()}" if elsewhere else "")
    print(f"Read and check every image: python create_data_lists.py {options} --check")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        # A Windows console may not have every letter of a file name: better a "?" than a crash.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())

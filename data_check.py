"""Read every pair of every list, and say all that is wrong with them: ``create_data_lists.py --check``."""

import csv
import os
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from data_layout import SPLITS, TRAINING, count, expected_number, match, print_table, size
from datasets import DataError, fit_pair, leads_outside, list_path
from utils import TooManyBits, read_image

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
    jpeg = False
    try:
        with open(path, "rb") as file:
            start = file.read(3)
        if not start:
            return Facts(None, "", "unreadable", "The file is empty.", jpeg)
        jpeg = start == b"\xff\xd8\xff"
        array, notice = read_image(path)
        return Facts(array.shape, notice, "", "", jpeg)
    except TooManyBits:
        return Facts(None, "", "wrong mode", "It has 16 or more bits a channel.", jpeg)
    except (ValueError, OSError) as error:
        reason = str(error.__cause__ or error).replace(repr(str(path)), "it").replace(str(path), "it")
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

"""Read every pair of every list, and report everything that is wrong with them: ``create_data_lists.py --check``."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from imresize import imresize
from metrics import luma, three_channels
from support.data_layout import (
    SPLITS,
    TRAINING,
    expected_number,
    match,
    print_table,
    size,
)
from support.downscaling import agreement as inner_agreement
from support.findings import NEW_LR, Agreement, Facts, Finding, Row
from support.foreign import kind_of
from support.images import TO_8_BITS, TooManyBits, read_image
from support.judge_set import judge_set
from support.lists import DataError, fit_pair, list_path, read_rows, too_small
from support.make_lr import is_outdated
from support.messages import count

SAME_IMAGE = 0.7             # correlation; LR made by the crudest method has above 0.9, that of another image about 0
LIKE_BICUBIC = 30            # dB; taking every fourth pixel gives less
JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
AGAIN = "Fetch or copy it again."


def check(csv_folder, hr_folder=None, lr_folder=None, scale=4):
    """Read every pair of every list in ``csv_folder``, whole, and find everything that is wrong.

    Args:
        hr_folder, lr_folder: what the rows are relative to (default: the lists' folder).
        scale: HR is this many times larger than LR.

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
        path = list_path(csv_folder, split)
        pairs, faults = read_rows(path, folders)
        rows[split] = [Row(split, pair.row, tuple(names_in(pair, folders)), (pair.hr, pair.lr)) for pair in pairs]
        findings += [Finding(split, row, path.name, "row", problem, remedy, True) for row, problem, remedy in faults]
    repeated = list(find_repeated(rows))
    findings += repeated
    findings += [finding for split in splits for finding in find_missing_images(split, rows[split], scale)]

    # Of a duplicate, the row named first speaks for its files.
    again = {(finding.split, finding.row) for finding in repeated if finding.kind == "duplicate"}
    unread = [row for split in splits for row in rows[split] if (split, row.number) not in again]
    agreements = {split: [] for split in splits}
    for row, facts in zip(unread, inspect_all(unread, scale)):
        of_row = list(check_row(row, *facts, scale))
        findings += of_row
        if not any(finding.fails for finding in of_row):
            agreements[row.split].append((row, *facts[1:]))
    findings += [finding for split in splits for finding in judge_set(split, agreements[split], scale)]
    findings.sort(key=lambda finding: (SPLITS.index(finding.split), finding.row))
    return findings, {split: len(rows[split]) for split in splits}


def names_in(pair, folders):
    """The names of HR and LR as the list has them: relative to their folders."""
    return [path.relative_to(folder).as_posix() for path, folder in zip((pair.hr, pair.lr), folders)]


def find_repeated(rows):
    """Rows whose HR or LR an earlier row has; test and validation images that are trained on."""
    trained = {}
    for split, its_rows in rows.items():
        seen, case = {}, {}
        for row in its_rows:
            keys = [os.path.normcase(os.path.abspath(path)) for path in row.paths]
            for kind, name, key, alike in zip(("HR", "LR"), row.names, keys, (key.casefold() for key in keys)):
                if key in seen and seen[key] != row.number:
                    yield Finding(split, row.number, name, "duplicate", f"The same {kind} file as row {seen[key]}.",
                                  "Delete one of the two rows, or make the list again.", True)
                    break
                if case.get(alike, key) != key:
                    yield Finding(split, row.number, name, "case", "Another row has this name except for capital "
                                  "letters: the same file on Windows and macOS.", "Rename one of the two.", False)
                    break
            else:
                if keys[0] in trained:
                    yield Finding(split, row.number, row.names[0], "duplicate",
                                  f"Also row {trained[keys[0]]} of the training list: its score proves nothing.",
                                  "Take it out of one of the two lists.", True)
            for key in keys:
                seen.setdefault(key, row.number)
                case.setdefault(key.casefold(), key)
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
            continue                            # these files are not named by the rule of ``match``
        for kind, files, remedy in (("LR", found.hr_only, "Make the LR with --make-lr, or remove the file."),
                                    ("HR", found.lr_only, "Fetch the HR again, or remove the file.")):
            for file in files:
                if file not in listed:
                    yield Finding(split, 0, (written[file.parent] / file.name).as_posix(), "missing partner",
                                  f"It has no {kind} partner.", remedy, True)


def inspect_all(rows, scale):
    """(Facts of HR, Facts of LR, how they agree) for each row."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:         # Pillow decodes outside Python's lock
        return list(tqdm(pool.map(lambda row: inspect_pair(row, scale), rows), total=len(rows), desc="Reading",
                         unit=" pairs", disable=len(rows) < 20, mininterval=1))


def inspect_pair(row, scale):
    """Read both files of a row whole.

    Returns:
        (Facts, Facts, Agreement), or None for the last where the two cannot be compared.
    """
    (hr, hr_facts), (lr, lr_facts) = (inspect(path) for path in row.paths)
    try:
        (height, width), (h, w) = fit_pair(hr.shape, lr.shape, scale)
    except (AttributeError, DataError):       # one cannot be read; the sizes do not fit
        return hr_facts, lr_facts, None
    return hr_facts, lr_facts, compare(imresize(hr[:height, :width], 1 / scale), lr[:h, :w])


def compare(made, lr):
    """How an LR file agrees with the LR that our imresize makes from HR: Agreement.

    made, lr: uint8 arrays (h, w, 3) or (h, w).
    psnr: in dB, on luma, unshifted.  correlation: of the two images' luma, -1 to 1, at the
    best shift.  shift: (down, right) in LR pixels, by which the file's content is moved.
    inner: in dB, on all channels, without the border, which two versions of MATLAB make in two ways.
    """
    a, b = luma(three_channels(made)), luma(three_channels(lr))
    if min(a.shape) < 8:
        return Agreement(float("inf"), 1.0, (0, 0), None)
    inside, best = a[1:-1, 1:-1], None
    for down in (0, -1, 1):                   # unshifted comes first, and wins a tie
        for right in (0, -1, 1):
            moved = b[1 + down:b.shape[0] - 1 + down, 1 + right:b.shape[1] - 1 + right]
            error = float(np.mean((inside - moved) ** 2))
            if best is None:
                unshifted = error
            if best is None or error < 0.5 * unshifted and error < best[0]:
                best = error, (down, right), moved
    spread = inside.std() * best[2].std()
    covariance = np.mean((inside - inside.mean()) * (best[2] - best[2].mean()))
    correlation = float(covariance / spread) if spread > 0 else float(inside.std() == best[2].std())
    return Agreement(float(10 * np.log10(255**2 / max(unshifted, 1e-9))), correlation, best[1],
                     inner_agreement(made, lr))


def inspect(path):
    """Read an image file whole: (array or None, Facts); ``problem`` is "" where it can be used."""
    def wrong(kind, problem):
        return None, Facts(None, "", kind, problem, jpeg)

    jpeg = False
    try:
        if not os.path.lexists(path):
            return wrong("missing partner", "The {} file does not exist.")
        if path.is_dir():
            return wrong("unreadable", "It is a folder, not an image.")
        with open(path, "rb") as file:
            start = file.read(3)
        if not start:
            return wrong("unreadable", "The file is empty.")
        jpeg = start == b"\xff\xd8\xff"
        array, notice = read_image(path)
        return array, Facts(array.shape, notice, "", "", jpeg)
    except TooManyBits as error:
        return wrong("wrong mode", f"It has {error.found}.")
    except PermissionError:
        return wrong("unreadable", "This account may not read it.")
    except (ValueError, OSError) as error:
        what, _ = kind_of(path)
        if what:
            return wrong("unreadable", f"It cannot be read: {what}.")
        reason = str(error.__cause__ or error).replace(repr(str(path)), "it").replace(str(path), "it")
        return wrong("unreadable", f"It cannot be read, damaged or cut short: {reason}.")


def check_row(row, hr, lr, agreement, scale):
    """All findings about one pair, from the Facts of its two files and their Agreement."""
    def fault(which, kind, problem, remedy, fails=True):
        return Finding(row.split, row.number, row.names[which], kind, problem, remedy, fails)

    if os.path.normcase(os.path.abspath(row.paths[0])) == os.path.normcase(os.path.abspath(row.paths[1])):
        yield fault(0, "same file", "HR and LR are the same file.", "Make the list again, or fix this row.")
        return
    is_test = row.split not in TRAINING
    for which, (name, facts) in enumerate((("HR", hr), ("LR", lr))):
        if facts.problem:
            remedy = {"missing partner": "Make it with --make-lr, or fetch it again." if which else AGAIN,
                      "wrong mode": TO_8_BITS}.get(facts.kind, AGAIN)
            yield fault(which, facts.kind, facts.problem.format(name), remedy)
        if facts.notice:
            yield fault(which, "wrong mode", f"Neither RGB nor grey: {facts.notice}.",
                        "Fetch the original, RGB or grey, again." if is_test else "Convert it, if this is not wanted.",
                        is_test)
        if facts.jpeg and is_test:
            yield fault(which, "JPEG", "A JPEG in a test set: what it lost cannot be measured.",
                        "Fetch the lossless original.")
        ending = Path(row.names[which]).suffix.lower()
        if facts.jpeg and ending not in JPEG_ENDINGS:
            yield fault(which, "JPEG", f"A JPEG that is called {ending or 'without ending'}.",
                        "Fetch the lossless original, or rename it.", is_test)
    if hr.shape and lr.shape and is_outdated(*row.paths):
        yield fault(1, "outdated", "HR has other content than when this LR was made from it.",
                    "Make the LR again with --make-lr.")
    elif hr.shape and lr.shape and agreement is None:
        yield from check_sizes(fault, hr.shape, lr.shape, scale)
    elif agreement:
        if row.split != "train" and (reason := too_small(hr.shape, scale)):
            yield fault(0, "too small", f"{reason}.", "Take this row out of the list.")
        yield from check_agreement(fault, agreement)


def check_sizes(fault, hr_shape, lr_shape, scale):
    """Why two files that can be read do not fit: exchanged, or a wrong size; ``fault`` is that of check_row."""
    try:
        fit_pair(lr_shape, hr_shape, scale)
        yield fault(0, "swapped", f"HR ({size(hr_shape)}) is smaller than LR ({size(lr_shape)}): "
                    "the columns are swapped.", "A row is HR,LR: exchange the two, or make the list again.")
        return
    except DataError:
        pass
    try:
        fit_pair(hr_shape, lr_shape, scale)
    except DataError as error:
        yield fault(1, "wrong size", f"{error}.", f"{NEW_LR} Or give another --scale.")


def check_agreement(fault, agreement):
    """What an Agreement says about a pair: LR of another image, or shifted.  For other methods see ``judge_set``."""
    # In an image that is almost flat, the rounding to 8 bits alone lowers the correlation.
    if agreement.correlation < SAME_IMAGE and agreement.psnr < LIKE_BICUBIC:
        yield fault(1, "other image", "The LR of another image: it hardly agrees with the downscaled HR "
                    f"(correlation {agreement.correlation:.2f}).",
                    f"Is the row right? Otherwise: {NEW_LR[0].lower()}{NEW_LR[1:]}")
    elif agreement.shift != (0, 0):
        down, right = agreement.shift
        moved = " and ".join([f"{abs(down)} pixel {'down' if down > 0 else 'up'}"] * (down != 0) +
                             [f"{abs(right)} pixel to the {'right' if right > 0 else 'left'}"] * (right != 0))
        yield fault(1, "shifted", f"LR is shifted {moved} relative to HR: SR would be, too.",
                    NEW_LR)


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
    elif any(f.kind == "other downscaling" and f.row == 0 for f in findings):
        print("Every file is whole, but LR of another tool is among them: see above.")
    else:
        print("Every file is whole and every pair fits." + (f" Notices: {notices}, none a fault." if notices else ""))
    return 1 if kinds else 0

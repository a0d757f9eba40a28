"""What a person has to look at: copies between students, claims that do not agree, images of something else."""

import ast
import csv
import hashlib
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np

from course.check import same_picture
from course.facts import CODE, NOTEBOOKS
from course.handin import code_files
from course.regions import split, split_notebook
from imresize import imresize
from support.images import read_image

LONG_ENOUGH = 12         # characters: shorter lines are alike by chance
FEW = 4                  # fewer hand-ins that share a line say nothing about a handout
HANDED_OUT = {".py", ".ipynb", ".md", ".txt"}
MIN_SHARED, SHARE = 12, 0.5         # so many lines, and more than this part of the shorter hand-in's
CLAIM_TOLERANCE = 0.02   # dB
LR_TOLERANCE = 6.0       # grey levels on average; honest results stay below 3


def edition_lines(root):
    """Hashes of the lines that the course hands out: they are nobody's own.  Solutions are not among them."""
    lines = set()
    for name, file in code_files(root).items():
        lines |= set(_hashes(split(file.read_text(encoding="utf-8"), name.as_posix())[0]))
    for name in NOTEBOOKS:
        notebook, _ = split_notebook(nbformat.read(Path(root, name), as_version=4), name)
        lines |= set(_hashes(_code_of(notebook)))
    return lines


def given_lines(folders):
    """Hashes of all lines in the code and the texts of folders: of another handout, say.

    Raises:
        ValueError: if one of them is no folder, or has no such file.
    """
    lines = set()
    for folder in map(Path, folders):
        files = [path for path in folder.rglob("*") if path.suffix in HANDED_OUT and path.is_file()]
        if not files:
            raise ValueError(f"--given {folder}: it is no folder with code ({', '.join(sorted(HANDED_OUT))}). Put the "
                             "files that students were given into a folder, unpacked, and name that folder.")
        for path in files:
            lines |= set(_hashes(_text(path)))
    return lines


def common_lines(rows):
    """Hashes of lines that more than half of the hand-ins have, and at least FEW, if they are enough to make flags."""
    counts = Counter(line for row in rows for line in row["lines"])
    common = {line for line, n in counts.items() if n >= FEW and n > len(rows) / 2}
    return common if len(common) >= MIN_SHARED else set()


def own_lines(handin, given):
    """Hashes of the lines that a student has written in models.py, solver.py and the notebooks' code cells."""
    found = set()
    for name in (*CODE, *NOTEBOOKS):
        path = handin.folder / name
        if path.is_file():
            found |= set(_hashes(_text(path)))
    return found - given


# Names by which code could reach into the process that tests it; a hand-in has no other use for them.
REACHING = re.compile(r"\b(?:import|from) +(?:probes|jailed|walk|jail|__main__)\b|gc\.get_(?:objects|referrers)|"
                      r"sys\._getframe|inspect\.(?:stack|currentframe)|\b(?:tb|f)_(?:frame|back|globals|locals)\b")


def reaching(handin):
    """A flag for each code file that names the parts of the process in which it is tested."""
    flags = []
    for name, path in code_files(handin.folder).items():
        found = sorted(set(REACHING.findall(_without_comments(_text(path)))))
        if found:
            flags.append(f"{name.as_posix()} reaches for the process that tests it: {', '.join(found[:3])}")
    return flags


def line_hashes(handin):
    """dict models.py, solver.py -> hashes of its lines."""
    return {name: sorted(set(_hashes(_text(handin.folder / name))))
            for name in CODE if (handin.folder / name).is_file()}


def as_handed_out(name, hashes, kit):
    """Whether a file holds no line (their hashes are given) that a kit's edition has not handed out."""
    return set(hashes) <= set(_hashes(split(Path(kit, name).read_text(encoding="utf-8"), name)[0]))


def _text(path):
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        return _code_of(nbformat.read(path, as_version=4))
    except Exception:                    # the check reports it
        return ""


def _code_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def _hashes(text):
    """A hash of each line, without comments and spaces, so that a copy with other ones is still found."""
    for line in _without_comments(text).splitlines():
        line = "".join(line.split())
        if len(line) >= LONG_ENOUGH:
            yield hashlib.sha256(line.encode("utf-8", "replace")).hexdigest()[:16]


def _without_comments(text):
    try:
        ast.parse(text)
        kept = [(token.type, token.string, *token[2:]) for token in tokenize.generate_tokens(io.StringIO(text).readline)
                if token.type != tokenize.COMMENT]
        return tokenize.untokenize(kept)
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return "\n".join(line.partition("#")[0] for line in text.splitlines())


def between_students(rows, folders):
    """{file: flags} for images and code that two hand-ins share.

    Args:
        rows: the results of ``grade_one``, after ``settle``.
        folders: dict file -> folder of its images.
    """
    flags = {row["file"]: [] for row in rows}
    pictures = {row["file"]: {name: read_image(folders[row["file"]] / f"{name}.png")[0] for name in row["pictures"]}
                for row in rows}
    ids = {row["file"]: row["student_id"] for row in rows}
    for k, row in enumerate(rows):
        for other in rows[:k]:
            a, b = row["file"], other["file"]
            if ids[a] == ids[b] and not (row["counts"] and other["counts"]):
                continue                     # the same student twice
            alike = [name for name in pictures[a] if name in pictures[b]
                     and same_picture(pictures[a][name], pictures[b][name], most=0.25)]
            shared = len(set(row["lines"]) & set(other["lines"]))
            fewest = min(len(row["lines"]), len(other["lines"]))
            for one, two in ((a, b), (b, a)):
                if alike:
                    flags[one].append(f"pictures equal to those of {ids[two]}: {', '.join(alike)}")
                if shared >= MIN_SHARED and shared > SHARE * fewest:
                    flags[one].append(f"{shared} of {fewest} own lines of code shared with {ids[two]}")
    return flags


def wrong_claims(handin, measured):
    """Flags for scores in the table that was handed in which the images do not have.

    Args:
        measured: dict image -> {"psnr", "ssim"} of the images that were handed in.
    """
    try:
        with open(handin.run / "benchmark.csv", encoding="utf-8-sig", newline="") as file:
            rows = {row["image"].lower(): row for row in csv.DictReader(file) if row.get("set") == "Set5"}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError):
        return ["no table of results (run/benchmark.csv) to compare with"]
    flags = []
    for name, values in measured.items():
        try:
            claimed = float(rows[name]["srgan_psnr"])
        except (KeyError, ValueError, TypeError):
            flags.append(f"{name}: the table claims nothing")
            continue
        if not abs(claimed - values["psnr"]) <= CLAIM_TOLERANCE:
            flags.append(f"{name}: {claimed:.2f} dB claimed, {values['psnr']:.2f} dB measured")
    return flags


def disagreement_with_lr(name, picture, lr_enlarged):
    """A flag for a result that, downscaled again, is not its LR image: it shows something else."""
    lr = lr_enlarged[::4, ::4]
    difference = np.abs(imresize(picture, 1 / 4).astype(int) - lr).mean()
    return [f"{name}.png: downscaled again, it differs from LR by {difference:.1f} grey levels"] \
        if difference > LR_TOLERANCE else []

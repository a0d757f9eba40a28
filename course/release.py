"""Make the student edition of this repository, and the hidden tests beside it."""

import re
import shutil
import tempfile
from pathlib import Path

import nbformat

from course.facts import NOTEBOOKS
from course.hidden import make_bundle
from course.regions import split, split_notebook
from course.sandbox import ROOT, run_probes
from support.version import kit_version

# What students get.  weights/, benchmarks/ and extensions/ would give the solution away.
TEXTS = ("*.py", "README.md", "README.zh-CN.md", "course.toml", "handin.toml", "requirements.txt", "Makefile",
         "LICENSE", "pyproject.toml", ".gitignore", "docs/assignment*.md", "docs/student*.md", "docs/data*.md",
         "tests/__init__.py", "tests/conftest.py", "tests/helpers.py", "tests/students/*.py", "tests/core/__init__.py",
         "tests/core/test_imresize.py", "tests/core/test_data_lists.py")
OTHERS = ("docs/pictures/student_*.png", "docs/pictures/assignment_*.png")
COURSE = ("__init__.py", "__main__.py", "facts.py", "handin.py", "check.py", "texts.py", "commands.py", "pack.py",
          "report.py", "templates/report.md.j2", "templates/report.html.j2")
LONG = 20                # characters: shorter lines are in every program


class ReleaseError(ValueError):
    """The student edition cannot be made, or would hold solutions; the message says where."""


def release_command(parser):
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the student edition; it must not exist")
    parser.add_argument("--hidden", type=Path, help="the hidden tests' file (default: OUT_hidden.zip)")

    def run(args):
        hidden = args.hidden or args.out.with_name(f"{args.out.name}_hidden.zip")
        n = release(args.out, hidden)
        print(f"{args.out}: the student edition, {n} files without solutions. Hand out the folder, as a zip file.\n"
              f"{hidden}: the hidden tests, for `python -m course grade --hidden`. Keep them.")
        return 0
    return run


def release(out, hidden, root=ROOT):
    """Write the student edition and the hidden tests; returns the number of files.

    Raises:
        ReleaseError: if ``out`` is there already, or a line that stands in solutions only is found in it.
        RegionError: for marks that do not belong together.
    """
    out, root = Path(out), Path(root)
    if out.exists() or Path(hidden).exists():
        raise ReleaseError(f"{out if out.exists() else hidden} is there already; choose another name or remove it.")
    solutions, written = {}, {}            # of each file: its solutions' lines; its text without them
    for path in texts_of(root):
        text, lines = split(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix(), path.suffix == ".md")
        written[path.relative_to(root)] = squeezed(text)
        solutions[path.relative_to(root)] = {line.strip() for line in lines}
    for name in NOTEBOOKS:
        notebook, lines = split_notebook(nbformat.read(root / name, as_version=4), name)
        written[Path(name)] = nbformat.writes(notebook) + "\n"
        solutions[Path(name)] = {line.strip() for line in lines}
    leaks = find_leaks(written, solutions)
    if leaks:
        raise ReleaseError("These lines of solutions would be handed out:\n  " + "\n  ".join(leaks))
    for name, text in written.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    others = [path for pattern in OTHERS for path in sorted(root.glob(pattern))]
    for path in others:
        (out / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / path.relative_to(root))
    make_bundle(hidden, lambda inputs, names: expected_of(root, inputs, names), version=kit_version(root))
    return len(written) + len(others)


def texts_of(root):
    """All files that are handed out as text, in order."""
    found = {path for pattern in TEXTS for path in root.glob(pattern)}
    return sorted(found | {root / "course" / name for name in COURSE})


def squeezed(text):
    """Without the gaps that regions leave: at most two empty lines in a row."""
    return re.sub(r"\n{4,}", "\n\n\n", text)


def find_leaks(written, solutions):
    """Long lines of solutions that are found in the edition: list of "file: line".

    A line that stands outside of the regions of its own file too is no secret.
    """
    shown = {name: _lines(name, text) for name, text in written.items()}
    leaks = []
    for name, lines in solutions.items():
        secret = {line for line in lines - shown[name] if len(line) > LONG}
        leaks += [f"{other.as_posix()}: {line}" for other in shown for line in sorted(secret & shown[other])]
    return leaks


def _lines(name, text):
    if name.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    return {line.strip() for line in text.splitlines()}


def expected_of(root, inputs, names):
    """The complete kit's own arrays."""
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch, "code")
        code.mkdir()
        for path in root.glob("*.py"):
            shutil.copy(path, code)
        return run_probes(code, inputs, names, Path(scratch, "jail")).arrays

"""Make the student edition from this repository, and the hidden tests that go with it."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from course.address import checked, with_address
from course.facts import NOTEBOOKS, read_facts
from course.handin import EDITION, code_files, text_hash
from course.hidden import make_bundle
from course.regions import split, split_notebook
from course.sandbox import ROOT, copy_code, run_probes
from support.files import write_atomically
from support.version import kit_version

# The files that students get.  weights/, benchmarks/ and extensions/ would give the solution away.
TEXTS = ("*.py", "support/*.py",
         "README.md", "README.zh-CN.md", "course.toml", "handin.toml", "requirements.txt", "Makefile", "LICENSE",
         "pyproject.toml", ".gitignore", "docs/assignment*.md", "docs/student*.md", "docs/data*.md", "docs/network*.md",
         "docs/troubleshooting*.md", "docs/glossary*.md",
         "tests/__init__.py", "tests/conftest.py", "tests/helpers.py", "tests/students/*.py", "tests/core/__init__.py",
         "tests/core/test_imresize.py", "tests/core/test_data_lists.py")
OTHERS = ("docs/pictures/student_*.png", "docs/pictures/assignment_*.png", "support/niqe_parameters.npz")
COURSE = ("__init__.py", "__main__.py", "facts.py", "handin.py", "check.py", "texts.py", "commands.py", "pack.py",
          "report.py", "report_parts.py", "report_blocks.py", "templates/report.md.j2")
# Run in the edition, whose presets are not those of this repository.
SETTINGS_PAGES = """
from pathlib import Path
from config import PRESETS, get_config
from support.settings_page import PAGES, core_page
for language, name in enumerate(PAGES):
    text = core_page({preset: get_config(preset) for preset in PRESETS}, language)
    Path("docs", name).write_text(text, encoding="utf-8", newline="\\n")
"""
LONG = 20                # characters: shorter lines occur in any program


class ReleaseError(ValueError):
    """The student edition cannot be written, or would hold solutions; the message says where."""


def release_command(parser):
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the student edition; it must not exist yet")
    parser.add_argument("--hidden", type=Path, help="file for the hidden tests (default: OUT_hidden.zip)")

    def run(args):
        hidden = args.hidden or args.out.with_name(f"{args.out.name}_hidden.zip")
        n = release(args.out, hidden)
        print(f"{args.out}: the student edition, {n} files without solutions. Hand it out as a zip file.\n"
              f"{hidden}: the hidden tests, for `python -m course grade --hidden`. Do not hand them out.")
        return 0
    return run


def release(out, hidden, root=ROOT):
    """Write the student edition and the hidden tests; returns the number of files.

    Raises:
        ReleaseError: if ``out`` exists already, or a line that occurs only in solutions would be handed out.
        RegionError: for marks that do not match.
    """
    out, root = Path(out), Path(root)
    if out.exists() or Path(hidden).exists():
        raise ReleaseError(f"{out if out.exists() else hidden} is there already; choose another name, or remove it.")
    address = checked(read_facts(root / "course.toml").course.student_repository, "student_repository")
    written, solutions = without_solutions(root)
    written = {name: with_address(name.as_posix(), text, address) for name, text in written.items()}
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
    subprocess.run([sys.executable, "-B", "-c", SETTINGS_PAGES], cwd=out, check=True)
    given = {name.as_posix(): text_hash(path) for name, path in code_files(out).items()}
    write_atomically(out / EDITION, json.dumps({"kit": kit_version(root), "files": given}, indent=1).encode("utf-8"))
    make_bundle(hidden, lambda inputs, names: answers_of(root, inputs, names), version=kit_version(root))
    return sum(path.is_file() for path in out.rglob("*"))


def without_solutions(root):
    """The texts of the student edition: ({path: text without solutions}, {path: the lines of its solutions})."""
    written, solutions = {}, {}
    for path in texts_of(root):
        text, lines = split(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix(), path.suffix == ".md")
        written[path.relative_to(root)] = squeezed(text)
        solutions[path.relative_to(root)] = {line.strip() for line in lines}
    for name in NOTEBOOKS:
        notebook, lines = split_notebook(nbformat.read(root / name, as_version=4), name)
        written[Path(name)] = nbformat.writes(notebook) + "\n"
        solutions[Path(name)] = {line.strip() for line in lines}
    return written, solutions


def texts_of(root):
    """All files that are handed out as text, sorted."""
    found = {path for pattern in TEXTS for path in root.glob(pattern)}
    return sorted(found | {root / "course" / name for name in COURSE})


def squeezed(text):
    """The text without the gaps that regions leave: at most two empty lines in a row."""
    return re.sub(r"\n{4,}", "\n\n\n", text)


def find_leaks(written, solutions):
    """Long lines of solutions that occur in the edition: list of "file: line".

    A line that also stands outside the regions of its own file is no secret, and neither is the rule of a table.
    """
    shown = {name: _lines(name, text) for name, text in written.items()}
    leaks = []
    for name, lines in solutions.items():
        secret = {line for line in lines - shown[name] if len(line) > LONG and re.search(r"\w", line)}
        leaks += [f"{other.as_posix()}: {line}" for other in shown for line in sorted(secret & shown[other])]
    return leaks


def _lines(name, text):
    if name.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    return {line.strip() for line in text.splitlines()}


def answers_of(root, inputs, names):
    """What the complete kit answers."""
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch, "code")
        copy_code(root, code)
        return run_probes(code, inputs, names)

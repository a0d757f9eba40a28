"""The two commands that both READMEs begin with, run as they stand there in a fresh copy of the kit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from tests.helpers import ROOT

READMES = ("README.md", "README.zh-CN.md")
# `make test` in the copy: all tests are collected, these are run.  .ci/run runs all of them, by the same command.
FEW = "-k test_imresize"
PICTURES = ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.png"]


def first_commands(name):
    """The lines of a page's first fenced block."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.search(r"^```\w*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)[1].splitlines()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """What a clone of the repository holds, with the installed packages of this Python as its .venv."""
    folder = tmp_path_factory.mktemp("clone") / "srgan"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if listed.returncode:
        pytest.skip("this is no clone: git does not list its files")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    if sys.prefix == sys.base_prefix:
        (environment / "bin" / "python").symlink_to(sys.executable)
    else:
        (environment / "bin").rmdir()
        for part in Path(sys.prefix).iterdir():
            (environment / part.name).symlink_to(part)
        (environment / "installed").unlink(missing_ok=True)
    (environment / "installed").touch()                       # newer than requirements.txt: make installs nothing
    return folder


def run(command, folder, **variables):
    """A line of the README in a shell; returns what it printed.  The make and the pytest around are not felt."""
    around = re.compile("MAKE|MFLAGS|PYTEST")
    env = {name: value for name, value in os.environ.items() if not around.match(name)}
    done = subprocess.run(command, shell=True, cwd=folder, env={**env, **variables}, capture_output=True, text=True,
                          encoding="utf-8", timeout=3000)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def test_both_pages_begin_with_the_same_two_commands_of_the_makefile():
    pages = [[line.partition("#")[0].strip() for line in first_commands(name)] for name in READMES]
    assert pages[0] == pages[1] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{line.removeprefix('make ')}:", makefile, flags=re.MULTILINE) for line in pages[0])


@pytest.mark.parametrize("name", READMES)
def test_the_tree_of_files_is_complete(name):
    """Each Python file and notebook of the top level has a line, and each module of support/ is named."""
    text = (ROOT / name).read_text(encoding="utf-8")
    tree = re.search(r"^```\n(train\.ipynb .*?)^```$", text, flags=re.MULTILINE | re.DOTALL)[1]
    top, _, support = tree.partition("support/\n")
    assert sorted(line.split()[0] for line in top.splitlines() if line) == sorted(
        path.name for kind in ("*.py", "*.ipynb") for path in ROOT.glob(kind))
    named = [word for line in support.splitlines() for word in re.split(r" {2,}", line.strip())[0].split()]
    assert sorted(named) == sorted(path.stem for path in (ROOT / "support").glob("[!_]*.py"))


def tables(text):
    """Set -> PSNR of bicubic, pre-trained, SRGAN, of the tables as run_notebooks.py prints them."""
    return {line.split("|")[1].strip(): [float(value) for value in re.findall(r"([\d.]+) dB", line)]
            for line in text.splitlines() if re.match(r"\| (demo|valid) ", line)}


def assert_demo(folder, printed, page):
    """The demo has made what the page says: the table, the pictures, the executed notebooks."""
    found, promised = tables(printed), tables((ROOT / page).read_text(encoding="utf-8"))
    assert list(found) == list(promised) == ["demo", "valid"], printed[-2000:]
    for name, (bicubic, trained, srgan) in found.items():
        assert bicubic == promised[name][0]
        # Another processor rounds in another way, and a training goes another way then.
        assert [trained, srgan] == pytest.approx(promised[name][1:], abs=0.3), printed[-2000:]
    results = folder / "runs/demo/results/demo"
    assert sorted(path.name for path in results.iterdir()) == PICTURES
    for path in results.iterdir():
        with Image.open(path) as sr, Image.open(folder / "data/demo/HR" / path.name) as hr:
            assert sr.size == (hr.width // 4 * 4, hr.height // 4 * 4)
    for notebook in ("train", "test", "super_resolution"):
        assert f"runs/demo/{notebook}.ipynb" in printed
        cells = nbformat.read(folder / "runs/demo" / f"{notebook}.ipynb", as_version=4).cells
        assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_the_two_commands_do_what_the_pages_say(copy):
    weights = []
    for page in READMES:                        # the second time there is nothing left to train
        demo, tests = first_commands(page)
        assert_demo(copy, run(demo, copy), page)
        weights.append((copy / "runs/demo/checkpoints/srgan_last.pth").read_bytes())
        assert re.search(r"\d+ passed", run(tests, copy, PYTEST_ADDOPTS=FEW))
    assert weights[0] == weights[1]

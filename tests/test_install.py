"""What `make` installs torch from: a uv that only writes down how it was called stands for the real one."""

import os
import shutil
import subprocess

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="there is no make here")
SCRIPT = "#!/bin/sh\n"
UV = SCRIPT + """echo "$@" >> calls.txt
[ -z "$FAILS" ] || case "$*" in *"$FAILS"*) echo "no way there" >&2; exit 2;; esac
"""
# Stands for the Python of .venv as well: `pip config get` has no setting, all else works and does nothing.
PYTHON = SCRIPT + '''case "$*" in
    "-m venv .venv") mkdir -p .venv/bin; cp python .venv/bin/python; cp uv .venv/bin/uv;;
    *"config get"*) exit 1;;
esac
'''


def make(folder, *arguments, **variables):
    """`make` in a folder that has nothing installed: (the calls of uv, what was printed)."""
    for name, text in {"python": PYTHON, "uv": UV}.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        (folder / name).chmod(0o755)
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "MAKE", "TORCH_"))}
    done = subprocess.run(["make", ".venv/installed", "PYTHON=./python", *arguments], cwd=folder, text=True,
                          env={**env, **variables}, capture_output=True)
    assert done.returncode == (0 if (folder / ".venv/installed").exists() else 2), done.stderr
    calls = (folder / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert all(call.startswith("pip install --quiet --python .venv/bin/python ") for call in calls)
    return [call.removeprefix("pip install --quiet --python .venv/bin/python ") for call in calls], done.stdout


def test_uv_looks_for_a_card_itself(tmp_path):
    calls, printed = make(tmp_path)
    assert calls == ["-r requirements.txt --torch-backend=auto"] and "could not" not in printed


def test_another_build_can_be_named(tmp_path):
    assert make(tmp_path, UV_TORCH_BACKEND="cu126")[0] == ["-r requirements.txt --torch-backend=cu126"]


def test_where_pytorchs_index_cannot_be_reached_the_package_index_has_to_do(tmp_path):
    calls, printed = make(tmp_path, FAILS="--torch-backend", PIP_INDEX_URL="http://mirror.example/packages")
    plain = "--default-index http://mirror.example/packages -r requirements.txt"
    assert calls == [f"{plain} --torch-backend=auto", plain]
    assert "torch could not be taken from PyTorch's own index" in printed and "docs/network.md" in printed


@pytest.mark.parametrize("fails", ["", "--default-index http://builds.example"])
def test_an_index_for_torch_comes_first(tmp_path, fails):
    calls, printed = make(tmp_path, "TORCH_INDEX=http://builds.example/cpu", FAILS=fails, UV_TORCH_BACKEND="cpu")
    assert calls == ["--default-index http://builds.example/cpu torch torchvision", "-r requirements.txt"]
    assert ("could not be taken from http://builds.example/cpu" in printed) == bool(fails)


def test_what_cannot_be_installed_at_all_stops_make(tmp_path):
    calls, _ = make(tmp_path, FAILS="requirements.txt")
    assert len(calls) == 2 and not (tmp_path / ".venv/installed").exists()

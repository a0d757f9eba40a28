"""Ctrl-C and SIGTERM, sent to a training of an extension in a process of its own."""

import os
import signal
import subprocess
import sys

import pytest

from support.checkpoints import load_checkpoint
from tests.helpers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these")]
COMMANDS = {"a2n": ["-m", "extensions", "a2n", "--set", "a2n.epochs=1", "a2n.updates_per_epoch=3000", "print_freq=1",
                    "checkpoint_every=10000", "patch_num=20000"],
            "sr3": ["-m", "extensions", "sr3", "--set", "sr3.updates_per_epoch=3000", "print_freq=1",
                    "checkpoint_every=10000", "patch_num=20000"]}


@pytest.mark.parametrize("method, number, status", [("a2n", signal.SIGTERM, 143), ("sr3", signal.SIGINT, 130)])
def test_an_extension_saves_and_says_how_to_continue(method, number, status, tmp_path):
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[method]], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert any("update" in line for line in process.stderr)
    os.kill(process.pid, number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in errors, errors
    path = next(tmp_path.glob(f"runs/*/checkpoints/{method}_last.pth"))
    assert f"Stopped. Run the same command again to resume from {path.relative_to(tmp_path)}." in out
    assert load_checkpoint(path)["update"] > 0

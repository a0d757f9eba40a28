"""Where a result comes from: seed, versions, command, and hashes of the code and of the data."""

import ast
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from support.files import write_atomically
from support.messages import few
from support.progress import in_notebook
from support.version import ROOT, kit_version

PACKAGES = ("torchvision", "numpy", "pillow")
COMMAND = "SRGAN_KIT_COMMAND"         # environment variable, set by run_notebooks.py for its notebooks


def record(path, seed, stage, digests):
    """Add this start of a stage to ``provenance.json``, unless the last one there was the same.

    Args:
        path: of the JSON file, a list of starts.
        digests: dict split -> dict image -> digest, see ``SRDataset.digests``.
    """
    starts = starts_of(Path(path).parent)
    start = {"stage": stage, "seed": seed, "command": command(), "kit": kit_version(), "code_sha256": code_hash(),
             "data_sha256": hash_of(digests), "python": platform.python_version(),
             "platform": platform.platform(), "device": device_name(), "threads": torch.get_num_threads(),
             "torch": str(torch.__version__), **{name: version(name) for name in PACKAGES}}
    if not starts or {**starts[-1], "time": None} != {**start, "time": None}:
        starts.append({**start, "time": time.strftime("%Y-%m-%d %H:%M:%S")})
        write_atomically(path, json.dumps(starts, indent=2, ensure_ascii=False).encode("utf-8"))


def starts_of(folder):
    """The starts of stages in a run folder's provenance.json, oldest first; none where it is missing or spoiled."""
    try:
        return json.loads(Path(folder, "provenance.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []


def command():
    """The command that was started, without the folders of this machine."""
    if COMMAND in os.environ:
        return os.environ[COMMAND]
    if in_notebook():
        return Path(os.environ.get("JPY_SESSION_NAME", "a notebook")).name
    program = Path(sys.argv[0])
    started = ["-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*started, *sys.argv[1:]])


def code_hash(folder=ROOT):
    """SHA-256 of all Python files of the kit; the same whichever way the lines end."""
    digest = hashlib.sha256()
    for file in sorted(path for place in ("", "support/", "extensions/") for path in folder.glob(f"{place}*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" +
                      file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def syntax_hash(path):
    """A hash of what a Python file does: of its syntax tree without comments and docstrings.

    Twelve hexadecimal digits, the same for every Python version and whichever way lines end or are broken.

    Raises:
        SyntaxError: for a file that is no Python.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    return hashlib.sha256(_canonical(ast.parse(text, filename=str(path))).encode()).hexdigest()[:12]


def _canonical(node):
    """A syntax tree as text.  Not ``ast.dump``: each version of Python adds fields, and leaves others out."""
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")}
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    return type(node).__name__ + "(" + ",".join(
        f"{name}={_canonical(value)}" for name, value in fields.items() if value not in (None, [])) + ")"


def code_line(folder=ROOT, files=("models.py", "solver.py")):
    """A line for a notebook's output: which code it ran on, such as ``code: models.py 0123456789ab  solver.py ...``."""
    return "code: " + "  ".join(f"{file} {syntax_hash(folder / file)}" for file in files)


def hash_of(content):
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def device_name():
    """The name of the GPU, or else of the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()


def changes(old, new):
    """Which images differ between two ``digests``, yielded as sentences."""
    for split in new:
        before, now = old.get(split, {}), new[split]
        for what, names in (("changed", [n for n in now if n in before and now[n] != before[n]]),
                            ("new", [n for n in now if n not in before]),
                            ("gone", [n for n in before if n not in now])):
            if names:
                yield f"of the list {split!r}, {what} since: {few(names, 5)}"

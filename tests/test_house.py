"""The one rule of the house: what the lesson stands on does not know the lesson."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOP = {"create_data_lists", "datasets", "imresize", "models", "solver", "utils", "config", "metrics", "inference",
       "super_resolution", "run_notebooks"}
ROOMS = ("support", "course", "extensions", "benchmarks", "tests")


def imports_of(file, modules):
    """The modules of the kit that a file imports, imports inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides what is imported"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & modules


def graph():
    """Module -> modules of the kit that it imports."""
    files = {path.stem: path for path in ROOT.glob("*.py")}
    for room in ROOMS:
        for path in ROOT.glob(f"{room}/**/*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: imports_of(path, set(files)) - {name} for name, path in files.items()}


def test_eleven_files_at_the_top():
    assert {path.stem for path in ROOT.glob("*.py")} == TOP


def test_support_imports_nothing_of_the_lesson_except_imresize_and_metrics():
    wrong = {name: found & (TOP - {"imresize", "metrics"}) for name, found in graph().items()
             if name.startswith("support")}
    assert not {name: found for name, found in wrong.items() if found}


def test_there_is_no_import_circle():
    TopologicalSorter(graph()).prepare()          # CycleError names the modules of a circle


def test_the_lesson_and_support_do_not_import_what_is_built_on_them():
    above = tuple(f"{room}." for room in ROOMS[1:])
    wrong = [(name, other) for name, found in graph().items() if name in TOP or name.startswith("support")
             for other in found if other.startswith(above) or f"{other}." in above]
    assert not wrong

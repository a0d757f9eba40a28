"""The names of the complete kit that the student edition lacks: files, modules, functions, settings, make targets."""

import ast
import re
import subprocess
from pathlib import Path

import nbformat

TEXTS = {".py", ".md", ".toml", ".ipynb", ".txt", ".j2", ""}


def texts_in(folder):
    """{path: text} of all that can be read in a folder; of a notebook the cells."""
    texts = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in TEXTS and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
            texts[path.relative_to(folder).as_posix()] = text
    return texts


def files_of(root):
    """What git keeps of the complete kit, as relative paths."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, encoding="utf-8", check=True)
    return [Path(name) for name in listed.stdout.splitlines()]


def defined_in(text):
    """Functions, classes, their attributes, constants and settings (the keywords of a dict) of a Python file."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()}
            names |= {target.attr for target in targets if isinstance(target, ast.Attribute)
                      and isinstance(target.value, ast.Name) and target.value.id == "self"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return names


def words_in(text):
    """The strings in a Python file that are single words: values of settings, names of methods."""
    return {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)
            and isinstance(node.value, str) and node.value.isidentifier()}


def code_in(folder):
    """{path: text} of the Python files that students are given, at the top level, in support/ and in course/."""
    paths = [path for place in ("", "support/", "course/") for path in sorted(folder.glob(f"{place}*.py"))]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def missing_files(root, edition):
    """{name: pattern that finds it in a text} of files, folders, modules and weights."""
    there = {path.relative_to(edition) for path in edition.rglob("*") if path.is_file()}
    folders, patterns = {path.parts[0] for path in there if len(path.parts) > 1}, {}
    for path in files_of(root):
        if path in there:
            continue
        top, module = path.parts[0], ".".join(path.with_suffix("").parts)
        if top not in folders and len(path.parts) > 1:
            patterns[top] = rf"(?<![\w\".]){re.escape(top)}/|-m {top}\b|import {top}\b|from {top}\b|find_spec\(.{top}"
        elif path.suffix == ".py" and top in folders:
            patterns[module] = rf"\b{re.escape(module)}\b"
        if path.suffix == ".safetensors":
            patterns[path.stem] = rf"(?<![\w-]){re.escape(path.stem)}(?![\w-])"
        patterns[path.as_posix()] = rf"(?<![\w/]){re.escape(path.as_posix())}"
    return patterns


def missing_names(root, edition):
    """The same of functions, classes, attributes, settings, their values, and make targets."""
    own, given = code_in(root), code_in(edition)
    known = set().union(*map(defined_in, given.values()))
    patterns = {}
    for name in set().union(*(defined_in(own[path]) for path in own.keys() & given.keys())) - known:
        # A plain word, such as "trunk", may stand in any sentence: it counts as an attribute only.
        is_word = name.isalpha() and name.islower()
        patterns[name] = rf"\b(?:self|config|network|generator|discriminator|solver|models)\.{name}\b" if is_word else (
            rf"\b{name}\b")
    strings = set().union(*map(words_in, given.values()))
    for value in words_in(own["config.py"]) - strings:
        patterns[f'"{value}"'] = rf"""["']{value}["']|(?<!`)`{value}`(?!`)"""
    targets = [set(re.findall(r"^([a-z][\w-]*):", (folder / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
               for folder in (root, edition)]
    return patterns | {f"make {target}": rf"make {target}\b" for target in targets[0] - targets[1]}


def found_in(texts, patterns):
    """list of (file, line number, name, line): where something is named that is not there."""
    return [(file, number, name, line.strip()) for file, text in texts.items()
            for number, line in enumerate(text.splitlines(), start=1)
            for name, pattern in patterns.items() if re.search(pattern, line)]


def given_by(text):
    """What can be imported of a Python file: functions, classes, constants, and what it imports itself."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def imports_that_lead_nowhere(folder):
    """list of (file, module, name): what a file or a notebook imports of the folder's own modules that is not there."""
    texts = {name: text for name, text in texts_in(folder).items() if name.endswith(".py")}
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__"): given_by(text) for name, text in texts.items()}
    for path in folder.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return [(file, node.module, alias.name) for file, text in texts.items() for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and not node.level and node.module in modules
            for alias in node.names if alias.name != "*"
            and alias.name not in modules[node.module] and f"{node.module}.{alias.name}" not in modules]

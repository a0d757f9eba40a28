"""The Chinese texts: pages, slides and notebooks, as a native reader expects them to be set."""

import ast
import re

import nbformat
import pytest

from tests.helpers import ROOT

HAN = "\u3400-\u9fff"
PAGES = sorted(path for folder in ("", "docs", "docs/slides") for path in (ROOT / folder).glob("*.zh-CN.md"))
NOTEBOOKS = sorted(path for pattern in ("*.ipynb", "extensions/*.ipynb") for path in ROOT.glob(pattern))
# The words that the kit uses, and others for the same thing.
OTHER_WORDS = {"噪声调度": "噪声(?:日程|时间表|计划|进度|安排)|调度表", "套件": "工具包|工具箱|教学包|课程包",
               "notebook": "笔记本文件", "检查点": "检查站|存档点"}
FAULTS = {
    "goes on in the next line": rf"[{HAN}，、；：（]\n(?=[{HAN}A-Za-z0-9（“])(?!\d+\. ).*",
    "slanted": rf"(?<![*\w])\*(?![*\s])[^*\n]*[{HAN}][^*\n]*\*(?!\*)",
    "half-width punctuation": rf"[{HAN}][,;:!?](?!\w)|[{HAN}]\([{HAN}]|[{HAN}]\.(?:\s|$)",
}


def texts(path):
    """(place, text without code) of a page, or of each Markdown cell of a notebook."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        parts = [(f"cell {k}", cell.source) for k, cell in enumerate(cells) if cell.cell_type == "markdown"]
    else:
        parts = [("page", path.read_text(encoding="utf-8"))]
    for place, text in parts:
        text = re.sub(r"\A---\n.*?\n---\n|^ *```.*?^ *```|^\$\$.*?\$\$", "", text, flags=re.DOTALL | re.MULTILINE)
        yield place, re.sub(r"`[^`\n]*`|\$[^$\n]*\$|\]\([^)\n]*\)|<[^>\n]*>", "x", text)


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.parametrize("fault", FAULTS)
def test_chinese_is_set_well(path, fault):
    assert not [(place, match[0]) for place, text in texts(path) for match in re.finditer(FAULTS[fault], text)]


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=lambda path: path.name)
def test_one_word_for_one_thing(path):
    for word, others in OTHER_WORDS.items():
        assert not [(word, match[0]) for _, text in texts(path) for match in re.finditer(others, text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_a_notebook_says_in_a_cell_is_said_in_both_languages(path):
    """Sentences of ``show_text``; tables, and what ``print`` writes, are in English."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        calls = [node for node in ast.walk(ast.parse(re.sub(r"(?m)^ *[!%].*", "", cell.source)))
                 if isinstance(node, ast.Call)]
        for said in [branch for call in calls if getattr(call.func, "attr", "") == "show_text"
                     for branch in branches(call.args[0])]:
            words = "".join(node.value for node in ast.walk(said)
                            if isinstance(node, ast.Constant) and isinstance(node.value, str))
            assert not re.search(r"[a-z]{3,}", words) or re.search(f"[{HAN}]", words), words


def branches(node):
    """What ``a if condition else b`` can give; nothing of what another function makes, such as a table."""
    if isinstance(node, ast.IfExp):
        return branches(node.body) + branches(node.orelse)
    return [] if isinstance(node, ast.Call) else [node]

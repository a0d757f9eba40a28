"""docs/reliability.md promises a test for each line: every test that it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "docs").is_dir())
PAGES = ("docs/reliability.md", "docs/reliability.zh-CN.md")


def named_tests(page):
    """The names in a page, in order; one that ends in "..." is the beginning of a name."""
    return re.findall(r"\btest_\w+(?:\.\.\.|\.py)?", (ROOT / page).read_text(encoding="utf-8"), flags=re.ASCII)


@pytest.fixture(scope="module")
def functions():
    """The names of all test functions of the repository."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py")]
    return {node.name for tree in trees for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_the_page_names_exists(page, functions):
    names = named_tests(page)
    assert len(set(names)) > 50
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    missing = [name for name in names if not (
        any(function.startswith(name[:-3]) for function in functions) if name.endswith("...")
        else name in (files if name.endswith(".py") else functions))]
    assert not missing, f"{page} names tests that are not there: {', '.join(missing)}"


def test_both_languages_name_the_same_tests():
    assert named_tests(PAGES[0]) == named_tests(PAGES[1])


def test_each_line_of_a_table_names_a_test():
    lines = (ROOT / PAGES[0]).read_text(encoding="utf-8").splitlines()
    for line in (line for line in lines if line.startswith("| ") and not line.endswith("| test |")):
        assert "`test_" in line.rsplit("|", 2)[1], line

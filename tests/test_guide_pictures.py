"""The pictures of the guides: each is made by a command, and none is cut through a row."""

import re

import numpy as np
import pytest

from tests.browser import open_browser
from tests.guide_pictures import CUT, coloured
from tests.helpers import ROOT, pixels

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))


def test_every_picture_has_a_command():
    commands = (ROOT / "tests" / "guide_pictures.py").read_text(encoding="utf-8")
    assert {path.name for path in PICTURES} == set(re.findall(r'"(\w+\.png)"', commands)) | {"grader_opinions.png"}


@pytest.mark.parametrize("path", [path for path in PICTURES if "gallery" not in path.name], ids=lambda path: path.name)
def test_a_picture_of_a_page_ends_with_a_whole_row(path):
    """A margin below the last one."""
    assert (np.asarray(pixels(path))[-6:] == 255).all()


def test_what_students_do_not_get_and_what_they_get_instead_are_coloured():
    lines = ["a", "### BEGIN SOLUTION", "b < c", "### REPLACED BY", "# d", "### END SOLUTION", "e"]
    kinds = re.findall(r'class="line (\w*)">([^<]*)', coloured("\n".join(lines)))
    assert kinds == [("", "a"), ("mark", lines[1]), ("hidden", "b &lt; c"), ("mark", lines[3]), ("instead", "# d"),
                     ("mark", lines[5]), ("", "e")]


@pytest.mark.slow
@pytest.mark.xdist_group("page")
@pytest.mark.parametrize("limit, end", [(100, 80), (119, 80), (120, 120), (500, 200)])
def test_a_page_is_cut_below_a_row(limit, end):
    rows = '<tr><td style="height:40px;padding:0">x</td></tr>' * 5
    with open_browser() as browser:
        page = browser.new_page()
        page.set_content(f"<!doctype html><body style=margin:0><table style=border-collapse:collapse>{rows}</table>")
        assert page.evaluate(CUT, limit) == end

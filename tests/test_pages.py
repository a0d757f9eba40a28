"""The pages of docs/: each has a Chinese twin with the same commands and numbers, and its links lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "docs").is_dir())
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if not path.name.endswith(".zh-CN.md"))
HEADING, TABLE, IMAGE, ITEM = r"^(#+) ", r"^\|[-|]+\|$", r"^ *!\[.*\]\((.*)\)", r"^ *(?:-|\d+\.) "
BOTH = [path for page in PAGES for path in (page, page.with_suffix(".zh-CN.md"))]


def text_of(path, code=True):
    """A page; without its code blocks, and the comments that only mark places, if ``code`` is False."""
    text = path.read_text(encoding="utf-8")
    return text if code else re.sub(r"^ *```.*?^ *```|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(path):
    """The code blocks of a page, without their comments."""
    found = re.findall(r"^ *```\n(.*?)^ *```", text_of(path), flags=re.DOTALL | re.MULTILINE)
    return [[re.sub(r" +#.*", "", line) for line in block.splitlines()] for block in found]


def anchors(path):
    """What links can lead to: the headings, as GitHub writes them in an address."""
    headings = re.findall(r"^#+ (.*)$", text_of(path, code=False), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_both_languages_have_the_same_parts_commands_and_numbers(page):
    twin = page.with_suffix(".zh-CN.md")
    assert f"({twin.name})" in text_of(page)[:900] and f"({page.name})" in text_of(twin)[:900]
    assert blocks(page) == blocks(twin)
    for pattern in (HEADING, TABLE, IMAGE, ITEM):
        english, chinese = (re.findall(pattern, text_of(path, code=False), re.MULTILINE) for path in (page, twin))
        assert english == chinese, pattern
    english, chinese = (set(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"(?m)^#.*", "", text_of(path, code=False))))
                        for path in (page, twin))               # headings may be numbered in different ways
    assert english == chinese


@pytest.mark.parametrize("path", [path for path in BOTH if ".zh-CN" in path.name], ids=lambda path: path.name)
def test_chinese_is_set_without_breaks_in_a_paragraph_and_without_italics(path):
    """A line break shows as a gap between two characters, and slanted characters are hard to read."""
    text = text_of(path, code=False)
    assert not re.findall(r"^(?![|#>$]| *(?:-|\d+\.) ).+\n(?![|#>$\n]| *(?:-|\d+\.) ).+", text, flags=re.MULTILINE)
    assert not re.findall(r"(?<![*\\\w])\*(?![*\s]).+?(?<![*\s])\*(?!\*)", re.sub(r"`[^`]*`|\$[^$]*\$", "", text))


@pytest.mark.parametrize("path", BOTH, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)]+)\)", text_of(path, code=False)):
        if "://" not in link:
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file) if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link

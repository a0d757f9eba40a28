"""The pages of docs/: each has a Chinese twin with the same commands and numbers, and its links lead somewhere."""

import re
import subprocess
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


def test_git_ignores_what_the_commands_of_the_pages_leave():
    """Folders and files that a command of docs/ or of a README writes into the kit's folder."""
    pages = [*BOTH, *ROOT.glob("README*.md")]
    commands = "\n".join(line for path in pages for block in blocks(path) for line in block)
    named = re.findall(r"--(?:out|output|root|csv-folder|data|key|path|train-hr|input) (?!\.\./)([\w./-]+)", commands)
    named += re.findall(r"course (?:grade|gallery) (\w+)", commands) + ["opinions_R01.csv", "runs", "enlarged"]
    # A folder by a file in it: that is what git would list.
    left = {name if "." in name else f"{name}/x" for name in named if name.lower() == name}   # PHOTOS: anywhere
    assert {"data/x", "gallery/x"} <= left
    found = subprocess.run(["git", "check-ignore", "--no-index", *left], cwd=ROOT, capture_output=True, text=True,
                           encoding="utf-8")
    if found.returncode == 128:
        pytest.skip("this is no clone")
    assert left - set(found.stdout.splitlines()) == set()

"""The numbers in texts are those of the files that they come from (python -m benchmarks.texts writes them)."""

import json
import re
import shutil

import pytest

from benchmarks import texts
from tests.helpers import ROOT


@pytest.mark.parametrize("number", texts.NUMBERS, ids=lambda number: f"{number.pages[0]} {number.pattern[:40]}")
def test_a_number_is_that_of_its_source(number):
    said, _ = texts.differences(number)
    assert said == [], "python -m benchmarks.texts writes it"


@pytest.fixture
def copy(tmp_path):
    """All that the numbers stand in and come from, in a folder of its own."""
    for pattern in ("*.md", "*.ipynb", "extensions/*.ipynb", "docs/*.md", "weights/*.md", "support/vgg1*.py",
                    "docs/pictures/*.csv"):
        for path in ROOT.glob(pattern):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_card_and_a_new_run_change_every_page(copy, capsys):
    assert texts.main(copy) == 0
    capsys.readouterr()
    replace(copy / "weights/srgan-x4.md", "30.93 / 0.8772", "31.07 / 0.8800")
    replace(copy / "test.ipynb", "28.35 / 0.8028", "28.39 / 0.8031")
    replace(copy / "docs/data.md", "55 MB", "56 MB")
    assert texts.main(copy) == 0
    said = capsys.readouterr().out
    for page in ("README.md", "README.zh-CN.md", "docs/results.md", "docs/results.zh-CN.md"):
        text = (copy / page).read_text(encoding="utf-8")
        assert re.search(r"`srgan-x4` +\| 31.07 / 0.8800 ", text) and f"{page}: '| `srgan-x4`" in said
    for page in ("README.md", "README.zh-CN.md"):
        assert "| demo | 5 | 28.39 dB / 0.8031 |" in (copy / page).read_text(encoding="utf-8")
    for page in ("train.ipynb", "support/vgg16.py", "docs/student.zh-CN.md", "docs/data.zh-CN.md"):
        assert "56 MB" in (text := (copy / page).read_text(encoding="utf-8")) and "55 MB" not in text
    assert texts.main(copy) == 0 and capsys.readouterr().out == ""


def test_a_sentence_that_was_changed_and_a_source_that_is_gone_are_named(copy, capsys):
    replace(copy / "README.md", "They have seen 281 images", "They have seen few images")
    replace(copy / "docs/data.md", "| content loss VGG 5,4", "| the loss VGG 5,4")
    assert texts.main(copy) == 1
    said = capsys.readouterr().out
    assert "README.md: no place fits" in said and "docs/data.md has no row 'content loss VGG'" in said


def test_weights_that_come_with_the_kit_are_not_the_demos(copy, capsys):
    replace(copy / "test.ipynb", "| demo, 5 images ", "Nothing has been trained in runs/demo yet\\n| demo, 5 images ")
    assert texts.main(copy) == 1 and "make notebooks" in capsys.readouterr().out


def text_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_the_weights_that_texts_name_are_there():
    there = {path.stem for path in (ROOT / "weights").glob("*.safetensors")}
    for path in [*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.ipynb"),
                 *ROOT.glob("extensions/*.ipynb")]:
        text = text_cells(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        assert set(re.findall(r"`([a-z][\w-]*-x4)`", text)) <= there, path.name


def test_compare_names_as_many_families_as_it_says():
    english, chinese = (next(part for part in text_cells(ROOT / "extensions/compare.ipynb").split("\n\n")
                             if word in part) for word in (" families answer", "类方法各有答法"))
    for text, count in ((english, {"Three": 3, "Four": 4, "Five": 5}[english.split()[0]]),
                        (chinese, "零一二三四五".index(chinese[chinese.index("类") - 1]))):
        assert len(re.findall(r"\*\*\w+\*\*", text)) == count, text

"""The pages for a class: what they quote is what the kit says, and what they name exists."""

import ast
import re

import nbformat
import pytest
from torchvision.models import VGG19_Weights

from support.download import ARCHIVES
from tests.helpers import ROOT

LANGUAGES = ["", ".zh-CN"]


def page(name, language):
    return (ROOT / "docs" / f"{name}{language}.md").read_text(encoding="utf-8")


def said():
    """Every text in the kit's code, f-strings with "..." where a value stands."""
    texts = []
    codes = [path.read_text(encoding="utf-8") for kind in ("*.py", "support/*.py") for path in ROOT.glob(kind)]
    codes += [cell.source for path in ROOT.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells
              if cell.cell_type == "code"]
    for code in codes:
        for node in ast.walk(ast.parse(re.sub(r"(?m)^[!%].*", "", code))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_headings_in_code_letters_are_messages_of_the_kit(language):
    headings, code = re.findall(r"^### (`.*)$", page("troubleshooting", language), flags=re.MULTILINE), said()
    messages = [message for heading in headings for message in re.findall(r"`([^`]+)`", heading)]
    code += "\n" + (ROOT / "solver.py").read_text(encoding="utf-8")           # in replacements, which are comments
    assert len(messages) >= 17 and not [message for message in messages if message not in code]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_slurm_script_sends_the_signal_that_may_come_twice(language):
    """Slurm sends it to all processes of a step, and the command hands it to its kernel: a second SIGINT ends it at
    once, a second SIGTERM changes nothing (tests/core/test_signals.py)."""
    script = page("troubleshooting", language).split("#!/bin/bash")[1].split("```")[0]
    assert re.findall(r"--signal=(\S+)", script) == ["TERM@120"] and "srun" in script


def test_no_text_looks_for_the_settings_in_the_first_cell():
    """The first code cell fetches the kit on Colab and Kaggle; ``preset`` and the others are set in the next one."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.py"), *ROOT.glob("support/*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in pages if path.name != "CHANGELOG.md"}
    texts |= {path.name: cell.source for path in ROOT.glob("*.ipynb")
              for cell in nbformat.read(path, as_version=4).cells}
    first = r"first (?:code )?cell|第一个(?:代码)?单元格"
    setting = r"`?(?:preset|data_folder|run_name|cuda)\b"
    assert [name for name, text in texts.items() for line in re.split(r"\.\s|。|\n\n", text)
            if re.search(first, line) and re.search(setting, line)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_network_page_names_every_file_that_has_to_be_carried(language):
    names = [archive.url.rsplit("/", 1)[1] for archives in ARCHIVES.values() for archive in archives]
    names.append(VGG19_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1])
    assert not [name for name in names if f"`{name}`" not in page("network", language)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["network", "troubleshooting", "glossary"])
def test_every_reader_finds_the_pages_and_students_get_them(name, language):
    link = f"{name}{language}.md)"
    assert link in page("student", language) and link in page("teacher", language)
    assert f"docs/{link}" in (ROOT / f"README{language}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_glossary_has_a_line_for_each_word_of_the_course(language):
    terms = [term for term in re.findall(r"^\| ([^|]+) \|", page("glossary", language), flags=re.MULTILINE)
             if term not in ("term", "英文")]
    words = {word.strip() for term in terms for word in term.split(",")}
    assert {"LR", "HR", "SR", "logit", "ill-posed", "PSNR", "SSIM", "NIQE", "MOS", "BatchNorm", "PReLU",
            "sub-pixel convolution", "perceptual loss"} <= words and len(terms) == len(set(terms))

"""The slides: the same in both languages, every figure can be drawn, and nothing leaves the page."""

import importlib.util
import re

import pytest

from benchmarks import slides
from benchmarks.slide_figures import FIGURES, scores_of
from tests.browser import open_browser

LECTURES = ["lecture1", "lecture2"]
INSTALLED = all(importlib.util.find_spec(name) for name in ("pypandoc", "sphinx_revealjs"))
QUICK = ["network", "subpixel", "manifold", "game", "two_losses", "plane"]     # need no generator


def pages_of(name):
    """The slides of a lecture as texts."""
    return re.split(r"(?m)^## ", (slides.SOURCE / f"{name}.md").read_text(encoding="utf-8"))[1:]


@pytest.mark.parametrize("name", LECTURES)
def test_both_languages_have_the_same_slides(name):
    english, chinese = pages_of(name), pages_of(f"{name}.zh-CN")
    assert len(english) == len(chinese) >= 15
    for pattern in (r"\]\((figures/\S+)", r"\{\{.*?\}\}", r"(?s)\$\$(.*?)\$\$", r"(?m)^(?:- |\d\. |\|)"):
        for ours, theirs in zip(english, chinese):
            assert re.findall(pattern, ours) == re.findall(pattern, theirs), ours[:40]


@pytest.mark.parametrize("name", [f"{name}{language}" for name in LECTURES for language in ("", ".zh-CN")])
def test_every_slide_has_notes_and_the_minutes_are_a_lesson(name):
    notes = [re.search(r"(?s)::: notes\n(\d+) (?:minutes|分钟)(.+?)\n:::$", page.strip()) for page in pages_of(name)]
    assert all(notes) and 40 <= sum(int(note[1]) for note in notes) <= 46


def test_every_figure_is_drawn_by_the_kit_and_every_drawing_is_shown():
    shown = {name for path in slides.lectures() for name in slides.figures_in(path)}
    assert shown == set(FIGURES) | set(slides.STORED)
    assert all((slides.DOCS / f"{name}.png").is_file() for name in slides.STORED)


def test_scores_come_from_the_results():
    assert scores_of("Set5")["SRResNet (paper)"] == 32.05 and scores_of("NIQE ↓")["HR"] == 5.14
    assert slides.with_scores("{{Set5 SRGAN-VGG54 (paper)}} dB") == "29.40 dB"
    for path in slides.lectures():
        assert "{{" not in slides.with_scores(path.read_text(encoding="utf-8"))
    with pytest.raises(KeyError):
        slides.with_scores("{{Set5 no-such-row}}")


def test_the_drawings(tmp_path):
    slides.draw(QUICK, tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(QUICK)
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_what_is_missing_is_named_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(slides.importlib.util, "find_spec", lambda name: None)
    assert slides.main([]) == 1
    assert "pip install --no-deps -r docs/slides/requirements.txt" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.skipif(not INSTALLED, reason="pandoc or reveal.js is not installed: docs/slides/requirements.txt")
def test_nothing_leaves_the_page_and_nothing_is_fetched(tmp_path):
    assert slides.main(["--out", str(tmp_path)]) == 0
    outside = """() => {
        const page = document.querySelector('.slides').getBoundingClientRect();
        const shown = [...Reveal.getCurrentSlide().querySelectorAll('*')].filter(e => !e.closest('aside'));
        const leaves = r => r.width && (r.bottom > page.bottom + 1 || r.right > page.right + 1);
        return shown.filter(e => leaves(e.getBoundingClientRect())).map(e => e.outerHTML.slice(0, 80)); }"""
    fetched = []
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("request", lambda request: fetched.append(request.url) if request.url.startswith("http") else None)
        for path in slides.lectures():
            page.goto((tmp_path / f"{path.stem}.html").as_uri())
            page.wait_for_function("window.Reveal && Reveal.isReady()")
            for k in range(page.evaluate("Reveal.getTotalSlides()")):
                page.evaluate(f"Reveal.slide({k})")
                page.wait_for_timeout(100)
                assert not page.evaluate(outside), (path.name, k)
    assert not fetched

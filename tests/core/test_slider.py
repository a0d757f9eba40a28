"""Before and after: the page that a stored notebook keeps, in a real browser, and the still picture beside it."""

import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from support import figures
from support.slider import SIDE, show_slider, slider_html, still_figure
from tests.browser import open_browser
from tests.helpers import photo

BEFORE = np.full((40, 60, 3), (200, 0, 0), np.uint8)
AFTER = np.full((40, 60, 3), (0, 0, 200), np.uint8)


def test_the_page_needs_nothing_else_and_names_its_images():
    page = slider_html(("pre-trained", BEFORE), ("SRGAN <b>", AFTER))
    addresses = re.findall(r'src="([^"]*)"', page)
    assert len(addresses) == 2 and all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert "http" not in page and "<script" not in page and not re.search(r'\bid="', page)
    assert "pre-trained" in page and "SRGAN &lt;b&gt;" in page and "SRGAN <b>" not in page


def test_a_dark_theme_leaves_everything_readable():
    """Figures bring their own white ground; the slider's words take the colours of the notebook's theme."""
    page = slider_html(("a", BEFORE), ("b", AFTER))
    assert re.findall(r"(?:background|[^-]color): ?[^;\"]+", page) == ["background:#fff"]           # of the line alone
    plot = Figure(figsize=(2, 1))
    plot.subplots().set_title("white on white?")
    for figure in (plot, still_figure({"a": BEFORE})):
        with Image.open(io.BytesIO(figures.as_png(figure))) as image:
            assert image.mode == "RGB" and image.getpixel((0, 0)) == (255, 255, 255)
            assert image.convert("L").getextrema()[0] < 100                 # what is written is dark


def test_a_page_of_the_largest_part_is_light():
    image = photo("chelsea.png", 0, 0, SIDE, SIDE)
    assert len(slider_html(("a", image), ("b", image[::-1].copy()))) < 120_000        # fur: bytes in base64


def test_images_that_differ_in_size_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"a has \(40, 60\).* b \(40, 59\)"):
        slider_html(("a", BEFORE), ("b", AFTER[:, 1:]))


def test_the_still_picture_shows_each_image_pixel_for_pixel_at_a_zoom_of_three():
    images = {"a": photo("coffee.png", 100, 100, 30, 20), "b": photo("coffee.png", 150, 100, 30, 20)}
    page = np.array(Image.open(io.BytesIO(figures.as_png(still_figure(images)))))
    for left, image in zip((8, 8 + 60 + 8), images.values()):
        large = np.kron(image, np.ones((3, 3, 1), np.uint8))
        assert (page[25:25 + 90, left:left + 60] == large).all()


def test_outside_a_notebook_the_still_picture_is_kept_as_a_file(tmp_path):
    hr = photo("astronaut.png", 0, 100, 400, 300)
    show_slider(("a", hr), ("b", 255 - hr), hr, tmp_path / "before_after.png")
    with Image.open(tmp_path / "before_after.png") as image:
        assert image.width <= 1000 and image.height > 300


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser, tmp_path):
    """Two sliders on one page, as in a notebook in which the cell was run twice, in a window narrower than they are."""
    html = slider_html(("before", BEFORE), ("after", AFTER), 10) * 2
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8><body>{html}", encoding="utf-8")
    context = browser.new_context(viewport={"width": 500, "height": 900}, offline=True)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    context.close()
    assert errors == []


def shown(page, number=0):
    """What the picture of a slider shows: "b" (before) or "a" (after) at a tenth, three tenths, ... of its width."""
    png = page.locator(".before-after").nth(number).locator("img").first.screenshot()
    row = np.array(Image.open(io.BytesIO(png)).convert("RGB"))[20]
    return "".join("b" if row[int(part * len(row) / 10)][0] > 100 else "a" for part in (1, 3, 5.2, 7, 9))


@pytest.mark.slow
@pytest.mark.xdist_group("page")
def test_the_line_moves_with_the_keyboard_alone_and_only_in_its_own_picture(page):
    assert shown(page, 0) == shown(page, 1) == "bbaaa"
    page.keyboard.press("Tab")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert shown(page, 0) == "bbbba" and shown(page, 1) == "bbaaa"
    page.keyboard.press("Home")
    assert shown(page, 0) == "aaaaa"
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert shown(page, 0) == "aaaaa" and shown(page, 1) == "bbbbb"


@pytest.mark.slow
@pytest.mark.xdist_group("page")
def test_the_line_follows_the_mouse(page):
    box = page.locator("img").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 30)
    page.mouse.down()
    assert shown(page) == "baaaa"
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 30)
    page.mouse.up()
    assert shown(page) == "bbbba"
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 30)            # the button is up
    assert shown(page) == "bbbba"


@pytest.mark.slow
@pytest.mark.xdist_group("page")
def test_it_says_what_it_is_and_fits_into_a_narrow_window(page):
    assert page.get_by_role("slider", name=re.compile("before.*after")).count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 500

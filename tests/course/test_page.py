"""The gallery in a real browser: rate, reload, go on, export, zoom in step, keyboard alone, a phone's screen."""

import csv
import json
import shutil

import pytest

from course.facts import read_facts
from course.gallery import make_gallery, read_key
from course.scores import read_opinions
from tests.browser import open_browser
from tests.course.synthetic_class import complete, write_set5, write_zip
from tests.helpers import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A gallery of three students, on disk; and its key."""
    folder = tmp_path_factory.mktemp("page")
    data = write_set5(folder / "data")
    for student in range(3):
        write_zip(folder / "zips" / f"2026{student:04}.zip", complete(student, folder / "code"))
    make_gallery(folder / "zips", folder / "gallery", folder / "key.csv", data, 2, 30, read_facts("none"), seed=1)
    return folder


@pytest.fixture
def page(browser, gallery):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((gallery / "gallery" / "index.html").as_uri())
    yield page
    context.close()
    assert errors == []


def trials_of(gallery, rater):
    text = (gallery / "gallery" / "trials.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("const GALLERY = ").rstrip().rstrip(";"))["raters"][rater]


def begin(page, rater="R01"):
    page.select_option("#rater", rater)
    page.press("#who button", "Enter")
    page.wait_for_selector("#rate:not([hidden])")


def progress(page):
    return page.inner_text("#progress").split(" / ")[0]


def transforms(page):
    return page.eval_on_selector_all(".pane:not([hidden]) img", "images => images.map(i => i.style.transform)")


def numbers(transform):
    left, top = transform.split("translate(")[1].split(")")[0].replace("px", "").split(",")
    return float(left), float(top), float(transform.split("scale(")[1].split(")")[0])


def test_rate_reload_go_on_and_export(page, gallery, tmp_path):
    trials = trials_of(gallery, "R01")
    begin(page)
    for k in range(10):
        assert progress(page) == str(k + 1)
        page.keyboard.press(str(k % 5 + 1))
    page.reload()
    assert "R01 (10 / " in page.inner_text("#rater")
    begin(page)
    assert progress(page) == "11"
    page.keyboard.press("Backspace")
    assert progress(page) == "10" and page.get_attribute("#answers [data-value='5']", "aria-pressed") == "true"
    page.keyboard.press("4")
    for trial in trials[10:]:
        page.keyboard.press("3" if trial["kind"] != "pair" else "2")
    page.wait_for_selector("#done:not([hidden])")
    with page.expect_download() as download:
        page.keyboard.press("e")
    path = tmp_path / "opinions.csv"
    download.value.save_as(path)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(trials) and [row["picture"] for row in rows] == [trial["picture"] for trial in trials]
    assert [row["value"] for row in rows[:10]] == ["1", "2", "3", "4", "5", "1", "2", "3", "4", "4"]
    assert {row["value"] for row in rows if row["kind"] == "pair"} == {"equal"}
    votes, _ = read_opinions([path], read_key(gallery / "key.csv"))
    assert len(votes) == len(trials)


def test_all_panes_zoom_and_pan_together(page):
    begin(page, "R02")
    assert len(transforms(page)) == 3
    for action in (lambda: page.keyboard.press("a"), lambda: page.keyboard.press("+"),
                   lambda: page.keyboard.press("ArrowRight"), lambda: page.click("[data-zoom='4']"),
                   lambda: wheel(page), lambda: drag(page)):
        before = transforms(page)
        action()
        page.wait_for_function("old => document.querySelector('.pane img').style.transform !== old", arg=before[0])
        after = transforms(page)
        (x0, y0, lr), (x1, y1, sr), (x2, y2, hr) = map(numbers, after)
        assert sr == hr and lr == pytest.approx(4 * sr)          # LR's pixels are four times as wide
        for place in ((x0, y0), (x1, y1)):                         # the same place in each, to a part of a pixel
            assert place == pytest.approx((x2, y2), abs=0.05)


def wheel(page):
    page.mouse.move(600, 400)
    page.mouse.wheel(0, -100)


def drag(page):
    page.mouse.move(600, 400)
    page.mouse.down()
    page.mouse.move(540, 370)
    page.mouse.up()


def test_pixels_stay_pixels_and_pictures_are_there(page):
    begin(page)
    page.wait_for_function("[...document.images].every(i => i.complete)")
    sizes = page.eval_on_selector_all(".pane img", "images => images.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes[1] == sizes[2] == [4 * length for length in sizes[0]]
    assert page.eval_on_selector(".pane img", "i => getComputedStyle(i).imageRendering") == "pixelated"


def test_the_picture_alone(page):
    begin(page)
    page.keyboard.press("s")
    assert len(transforms(page)) == 1 and page.get_attribute("#solo", "aria-pressed") == "true"
    page.keyboard.press("s")
    assert len(transforms(page)) == 3


def test_keys_that_mean_nothing_do_nothing(page):
    begin(page)
    for key in ("6", "0", "x", "Control+1", "Alt+2", "="):
        page.keyboard.press(key)
    assert progress(page) == "1"


def test_a_key_that_is_held_down_answers_once(page):
    begin(page)
    for _ in range(5):                             # the second "down" without an "up" is a repeat
        page.keyboard.down("3")
    page.keyboard.up("3")
    assert progress(page) == "2"


def test_by_tab_and_enter_alone(page):
    page.focus("#rater")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rate:not([hidden])")
    page.focus("#answers [data-value='2']")
    page.keyboard.press("Enter")
    assert progress(page) == "2"


def test_on_a_phone_everything_fits(browser, gallery):
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True)
    page = context.new_page()
    page.goto((gallery / "gallery" / "index.html").as_uri())
    begin(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for selector in ("#answers [data-value='1']", "#answers [data-value='5']", "#solo"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] + box["height"] <= 640
        assert box["height"] >= 30
    page.tap("#answers [data-value='3']")
    assert progress(page) == "2"
    context.close()


def test_nothing_is_asked_of_any_network(browser, gallery):
    context = browser.new_context(offline=True)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((gallery / "gallery" / "index.html").as_uri())
    begin(page)
    page.wait_for_function("[...document.images].every(i => i.complete)")
    assert asked and all(url.startswith("file:") for url in asked)
    context.close()


def test_where_storage_is_forbidden_the_page_says_so_and_works(browser, gallery):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('forbidden'); };")
    page.goto((gallery / "gallery" / "index.html").as_uri())
    begin(page)
    page.keyboard.press("3")
    assert progress(page) == "2" and "does not store answers" in page.inner_text("#progress")
    context.close()


def test_a_class_of_sixty_stays_quick(browser, tmp_path):
    """Three hundred pictures: the next one is on the screen within a tenth of a second."""
    folder = tmp_path / "gallery"
    shutil.copytree(ROOT / "course" / "page", folder)
    pictures = {f"p{k}": {"file": "x.png", "image": "baby"} for k in range(300)}
    baby = {"lr": "x.png", "hr": "x.png", "width": 512, "height": 512, "crops": [[0, 0, 64, 64], [64, 64, 64, 64]]}
    data = {"id": "large", "pictures": pictures, "images": {"baby": baby},
            "raters": {"R01": [{"kind": "score", "picture": name} for name in pictures]}}
    (folder / "trials.js").write_text(f"const GALLERY = {json.dumps(data)};", encoding="utf-8")
    from PIL import Image
    Image.new("RGB", (512, 512), "grey").save(folder / "x.png")
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    begin(page)
    times = page.evaluate("""() => { const times = [];
        for (let k = 0; k < 299; k += 1) {
            const begun = performance.now();
            answer(3);
            times.push(performance.now() - begun);
        }
        return times; }""")
    assert sorted(times)[len(times) // 2] < 100 and progress(page) == "300"
    context.close()

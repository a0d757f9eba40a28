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
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rate:not([hidden])")
    page.focus("#answers [data-value='2']")
    page.keyboard.press("Enter")
    assert progress(page) == "2"


def test_no_code_is_chosen_before_the_rater_chooses_one(page):
    assert page.input_value("#rater") == ""
    page.press("#who button", "Enter")
    assert page.is_hidden("#rate") and page.is_visible("#start")


def test_which_view_is_on_is_seen(page):
    begin(page, "R02")

    def pressed():
        return page.eval_on_selector_all("[data-view][aria-pressed=true]", "found => found.map(b => b.dataset.view)")
    assert pressed() == ["w"]
    for view in "abw":
        page.keyboard.press(view)
        assert pressed() == [view]
    colours = page.eval_on_selector_all("[data-view]", "found => found.map(b => getComputedStyle(b).backgroundColor)")
    assert colours[0] != colours[1] == colours[2]
    page.keyboard.press("ArrowRight")
    assert pressed() == []


def test_the_bar_and_the_time_that_is_left(page, gallery):
    trials = trials_of(gallery, "R02")
    begin(page, "R02")
    planned = sum({"training": 8, "score": 7, "pair": 8}[trial["kind"]] for trial in trials) / 60
    assert f"about {round(planned)} min left" in page.inner_text("#progress")
    page.evaluate("for (let k = 0; k < 6; k += 1) { shownAt -= 16000; answer(3); }")          # two times as slow
    left = sum({"training": 8, "score": 7, "pair": 8}[trial["kind"]] for trial in trials[6:]) / 30
    shown = int(page.inner_text("#progress").split("about ")[1].split(" ")[0])
    assert abs(shown - left) <= 1 and page.evaluate("byId('bar').value / byId('bar').max") == 6 / len(trials)


# ---------------------------------------------------------------- a phone

@pytest.fixture(params=[(360, 640), (390, 844)])
def phone(browser, gallery, request):
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True,
                                  accept_downloads=True)
    page = context.new_page()
    page.goto((gallery / "gallery" / "index.html").as_uri())
    yield page
    context.close()


def to_pairs(page, gallery, rater):
    """Answer everything before the pairs."""
    scores = sum(trial["kind"] != "pair" for trial in trials_of(gallery, rater))
    page.evaluate(f"for (let k = 0; k < {scores}; k += 1) {{ answer(3); }}")


def test_on_a_phone_everything_fits(phone, gallery):
    size = phone.viewport_size
    assert phone.evaluate("document.documentElement.scrollWidth") <= size["width"]
    begin(phone)
    for _ in range(2):
        assert phone.evaluate("document.documentElement.scrollWidth") <= size["width"]
        buttons = [button for button in phone.locator("#rate button").all() if button.is_visible()]
        assert len(buttons) >= 12
        for box in [button.bounding_box() for button in buttons]:
            assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"] and box["height"] >= 30
            assert box["y"] + box["height"] <= size["height"]
        heights = phone.eval_on_selector_all(".pane", "panes => panes.map(p => p.getBoundingClientRect().height)")
        assert sum(heights) > 0.62 * size["height"]                # the images have most of the screen
        to_pairs(phone, gallery, "R01")
    phone.tap("#answers [data-value='right']")
    assert phone.evaluate("answers.filter(Boolean).at(-1).value") == "right"


def test_the_words_say_where_panes_are(phone, page, gallery):
    for one, places in ((page, ("left · 左", "right · 右")), (phone, ("above · 上", "below · 下"))):
        assert ("on its left" in one.inner_text("#start")) is (one is page)
        assert ("above it" in one.inner_text("#start")) is (one is phone)
        begin(one, "R02")
        to_pairs(one, gallery, "R02")
        labels = one.eval_on_selector_all(".pane > span", "found => found.map(span => span.innerText.trim())")
        assert labels == [places[0], "original · 原图", places[1]]
        boxes = [pane.bounding_box() for pane in one.locator(".pane").all()]
        axis = "x" if one is page else "y"
        assert [box[axis] for box in boxes] == sorted(box[axis] for box in boxes) and boxes[0][axis] < boxes[2][axis]
        assert [one.inner_text(f"#answers [data-value='{value}']").split("\n")[0] for value in ("left", "right")] == [
            *places]


def test_back_and_export_by_touch(phone, gallery, tmp_path):
    begin(phone)
    assert phone.is_disabled("#rate .back")
    phone.tap("#answers [data-value='4']")
    phone.tap("#rate .back")
    assert progress(phone) == "1" and phone.get_attribute("#answers [data-value='4']", "aria-pressed") == "true"
    phone.tap("#answers [data-value='2']")
    with phone.expect_download() as download:
        phone.tap("#rate .export")
    assert download.value.suggested_filename.startswith("opinions_") and "_R01_20" in download.value.suggested_filename
    download.value.save_as(tmp_path / "x.csv")
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as file:
        assert [row["value"] for row in csv.DictReader(file)] == ["2"]
    phone.evaluate("while (position < trials.length) { answer(trials[position].kind === 'pair' ? 'left' : 3); }")
    phone.tap("#text summary")
    assert phone.input_value("#text textarea").count("\n") == 1 + len(trials_of(gallery, "R01"))
    phone.tap("#done .back")
    assert phone.is_visible("#rate") and progress(phone) == str(len(trials_of(gallery, "R01")))


def test_two_fingers_enlarge_and_what_is_between_them_stays(phone):
    begin(phone)
    box = phone.locator(".pane").nth(1).bounding_box()
    x, y = box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.4
    session = phone.context.new_cdp_session(phone)

    def touch(kind, *places):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": px, "y": py, "id": k} for k, (px, py) in enumerate(places)]})

    def under(place):
        left, top, zoom = numbers(transforms(phone)[1])
        return (place[0] - box["x"] - left) / zoom, (place[1] - box["y"] - top) / zoom
    before, zoom = under((x, y)), numbers(transforms(phone)[1])[2]
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for k in range(1, 6):
        touch("touchMove", (x - 20 - 8 * k, y), (x + 20 + 8 * k, y))
    touch("touchEnd")
    phone.wait_for_function("old => view.zoom > 2.5 * old", arg=zoom)
    assert numbers(transforms(phone)[1])[2] == pytest.approx(3 * zoom, rel=0.02)
    assert under((x, y)) == pytest.approx(before, abs=1)
    assert phone.evaluate("visualViewport.scale") == 1             # the page itself was not enlarged


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
            "raters": {"R01": [{"kind": "score", "picture": name} for name in pictures]}, "seconds": {"score": 7}}
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

"""A student's page: points and what to fix first, each cause once, nothing that a page should not show; on a phone."""

import re
from pathlib import Path

import pytest

from course.facts import SET5, read_facts
from course.feedback import causes, message
from course.gradebook import feedback_pages
from course.hidden import CASES
from course.texts import RULES
from course.words import clean
from tests.browser import open_browser
from tests.helpers import ROOT

IMPORT = "models.py, line 3: import kornia\nModuleNotFoundError: No module named 'kornia'"


def row_of(messages, student="20260001", **more):
    """A hand-in whose tests fail with these messages ("": passed), by name; all others pass."""
    tests = [[case.name, 0 if messages.get(case.name) else case.points, case.points, case.en, case.zh,
              messages.get(case.name, "")] for case in CASES]
    pictures = {name: {"psnr": 29.0, "ssim": 0.82, "copied": False, "niqe": 5.0, "vgg16": 0.1, "texture": 0.8,
                       "grid": 1.0} for name in SET5}
    return {"student_id": student, "name": "李华", "file": f"{student}.zip", "fault": "", "tests": tests, "jail": "",
            "findings": [[rule, "ok", ""] for rule in RULES], "pictures": pictures, "flags": [], "notes": [], **more}


def opinion_of(student="20260001"):
    return {"students": [{"student": student, "mos": 3.1, "low": 2.8, "high": 3.4, "band": 1, "rank_best": 1,
                          "rank_worst": 2, **dict.fromkeys(SET5, 3.1), "bird": float("nan")}],
            "anchors": [{"student": name, "mos": mos} for name, mos in
                        (("bicubic", 2.0), ("SRResNet", 4.0), ("HR", 4.8))]}


def page_of(tmp_path, row, opinions=None, points=None):
    return feedback_pages(tmp_path, [row], opinions, points)[0].read_text(encoding="utf-8")


def words_of(page):
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


FROM_MODELS = {case.name: IMPORT for case in CASES if not case.name.startswith("train_")}


def test_one_cause_is_told_once(tmp_path):
    row = row_of({**FROM_MODELS, "train_content": "the generator moved by 0"})
    found = causes(row["tests"])
    assert [len(cause["tests"]) for cause in found] == [len(FROM_MODELS), 1] and found[0]["lost"] == 82
    text = words_of(page_of(tmp_path, row))
    assert text.count("No module named &#39;kornia&#39;") == text.count("import kornia") == 1
    assert text.count("the generator moved by 0") == 1 and f"{len(FROM_MODELS)} tests fail for one reason" in text
    assert text.index("No module named") < text.index("the generator moved by 0")


@pytest.mark.parametrize("first, second, n", [
    ("stopped after 60 s of processor time", "not tried: before, stopped after 60 s of processor time", 1),
    ("models.py, line 9: def forward(self, x):\nmodels.py, line 30: return x.view(3)\nRuntimeError: size 12",
     "models.py, line 8: y = f(x)\nmodels.py, line 30: return x.view(3)\nRuntimeError: size 48", 1),
    ("models.py, line 9: x\nValueError: a", "models.py, line 10: x\nValueError: a", 2),
    ("shapes: [1], expected [2]", "shapes: [1], expected [3]", 2)])
def test_what_is_one_cause(first, second, n):
    assert len(causes([["a", 0, 3, "", "", first], ["b", 0, 9, "", "", second]])) == n


def test_a_fourth_cause_is_told_where_it_cost_points(tmp_path):
    probes = ("vgg_features", "generator_shapes", "discriminator_sizes", "train_content")
    text = words_of(page_of(tmp_path, row_of({probe: f"off by {k}.5" for k, probe in enumerate(probes)})))
    assert all(text.count(f"off by {k}.5") == 1 for k in range(4))
    assert text.index("off by 2.5") < text.index("Hidden tests · 隐藏测试：") < text.index("off by 3.5")


def test_the_summary_comes_first_and_adds_up(tmp_path):
    page = page_of(tmp_path, row_of({"vgg_features": "12: off by 3"}), opinion_of(), read_facts("none").points)
    text = words_of(page)
    for part in ("36.8 / 40", "3.6 / 10", "16.5 / 30", "– / 20", "56.9 / 80"):
        assert part in text, part
    assert text.index("56.9 / 80") < text.index("Fix first") < text.index("Passed") < text.index("Set5", 600)
    assert "(2.80 – 3.40)" in text and "nan" not in text
    before = words_of(page_of(tmp_path, row_of({})))
    assert "– / 30" in before and "43.6 / 50" in before and "every test passed" in before


def test_what_is_missing_is_said_among_what_to_fix(tmp_path):
    row = row_of({}, findings=[["table", "warning", "no table"], ["files", "fault", "no report"]], pictures={})
    text = words_of(page_of(tmp_path, row))
    assert text.index(RULES["files"].fix_en) < text.index(RULES["table"].fix_en.split("(")[0])
    assert "none: a result is missing" in text
    assert "cannot be opened" in words_of(page_of(tmp_path, row_of({}, fault="x.zip cannot be opened", tests=[])))


SECRET = next(line.strip() for line in Path(ROOT, "course/probes.py").read_text(encoding="utf-8").splitlines()
              if "(network(patches)" in line)


@pytest.mark.parametrize("carried, shown", [
    (f"models.py, line 2: raise\nValueError: {SECRET}", "ValueError: …"),
    (f"ValueError: 1\n    {SECRET}\n{SECRET[3:-3]}", "ValueError: 1"),
    ('File "/given/probes.py", line 3, in generator_shapes\nValueError: 2', "ValueError: 2"),
    (f"OSError: '{Path.home()}/class of 2026/x.txt', {ROOT}/course/a.py and C:\\Users\\wang\\b.py", "b.py"),
    ("ValueError: <script>alert(1)</script>", "&lt;script&gt;"),
    ("ValueError: \x00\x1b[31m\u202egnp.exe\u2066\u200b\u061c\ufeff\U000e0041\ud800 end", "end"),
    ("ValueError: " + "long " * 5000, "…"),
    ("ValueError: " + "\n".join(["line"] * 3000), "line")])
def test_an_exception_carries_nothing_onto_the_page(tmp_path, carried, shown):
    tells_of_the_jail = "probes.py" in carried                  # only an exception can
    more = {} if tells_of_the_jail else {"name": carried[:90], "notes": [carried], "jail": carried,
                                         "findings": [["files", "fault", carried]]}
    page = page_of(tmp_path, row_of({"generator_shapes": carried}, **more))
    assert shown in page
    for word in (SECRET, SECRET[3:-3], "probes.py", str(ROOT), str(Path.home()) + "/", "wang", "<script>"):
        assert word not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200b\u061c\ufeff\U000e0041\ud800]", page)
    clean_page = page_of(tmp_path, row_of({"generator_shapes": "x"}, findings=[["files", "fault", "x"]]))
    assert len(page) < len(clean_page) + 3500


def test_students_own_lines_and_imports_stay():
    text = "models.py, line 3: from models import Generator\nImportError: cannot import name 'Generator'"
    assert message(text) == text and message("") == ""
    assert message("probes.py, line 3") == "it failed and did not say how"


def test_folders_whose_names_hold_spaces_are_left_out(monkeypatch):
    monkeypatch.setattr("course.words.IN_OWN_FOLDERS", re.compile(r"(?:C:\\\\Users\\\\Li Hua|C:\\Users\\Li Hua)[\\/]*"))
    assert clean("at C:\\Users\\Li Hua\\grading\\models.py") == "at models.py"
    assert clean(repr("C:\\Users\\Li Hua\\grading\\models.py")) == "'models.py'"
    assert clean(repr("D:\\zips\\models.py")) == "'models.py'"
    assert clean("no folder C:\\Users\\Li Hua") == "no folder"


def test_two_files_that_differ_in_their_ending_have_two_pages(tmp_path):
    rows = [row_of({}, file="a.zip"), row_of({}, file="a.rar", fault="rar"), row_of({}, file="b.zip")]
    assert [path.name for path in feedback_pages(tmp_path, rows)] == ["a.zip.html", "a.rar.html", "b.html"]


@pytest.mark.slow
@pytest.mark.xdist_group("page")
@pytest.mark.parametrize("width", [360, 390, 1000])
def test_no_page_scrolls_sideways(tmp_path, width):
    long = "RuntimeError: " + "x" * 400
    failing = row_of({**FROM_MODELS, "vgg_features": long}, student="2" * 60, jail="x" * 90, notes=["y" * 300],
                     name="李" * 60, findings=[[rule, "fault", long] for rule in RULES])
    rows = [failing, row_of({}, "2"), row_of({}, "3", fault=long, tests=[], pictures={}), row_of({}, "4", pictures={})]
    pages = feedback_pages(tmp_path, rows, opinion_of("2"))
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": 844})
        for path in pages:
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
            assert page.evaluate("[...document.querySelectorAll('td, th, .cause, .detail')]"
                                 ".every(cell => cell.scrollWidth <= cell.clientWidth + 1)"), path.name

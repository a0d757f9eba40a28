"""The pictures of the guides, made anew: python -m tests.guide_pictures [report|regions|class ...]

Today's commands are run on a class that never was, and what they show is photographed in a browser, cut at whole rows:
docs/pictures/*.png.  The report is that of runs/demo: make demo comes first.  The scores of the class that the graders'
guide tells of are kept next to the pictures, as grader_opinions.csv.
"""

import html
import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from course import __main__ as course
from course.facts import SET5, read_facts
from course.gallery import make_gallery, read_key
from course.grade import grade
from course.hidden import make_bundle
from course.regions import BEGIN, END, REPLACED, split
from course.sandbox import LIMITS, run_probes
from imresize import imresize
from inference import SHIPPED, load_generator
from support.enlarging import super_resolve
from tests.browser import browser_path
from tests.course.synthetic_class import complete, hr_of, models_with, write_set5, write_zip
from tests.course.test_scores import simulate
from tests.helpers import ROOT, pixels

PICTURES = ROOT / "docs" / "pictures"
NAMES = ("王芳", "李明", "张伟", "赵敏", "陈静", "杨洋", "刘洋", "黄磊", "周杰", "吴桐")
QUALITY = (0.95, 0.85, 1.0, 0.65, 0.7, 0.45, 0.6, 0.3, 0.2, 0.1)        # of each student: 0 bicubic, 1 the kit's SRGAN
FAULTY = 5                                                              # the student whose feedback is shown
# The lowest place at which nothing is cut through: not a row, a line of text or an image.
CUT = """limit => {
  const end = Math.ceil(document.body.getBoundingClientRect().bottom);
  if (end <= limit) return end;
  const boxes = [...document.querySelectorAll('tr, p, li, h1, h2, h3, img, figure, .line')]
    .filter(e => !e.querySelector('tr, p, li')).map(e => e.getBoundingClientRect()).filter(r => r.height > 0);
  const whole = y => y <= limit && boxes.every(r => r.bottom <= y + 1 || r.top >= y - 1);
  return Math.max(...boxes.map(r => Math.ceil(r.bottom)).filter(whole));
}"""


def main(arguments=None):
    """The command: all pictures, or those that are named."""
    from playwright.sync_api import sync_playwright
    parts = {"report": report, "regions": regions, "class": of_a_class}
    names = arguments or list(parts)
    unknown = [name for name in names if name not in parts]
    if unknown:
        sys.exit(f"There is no picture {unknown[0]!r}; choose from {', '.join(parts)}.")
    with tempfile.TemporaryDirectory() as work, sync_playwright() as api:
        browser = api.chromium.launch(executable_path=browser_path(api), args=["--no-sandbox"])
        for name in names:
            (Path(work) / name).mkdir()
            parts[name](Path(work) / name, browser)
        browser.close()


def photograph(browser, page_file, name, width, height):
    """A page from its beginning, about ``height`` high: it ends with a whole row, below which is a margin."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(page_file.as_uri())
    page.wait_for_function("[...document.images].every(i => i.complete)")
    page.set_viewport_size({"width": width, "height": page.evaluate(CUT, height - 16) + 16})
    cut = page.viewport_size["height"] - 16
    page.screenshot(path=PICTURES / name, clip={"x": 0, "y": 0, "width": width, "height": cut})
    page.close()
    with Image.open(PICTURES / name) as shot:
        framed = Image.new("RGB", (width, cut + 16), "white")
        framed.paste(shot.convert("RGB"))
    framed.save(PICTURES / name, optimize=True)
    print(PICTURES / name)


def run_course(*arguments):
    """``python -m course`` with these arguments; it has said what is wrong where it fails."""
    if course.main([str(argument) for argument in arguments]):
        sys.exit(1)


# ---------------------------------------------------------------- the students' guide, the teachers' guide

def report(work, browser):
    """The draft of a report: that of the demo."""
    run = ROOT / "runs" / "demo"
    if not (run / "benchmark.csv").exists():
        sys.exit(f"There is no {run / 'benchmark.csv'}: run make demo first.")
    shutil.copytree(run, work / "runs" / "mine", ignore=shutil.ignore_patterns("checkpoints", "*.ipynb"))
    (work / "handin.toml").write_text('student_id = "20260001"\nname = "李华"\nrun = "mine"\n', encoding="utf-8")
    run_course("report", work)
    photograph(browser, work / "report.html", "student_report.png", 800, 1000)


def regions(work, browser):
    """The discriminator of models.py with its marks, and what students see of it."""
    source = (ROOT / "models.py").read_text(encoding="utf-8")
    whole = discriminator(source)
    seen = discriminator(split(source, "models.py")[0])
    page = work / "regions.html"
    page.write_text(REGIONS.format(whole=coloured(whole), seen=coloured(seen)), encoding="utf-8")
    photograph(browser, page, "teacher_regions.png", 900, 2000)


def discriminator(source):
    """The lines of the class Discriminator that begin with its settings."""
    body = re.search(r"\nclass Discriminator\b.*?(?=\n\n\n|\Z)", source, flags=re.DOTALL)[0]
    return body[body.index("        self.settings"):].rstrip()


def coloured(code):
    """Code as HTML: a line each, what students do not get in red, what they get instead in green."""
    lines, state = [], ""
    for line in code.split("\n"):
        mark = next((mark for mark in (BEGIN, REPLACED, END) if mark in line), None)
        state = {BEGIN: "hidden", REPLACED: "instead", END: ""}.get(mark, state)
        lines.append(f'<div class="line {"mark" if mark else state}">{html.escape(line) or "&nbsp;"}</div>')
    return "".join(lines)


REGIONS = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 16px; color: #222; background: #fff; font: 14px sans-serif; }}
section {{ border: 1px solid #ccc; border-radius: 6px; margin-bottom: 16px; }}
h3 {{ margin: 0; padding: 6px 12px; background: #f0f0f0; font-size: 14px; }}
pre {{ margin: 0; padding: 8px 12px; font: 12px/1.45 monospace; }}
.hidden {{ background: #fde8e6; }} .instead {{ background: #e6f4e6; }} .mark {{ color: #a00040; font-weight: bold; }}
</style>
<section><h3>models.py, complete</h3><pre>{whole}</pre></section>
<section><h3>models.py of the student edition</h3><pre>{seen}</pre></section>"""


# ---------------------------------------------------------------- the graders' guide

def of_a_class(work, browser):
    """Hand-ins of ten students, a gallery, six simulated raters, their scores; and the feedback for one student."""
    data = write_set5(work / "data")
    for number, path in enumerate(hand_ins(work / "zips", work / "code"), start=1):
        if number == FAULTY:
            (work / "one").mkdir()
            shutil.copy(path, work / "one")
    make_bundle(work / "hidden.zip", lambda inputs, names: run_probes(ROOT, inputs, names))
    grade(work / "one", work / "hidden.zip", data, work / "grading", read_facts("none"), limits=LIMITS)
    make_gallery(work / "zips", work / "gallery", work / "key.csv", data, 6, 30, read_facts("none"), seed=1)
    gallery(work / "gallery" / "index.html", browser)
    key = read_key(work / "key.csv")
    (work / "votes").mkdir()
    votes = simulate(work / "votes", key, {name: true_score(row) for name, row in key.items()
                                          if row["kind"] in ("student", "anchor")}, share=1, noise=0.5)
    run_course("scores", *votes, "--key", work / "key.csv", "--gallery", work / "gallery", "--grades",
               work / "grading/grades.json", "--out", work / "scores", "--course", "none")
    photograph(browser, work / "scores/contact_sheet.html", "grader_contact_sheet.png", 860, 700)
    feedback, = (work / "scores/feedback").iterdir()
    photograph(browser, feedback, "grader_feedback.png", 900, 1000)
    shutil.copy(work / "scores/opinions.png", PICTURES / "grader_opinions.png")
    shutil.copy(work / "scores/students.csv", PICTURES / "grader_opinions.csv")


def hand_ins(folder, code):
    """The zip files of the class, in the order of the student ids."""
    srgan, paths = load_generator(SHIPPED["srgan"]), []
    ends = {name: (imresize(lr, 4), super_resolve(srgan, lr))
            for name, lr in ((name, imresize(hr_of(name), 1 / 4)) for name in SET5)}
    for student, (name, alpha) in enumerate(zip(NAMES, QUALITY), start=1):
        pictures = {image: (up + alpha * (sr.astype(float) - up)).round().astype("uint8")
                    for image, (up, sr) in ends.items()}
        # Mixed with the kit's results, a hand-in would be marked as a copy of them: whose page is shown has others.
        files = complete(student, code, None if student == FAULTY else pictures)
        files["handin.toml"] = f'student_id = "2026{student:04}"\nname = "{name}"\nrun = "mine"\n'.encode()
        if student == FAULTY:
            files["solver.py"] = b"import kornia\n" + files["solver.py"]
            files["models.py"] = models_with(student, "class Generator(Generator):\n    def forward(self, lr):\n"
                                                      "        return super().forward(lr).tanh()")
        paths.append(write_zip(folder / f"2026{student:04}.zip", files))
    return paths


def true_score(row):
    """What raters would give on average, 1 to 5, by the row of the key."""
    anchors = {"HR": 4.7, "SRResNet": 3.4, "bicubic": 1.9}
    return anchors[row["who"]] if row["kind"] == "anchor" else 1.9 + 2.4 * QUALITY[int(row["who"][-2:]) - 1]


def gallery(index, browser):
    """The page of a rater at the twelfth trial: whole, and a detail."""
    page = browser.new_page(viewport={"width": 1280, "height": 640})
    page.goto(index.as_uri())
    page.select_option("#rater", "R01")
    page.press("#who button", "Enter")
    page.wait_for_selector("#rate:not([hidden])")
    page.evaluate("for (let k = 0; k < 11; k += 1) { shownAt -= 6000; answer(3); }")
    for key, name in (("w", "grader_gallery.png"), ("a", "grader_gallery_detail.png")):
        page.keyboard.press(key)
        page.wait_for_function("[...document.images].every(i => i.complete)")
        page.screenshot(path=PICTURES / name)
        Image.fromarray(pixels(PICTURES / name)[..., :3]).save(PICTURES / name, optimize=True)
        print(PICTURES / name)
    page.close()


if __name__ == "__main__":
    main(sys.argv[1:])

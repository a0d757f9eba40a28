"""Numbers that stand in texts, written from the files that they come from: python -m benchmarks.texts

A score, a time or a size stands in one place, where a command or a measurement has put it: a model card, a stored
notebook, a table of docs/, ``config.PUBLISHED``.  Texts repeat it.  NUMBERS says which, and where from; this command
writes them, and a test compares them.  By hand are only what has no such place: times and scores of docs/speed.md,
docs/extensions.md, docs/grader.md and docs/reliability.md that were measured once, and what is computed from sizes.
"""

import csv
import json
import re
import sys
from collections import namedtuple
from pathlib import Path

from config import PUBLISHED
from support.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]

# pages: files that hold the number; pattern: a group for each value (of a notebook, its JSON is searched);
# source: function (root) -> the values, in the order of the groups.
Number = namedtuple("Number", "pages pattern source")
SCORES = r"([\d.]+) dB / ([\d.]+\d)"
SHIPPED = ("srresnet-small-x4", "srresnet-x4", "srgan-x4", "srgan-mse-x4", "a2n-small-x4", "sr3-small-x4",
           "srdiff-small-x4")
IN_SHORT = SHIPPED[:4]                   # in the READMEs, too


class SourceError(ValueError):
    """The file that a number comes from does not hold it; the message says what to do."""


# ---------------------------------------------------------------- where numbers come from

def rows_of(text):
    """The rows of the Markdown tables in a text: list of lists of str, without the marks of code."""
    return [[cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|")]


def row(path, first, number=0):
    """The other cells of the row of a page whose first cell is ``first``, or begins so; of several, which one."""
    def source(root):
        rows = rows_of((root / path).read_text(encoding="utf-8"))
        rows = [row for row in rows if row[0] == first] or [row for row in rows if row[0].startswith(first)]
        if len(rows) <= number:
            raise SourceError(f"{path} has no row {first!r}: write it again, or change benchmarks/texts.py.")
        return rows[number][1:]
    return source


def found(source, pattern):
    """The groups of a pattern in the cells that another source gives, one after the other."""
    def values(root):
        text = " | ".join(source(root))
        match = re.search(pattern, text)
        if not match:
            raise SourceError(f"There is no {pattern!r} in {text!r} (benchmarks/texts.py).")
        return match.groups()
    return values


def card(name, first, pattern=r"(.*)"):
    """Groups of a pattern in a row of a model card."""
    return found(row(f"weights/{name}.md", first), pattern)


def million(name):
    """The parameters of a generator in millions, as "1.55"; from its card."""
    def values(root):
        n, = card(name, "network", r"([\d,]+) parameters")(root)
        return [f"{int(n.replace(',', '')) / 1e6:.2f}"]
    return values


def demo(name):
    """Of the demo's table in the stored test.ipynb, of a set: images, and "PSNR dB / SSIM" of three methods."""
    def values(root):
        notebook = json.loads((root / "test.ipynb").read_text(encoding="utf-8"))
        texts = ["".join(output.get("data", {}).get("text/markdown", "")) for cell in notebook["cells"]
                 for output in cell.get("outputs", ())]
        rows = [row for text in texts for row in rows_of(text) if row[0].startswith(f"{name}, ")]
        if not rows or any("Nothing has been trained" in text for text in texts):
            raise SourceError("test.ipynb is not stored with the demo's own weights. Run: make notebooks")
        return [rows[0][0].split()[1], *(score.replace(" /", " dB /") for score in rows[0][1:4])]
    return values


def boundary(root):
    """Of the class of the graders' guide: two students next to a boundary of bands whose intervals touch, and one above
    whose interval does not touch the second's: id and score of each, and the second's id again."""
    with open(root / "docs/pictures/grader_opinions.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))                                     # the highest score first
    for k, (above, below) in enumerate(zip(rows, rows[1:]), start=1):
        apart = [row for row in rows[:k] if float(row["low"]) > float(below["high"])]
        if above["band"] != below["band"] and float(above["low"]) <= float(below["high"]) and apart:
            return [row[name] for row in (above, below, apart[-1]) for name in ("student", "mos")] + [below["student"]]
    raise SourceError("docs/pictures/grader_opinions.csv has no two students next to a boundary who are not separated: "
                      "change the example in docs/grader.md.")


def installed(root):
    """Gigabytes of the packages; measured by hand, first named in the README."""
    return re.search(r"([\d.]+) GB on Linux", (root / "README.md").read_text(encoding="utf-8")).groups()


def published(method, name):
    return lambda root: [f"{PUBLISHED[method][name][0]:.2f}", f"{PUBLISHED[method][name][1]:.4f}"]


def together(*sources):
    """The values of several sources, one after the other."""
    return lambda root: [value for source in sources for value in source(root)]


# ---------------------------------------------------------------- where they stand

def both(*pages):
    """Pages with their Chinese twins."""
    return [name for page in pages for name in (page, page.replace(".md", ".zh-CN.md"))]


READMES, RESULTS, SPEED, EXTENSIONS, STUDENT, DATA = map(both, (
    "README.md", "docs/results.md", "docs/speed.md", "docs/extensions.md", "docs/student.md", "docs/data.md"))
LAPTOP = row(SPEED[0], "laptop")
LAPTOPS_PSNR = together(found(LAPTOP, r"Set5 ([\d.]+) dB.*, ([\d.]+) dB"), found(row(RESULTS[0], "bicubic"), r"^(\S+)"))
SMALL = together(found(row(RESULTS[0], "bicubic"), r"^(\S+)"), card("a2n-small-x4", "a2n-small-x4", r"^(\S+)"),
                 card("a2n-small-x4", "time", r"^(\d+) min"), card("srdiff-small-x4", "srdiff-small-x4", r"^(\S+)"),
                 card("sr3-small-x4", "sr3-small-x4", r"^(\S+)"))
IMDN = together(found(row(RESULTS[0], "bicubic", 1), r"^(\S+) dB.*?\| (\S+) dB"),
                found(row(RESULTS[0], "IMDN, its public weights"), rf"{SCORES}.*? {SCORES}.*? {SCORES}"))
VGG16 = found(row(DATA[0], "content losses"), r"(\d+) MB")
VGG19 = found(row(DATA[0], "content loss VGG"), r"(\d+) MB")
NUMBERS = [
    *(Number(READMES, rf"(?m)^\| {name} \| (\d+) " + 3 * r"\| (\S+ dB / \S+) " + r"\|$", demo(name))
      for name in ("demo", "valid")),
    # How long a preset takes.
    Number([*READMES, SPEED[1]], r"(\d+) (?:min|分) (\d+) (?:s|秒)",
           found(row(SPEED[0], "demo"), r"(\d+) min (\d+) s")),
    Number([*READMES, SPEED[1]], r"(\d+) \+ (\d+) (?:min\b|分钟)", found(LAPTOP, r"(\d+) \+ (\d+) minutes")),
    Number(READMES[:1], r"([\d.]+) dB pre-trained, ([\d.]+) dB SRGAN \(bicubic: ([\d.]+)\)", LAPTOPS_PSNR),
    Number(READMES[1:], r"预训练 ([\d.]+) dB，SRGAN ([\d.]+) dB（双三次 ([\d.]+) dB）", LAPTOPS_PSNR),
    Number([*READMES, SPEED[1]], r"(?s)`course` .*?([\d.]+) (?:hours|小时).*?([\d.]+) (?:hours|小时)",
           found(row(SPEED[0], "course"), r"([\d.]+) hours.* ([\d.]+) hours")),
    Number([*READMES, SPEED[1]], r"`paper` .*? (\d+) (?:hours|小时)", found(row(SPEED[0], "paper"), r"(\d+) hours")),
    # Scores.
    Number(SPEED, rf"(?:bicubic interpolation has|双三次插值在 Set5 上为) {SCORES}",
           found(row(RESULTS[0], "bicubic"), r"^([\d.]+) / ([\d.]+)")),
    *(Number(RESULTS + (READMES if name in IN_SHORT else []), rf"(?m)^\| `{name}` +\| (\S+ / \S+) +\| (\S+ / \S+) +\|",
             card(name, name, r"^(\S+ / \S+) \| (\S+ / \S+)")) for name in SHIPPED),
    Number(EXTENSIONS[:1], r"has\s([\d.]+) dB; after [^;]*?A2N has\s([\d.]+) dB \((\d+) min\),\s"
           r"SRDiff\s([\d.]+) dB [^;]*?SR3\s([\d.]+) dB", SMALL),
    Number(EXTENSIONS[1:], r"双三次插值为 ([\d.]+) dB；.*?A2N 达到 ([\d.]+) dB（(\d+) 分钟），"
           r"SRDiff 达到 ([\d.]+) dB.*?SR3 达到 ([\d.]+) dB", SMALL),
    Number(EXTENSIONS, r"(?m)^\| DDPM[,，] ?10 (?:steps|步).*?\| ([\d.]+) dB",
           card("srdiff-small-x4", "srdiff-small-x4", r"^(\S+)")),
    Number(both("docs/assignment.md"), rf"Set5(?::| 为) {SCORES}", published("bicubic", "Set5")),
    Number(["test.ipynb"], r"([\d.]+) dB(?: one way and|，用后一种是) ([\d.]+) dB.*?"
           rf"{SCORES}(?: one way and|，用后一种得到) {SCORES}.*?([\d.]+) / ([\d.]+\d)", IMDN),
    Number(["extensions/sr3.ipynb"], r"(?:reports|步为) ([\d.]+) dB.*?([\d.]+) dB",
           lambda root: found(row(RESULTS[0], "SR3, the public code, 16 to 128"), f"{SCORES}.*?{SCORES}")(root)[2::-2]),
    Number(["extensions/srdiff.ipynb"], r"SRDiff (?:paper reports|论文报告) ([\d.]+) dB.*? ([\d.]+) dB",
           together(found(row(RESULTS[0], "SRDiff, the paper"), r"([\d.]+) dB"),
                    found(row(RESULTS[0], "SRDiff, a MindSpore model"), r"([\d.]+) dB"))),
    Number(both("docs/grader.md"), r"(?:In this example|在这个例子中，)\s?(\d+)(?: \(|（)([\d.]+)(?:\) and |）和 )"
           r"(\d+)(?: \(|（)([\d.]+)[^;；]+[;；]\s?(\d+)(?: \(|（)([\d.]+)(?:\) and|）和)\s+(\d+)", boundary),
    # Sizes of networks and trainings.
    *(Number(RESULTS + (READMES if name in IN_SHORT else []), rf"(?m)^\| `{name}` .* ([\d.]+) M +\|", million(name))
      for name in SHIPPED),
    *(Number([RESULTS[1], *READMES], rf"(?m)^\| `{name}` .* M +\| ([\d.]+) s +\|$",
             found(row(RESULTS[0], name), r"([\d.]+) s$")) for name in IN_SHORT),
    Number(["extensions/a2n.ipynb"], r"SRResNet has ([\d.]+) million parameters", million("srresnet-x4")),
    Number([*RESULTS, SPEED[0], SPEED[1]], r"(\d+) of the (?:classical 291|291 classical)|中的 (\d+) 张",
           card("srresnet-x4", "images", r"^(\d+) of")),
    Number([*READMES, "super_resolution.ipynb"],
           r"seen (\d+) images|只用了 (\d+) 张|from (\d+) photographs|用 (\d+) 张照片",
           card("srgan-x4", "images", r"^(\d+) of")),
    Number(RESULTS, r"([\d,]+)(?: updates and| 次和) ([\d,]+)[ .]",
           together(card("srgan-x4", "updates"), card("srgan-mse-x4", "updates"))),
    # What is fetched.
    Number(READMES, r"([\d.]+) GB on Linux|Linux 上(?:为)? ?([\d.]+) GB", installed),
    Number([*READMES, *STUDENT, DATA[1], "support/vgg16.py", "train.ipynb"], r"\D(\d\d) MB\b", VGG16),
    Number([DATA[1], "support/vgg19.py", "train.ipynb"], r"VGG19.{,60}?\D(\d{3}) MB\b", VGG19),
]


# ---------------------------------------------------------------- writing and comparing

def rewritten(text, number, root=ROOT):
    """The text with the values that the source has; a group that is not part of a match takes none.

    Raises:
        SourceError: if the text has no such place, or the source fits in none.
    """
    values, matches = list(number.source(root)), list(re.finditer(number.pattern, text))
    if not matches:
        raise SourceError(f"no place fits {number.pattern!r}: the sentence was changed. Change NUMBERS with it.")
    for match in reversed(matches):
        groups = [k for k in range(1, len(match.groups()) + 1) if match[k] is not None]
        if len(groups) != len(values):
            raise SourceError(f"{match[0]!r} has {len(groups)} numbers, its source {values}.")
        for k, value in sorted(zip(groups, values), reverse=True):
            text = text[:match.start(k)] + value + text[match.end(k):]
    return text


def differences(number, root=ROOT):
    """What a number's pages say that its source does not: list of sentences; and the texts as they should be."""
    said, texts = [], {}
    for page in number.pages:
        text = (root / page).read_text(encoding="utf-8")
        try:
            texts[page] = rewritten(text, number, root)
        except SourceError as error:
            said.append(f"{page}: {error}")
            continue
        said += [f"{page}: {old.strip()!r} should be {new.strip()!r}"
                 for old, new in zip(text.splitlines(), texts[page].splitlines()) if old != new]
    return said, texts


def main(root=ROOT):
    """Write every number into its pages and say what has changed; 1 if a place or a source is missing."""
    missing = 0
    for number in NUMBERS:
        said, texts = differences(number, root)
        for page, text in texts.items():
            if text != (root / page).read_text(encoding="utf-8"):
                write_atomically(root / page, text.encode("utf-8"))
        missing += len(texts) < len(number.pages)
        for line in said:
            print(line if "should be" not in line else line.replace("should be", "became"))
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Is a hand-in complete?  One line per rule, in English and Chinese, with how to fix it."""

import re
from collections import namedtuple
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from config import get_config
from course.facts import CODE, NOTEBOOKS, SET5, TEST_SETS
from course.handin import INFO, REPORTS, HandIn
from course.report_blocks import without_parts
from course.texts import RULES
from datasets import SRDataset
from imresize import imresize
from metrics import three_channels
from support import provenance
from support.images import read_image

# level: "ok", "warning", "fault", or "absent" where there is nothing to judge.  detail: what was found, by file.
Finding = namedtuple("Finding", "rule level detail")

FORBIDDEN = {".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".npy", ".npz", ".h5", ".pkl", ".rar", ".7z", ".zip",
             ".gz"}
FORBIDDEN_FOLDERS = {"data", "runs", "weights", "checkpoints", "__pycache__", ".ipynb_checkpoints", ".venv", ".git"}
REPORT_PARTS = {      # one of the words of each part has to occur in the report
    "training": ("training method", "how it was trained", "训练方法", "训练过程"),
    "results": ("best parameters", "test results", "最佳参数", "最优参数", "测试结果"),
    "pictures": ("set5",),
    "attempts": ("attempts", "improvements", "尝试", "改进"),
}
DRAFT = "(write here)"                # what `course report` writes where the student's words belong
MIN_WORDS = 200        # Chinese characters or English words of a report
NOTHING = ("absent", "")
# Of test.ipynb's table: a title of the published scores, which stand to the right of the student's own.
PUBLISHED_TITLE = re.compile(r"\((?:paper|published)\)|^EDSR-baseline$")
### BEGIN SOLUTION
KITS_WEIGHTS = "Nothing has been trained in "         # inference.weights_to_show
### END SOLUTION
SET_SIZES = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100}
DEMO_VALID = 2         # images in the demo's set of this name


def check(folder, facts, data=None, references=None):
    """All findings on a folder, a student's kit or an unpacked hand-in; at least one for each rule.

    Args:
        facts: ``read_facts(...)``.
        data: folder of the lists, to compare the five results with Set5's LR, bicubic and HR
            (default: ``data`` in the folder).
        references: the result of ``set5_references``, where it is known already.

    Raises:
        HandInError: if the folder cannot be handed in at all.
    """
    handin = HandIn(folder)
    notebooks = {name: _read_notebook(handin.folder / name) for name in NOTEBOOKS}
    faults = {
        "identity": identity(handin), "files": files(handin), "executed": executed(notebooks),
        "errors": errors(notebooks), "figures": figures(notebooks), "code": code(handin, notebooks),
        "pictures": pictures(handin), "copies": copies(handin, data or handin.folder / "data", references),
        "table": five_set_table(notebooks["test.ipynb"]), "report": report(handin),
        "declaration": declaration(notebooks["train.ipynb"]), "nothing_else": nothing_else(handin, facts)}
    return [finding for rule in RULES for finding in
            ([Finding(rule, level, detail) for level, detail in map(_with_level, faults[rule])]
             or [Finding(rule, "ok", "")])]


def _with_level(found):
    """A rule gives details, which are faults, or pairs ("warning", detail); NOTHING where there is nothing to judge."""
    return found if isinstance(found, tuple) else ("fault", found)


# ---------------------------------------------------------------- the rules: each returns what is wrong

def identity(handin):
    missing = [key for key, value in (("student_id", handin.student_id), ("name", handin.name)) if not value]
    return [f"{INFO}: {', '.join(missing)}"] if missing else []


def files(handin):
    missing = [name for name in (*CODE, *NOTEBOOKS) if not (handin.folder / name).is_file()]
    return missing + ([] if handin.reports else [" / ".join(REPORTS)])


def executed(notebooks):
    for name, notebook in notebooks.items():
        counts = [cell.execution_count for cell in _code_cells(notebook)]
        if counts != list(range(1, len(counts) + 1)):
            place = next(k for k, count in enumerate(counts) if count != k + 1)
            state = "not run" if counts[place] is None else f"run as number {counts[place]}"
            yield f"{name}: code cell {place + 1} of {len(counts)}, {state}"


def errors(notebooks):
    if not any(cell.execution_count for notebook in notebooks.values() for cell in _code_cells(notebook)):
        yield NOTHING
    for name, notebook in notebooks.items():
        for number, cell in enumerate(_code_cells(notebook), start=1):
            for output in cell.outputs:
                if output.output_type == "error":
                    yield f"{name}: code cell {number}: {output.ename}: {str(output.evalue)[:80]}"


def figures(notebooks):
    for name, notebook in notebooks.items():
        outputs = _outputs(notebook)
        if not outputs:
            yield f"{name}: no outputs"
        elif not any("image/png" in output.get("data", {}) for output in outputs):
            yield f"{name}: no figure"


def code(handin, notebooks):
    """The outputs belong to this code.  Warnings only: nobody trains again for a typo."""
    try:
        now = provenance.code_line(handin.folder).split()
    except (OSError, SyntaxError, ValueError) as error:
        return [f"{error}"]
    now, found = dict(zip(now[1::2], now[2::2])), []
    for name, notebook in notebooks.items():
        lines = re.findall(r"^code: (.*)$", _text(notebook), flags=re.MULTILINE)
        if not lines:
            found.append(("warning", f"{name}: its outputs do not name the code that made them"))
            continue
        then = lines[-1].split()
        changed = [file for file, digest in zip(then[::2], then[1::2]) if now.get(file, digest) != digest]
        if changed:
            found.append(("warning", f"{name}: {', '.join(changed)}"))
    return found


def pictures(handin):
    there = handin.pictures()
    missing = [f"{name}.png" for name in SET5 if name not in there]
    found = [f"{', '.join(missing)} ({_relative(handin, handin.results)})"] if missing else []
    for name in SET5.keys() & there.keys():
        try:
            with Image.open(there[name]) as image:
                image.load()
                if image.format != "PNG" or image.mode != "RGB":
                    found.append(f"{name}.png: {image.format}, {image.mode}")
                elif image.size != SET5[name]:
                    found.append(f"{name}.png: {image.width} x {image.height}, not "
                                 f"{SET5[name][0]} x {SET5[name][1]}")
        except Exception as error:            # Pillow raises exceptions of many types
            found.append(f"{name}.png: {error}")
    return found


def copies(handin, data, references=None):
    """Results that are the original, or were made without a network."""
    there = {name: path for name, path in handin.pictures().items() if name in SET5}
    if not there:
        return [NOTHING]
    try:
        references = references or set5_references(data)
    except (OSError, ValueError) as error:
        return [("warning", f"Set5: {error}")]
    found = []
    for name, path in there.items():
        try:
            picture = three_channels(read_image(path)[0])
        except ValueError:
            continue                          # the rule "pictures" reports it
        for kind, reference in references.get(name, {}).items():
            if same_picture(picture, reference):
                found.append(f"{name}.png: {kind}")
    return found


def set5_references(data):
    """{image: {"HR", "bicubic", "LR": uint8 array (H, W, 3) of HR's size}} of Set5.

    Raises:
        ValueError: if the data folder has no list of Set5.
    """
    dataset, references = SRDataset("Set5", get_config("course", data)), {}
    for i, name in enumerate(dataset.names):
        lr, hr = dataset.pair(i)
        references[name.lower()] = {"HR": three_channels(hr), "bicubic": imresize(lr, 4),
                                    "LR": lr.repeat(4, axis=0).repeat(4, axis=1)}
    return references


def same_picture(a, b, most=1.0):
    """Whether two uint8 images differ by no more than rounding and compression do: ``most`` grey levels on average."""
    return a.shape == b.shape and np.abs(a.astype(np.int16) - b).mean() <= most


def five_set_table(notebook):
    """Test sets of which the table shows no scores of the student's own, and those of which it shows a part."""
    text = _text(notebook)
    ### BEGIN SOLUTION
    if KITS_WEIGHTS in text:
        return ["test.ipynb: nothing had been trained in this run; the scores are those of weights that come with the "
                "kit 本次运行尚未训练，表中是套件附带权重的结果"]
    ### END SOLUTION
    measured = measured_sets(text)
    if measured.get("valid") == DEMO_VALID:
        del measured["valid"]                 # two photographs are no validation set
    missing = [name for name in TEST_SETS if name not in measured]
    return ([f"test.ipynb, no scores of your own 缺少你自己的结果: {', '.join(missing)}"] if missing else []) + [
        ("warning", f"test.ipynb: {name}: {measured[name]} images, not {size} 图像数量不对")
        for name, size in SET_SIZES.items() if measured.get(name, size) != size]


def measured_sets(text):
    """{test set: number of its images} of those with scores of a network in one of the tables of a text.

    The published scores stand in the same table, to the right of the student's own columns.
    """
    found = {}
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        (_, *titles), *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")]
                               for line in block.splitlines())
        theirs = next((k for k, title in enumerate(titles) if PUBLISHED_TITLE.search(title)), len(titles))
        own = [k for k in range(theirs) if titles[k] != "bicubic"]
        for first, *cells in rows:
            name, count = first.partition(",")[0], re.search(r"(\d+) images", first)
            scores = [k for k, cell in enumerate(cells) if re.search(r"\d\d\.\d", cell)]
            if name in TEST_SETS and count and own and set(own) <= set(scores):
                found[name] = int(count[1])
    return found


def report(handin):
    """What is wrong with the report; of several files, with the one that holds most of the student's own words."""
    if not handin.reports:
        return [NOTHING]                      # the rule "files" reports it
    texts = {path: _text_or_error(path) for path in handin.reports}
    drafts = [path for path, (text, _) in texts.items() if DRAFT in text]
    judged = max(texts, key=lambda path: (path not in drafts, count_words(texts[path][0], path.parent)))
    others = [("warning", f"{path.name}: still a draft, {judged.name} is judged; delete it 草稿，请删除")
              for path in drafts if path != judged]
    return others + _faults_of_report(judged, *texts[judged])


def _text_or_error(path):
    try:
        return report_text(path), ""
    except Exception as error:                # a damaged .docx or .pdf raises exceptions of many types
        return "", f"{path.name}: {error}"


def _faults_of_report(path, text, error):
    if error:
        return [error]
    words = count_words(text, path.parent)
    found = [f"{path.name}: {part} ({' / '.join(names)})" for part, names in REPORT_PARTS.items()
             if not any(name in text.lower() for name in names)]
    if path.suffix == ".pdf" and found and words < MIN_WORDS:
        return [("warning", f"{path.name}: its text could not be read; a person has to look at it")]
    if words < MIN_WORDS:
        found.append(f"{path.name}: {words} / {MIN_WORDS} words (without tables, headings, captions) 字数")
    return found + ([f"{path.name}: {DRAFT}"] if DRAFT in text else [])


def count_words(text, folder):
    """Chinese characters and English words of a report, without what the draft already holds."""
    return len(re.findall(r"[\u4e00-\u9fff]|[A-Za-z]{2,}", prose(text, folder)))


def prose(text, folder="."):
    """A text without what the draft already holds: parts of the kit, headings, tables, images and their captions.

    Args:
        folder: of the report: a part counts as the kit's while neither its text nor its pictures are changed.
    """
    return "\n".join(line for line in without_parts(text, Path(folder)).splitlines()
                     if not re.match(r"\s*([#|!]|\*[^*]+\*\s*$|<small>.*</small>\s*$)", line))


def report_text(path):
    """The text of a report in Markdown, Word or PDF."""
    if path.suffix == ".docx":
        import docx
        document = docx.Document(path)
        tables = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
        return "\n".join([paragraph.text for paragraph in document.paragraphs] + tables)
    if path.suffix == ".pdf":
        import pypdf
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    return path.read_text(encoding="utf-8-sig")


def declaration(notebook):
    cells = [cell.source for cell in _code_cells(notebook) if "declaration = " in cell.source]
    if not cells:
        return ["train.ipynb"]
    text = cells[-1].partition("declaration = ")[2].rpartition("print(")[0]
    text = re.sub(r"\(write here\)|在此填写|[\"'\s]", "", text)
    return [] if text else ["train.ipynb"]


def nothing_else(handin, facts):
    if handin.is_kit:                         # ``pack`` leaves out what does not belong
        contents = handin.contents()
        size = sum(path.stat().st_size for path in contents.values())
        return [f"{size / 1e6:.0f} MB > {facts.limits.zip_mb} MB"] if size > facts.limits.zip_mb * 1e6 else []
    found = [path.relative_to(handin.folder) for path in sorted(handin.folder.rglob("*")) if path.is_file()]
    return [path.as_posix() for path in found
            if path.suffix.lower() in FORBIDDEN or FORBIDDEN_FOLDERS & set(path.parts[:-1])][:20]


# ---------------------------------------------------------------- notebooks

def _read_notebook(path):
    """The notebook; an empty one where the file is missing or is not a notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception:                         # the rules "files" and "figures" report it
        return nbformat.v4.new_notebook()


def _code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _outputs(notebook):
    return [output for cell in _code_cells(notebook) for output in cell.outputs]


def _text(notebook):
    """The text of a notebook's outputs."""
    parts = []
    for output in _outputs(notebook):
        data = output.get("data", {})
        part = output.get("text") or data.get("text/markdown") or data.get("text/plain") or ""
        parts.append("".join(part))
    return "\n".join(parts)


def _relative(handin, path):
    return path.relative_to(handin.folder).as_posix()

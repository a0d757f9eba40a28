"""A class that never was: hand-ins that are complete, faulty in one way each, or hostile."""

import json
import zipfile
from pathlib import Path

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course.check import SET_SIZES
from course.facts import SET5, TEST_SETS
from course.handin import MANIFEST
from imresize import imresize
from metrics import psnr, ssim
from support import provenance
from tests.helpers import ROOT, photo, png, write_image, write_list

MODELS, SOLVER = ((ROOT / name).read_text(encoding="utf-8") for name in ("models.py", "solver.py"))
# Where each of Set5's names gets its picture from here: (file, top, left).
PLACES = {"baby": ("astronaut.png", 0, 0), "bird": ("coffee.png", 80, 200), "butterfly": ("chelsea.png", 20, 100),
          "head": ("rocket.jpg", 120, 250), "woman": ("astronaut.png", 150, 260)}
REPORT = """# SRGAN
## 1. Training method · 训练方法
{filler}
## 2. Best parameters and test results · 最佳参数与测试结果
## 3. Set5 pictures · Set5 结果图
## 4. Attempts and improvements · 尝试与改进
""".format(filler="The generator was trained for two epochs and then against the discriminator. " * 25)


def hr_of(name):
    width, height = SET5[name]
    file, top, left = PLACES[name]
    return photo(file, top, left, height, width)


def write_set5(folder):
    """A data folder whose "Set5" has the right names and sizes."""
    rows = []
    for name in SET5:
        write_image(folder / "HR" / f"{name}.png", hr_of(name))
        write_image(folder / "LR" / f"{name}x4.png", imresize(hr_of(name), 1 / 4))
        rows.append((f"HR/{name}.png", f"LR/{name}x4.png"))
    write_list(folder, "Set5", rows)
    return folder


def own_results(seed):
    """Five pictures that a network might have made of LR: bicubic, sharpened, each student in another way."""
    rng, pictures = np.random.default_rng(seed), {}
    strength = rng.uniform(0.3, 0.9)
    for name in SET5:
        up = imresize(imresize(hr_of(name), 1 / 4), 4).astype(float)
        blurred, texture = imresize(imresize(up, 1 / 4), 4), rng.normal(0, 2, up.shape[:2])[..., None]
        pictures[name] = np.clip(up + strength * (up - blurred) + texture, 0, 255).round().astype(np.uint8)
    return pictures


def stream(text):
    return new_output("stream", name="stdout", text=text + "\n")


def notebooks(code_line, student=0):
    """The three notebooks, executed, with figures, the table and a declaration."""
    figure = new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "figure"})
    table = "| PSNR | bicubic | SRGAN |\n|---|---|---|\n" + "".join(
        f"| {name}, {SET_SIZES.get(name, 100)} images | 28.43 / 0.8111 | 29.50 / 0.8300 |\n" for name in TEST_SETS)
    result = {}
    for name in ("train", "test", "super_resolution"):
        cells = [new_markdown_cell(f"# {name}"),
                 new_code_cell("print(provenance.code_line())", outputs=[stream(code_line)]),
                 new_code_cell(f"my_own_setting_of_{name} = {student}", outputs=[figure])]
        if name == "test":
            cells.append(new_code_cell("show_table()", outputs=[
                new_output("display_data", data={"text/markdown": table, "text/plain": "table"})]))
        if name == "train":
            cells.append(new_code_cell('declaration = """\nnone: all of it is my own\n"""\nprint(declaration.strip())',
                                       outputs=[stream("none")]))
        number = 0
        for cell in cells:
            if cell.cell_type == "code":
                number += 1
                cell.execution_count = number
        result[f"{name}.ipynb"] = new_notebook(cells=cells)
    return result


def own_code(student, text=MODELS):
    """Lines that only this student has written: the solution, with helper functions of the student's own."""
    lines = "".join(f"\n\ndef helper_{student}_{k}(value_{student}):\n"
                    f"    return value_{student} * {k} + len('student {student} line {k}')\n" for k in range(110))
    return text + lines


def complete(student, tmp, pictures=None):
    """The files of a complete hand-in: dict path -> bytes; ``pictures``: its results, by default ``own_results``."""
    code = {"models.py": own_code(student), "solver.py": own_code(student, SOLVER)}
    folder = Path(tmp, f"code_{student}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in code.items():
        (folder / name).write_text(text, encoding="utf-8")
    pictures = pictures or own_results(student)
    claims = "set,image,srgan_psnr,srgan_ssim\n" + "".join(
        f"Set5,{name},{psnr(picture, hr_of(name)):.6f},{ssim(picture, hr_of(name)):.6f}\n"
        for name, picture in pictures.items())
    files = {name: text.encode("utf-8") for name, text in code.items()}
    files |= {name: nbformat.writes(notebook).encode("utf-8")
              for name, notebook in notebooks(provenance.code_line(folder), student).items()}
    files |= {f"results/Set5/{name}.png": png(picture) for name, picture in pictures.items()}
    files |= {"report.md": REPORT.encode("utf-8"), "run/benchmark.csv": claims.encode("utf-8"),
              "handin.toml": f'student_id = "2026{student:04}"\nname = "同学{student}"\nrun = "mine"\n'.encode()}
    return files


def write_zip(path, files, **entries):
    """A zip file; ``entries`` are ready ZipInfo objects with their content, by any key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info, content in entries.values():
            archive.writestr(info, content)
    return path


# ---------------------------------------------------------------- one fault each

def without(files, *names):
    return {name: content for name, content in files.items() if name not in names}


def changed_notebook(files, name, change):
    notebook = nbformat.reads(files[name].decode("utf-8"), as_version=4)
    change(notebook)
    return {**files, name: nbformat.writes(notebook).encode("utf-8")}


def _not_run(notebook):
    notebook.cells[2].execution_count = None


def _out_of_order(notebook):
    notebook.cells[1].execution_count, notebook.cells[2].execution_count = 7, 3


def _with_error(notebook):
    notebook.cells[2].outputs += [new_output("error", ename="KeyError", evalue="'HR'", traceback=[])]


def _cleared(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []


def _no_table(notebook):
    notebook.cells[-1].outputs = [stream("nothing")]


def _no_declaration(notebook):
    notebook.cells[-1].source = 'declaration = """\n(write here) 在此填写\n"""\nprint(declaration.strip())'


def models_with(student, text, place="end"):
    """A student's own models.py with something at its beginning or its end."""
    own = own_code(student)
    return (text + "\n" + own if place == "begin" else own + "\n" + text).encode("utf-8")


# name -> (function files -> files, rule or flag by which it has to be found)
FAULTS = {
    "no_models": (lambda f: without(f, "models.py"), "files"),
    "not_run": (lambda f: changed_notebook(f, "test.ipynb", _not_run), "executed"),
    "out_of_order": (lambda f: changed_notebook(f, "train.ipynb", _out_of_order), "executed"),
    "error_in_cell": (lambda f: changed_notebook(f, "train.ipynb", _with_error), "errors"),
    "cleared": (lambda f: changed_notebook(f, "super_resolution.ipynb", _cleared), "figures"),
    "four_pictures": (lambda f: without(f, "results/Set5/bird.png"), "pictures"),
    "wrong_size": (lambda f: {**f, "results/Set5/baby.png": png(own_results(1)["bird"])}, "pictures"),
    "with_alpha": (lambda f: {**f, "results/Set5/head.png": png(np.dstack([hr_of("head"), hr_of("head")[..., :1]]))},
                   "pictures"),
    "not_an_image": (lambda f: {**f, "results/Set5/head.png": b"no image"}, "pictures"),
    "bicubic": (lambda f: {**f, "results/Set5/woman.png": png(imresize(imresize(hr_of("woman"), 1 / 4), 4))}, "copies"),
    "original": (lambda f: {**f, "results/Set5/woman.png": png(hr_of("woman"))}, "copies"),
    "no_table": (lambda f: changed_notebook(f, "test.ipynb", _no_table), "table"),
    "no_report": (lambda f: without(f, "report.md"), "files"),
    "half_a_report": (lambda f: {**f, "report.md": REPORT.partition("## 3")[0].encode("utf-8")}, "report"),
    "damaged_report": (lambda f: {**without(f, "report.md"), "report.docx": b"PK no document"}, "report"),
    "no_declaration": (lambda f: changed_notebook(f, "train.ipynb", _no_declaration), "declaration"),
    "with_weights": (lambda f: {**f, "checkpoints/best.pth": b"0" * 1000}, "nothing_else"),
    "other_code": (lambda f: {**f, "solver.py": f["solver.py"] + b"\nANOTHER = 1\n"}, "code"),
    "syntax_error": (lambda f: {**f, "models.py": b"def generator(:\n"}, "code"),
    "damaged_notebook": (lambda f: {**f, "test.ipynb": b"{"}, "figures"),
}

# name -> (code that is put into models.py, at its beginning or end)
HOSTILE = {
    "hangs": ("while True:\n    pass", "begin"),
    "exits_early": ("import os\nos._exit(0)", "begin"),
    "forks": ("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass", "begin"),
    "prints_a_forged_result": ("print('18 passed, 100 points')\nimport sys\nsys.exit(0)", "begin"),
    "patches_pytest_and_numpy": (
        "import numpy as np\nimport sys\nimport types\nsys.modules['pytest'] = types.ModuleType('pytest')\n"
        "np.abs = lambda x: 0 * x\nnp.all = lambda *a: True\nimport torch.nn as _n\n"
        "class Generator(_n.Module):\n    pass\nclass Discriminator(_n.Module):\n    pass\n"
        "class TruncatedVGG19(_n.Module):\n    pass", "end"),
    "eats_memory": ("x = []\nwhile True:\n    x.append(bytearray(2**27))", "begin"),
    "prints_without_end": ("while True:\n    print('x' * 10**6)", "begin"),
}


def write_class(folder, tmp, n=60, hostile=HOSTILE, faults=FAULTS):
    """n zip files; returns {file name: name of its fault or ""}."""
    made, names = {}, [*faults, *hostile]
    for student in range(n):
        files, fault = complete(student, tmp), names[student] if student < len(names) else ""
        if fault in faults:
            files = faults[fault][0](files)
        elif fault in hostile:
            files["models.py"] = models_with(student, *hostile[fault])
        path = folder / f"2026{student:04}.zip"
        write_zip(path, files)
        made[path.name] = fault
    return made


def manifest(files):
    import hashlib
    return {**files, MANIFEST: json.dumps({"student_id": "20260001", "name": "", "sha256": {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()}}).encode("utf-8")}

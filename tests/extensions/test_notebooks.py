"""The notebooks of extensions/: executed from the first cell to the last on a tiny scale, and as they are stored."""

import base64
import io
import json
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from extensions import onnx_export
from run_notebooks import Runner, set_parameters
from tests.helpers import ROOT, copy_kit, outputs_of

pytestmark = pytest.mark.xdist_group("extension notebooks")
FOLDER = ROOT / "extensions"
# Notebook -> (words of the course's questions that it answers, the number of its images).
NOTEBOOKS = {
    "a2n": (("why do most networks since EDSR use L1", "reasons to leave BatchNorm out", "Explain all eight images",
             "How many times more is it", "The phone's camera"), 7),
    "srdiff": (("Are PSNR and SSIM sensible", "fail on real photographs"), 9),
    "sr3": (("How can GANs such as SRGAN", "support several scales", "Now no gradients are computed"), 8),
    "compare": ((), 2)}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """A copy of the kit, without runs and data."""
    folder = tmp_path_factory.mktemp("kit")
    copy_kit(folder, "extensions", "weights")
    return folder


def execute(kit, name, added=None, **parameters):
    """The executed notebook; ``added``: (text of a cell, a cell to insert after it)."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    set_parameters(notebook, **parameters)
    if added:
        place = next(i for i, cell in enumerate(notebook.cells) if added[0] in cell.source)
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(added[1]))
    runner = Runner(notebook, name)
    runner.resources["metadata"]["path"] = str(kit / "extensions")        # where Jupyter begins
    runner.execute()
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs_of(notebook))
    assert not (kit / "extensions" / "runs").exists()
    return notebook


def text_of(notebook):
    return "".join(output.get("text", "") or output.get("data", {}).get("text/markdown", "")
                   for output in outputs_of(notebook))


def images_of(notebook):
    return [np.array(Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("L"))
            for output in outputs_of(notebook) if "image/png" in output.get("data", {})]


# ---------------------------------------------------------------- executed

@pytest.mark.slow
def test_a2n(kit):
    notebook = execute(kit, "a2n", preset="demo", data_folder="data/demo", run_name="tiny", seed=1, updates=6,
                       added=("config = extension_config(", "config.a2n.update(epochs=1, updates_per_epoch=2)"))
    text = text_of(notebook)
    assert "Nothing has been trained in runs/tiny yet" in text and "a2n-small-x4" in text
    assert "1,047,459" in text and "842,659" in text and "40 sub-images of 2040 x 1356" in text
    assert "tensors are loaded. 6 begin with random values" in text
    assert {path.name for path in (kit / "runs").glob("tiny*")} == {
        "tiny", "tiny-l1", "tiny-mse", "tiny-charbonnier", "tiny-x2", "tiny-x4-from-x2"}
    assert (kit / "runs/tiny/checkpoints/a2n_best.pth").exists()
    if onnx_export.missing():
        assert f"pip install {onnx_export.missing()}" in text
    else:
        assert int(re.search(r"largest difference from torch's image: (\d+) grey", text)[1]) <= 1


@pytest.mark.slow
def test_srdiff(kit):
    text = text_of(execute(kit, "srdiff", run_name="tiny-srdiff", seed=1, side=12, n_steps=2, steps_tried=(2, 4)))
    assert "Nothing has been trained in runs/tiny-srdiff yet" in text and "srdiff-small-x4" in text
    assert "13,234,022" in text and "25,316,358" in text
    assert (kit / "runs/shipped/figures/srdiff_protocols.csv").exists()
    assert float(re.search(r"after 100 steps: largest error ([\d.e+-]+)", text)[1]) < 1e-6
    assert float(re.search(r"between tiles and the whole: ([\d.e+-]+)", text)[1]) < 7.8e-3
    rows = [line for line in text.splitlines() if line.startswith("| bicubic") and "/" in line]
    assert len(re.findall(r"[\d.]+ dB / [\d.]+", rows[0])) == 3


@pytest.mark.long
def test_sr3(kit):
    text = text_of(execute(kit, "sr3", run_name="tiny-sr3", lesson_updates=2))
    assert "weights that come with the kit: `sr3-small-x4`" in text and "97,807,491" in text
    assert float(re.search(r"loss of trained weights ([\d.]+)", text)[1]) < 0.5


@pytest.mark.slow
def test_compare(kit):
    text = text_of(execute(kit, "compare", size=64, names=["a2n-small-x4", "sr3-small-x4"]))
    rows = [line.split("|")[1].strip() for line in text.splitlines() if re.match(r"\| [a-zH]", line)]
    assert rows == ["bicubic", "a2n-small-x4", "sr3-small-x4", "HR"]
    assert (kit / "runs/compare/methods.csv").exists() and len(list((kit / "runs/compare").glob("detail_*.png"))) == 2


# ---------------------------------------------------------------- as they are stored

@pytest.fixture(params=NOTEBOOKS)
def stored(request):
    return request.param, nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def test_the_stored_notebook_is_the_executed_one(stored):
    name, notebook = stored
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "hosted" in code[0].metadata.tags and "parameters" in code[1].metadata.tags
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs_of(notebook))
    text = json.dumps(notebook)
    assert "widget" not in text and not re.search(r"/(?:home|root|tmp|work|Users)/|[A-Z]:\\\\", text)


def test_its_images_are_not_blank(stored):
    name, notebook = stored
    images = images_of(notebook)
    assert len(images) == NOTEBOOKS[name][1] and all(image.std() > 10 for image in images)


def test_every_text_speaks_english_and_chinese_and_questions_have_answers(stored):
    name, notebook = stored
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for text in texts:
        assert len(re.findall(r"[\u4e00-\u9fff]", text)) >= 4 and re.search(r"[A-Za-z]{3}", text), text[:80]
        assert text.count("<details>") == text.count("</details>")
        if "<details>" in text:
            assert text.count("**Question") == text.count("**问题") == text.count("<details>"), text[:80]
        for answer in re.findall(r"<details>.*?</details>", text, flags=re.DOTALL):
            assert len(re.findall(r"[\u4e00-\u9fff]", answer)) >= 30
    answered = [text for text in texts if "<details>" in text]
    for words in NOTEBOOKS[name][0]:
        assert sum(words in text for text in answered) == 1, words
    # A number would be that of a list which the reader does not have.
    assert not [text[:80] for text in texts if re.search(r"\*\*(Question|问题) ?\d", text)]


def test_the_ten_questions_of_the_course_are_all_answered():
    assert sum(len(questions) for questions, _ in NOTEBOOKS.values()) == 10

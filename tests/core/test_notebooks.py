"""The three notebooks: executed from the first cell to the last on real photographs, and as they are stored."""

import csv
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from config import get_config
from run_notebooks import NOTEBOOKS, results_table, run_notebook
from support.settings import change
from tests.helpers import ROOT, copy_kit, outputs_of

pytestmark = pytest.mark.xdist_group("notebooks")
SHORT = ["pretrain.epochs=2", "pretrain.updates_per_epoch=4", "epochs=1", "updates_per_epoch=3", "print_freq=2",
         "pretrain.warmup=0"]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The kit in an empty folder, after its one command (with a few updates only)."""
    folder = tmp_path_factory.mktemp("kit")
    copy_kit(folder, "*.ipynb", "weights")
    done = subprocess.run([sys.executable, "run_notebooks.py", "--name", "short", "--set", *SHORT],
                          cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


@pytest.mark.parametrize("tagged", [True, False])
def test_what_a_former_run_has_stored_is_taken_out(tmp_path, monkeypatch, tagged):
    """A notebook stored with other parameters and changes: those of this run count, and nothing piles up."""
    monkeypatch.setattr("run_notebooks.HERE", tmp_path)
    monkeypatch.setattr("run_notebooks.Runner.execute", lambda self: None)
    cells = [new_code_cell("preset = 'demo'", metadata={"tags": ["parameters"]}), new_code_cell("import x"),
             new_code_cell("config = get_config(preset)"), new_code_cell("mine = 1")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "test.ipynb")
    for preset, batch in (("laptop", 4), ("course", 8)):
        run_notebook("test", tmp_path / "runs", changes=[f"batch_size = {batch}"], preset=preset)
        stored = nbformat.read(tmp_path / "runs/test.ipynb", as_version=4)
        for cell in stored.cells:                    # older kits gave the cell of changes no tag
            cell.metadata.update({} if tagged or cell.source == cells[0].source else {"tags": []})
        nbformat.write(stored, tmp_path / "test.ipynb")
    assert [cell.source for cell in stored.cells] == [
        "preset = 'demo'", "# Parameters of this run\npreset = 'course'", "import x", "config = get_config(preset)",
        "# Changes of this run\nconfig.batch_size = 8", "mine = 1"]
    plain = run_notebook("test", tmp_path / "runs")          # the demo, which injects nothing, is the demo again
    assert [cell.source for cell in plain.cells] == [cell.source for cell in cells]


@pytest.mark.slow
def test_the_command_ends_with_the_table_and_says_where_things_are(kit):
    folder, done = kit
    assert results_table(folder / "runs/short/benchmark.csv") in done.stdout
    for text in ("bicubic", "pre-trained", "SRGAN", "runs/short/results", "runs/short/train.ipynb"):
        assert text in done.stdout.replace("\\", "/")
    assert "Pre-training" in done.stderr and "[2/3] test.ipynb" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_executed_notebook_is_kept_with_outputs_that_survive(kit, name):
    notebook = nbformat.read(kit[0] / "runs/short" / f"{name}.ipynb", as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    kinds = {kind for output in outputs_of(notebook) for kind in output.get("data", {})}
    assert "image/png" in kinds and not any("widget" in kind for kind in kinds)
    assert not any(output.output_type == "error" for output in outputs_of(notebook))
    assert not any(output.output_type == "stream" and output.name == "stderr" for output in outputs_of(notebook))


@pytest.mark.slow
def test_the_run_folder_holds_what_the_design_says(kit):
    run = kit[0] / "runs/short"
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["pretrain"]["epochs"] == 2
    with open(run / "log.csv", encoding="utf-8", newline="") as file:
        log = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"], row["updates"]) for row in log] == [
        ("pretrain", "1", "4"), ("pretrain", "2", "8"), ("srgan", "1", "3")]
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert {"pretrain_last.pth", "pretrain_best.pth", "srgan_last.pth", "srgan_best.pth",
            "pretrain_epoch_001.safetensors", "srgan_epoch_001.safetensors"} <= names
    assert {"pretrain_000.png", "pretrain_002.png", "srgan_001.png", "hr.png"} <= {
        path.name for path in (run / "samples").iterdir()}


@pytest.mark.slow
def test_every_result_is_an_8_bit_rgb_png_of_exactly_the_hr_size(kit):
    folder, _ = kit
    for name in ("astronaut", "camera", "chelsea", "coffee", "rocket"):
        with Image.open(folder / "runs/short/results/demo" / f"{name}.png") as sr, \
                Image.open(folder / "data/demo/HR" / f"{name}.png") as hr:
            assert sr.format == "PNG" and sr.mode == "RGB"
            assert sr.size == (hr.width // 4 * 4, hr.height // 4 * 4)


@pytest.mark.slow
def test_benchmark_csv_has_an_image_a_row_and_agrees_with_the_pictures(kit):
    from metrics import psnr
    from support.images import read_image
    folder, _ = kit
    with open(folder / "runs/short/benchmark.csv", encoding="utf-8", newline="") as file:
        rows = {(row["set"], row["image"]): row for row in csv.DictReader(file)}
    assert len([key for key in rows if key[0] == "demo"]) == 5
    sr, hr = (read_image(folder / path)[0]
              for path in ("runs/short/results/demo/coffee.png", "data/demo/HR/coffee.png"))
    assert float(rows["demo", "coffee"]["srgan_psnr"]) == pytest.approx(psnr(sr, hr), abs=1e-5)


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_keeps_the_weights(kit):
    folder, _ = kit
    weights = folder / "runs/short/checkpoints/srgan_last.pth"
    before = weights.read_bytes()
    again = subprocess.run([sys.executable, "run_notebooks.py", "train", "--name", "short", "--set", *SHORT],
                           cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert again.returncode == 0, again.stderr[-3000:]
    assert weights.read_bytes() == before
    text = (folder / "runs/short/train.ipynb").read_text(encoding="utf-8")
    assert "This stage is complete" in text


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_what_was_shown_is_kept(kit):
    folder, _ = kit
    path = folder / "test.ipynb"
    before = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(3, nbformat.v4.new_code_cell("1 / 0"))
    try:
        nbformat.write(notebook, path)
        failed = subprocess.run([sys.executable, "run_notebooks.py", "test", "--name", "fails"], cwd=folder,
                                capture_output=True, text=True, encoding="utf-8", timeout=300)
    finally:
        path.write_bytes(before)
    assert failed.returncode == 1
    assert "test.ipynb stopped at this cell" in failed.stderr and "ZeroDivisionError" in failed.stderr
    assert (folder / "runs/fails/test.ipynb").exists()


@pytest.mark.slow
def test_an_error_that_says_it_all_is_printed_without_its_cell(kit):
    folder, _ = kit
    failed = subprocess.run(
        [sys.executable, "run_notebooks.py", "test", "--name", "nothing_trained", "--set", "scaling_factor=2"],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert failed.returncode == 1 and "There is no checkpoint" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    assert (folder / "runs/nothing_trained/test.ipynb").exists()


@pytest.mark.slow
def test_with_nothing_trained_the_kits_weights_are_shown_and_named(kit):
    folder, _ = kit
    done = subprocess.run([sys.executable, "run_notebooks.py", "super_resolution", "--name", "untrained"],
                          cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(folder / "runs/untrained/super_resolution.ipynb", as_version=4)
    assert "Nothing has been trained in runs/untrained yet" in json.dumps(notebook)
    assert sorted(path.name for path in (folder / "runs/shipped/results/demo").iterdir()) == [
        "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.png"]
    assert [path.name for path in (folder / "runs/untrained").iterdir()] == ["super_resolution.ipynb"]
    assert "runs/shipped/results" in done.stdout.replace("\\", "/")


@pytest.mark.parametrize("text, line", [
    ("batch_size=8", "batch_size = 8"), ("pretrain.lr=2e-4", "pretrain.lr = 0.0002"), ("D.fc_size=8", "D.fc_size = 8"),
    ("content_loss=mse", "content_loss = 'mse'"), ("vgg19_weights=a/b.pth", "vgg19_weights = 'a/b.pth'"),
    ("amp=None", "amp = None"), ("lr_milestones=[0.2, 0.4]", "lr_milestones = [0.2, 0.4]")])
def test_a_change_is_taken_as_a_value_or_as_a_word(text, line):
    assert "{} = {!r}".format(*change(get_config("demo"), text)) == line


@pytest.mark.parametrize("text", ["batchsize=8", "G.width=3", "lr=fast", "test", "H.a=1"])
def test_a_change_that_config_has_not_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(text.partition("=")[0])):
        change(get_config("demo"), text)


# ---------------------------------------------------------------- as stored in the repository

@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_stored_notebook_is_the_executed_demo(name):
    notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "hosted" in code[0].metadata.tags and "parameters" in code[1].metadata.tags
    assert [line.split(" =")[0] for line in code[1].source.splitlines()][:4] == [
        "preset", "data_folder", "run_name", "seed"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs_of(notebook))
    assert not any(output.output_type == "error" for output in outputs_of(notebook))
    text = json.dumps(notebook)
    assert "widget" not in text and not re.search(r"/(?:home|root|tmp|Users)/|[A-Z]:\\\\", text)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_markdown_cell_speaks_english_and_chinese(name):
    notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            chinese = len(re.findall(r"[\u4e00-\u9fff]", cell.source))
            assert chinese >= 4 and re.search(r"[A-Za-z]{3}", cell.source), cell.source[:80]


def test_the_pictures_in_the_stored_notebooks_are_not_blank():
    import base64
    import io
    for name in NOTEBOOKS:
        for output in outputs_of(nbformat.read(ROOT / f"{name}.ipynb", as_version=4)):
            if "image/png" in output.get("data", {}):
                image = np.array(Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("L"))
                assert image.std() > 10

"""Runs next to each other: what is shown comes from what they have left, the better value is marked, gaps are named."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import compare_figures
from support.compare_runs import compare_runs, comparison, main, marked, settings_that_differ
from support.files import write_csv
from support.records import LOG_COLUMNS
from support.run import save_config
from support.stored_run import RunMissing, StoredRun
from tests.helpers import noise, pixels, run_of, write_image

HEADER = ["set", "image", *(f"{method}_{measure}" for method in ("bicubic", "srgan")
                            for measure in ("psnr", "ssim", "niqe", "texture"))]


def make_run(config, name, psnr, images=("rocket", "suit"), **changes):
    """A run that has trained SRGAN and was measured on "valid"; ``psnr``: SRGAN's on each image."""
    own = run_of(config, name, **changes)
    save_config(own)
    row = dict.fromkeys(LOG_COLUMNS, "") | {"stage": "srgan", "content": 0.02, "d_real": 0.7, "d_sr": 0.3,
                                            "valid_ssim": 0.7}
    write_csv(Path("runs", name, "log.csv"), [LOG_COLUMNS, *(
        list((row | {"epoch": n, "updates": 10 * n, "valid_psnr": psnr - n}).values()) for n in (1, 2))])
    write_csv(Path("runs", name, "benchmark.csv"), [HEADER, *(
        ["valid", image, 25, 0.7, 9, 0.5, psnr, psnr / 40, psnr / 4, psnr / 20] for image in images)])
    for image, shape in (("rocket", (64, 56)), ("suit", (48, 64))):
        write_image(Path("runs", name, "results", "valid", f"{image}.png"), noise(*shape, seed=len(name)))
        write_image(Path("runs", name, "samples", "hr.png"), noise(16, 16, seed=1))
        write_image(Path("runs", name, "samples", "lr.png"), noise(4, 4, seed=1))
        write_image(Path("runs", name, "samples", "srgan_002.png"), noise(16, 16, seed=len(name)))
    return own


@pytest.fixture
def two(config):
    make_run(config, "one", 26, beta=1e-3)
    make_run(config, "other", 24, beta=5e-3, G=dict(config.G, n_blocks=2))
    return config


def test_settings_scores_and_squares_stand_next_to_each_other(two, capsys):
    page = compare_runs("one", "other").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    assert ["beta", "0.001", "0.005"] in cells and ["G.n_blocks", "1", "2"] in cells
    assert not [row for row in cells if row[0] in ("lr", "name", "G.n_channels")]          # they do not differ
    # 26 and 24 dB; SSIM, NIQE (lower is better) and texture (1 is best) as make_run has written them
    assert ["valid, 2 images", "SRGAN", "**26.00** / **0.6500**", "24.00 / 0.6000"] in cells
    assert ["valid, 2 images", "bicubic", "25.00 / 0.7000", "25.00 / 0.7000"] in cells      # alike: nothing is marked
    assert ["SRGAN", "NIQE ↓", "6.50", "**6.00**"] in cells
    assert ["SRGAN", "texture → 1", "1.30", "**1.20**"] in cells
    assert "no provenance.json" in printed and "benchmark.csv" not in printed
    assert page.count("data:image/png;base64,") == 4          # curves, two images, the fixed crop
    assert "<strong>26.00</strong>" in page and not re.search(r"(src|href)=\"(?!data:)", page)
    folder = Path("runs/compared/one_other")
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((.*?)\)", text)
    assert sorted(pictures) == ["curves.png", "fixed_crop.png", "valid_rocket_srgan.png", "valid_suit_srgan.png"]
    assert all(pixels(folder / name).std() > 10 for name in pictures)


def test_squares_show_the_same_place_of_both_runs_and_of_hr(two, monkeypatch):
    seen = {}
    monkeypatch.setattr(compare_figures, "comparison_figure",
                        lambda title, lr, versions, hr, scores, n: seen.update({title: (lr, versions, hr, scores)}))
    comparison([StoredRun(name) for name in ("one", "other")])
    lr, versions, hr, scores = seen["rocket, SRGAN"]
    assert lr.shape == (16, 14, 3) and hr.shape == (64, 56, 3) and list(versions) == ["bicubic", "one", "other"]
    for name in ("one", "other"):
        assert (versions[name] == pixels(Path("runs", name, "results/valid/rocket.png"))).all()
    assert scores["other"] == "24.00 dB / 0.6000"


def test_curves_hold_every_epoch_of_every_run(two):
    figure = compare_figures.curves_figure([StoredRun(name) for name in ("one", "other")])
    lines = {(axes.get_title(), line.get_label()): line.get_xydata().tolist() for axes in figure.axes
             for line in axes.lines}
    assert lines["SRGAN: validation PSNR (Y), dB", "one"] == [[10, 25], [20, 24]]
    assert lines["SRGAN: validation PSNR (Y), dB", "other"] == [[10, 23], [20, 22]]
    assert lines["D's probability of 'real'", "other, of SR"] == [[10, 0.3], [20, 0.3]]


def test_means_are_taken_over_the_images_that_both_runs_have(two, config):
    make_run(config, "short", 24, images=["suit"])
    write_csv(Path("runs/one/benchmark.csv"), [HEADER, ["valid", "rocket", 99, 0.9, 9, 0.5, 99, 0.9, 1, 1],
                                               ["valid", "suit", 25.5, 0.7, 9, 0.5, 26, 0.6, 1, 1]])
    text = "\n".join(text for _, text, _ in comparison([StoredRun(name) for name in ("one", "short")]))
    assert re.search(r"\| valid, 1 image +\| SRGAN +\| \*\*26.00\*\* / 0.6000 +\| 24.00 / 0.6000 ", text)
    assert "means over the 1 that all have" in text and "bicubic interpolation differs" in text      # 25.5 and 25


def test_what_a_run_lacks_is_said_in_a_line_each(two, capsys):
    for name in ("benchmark.csv", "log.csv"):
        Path("runs/other", name).unlink()
    shutil.rmtree("runs/one/samples")
    assert main(["one", "other"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert any("other has no benchmark.csv" in line and "run_name = 'other'" in line for line in lines)
    assert any("other has no log.csv" in line for line in lines)
    assert any("one has no samples/" in line for line in lines)
    assert len(lines) == len(set(lines)) == 5                # and no provenance.json, of both


@pytest.mark.parametrize("sheet", ["contact_sheet", "comparison_figure"])       # without HR, and with it
def test_a_result_that_was_not_measured_has_no_score_below_it(two, monkeypatch, sheet):
    Path("runs/other/benchmark.csv").unlink()
    shown = []
    monkeypatch.setattr(compare_figures, sheet, lambda *arguments, **options: shown.append(str(arguments)))
    if sheet == "contact_sheet":
        monkeypatch.setattr(StoredRun, "pair", lambda *_: None)
    compare_figures.squares([StoredRun("one"), StoredRun("other")])
    assert "26.00 dB / 0.6500" in shown[0] and "nan" not in re.sub(r"array\(.*?\)", "", shown[0], flags=re.DOTALL)


def test_another_machines_run_without_hr_still_shows_its_results(two):
    for name in ("one", "other"):
        path = Path("runs", name, "config.json")
        settings = json.loads(path.read_text(encoding="utf-8")) | {"csv_folder": "not/here"}
        path.write_text(json.dumps(settings), encoding="utf-8")
    *_, (_, _, pictures) = comparison([StoredRun(name) for name in ("one", "other")])
    assert set(pictures) == {"valid_rocket_srgan", "valid_suit_srgan", "fixed_crop"}


def test_runs_of_other_losses_scales_and_crops_are_not_compared_in_silence(two, config):
    make_run(config, "third", 25, content_loss="vgg", scaling_factor=2)
    write_image(Path("runs/third/samples/hr.png"), noise(16, 16, seed=9))
    text = "\n".join(text for _, text, _ in comparison([StoredRun(name) for name in ("one", "other", "third")]))
    for sentence in ("different factors (one: 4, other: 4, third: 2)", "content losses of SRGAN differ",
                     "fixed crops of one, other, third are of different images"):
        assert sentence in text


def test_runs_of_one_name_in_different_folders_are_told_apart(two, capsys):
    shutil.copytree("runs/other", "friend/one")
    page = compare_runs("one", "friend/one")
    assert page.as_posix() == "runs/compared/runs-one_friend-one/comparison.html"
    assert re.search(r"\| setting +\| runs/one +\| friend/one ", capsys.readouterr().out)


def test_a_setting_that_only_one_kit_knows_is_a_difference(two):
    runs = [StoredRun(name) for name in ("one", "other")]
    runs[0].settings["d_shift"], _ = 0, runs[1].settings.pop("d_shift", None)
    assert ["d_shift", "0", "–"] in settings_that_differ(runs)


def test_the_best_is_marked_as_it_reads():
    assert marked([28.444, 28.441, None], "{:.2f}".format, float) == ["28.44", "28.44", "–"]
    assert marked([28.444, 28.441, 28.4], "{:.2f}".format, float) == ["**28.44**", "**28.44**", "28.40"]
    assert marked([None, None], "{:.2f}".format, float) == ["–", "–"]
    assert marked([np.pi, None], "{:.2f}".format, float) == ["3.14", "–"]


def test_a_run_that_is_not_there_and_a_broken_file_are_named(two, capsys):
    with pytest.raises(RunMissing, match="runs/nowhere holds no run.*one, other"):
        compare_runs("one", "nowhere")
    assert main(["one"]) == 2 and "two runs or more" in capsys.readouterr().err
    Path("runs/one/log.csv").write_text("stage;epoch\nsrgan;1\n", encoding="utf-8")
    assert main(["one", "other"]) == 2 and "runs/one/log.csv: its first row has no column" in capsys.readouterr().err
    Path("runs/one/config.json").write_text("{", encoding="utf-8")
    assert main(["one", "other"]) == 2 and "runs/one/config.json cannot be read" in capsys.readouterr().err

"""The benchmarks measure what they say, on small things."""

import csv
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import solver
from benchmarks import __main__ as command
from benchmarks import common, diffusion, measure, model_card, natural_scenes, pictures, plain, quality, results
from datasets import SRDataset, make_loader
from imresize import imresize
from inference import load_generator
from metrics import psnr, ssim
from models import Generator
from support import naturalness
from support.checkpoints import read_metadata, save_generator
from support.images import read_image
from tests.benchmarks.bench_stubs import prepare_failure, prepare_work
from tests.helpers import photo, tiny_config, write_image, write_list, write_set


@pytest.mark.slow
def test_two_ways_take_turns_in_processes_of_their_own():
    after = []
    result = measure.side_by_side((prepare_work, 0.05, 2**20), (prepare_work, 0.2, 2**28), pairs=5,
                                  after_pair=lambda: after.append(0))
    (first, ours), (second, theirs) = result["values"]
    assert (ours, theirs) == (2**20, 2**28) and len({first, second, os.getpid()}) == 3
    assert len(result["seconds"]) == len(after) == 5
    assert result["ratio"] > 1.5 and result["ours"] >= 0.05 and result["plain"] >= 0.2
    if sys.platform != "win32":                   # where the peak of a process is not measured
        assert result["memory"][0] < 2**26 and 0.8 * 2**28 < result["memory"][1] < 1.2 * 2**28


@pytest.mark.slow
def test_a_way_that_fails_says_why():
    with pytest.raises(RuntimeError, match="this cannot be prepared"):
        measure.Way(prepare_failure)


def test_the_same_numbers_are_asked_for():
    assert common.check_same([(1.0, 2.0), (1.0, 2.00001)]) <= 1e-5
    with pytest.raises(AssertionError, match="differ"):
        common.check_same([1.0, 1.0001])


def test_mosaics_are_photographs_and_always_the_same():
    first, again, other = measure.mosaic(0, 300, 500), measure.mosaic(0, 300, 500), measure.mosaic(1, 300, 500)
    assert first.shape == (300, 500, 3) and np.array_equal(first, again) and not np.array_equal(first, other)
    neighbours = np.abs(np.diff(first.astype(int), axis=1)).mean()
    assert 2 < neighbours < 15                                   # noise would have about 85


def test_bounds_are_judged():
    row = common.Row("a", 1.2, "x", 1.3, "")
    assert command.reached(row) == "NOT reached" and command.reached(row._replace(value=1.3)) == "reached"
    limit = common.Row("a", 2.5, "GB", -3, "")
    assert command.reached(limit) == "reached" and command.reached(limit._replace(value=3.1)) == "NOT reached"
    assert command.bound(limit) == "at most 3 GB" and command.bound(row) == "at least 1.3 x"
    assert command.reached(row._replace(bound=0, value=0)) == "reached"
    assert command.reached(row._replace(bound=None)) == ""


def test_the_table_is_printed_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(command.PARTS, "resize", lambda work: [common.Row("resizing", 5.0, "x", 4, "how it was")])
    command.main(["resize", "--json", str(tmp_path / "speed.json")])
    row = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["rows"][0]
    assert row == {"part": "resize", "what": "resizing", "value": 5.0, "unit": "x", "bound": 4, "note": "how it was",
                   "reached": "reached"}
    assert "| resizing | 5.00 x   | at least 4 x | reached | how it was |" in capsys.readouterr().out


def test_an_unknown_part_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["stepp"])
    assert "there is no part 'stepp'" in capsys.readouterr().err


def test_the_operations_of_a_step_are_three_times_those_of_the_network():
    """Forward once; backward once for the weights and once for the features, the first layer's excepted."""
    torch.manual_seed(0)
    network = Generator(9, 3, 8, 1)
    x, side = torch.rand(2, 3, 6, 6), 36

    def convolution(kernel, c_in, c_out, pixels):
        return 2 * 2 * pixels * kernel * kernel * c_in * c_out           # two images; a product and a sum
    first = convolution(9, 3, 8, side)
    others = (3 * convolution(3, 8, 8, side) + convolution(3, 8, 32, side) + convolution(3, 8, 32, 4 * side)
              + convolution(9, 8, 3, 16 * side))
    counted = common.operations(lambda: plain.plain_layers(network)(x).sum().backward())
    assert counted == 2 * first + 3 * others


def test_the_gathering_resize_is_imresize():
    image = photo("coffee.png", 100, 200, 61, 83)
    for scale in (0.25, 4):
        assert np.array_equal(plain.gather_resize(image, scale), imresize(image, scale))


@pytest.mark.slow
def test_quality_is_measured_after_each_epoch(own_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_set(own_data, "Set5", {"cup": photo("coffee.png", 100, 200, 40, 48)})
    config = tiny_config(own_data)
    rows = quality.measured(config, quality.train(config), seconds=6.0, ratio=3.0)
    assert [row[:3] for row in rows] == [(0, 0, 0), (10, 1, 3), (20, 2, 6)]
    assert 0 == rows[0][3] <= rows[1][3] <= rows[2][3] < 1
    assert len({row[6] for row in rows}) == 3 and rows[0][4] == pytest.approx(
        quality.mean_of(quality.evaluate(lambda lr: imresize(lr, 4), SRDataset("valid", config)))[0])
    path = tmp_path / "quality_tiny.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([quality.COLUMNS, *rows])
    labels = [line.get_label() for line in quality.figure([path]).axes[0].lines]
    assert labels[0].startswith("tiny: ") and "plain loop" in labels[1] and labels[2].startswith("bicubic: ")
    for prepare in (quality.prepare_ours, quality.prepare_plain):
        prepare(config, n_updates=1)()


def test_the_whole_command_that_measures_quality(own_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_set(own_data, "Set5", {"cup": photo("coffee.png", 100, 200, 40, 48)})
    quality.main(["--data", str(own_data), "--preset", "demo", "--name", "tiny", "--set", "crop_size=16",
                  "patch_num=10", "pretrain.batch_size=4", "pretrain.epochs=2", "G.n_channels=4",
                  "G.n_blocks=1"], apart=False)
    said, folder = capsys.readouterr().out, tmp_path / "runs" / "benchmarks"
    assert "in the plain loop" in said and "| plain_minutes |" in said
    with open(folder / "quality_tiny.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["updates"] for row in rows] == ["0", "10", "20"] and tuple(rows[0]) == quality.COLUMNS
    assert (folder / "quality.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_setting_ends_the_command_that_measures_quality(capsys):
    with pytest.raises(SystemExit):
        quality.main(["--data", "data", "--set", "bach_size=4"])
    assert "bach_size" in capsys.readouterr().err


# ---------------------------------------------------------------- results and model cards

@pytest.fixture
def small_weights(tmp_path, monkeypatch):
    """weights/ with one tiny generator of each kind, in place of the kit's."""
    folder = tmp_path / "weights"
    monkeypatch.setattr("support.checkpoints.WEIGHTS", folder)
    for seed, (name, stage) in enumerate({"srresnet-x4": "pretrain", "srgan-x4": "srgan"}.items()):
        torch.manual_seed(seed)
        generator = Generator(3, 3, 4, 1, 4).start_as_interpolation()
        save_generator(folder / f"{name}.safetensors", generator, stage=stage)
    return folder


def run_results(*arguments, **options):
    results.main(arguments, timed=(16, 20), **options)


@pytest.mark.slow
def test_the_results_have_a_row_a_method_and_say_what_is_not_here(tmp_path, monkeypatch, small_weights, capsys):
    monkeypatch.chdir(tmp_path)
    hr = photo("coffee.png", 100, 200, 64, 80)
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data" / "DIV2K_valid_HR" / "0801.png", hr)
    write_image(tmp_path / "data" / "LR" / "0801x4.png", imresize(hr, 1 / 4))
    write_list(tmp_path / "data", "valid", [("DIV2K_valid_HR/0801.png", "LR/0801x4.png")])
    run_results("--data", "data")
    text = (tmp_path / "runs/benchmarks/results.md").read_text(encoding="utf-8")
    sr = imresize(imresize(hr, 1 / 4), 4)
    row = next(line for line in text.splitlines() if line.startswith("| bicubic "))
    assert f"{psnr(sr, hr):.2f} / {ssim(sr, hr):.4f}" in row
    for name in ("`srresnet-x4` ", "`srresnet-x4`, self-ensemble", "`srgan-x4` ", "bicubic, published",
                 "SRResNet (paper)"):
        assert f"| {name}" in text
    assert "`srgan-x4`, self-ensemble" not in text and "| 0.00 M " in text
    assert "| Urban100 " in text and "--download benchmark" in text and "Set5 is not here" in text
    with open(tmp_path / "runs/benchmarks/results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["bicubic", "`srresnet-x4`", "`srresnet-x4`, self-ensemble",
                                               "`srgan-x4`"]
    assert all(row["psnr_colour"] == row["psnr"] and row["ssim_colour"] == row["ssim"] for row in rows)      # no grey
    assert text.splitlines()[0] in capsys.readouterr().out


def test_the_pictures_of_the_readme_are_squares_at_a_whole_zoom(tmp_path, monkeypatch, small_weights):
    monkeypatch.setattr(pictures, "DOCS", tmp_path)
    monkeypatch.setattr(pictures, "photograph", lambda name: photo("gravel.png", 0, 0, 68, 72))
    pictures.main()
    image, _ = read_image(tmp_path / "demo.png")
    assert image.shape[1] >= 5 * 64 * 3 and image.shape[0] >= 3 * 64 * 3
    last = image[17:17 + 192, 4 * 200:4 * 200 + 192]                      # the original, below the titles
    assert (last[::3, ::3].repeat(3, axis=0).repeat(3, axis=1) == last).all()
    assert (tmp_path / "interpolation.png").exists()


def test_weights_of_one_network_have_one_time(monkeypatch):
    """A README once gave two times for one upscaling: those of two files of the same network."""
    timed = []

    def method(name, channels):
        return lambda lr: timed.append(name), Generator(3, 3, channels, 1, 4)
    methods = {"bicubic": (None, None), "a": method("a", 4), "b": method("b", 8), "c": method("c", 4)}
    seconds = results.seconds_of(methods, (8, 8), repeats=2)
    assert timed == ["a", "b", "a", "b"] and list(seconds) == ["a", "b", "c"] and seconds["a"] == seconds["c"]


def test_set14_has_two_columns_and_each_published_score_stands_in_its_own():
    rows = [("baboon", 22.0, 0.5, (22.0, 0.5)), ("bridge", 24.0, 0.6, (25.5, 0.625))]
    measured = {("Set5", "`a`"): [("baby", 31.0, 0.875, (31.0, 0.875))], ("Set14", "`a`"): rows}
    text = results.as_text(measured, {}, ["Set5", "Set14", "B100"], {})
    table = [[value.strip() for value in line.strip("|").split("|")] for line in text.split("\n\n")[0].splitlines()]
    assert table[0][1:5] == ["Set5", "Set14", "Set14, colour formula", "B100"]
    by_method = {row[0]: row[1:5] for row in table[2:]}
    assert by_method["`a`"] == ["31.00 / 0.8750", "23.00 / 0.5500", "23.75 / 0.5625", ""]
    assert by_method["bicubic, published"][1:3] == ["26.00 / 0.7027", ""]
    assert by_method["SRResNet (paper)"][1:3] == ["28.49 / 0.8184", ""]
    assert by_method["EDSR-baseline, published"] == ["32.09 / 0.8938", "", "28.58 / 0.7813", "27.57 / 0.7357"]
    short = results.in_short(text).splitlines()[0]
    assert "Set14 " in short and "colour" not in short and "B100" not in short and "parameters" in short


@pytest.mark.parametrize("arguments, fault", [
    (["--data", "nowhere"], "no folder nowhere"), (["--data", ".", "--write", "--sets", "Set14"], "all sets"),
    (["--data", ".", "--write"], "needs Set5")])
def test_tables_of_the_docs_are_not_cut_down(tmp_path, monkeypatch, small_weights, capsys, arguments, fault):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_results(*arguments)
    assert fault in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "runs").exists()


def test_no_result_without_the_published_bicubic_score(tmp_path, monkeypatch, small_weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_set(tmp_path / "data", "Set5", {"cup": photo("coffee.png", 100, 200, 64, 80)})
    with pytest.raises(SystemExit, match="Set5: bicubic gives .* instead of the published 28.42"):
        run_results("--data", "data")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_pages_are_updated_where_they_are_marked(benchmark, tmp_path, monkeypatch, small_weights):
    """--write, on copies of the pages."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for name, hr, lr in benchmark["Set5"]:
        for kind, path in (("HR", hr), ("LR", lr)):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "data" / kind / f"{name}.png")
        rows.append((f"HR/{name}.png", f"LR/{name}.png"))
    write_list(tmp_path / "data", "Set5", rows)
    pages = [*results.PAGES, "docs/results.zh-CN.md"]
    for page in pages:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(results.ROOT / page, tmp_path / page)
    run_results("--data", "data", "--write", root=tmp_path)
    for page in pages:
        text = (tmp_path / page).read_text(encoding="utf-8")
        new = text.partition("<!-- begin results -->")[2].partition("<!-- end results -->")[0]
        assert len(re.findall(r"^\| (?:bicubic|双三次) +\| 28.43 / 0.8111 \|", new, re.MULTILINE)) == 1, page
        assert "0.00 M" in new and "`srresnet-small-x4`" not in new, page
        if "zh-CN" in page:
            assert not [english for english in results.CHINESE if english in new]
    rows = (tmp_path / "docs/results.md").read_text(encoding="utf-8").partition("<!-- begin interpolation -->")[2]
    assert len(re.findall(r"^\| (?:0|0\.25|0\.5|0\.75|1|HR) +\|", rows, re.MULTILINE)) == 6
    assert (tmp_path / "docs" / "interpolation.png").read_bytes().startswith(b"\x89PNG")


def test_a_set_is_div2k_s_only_by_its_folder(data, tmp_path):
    assert not results.is_there("valid", tiny_config(data))
    assert not results.is_there("Set5", tiny_config(data))


def test_a_text_is_put_between_its_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin results -->\nold\n<!-- end results -->\nafter 图\n", encoding="utf-8")
    for text in ("new \\1\nlines", "newer"):
        results.write_between(page, "results", text)
        assert page.read_text(encoding="utf-8") == (
            f"before\n<!-- begin results -->\n{text}\n<!-- end results -->\nafter 图\n")
    with pytest.raises(ValueError, match="begin other"):
        results.write_between(page, "other", "text")


def test_the_pages_of_the_kit_have_the_marks():
    for page in results.PAGES:
        text = (results.ROOT / page).read_text(encoding="utf-8")
        for name in ("results", "interpolation") if page == "docs/results.md" else ("results",):
            assert len(re.findall(rf"<!-- begin {name} -->\n.*?\n<!-- end {name} -->", text, re.DOTALL)) == 1, page


def test_the_chinese_page_is_brought_up_to_date(tmp_path):
    page, twin = tmp_path / "page.md", tmp_path / "page.zh-CN.md"
    page.write_text("<!-- begin results -->\n| bicubic | 1.5 |\n<!-- end results -->\n", encoding="utf-8")
    twin.write_text("前\n<!-- begin results -->\n\n<!-- end results -->\n后\n", encoding="utf-8")
    results.write_twin(page)
    assert twin.read_text(encoding="utf-8") == (
        "前\n<!-- begin results -->\n| 双三次 | 1.5 |\n<!-- end results -->\n后\n")
    page.write_text("<!-- begin other -->\n1\n<!-- end other -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="begin other"):
        results.write_twin(page)


def test_each_table_of_the_chinese_results_is_the_english_one():
    """A failure: run python -m benchmarks.results --twin; for words that stayed English, extend results.CHINESE."""
    page = results.ROOT / "docs/results.md"
    english, chinese = map(results.between_marks, (page, page.with_suffix(".zh-CN.md")))
    assert list(english) == list(chinese) == [
        "results", "grey", "perceptual", "sources", "full-size", "interpolation"]
    for name, text in english.items():
        assert chinese[name] == results.in_chinese(text), name
        words = re.findall(r"(?<![A-Za-z])[a-z]{3,}(?![A-Za-z0-9])", re.sub(r"`[^`]*`", "", chinese[name]))
        assert set(words) <= {"alpha", "baseline", "torch"}, name
    # No score is typed by hand: all are between marks.  ("Up to 3 dB" is none.)
    text = page.with_suffix(".zh-CN.md").read_text(encoding="utf-8")
    text = re.sub(r"<!-- begin.*?<!-- end", "", text, flags=re.DOTALL)
    assert not re.findall(r"\d\.\d+ (?:dB|秒|s)|0\.\d{3}", text)


def test_the_readmes_have_a_few_rows_of_the_table_with_its_machine():
    short = results.in_short(results.between_marks(results.ROOT / "docs/results.md")["results"])
    assert results.between_marks(results.ROOT / "README.md")["results"] == short
    assert results.between_marks(results.ROOT / "README.zh-CN.md")["results"] == results.in_chinese(short)
    whole, measured_on = short.split("\n\n")
    header, _, *rows = [[value.strip() for value in line.split("|")[1:-1]] for line in whole.splitlines()]
    assert [row[0] for row in rows] == list(results.IN_SHORT)
    assert header[1:3] == ["Set5", "Set14"] and len(header) == 5
    assert re.fullmatch(r"Upscaled in: .+, \d+ threads, torch .+\.", measured_on)


@pytest.mark.slow
def test_weights_are_made_of_a_run_with_a_card(config, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SRGAN_KIT_COMMAND", "run_notebooks.py train --name tiny")
    torch.manual_seed(0)
    generator = Generator(config).start_as_interpolation()
    loader = make_loader(SRDataset("train", config), config.batch_size)
    solver.fit_pretrain(config, generator, loader, SRDataset("valid", config))
    model_card.main(["tiny-x4", "--run", "runs/tiny", "--stage", "pretrain", "--data", str(data), "--sets", "valid",
                     "--images", "four photographs", "--machine", "a machine", "--note", "A trial.",
                     "--lists", "--train-hr photos"], tmp_path / "weights")
    path = tmp_path / "weights" / "tiny-x4.safetensors"
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    n = sum(p.numel() for p in generator.parameters())
    for text in ("A trial.", f"{n:,} parameters", "four photographs (4 in the list", "batch_size 4", "| 20 ",
                 hashlib.sha256(path.read_bytes()).hexdigest(), "python run_notebooks.py train --name tiny",
                 "self-ensemble", "create_data_lists.py --train-hr photos", "in 1 sitting,",
                 read_metadata(path)["facts"]["data_sha256"]):
        assert text in card, text
    trained = load_generator(tmp_path / "runs/tiny/checkpoints/pretrain_best.pth")
    shipped = load_generator(path)
    for value, other in zip(trained.state_dict().values(), shipped.state_dict().values(), strict=True):
        assert torch.allclose(value, other, rtol=1e-3, atol=1e-6)
    facts = read_metadata(path)["facts"]
    assert facts["updates"] == 20 and facts["seed"] == 3 and facts["recipe"]["crop_size"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("method, steps, walk", [("srdiff", "3", "DDIM, 3 steps"), ("sr3", "2", "DDIM, 2 steps"),
                                                 ("srdiff", "0", "DDPM, 100 steps")])
def test_both_ways_of_diffusion_compute_the_same(method, steps, walk, capsys):
    diffusion.main([method, "--preset", "demo", "--steps", steps, "--side", "32", "--repeats", "1", "--device", "cpu"])
    said = capsys.readouterr().out
    assert said.count("| kit ") == said.count("| plain ") == 2 and f"32 x 32, {walk}" in said


def test_compiled_networks_have_a_row_of_their_own(monkeypatch, capsys):
    """torch.compile itself would take a minute."""
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: compiled.append(type(network).__name__))
    diffusion.main(["srdiff", "--preset", "demo", "--steps", "2", "--side", "32", "--repeats", "1", "--compile",
                    "--device", "cpu"])
    assert compiled == ["UNet"] and capsys.readouterr().out.count("| kit, torch.compile ") == 2


def test_attention_in_the_plain_way_is_the_same_attention():
    torch.manual_seed(0)
    layer, x = diffusion.sr3.Attention(16, 4), torch.randn(2, 16, 5, 7)
    fast = layer(x)
    layer.__class__ = diffusion.PlainAttention
    assert torch.allclose(layer(x), fast, atol=1e-5)


def test_ways_of_diffusion_that_differ_are_not_timed(monkeypatch):
    sample = diffusion.plain_sample
    monkeypatch.setattr(diffusion, "plain_sample", lambda network, lr: sample(network, lr) + 0.01)
    with pytest.raises(SystemExit, match="differ by 1.0"):
        diffusion.main(["srdiff", "--preset", "demo", "--steps", "3", "--side", "32", "--repeats", "1",
                        "--device", "cpu"])


# ---------------------------------------------------------------- the parameters of NIQE

def test_niqe_is_made_from_the_sharp_blocks_of_photographs(tmp_path, capsys):
    rng = np.random.default_rng(0)
    # three blocks of 96 x 96 in a row: strong noise, a little weaker, weak
    image = np.repeat(rng.normal(128, 1, (96, 288)), 3).reshape(96, 288, 3)
    image[:, :96] += 40 * rng.normal(size=(96, 96, 1))
    image[:, 96:192] += 36 * rng.normal(size=(96, 96, 1))
    write_image(tmp_path / "photos/a.png", image.clip(0, 255).astype(np.uint8))
    write_image(tmp_path / "photos/b.png", image[:, ::-1].clip(0, 255).astype(np.uint8))
    (tmp_path / "photos/readme.txt").write_text("not an image", encoding="utf-8")
    natural_scenes.main([str(tmp_path / "photos"), "--out", str(tmp_path / "made.npz")])
    assert "4 blocks" in capsys.readouterr().out             # the weak one of each image does not count
    mean, covariance = naturalness.read_parameters(tmp_path / "made.npz")
    assert mean.shape == (36,) and np.allclose(covariance, covariance.T)
    # white noise has Gaussian coefficients: shape 2 (a little more after the division by the local deviation)
    assert 2 < mean[0] < 3.5


def test_the_public_parameters_of_niqe_are_read_too(tmp_path):
    np.savez(tmp_path / "public.npz", mu_pris_param=np.arange(36.0)[None], cov_pris_param=np.eye(36))
    mean, covariance = naturalness.read_parameters(tmp_path / "public.npz")
    assert (mean == np.arange(36)).all() and (covariance == np.eye(36)).all()
    np.savez(tmp_path / "other.npz", mean=np.zeros(36))
    with pytest.raises(ValueError, match="no parameters of NIQE"):
        naturalness.read_parameters(tmp_path / "other.npz")


# ---------------------------------------------------------------- all of them

def test_every_command_of_the_benchmarks_is_run_by_a_test():
    """The parts of the speed table are in test_parts.py."""
    here = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py"))
    for path in sorted(Path(command.__file__).parent.glob("*.py")):
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
            name = "command" if path.stem == "__main__" else path.stem
            assert f" {name}.main(" in here, f"no test runs {path.name}"

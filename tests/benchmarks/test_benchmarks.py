"""The benchmarks measure what they say, on small things."""

import csv
import hashlib
import json
import os
import re
import sys

import numpy as np
import pytest
import torch

import solver
from benchmarks import __main__ as command
from benchmarks import common, cuda, diffusion, measure, plain, quality, results, ship
from checkpoints import load_generator, read_metadata, save_generator
from datasets import SRDataset, make_loader
from imresize import imresize
from metrics import psnr, ssim
from models import Discriminator, Generator, TruncatedVGG19
from tests.benchmarks.bench_stubs import prepare_failure, prepare_work
from tests.helpers import photo, tiny_config, write_image, write_list, write_set


@pytest.mark.slow
def test_two_ways_take_turns_in_processes_of_their_own():
    beside = []
    result = measure.side_by_side((prepare_work, 0.05, 2**20), (prepare_work, 0.2, 2**28), pairs=5,
                                  beside=lambda: beside.append(0))
    (first, ours), (second, theirs) = result["values"]
    assert (ours, theirs) == (2**20, 2**28) and len({first, second, os.getpid()}) == 3
    assert len(result["seconds"]) == len(beside) == 5
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
    monkeypatch.setattr(sys, "argv", ["benchmarks", "resize", "--json", str(tmp_path / "speed.json")])
    command.main()
    row = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["rows"][0]
    assert row == {"part": "resize", "what": "resizing", "value": 5.0, "unit": "x", "bound": 4, "note": "how it was",
                   "reached": "reached"}
    assert "| resizing | 5.00 x   | at least 4 x | reached | how it was |" in capsys.readouterr().out


def test_an_unknown_part_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "stepp"])
    with pytest.raises(SystemExit):
        command.main()
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
def test_the_table_of_a_card_is_made_of_the_steps_that_train(data, monkeypatch):
    """The same code on the CPU, in bfloat16: no card is needed to know that it runs."""
    def tiny_networks():
        torch.manual_seed(0)
        return Generator(5, 3, 4, 1), Discriminator(3, 4, 4, 8), TruncatedVGG19(1, 1, weights="random")
    monkeypatch.setattr(cuda, "full_networks", tiny_networks)
    monkeypatch.setattr(cuda, "data_config", lambda folder: tiny_config(folder, patch_num=100))
    monkeypatch.setattr(common, "data_config", cuda.data_config)
    monkeypatch.setattr(cuda, "SECONDS", 0.05), monkeypatch.setattr(cuda, "UPDATES", 10)
    monkeypatch.setattr(cuda, "matrix_rate", lambda *_, **__: 1e9)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    rows = cuda.table_of(data, "cpu", "a CPU", "bf16", workers=0)
    assert [row.what.split(" on ")[0] for row in rows[::4]] == ["pre-training"] * 2 + ["SRGAN"] * 2
    assert all(row.value > 0 for row in rows) and all(row.value < 100 for row in rows[3::4])


@pytest.mark.slow
def test_quality_is_measured_after_each_epoch(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    write_set(folder, "Set5", {"cup": photo("coffee.png", 100, 200, 40, 48)})
    for split in ("train", "valid"):
        text = (data / f"{split}_images.csv").read_text(encoding="utf-8")
        (folder / f"{split}_images.csv").write_text(text, encoding="utf-8")
    config = tiny_config(folder, HR_data_folder=str(data), LR_data_folder=str(data))
    real = quality.SRDataset

    def dataset(split, config):       # Set5 lies elsewhere
        return real(split, config if split != "Set5" else tiny_config(folder))
    monkeypatch.setattr(quality, "SRDataset", dataset)
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


# ---------------------------------------------------------------- results and model cards

@pytest.fixture
def small_weights(tmp_path, monkeypatch):
    """weights/ with one tiny generator of each kind, in place of the kit's."""
    folder = tmp_path / "weights"
    monkeypatch.setattr("checkpoints.WEIGHTS", folder)
    for seed, (name, stage) in enumerate({"srresnet-x4": "pretrain", "srgan-mse-x4": "srgan"}.items()):
        torch.manual_seed(seed)
        generator = Generator(3, 3, 4, 1, 4).start_as_interpolation()
        save_generator(folder / f"{name}.safetensors", generator, stage=stage)
    return folder


def run_results(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["results", *map(str, arguments)])
    monkeypatch.setattr(results, "SIDE", (16, 20))
    results.main()


@pytest.mark.slow
def test_the_results_have_a_row_a_method_and_say_what_is_not_here(tmp_path, monkeypatch, small_weights, capsys):
    monkeypatch.chdir(tmp_path)
    hr = photo("coffee.png", 100, 200, 64, 80)
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data" / "DIV2K_valid_HR" / "0801.png", hr)
    write_image(tmp_path / "data" / "LR" / "0801x4.png", imresize(hr, 1 / 4))
    write_list(tmp_path / "data", "valid", [("DIV2K_valid_HR/0801.png", "LR/0801x4.png")])
    run_results(monkeypatch, "--data", "data")
    text = (tmp_path / "runs/benchmarks/results.md").read_text(encoding="utf-8")
    sr = imresize(imresize(hr, 1 / 4), 4)
    row = next(line for line in text.splitlines() if line.startswith("| bicubic "))
    assert f"{psnr(sr, hr):.2f} / {ssim(sr, hr):.4f}" in row
    for name in ("`srresnet-x4` ", "`srresnet-x4`, self-ensemble", "`srgan-mse-x4` ", "bicubic, published",
                 "SRResNet (paper)"):
        assert f"| {name}" in text
    assert "`srgan-mse-x4`, self-ensemble" not in text and "| 0.00 M " in text
    assert "| Urban100 " in text and "--download benchmark" in text and "Set5 is not here" in text
    with open(tmp_path / "runs/benchmarks/results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["bicubic", "`srresnet-x4`", "`srresnet-x4`, self-ensemble",
                                               "`srgan-mse-x4`"]
    assert text.splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize("arguments, fault", [
    (["--data", "nowhere"], "no folder nowhere"), (["--data", ".", "--write", "--sets", "Set14"], "all sets"),
    (["--data", ".", "--write"], "needs Set5")])
def test_tables_of_the_docs_are_not_cut_down(tmp_path, monkeypatch, small_weights, capsys, arguments, fault):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_results(monkeypatch, *arguments)
    assert fault in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "runs").exists()


def test_no_result_without_the_published_bicubic_figure(tmp_path, monkeypatch, small_weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_set(tmp_path / "data", "Set5", {"cup": photo("coffee.png", 100, 200, 64, 80)})
    with pytest.raises(SystemExit, match="Set5: bicubic gives .* instead of the published 28.42"):
        run_results(monkeypatch, "--data", "data")
    assert not (tmp_path / "runs").exists()


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
    for page, names in (("docs/results.md", ["results", "interpolation"]), ("README.md", ["results"]),
                        ("README.zh-CN.md", ["results"])):
        text = (results.ROOT / page).read_text(encoding="utf-8")
        for name in names:
            assert len(re.findall(rf"<!-- begin {name} -->\n.*?\n<!-- end {name} -->", text, re.DOTALL)) == 1, page


@pytest.mark.slow
def test_weights_are_made_of_a_run_with_a_card(config, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setenv("SRGAN_KIT_COMMAND", "run_notebooks.py train --name tiny")
    torch.manual_seed(0)
    generator = Generator(config).start_as_interpolation()
    loader = make_loader(SRDataset("train", config), config.batch_size)
    solver.fit_pretrain(config, generator, loader, SRDataset("valid", config))
    monkeypatch.setattr(sys, "argv", ["ship", "tiny-x4", "--run", "runs/tiny", "--stage", "pretrain", "--data",
                                      str(data), "--sets", "valid", "--images", "four photographs", "--machine",
                                      "a machine", "--note", "A trial.", "--lists", "--train-hr photos"])
    ship.main()
    path = tmp_path / "weights" / "tiny-x4.safetensors"
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    n = sum(p.numel() for p in generator.parameters())
    for text in ("A trial.", f"{n:,} parameters", "four photographs (4 in the list", "batch_size 4", "| 20 ",
                 hashlib.sha256(path.read_bytes()).hexdigest(), "python run_notebooks.py train --name tiny",
                 "self-ensemble", "create_data_lists.py --train-hr photos", "in 1 sitting,", read_metadata(path)["facts"][
                     "data_sha256"]):
        assert text in card, text
    trained = load_generator(tmp_path / "runs/tiny/checkpoints/pretrain_best.pth")
    shipped = load_generator(path)
    for value, other in zip(trained.state_dict().values(), shipped.state_dict().values()):
        assert torch.allclose(value, other, rtol=1e-3, atol=1e-6)
    facts = read_metadata(path)["facts"]
    assert facts["updates"] == 20 and facts["seed"] == 3 and facts["recipe"]["crop_size"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("method, steps, walk", [("srdiff", "3", "DDIM, 3 steps"), ("sr3", "2", "DDIM, 2 steps"),
                                                 ("srdiff", "0", "DDPM, 100 steps")])
def test_both_ways_of_diffusion_compute_the_same(method, steps, walk, monkeypatch, capsys):
    monkeypatch.setattr(diffusion, "SIDE", 32)
    diffusion.main([method, "--preset", "demo", "--steps", steps, "--repeats", "1", "--device", "cpu"])
    said = capsys.readouterr().out
    assert said.count("| kit ") == said.count("| plain ") == 2 and f"32 x 32, {walk}" in said


def test_attention_in_the_plain_way_is_the_same_attention():
    torch.manual_seed(0)
    layer, x = diffusion.sr3.Attention(16, 4), torch.randn(2, 16, 5, 7)
    quick = layer(x)
    layer.__class__ = diffusion.PlainAttention
    assert torch.allclose(layer(x), quick, atol=1e-5)


def test_ways_of_diffusion_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(diffusion, "SIDE", 32)
    sample = diffusion.plain_sample
    monkeypatch.setattr(diffusion, "plain_sample", lambda network, lr: sample(network, lr) + 0.01)
    with pytest.raises(SystemExit, match="differ by 1.0"):
        diffusion.main(["srdiff", "--preset", "demo", "--steps", "3", "--repeats", "1", "--device", "cpu"])

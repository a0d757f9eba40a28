"""The two ways to measure a grey HR: by hand, on Set14's "bridge", in the rows of a set and in the tables."""

import csv

import numpy as np
import pytest
from skimage.metrics import structural_similarity

import inference
import utils
from config import PUBLISHED
from datasets import SRDataset
from imresize import imresize
from metrics import GREY, psnr, squared_error, ssim, three_channels
from run_notebooks import results_table
from support import figures
from support.enlarging import evaluate, mean_of
from support.files import write_csv
from support.images import read_image
from support.run import run_folder
from tests.helpers import noise, photo, tiny_config, write_set


def bicubic(lr):
    return imresize(lr, 4)


def colour_formula(image):
    """Y of three channels, written out; the border cut off."""
    r, g, b = (image[4:-4, 4:-4, k].astype(float) for k in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


@pytest.fixture
def grey_pair():
    """SR whose channels differ, and a grey HR, of odd sizes."""
    hr = photo("camera.png", 100, 200, 41, 46)
    sr = np.stack([hr, hr, hr], axis=2).astype(int) + np.random.default_rng(0).integers(-9, 10, (41, 46, 3))
    return np.clip(sr, 0, 255).astype(np.uint8), hr


# ---------------------------------------------------------------- the setting

def test_by_colour_a_grey_hr_counts_as_three_equal_channels(grey_pair):
    sr, hr = grey_pair
    y_sr, y_hr = colour_formula(sr), colour_formula(np.dstack([hr, hr, hr]))
    assert psnr(sr, hr, grey="colour") == pytest.approx(10 * np.log10(255**2 / np.mean((y_sr - y_hr) ** 2)), abs=1e-9)
    assert squared_error(sr, hr, grey="colour") == pytest.approx((y_sr - y_hr) ** 2, abs=1e-9)
    assert ssim(sr, hr, grey="colour") == pytest.approx(structural_similarity(
        y_sr, y_hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255), abs=1e-9)


def test_by_values_is_the_default_and_the_mean_of_the_channels(grey_pair):
    sr, hr = grey_pair
    error = sr[4:-4, 4:-4].mean(axis=2) - hr[4:-4, 4:-4]
    assert psnr(sr, hr) == psnr(sr, hr, grey="values") == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    assert ssim(sr, hr) == ssim(sr, hr, grey="values") != ssim(sr, hr, grey="colour")


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_channels_gain_the_ratio_of_the_levels(channels):
    """219 levels of Y, 65.481 + 128.553 + 24.966, instead of 255."""
    hr, sr = photo("camera.png", 100, 200, 40, 44), photo("camera.png", 101, 200, 40, 44)
    sr = sr if channels == 1 else three_channels(sr)
    assert psnr(sr, hr, grey="colour") - psnr(sr, hr) == pytest.approx(20 * np.log10(255 / 219))


@pytest.mark.parametrize("measure", [squared_error, psnr, ssim])
def test_a_colour_hr_has_one_way_and_an_unknown_word_is_an_error(measure):
    sr, hr = noise(24, 24), noise(24, 24, seed=1)
    assert np.array_equal(measure(sr, hr), measure(sr, hr, grey="colour"))
    for image in (hr, hr[..., 0]):
        with pytest.raises(ValueError, match="grey='color' is unknown.*\"values\".*\"colour\""):
            measure(sr, image, grey="color")


def test_utils_hands_the_setting_on(grey_pair):
    assert utils.psnr(*grey_pair, grey="colour") == psnr(*grey_pair, grey="colour")
    assert utils.ssim(*grey_pair, crop=0, grey="colour") == ssim(*grey_pair, crop=0, grey="colour")


def test_set14_reads_a_tenth_of_a_decibel_more_by_colour(benchmark):
    values, colour = [], []
    for name, hr, lr in benchmark["Set14"]:
        hr, sr = read_image(hr)[0], imresize(three_channels(read_image(lr)[0]), 4)
        assert (hr.ndim == 2) == (name == "bridge")
        values.append(psnr(sr, hr))
        colour.append(psnr(sr, hr, grey="colour"))
        assert (values[-1] == colour[-1]) == (name != "bridge")
    assert np.mean(values) == pytest.approx(25.997, abs=0.001)
    assert np.mean(colour) == pytest.approx(26.09, abs=0.005)


# ---------------------------------------------------------------- a set with a grey image

@pytest.fixture
def grey_config(tmp_path, monkeypatch):
    """Set14 is one grey and one colour image, Set5 one colour image."""
    monkeypatch.chdir(tmp_path)
    cup = photo("coffee.png", 100, 200, 64, 80)
    write_set(tmp_path / "data", "Set14", {"bridge": photo("camera.png", 100, 200, 64, 56), "cup": cup})
    write_set(tmp_path / "data", "Set5", {"cup": cup})
    return tiny_config(tmp_path / "data", test_sets=["Set5", "Set14"], measures=["texture"])


def test_a_set_is_measured_in_both_ways_and_a_colour_image_once(grey_config, monkeypatch):
    dataset = SRDataset("Set14", grey_config)
    rows = evaluate(bicubic, dataset, by_colour=True)
    assert [row[:3] for row in rows] == evaluate(bicubic, dataset)
    lr, hr = dataset.pair(0)
    assert rows[0][3] == (psnr(bicubic(lr), hr, grey="colour"), ssim(bicubic(lr), hr, grey="colour"))
    assert rows[1][3] == rows[1][1:3]
    assert mean_of(rows) == mean_of(evaluate(bicubic, dataset))
    assert mean_of(rows, "colour") == pytest.approx(np.mean([row[3] for row in rows], axis=0))
    calls = []
    monkeypatch.setattr("support.enlarging.ssim", lambda *pair, **options: calls.append(options) or 0.5)
    evaluate(bicubic, dataset, by_colour=True, also=lambda sr, hr: 1)
    assert calls == [{}, {"grey": "colour"}, {}]


def test_rows_that_were_measured_in_one_way_have_no_second_mean(grey_config):
    rows = evaluate(bicubic, SRDataset("Set14", grey_config), also=lambda sr, hr: {})
    with pytest.raises(ValueError, match="by_colour=True"):
        mean_of(rows, "colour")
    with pytest.raises(ValueError, match="'color' is unknown"):
        mean_of(rows, "color")


def test_benchmark_csv_holds_both_and_its_readers_see_what_they_saw(grey_config):
    results, _ = inference.benchmark(grey_config, {"bicubic": bicubic, "srgan": bicubic})
    path = run_folder(grey_config) / "benchmark.csv"
    with open(path, encoding="utf-8", newline="") as file:
        rows = {(row["set"], row["image"]): row for row in csv.DictReader(file)}
    bridge, cup = rows["Set14", "bridge"], rows["Set14", "cup"]
    lr, hr = SRDataset("Set14", grey_config).pair(0)
    for method in ("bicubic", "srgan"):
        assert float(bridge[f"{method}_psnr"]) == pytest.approx(psnr(bicubic(lr), hr), abs=1e-6)
        assert float(bridge[f"{method}_psnr_colour"]) == pytest.approx(psnr(bicubic(lr), hr, grey="colour"), abs=1e-6)
        assert float(bridge[f"{method}_ssim_colour"]) == pytest.approx(ssim(bicubic(lr), hr, grey="colour"), abs=1e-6)
        assert (cup[f"{method}_psnr_colour"], cup[f"{method}_ssim_colour"]) == (
            cup[f"{method}_psnr"], cup[f"{method}_ssim"])
    for grey in GREY:
        for name, (n, by_method) in figures.read_benchmark(path, grey).items():
            assert n == len(results[name]["bicubic"]) and list(by_method) == ["bicubic", "srgan"]
            assert by_method["srgan"] == pytest.approx(mean_of(results[name]["srgan"], grey), abs=1e-6)
    assert list(figures.read_measures(path)["Set14"]["bicubic"]) == ["texture"]
    assert "{:.2f} dB / {:.4f}".format(*mean_of(results["Set14"]["bicubic"])) in results_table(path)
    assert "colour" not in results_table(path)


def test_a_file_of_an_older_kit_has_no_scores_by_colour(tmp_path):
    write_csv(tmp_path / "old.csv", [["set", "image", "srgan_psnr", "srgan_ssim"], ["Set14", "bridge", 24, 0.6]])
    assert figures.read_benchmark(tmp_path / "old.csv") == {"Set14": (1, {"srgan": (24, 0.6)})}
    assert figures.read_benchmark(tmp_path / "old.csv", "colour") == {"Set14": (1, {})}


# ---------------------------------------------------------------- tables

def test_each_published_row_says_its_way_and_stands_in_its_row():
    assert {name: by_set["grey"] for name, by_set in PUBLISHED.items() if by_set["grey"] != "values"} == {
        "EDSR-baseline": "colour", "A2N": "colour"}
    assert figures.score_rows("Set5") == [("Set5", "values")]
    assert figures.score_rows("Set14") == [("Set14", "values"), ("Set14, colour formula", "colour")]
    for by_set in PUBLISHED.values():
        assert by_set["grey"] in GREY
        assert figures.published_score(by_set, "Set5", "values") == by_set["Set5"]          # one row, all of them
        shown = {grey: figures.published_score(by_set, "Set14", grey) for grey in GREY}
        assert shown.pop(by_set["grey"]) == by_set["Set14"] and list(shown.values()) == [None]
    assert figures.published_score(PUBLISHED["A2N"], "B100", "values") is None

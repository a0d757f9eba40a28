"""SRDiff's crops, the metrics of its sources, its speed table, its weights."""

import hashlib
import re
import sys
import types

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from datasets import SRDataset
from extensions import source_metrics, srdiff_preprocess
from extensions.srdiff_preprocess import corners
from extensions.train import extension_config, main
from imresize import imresize
from inference import load_generator
from metrics import psnr, ssim
from support.checkpoints import WEIGHTS, CheckpointError, read_metadata
from support.enlarging import super_resolve
from support.images import read_image
from support.lists import DataError
from tests.helpers import photo, write_image

# ---------------------------------------------------------------- crops


def test_crops_lie_next_to_each_other_and_the_last_is_shifted_inwards():
    assert corners(319) == [] and corners(320) == [0] and corners(640) == [0, 320]
    assert corners(1356) == [0, 320, 640, 960, 1036] and corners(324) == [0, 4]
    assert len(corners(2040)) * len(corners(1356)) == 35


@pytest.fixture
def div2k(tmp_path):
    root = tmp_path / "div2k"
    wide = photo("astronaut.png", 0, 0, 322, 512)
    write_image(root / "DIV2K_train_HR" / "0001.png", wide)
    write_image(root / "DIV2K_train_HR" / "0002.png", photo("camera.png", 0, 0, 330, 330))
    write_image(root / "DIV2K_train_HR" / "0003.png", photo("coffee.png", 0, 0, 300, 400))
    write_image(root / "DIV2K_valid_HR" / "0801.png", photo("chelsea.png", 0, 0, 300, 320).repeat(2, axis=0)[:320])
    return root, wide


def test_preprocess_writes_pairs_that_the_kit_trains_on(div2k, tmp_path, capsys):
    root, wide = div2k
    output = tmp_path / "crops"
    # Status 1: one image is too small, which is reported.
    assert main(["preprocess", "--root", str(root), "--dataset", "div2k", "--output", str(output)]) == 1
    said = capsys.readouterr().out
    assert "0003.png is 400 x 300 pixels, smaller than a crop of 320" in said and "6 pairs in" in said
    names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png"))
    assert names == sorted(f"{split}/{part}/image_{n:04d}.png" for part in ("X1", "X4")
                           for split, count in (("train", 6), ("val", 1)) for n in range(count))
    # 322 x 512: cut to 320 x 512 from the top left, two crops, the second one ends at the right edge.
    second, _ = read_image(output / "train/X1/image_0001.png")
    assert np.array_equal(second, wide[:320, 192:512])
    small, _ = read_image(output / "train/X4/image_0001.png")
    assert np.array_equal(small, imresize(second, 1 / 4)) and small.shape == (80, 80, 3)
    config = extension_config("srdiff", "demo", str(output))
    assert len(SRDataset("train", config).pairs) == 6 and len(SRDataset("valid", config)) == 1


def test_preprocess_says_what_it_has_changed(tmp_path, capsys):
    image = photo("astronaut.png", 0, 0, 320, 320)
    file = write_image(tmp_path / "cut.png", np.dstack([image, image[..., :1]]))
    pairs, problems = srdiff_preprocess.crop_all([file], tmp_path / "crops")
    assert len(pairs) == 1 and not problems
    assert f"Notice: {file}: its alpha channel was dropped." in capsys.readouterr().out


def test_preprocess_refuses_what_it_cannot_do(div2k, tmp_path, capsys):
    root, _ = div2k
    with pytest.raises(DataError, match="--download div2k"):
        srdiff_preprocess.preprocess(tmp_path, "div2k", tmp_path / "out")
    with pytest.raises(DataError, match="2,650 images; 0 are in"):
        srdiff_preprocess.preprocess(root, "flickr2k", tmp_path / "out")
    (tmp_path / "out" / "val").mkdir(parents=True)
    assert main(["preprocess", "--root", str(root), "--dataset", "div2k", "--output", str(tmp_path / "out")]) == 1
    assert "must not be mixed" in capsys.readouterr().err


def test_the_last_hundred_of_flickr2k_are_for_validation(tmp_path, monkeypatch):
    for n in range(4):
        write_image(tmp_path / "Flickr2K" / "Flickr2K_HR" / f"{n:06d}.png", np.zeros((2, 2), np.uint8))
    monkeypatch.setattr(srdiff_preprocess, "N_VAL_FLICKR2K", 1)
    found = srdiff_preprocess.sources(tmp_path, "flickr2k")
    assert [path.stem for path in found["val"]] == ["000003"] and len(found["train"]) == 3


# ---------------------------------------------------------------- metrics

@pytest.fixture(scope="module")
def pair():
    hr = photo("coffee.png", 100, 150, 60, 72)
    noise = np.random.default_rng(0).normal(0, 9, hr.shape)
    return np.clip(hr + noise, 0, 255).astype(np.uint8), hr


def test_rgb_without_border_is_that_of_scikit_image(pair):
    sr, hr = pair
    assert source_metrics.psnr_rgb_whole(sr, hr) == pytest.approx(peak_signal_noise_ratio(hr, sr), abs=1e-9)
    _, maps = structural_similarity(hr, sr, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                    use_sample_covariance=False, data_range=255, full=True)
    assert source_metrics.ssim_rgb_whole(sr, hr) == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-6)


def test_y_without_border_sees_the_border_and_the_kits_protocol_does_not(pair):
    sr, hr = pair
    sr = sr.copy()
    before = psnr(sr, hr), source_metrics.psnr_y_whole(sr, hr)
    sr[:4] = 255
    assert psnr(sr, hr) == before[0] and source_metrics.psnr_y_whole(sr, hr) < before[1] - 3
    luma = [16 + image.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255 for image in (sr, hr)]
    assert source_metrics.psnr_y_whole(sr, hr) == pytest.approx(
        10 * np.log10(255**2 / np.mean((luma[0] - luma[1]) ** 2)), abs=1e-9)


def test_every_protocol_is_in_the_table(pair):
    found = source_metrics.by_each_protocol([pair, pair])
    assert len(found) == 3 and found["Y, 4 pixels cut (the kit's)"] == pytest.approx((psnr(*pair), ssim(*pair)))


def test_grey_hr_counts_as_three_channels_and_other_sizes_are_refused(pair):
    grey = photo("camera.png", 0, 0, 20, 20)
    three = np.repeat(grey[..., None], 3, axis=2)
    assert source_metrics.psnr_rgb_whole(three, grey) == float("inf")
    with pytest.raises(ValueError, match=r"not uint8 \(20, 20, 3\) and uint8 \(60"):
        source_metrics.psnr_rgb_whole(three, pair[1])


def test_lpips_says_what_is_missing(monkeypatch, pair):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(CheckpointError, match="pip install lpips"):
        source_metrics.lpips_measure()

    def unreachable(**_):
        raise OSError("no route to host")
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=unreachable))
    with pytest.raises(CheckpointError, match="weights of 'alex' are not here.*no route to host"):
        source_metrics.lpips_measure()


def test_lpips_is_given_images_in_minus_one_to_one(monkeypatch, pair):
    class Fake(torch.nn.Module):
        def forward(self, sr, hr):
            assert sr.shape == hr.shape == (1, 3, 60, 72) and sr.min() >= -1 and sr.max() <= 1
            return (sr - hr).abs().mean().view(1, 1, 1, 1)
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=lambda net, verbose: Fake()))
    expected = np.abs(pair[0].astype(float) - pair[1]).mean() / 127.5
    assert source_metrics.lpips_measure()(*pair) == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- the weights that come with the kit

NAME = "srdiff-small-x4"


def test_the_shipped_weights_are_small_and_have_a_card():
    path = WEIGHTS / f"{NAME}.safetensors"
    card, facts = path.with_suffix(".md").read_text(encoding="utf-8"), read_metadata(path)["facts"]
    assert path.stat().st_size < 5e6 and hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert facts["command"].startswith("-m extensions srdiff --preset small") and facts["command"] in card
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", card + str(facts))


@pytest.mark.slow
def test_the_shipped_weights_are_not_far_below_bicubic(benchmark):
    """One image of Set5 here; all of them in test_weights.py."""
    name, hr, lr = benchmark["Set5"][2]
    lr, hr = read_image(lr)[0], read_image(hr)[0]
    assert name == "butterfly"
    assert psnr(super_resolve(load_generator(NAME), lr), hr) > psnr(imresize(lr, 4), hr)


@pytest.mark.long
def test_twenty_steps_of_ddim_cost_little_against_all_hundred_of_ddpm(benchmark):
    model, means = load_generator(NAME), []
    pairs = [(read_image(lr)[0], read_image(hr)[0]) for _, hr, lr in benchmark["Set5"]]
    for model.n_steps, model.ddim in ((20, True), (None, False)):
        means.append(np.mean([psnr(super_resolve(model, lr), hr) for lr, hr in pairs]))
    assert abs(means[0] - means[1]) <= 0.3

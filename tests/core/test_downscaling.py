"""--check judges a set: LR that MATLAB's imresize has not made, and the tool that is likely to have made them."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import create_data_lists as lists
from imresize import imresize
from support.downscaling import TOOLS
from tests.helpers import SHARED, photo, pixels, write_image

PHOTOS = {name: photo(f"{name}.png" if name != "rocket" else "rocket.jpg", top, left, 160, 200) for name, top, left in (
    ("astronaut", 20, 120), ("coffee", 80, 160), ("chelsea", 60, 90), ("rocket", 60, 220), ("camera", 80, 160))}


def pillow(method):
    return lambda hr: np.array(Image.fromarray(hr).resize((hr.shape[1] // 4, hr.shape[0] // 4), method))


def torch_resize(mode, **options):
    def shrink(hr):
        x = torch.from_numpy(np.atleast_3d(hr).copy()).permute(2, 0, 1)[None].float()
        y = functional.interpolate(x, scale_factor=0.25, mode=mode, **options).round().clamp(0, 255)
        return y[0].permute(1, 2, 0).squeeze(-1).numpy().astype(np.uint8)
    return shrink


OTHERS = {                  # how LR is made -> words of the tool
    "Pillow bilinear": (pillow(Image.Resampling.BILINEAR), "Pillow's resize, BILINEAR"),
    "torch bilinear, antialiased": (torch_resize("bilinear", antialias=True), "Pillow's resize, BILINEAR"),
    "Pillow box": (pillow(Image.Resampling.BOX), "BOX"),
    "mean pooling": (torch_resize("area"), "BOX"),
    "Pillow lanczos": (pillow(Image.Resampling.LANCZOS), "LANCZOS"),
    "Pillow hamming": (pillow(Image.Resampling.HAMMING), "HAMMING"),
    "Pillow nearest": (pillow(Image.Resampling.NEAREST), "Pillow's NEAREST"),
    "torch bicubic": (torch_resize("bicubic"), "torch's bicubic, without antialiasing"),
    "torch bilinear": (torch_resize("bilinear"), "torch's bilinear, without antialiasing"),
    "torch nearest": (torch_resize("nearest"), "every s-th pixel")}
CLOSE = {
    "Pillow bicubic": (pillow(Image.Resampling.BICUBIC), "Pillow's resize, BICUBIC"),
    "torch bicubic, antialiased": (torch_resize("bicubic", antialias=True), "floating point"),
    "imresize in floating point": (lambda hr: imresize(hr.astype(float), 1 / 4).round().clip(0, 255).astype(np.uint8),
                                   "floating point")}
OURS = {"symmetric": lambda hr: imresize(hr, 1 / 4), "replicate": lambda hr: imresize(hr, 1 / 4, edges="replicate")}


def findings_of(root, split, shrink, photos=PHOTOS):
    for name, hr in photos.items():
        write_image(root / "HR" / f"{name}.png", hr)
        write_image(root / "LR" / f"{name}.png", shrink(hr))
    lists.write_list(root, split, lists.match(root / "HR", root / "LR", 4).pairs, root)
    return lists.check(root)[0]


@pytest.mark.parametrize("name", OURS)
def test_lr_of_imresize_is_no_finding_whatever_its_edges(tmp_path, name):
    assert findings_of(tmp_path, "Set5", OURS[name]) == []


@pytest.mark.parametrize("name", OTHERS)
def test_lr_of_another_tool_is_said_with_the_tool(tmp_path, name, capsys):
    shrink, words = OTHERS[name]
    finding, = (f for f in findings_of(tmp_path, "Set5", shrink) if f.kind != "shifted")
    assert finding.kind == "other downscaling" and finding.row == 0 and finding.fails
    assert "; likely " in finding.problem and words in finding.problem and "LR of " in finding.problem
    lists.report([finding], {"Set5": 5})
    assert "every pair fits" not in capsys.readouterr().out


@pytest.mark.parametrize("name", CLOSE)
def test_the_same_kernel_with_other_rounding_is_a_notice(tmp_path, name):
    shrink, words = CLOSE[name]
    finding, = findings_of(tmp_path, "Set5", shrink)
    assert finding.kind == "other rounding" and not finding.fails and words in finding.problem


def test_in_training_it_is_a_notice_and_jpeg_is_named(tmp_path):
    def jpeg(hr):
        path = write_image(tmp_path / "x.jpg", imresize(hr, 1 / 4), quality=85)
        return pixels(path)
    finding, = findings_of(tmp_path / "box", "train", OTHERS["Pillow box"][0])
    assert not finding.fails and "undo the downscaling" in finding.remedy
    finding, = findings_of(tmp_path / "decoded", "train", jpeg)
    assert "not known here" in finding.problem
    lists.report([finding], {"train": 5})


def test_one_odd_lr_among_good_ones_is_its_own_row(tmp_path):
    found = findings_of(tmp_path, "Set5", lambda hr: (
        OTHERS["Pillow box"][0] if hr is PHOTOS["coffee"] else OURS["symmetric"])(hr))
    assert [(f.file, f.kind, f.fails) for f in found] == [("LR/coffee.png", "other downscaling", False)]
    assert "BOX" in found[0].problem


def test_the_remedy_mends(tmp_path):
    findings_of(tmp_path, "Set5", OTHERS["Pillow box"][0])
    shutil.rmtree(tmp_path / "LR")
    assert lists.main(["--root", str(tmp_path), "--make-lr", "--check"]) == 0


def test_the_tools_hold_at_every_scale():
    """Those that are computed here and not by Pillow, against torch."""
    for scale in (2, 4, 8):
        x = torch.from_numpy(PHOTOS["coffee"].copy()).permute(2, 0, 1)[None].float()
        for mode in ("bicubic", "bilinear"):
            expected = functional.interpolate(x, scale_factor=1 / scale, mode=mode)[0].permute(1, 2, 0)
            name, = (name for name in TOOLS if f"torch's {mode}" in name)
            got = TOOLS[name](PHOTOS["coffee"], scale)
            assert np.abs(got - expected.clamp(0, 255).numpy()).max() <= 0.5 + 1e-3


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "benchmark").is_dir(), reason="Set5 is not there (../shared/data/benchmark)")
@pytest.mark.parametrize("name", [*OTHERS, *CLOSE, *OURS])
def test_real_set5(tmp_path, name):
    photos = {path.stem: pixels(path) for path in sorted((SHARED / "benchmark/Set5/HR").glob("*.png"))}
    photos = {stem: np.ascontiguousarray(hr[:len(hr) // 4 * 4, :len(hr[0]) // 4 * 4]) for stem, hr in photos.items()}
    shrink = {**OTHERS, **CLOSE, **{key: (value, "") for key, value in OURS.items()}}[name][0]
    kinds = {f.kind for f in findings_of(tmp_path, "Set5", shrink, photos)} - {"shifted"}
    assert kinds == ({"other downscaling"} if name in OTHERS else {"other rounding"} if name in CLOSE else set())

"""A2N: its data, losses, transfer and training; what its network is made of is in test_networks.py."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from datasets import SRDataset, make_loader
from extensions import a2n, onnx_export
from extensions.train import extension_config, loaders, main, train_all
from imresize import imresize
from inference import generators_of, load_generator
from metrics import psnr
from support import figures
from support.checkpoints import CheckpointError, load_checkpoint, read_metadata, save_generator
from support.enlarging import super_resolve
from support.images import read_image
from support.lists import DataError
from support.run import learning_rate, run_folder, seed_everything, stage_config
from tests.helpers import (
    ROOT,
    Stop,
    differences,
    interrupt,
    last,
    learn,
    photo,
    run_of,
    tiny_config,
    write_image,
    write_list,
    write_set,
)

TINY = dict(n_channels=8, n_up_channels=8, n_blocks=1, small=True, loss="l1")


def tiny(data, **changes):
    """A configuration whose training takes a second: 2 epochs of 10 updates."""
    config = tiny_config(data)
    config.add(**{**a2n.COMMON, **changes, "A2N": {**TINY, **changes.get("A2N", {})},
                  "a2n": dict(epochs=2, updates_per_epoch=10), "method": "a2n"})
    return config


# ---------------------------------------------------------------- sub-images

def places_image(height, width):
    """An image that says where each pixel is: red and green of (row, column) modulo 251, blue the number of 251s."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 251, columns % 251, rows // 251 * 16 + columns // 251], axis=2).astype(np.uint8)


def write_places(folder, sizes):
    """Pairs in which LR is every fourth pixel of HR, so that both say where they come from."""
    for k, (height, width) in enumerate(sizes):
        hr = places_image(height, width)
        write_image(Path(folder, "HR", f"{k}.png"), hr)
        write_image(Path(folder, "LR", f"{k}.png"), hr[::4, ::4][:height // 4, :width // 4])
    write_list(folder, "train", [(f"HR/{k}.png", f"LR/{k}.png") for k in range(len(sizes))])
    return folder


def sub_images(folder, size, stride, **changes):
    return a2n.SubImages(tiny(folder, sub_images=dict(size=size, stride=stride), **changes))


def corner_of(patch):
    """(row, column) of an upright or turned patch of places_image, from the smallest numbers in it."""
    red, green, blue = patch.astype(int)
    return (red + 251 * (blue // 16)).min(), (green + 251 * (blue % 16)).min()


def test_an_image_of_div2ks_size_has_the_tutorials_forty(tmp_path):
    dataset = sub_images(write_places(tmp_path, [(1356, 2040)]), 480, 200, crop_size=192, patch_num=1)
    assert len(dataset) == 40 and len(make_loader(dataset, 8)) == 5
    epochs = [dataset.batch(epoch, range(40)) for epoch in range(5)]
    for number, (top, left) in enumerate((top, left) for top in range(0, 801, 200) for left in range(0, 1401, 200)):
        found = [corner_of(hr[number].numpy()) for _, hr in epochs]
        assert all(top <= y <= top + 288 and left <= x <= left + 288 for y, x in found)      # 480 - 192
        assert len(set(found)) > 1                                                           # elsewhere in each epoch
        for (lr, _), corner in zip(epochs, found):
            assert corner_of(lr[number].numpy()) == corner


def test_every_place_of_a_sub_image_is_drawn_and_no_other(tmp_path):
    dataset = sub_images(write_places(tmp_path, [(40, 44)]), 24, 8, patch_num=1000)
    # Windows begin at 0 and 8 (16 + 24 would end at the edge, 40) and at 0, 8 and 16 (16 + 24 < 44).
    assert len(dataset) == 6 * 1000
    _, hr = dataset.batch(0, range(6000))
    drawn = [{corner_of(patch.numpy()) for patch in hr[1000 * k:1000 * (k + 1)]} for k in range(6)]
    for places, (top, left) in zip(drawn, [(top, left) for top in (0, 8) for left in (0, 8, 16)]):
        assert places == {(top + y, left + x) for y in (0, 4, 8) for x in (0, 4, 8)}


def test_a_patch_is_a_function_of_seed_epoch_and_index(tmp_path):
    folder = write_places(tmp_path, [(64, 72), (48, 80)])
    one, two, other = (sub_images(folder, 32, 8, seed=seed) for seed in (3, 3, 4))
    indices = [7, 120, 33, 120]
    assert all(torch.equal(a, b) for a, b in zip(one.batch(2, indices), two.batch(2, indices), strict=True))
    alone = two.batch(2, [33])
    assert torch.equal(alone[1][0], one.batch(2, indices)[1][2])
    assert not torch.equal(one.batch(2, indices)[1], one.batch(1, indices)[1])
    assert not torch.equal(one.batch(2, indices)[1], other.batch(2, indices)[1])
    one.set_epoch(2)
    assert torch.equal(one[33][1], alone[1][0].float() / 255)


def test_sub_images_are_not_copied(tmp_path):
    folder = write_places(tmp_path, [(64, 72)])
    SRDataset("train", tiny_config(folder))
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    dataset = sub_images(folder, 32, 8)
    dataset.batch(0, range(20))
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_images_that_are_too_small_are_named(tmp_path, capsys):
    dataset = sub_images(write_places(tmp_path, [(32, 32), (64, 64)]), 32, 8)
    assert set(dataset.corners[:, 0]) == {1} and "1 of 2" in capsys.readouterr().out
    with pytest.raises(DataError, match="No training image is larger.*sub_images"):
        sub_images(tmp_path, 64, 8)


@pytest.mark.parametrize("value, words", [
    (dict(size=30, stride=8), "divisible by 4"), (dict(size=32, stride=6), "divisible by 4"),
    (dict(size=12, stride=4), "at least 16"), (dict(size=32, stride=0), "divisible"),
    ("dict(size=32)", "a dict with size and stride"), (dict(size=32), "a dict with size and stride")])
def test_sub_images_that_make_no_sense_are_refused(data, value, words):
    with pytest.raises(DataError, match=words):
        a2n.SubImages(tiny(data, sub_images=value))


def test_the_training_takes_them_where_the_configuration_says_so(data):
    assert type(loaders(tiny(data), "a2n")[0].dataset.dataset) is SRDataset
    loader = loaders(tiny(data, sub_images=dict(size=48, stride=8)), "a2n")[0]
    assert isinstance(loader.dataset.dataset, a2n.SubImages)


# ---------------------------------------------------------------- losses, and whether it learns

@pytest.mark.parametrize("loss, by_hand", [("l1", np.abs), ("mse", np.square),
                                           ("charbonnier", lambda d: np.sqrt(d**2 + 1e-6))])
def test_the_loss_is_a_mean_on_minus_one_to_one(loss, by_hand):
    torch.manual_seed(0)
    network, lr, hr = a2n.A2N(2, 8, 8, 1, loss=loss), torch.rand(2, 3, 5, 6), 2 * torch.rand(2, 3, 10, 12) - 1
    difference = (network(lr) - hr).detach().double().numpy()
    assert network.loss(lr, hr).item() == pytest.approx(by_hand(difference).mean(), rel=1e-5)


def test_an_unknown_loss_or_scaling_factor_is_named():
    with pytest.raises(ValueError, match="'l2'.*l1, mse, charbonnier"):
        a2n.A2N(loss="l2")
    with pytest.raises(ValueError, match="cannot be 8"):
        a2n.A2N(8)


def one_pair(side):
    """A crop of a photograph as (LR uint8, HR uint8), and both as tensors of one batch, in the network's ranges."""
    hr = photo("astronaut.png", 90, 210, side, side)
    lr = imresize(hr, 1 / 4)
    x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in (lr, hr))
    return lr, hr, x, 2 * y - 1


@pytest.mark.slow
@pytest.mark.parametrize("loss", a2n.LOSSES)
def test_each_loss_falls_on_one_batch_to_near_zero(loss):
    torch.manual_seed(0)
    _, _, x, y = one_pair(16)
    network = a2n.A2N(4, 32, 32, 1, loss=loss)
    losses = learn(lambda: network.loss(x, y), network.parameters(), 600)
    # L1 ends at about 1 % of its start; Charbonnier cannot fall below its 0.001, 1.7 % of it.
    assert losses[-1] < {"l1": 0.03, "mse": 0.005, "charbonnier": 0.03}[loss] * losses[0]


@pytest.mark.slow
def test_it_learns_one_image_by_heart():
    torch.manual_seed(0)
    lr, hr, x, y = one_pair(32)
    network = a2n.A2N(4, 24, 24, 2, small=True)
    learn(lambda: network.loss(x, y), network.parameters(), 600)
    assert psnr(super_resolve(network, lr), hr) > psnr(imresize(lr, 4), hr) + 6


def test_the_start_is_nearly_interpolation_and_lets_the_image_through():
    torch.manual_seed(0)
    lr = torch.from_numpy(photo("coffee.png", 100, 200, 24, 32)).permute(2, 0, 1)[None].float() / 255
    bilinear = 2 * functional.interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False) - 1
    errors, contrasts = [], []
    for network in (a2n.A2N(4).start_as_interpolation(), a2n.A2N(4)):
        with torch.no_grad():
            errors.append((network(lr) - bilinear).abs().mean().item())
            features = network.stage2(network.stage1(network.first(lr)))
            contrasts.append((features.std(dim=(2, 3)).mean() / lr.std()).item())       # what is left of the image's
    assert errors[0] < 0.05 and contrasts[0] > 5 * contrasts[1]


def test_the_presets_say_which_start():
    biases = {preset: a2n.build(extension_config("a2n", preset), "a2n").first.bias.abs().sum().item()
              for preset in a2n.PRESETS}
    assert biases["demo"] == biases["small"] == 0 and biases["full"] > 0 and biases["full-x2"] > 0


# ---------------------------------------------------------------- attention

def test_attention_tells_what_the_blocks_do_and_changes_nothing():
    torch.manual_seed(0)
    network, x = a2n.A2N(4, 8, 8, 2).eval(), torch.rand(1, 3, 6, 7)
    with torch.no_grad():
        before = network(x)
        weights, maps = a2n.attention(network, x)
        assert torch.equal(network(x), before) and not any(m._forward_hooks for m in network.modules())
        features, block = network.first(x), network.blocks[0]
        h = functional.leaky_relu(block.enter(features), 0.2)
        logits = block.weigh[2](torch.relu(block.weigh[0](h.mean(dim=(2, 3)))))[0].tolist()
        first = math.exp(logits[0] / 30) / (math.exp(logits[0] / 30) + math.exp(logits[1] / 30))
        mask = torch.sigmoid(block.attention.mask(functional.leaky_relu(block.attention.look(h), 0.2)))
    assert weights.shape == (2, 2) and maps.shape == (2, 6, 7)
    assert weights[0].tolist() == pytest.approx([first, 1 - first], abs=1e-6)
    assert torch.allclose(maps[0], mask[0].mean(dim=0), atol=1e-6)


# ---------------------------------------------------------------- transfer

def saved(config, scale, name, **network):
    """The path of a checkpoint of a training of one epoch."""
    other = run_of(config, name, scaling_factor=scale)
    other.A2N.update(network)
    other.a2n.epochs = 1
    train_all(other, lambda: None)
    return run_folder(other) / "checkpoints" / "a2n_best.pth"


@pytest.fixture
def data2(tmp_path):
    return write_set(write_set(tmp_path / "data2", "train", {"face": photo("astronaut.png", 40, 160, 48, 52)}, 2),
                     "valid", {"suit": photo("astronaut.png", 300, 100, 48, 64)}, 2)


def test_x4_begins_with_a_checkpoint_of_x2(data, data2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = saved(tiny(data2), 2, "two")
    two = load_generator(path)
    assert two.scaling_factor == 2 and two(torch.rand(1, 3, 5, 6)).shape == (1, 3, 10, 12)
    config = tiny(data, transfer=str(path))
    network = a2n.build(config, "a2n")
    out = capsys.readouterr().out
    own, n = set(network.state_dict()), len(two.state_dict())
    assert f"(x2): {n} of {n + 6} tensors are loaded. 6 begin with random values" in out
    for name in own - set(two.state_dict()):
        assert name.startswith("stage2.") and name in out
    assert all(torch.equal(network.state_dict()[name], value) for name, value in two.state_dict().items())


def test_the_full_networks_give_172_of_178(tmp_path, capsys):
    save_generator(tmp_path / "two.safetensors", a2n.A2N(2))
    a2n.begin_with(a2n.A2N(4), tmp_path / "two.safetensors")
    assert "172 of 178 tensors are loaded. 6 begin with random values" in capsys.readouterr().out
    save_generator(tmp_path / "four.safetensors", a2n.A2N(4))
    a2n.begin_with(a2n.A2N(2), tmp_path / "four.safetensors")
    out = capsys.readouterr().out
    assert "172 of 172" in out and "6 of the file have no place here: stage2." in out


def test_a_wrong_file_is_an_error_that_says_what_to_do(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint nowhere.pth"):
        a2n.build(tiny(data, transfer="nowhere.pth"), "a2n")
    with pytest.raises(CheckpointError, match="method 'srgan', not an A2N"):
        a2n.build(tiny(data, transfer="srresnet-x4"), "a2n")
    path = saved(tiny(data), 4, "wide", n_channels=12)
    with pytest.raises(CheckpointError, match=r"another shape: first.weight \(12, 3, 3, 3\) instead of \(8, 3, 3, 3\)"):
        a2n.build(tiny(data, transfer=str(path)), "a2n")
    capsys.readouterr()
    assert main(["a2n", "--data", str(data), "--set", "transfer=nowhere.pth"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: There is no checkpoint nowhere.pth") and "Traceback" not in error


def test_a_resumed_run_does_not_begin_with_the_transfer_again(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = saved(tiny(data), 4, "first")
    config = tiny(data, transfer=str(path), name="second")
    with pytest.raises(KeyboardInterrupt):
        train_all(config, lambda: Stop(14, interrupt))
    path.unlink()
    capsys.readouterr()
    train_all(config, lambda: None)
    out = capsys.readouterr().out
    assert "Resuming from" in out and "Transfer" not in out


# ---------------------------------------------------------------- training

@pytest.mark.slow
def test_a_stopped_run_equals_an_uninterrupted_one(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny(data, checkpoint_every=3, averaging=0.95, sub_images=dict(size=48, stride=8))
    whole, parts = run_of(config, "whole"), run_of(config, "parts")
    train_all(whole, lambda: None)
    for stop in (2, 6, 17):
        with pytest.raises(KeyboardInterrupt):
            train_all(parts, lambda stop=stop: Stop(stop, interrupt))
    train_all(parts, lambda: None)
    for which in ("last", "best"):
        a, b = (load_checkpoint(run_folder(c) / "checkpoints" / f"a2n_{which}.pth") for c in (whole, parts))
        assert differences(a, b) == [], which
    assert last(parts, "a2n")["epoch"] == 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_command_given_again_ends_with_the_same_weights(data, tmp_path):
    command = [sys.executable, "-m", "extensions", "a2n", "--data", str(data), "--set", "crop_size=16", "patch_num=100",
               "checkpoint_every=3", "a2n.epochs=2", "a2n.updates_per_epoch=40"]

    def run(name, kill=False):
        process = subprocess.Popen([*command[:4], "--name", name, *command[4:]], cwd=tmp_path,
                                   env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
        best = tmp_path / "runs" / name / "checkpoints" / "a2n_best.pth"
        while kill and process.poll() is None and not best.exists():        # until the first epoch has ended
            time.sleep(0.01)
        if kill:
            process.kill()
        return process.wait()

    assert (run("whole"), run("killed", kill=True), run("killed")) == (0, -signal.SIGKILL, 0)
    a, b = (load_checkpoint(tmp_path / "runs" / name / "checkpoints" / "a2n_last.pth") for name in ("whole", "killed"))
    assert differences(a, b) == []


@pytest.mark.slow
def test_every_command_runs_on_the_demo_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = ["a2n.epochs=1", "a2n.updates_per_epoch=3", "A2N.n_blocks=1"]
    assert main(["a2n", "--set", "A2N.loss=charbonnier", *short]) == 0
    assert main(["a2n", "--name", "two", "--set", "scaling_factor=2", "crop_size=24", *short]) == 0
    assert main(["a2n", "--name", "four", "--set", "transfer=runs/two/checkpoints/a2n_best.pth", *short]) == 0
    assert main(["a2n", "--name", "sub", "--set", "sub_images={'size': 96, 'stride': 40}", *short]) == 0
    assert "22 of 28 tensors are loaded" in capsys.readouterr().out
    config = extension_config("a2n", "demo", "data/demo", "four")
    generators, note, _ = generators_of(config)          # what test.ipynb and super_resolution.ipynb show
    assert list(generators) == ["a2n"] and "of this run" in note
    lr = read_image("data/demo/LR_bicubic/X4/coffeex4.png")[0][:20, :24]
    assert super_resolve(generators["a2n"], lr).shape == (80, 96, 3)
    with open("runs/four/log.csv", encoding="utf-8", newline="") as file:
        assert [(row["stage"], row["epoch"], row["updates"]) for row in csv.DictReader(file)] == [("a2n", "1", "3")]


def test_the_curves_are_kept(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny(data)
    shown = []
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    monkeypatch.setattr(figures, "show", lambda figure, path, handle: shown.append((figure, path)))
    monkeypatch.setattr(figures.StatusLine, "show", lambda *_, **__: None)
    train_all(config)
    assert [path for _, path in shown] == [run_folder(config) / "figures" / "a2n.png"] * 3    # at first; after epochs
    losses, quality = shown[-1][0].axes[:2]
    rows = last(config, "a2n")["history"]
    assert list(losses.lines[1].get_ydata()) == [row["content"] for row in rows]      # the dots; the line: readings
    assert list(quality.lines[0].get_ydata()) == [row["valid_psnr"] for row in rows]


def test_the_presets_are_the_papers_and_the_tutorials():
    full, x2 = (extension_config("a2n", preset) for preset in ("full", "full-x2"))
    for config, scale, updates in ((full, 4, 200_000), (x2, 2, 500_000)):
        settings = stage_config(config, "a2n")
        network = a2n.build(config, "a2n")
        assert network.settings == a2n.A2N(scale).settings                        # 16 blocks, 40 channels, L1
        assert settings.epochs * settings.updates_per_epoch == updates and settings.batch_size == 32
        assert settings.crop_size // scale == 48 and settings.averaging == 0
        assert settings.sub_images == dict(size=480, stride=200) and 32_096 * settings.patch_num // 32 == 1003
        rates = [learning_rate(update, updates, settings) for update in range(0, updates, 100_000)]
        assert rates == pytest.approx([5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4][:len(rates)])
    assert a2n.build(extension_config("a2n", "small"), "a2n").settings["n_blocks"] == 4


# ---------------------------------------------------------------- the weights of the kit, ONNX

def test_the_shipped_weights_are_far_above_bicubic_on_the_butterfly(benchmark):
    network = load_generator("a2n-small-x4")
    assert sum(p.numel() for p in network.parameters()) == 241_939
    assert read_metadata(ROOT / "weights" / "a2n-small-x4.safetensors")["facts"]["seconds"] < 600
    name, hr, lr = next(row for row in benchmark["Set5"] if row[0] == "butterfly")
    hr, lr = read_image(hr)[0], read_image(lr)[0]
    assert psnr(super_resolve(network, lr), hr) > psnr(imresize(lr, 4), hr) + 1.5


def test_onnxruntime_makes_the_same_image(tmp_path):
    if onnx_export.missing():
        pytest.skip(f"pip install {onnx_export.missing()}")
    torch.manual_seed(0)
    network, lr = a2n.A2N(4, 8, 8, 1).eval(), imresize(photo("coffee.png", 100, 200, 80, 112), 1 / 4)
    path = onnx_export.export(network, tmp_path / "a2n.onnx")
    for image in (lr, lr[:13, :17]):                            # any size
        sr, expected = onnx_export.run(path, image), super_resolve(network, image)
        assert sr.shape == expected.shape and np.abs(sr.astype(int) - expected).max() <= 1


def test_without_the_packages_the_export_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "PACKAGES", ("no_such_package", "torch"))
    with pytest.raises(ModuleNotFoundError, match="pip install no_such_package$"):
        onnx_export.export(nn.Identity(), tmp_path / "a.onnx")


# ---------------------------------------------------------------- large images

def test_an_image_that_is_too_large_for_the_memory_is_made_of_tiles():
    seed_everything(0)
    network = a2n.A2N(n_channels=8, n_up_channels=6, n_blocks=2, small=True).start_as_interpolation().eval()
    lr = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    trunk, tail = network.bytes_per_pixel()
    whole = super_resolve(network, lr, memory=2**40)
    # The tail in tiles: exactly the same image.
    assert np.array_equal(super_resolve(network, lr, memory=max(200 * 240 * trunk, 8 * 30**2 * tail)), whole)
    # The trunk too: the means that weight the branches are then those of a tile, and differ by next to nothing.
    tiled = super_resolve(network, lr, memory=8 * 16**2 * tail)
    assert 8 * 16**2 * tail < 200 * 240 * trunk and np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize("scale", (2, 3, 4))
def test_a_pixel_looks_no_further_than_the_margin_says(scale):
    seed_everything(0)
    network = a2n.A2N(scale, n_channels=8, n_up_channels=6, n_blocks=1).double().eval()
    x = torch.rand(1, 11, 21, 21, dtype=torch.float64)
    other = x.clone()
    other[:, :, :, :10 - network.receptive_margin()[1]] += 1                  # further away than the tail's margin
    region = (..., slice(10 * scale, None))
    with torch.no_grad():
        assert torch.equal(network.tail(x)[region], network.tail(other)[region])

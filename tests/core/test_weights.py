"""The generators that come with the kit, and how runs and names lead to them."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import extensions  # noqa: F401  its networks register themselves
from benchmarks.results import IN_SHORT
from imresize import imresize
from inference import SHIPPED, generators_of, interpolated, load_generator
from metrics import gradient_magnitude, psnr, ssim, three_channels
from models import Generator
from support.checkpoints import (
    WEIGHTS,
    CheckpointError,
    read_metadata,
    read_weights,
    save_checkpoint,
    save_generator,
    shipped_names,
    weight_file,
)
from support.enlarging import super_resolve
from support.images import read_image
from support.run import save_config, seed_everything
from tests.helpers import photo, tiny_config

NAMES = shipped_names()
FULL = 1_547_350       # parameters of the paper's generator
# dB that each must reach on Set5 and Set14: VDSR's, trained on the same 291 images; bicubic has 28.43 and 26.00.
BARS = {"srresnet-x4": (31.35, 28.01), "srresnet-small-x4": (30.9, 27.3)}
MOST_BELOW = 1.6       # dB that SRGAN's images may lie below those of the network that its training started from


@pytest.fixture(scope="module")
def pairs(benchmark):
    """Of each set: list of (LR, HR)."""
    return {name: [(read_image(lr)[0], read_image(hr)[0]) for _, hr, lr in rows] for name, rows in benchmark.items()}


def upscaled(name, images):
    generator = load_generator(name)
    return [super_resolve(generator, three_channels(lr)) for lr, _ in images]


# ---------------------------------------------------------------- the files

def test_the_generators_of_the_notebooks_and_the_small_one_are_among_them():
    assert {*SHIPPED.values(), *BARS} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_small_and_has_a_card_with_its_hash_and_its_command(name):
    path = WEIGHTS / f"{name}.safetensors"
    text, facts = path.with_suffix(".md").read_text(encoding="utf-8"), read_metadata(path)["facts"]
    assert path.stat().st_size < 7e6
    assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert facts["command"] in text and facts["licence"] in text and f"{facts['updates']:,}" in text
    assert facts["command"].startswith(("run_notebooks.py train ", "-m extensions "))
    assert f"--name {name}" in facts["command"]
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", text + str(facts))
    if "vgg" in str(facts["recipe"].get("content_loss")):
        raise AssertionError("VGG19's features cannot be had here")
    if "perceptual" in str(facts["recipe"].get("content_loss")):
        assert facts["recipe"]["vgg19_weights"] == "vgg16" and "not the paper's loss" in facts["note"]


@pytest.mark.parametrize("name", [name for name in NAMES if load_generator(name).method == Generator.method])
def test_the_full_ones_are_the_papers_network_and_the_small_one_is_small(name):
    size = sum(p.numel() for p in load_generator(name).parameters())
    assert size <= 400_000 if "small" in name else size == FULL


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS)
def test_the_figures_are_the_cards_and_reach_their_bars(name, pairs):
    card = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    shown = re.search(rf"^\| {name} +\| ([0-9.]+) / ([0-9.]+) +\| ([0-9.]+) / ([0-9.]+)", card, flags=re.MULTILINE)
    for k, set_name in enumerate(("Set5", "Set14")):
        rows = [(psnr(sr, hr), ssim(sr, hr)) for sr, (_, hr) in zip(upscaled(name, pairs[set_name]), pairs[set_name])]
        dB, similarity = np.mean(rows, axis=0)
        assert dB >= BARS[name][k]
        assert float(shown[2 * k + 1]) == pytest.approx(dB, abs=0.006)
        assert float(shown[2 * k + 2]) == pytest.approx(similarity, abs=0.00006)


@pytest.mark.parametrize("name", NAMES)
def test_cards_and_tables_say_the_same(name):
    """PSNR and SSIM of Set5 and Set14 in the card, on the pages of results and, of a few rows, in both READMEs."""
    root = WEIGHTS.parent
    for label, in_chinese in ((name, f"`{name}`"), (f"{name}, self-ensemble", f"`{name}`，自集成")):
        card, in_english = _cells(root / "weights" / f"{name}.md", label), f"`{name}`" + label.removeprefix(name)
        in_short = card if in_english in IN_SHORT else None
        for page, row, cells in (("docs/results.md", in_english, card), ("docs/results.zh-CN.md", in_chinese, card),
                                 ("README.md", in_english, in_short), ("README.zh-CN.md", in_chinese, in_short)):
            assert _cells(root / page, row) == cells, (page, label)
    assert _cells(root / "docs/results.md", f"`{name}`")


def _cells(path, label):
    """The cells of Set5 and Set14 in the row that begins with ``label``, or None."""
    rows = [line.strip("|").split("|") for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("|")]
    return next(([cell.strip() for cell in row[1:3]] for row in rows
                 if row[0].strip() == label and re.match(r" *[0-9.]+ / ", row[1])), None)


@pytest.mark.slow
def test_srgan_is_sharper_and_not_far_below(pairs):
    plain, sharp = (upscaled(SHIPPED[stage], pairs["Set5"]) for stage in ("pretrain", "srgan"))
    texture = [np.mean([gradient_magnitude(sr) for sr in pictures]) for pictures in (plain, sharp)]
    dB = [np.mean([psnr(sr, hr) for sr, (_, hr) in zip(pictures, pairs["Set5"], strict=True)])
          for pictures in (plain, sharp)]
    assert texture[1] > 1.03 * texture[0]
    assert 0 < dB[0] - dB[1] <= MOST_BELOW


@pytest.mark.long
@pytest.mark.parametrize("name", ("srdiff-small-x4", "sr3-small-x4"))
def test_diffusion_is_not_below_bicubic_and_has_its_texture_from_somewhere(name, pairs):
    """The bar is 0.5 dB below bicubic interpolation."""
    pictures = upscaled(name, pairs["Set5"])
    bicubic = [imresize(lr, 4) for lr, _ in pairs["Set5"]]
    dB = [np.mean([psnr(sr, hr) for sr, (_, hr) in zip(made, pairs["Set5"], strict=True)])
          for made in (pictures, bicubic)]
    texture = [np.mean([gradient_magnitude(sr) for sr in made]) for made in (pictures, bicubic)]
    assert dB[0] >= dB[1] - 0.5 and texture[0] > 1.1 * texture[1]


# ---------------------------------------------------------------- names

def test_a_name_is_found_and_a_path_stays_a_path(tmp_path):
    for name in NAMES:
        assert weight_file(name) == WEIGHTS / f"{name}.safetensors"
    assert weight_file("best.pth") == Path("best.pth")
    assert weight_file(tmp_path / "best") == tmp_path / "best"


def test_an_unknown_name_is_told_the_known_ones(monkeypatch, tmp_path):
    with pytest.raises(CheckpointError, match="srresnet-x9.*srresnet-x4"):
        load_generator("srresnet-x9")
    monkeypatch.setattr("support.checkpoints.WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError, match="without weights"):
        load_generator("srresnet-x4")


def test_float16_in_the_file_becomes_float32_in_the_network(tmp_path):
    seed_everything(0)
    generator = Generator(3, 3, 4, 1, 4)
    save_generator(tmp_path / "g.safetensors", generator, torch.float16, stage="pretrain")
    kinds = {value.dtype for value in read_weights(tmp_path / "g.safetensors").values()}
    assert kinds == {torch.float16, torch.int64}
    loaded = load_generator(tmp_path / "g.safetensors")
    for value, other in zip(generator.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert value.dtype == other.dtype and torch.allclose(value, other, rtol=1e-3, atol=1e-6)
    assert read_metadata(tmp_path / "g.safetensors")["facts"] == {"stage": "pretrain"}


# ---------------------------------------------------------------- whose weights a notebook shows

def checkpoint_of(config, seed, **more):
    seed_everything(seed)
    generator = Generator(config)
    return {"method": "srgan", "settings": generator.settings, "averaged": generator.state_dict(), **more}


def test_with_nothing_trained_the_kits_weights_are_shown_and_kept_apart(config):
    generators, note, run = generators_of(config)
    assert run == "shipped" and config.name == "tiny" and "srresnet-x4" in note and "runs/tiny" in note
    assert {stage: sum(p.numel() for p in g.parameters()) for stage, g in generators.items()} == {
        "pretrain": FULL, "srgan": FULL}


def test_what_has_been_trained_is_shown(config):
    for seed, name in enumerate(("pretrain_best", "srgan_last")):
        save_checkpoint(Path("runs/tiny/checkpoints", f"{name}.pth"), checkpoint_of(config, seed))
    generators, note, run = generators_of(config)
    assert run == config.name == "tiny" and "of this run" in note
    assert torch.equal(generators["srgan"].first[0].weight, checkpoint_of(config, 1)["averaged"]["first.0.weight"])


def test_half_a_run_is_an_error_and_never_mixed_with_the_kits_weights(config):
    save_checkpoint(Path("runs/tiny/checkpoints/pretrain_best.pth"), checkpoint_of(config, 0))
    with pytest.raises(CheckpointError, match="srgan_last.pth"):
        generators_of(config)


def test_a_run_without_pre_training_shows_what_srgan_began_with(config):
    config.pretrain.epochs, config.checkpoint = 0, "srresnet-x4"
    save_checkpoint(Path("runs/tiny/checkpoints/srgan_last.pth"), checkpoint_of(config, 1))
    generators, note, _ = generators_of(config)
    assert "srresnet-x4" in note and sum(p.numel() for p in generators["pretrain"].parameters()) == FULL


def test_a_stage_of_no_epochs_has_no_generator(config):
    config.pretrain.epochs = 0
    save_checkpoint(Path("runs/tiny/checkpoints/srgan_last.pth"), checkpoint_of(config, 1))
    assert list(generators_of(config)[0]) == ["srgan"]
    config.pretrain.epochs, config.epochs = 2, 0
    save_checkpoint(Path("runs/tiny/checkpoints/pretrain_best.pth"), checkpoint_of(config, 0))
    assert list(generators_of(config)[0]) == ["pretrain"]


def test_the_run_says_which_stages_it_has_and_not_the_other_notebooks_configuration(config):
    """A pre-training that was switched on in train.ipynb only is shown all the same."""
    save_config(config)
    for name in ("pretrain_best", "srgan_last"):
        save_checkpoint(Path("runs/tiny/checkpoints", f"{name}.pth"), checkpoint_of(config, 0))
    config.pretrain.epochs = 0
    assert list(generators_of(config)[0]) == ["pretrain", "srgan"]


def test_other_scaling_factors_have_no_weights_in_the_kit(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="pretrain_best.pth"):
        generators_of(tiny_config(data, scaling_factor=2))


# ---------------------------------------------------------------- between two networks

def test_weights_are_interpolated_and_the_networks_left_alone():
    seed_everything(0)
    first, second = (Generator(3, 3, 4, 1, 2).eval() for _ in range(2))
    with torch.no_grad():
        second.blocks[0].layers[1].running_mean += 2
    before = first.first[0].weight.clone()
    half = interpolated(first, second, 0.25)
    assert torch.allclose(half.first[0].weight, 0.75 * first.first[0].weight + 0.25 * second.first[0].weight)
    assert torch.allclose(half.blocks[0].layers[1].running_mean, torch.tensor(0.5))
    assert torch.equal(first.first[0].weight, before) and not half.training
    lr = torch.rand(1, 3, 6, 7)
    assert torch.equal(interpolated(first, second, 0)(lr), first(lr))
    assert torch.allclose(interpolated(first, second, 1)(lr), second(lr), atol=1e-6)


def test_beyond_both_ends_no_variance_is_negative():
    seed_everything(0)
    first, second = (Generator(3, 3, 4, 1, 2).eval() for _ in range(2))
    second.blocks[0].layers[1].running_var.fill_(0.1)
    beyond = interpolated(first, second, 3)
    assert beyond.blocks[0].layers[1].running_var.min() == 0 and torch.isfinite(beyond(torch.rand(1, 3, 6, 7))).all()


def test_networks_of_other_shapes_have_nothing_between_them():
    with pytest.raises(ValueError, match="same shape"):
        interpolated(Generator(3, 3, 4, 1, 2), Generator(3, 3, 8, 1, 2), 0.5)


def test_between_srresnet_and_srgan_texture_rises_with_alpha():
    lr = imresize(photo("coffee.png", 60, 180, 128, 160), 1 / 4)
    ends = [load_generator(SHIPPED[stage]) for stage in ("pretrain", "srgan")]
    texture = [gradient_magnitude(super_resolve(interpolated(*ends, alpha), lr)) for alpha in (0, 0.5, 1)]
    assert texture == sorted(texture) and texture[2] > 1.02 * texture[0]


def test_a_stage_of_no_epochs_is_left_out(config, data):
    import solver
    config.pretrain.epochs = config.epochs = 0
    assert solver.fit_pretrain(config, None, None, None) == []
    assert solver.fit_srgan(config, None, None, None, None, None) == []
    assert not Path("runs").exists()

"""SR3 and DDPM: what is learnt, how it is sampled, whole images, the run."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import extensions  # noqa: F401
from datasets import SRDataset, make_loader
from extensions import sr3
from extensions.interpolation import bicubic
from extensions.tiles import by_tiles
from extensions.train import extension_config, fit
from imresize import imresize
from inference import load_generator
from metrics import psnr
from support.checkpoints import load_checkpoint
from support.convert import to_float
from support.enlarging import super_resolve
from support.run import seed_everything
from tests.helpers import ROOT, learn, photo, tiny_config

TINY = dict(n_channels=8, multipliers=[1, 2], attention_at=[], n_res_blocks=1, dropout=0.0, groups=4, size=16)


def tiny(**options):
    torch.manual_seed(0)
    return sr3.SR3(**{**dict(unet=TINY, betas=sr3.SHORT, target="residual", n_steps=3, ddim=True), **options})


def as_tensor(image):
    return to_float(torch.from_numpy(image).permute(2, 0, 1)[None])


class Known(nn.Module):
    """In the place of the U-Net: the noise in x, where the image x0 is known.  ``levels``: what it was told."""

    factor = 1

    def __init__(self, x0):
        super().__init__()
        self.x0, self.levels = x0, []

    def forward(self, x, level):
        self.levels.append(level[0].item())
        level = level.view(-1, 1, 1, 1)
        return (x[:, -3:] - level * self.x0) / (1 - level**2).sqrt()


# ---------------------------------------------------------------- what is learnt

@pytest.mark.parametrize("target", ["image", "residual"])
def test_the_loss_of_a_perfect_prediction_is_zero(target):
    lr, hr = torch.rand(4, 3, 4, 4), torch.rand(4, 3, 16, 16) * 2 - 1
    network = tiny(target=target, betas=[1e-2, 0.1, 100])
    up = 2 * bicubic(lr, 4) - 1
    network.unet = Known(hr if target == "image" else (2 * (hr - up)).clamp(-1, 1))
    assert network.loss(lr, hr).item() < 1e-4
    network.unet.x0 = network.unet.x0 + 0.1
    assert network.loss(lr, hr).item() > 1e-3


def test_a_training_level_lies_between_those_of_two_steps():
    torch.manual_seed(0)
    network = tiny(betas=[0.3, 0.5, 2])                                 # alphabar: 1, 0.7, 0.35
    told, level = network.draw_levels(2000)
    steps = [math.sqrt(0.35), math.sqrt(0.7), 1.0]
    assert torch.equal(told, level) and steps[0] <= level.min() and level.max() <= 1
    # Each of the two intervals is drawn equally often, and its levels evenly.
    upper = level > steps[1]
    assert upper.double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert level[upper].mean().item() == pytest.approx((steps[1] + 1) / 2, abs=0.01)
    assert level[~upper].mean().item() == pytest.approx((steps[0] + steps[1]) / 2, abs=0.01)


def test_ddpm_is_told_the_step():
    network = tiny(variant="ddpm")
    told, level = network.draw_levels(500)
    assert torch.equal(told, told.round()) and {0, 99} <= set(told.tolist())
    alphabar = np.cumprod(1 - np.linspace(1e-6, 0.1, 100))
    assert np.allclose(level, np.sqrt(alphabar[told.long()]), atol=1e-12)


def test_the_embedding_is_that_of_the_specification():
    level = torch.tensor([0.0, 0.3, 1999.0])
    layer = sr3.NoiseEmbedding(64)
    seen = []
    layer.layers.register_forward_hook(lambda _, x, __: seen.append(x[0]))
    layer(level)
    k = np.arange(32)
    angles = level.numpy()[:, None].astype(float) * np.exp(-math.log(1e4) * k / 32)
    assert np.allclose(seen[0], np.concatenate([np.sin(angles), np.cos(angles)], axis=1), atol=2e-4)


@pytest.mark.slow
def test_the_loss_falls_on_one_batch_and_the_image_is_learnt_by_heart():
    """Black and white dots, of which LR keeps almost nothing: SR can have them from the weights only."""
    seed_everything(0)
    hr = np.random.default_rng(0).choice(np.array([30, 220], np.uint8), (16, 16, 1)).repeat(3, axis=2)
    lr = imresize(hr, 0.25)
    x, y = as_tensor(lr).expand(8, -1, -1, -1), 2 * as_tensor(hr).expand(8, -1, -1, -1) - 1
    network = tiny(unet=dict(TINY, n_channels=16, groups=8), n_steps=10, ddim=False)
    losses = learn(lambda: network.loss(x, y), network.parameters(), 400, 5e-3)
    assert np.mean(losses[-20:]) < 0.2 * np.mean(losses[:5])
    assert psnr(super_resolve(network, lr), hr) > psnr(imresize(lr, 4), hr) + 6


# ---------------------------------------------------------------- sampling

@pytest.mark.parametrize("options", [dict(n_steps=None, ddim=False), dict(n_steps=5)])
@pytest.mark.parametrize("target", ["image", "residual"])
def test_with_a_perfect_predictor_sr_is_hr(target, options):
    lr, hr = torch.rand(1, 3, 5, 6), (torch.rand(1, 3, 20, 24) * 2 - 1) * 0.2
    network = tiny(target=target, **options).eval()
    up = 2 * bicubic(lr, 4) - 1
    if target == "residual":
        hr = (up + hr).clamp(-1, 1)
    network.unet = Known(hr if target == "image" else 2 * (hr - up))
    # float32 keeps 1 - 10^-6, the level of the last steps, to some percent, and their noise is 10^-3.
    assert torch.allclose(network(lr), hr, atol=5e-4)


def test_in_sampling_the_network_is_told_the_level_of_each_step():
    network = tiny(betas=[1e-6, 1e-2, 2000], test_betas=sr3.SHORT, n_steps=None)
    network.unet = Known(torch.zeros(1, 3, 4, 4))
    network.eval()(torch.rand(1, 3, 1, 1))
    alphabar = np.cumprod(1 - np.linspace(1e-6, 0.1, 100))
    assert np.allclose(network.unet.levels, np.sqrt(alphabar[::-1]), atol=1e-6)
    assert network.unet.levels[0] ** 2 == pytest.approx(0.0056, rel=0.01)


def test_ddpm_cannot_use_another_schedule():
    network = tiny(variant="ddpm")
    network.walk(sr3.SHORT)
    with pytest.raises(ValueError, match="set n_steps"):
        network.walk([1e-4, 0.2, 50])
    with pytest.raises(ValueError, match="set n_steps"):
        tiny(variant="ddpm", test_betas=[1e-4, 0.2, 50])


def test_sampling_is_a_function_of_the_seed_and_leaves_the_random_state_alone():
    network, lr = tiny(ddim=False).eval(), torch.rand(1, 3, 4, 5)
    before = torch.get_rng_state()
    first, second = network(lr), network(lr)
    assert torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
    network.seed = 1
    assert not torch.equal(first, network(lr))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 5)])
def test_images_of_any_size(shape):
    network = tiny(unet=dict(TINY, multipliers=[1, 1, 2])).eval()
    sr = network(torch.rand(1, 3, *shape))
    assert sr.shape == (1, 3, 4 * shape[0], 4 * shape[1]) and sr.abs().max() <= 1


def test_without_a_condition_lr_is_not_used():
    network = tiny(conditional=False, target="image").eval()
    assert torch.equal(network(torch.rand(1, 3, 4, 4)), network(torch.rand(1, 3, 4, 4)))
    assert network.loss(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 16, 16)).isfinite()
    with pytest.raises(ValueError, match="target = 'image'"):
        tiny(conditional=False)


@pytest.mark.parametrize("options, text", [
    (dict(target="noise"), "target is 'image' or 'residual'"), (dict(variant="sr4"), "'sr4'"),
    (dict(unet=dict(TINY, groups=5)), "5 groups")])
def test_settings_that_do_not_fit_together_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        tiny(**options)


def test_the_process_shows_the_condition_and_ten_states():
    network, lr = tiny(n_steps=20).eval(), torch.rand(1, 3, 4, 4)
    states = sr3.process(network, lr)
    assert [title for title, _ in states][:2] == ["LR, upscaled", "0 of 20 steps"]
    assert len(states) == 11 and states[-1][0] == "20 of 20 steps"
    assert torch.equal(states[-1][1], network(lr)[0]) and torch.allclose(states[0][1], 2 * bicubic(lr, 4)[0] - 1)


# ---------------------------------------------------------------- tiles

@pytest.mark.parametrize("size", [(64, 200), (100, 36), (96, 96), (68, 68)])
def test_tiles_of_a_pixelwise_function_change_nothing(size):
    x = torch.randn(2, 3, *size)
    found = by_tiles(lambda a, b: 2 * a + b, 32, 4, x, x, together=3 * 32 * 32)
    assert torch.allclose(found, 3 * x, atol=1e-5)


@pytest.mark.parametrize("size, most", [((100, 60), 40), ((288, 288), 256), ((512, 344), 256), ((2000, 40), 96)])
def test_tiles_cover_the_image_begin_at_multiples_and_waste_little(size, most):
    place = torch.stack(torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij"))
    covered, seen = torch.zeros(size), []

    def record(x):
        for part in x:
            top, left = map(int, part[:, 0, 0])
            covered[top:top + part.shape[1], left:left + part.shape[2]] += 1
            seen.append((top, left, *part.shape[1:]))
        return x
    by_tiles(record, most, 4, place[None])
    assert covered.min() >= 1 and covered.mean() < 2
    assert all(top % 4 == left % 4 == h % 4 == w % 4 == 0 and max(h, w) <= most for top, left, h, w in seen)
    assert len({tile[2:] for tile in seen}) == 1


def test_no_border_of_a_tile_is_visible():
    """A function that answers with one number a tile, its mean: the blend is smooth all the same."""
    torch.manual_seed(0)
    result = by_tiles(lambda x: x.mean(dim=(2, 3), keepdim=True).expand_as(x), 32, 4, torch.randn(1, 1, 80, 80) * 30)
    jumps = [result.diff(dim=axis).abs().max() for axis in (2, 3)]
    assert max(jumps) < 0.2 * (result.max() - result.min())


def test_tiles_are_the_whole_image_where_the_network_sees_pixels_only():
    network, lr = tiny().eval(), torch.rand(1, 3, 12, 20)
    network.predict = lambda x, condition, told: 0.5 * x + 0.1 * condition
    whole = network(lr)
    network.tile = 16
    assert torch.allclose(network(lr), whole, atol=1e-4)


# ---------------------------------------------------------------- the run

def run_config(data, **changes):
    config = tiny_config(data, **{"name": "run", "n_valid": 1, **changes})
    config.add(stages=["sr3"], method="sr3",
               sr3=dict(epochs=2, updates_per_epoch=4, lr=1e-3,
                        network=dict(unet=TINY, betas=sr3.SHORT, target="residual", n_steps=2, ddim=True)))
    return config


def train(config, loader=None):
    seed_everything(config.seed)
    network = sr3.build(config, "sr3")
    loader = loader or make_loader(SRDataset("train", config), 4, n_batches=4)
    return network, fit(config, "sr3", network, loader, SRDataset("valid", config))


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_bit_for_bit(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network, history = train(run_config(data, name="whole"))
    config = run_config(data, name="killed", checkpoint_every=1)

    class Kill(Exception):
        pass

    losses, real = [], sr3.SR3.loss

    def loss(self, lr, hr):
        if len(losses) == 6:                                # in the second epoch
            raise Kill
        losses.append(0)
        return real(self, lr, hr)
    monkeypatch.setattr(sr3.SR3, "loss", loss)
    with pytest.raises(Kill):
        train(config)
    monkeypatch.setattr(sr3.SR3, "loss", real)
    again, resumed = train(config)
    assert all(torch.equal(a, b)
               for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True))
    assert [row["content"] for row in history] == [row["content"] for row in resumed]


def test_a_checkpoint_becomes_a_network_again(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(run_config(data))
    path = tmp_path / "runs/run/checkpoints/sr3_best.pth"
    network = load_generator(path)
    assert network.settings == load_checkpoint(path)["settings"] and network.ddim and network.n_steps == 2
    assert super_resolve(network, photo("coffee.png", 0, 0, 9, 11)).shape == (36, 44, 3)


@pytest.mark.parametrize("preset", list(sr3.PRESETS))
def test_every_preset_builds_its_network(preset, monkeypatch):
    monkeypatch.setattr(sr3, "_orthogonal", lambda layer: None)
    config = extension_config("sr3", preset)
    with torch.device("meta"):
        network = sr3.build(config, "sr3")
    assert config.stages == ["sr3"] and config.crop_size % network.unet.factor == 0
    n = sum(p.numel() for p in network.parameters())
    assert n == {"small": 560_475, "small_image": 560_475, "full": 97_807_491}.get(preset, n)


@pytest.mark.long
def test_the_command_trains_the_demo(tmp_path):
    done = subprocess.run([sys.executable, "-m", "extensions", "sr3", "--name", "short", "--set", "sr3.epochs=1",
                           "sr3.updates_per_epoch=3"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
                          env={"PYTHONPATH": str(ROOT), "PATH": ""}, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs/short/checkpoints/sr3_best.pth").exists()


def test_mixed_precision_does_not_touch_the_noise_level():
    embedding = sr3.NoiseEmbedding(16)
    levels = torch.linspace(0.995, 1, 50)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = embedding(levels)
    assert torch.equal(mixed, embedding(levels)) and len(mixed.unique(dim=0)) == 50

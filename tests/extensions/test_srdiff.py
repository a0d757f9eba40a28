"""SRDiff: its parts by closed formulas, sampling of whole images, training and its interruptions."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from extensions import srdiff
from extensions.interpolation import bicubic
from extensions.mish import mish
from extensions.srdiff_sampling import Tiles, content_fusion, diverse, latent_interpolation
from extensions.train import extension_config, fit, loaders, main, train_all
from imresize import imresize
from inference import generators_of, load_generator
from metrics import psnr
from support.checkpoints import CheckpointError, save_generator
from support.enlarging import super_resolve
from support.run import seed_everything, stage_config
from tests.helpers import Stop, differences, last, learn, photo

SMALL = dict(encoder=dict(n_channels=8, n_blocks=2), n_channels=8, multipliers=(1, 2, 2), n_train_steps=20)


def model_of(seed=0, **changes):
    seed_everything(seed)
    return srdiff.SRDiff(**{**SMALL, **changes}).eval()


# ---------------------------------------------------------------- the parts

def test_mish_and_its_slope_are_those_of_the_formula():
    x = torch.linspace(-30, 30, 2001, dtype=torch.float64)
    sigmoid, t = 1 / (1 + torch.exp(-x)), torch.tanh(torch.log1p(torch.exp(x)))
    z = x.float().requires_grad_()
    y = mish(z)
    slope, = torch.autograd.grad(y.sum(), z)
    assert torch.allclose(y.double(), x * t, atol=2e-6)
    assert torch.allclose(slope.double(), t + x * (1 - t**2) * sigmoid, atol=2e-6)


def test_mish_survives_the_largest_numbers():
    x = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4, 1e30], requires_grad=True)
    y = mish(x)
    slope, = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, torch.tensor([0.0, 0, 0, 100, 1e4, 1e30]))
    assert torch.allclose(slope, torch.tensor([0, 0, 0.6, 1, 1, 1]), atol=1e-6)


@pytest.mark.parametrize("scale, size", [(4, (7, 12)), (8, (3, 5)), (4, (1, 2))])
def test_bicubic_of_tensors_is_imresize(scale, size):
    image = np.random.default_rng(0).random((*size, 3))
    found = bicubic(torch.from_numpy(image).permute(2, 0, 1)[None].float(), scale)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - imresize(image, scale)).max() < 1e-6


def test_bicubic_is_not_torchs_and_can_be_trained_through():
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        bicubic(images, 4)              # what it keeps must not spoil a later training
    images.requires_grad_()
    up = bicubic(images, 4)
    slope, = torch.autograd.grad(up.sum(), images)
    assert slope.sum().item() == pytest.approx(images.numel() * 16, rel=1e-5)         # the weights of a row sum to 1
    theirs = functional.interpolate(images, scale_factor=4, mode="bicubic", align_corners=False)
    assert (up - theirs).abs().max() > 0.01


def test_residual_and_image_undo_each_other_where_the_residual_fits():
    up = torch.rand(1, 3, 4, 4) * 2 - 1
    hr = up + torch.tensor([0.3, -0.5, 0.5]).view(1, 3, 1, 1)
    residual = srdiff.SRDiff.residual_of(hr, up)
    assert torch.allclose(residual[0, :, 0, 0], torch.tensor([0.6, -1.0, 1.0]), atol=1e-6)
    assert torch.allclose(srdiff.SRDiff.picture_of(residual, up), hr, atol=1e-6)
    assert torch.equal(srdiff.SRDiff.residual_of(up + 0.8, up), torch.ones_like(up))


def test_the_loss_is_the_distance_from_the_noise_that_was_added():
    model, lr, hr = model_of(), torch.rand(3, 3, 6, 6), torch.rand(3, 3, 24, 24) * 2 - 1
    seen = {}

    class Spy(nn.Module):
        def forward(self, x, features, t):
            seen.update(x=x, t=t, features=features)
            return torch.zeros_like(x)
    model.unet = Spy()
    loss = model.loss(lr, hr)
    residual = (2 * (hr.double() - (2 * torch.from_numpy(np.stack(
        [imresize(image.permute(1, 2, 0).double().numpy(), 4) for image in lr])).permute(0, 3, 1, 2) - 1))).clamp(-1, 1)
    noise = torch.empty_like(residual)
    for k, t in enumerate(seen["t"].tolist()):
        keep = math.prod(1 - beta.item() for beta in model.diffusion.betas[:t + 1])
        noise[k] = (seen["x"][k] - math.sqrt(keep) * residual[k]) / math.sqrt(1 - keep)
    assert loss.item() == pytest.approx(noise.abs().mean().item(), rel=1e-4)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(seen["features"], model.encoder.features(lr)[1]) and not seen["features"].requires_grad


def test_the_presets_are_the_papers_networks_and_updates():
    for preset, parameters in (("full", 13_234_022), ("large", 25_316_358)):
        config = extension_config("srdiff", preset)
        network = srdiff.SRDiff(**config.SRDiff)
        assert sum(p.numel() for p in network.parameters()) == parameters
        assert network.diffusion.n_steps == 100 and network.n_steps is None and not network.ddim
        updates = {stage: stage_config(config, stage).epochs * stage_config(config, stage).updates_per_epoch
                   for stage in config.stages}
        assert updates == {"srdiff_encoder": 100_000, "srdiff": 400_000} and config.crop_size == 160


@pytest.mark.parametrize("multipliers", [(1, 2), (1, 1, 2)])
def test_it_may_begin_with_x_as_the_noise_and_with_bilinear_interpolation(multipliers):
    model, lr, x = model_of(multipliers=multipliers, n_channels=12), torch.rand(2, 3, 6, 8), torch.randn(2, 3, 24, 32)
    model.encoder.start_as_interpolation(), model.unet.start_as_interpolation()
    noise = model.unet(x, model.encoder.features(lr)[1], torch.tensor([3, 17]))
    assert (noise - x).abs().mean() < 0.02 and (noise - x)[x > -2].abs().max() < 0.1
    twice = lr
    for _ in range(2):
        twice = functional.interpolate(twice, scale_factor=2, mode="bilinear", align_corners=False)
    region = (..., slice(4, -4), slice(4, -4))                  # at the border there are zeros around LR
    assert torch.allclose(model.encoder(lr)[region], (2 * twice - 1)[region], atol=1e-5)
    with pytest.raises(ValueError, match='12 channels or more, not 8; set config.start = "random"'):
        model_of().unet.start_as_interpolation()


# ---------------------------------------------------------------- sampling

def test_sampling_is_a_function_of_the_seed_and_of_lr():
    model, lr = model_of(), torch.rand(1, 3, 6, 8)
    first = model(lr)
    assert first.shape == (1, 3, 24, 32)
    torch.rand(5)                                   # the global random state does not matter
    assert torch.equal(model(lr), first)
    state = torch.get_rng_state()
    model.seed = 1
    assert not torch.equal(model(lr), first) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 9), (8, 8)])
def test_images_of_any_size_are_upscaled(size):
    lr = (np.random.default_rng(0).random((*size, 3)) * 255).astype(np.uint8)
    sr = super_resolve(model_of(n_steps=2, ddim=True), lr)
    assert sr.dtype == np.uint8 and sr.shape == (4 * size[0], 4 * size[1], 3)


@pytest.mark.parametrize("ddim", [False, True])
def test_with_a_perfect_predictor_hr_comes_back(ddim, monkeypatch):
    model, lr = model_of(ddim=ddim), torch.rand(1, 3, 5, 7)
    hr = model.enlarged(lr) + 0.4 * (torch.rand(1, 3, 20, 28) - 0.5)
    x0 = torch.zeros(1, 3, 20, 28)
    x0[...] = 2 * (hr - model.enlarged(lr))

    def noise(tiles, x, t):
        keep = model.diffusion.alphabar[t].item()
        return (x - math.sqrt(keep) * x0) / math.sqrt(1 - keep)
    monkeypatch.setattr(Tiles, "noise", noise)
    # From the middle: at the last step float32 has only a part in 2,000 of the image left next to the noise.
    x = model.diffusion.add_noise(x0, torch.tensor([12]), torch.randn_like(x0))
    assert torch.allclose(model.sample(lr, x=x, start=12), hr, atol=1e-4)


def test_the_margin_is_as_far_as_the_u_net_looks_and_no_farther():
    for multipliers in ((1, 2), (1, 2, 2)):
        unet = srdiff.UNet(4, multipliers, 8, 4).double()
        margin = unet.receptive_margin()
        n = 2 * (margin + 16) // 8 * 8
        x = torch.randn(1, 3, 8, n, dtype=torch.float64, requires_grad=True)
        features = torch.randn(1, 8, 2, n // 4, dtype=torch.float64)
        y = unet(x, features, torch.tensor([3]))
        farthest = 0
        for column in range(n // 2, n // 2 + unet.cell):        # wherever it lies on the grid of the strides
            slope, = torch.autograd.grad(y[..., column].sum(), x, retain_graph=True)
            seen = slope.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
            farthest = max(farthest, column - seen.min().item(), seen.max().item() - column)
        assert margin - unet.cell <= farthest <= margin


@pytest.mark.parametrize("ddim", [False, True])
def test_tiles_leave_no_seams(ddim):
    model, lr = model_of(multipliers=(1, 2), n_steps=4, ddim=ddim), torch.rand(1, 3, 35, 27)
    whole = model(lr)
    model.memory = 2_800_000
    tiles = Tiles(model, lr)
    assert 8 < len(tiles.boxes) < 30 and tiles.projected is None
    assert torch.allclose(model(lr), whole, atol=1e-4)


def test_the_condition_is_computed_once():
    model, calls = model_of(n_steps=6), []
    model.unet.condition.register_forward_hook(lambda *_: calls.append("condition"))
    model.encoder.first.register_forward_hook(lambda *_: calls.append("encoder"))
    model(torch.rand(1, 3, 8, 8))
    assert calls == ["encoder", "condition"]


def test_sampling_shows_an_image_after_each_step():
    model, lr, shown = model_of(n_steps=3, ddim=True), torch.rand(1, 3, 5, 5), []
    sr = model.sample(lr, on_step=lambda number, expected, x: shown.append((number, expected, x)))
    assert [number for number, _, _ in shown] == [0, 1, 2]
    assert torch.equal(shown[-1][1], sr) and all(x.shape == sr.shape for _, _, x in shown)


def test_diverse_samples_differ_and_leave_the_seed_alone():
    model, lr = model_of(), torch.rand(1, 3, 4, 4)
    model.seed = 7
    images = diverse(model, lr, (1, 2, 1))
    assert torch.equal(images[0], images[2]) and not torch.equal(images[0], images[1]) and model.seed == 7


def test_latent_interpolation_starts_from_the_noisy_mixture(monkeypatch):
    model, lr = model_of(), torch.rand(1, 3, 16, 16)
    images = [model.enlarged(lr) + value for value in (0.25, -0.25)]
    begun = []
    monkeypatch.setattr(model, "sample", lambda lr, x, start: begun.append((x, start)))
    latent_interpolation(model, lr, *images, t=8, weights=(0, 0.5, 1))
    keep = model.diffusion.alphabar[7].item()
    for (x, start), mean in zip(begun, (0.5, 0, -0.5)):
        assert start == 7
        assert x.mean().item() == pytest.approx(math.sqrt(keep) * mean, abs=0.03)
        assert x.std().item() == pytest.approx(math.sqrt(1 - keep), rel=0.03)           # also in the middle


def test_content_fusion_pastes_only_the_box():
    model, lr = model_of(n_steps=2), torch.rand(1, 3, 6, 6)
    own, other = torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24)
    pasted, fused = content_fusion(model, lr, own, other, (4, 8, 10, 12), t=3)
    assert pasted.sum().item() == 3 * 10 * 12 and pasted[0, 0, 4, 8] == 1 and pasted[0, 0, 14, 8] == 0
    assert fused.shape == own.shape and torch.equal(own, torch.zeros_like(own))


def test_what_does_not_fit_is_refused():
    model, lr, hr = model_of(), torch.rand(1, 3, 6, 6), torch.zeros(1, 3, 24, 24)
    with pytest.raises(ValueError, match="1 to 20; it is 21"):
        latent_interpolation(model, lr, hr, hr, t=21)
    with pytest.raises(ValueError, match="not one of this LR"):
        latent_interpolation(model, lr, hr[..., :8], hr)
    with pytest.raises(ValueError, match=r"not inside an image of 24 x 24"):
        content_fusion(model, lr, hr, hr, (10, 10, 20, 4))
    with pytest.raises(ValueError, match="4 or 8 times, not 2"):
        srdiff.SRDiff(scaling_factor=2)


# ---------------------------------------------------------------- training

@pytest.fixture
def config(data, tmp_path, monkeypatch):
    """Both stages in seconds."""
    monkeypatch.chdir(tmp_path)
    config = extension_config("srdiff", "demo", str(data), "tiny", seed=3)
    config.update(crop_size=16, patch_num=10, device="cpu", print_freq=1, checkpoint_every=3)
    config.SRDiff = dict(SMALL, n_channels=12, multipliers=(1, 2), n_steps=2, ddim=True)
    for stage in config.stages:
        config[stage].update(updates_per_epoch=5)
    return config


@pytest.mark.slow
def test_both_stages_are_trained_and_the_encoder_stays_as_it_was(config):
    histories = train_all(config, lambda: None)
    assert {stage: len(rows) for stage, rows in histories.items()} == {"srdiff_encoder": 2, "srdiff": 2}
    trained, before = last(config, "srdiff"), last(config, "srdiff_encoder", "best")["averaged"]
    for kind in ("generator", "averaged"):
        assert all(torch.equal(trained[kind][f"encoder.{name}"], value) for name, value in before.items())
    fresh = srdiff.build(config, "srdiff").state_dict()
    assert not torch.equal(trained["generator"]["unet.head.1.weight"], fresh["unet.head.1.weight"])
    # What the notebooks show: the stages in order, so that the last one is SRDiff.
    generators, note, _ = generators_of(config)
    assert list(generators) == ["srdiff_encoder", "srdiff"] and "of this run" in note
    assert generators["srdiff"].ddim and generators["srdiff"].n_steps == 2
    model, note, run = srdiff.model_to_show(config)
    assert isinstance(model, srdiff.SRDiff) and "of this run" in note and run == config.name == "tiny"
    Path("runs/tiny/checkpoints/srdiff_best.pth").unlink()
    with pytest.raises(CheckpointError, match="srdiff_best.pth"):        # and not the kit's in its place
        srdiff.model_to_show(config)


def test_without_an_encoder_there_is_no_training(config, tmp_path):
    with pytest.raises(CheckpointError, match="srdiff_encoder_best.pth.*Train the stage srdiff_encoder first"):
        srdiff.build(config, "srdiff")
    config.encoder = str(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="none.pth"):
        srdiff.build(config, "srdiff")


def test_an_encoder_of_another_size_is_refused_and_one_of_another_run_taken(config, tmp_path):
    config.encoder = str(tmp_path / "e.safetensors")
    save_generator(config.encoder, srdiff.Encoder(4, 2))
    with pytest.raises(CheckpointError, match="'n_channels': 4.*needs.*'n_channels': 8"):
        srdiff.build(config, "srdiff")
    other = model_of(5)
    for file in (other.encoder, other):                  # an encoder by itself, or that of a whole SRDiff
        save_generator(config.encoder, file)
        taken = srdiff.build(config, "srdiff").encoder
        assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), other.encoder.parameters(), strict=True))
        assert not any(p.requires_grad for p in taken.parameters())


@pytest.mark.parametrize("stage, after", [("srdiff_encoder", 4), pytest.param("srdiff", 7, marks=pytest.mark.slow)])
def test_a_stopped_run_resumes_bit_for_bit(config, stage, after, tmp_path):
    config.encoder = str(tmp_path / "e.safetensors")
    save_generator(config.encoder, model_of(5).encoder)

    def run(name, monitor=None):
        own = copy.deepcopy(config)
        own.name = name
        seed_everything(own.seed)
        network = srdiff.build(own, stage)
        return fit(own, stage, network, *loaders(own, stage), monitor), own
    _, whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", Stop(after))
    _, resumed = run("stopped")
    assert differences(last(whole, stage), last(resumed, stage)) == []


@pytest.mark.slow
def test_a_stage_is_not_taken_for_another_whose_name_begins_alike(config):
    config.stages = ["srdiff_encoder"]
    train_all(config, lambda: None)
    config.stages = ["srdiff_encoder", "srdiff"]
    train_all(config, lambda: None)                      # "srdiff_encoder_best.pth" is no trace of "srdiff"
    folder = Path("runs/tiny/checkpoints")
    for which in ("last", "previous"):
        (folder / f"srdiff_{which}.pth").unlink()
    with pytest.raises(CheckpointError, match="srdiff_best.pth, srdiff_epoch_001"):
        train_all(config, lambda: None)


def one_photograph(size):
    hr = photo("astronaut.png", 60, 180, 4 * size, 4 * size)
    to_tensor = lambda image: torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255        # noqa: E731
    return hr, to_tensor(imresize(hr, 1 / 4)), 2 * to_tensor(hr) - 1


@pytest.mark.slow
def test_the_loss_of_one_batch_falls_to_nearly_nothing():
    _, lr, hr = one_photograph(4)
    model = model_of(multipliers=(1, 2), n_channels=16).train()

    def loss():
        torch.manual_seed(1)                             # one batch: also the same steps and the same noise
        return model.loss(lr, hr)
    losses = learn(loss, model.unet.parameters(), 400)
    assert losses[0] > 0.6 and losses[-1] < 0.05


def test_the_encoders_loss_is_l1_and_falls():
    _, lr, hr = one_photograph(6)
    seed_everything(0)
    encoder = srdiff.Encoder(8, 2).train()
    assert encoder.loss(lr, hr).item() == pytest.approx((encoder(lr) - hr).abs().mean().item())
    losses = learn(lambda: encoder.loss(lr, hr), encoder.parameters(), 60)
    assert losses[-1] < losses[0] / 4


@pytest.mark.long
def test_both_stages_overfit_one_image():
    image, lr, hr = one_photograph(6)
    model = model_of(encoder=dict(n_channels=16, n_blocks=2), n_channels=24, n_train_steps=100, n_steps=10).train()
    many = [x.expand(8, -1, -1, -1).contiguous(memory_format=torch.channels_last) for x in (lr, hr)]   # of noise
    learn(lambda: model.encoder.loss(lr, hr), model.encoder.requires_grad_(True).parameters(), 200, 2e-3)
    model.encoder.requires_grad_(False)
    learn(lambda: model.loss(*many), model.unet.parameters(), 600, 2e-3)
    small = imresize(image, 1 / 4)
    # The encoder alone reaches 32 dB; with the residual that the U-Net has learnt by heart it is 50.
    assert psnr(super_resolve(model.eval(), small), image) > psnr(imresize(small, 4), image) + 10


@pytest.mark.slow
def test_the_command_trains_and_leaves_what_can_be_loaded(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["srdiff", "--preset", "demo", "--data", str(data), "--name", "short", "--set", "crop_size=16",
                 "srdiff.updates_per_epoch=2", "srdiff_encoder.updates_per_epoch=2", "patch_num=10"]) == 0
    model = load_generator("runs/short/checkpoints/srdiff_best.pth")
    assert isinstance(model, srdiff.SRDiff) and not model.training
    assert isinstance(load_generator("runs/short/checkpoints/srdiff_encoder_best.pth"), srdiff.Encoder)

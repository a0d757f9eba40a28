"""Losses by hand, who is updated when, what happens on NaN, precision, schedules, validation, the fit loops."""

import copy
import csv
import json
import math

import numpy as np
import pytest
import torch
from easydict import EasyDict
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain import plain_layers, pretrain_step, srgan_step
from datasets import SRDataset, make_loader
from imresize import imresize
from inference import load_generator
from metrics import psnr, ssim
from models import Discriminator, Generator, TruncatedVGG19
from solver import PerceptualLoss, fit_pretrain, fit_srgan, grid_loss, pretrain, train
from support.checkpoints import load_checkpoint
from support.convert import to_float
from support.enlarging import evaluate, mean_of, super_resolve
from support.networks import LayersMissing
from support.precision import Precision
from support.run import EpochProgress, learning_rate, run_folder, seed_everything
from support.safeguards import TrainingDiverged
from tests.helpers import Stop, differences, last, run_of, tiny_config

# ---------------------------------------------------------------- stand-ins with known weights


class StubG(nn.Module):
    """SR = w * LR + b, every pixel doubled: two weights."""

    def __init__(self, w=1.5, b=-0.6):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.tensor(b))

    def forward(self, lr):
        return (self.w * lr + self.b).repeat_interleave(2, -1).repeat_interleave(2, -2)


class StubD(nn.Module):
    """Logit = a * mean of the image + c."""

    def __init__(self, a=0.8, c=0.3):
        super().__init__()
        self.a, self.c = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(c))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return self.a * images.mean(dim=(1, 2, 3))[:, None] + self.c


class StubVGG(nn.Module):
    """Features = 3 * image."""

    def forward(self, images):
        return 3 * images


def batches_of(seed=0, sizes=(2, 2, 1)):
    """A plain DataLoader (5 patches in batches of 2, 2, 1) and its content as numpy arrays."""
    generator = torch.Generator().manual_seed(seed)
    lr, hr = torch.rand(sum(sizes), 3, 2, 2, generator=generator), torch.rand(sum(sizes), 3, 4, 4, generator=generator)
    loader = DataLoader(TensorDataset(lr, hr), batch_size=sizes[0])
    return loader, [(a.double().numpy(), b.double().numpy()) for a, b in loader]


def doubled(x):
    return x.repeat(2, axis=-1).repeat(2, axis=-2)


def weighted_mean(values, sizes):
    return sum(v * n for v, n in zip(values, sizes)) / sum(sizes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def run_train(loader, g, d, vgg, rate=0.1, beta=0.5, adversarial=None, **around):
    return train(loader, g, d, vgg, nn.MSELoss(), adversarial or nn.BCEWithLogitsLoss(),
                 torch.optim.SGD(g.parameters(), rate), torch.optim.SGD(d.parameters(), rate), 0, "cpu", beta, 100,
                 progress=EpochProgress("cpu", **around))


# ---------------------------------------------------------------- losses by hand

def test_pretraining_by_hand():
    loader, content = batches_of()
    g, w, b, losses = StubG(), 1.5, -0.6, []
    meters = pretrain(loader, g, nn.MSELoss(), torch.optim.SGD(g.parameters(), 0.1), 0, "cpu", 100)
    for lr, hr in content:
        error = doubled(w * lr + b) - (2 * hr - 1)                   # the pixel MSE is taken on [-1, 1]
        losses.append(np.mean(error**2))
        w, b = w - 0.1 * np.mean(2 * error * doubled(lr)), b - 0.1 * np.mean(2 * error)
    assert list(meters) == ["content"]
    assert meters["content"].avg == pytest.approx(weighted_mean(losses, (2, 2, 1)), rel=1e-5)
    assert meters["content"].val == pytest.approx(losses[-1], rel=1e-5)
    assert (g.w.item(), g.b.item()) == pytest.approx((w, b), rel=1e-5)


@pytest.mark.parametrize("content_loss", ["vgg", "mse"])
def test_srgan_by_hand(content_loss):
    loader, content = batches_of()
    g, d, beta, rate = StubG(), StubD(), 0.5, 0.1
    meters = run_train(loader, g, d, StubVGG() if content_loss == "vgg" else None, rate, beta)
    # VGG sees [0, 1], so differences are halved and then tripled; the pixel loss sees [-1, 1].
    k = 3 / 2 if content_loss == "vgg" else 1
    w, b, a, c = 1.5, -0.6, 0.8, 0.3
    rows = {name: [] for name in ("content", "adversarial", "discriminator", "d_real", "d_sr")}
    for lr, hr in content:
        hr = 2 * hr - 1
        sr, up = doubled(w * lr + b), doubled(lr)
        means, real_means, up_means = (x.mean(axis=(1, 2, 3)) for x in (sr, hr, up))
        judged = a * means + c
        rows["content"].append(np.mean((k * (sr - hr))**2))
        rows["adversarial"].append(beta * np.mean(softplus(-judged)))                      # -log D(G(lr))
        pull = -beta * (1 - sigmoid(judged)) * a
        dw = np.mean(2 * k**2 * (sr - hr) * up) + np.mean(pull * up_means)
        db = np.mean(2 * k**2 * (sr - hr)) + np.mean(pull)
        # D sees the SR that was made before G's step.
        real, fake = a * real_means + c, a * means + c
        rows["discriminator"].append(np.mean(softplus(-real)) + np.mean(softplus(fake)))   # -log D(hr) - log(1 - D(sr))
        rows["d_real"].append(sigmoid(real).mean())
        rows["d_sr"].append(sigmoid(fake).mean())
        da = np.mean(-(1 - sigmoid(real)) * real_means) + np.mean(sigmoid(fake) * means)
        dc = np.mean(-(1 - sigmoid(real))) + np.mean(sigmoid(fake))
        w, b, a, c = w - rate * dw, b - rate * db, a - rate * da, c - rate * dc
    assert set(meters) == set(rows)
    for name, values in rows.items():
        assert meters[name].avg == pytest.approx(weighted_mean(values, (2, 2, 1)), rel=1e-4), name
        assert meters[name].val == pytest.approx(values[-1], rel=1e-4), name
    assert (g.w.item(), g.b.item(), d.a.item(), d.c.item()) == pytest.approx((w, b, a, c), rel=1e-4)


# ---------------------------------------------------------------- who learns from what

def networks(seed=0):
    torch.manual_seed(seed)
    config = tiny_config("nowhere")
    return Generator(config), Discriminator(config)


def patch_loader(data, n_batches=None):
    return make_loader(SRDataset("train", tiny_config(data)), 4, n_batches=n_batches)


@pytest.mark.parametrize("term", ["mse", "vgg", "adversarial"])
def test_every_term_alone_reaches_every_weight_of_the_generator(data, term):
    g, d = networks()
    vgg = TruncatedVGG19(1, 2, weights="random") if term == "vgg" else None
    before = copy.deepcopy(g)
    optimizer_g = torch.optim.SGD(g.parameters(), 1.0)
    reached = {}
    optimizer_g.register_step_pre_hook(lambda *_: reached.update(
        {name: p.grad is not None and bool(p.grad.abs().sum() > 0) for name, p in g.named_parameters()}))
    criterion = nn.MSELoss() if term != "adversarial" else lambda sr, hr: 0 * sr.mean()
    train(patch_loader(data, n_batches=1), g, d, vgg, criterion, nn.BCEWithLogitsLoss(), optimizer_g,
          torch.optim.SGD(d.parameters(), 1.0), 0, "cpu", 1e3 if term == "adversarial" else 0.0, 100)
    assert all(reached.values()), reached
    assert not torch.equal(before.last.weight, g.last.weight)


def test_without_any_term_the_generator_stays(data):
    g, d = networks()
    before = copy.deepcopy(g.state_dict())
    train(patch_loader(data), g, d, None, lambda sr, hr: 0 * sr.mean(), nn.BCEWithLogitsLoss(),
          torch.optim.SGD(g.parameters(), 1.0), torch.optim.SGD(d.parameters(), 1.0), 0, "cpu", 0.0, 100)
    assert all(torch.equal(p, before[name]) for name, p in g.named_parameters())


def snapshot(network):
    return [p.detach().clone() for p in network.parameters()]


def unchanged(network, before):
    return all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


def gradients(network):
    return [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def same_gradients(a, b):
    return all((x is None) == (y is None) and (x is None or torch.equal(x, y)) for x, y in zip(a, b, strict=True))


def test_each_step_changes_its_own_network_only(data):
    g, d = networks()
    vgg = TruncatedVGG19(1, 2, weights="random")
    vgg_before = snapshot(vgg)
    optimizer_g, optimizer_d = torch.optim.Adam(g.parameters(), 1e-3), torch.optim.Adam(d.parameters(), 1e-3)
    seen = {"g": snapshot(g), "d": snapshot(d), "d.grad": gradients(d), "g.grad": gradients(g)}
    steps = []

    def before_g(*_):
        steps.append("g")
        assert unchanged(d, seen["d"]) and same_gradients(gradients(d), seen["d.grad"])   # nothing flowed into D
        assert unchanged(g, seen["g"])

    def after_g(*_):
        assert not unchanged(g, seen["g"]) and unchanged(d, seen["d"])
        seen.update({"g": snapshot(g), "g.grad": gradients(g)})

    def before_d(*_):
        steps.append("d")
        assert unchanged(g, seen["g"]) and same_gradients(gradients(g), seen["g.grad"])   # nothing flowed into G
        assert all(p.requires_grad and p.grad is not None for p in d.parameters())

    def after_d(*_):
        assert not unchanged(d, seen["d"]) and unchanged(g, seen["g"])
        seen.update({"d": snapshot(d), "d.grad": gradients(d)})

    optimizer_g.register_step_pre_hook(before_g), optimizer_g.register_step_post_hook(after_g)
    optimizer_d.register_step_pre_hook(before_d), optimizer_d.register_step_post_hook(after_d)
    train(patch_loader(data, n_batches=4), g, d, vgg, nn.MSELoss(), nn.BCEWithLogitsLoss(), optimizer_g, optimizer_d,
          0, "cpu", 1e-3, 100)
    assert steps == ["g", "d"] * 4
    assert all(p.requires_grad for p in d.parameters()) and all(p.requires_grad for p in g.parameters())
    assert unchanged(vgg, vgg_before) and all(p.grad is None for p in vgg.parameters())


def test_hr_and_sr_go_into_the_discriminator_apart_and_in_the_same_range():
    loader, content = batches_of()
    g, d = StubG(), StubD()
    run_train(loader, g, d, None, rate=0.0)
    assert [len(images) for images in d.seen] == [2, 2, 2, 2, 1, 1]         # SR once: D judges it for both losses
    for n, (lr, hr) in enumerate(content):
        judged, real = d.seen[2 * n:2 * n + 2]
        assert judged.requires_grad and np.allclose(judged.detach(), doubled(1.5 * lr - 0.6), atol=1e-6)
        assert not real.requires_grad and np.allclose(real, 2 * hr - 1, atol=1e-6)


def test_the_discriminator_sees_hr_and_sr_from_the_same_random_place():
    torch.manual_seed(0)
    loader, content = batches_of(sizes=(1,) * 40)
    g, d = StubG(), StubD()
    run_train(loader, g, d, None, rate=0.0, d_shift=2)
    places = set()
    for n, (lr, hr) in enumerate(content):
        judged, real = (images.detach() for images in d.seen[2 * n:2 * n + 2])
        found = [(y, x) for y in range(3) for x in range(3)
                 if np.allclose(real, 2 * hr[:, :, y:y + 2, x:x + 2] - 1, atol=1e-6)]
        assert len(found) == 1 and judged.shape == real.shape == (1, 3, 2, 2)
        (y, x), = found
        assert np.allclose(judged, doubled(1.5 * lr - 0.6)[:, :, y:y + 2, x:x + 2], atol=1e-6)
        places.add((y, x))
    assert len(places) == 9


def test_the_fast_steps_give_the_weights_of_the_plain_ones(data):
    g, d = networks()
    vgg = TruncatedVGG19(2, 1, weights="random")
    plain_g, plain_d, plain_vgg = plain_layers(g), copy.deepcopy(d), copy.deepcopy(vgg).requires_grad_(True)
    optimizers = [torch.optim.SGD(network.parameters(), 0.05, momentum=0.9) for network in (plain_g, plain_d)]
    batches = [[to_float(x).contiguous() for x in batch] for batch in patch_loader(data, n_batches=3)]
    batches = [(lr, 2 * hr - 1) for lr, hr in batches]
    plain_losses = [pretrain_step(plain_g, optimizers[0], *batch) for batch in batches]
    plain_losses += [srgan_step(plain_g, plain_d, plain_vgg, *optimizers, *batch, beta=0.1) for batch in batches]

    precision = Precision("cpu", channels_last=True)
    g, d, vgg = map(precision.to_device, (g, d, vgg))
    optimizer_g, optimizer_d = (torch.optim.SGD(network.parameters(), 0.05, momentum=0.9) for network in (g, d))
    losses = []

    def keep(update, meters):
        values = tuple(meters[name].val for name in ("content", "adversarial", "discriminator") if name in meters)
        losses.append(values if len(values) > 1 else values[0])
    loader = patch_loader(data, n_batches=3)
    pretrain(loader, g, nn.MSELoss(), optimizer_g, 0, "cpu", 100,
             progress=EpochProgress(precision=precision, after_update=keep))
    train(loader, g, d, vgg, nn.MSELoss(), nn.BCEWithLogitsLoss(), optimizer_g, optimizer_d, 0, "cpu", 0.1, 100,
          progress=EpochProgress(precision=precision, after_update=keep))
    for own, plain in zip(losses, plain_losses):
        assert own == pytest.approx(plain, rel=1e-4)
    for own, plain in ((g, plain_g), (d, plain_d)):
        for weight, expected in zip(own.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=1e-3, atol=1e-5)


def test_the_discriminators_gradients_are_not_computed_for_the_generators_loss(data):
    """Only one backward pass per batch goes to D's weights, and none goes from D's loss to G."""
    g, d = networks()
    counts = {"g": 0, "d": 0}
    for name, network in (("g", g), ("d", d)):
        def count(gradient, name=name):
            counts[name] += 1
        next(network.parameters()).register_post_accumulate_grad_hook(count)
    run_train(patch_loader(data, n_batches=3), g, d, None)
    assert counts == {"g": 3, "d": 3}


@pytest.mark.slow
def test_torch_compile_is_a_setting(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    used = []

    def light(network):                     # the same machinery without a C++ compiler
        used.append(type(network).__name__)
        return real(network, backend="aot_eager")
    real = torch.compile
    monkeypatch.setattr(torch, "compile", light)
    config = tiny_config(data, compile=True, name="compiled")
    results = []
    for config.compile, config.name in ((True, "compiled"), (False, "plain")):
        g, d = networks()
        vgg, valid = TruncatedVGG19(1, 1, weights="random"), SRDataset("valid", config)
        loader = make_loader(SRDataset("train", config), config.batch_size, n_batches=2)
        fit_pretrain(config, g, loader, valid)
        fit_srgan(config, g, d, vgg, loader, valid)
        results.append([p.detach().clone() for p in (*g.parameters(), *d.parameters())])
    assert used == ["Generator", "Generator", "TruncatedVGG19"] and "Notice" not in capsys.readouterr().out
    for own, plain in zip(*results, strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-3, atol=1e-5)


def test_where_torch_compile_fails_training_goes_on_with_a_notice(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def broken(network):
        def fails(*arguments):
            network(*arguments)             # BatchNorm has seen a batch of zeros
            raise RuntimeError("no C++ compiler\nand a long story")
        return fails
    weights = []
    for compile, function in ((True, broken), (False, None)):
        monkeypatch.setattr(torch, "compile", function)
        config = tiny_config(data, compile=compile, name=f"compile {compile}")
        g, _ = networks()
        loader = make_loader(SRDataset("train", config), config.batch_size, n_batches=2)
        fit_pretrain(config, g, loader, SRDataset("valid", config))
        weights.append(g.state_dict())
        reported = "torch.compile does not work for Generator here (no C++ compiler)" in capsys.readouterr().out
        assert reported == compile
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))


def test_networks_are_in_training_mode_and_vgg_is_not(data):
    g, d = networks()
    vgg = TruncatedVGG19(1, 1, weights="random")
    g.eval(), d.eval()
    run_train(patch_loader(data), g, d, vgg)
    assert g.training and d.training and not vgg.training
    assert g.after_blocks[1].num_batches_tracked == 10
    g.eval()
    pretrain(patch_loader(data), g, nn.MSELoss(), torch.optim.SGD(g.parameters(), 0.1), 0, "cpu", 100)
    assert g.training


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_epoch_chooses_the_patches(data, epoch):
    dataset = SRDataset("train", tiny_config(data))
    loader = make_loader(dataset, 4)
    loader.sampler.set_epoch(epoch)
    expected = [to_float(lr) for lr, _ in loader]
    for own, plain in ((make_loader(dataset, 4), False), (DataLoader(dataset, batch_size=4), True)):
        seen = []
        g = StubG4()
        g.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        pretrain(own, g, nn.MSELoss(), torch.optim.SGD(g.parameters(), 0.1), epoch, "cpu", 100)
        if plain:
            dataset.set_epoch(epoch)
            expected = [torch.stack([dataset[i][0] for i in range(b, b + 4)]) for b in range(0, 40, 4)]
        assert len(seen) == 10 and all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


class StubG4(StubG):
    def forward(self, lr):
        return super().forward(lr).repeat_interleave(2, -1).repeat_interleave(2, -2)


# ---------------------------------------------------------------- reading the losses

@pytest.mark.parametrize("stage", ["pretrain", "srgan"])
def test_losses_are_read_only_every_print_freq_updates(monkeypatch, capsys, stage):
    loader, _ = batches_of(sizes=(2,) * 10)
    g, d = StubG(), StubD()
    finished, read_at = [0], []

    def watched(real):
        def read(self, *arguments):
            read_at.append(finished[-1])
            return real(self, *arguments)
        return read

    for name in ("item", "__float__", "__bool__", "tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, watched(getattr(torch.Tensor, name)))
    optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in (g, d)]
    optimizers[0].register_step_post_hook(lambda *_: finished.append(finished.pop() + 1))
    if stage == "pretrain":
        pretrain(loader, g, nn.MSELoss(), optimizers[0], 0, "cpu", 4)
    else:
        train(loader, g, d, StubVGG(), nn.MSELoss(), nn.BCEWithLogitsLoss(), *optimizers, 0, "cpu", 1e-3, 4)
    # 0: DataLoader draws a seed before the first update; 10: the end of the epoch.
    assert set(read_at) - {0} == {4, 8, 10}
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 3 and all("content" in line for line in lines)
    assert "4/10" in lines[0] and "10/10" in lines[2]


def test_a_monitor_replaces_the_printed_lines(capsys):
    loader, _ = batches_of()
    updates = []
    run_train(loader, StubG(), StubD(), None, after_update=lambda update, meters: updates.append((update, set(meters))))
    names = {"content", "adversarial", "discriminator", "d_real", "d_sr"}
    assert updates == [(1, names), (2, names), (3, names)] and capsys.readouterr().out == ""


# ---------------------------------------------------------------- NaN

@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_pretraining_at_the_next_look(bad):
    loader, _ = batches_of(sizes=(2,) * 10)
    loader.dataset.tensors[1][5] = bad                     # the third batch
    g, steps = StubG(), []
    optimizer = torch.optim.SGD(g.parameters(), 0.01)
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    with pytest.raises(TrainingDiverged, match=r"content.*epoch 8.*update 4[\s\S]*learning rate"):
        pretrain(loader, g, nn.MSELoss(), optimizer, 7, "cpu", 4)
    assert len(steps) == 4


def test_a_nan_of_the_discriminator_alone_stops_srgan_by_name():
    loader, _ = batches_of(sizes=(2,) * 6)

    class Broken(nn.BCEWithLogitsLoss):
        def forward(self, logits, target):
            loss = super().forward(logits, target)
            return loss if target.mean() == 1 else loss + math.nan      # the gradient stays finite

    with pytest.raises(TrainingDiverged, match=r"\(discriminator\).*update 6"):
        run_train(loader, StubG(), StubD(), None, adversarial=Broken())


def test_the_end_of_an_epoch_is_always_looked_at():
    loader, _ = batches_of()
    loader.dataset.tensors[1][4] = math.nan
    with pytest.raises(TrainingDiverged, match="update 3"):
        run_train(loader, StubG(), StubD(), None)


def nan_from(dataset, epoch, batch):
    """Makes one batch of an epoch NaN."""
    real, calls = dataset.batch, []

    def with_nan(e, indices):
        lr, hr = real(e, indices)
        calls.append(e)
        return (lr, hr * math.nan) if e == epoch and calls.count(e) == batch else (lr, hr)
    dataset.batch = with_nan


@pytest.mark.parametrize("stage", ["pretrain", "srgan"])
def test_after_a_nan_the_weights_are_back_at_the_last_good_checkpoint(config, stage):
    config.update(checkpoint_every=3, print_freq=2)
    train_set, valid = SRDataset("train", config), SRDataset("valid", config)
    g, d = networks()
    nan_from(train_set, epoch=1, batch=8)
    arguments = (make_loader(train_set, 4), valid)
    with pytest.raises(TrainingDiverged) as error:
        fit_pretrain(config, g, *arguments) if stage == "pretrain" else fit_srgan(config, g, d, None, *arguments)
    assert "last good checkpoint" in str(error.value) and f"{stage}_last.pth" in str(error.value)
    last = load_checkpoint(run_folder(config) / "checkpoints" / f"{stage}_last.pth")
    assert (last["epoch"], last["update"]) == (1, 6)
    assert all(torch.equal(value, last["generator"][name]) for name, value in g.state_dict().items())
    assert all(torch.isfinite(value).all() for value in last["generator"].values())
    if stage == "srgan":
        assert all(torch.equal(value, last["discriminator"][name]) for name, value in d.state_dict().items())


def test_a_checkpoint_never_holds_nan_weights_even_where_the_loss_was_finite(config, monkeypatch):
    # A gradient can be NaN where the loss is not (the root of zero): the weights become NaN an update before the loss.
    config.update(checkpoint_every=1, print_freq=1)
    g, _ = networks()
    calls, real = [], Precision.step

    def step(self, loss, optimizer, keep_graph=False):
        calls.append(1)
        norm = real(self, loss, optimizer, keep_graph)
        if len(calls) == 5:
            with torch.no_grad():
                g.last.weight.mul_(math.nan)
        return norm
    monkeypatch.setattr(Precision, "step", step)
    with pytest.raises(TrainingDiverged):
        fit_pretrain(config, g, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    assert all(torch.isfinite(value).all() for value in g.state_dict().values())


# ---------------------------------------------------------------- precision, learning rate

def test_fp16_scales_the_loss_and_keeps_float32_weights(data):
    """The arithmetic of older cards, on the CPU: gradients reach the weights unscaled."""
    steps = {}
    for amp in (None, "fp16"):
        g, d = networks()
        precision = Precision("cpu", amp)
        # It starts with 2^16, overflows, and skips updates until it has found its scale.
        precision.scaler.load_state_dict({**precision.scaler.state_dict(), "scale": 256.0} if amp else {})
        run_train(patch_loader(data, n_batches=3), g, d, None, rate=1e-2, precision=precision)
        steps[amp] = torch.cat([p.detach().flatten() for p in g.parameters()])
        assert precision.scaler.is_enabled() == (amp == "fp16") and steps[amp].dtype == torch.float32
    start = torch.cat([p.detach().flatten() for p in networks()[0].parameters()])
    moved, exact = steps["fp16"] - start, steps[None] - start
    assert 0 < (moved - exact).norm() < 0.2 * exact.norm()


def test_bf16_on_the_cpu_computes_in_bf16_and_keeps_float32_weights(data):
    g, d = networks()
    vgg = TruncatedVGG19(1, 1, weights="random")
    dtypes = set()
    g.last.register_forward_hook(lambda *a: dtypes.add(a[2].dtype))
    d.blocks[0].register_forward_hook(lambda *a: dtypes.add(a[2].dtype))
    precision = Precision("cpu", "bf16", channels_last=True)
    before = snapshot(g)
    meters = run_train(patch_loader(data), g, d, vgg, rate=1e-3, precision=precision)
    pretrain(patch_loader(data), g, nn.MSELoss(), torch.optim.SGD(g.parameters(), 1e-3), 0, "cpu", 100,
             progress=EpochProgress(precision=precision))
    assert dtypes == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in [*g.parameters(), *d.parameters()]) and not unchanged(g, before)
    assert all(math.isfinite(meter.avg) for meter in meters.values())


@pytest.mark.parametrize("amp", [None, "auto"])
def test_float32_is_what_the_cpu_gets_by_default(amp):
    assert Precision("cpu", amp).dtype is None and not Precision("cpu", amp).scaler.is_enabled()


def settings(**values):
    return EasyDict({**dict(lr=1e-4, lr_schedule="steps", lr_milestones=[0.5], warmup=0), **values})


def test_steps_divide_the_learning_rate_by_ten_at_each_milestone():
    paper = [learning_rate(u, 200_000, settings()) for u in (0, 99_999, 100_000, 199_999)]
    assert paper == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    two = [learning_rate(u, 10, settings(lr_milestones=[0.5, 0.8])) for u in range(10)]
    assert two == pytest.approx([1e-4] * 5 + [1e-5] * 3 + [1e-6] * 2)


def test_cosine_falls_from_lr_to_zero():
    rates = [learning_rate(u, 6, settings(lr_schedule="cosine", lr=2.0)) for u in range(7)]
    root3 = math.sqrt(3) / 2
    assert rates == pytest.approx([2, 1 + root3, 1.5, 1, 0.5, 1 - root3, 0])


def test_warm_up_rises_in_equal_steps():
    rates = [learning_rate(u, 1000, settings(warmup=4)) for u in range(6)]
    assert rates == pytest.approx([0.25e-4, 0.5e-4, 0.75e-4, 1e-4, 1e-4, 1e-4])


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="linear"):
        learning_rate(0, 10, settings(lr_schedule="linear"))


# ---------------------------------------------------------------- inference and validation

def test_super_resolve_is_the_network_in_eval_mode_rounded_to_bytes():
    g, _ = networks()
    g.train()
    lr = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    sr = super_resolve(g, lr)
    assert g.training                                      # as it was
    with torch.no_grad():
        out = g.eval()(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).double().numpy()
    expected = np.clip(np.round((out + 1) / 2 * 255), 0, 255)
    assert sr.shape == (36, 52, 3) and sr.dtype == np.uint8
    assert np.abs(sr - expected).max() <= 1 and (sr != expected).mean() < 1e-2


def test_any_network_that_upscales_is_taken():
    sr = super_resolve(StubG(2.0, -1.0), np.arange(48, dtype=np.uint8).reshape(4, 4, 3))     # [0, 1] -> [-1, 1]
    assert np.array_equal(sr, np.arange(48).reshape(4, 4, 3).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("lr", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
                                np.zeros((1, 4, 4, 3), np.uint8)])
def test_other_arrays_are_not_super_resolved(lr):
    with pytest.raises(ValueError):
        super_resolve(StubG(), lr)


def test_evaluate_measures_every_image_and_keeps_the_pictures(data, tmp_path):
    valid = SRDataset("valid", tiny_config(data))

    def bicubic(lr):
        return imresize(lr, 4)
    rows = evaluate(bicubic, valid, results=tmp_path / "results")
    expected = []
    for i in range(2):
        lr, hr = valid.pair(i)
        expected.append((valid.names[i], psnr(bicubic(lr), hr), ssim(bicubic(lr), hr)))
        assert np.array_equal(np.array(Image.open(tmp_path / "results" / f"{valid.names[i]}.png")), bicubic(lr))
    assert rows == expected
    assert evaluate(bicubic, valid, n_images=1) == expected[:1]
    assert mean_of(rows) == pytest.approx([(expected[0][k] + expected[1][k]) / 2 for k in (1, 2)])


# ---------------------------------------------------------------- the fit loops

def test_pretraining_learns_and_leaves_a_complete_run_folder(config):
    config.update(pretrain=EasyDict(epochs=6, lr=1e-2, lr_schedule="cosine"), print_freq=5)
    g, _ = networks()
    valid = SRDataset("valid", config)
    history = fit_pretrain(config, g, make_loader(SRDataset("train", config), 4), valid)
    folder = run_folder(config)
    assert history[-1]["content"] < 0.75 * history[0]["content"]
    assert [(row["epoch"], row["updates"]) for row in history] == [(n, 10 * n) for n in range(1, 7)]
    files = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()}
    assert files >= {"config.json", "log.csv", "checkpoints/pretrain_last.pth", "checkpoints/pretrain_best.pth",
                     "samples/pretrain_000.png", "samples/pretrain_006.png"}
    assert {f"checkpoints/pretrain_epoch_00{n}.safetensors" for n in range(1, 7)} <= files
    assert not any(name.endswith(".tmp") for name in files)
    assert json.loads((folder / "config.json").read_text("utf-8"))["pretrain"] == {
        "epochs": 6, "lr": 1e-2, "lr_schedule": "cosine"}
    with open(folder / "log.csv", newline="") as file:
        logged = list(csv.DictReader(file))
    assert [float(row["content"]) for row in logged] == [row["content"] for row in history]
    # What is validated is what a user gets from the file.
    last, best = (load_generator(folder / "checkpoints" / f"pretrain_{which}.pth") for which in ("last", "best"))
    assert mean_of(evaluate(lambda lr: super_resolve(last, lr), valid))[0] == pytest.approx(history[-1]["valid_psnr"])
    assert mean_of(evaluate(lambda lr: super_resolve(best, lr), valid))[0] == pytest.approx(
        max(row["valid_psnr"] for row in history))


def test_srgan_keeps_the_log_of_pretraining_and_its_own_checkpoints(config):
    g, d = networks()
    loader, valid = make_loader(SRDataset("train", config), 4), SRDataset("valid", config)
    fit_pretrain(config, g, loader, valid)
    history = fit_srgan(config, g, d, TruncatedVGG19(1, 1, weights="random"), loader, valid)
    with open(run_folder(config) / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["pretrain"] * 2 + ["srgan"] * 2
    assert all(math.isfinite(row[name]) for row in history
               for name in ("content", "adversarial", "discriminator", "d_real", "d_sr"))
    last = load_checkpoint(run_folder(config) / "checkpoints" / "srgan_last.pth")
    assert last["stage"] == "srgan" and last["method"] == "srgan" and last["epoch"] == 2 and last["update"] == 0
    assert {"generator", "discriminator", "averaged", "optimizer_g", "optimizer_d", "random", "history", "config",
            "scaler"} <= set(last)
    assert any("running_mean" in name for name in last["discriminator"])      # BatchNorm's buffers too


def test_a_frozen_tail_stays_while_the_trunk_learns(config):
    config.freeze_tail = True
    loader = make_loader(SRDataset("train", config), config.batch_size)
    generator = Generator(config)
    before = copy.deepcopy(generator.state_dict())
    fit_srgan(config, generator, Discriminator(config), None, loader, SRDataset("valid", config))
    changed = {name.split(".")[0] for name, _ in generator.named_parameters()
               if not torch.equal(generator.state_dict()[name], before[name])}
    assert changed == {"first", "blocks", "after_blocks"}
    assert all(p.requires_grad for p in generator.parameters())        # afterwards all of it can be trained


def test_the_learning_rate_of_every_update_is_that_of_the_schedule(config):
    config.update(print_freq=1, pretrain=EasyDict(epochs=2, lr=1e-2, lr_schedule="cosine"))
    used = []

    class Watch:
        def begin(self, stage):
            stage.optimizer_g.register_step_pre_hook(lambda o, *_: used.append(o.param_groups[0]["lr"]))

        def progress(self, stage):
            pass

        epoch_end = progress
    fit_pretrain(config, networks()[0], make_loader(SRDataset("train", config), 4), SRDataset("valid", config), Watch())
    expected = [1e-2 * 0.5 * (1 + math.cos(math.pi * u / 20)) for u in range(20)]
    assert used == pytest.approx(expected)
    with open(run_folder(config) / "log.csv", encoding="utf-8", newline="") as file:      # the last one of each epoch
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx([expected[9], expected[19]])


def test_a_stage_may_have_its_own_settings(config):
    config.pretrain.update(averaging=0, n_valid=1, start_epoch=1)
    generator = networks()[0]
    history = fit_pretrain(config, generator, make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    assert [(row["epoch"], row["updates"]) for row in history] == [(2, 10)]
    weights = load_checkpoint(run_folder(config) / "checkpoints" / "pretrain_last.pth")
    assert all(torch.equal(value, weights["averaged"][name]) for name, value in weights["generator"].items())


def test_a_stage_that_cannot_be_run_is_refused_before_anything_is_written(config):
    train_set, valid = SRDataset("train", config), SRDataset("valid", config)
    with pytest.raises(TypeError, match="make_loader"):
        fit_pretrain(config, networks()[0], DataLoader(train_set, batch_size=4), valid)
    loader = make_loader(train_set, 4)
    with pytest.raises(TypeError, match="StubG.*register_method"):
        fit_pretrain(EasyDict({**config, "freeze_tail": False}), StubG(), loader, valid)
    for change, word in ((dict(start_epoch=2), "start_epoch"), (dict(amp="half"), "amp")):
        with pytest.raises(ValueError, match=word):
            fit_pretrain(copy.deepcopy(EasyDict({**config, **change})), networks()[0], loader, valid)
    assert not run_folder(config).exists()


def test_the_averaged_weights_are_the_running_mean_of_the_generators(config):
    config.update(averaging=0.9, pretrain=EasyDict(epochs=1, lr=1e-2))
    g, _ = networks()
    mean = [g.last.weight.detach().double().clone()]
    stages = []

    class Watch:
        def begin(self, stage):
            stages.append(stage)

        def progress(self, stage):
            decay = min(0.9, (1 + stage.updates_done) / (10 + stage.updates_done))
            mean[0] = decay * mean[0] + (1 - decay) * g.last.weight.detach().double()

        def epoch_end(self, stage):
            pass
    fit_pretrain(config, g, make_loader(SRDataset("train", config), 4), SRDataset("valid", config), Watch())
    averaged = stages[0].averaged.last.weight
    assert torch.allclose(averaged.double(), mean[0], atol=1e-6)
    assert not torch.allclose(averaged, g.last.weight, atol=1e-4)


def test_best_is_the_epoch_with_the_highest_validation_psnr(config, monkeypatch):
    quality = iter([20.0, 25.0, 22.0])
    monkeypatch.setattr("support.stage.evaluate", lambda *a, **k: [("x", next(quality), 0.5)])
    config.pretrain = EasyDict(epochs=3, lr=1e-3)
    fit_pretrain(config, networks()[0], make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    folder = run_folder(config) / "checkpoints"
    assert load_checkpoint(folder / "pretrain_best.pth")["epoch"] == 2
    assert load_checkpoint(folder / "pretrain_last.pth")["epoch"] == 3


def test_freeze_tail_needs_layers_of_these_names_and_says_which():
    class Own(nn.Module):
        pass

    config = EasyDict(epochs=1, freeze_tail=True, pretrain=dict(epochs=1))
    needs = r"this Own upscale.*self\.upsampling and self\.last, or set config\.freeze_tail = False"
    with pytest.raises(LayersMissing, match=needs):
        fit_srgan(config, Own(), None, None, None, None)
    with pytest.raises(LayersMissing, match=needs):            # before the pre-training, not after it
        fit_pretrain(config, Own(), None, None)


# ---------------------------------------------------------------- the perceptual loss

def test_the_grid_loss_is_the_share_of_the_error_that_repeats_in_step_with_the_squares():
    generator = torch.Generator().manual_seed(1)
    pattern, hr = torch.randn(1, 3, 4, 4, generator=generator), torch.rand(2, 3, 48, 32, generator=generator)
    pattern = pattern - pattern.mean((2, 3), keepdim=True)
    tiled = pattern.repeat(1, 1, 12, 8)
    assert grid_loss(hr + tiled, hr, 4) == pytest.approx(1, abs=0.01)
    # also where it changes its sign from window to window, as a grid does that goes with the brightness
    signs = torch.tensor([[1.0, -1], [-1, 1], [1, 1]]).repeat_interleave(16, 0).repeat_interleave(16, 1)
    assert grid_loss(hr + signs * tiled, hr, 4) == pytest.approx(1, abs=0.01)
    assert grid_loss(hr + 0.3, hr, 4) == pytest.approx(0, abs=1e-6)              # a shift of all colours is no grid
    assert grid_loss(hr + tiled + 5, hr, 4) == pytest.approx(1, abs=0.01)        # and hides none
    assert grid_loss(hr + tiled / 1e4, hr, 4) < 0.001                            # nor what nobody can see
    with pytest.raises(ValueError, match="at least 16 pixels"):
        grid_loss(hr[..., :12], hr[..., :12], 4)


def test_the_grid_loss_does_not_ask_for_less_texture():
    texture = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    loss = grid_loss(texture, torch.zeros_like(texture), 4)
    # sixteen squares: their means have a sixteenth of the variance, of which the mean of all takes a sixteenth away
    assert loss.item() == pytest.approx(15 / 16 / 16, rel=0.05)
    slope, = torch.autograd.grad(loss, texture)
    towards_weaker = (slope * texture).sum() / (slope.norm() * texture.norm())
    assert abs(towards_weaker) < 0.01


def test_the_perceptual_loss_by_hand():
    class Maps(nn.Module):
        """Two stages: the image in [0, 1], and the image with its first channel zero."""

        def stages(self, images):
            return [images, images * torch.tensor([0.0, 1, 1]).view(1, 3, 1, 1)]

    config = EasyDict(pixel_weight=3, feature_weight=5, grid_weight=7, d_shift=0, scaling_factor=4)
    sr, hr = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    sr[:, 0], hr[:, 0], hr[:, 1] = -1, -1, -1          # in [0, 1]: SR (0, .5, .5), HR (0, 0, .5) everywhere
    loss = PerceptualLoss(Maps(), config, Precision("cpu"))(sr, hr)
    # the squared distance of the unit vectors (0, 1, 1) / sqrt(2) and (0, 0, 1), at every place of both stages
    of_features = 0.5 + (math.sqrt(0.5) - 1) ** 2
    assert loss == pytest.approx(3 * 1 / 3 + 5 * of_features + 0, rel=1e-5)


def test_a_training_with_the_perceptual_loss_resumes_bit_for_bit(config):
    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3).requires_grad_(False)

        def stages(self, images):
            return [self.conv(images)]

    config.update(content_loss="perceptual", d_shift=4, checkpoint_every=2)

    def trained(name, monitor=None):
        own = run_of(config, name)
        seed_everything(7)
        maps, loader = Maps(), make_loader(SRDataset("train", own), own.batch_size)
        history = fit_srgan(own, *networks(), maps, loader, SRDataset("valid", own), monitor)
        return history, last(own, "srgan")
    history, whole = trained("whole")
    with pytest.raises(KeyboardInterrupt):
        trained("resumed", Stop(3))
    _, resumed = trained("resumed")
    assert history[0]["content"] > 0
    assert not differences(whole["generator"], resumed["generator"])

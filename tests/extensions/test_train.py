"""The command python -m extensions METHOD, and what all methods share in training."""

import re

import pytest
import torch

from extensions import srdiff, train
from extensions.train import change, extension_config, main, train_all
from support.checkpoints import load_checkpoint
from support.safeguards import OutOfMemory, TrainingDiverged

# What each method's stages need to be trained in seconds; the demo's networks are small enough.
SHORT = {"a2n": ["a2n.epochs=1", "a2n.updates_per_epoch=3"],
         "srdiff": ["srdiff_encoder.epochs=1", "srdiff_encoder.updates_per_epoch=3", "srdiff.epochs=1",
                    "srdiff.updates_per_epoch=3"],
         "sr3": ["sr3.epochs=1", "sr3.updates_per_epoch=3", "sr3.network.n_steps=2"]}


def short(method, data, *changes, name=None):
    """A configuration that is trained in seconds."""
    config = extension_config(method, "demo", str(data), name)
    for text in ["crop_size=16", "patch_num=10", "batch_size=4", "device=cpu", *SHORT[method], *changes]:
        change(config, text)
    return config


# ---------------------------------------------------------------- configurations

@pytest.mark.parametrize("method, text, value_of, value", [
    ("a2n", "crop_size=64", lambda c: c.crop_size, 64),
    ("a2n", "a2n.lr=1e-4", lambda c: c.a2n.lr, 1e-4),
    ("a2n", "a2n.batch_size=2", lambda c: c.a2n.batch_size, 2),            # a setting of the top level, for this stage
    ("a2n", "A2N.loss=charbonnier", lambda c: c.A2N.loss, "charbonnier"),
    ("srdiff", "SRDiff.encoder.n_blocks=5", lambda c: c.SRDiff.encoder.n_blocks, 5),
    ("srdiff", "SRDiff.n_train_steps=50", lambda c: c.SRDiff.n_train_steps, 50),          # an argument with a default
    ("sr3", "sr3.network.target=image", lambda c: c.sr3.network.target, "image"),
    ("sr3", "sr3.network.unet.n_channels=32", lambda c: c.sr3.network.unet.n_channels, 32)])
def test_a_setting_is_changed(method, text, value_of, value):
    config = extension_config(method, "demo")
    change(config, text)
    assert value_of(config) == value


@pytest.mark.parametrize("method, text, answer", [
    ("a2n", "epochs=1", "set a2n.epochs"), ("a2n", "lr=1", "set a2n.lr"),
    ("a2n", "updates_per_epoch=1", "set a2n.updates_per_epoch"),
    ("srdiff", "epochs=1", "set srdiff_encoder.epochs and srdiff.epochs"),
    ("srdiff", "batch_size=4", "set srdiff_encoder.batch_size and srdiff.batch_size"),
    ("a2n", "A2N.crop_size=5", "A2N has no setting .* has loss, n_blocks, n_channels, n_up_channels, small"),
    ("a2n", "A2N.scaling_factor=2", "A2N has no setting"),
    ("srdiff", "SRDiff.encoder.lr=1", "SRDiff.encoder has no setting .* has n_blocks, n_channels"),
    ("sr3", "sr3.network.lr=1", "sr3.network has no setting .* has betas, conditional"),
    ("sr3", "sr3.network.unet.c_in=3", "n_channels"),
    ("a2n", "sr3.network.target=image", "config has no setting 'sr3'"), ("a2n", "a2n.epoch=1", "Did you mean epochs"),
    ("a2n", "crop_size.x=1", "config.crop_size has no parts")])
def test_a_setting_that_would_change_nothing_is_refused(method, text, answer):
    with pytest.raises(ValueError, match=f"^--set {text}.*{answer}"):
        change(extension_config(method, "small"), text)


@pytest.mark.parametrize("text", ["crop_size", ""])
def test_a_change_without_a_value_is_refused(text):
    with pytest.raises(ValueError, match=f"^--set takes KEY=VALUE, not '{text}'"):
        change(extension_config("a2n", "small"), text)


def test_a_presets_workers_are_its_own():
    assert extension_config("srdiff", "full").workers == extension_config("srdiff", "large").workers == 2
    assert extension_config("srdiff", "small").workers == 0


@pytest.mark.parametrize("device, pinned", [("cuda", True), ("cuda:1", True), ("cpu", False)])
def test_batches_for_a_card_are_pinned(device, pinned, data, monkeypatch):
    config, seen = short("a2n", data), []
    config.device = device
    monkeypatch.setattr(train, "make_loader", lambda *_, pin_memory: seen.append(pin_memory))
    train.loaders(config, "a2n")
    assert seen == [pinned]


# ---------------------------------------------------------------- torch.compile

def weights(config, stage):
    return load_checkpoint(f"runs/{config.name}/checkpoints/{stage}_last.pth")["generator"]


@pytest.mark.slow
@pytest.mark.parametrize("method", list(SHORT))
def test_what_an_update_calls_is_compiled_in_place(method, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls, config = [], short(method, data, "compile=True")

    def compiled(function):
        def fast(*arguments):
            calls.append(0)
            return function(*arguments)
        return fast
    monkeypatch.setattr(torch, "compile", compiled)
    train_all(config, lambda: None)
    # A trial and three updates; validation, which upscales whole images, uses the copy that is not compiled.
    assert len(calls) == 4 * len(config.stages)
    plain = short(method, data, name="plain")
    train_all(plain, lambda: None)
    for stage in config.stages:
        one, two = weights(config, stage), weights(plain, stage)
        assert list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)
    assert len(calls) == 4 * len(config.stages)


def test_where_torch_compile_fails_training_continues_with_a_notice(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def broken(function):
        def fails(*arguments):
            function(*arguments).mean().backward()
            raise RuntimeError("no C++ compiler\nand a long story")
        return fails
    monkeypatch.setattr(torch, "compile", broken)
    configs = [short("sr3", data, name="plain"), short("sr3", data, "compile=True", name="compiled")]
    for config, n in zip(configs, (0, 1)):
        train_all(config, lambda: None)
        assert capsys.readouterr().out.count("torch.compile does not work for UNet here (no C++ compiler)") == n
    one, two = (weights(config, "sr3") for config in configs)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.long
def test_torch_compile_itself(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    configs = [short("a2n", data, name="plain"), short("a2n", data, "compile=True", name="compiled")]
    for config in configs:
        train_all(config, lambda: None)
    assert "Notice: torch.compile" not in capsys.readouterr().out
    one, two = (weights(config, "a2n") for config in configs)
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)


# ---------------------------------------------------------------- what goes wrong

@pytest.mark.parametrize("most, advice", [(2, r"config\.srdiff_encoder\.batch_size = 2\."),
                                          (0, r"config\.crop_size = 8, or give the network fewer channels\.")])
def test_a_full_card_is_told_with_the_settings_of_the_stage(most, advice, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = srdiff.Encoder.loss

    def loss(self, lr, hr):
        if len(lr) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, lr, hr)
    monkeypatch.setattr(srdiff.Encoder, "loss", loss)
    with pytest.raises(OutOfMemory, match=advice):
        train_all(short("srdiff", data, "srdiff_encoder.batch_size=4"), lambda: None)


@pytest.mark.parametrize("error, code", [
    (TrainingDiverged("The loss is no number."), 1), (OutOfMemory("The memory is full."), 1),
    (OSError(28, "the disk is full"), 1), (KeyboardInterrupt(), 130)])
def test_an_error_is_one_line_on_the_command_line(error, code, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def train_all(config):
        raise error
    monkeypatch.setattr(train, "train_all", train_all)
    assert main(["a2n", "--data", str(data)]) == code
    assert capsys.readouterr().err == ("" if code == 130 else f"Error: {error}\n")


def test_a_setting_that_would_change_nothing_ends_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["a2n", "--set", "epochs=1"])
    assert "a2n.epochs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sr3", "--set", "sr3.network.targetx=image"])
    assert re.search("Did you mean target.*PRESETS in extensions/sr3.py", capsys.readouterr().err)

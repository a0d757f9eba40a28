"""The commands and configurations that users of the public SR3 code know, on demo data."""

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from datasets import SRDataset
from extensions import sr3, sr3_actions, sr3_config, sr3_trackers
from extensions.sr3_commands import main
from extensions.sr3_data import prepare, square, three_sizes
from imresize import imresize
from inference import load_generator
from metrics import psnr
from models import Generator
from support.checkpoints import CheckpointError, load_checkpoint, save_generator
from support.images import read_image
from support.lists import DataError
from support.safeguards import OutOfMemory, TrainingDiverged
from tests.extensions.public_sr3 import TINY_UNET, public_shapes, write_public
from tests.helpers import differences, photo, write_image

CONFIGS = {"sr_sr3": "sr3_16_128", "sr_sr3_64_512": "sr3_64_512", "sr_ddpm": "ddpm_16_128", "sample_sr3_128": "sr3_128",
           "sample_ddpm_128": "ddpm_128"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "face.png", photo("astronaut.png", 0, 100, 160, 140))
    write_image(folder / "deep/cup.png", photo("coffee.png", 100, 200, 64, 80))
    write_image(folder / "man.png", photo("camera.png", 100, 200, 80, 64))
    write_image(folder / "small.png", photo("coffee.png", 0, 0, 60, 80))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def work(photographs, tmp_path, monkeypatch):
    """A folder to work in, with the demo's images."""
    monkeypatch.chdir(tmp_path)
    assert main(["prepare_data", "--path", str(photographs), "--out", "data/sr3_demo", "--size", "16,64"]) == 0
    return tmp_path


def changed(**changes):
    """A configuration of the kit with some settings changed ("train__n_iter"), as a file."""
    options = sr3_config.read_config("config/sr_sr3_demo.json")
    for key, value in {"train__n_iter": 4, "train__val_freq": 2, "datasets__train__batch_size": 2,
                       "model__diffusion__n_steps": 2, **changes}.items():
        *sections, last = key.split("__")
        place = options
        for section in sections:
            place = place[section]
        place[last] = value
    Path("changed.json").write_text(json.dumps(options), encoding="utf-8")
    return "changed.json"


# ---------------------------------------------------------------- prepare_data

def test_prepare_data_makes_three_folders_and_lists_that_the_kit_reads(photographs, tmp_path, capsys):
    folder = prepare(photographs, tmp_path / "faces", 16, 64)
    assert folder == tmp_path / "faces_16_64"
    for name, side in (("hr_64", 64), ("lr_16", 16), ("sr_16_64", 64)):
        shapes = {path.name: read_image(path)[0].shape for path in (folder / name).iterdir()}
        assert shapes == dict.fromkeys(("00cup.png", "0face.png", "00man.png"), (side, side, 3))
    hr, lr, up = (read_image(folder / place / "0face.png")[0] for place in ("hr_64", "lr_16", "sr_16_64"))
    assert (lr == imresize(hr, 0.25)).all() and (up == imresize(lr, 4)).all()
    said = capsys.readouterr().out
    assert "Notice: 2 of 5 images are left out" in said and "broken.png" in said
    assert "smaller than HR of 64 x 64" in said
    assert len(SRDataset("valid", types.SimpleNamespace(
        csv_folder=str(folder), get=lambda key, default=None: default))) == 3


def test_the_square_is_the_middle_and_hr_of_the_right_size_stays_as_it_is():
    image = photo("coffee.png", 0, 0, 64, 100)
    assert (square(image, 64) == image[:, 18:82]).all()
    lr, hr, up = three_sizes(photo("coffee.png", 0, 0, 200, 130), 8, 64)
    assert lr.shape == (8, 8, 3) and hr.shape == up.shape == (64, 64, 3)


@pytest.mark.long
def test_several_processes_make_the_same(photographs, tmp_path):
    one, two = prepare(photographs, tmp_path / "one", 16, 64), prepare(photographs, tmp_path / "two", 16, 64, 2)
    for path in one.rglob("*.png"):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_what_prepare_data_refuses(photographs, tmp_path, capsys):
    for size in ("64,16", "16,40", "64", "a,b", "4,-8"):
        assert main(["prepare_data", "--path", str(photographs), "--out", "x", "--size", size]) == 1
        assert f"--size {size}" in capsys.readouterr().err
    assert main(["prepare_data", "--path", str(tmp_path), "--out", "x"]) == 1
    assert "no folder with images" in capsys.readouterr().err
    write_image(tmp_path / "a.png", photo("coffee.png", 0, 0, 64, 64)), write_image(
        tmp_path / "b/a.png", photo("coffee.png", 0, 0, 64, 64))
    with pytest.raises(DataError, match="rename one"):
        prepare(tmp_path, tmp_path / "out", 16, 64)


def test_numbered_images_that_would_get_one_name_are_refused(tmp_path):
    """1.png becomes 00001.png, and so does 00001.png."""
    for name in ("1", "00001"):
        write_image(tmp_path / f"photos/{name}.png", photo("coffee.png", 0, 0, 64, 64))
    with pytest.raises(DataError, match="one file, 00001.png: rename one"):
        prepare(tmp_path / "photos", tmp_path / "out", 16, 64)


def test_prepare_data_says_what_it_has_changed(tmp_path, capsys):
    image = photo("coffee.png", 0, 0, 64, 64)
    write_image(tmp_path / "photos/cut.png", np.dstack([image, image[..., :1]]))
    write_image(tmp_path / "photos/whole.png", image)
    prepare(tmp_path / "photos", tmp_path / "out", 16, 64)
    said = capsys.readouterr().out
    assert "1 of 2 images were changed" in said and "cut.png: its alpha channel was dropped." in said


# ---------------------------------------------------------------- configurations

@pytest.mark.parametrize("file, name", CONFIGS.items())
def test_each_configuration_is_that_of_the_specification(file, name, monkeypatch):
    monkeypatch.setattr(sr3, "_orthogonal", lambda layer: None)
    options = sr3_config.read_config(f"config/{file}.json")
    config = sr3_config.kit_config(options)
    with torch.device("meta"):
        network, expected = sr3.build(config, "sr3"), sr3.UNet(**sr3.CONFIGURATIONS[name][0])
    assert {key: t.shape for key, t in network.unet.state_dict().items()} == {
        key: t.shape for key, t in expected.state_dict().items()}
    assert tuple(network.settings["betas"]) == sr3.CONFIGURATIONS[name][1] and network.settings["test_betas"] is None
    assert network.variant == name.split("_")[0] and network.conditional == file.startswith("sr_")
    groups = {layer.num_groups for layer in network.modules() if isinstance(layer, torch.nn.GroupNorm)}
    dropouts = {layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout)}
    assert (groups, dropouts) == (({16}, set()) if name == "sr3_64_512" else ({32}, {0.2}))
    assert config.crop_size // config.scaling_factor == (64 if name == "sr3_64_512" else 16)


def test_comments_are_no_part_of_it_except_inside_a_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('// first\n{"url": "https://x//y", // "no": 1,\n "b": [1, 2] // last\n}\n', encoding="utf-8")
    assert sr3_config.read_config(path) == {"url": "https://x//y", "b": [1, 2]}
    path.write_text('{"a": 1,\n // the comma after b is one too many\n "b": 2,\n}', encoding="utf-8")
    with pytest.raises(sr3_config.ConfigError, match="line 4.*none after the last"):
        sr3_config.read_config(path)
    with pytest.raises(sr3_config.ConfigError, match="config/sr_sr3.json"):
        sr3_config.read_config("config/sr_sr5.json")


def test_settings_without_a_meaning_are_named(capsys):
    options = sr3_config.read_config("config/sr_sr3.json")
    options["train"]["momentum"], options["magic"] = 0.9, 1
    sr3_config.kit_config(options)
    assert re.search("no meaning here.*train.momentum, magic", capsys.readouterr().out)


def test_what_the_public_code_would_do_otherwise_is_said(capsys):
    options = sr3_config.read_config("config/sr_sr3.json")
    sr3_config.kit_config(options)
    assert capsys.readouterr().out == ""
    options["datasets"]["train"]["use_shuffle"] = False
    sr3_config.kit_config(options)
    assert "use_shuffle is false" in capsys.readouterr().out


@pytest.mark.parametrize("n_iter, val_freq, epochs, updates", [(100, 1e4, 1, 100), (100, 30, 4, 30), (60, 30, 2, 30)])
def test_a_run_shorter_than_val_freq_makes_its_own_updates(n_iter, val_freq, epochs, updates, capsys):
    options = sr3_config.read_config("config/sr_sr3.json")
    options["train"].update(n_iter=n_iter, val_freq=val_freq)
    config = sr3_config.kit_config(options)
    assert (config.sr3.epochs, config.sr3.updates_per_epoch) == (epochs, updates)
    assert ("120 updates" in capsys.readouterr().out) == (n_iter % min(val_freq, n_iter) > 0)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert sr3_config.device_of({"gpu_ids": [1]}) == "cuda:1" and sr3_config.device_of({"gpu_ids": []}) == "cpu"
    with pytest.raises(sr3_config.ConfigError, match="begins with 2; the GPUs of this machine are 0, 1"):
        sr3_config.device_of({"gpu_ids": [2]})


@pytest.mark.parametrize("key, value, text", [
    ("model__finetune_norm", True, "model.finetune_norm is true"), ("phase", "test", "phase = 'test'"),
    ("train__n_iter", 0, "train.n_iter is 0"), ("train__val_freq", 0.5, "train.val_freq is 0.5"),
    ("train__print_freq", 0, "train.print_freq is 0"), ("datasets__train__batch_size", "4", "batch_size is '4'"),
    ("datasets__train__data_len", 0, "datasets.train.data_len is 0"),
    ("datasets__val__data_len", 0, "datasets.val.data_len is 0"),
    ("model__beta_schedule__train__schedule", "cosine", "linear"), ("model__unet__in_channel", 3, "it must be 6"),
    ("train__optimizer__type", "sgd", "Adam"), ("datasets__train__r_resolution", 65, "not a multiple"),
    ("train__optimizer__lr", "fast", "config.sr3.lr cannot be 'fast'"),
    ("model__unet__dropout", 2, "config.sr3.network.unet.dropout cannot be 2"),
    ("datasets__train__num_workers", -1, "config.workers cannot be -1"),
    ("model__which_model_G", "gan", "'gan'"), ("datasets__train__datatype", "lmdb", "PNG"),
    ("datasets__train__dataroot", "nowhere_16_64", "prepare_data --path PHOTOS --out nowhere --size 16,64"),
    ("path__resume_state", "nothing", "nothing")])
def test_what_cannot_be_done_is_refused_with_a_way_out(key, value, text, work, capsys):
    phase = [] if key == "phase" else ["-p", "train"]
    assert main(["sr", *phase, "-c", changed(**{key: value})]) == 1
    assert text in capsys.readouterr().err and not (work / "runs").exists()


@pytest.mark.parametrize("numbers", ["x", "0,x", "-1", "0.5"])
def test_gpus_are_whole_numbers(numbers, capsys):
    assert main(["sr", "-c", "config/sr_sr3_demo.json", "-gpu", numbers]) == 1
    assert capsys.readouterr().err == f"Error: -gpu {numbers}: give whole numbers, such as 0 or 0,1.\n"


def test_the_commands_know_which_configurations_are_theirs(capsys):
    assert main(["sample", "-c", "config/sr_sr3.json"]) == 1 and "sr and infer" in capsys.readouterr().err
    assert main(["sr", "-c", "config/sample_sr3_128.json"]) == 1 and "sample is the command" in capsys.readouterr().err
    assert main(["sr", "-p", "val", "-c", "config/sr_sr3.json"]) == 1 and "has been trained" in capsys.readouterr().err


def test_patches_are_only_mirrored(work):
    options = sr3_config.read_config(changed(train__val_freq=40, train__n_iter=40))
    loader = sr3_config.train_loader(options, sr3_config.kit_config(options))
    assert len(loader) == 40 and loader.dataset.dataset.patch_num * 3 >= 80
    images = [read_image(path)[0] for path in sorted((work / "data/sr3_demo_16_64/hr_64").glob("*.png"))]
    seen = set()
    for _, hr in loader:
        for x in hr.permute(0, 2, 3, 1).numpy():
            seen |= {(i, flip) for i, image in enumerate(images) for flip in (False, True)
                     if (x == (image[:, ::-1] if flip else image)).all()}
    assert seen == {(i, flip) for i in range(3) for flip in (False, True)}


# ---------------------------------------------------------------- the commands

@pytest.mark.slow
def test_train_resume_val_eval_and_infer(work, photographs, capsys):
    config = changed()
    assert main(["sr", "-p", "train", "-c", config]) == 0
    run = work / "runs/sr3-demo-commands"
    assert (run / "checkpoints/sr3_best.pth").exists()
    assert main(["sr", "-p", "train", "-c", config]) == 0 and "This stage is complete" in capsys.readouterr().out

    assert main(["sr", "-p", "val", "-c", config]) == 0
    table = capsys.readouterr().out
    assert {path.name.partition("_")[2] for path in (run / "results/val").iterdir()} == {
        "hr.png", "sr.png", "lr.png", "inf.png", "sr_process.png"}
    assert read_image(run / "results/val/00cup_sr_process.png")[0].shape[0] == 64
    assert main(["eval", "-p", str(run / "results/val")]) == 0
    assert capsys.readouterr().out.splitlines()[2:5] == [line for line in table.splitlines() if "cut" in line]
    pairs = [[read_image(run / f"results/val/{name}_{kind}.png")[0] for kind in ("sr", "hr")]
             for name in ("00cup", "00man")]
    assert f"{np.mean([psnr(*pair) for pair in pairs]):.2f} dB" in table

    assert main(["infer", "-c", config, "--input", str(photographs / "small.png")]) == 0
    assert read_image(run / "results/infer/small_sr.png")[0].shape == (240, 320, 3)
    assert main(["infer", "-c", config]) == 0 and (run / "results/infer/00cup_sr.png").exists()


class Killed(BaseException):
    """Nobody catches it, so nothing is saved on the way out: as when the power fails."""


@pytest.mark.slow
def test_a_training_that_was_killed_resumes_as_if_it_had_not_been(work, monkeypatch, capsys):
    """The ninth update of ten is never made; the checkpoint is that of the seventh, the second of the second epoch."""
    settings = dict(train__n_iter=10, train__val_freq=5, train__save_checkpoint_freq=2, train__print_freq=1,
                    model__unet__dropout=0.2)
    command = ["sr", "-p", "train", "-c", changed(name="killed", **settings)]

    def progress(self, stage):
        if stage.updates_done == 8:
            raise Killed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sr3_trackers.Trackers, "progress", progress)
        main(command)
    capsys.readouterr()
    assert main(command) == 0 and "epoch 1 of 2 complete, 2 updates of the next" in capsys.readouterr().out
    assert main(["sr", "-p", "train", "-c", changed(name="whole", **settings)]) == 0
    for which in ("last", "best"):
        assert differences(*(load_checkpoint(f"runs/{name}/checkpoints/sr3_{which}.pth")
                             for name in ("killed", "whole"))) == []


def shipped(name, **changes):
    """Weights of the configuration ``changed(**changes)`` as a file; returns the name."""
    config = sr3_config.kit_config(sr3_config.read_config(changed(**changes)))
    save_generator(name, sr3.build(config, "sr3"))
    return name


def test_infer_replaces_nothing_that_is_no_result_of_its_own(work, capsys):
    config = changed(path__resume_state=shipped("x.safetensors"))
    image = photo("coffee.png", 100, 200, 8, 12)
    write_image(work / "photos/a.png", image)
    assert main(["infer", "-c", config, "--input", "photos"]) == 0
    folder = work / "runs/sr3-demo-commands/results/infer"
    (folder / "a_inf.png").unlink()
    own = write_image(folder / "a_inf.png", image).read_bytes()
    assert main(["infer", "-c", config, "--input", "photos"]) == 1
    assert "a_inf.png is there already, and is no result" in capsys.readouterr().err
    assert (folder / "a_inf.png").read_bytes() == own


def test_infer_keeps_images_of_one_name_apart_and_continues_after_a_broken_one(work, capsys):
    image = photo("coffee.png", 100, 200, 8, 12)
    alpha = np.full((8, 12, 1), 255, np.uint8)
    alpha[:4] = 0
    write_image(work / "photos/a.png", image)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(work / "photos/a.jpg", image, icc_profile=profile)
    (work / "photos/b.png").write_bytes(b"no image")
    write_image(work / "photos/c.png", np.dstack([image, alpha]))
    config = changed(path__resume_state=shipped("x.safetensors"))
    assert main(["infer", "-c", config, "--input", "photos"]) == 1
    said, folder = capsys.readouterr(), work / "runs/sr3-demo-commands/results/infer"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}_{ending}.png" for name in ("a_png", "a_jpg", "c") for ending in ("sr", "lr", "inf", "sr_process"))
    assert "Error: 1 of 4 images were not upscaled:\n  b.png: " in said.err and "NOT UPSCALED: b.png" in said.err
    with Image.open(folder / "a_jpg_sr.png") as sr:
        assert sr.mode == "RGB" and sr.size == (48, 32) and sr.info["icc_profile"] == profile
    with Image.open(folder / "c_sr.png") as sr:
        assert (np.array(sr)[..., 3] == imresize(alpha[..., 0], 4)).all()
    assert main(["infer", "-c", config, "--input", "photos/a.png"]) == 0
    assert main(["infer", "-c", config, "--input", "photos/a.png"]) == 0
    assert "the previous one is replaced" in capsys.readouterr().out
    assert main(["infer", "-c", config, "--input", "nowhere"]) == 1 and "nowhere" in capsys.readouterr().err


def test_an_image_that_is_too_large_does_not_end_infer_but_a_mistake_in_the_code_does(work, monkeypatch, capsys):
    config = changed(path__resume_state=shipped("x.safetensors"))

    def fails(network, lr):
        raise RuntimeError(text)
    monkeypatch.setattr(sr3_actions, "images_of", fails)
    text = "DefaultCPUAllocator: can't allocate memory"
    assert main(["infer", "-c", config]) == 1 and "of this size" in capsys.readouterr().err
    text = "shapes differ"
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["infer", "-c", config])


def test_without_a_condition(work):
    config = changed(model__diffusion__conditional=False, model__diffusion__target="image", model__unet__in_channel=3,
                     name="free")
    assert main(["sample", "-p", "train", "-c", config]) == 0
    assert main(["sample", "-p", "val", "-c", config]) == 0
    images = [read_image(work / f"runs/free/results/sample/00{seed}_sample.png")[0] for seed in (0, 1)]
    assert images[0].shape == (64, 64, 3) and (images[0] != images[1]).any()


def test_hr_alone_is_enough_to_learn_sampling(work, capsys):
    for path in (work / "data/sr3_demo_16_64").glob("*.csv"):
        path.unlink()
    for path in (work / "data/sr3_demo_16_64/lr_16").glob("*.png"):
        path.unlink()
    config = changed(model__diffusion__conditional=False, model__diffusion__target="image", model__unet__in_channel=3)
    assert main(["sample", "-p", "train", "-c", config]) == 0
    assert "Notice: 3 images of" in capsys.readouterr().out
    assert "3 images of" in (work / "runs/sr3-demo-commands/notices.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_training_starts_from_public_weights_and_they_are_converted(work, capsys, monkeypatch):
    shapes = public_shapes(6, (1, 2), (), 1, 64, ddpm=False, inner=8)
    write_public(work / "I20_E1_gen.pth", shapes)
    (work / "I20_E1_opt.pth").write_bytes(b"")
    settings = dict(model__diffusion__target="image", train__n_iter=1, train__val_freq=1)
    config = changed(path__resume_state=str(work / "I20_E1"), **settings)
    assert main(["sr", "-p", "train", "-c", config]) == 0 and "_opt.pth" in capsys.readouterr().out
    assert main(["sr", "-p", "val", "-c", config]) == 0
    assert "not what has been trained in" in capsys.readouterr().out
    monkeypatch.setitem(sr3.CONFIGURATIONS, "tiny", ({**TINY_UNET, "attention_at": []}, (1e-6, 1e-2, 2000)))
    assert main(["convert", "I20_E1_gen.pth", "--out", "sr3.safetensors"]) == 0
    options = sr3_config.read_config(changed(path__resume_state="sr3.safetensors", **settings))
    network = sr3_actions.trained(options, sr3_config.kit_config(options))
    raw = torch.load(work / "I20_E1_gen.pth", weights_only=True)
    assert torch.equal(network.unet.head[3].weight, raw["denoise_fn.final_conv.block.3.weight"])


FREE = dict(model__diffusion__conditional=False, model__unet__in_channel=3, model__diffusion__target="image")
DDPM = dict(model__which_model_G="ddpm")
LONGER = dict(model__beta_schedule__train__n_timestep=200, model__beta_schedule__val__n_timestep=200)


@pytest.mark.parametrize("theirs, own, key", [
    ({}, dict(model__diffusion__target="image"), "model.diffusion.target"), (DDPM, {}, "model.which_model_G"),
    (FREE, dict(model__diffusion__target="image"), "model.diffusion.conditional"),
    (DDPM, {**DDPM, **LONGER}, "model.beta_schedule.train")], ids=str)
def test_weights_of_another_kind_are_refused(theirs, own, key, work, capsys):
    config = changed(path__resume_state=shipped("theirs.safetensors", **theirs), **own)
    for phase in ("train", "val"):
        assert main(["sr", "-p", phase, "-c", config]) == 1
        said = capsys.readouterr().err
        assert "theirs.safetensors was trained with" in said and f"Set {key}" in said and not Path("runs").exists()


def test_sr3_may_use_another_schedule_than_that_of_its_weights(work):
    options = sr3_config.read_config(changed(path__resume_state=shipped("theirs.safetensors"), **LONGER))
    network = sr3_actions.trained(options, sr3_config.kit_config(options))
    assert torch.equal(network.unet.head[3].weight, load_generator("theirs.safetensors").unet.head[3].weight)


def test_weights_of_another_method_are_refused(work, capsys):
    save_generator("generator.safetensors", Generator(9, 3, 8, 1, 4))
    assert main(["sr", "-p", "train", "-c", changed(path__resume_state="generator.safetensors")]) == 1
    assert re.search("method 'srgan', not of 'sr3'.*path.resume_state", capsys.readouterr().err)


@pytest.mark.parametrize("error, status, text", [
    (TrainingDiverged("The loss is no longer a finite number."), 1, "finite number.*lr is train.optimizer.lr"),
    (OutOfMemory("The memory of cuda is full."), 1, "is full.*batch_size is datasets.train.batch_size"),
    (RuntimeError("CUDA out of memory."), 1, "not enough memory"), (MemoryError(), 1, "not enough memory"),
    (CheckpointError("It is damaged."), 1, "It is damaged"), (KeyboardInterrupt(), 130, "Stopped")], ids=repr)
def test_a_command_that_ends_early_says_why_without_a_traceback(error, status, text, work, monkeypatch, capsys):
    def fit(*_):
        raise error
    monkeypatch.setattr(sr3_actions, "fit", fit)
    assert main(["sr", "-p", "train", "-c", changed()]) == status
    said = capsys.readouterr().err
    assert re.search(text, said) and said.startswith("Error: ") == (status == 1) and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("dashes", ["-", "--"])
def test_wandb_and_tensorboard_are_told_what_happens(dashes, work, monkeypatch, capsys):
    told = types.SimpleNamespace(logged=[], artifacts=[], rows=[], scalars=[], finished=0, mode=None)

    class Run:
        def log(self, values, step=None):
            told.logged.append((sorted(values), step))

        def log_artifact(self, artifact):
            told.artifacts.append(artifact.path)

        def finish(self):
            told.finished += 1

    class Artifact:
        def __init__(self, name, type):
            assert type == "model"

        def add_file(self, path):
            self.path = Path(path).name

    class Writer:
        def __init__(self, folder):
            assert Path(folder).name == "tb_logger"

        def add_scalar(self, name, value, step):
            told.scalars.append((name, step))

        add_image, close = (lambda *_, **__: None), (lambda self: None)

    def init(**settings):
        told.mode = settings.get("mode")
        return Run()
    monkeypatch.delenv("WANDB_MODE", raising=False), monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(
        init=init, Artifact=Artifact, Image=lambda image: image.shape,
        Table=lambda columns: types.SimpleNamespace(add_data=lambda *row: told.rows.append(row))))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    config = changed(train__print_freq=1)
    wandb = f"{dashes}enable_wandb"
    flags = [wandb, *(f"{dashes}{name}" for name in ("log_wandb_ckpt", "log_eval", "tensorboard"))]
    assert main(["sr", "-p", "train", "-c", config, *flags]) == 0
    assert "-log_eval changes nothing here" in capsys.readouterr().out
    assert told.mode == "offline" and told.artifacts == ["sr3_last.pth"] * 2 and told.finished == 1
    assert (["l_pix"], 1) in told.logged and (["epoch", "psnr", "ssim"], 4) in told.logged
    assert ("psnr", 2) in told.scalars and ("l_pix", 3) in told.scalars
    assert main(["sr", "-p", "val", "-c", config, *flags]) == 0
    assert [row[0] for row in told.rows] == ["00cup", "00man"] and told.finished == 2
    assert told.logged[-2:] == [(["psnr", "ssim"], None), (["eval"], None)]
    assert "-log_wandb_ckpt -tensorboard changes nothing here" in capsys.readouterr().out
    assert main(["infer", "-c", config, wandb, f"{dashes}log_infer"]) == 0 and len(told.rows) == 5
    assert main(["infer", "-c", config, wandb]) == 0 and told.finished == 3
    assert "-enable_wandb changes nothing here. To follow this command: -enable_wandb -log_infer" in (
        capsys.readouterr().out)
    config = changed(path__resume_state=shipped("free.safetensors", **FREE), **FREE)
    assert main(["sample", "-p", "val", "-c", config, wandb]) == 0
    assert told.logged[-1] == (["sample"], None) and told.rows[-1] == ("001", (64, 64, 3)) and told.finished == 4


def test_a_missing_package_is_named(work, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(sr3, "build", None)              # it is said before anything is begun
    for flag, package in (("-enable_wandb", "wandb"), ("--tensorboard", "tensorboard")):
        assert main(["sr", "-p", "train", "-c", changed(), flag]) == 1
        assert f"pip install {package}" in capsys.readouterr().err and not (work / "runs").exists()
    assert main(["sample", "-p", "val", "-c", changed(**FREE), "-enable_wandb"]) == 1
    assert "pip install wandb" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["log_eval", "log_infer", "log_wandb_ckpt"])
def test_what_is_kept_at_wandb_needs_wandb(flag, work, capsys):
    assert main(["sr", "-p", "train", "-c", changed(), f"-{flag}"]) == 1
    assert f"-{flag} keeps things" in capsys.readouterr().err and not (work / "runs").exists()


def test_draw_needs_to_know_how_many(work, capsys):
    config = changed(path__resume_state=shipped("free.safetensors", **FREE), datasets__val__data_len=-1, **FREE)
    assert main(["sample", "-p", "val", "-c", config]) == 1 and "how many images" in capsys.readouterr().err

"""Every setting is described; a wrong value is a sentence, and so are settings that do not fit together."""

import copy
import json
import re

import numpy as np
import pytest

import run_notebooks
from config import COMMON, PRESETS, check_settings, get_config
from models import VGG19_LAYERS
from support.measures import MEASURES
from support.run import plain
from support.setting_descriptions import GROUPS, SETTINGS
from support.setting_kinds import Choice, ListOf, Number, Section, Whole
from support.setting_rules import VGG19_CONVOLUTIONS
from support.settings import BadSetting, change
from tests.helpers import ROOT, fit, tiny_config

WRONG = [
    ("lr", "fast", "a number above 0"), ("lr", 0, "a number above 0"), ("lr", float("nan"), "a number above 0"),
    ("batch_size", 0, "a whole number, at least 1"), ("batch_size", 2.5, "a whole number, at least 1"),
    ("batch_size", True, "a whole number, at least 1"), ("batch_size", None, "a whole number, at least 1"),
    ("seed", "x", "a whole number from 0 to 4294967295"), ("seed", -1, "a whole number from 0"),
    ("warmup", "abc", "a whole number, at least 0"), ("averaging", 2, "a number from 0 to below 1"),
    ("averaging", 1, "a number from 0 to below 1"), ("epochs", 2.5, "a whole number, at least 0"),
    ("epochs", float("inf"), "a whole number"), ("n_valid", 0, "a whole number, at least 1; or None: all"),
    ("updates_per_epoch", 0, "or None: every patch once"), ("crop_size", 2, "a whole number, at least 4"),
    ("content_loss", "l1", "'vgg', 'mse' or 'perceptual'"), ("vgg19_i", 6, "a whole number from 1 to 5"),
    ("vgg19_weights", "", "'imagenet', 'vgg16', 'random' or a file"), ("compile", "yes", "True or False"),
    ("lr_milestones", 0.5, "a list, in which each is a number from 0 to 1"), ("lr_milestones", [2], "from 0 to 1"),
    ("measures", ["psnr"], "'niqe', 'vgg16', 'lpips'"), ("test_sets", "Set5", "a list"),
    ("amp", "half", "'auto', 'bf16' or 'fp16'; or None"), ("device", "gpu", "'cpu', 'cuda'"),
    ("name", "a/b", "a name without"), ("name", "..", "a name without"), ("csv_folder", 5, "a folder"),
    ("G", 5, "a section"), ("pretrain", [], "a section"),
    ("pretrain.lr", "fast", "a number above 0"), ("D.n_channels", 0, "a whole number, at least 1"),
    ("G.large_kernel_size", 8, "an odd whole number"), ("pretrain.G", dict(n_channels=0), "a whole number")]


def put(config, name, value):
    *sections, last = name.split(".")
    for section in sections:
        config = config[section]
    setattr(config, last, value)


@pytest.mark.parametrize("name, value, allowed", WRONG, ids=lambda value: str(value)[:20])
def test_a_value_that_a_setting_does_not_take_is_one_sentence(name, value, allowed):
    config = get_config("demo")
    before = plain(config)
    with pytest.raises(BadSetting) as error:
        put(config, name, value)
    sentence = str(error.value)
    assert re.match(rf"config\.{re.escape(name)}\S* cannot be ", sentence) and allowed in sentence
    assert "\n" not in sentence and plain(config) == before
    assert error.value._render_traceback_() == [f"BadSetting: {sentence}"]         # what a notebook shows


def test_every_way_of_setting_a_value_is_checked():
    config, one = get_config("demo"), dict(lr="fast")
    for set_it in (lambda: config.update(one), lambda: config.add(**one), lambda: config.pretrain.update(one),
                   lambda: put(config, "pretrain", one), lambda: put(copy.deepcopy(config), "lr", "fast"),
                   lambda: config.__setitem__("lr", "fast"), lambda: change(config, "pretrain.lr=fast"),
                   lambda: put(config, "G", dict(n_channels=0))):
        with pytest.raises(BadSetting, match=r"config\.\S+ cannot be "):
            set_it()
    with pytest.raises(BadSetting, match="seed cannot be 'x'"):
        get_config("demo", seed="x")


def test_a_value_is_kept_as_json_and_random_generators_need_it():
    config = get_config("demo")
    config.updates_per_epoch, config.batch_size, config.lr = 1e4, np.int64(8), np.float32(0.5)
    config.lr_milestones, config.HR_data_folder = (0.25, 0.5), ROOT
    assert [type(config[name]) for name in ("updates_per_epoch", "batch_size", "lr")] == [int, int, float]
    kept = json.loads(json.dumps(plain(config)))
    assert (kept["updates_per_epoch"], kept["batch_size"], kept["lr"]) == (10000, 8, 0.5)
    assert change(config, "updates_per_epoch=2e3") == ("updates_per_epoch", 2000)


def test_a_setting_of_ones_own_takes_anything():
    config = get_config("demo")
    config.add(my_weight="heavy", loss=dict(lr="fast", batch_size=0))
    config.my_weight = [object]
    config.pretrain.add(mine=1)
    config.pretrain = dict(mine="any", lr=1e-3)             # the section still knows it
    assert copy.deepcopy(config) == config and config.pretrain.mine == "any"


# ---------------------------------------------------------------- one description of each

@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_is_described_and_nothing_else(preset):
    def names(section, prefix=""):
        for name, value in section.items():
            yield prefix + name
            if prefix + name in SETTINGS and type(SETTINGS[prefix + name].kind) is Section:
                yield from names(value, f"{prefix}{name}.")
    config = get_config(preset)
    # A new line in config.py needs one in support/setting_descriptions.py: what it takes, what it means.
    assert set(names(config)) | {"store"} == set(SETTINGS)
    assert set(COMMON) | set(PRESETS[preset]) <= set(SETTINGS) and set(config.pretrain) <= set(SETTINGS)
    assert len(SETTINGS) == sum(map(len, GROUPS.values()))


def test_descriptions_are_in_both_languages_and_short():
    for name, setting in SETTINGS.items():
        for text in (setting.english, setting.kind.allowed()[0], setting.source[0]):
            assert text and text.isascii() and "|" not in text and not text.endswith("."), name
        assert re.search("[\u4e00-\u9fff]", setting.chinese + setting.kind.allowed()[1]), name
        assert not re.search("[\u4e00-\u9fff] *[;,:!?.]", setting.chinese), name      # full-width there


def test_choices_are_those_of_the_code():
    assert set(SETTINGS["measures"].kind.kind.choices) == set(MEASURES)
    assert VGG19_CONVOLUTIONS == VGG19_LAYERS


@pytest.mark.parametrize("kind, words", [
    (Whole(1), ("a whole number, at least 1", "整数，不小于 1")),
    (Whole(1, 5, none=("all", "全部")), ("a whole number from 1 to 5; or None: all", "1 到 5 的整数；或 None：全部")),
    (Number(0, below=1), ("a number from 0 to below 1", "0 到 1 的数（不含 1）")),
    (Choice("a", "b", other=("a file", "文件")), ("'a', 'b' or a file", "'a'、'b' 或 文件")),
    (ListOf(Number(0), length=2), ("a list of 2, in which each is a number, at least 0",
                                   "列表（2 项），每一项为不小于 0 的数"))])
def test_what_is_allowed_in_words(kind, words):
    assert kind.allowed() == words


def test_help_shows_every_setting_with_the_presets_value(capsys):
    assert run_notebooks.main(["--help-settings", "--preset", "laptop", "--set", "print_freq=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, setting in SETTINGS.items():
        assert isinstance(setting.kind, Section) or any(line.split(" = ")[0] == name for line in lines), name
    assert "print_freq = 7" in lines and "crop_size = 64" in lines and "pretrain.epochs = 18" in lines


# ---------------------------------------------------------------- what does not fit together

@pytest.mark.parametrize("changes, words", [
    ("crop_size=50", r"config\.crop_size = 50 is not divisible by config\.scaling_factor = 4.*48 or 52"),
    ("pretrain.crop_size=50", r"config\.pretrain\.crop_size = 50 is not divisible"),
    ("start_epoch=9", "start_epoch is 9.*'srgan' has the epochs 0 to 2"),
    ("scaling_factor=3", "2, 4 or 8"), ("d_shift=48", "leaves the discriminator 0 of the 48 pixels"),
    ("d_shift=60", "leaves the discriminator 0 of the 48 pixels"), ("d_shift=45", "3 of the 48.*at least 4"),
    ("crop_size=12 d_shift=0", "'perceptual' needs patches of at least 16 pixels.*crop_size is 12"),
    ("vgg19_j=4", "5, 4 is no layer of VGG16"), ("vgg19_weights=random vgg19_i=2", "2, 3 is no layer of VGG19"),
    ("content_loss=vgg vgg19_weights=random crop_size=12 d_shift=0",
     r"vgg19_i = 5 halves the size 4 times.*at least 16 pixels, not 12"),
    ("vgg19_weights=nothing.pth", "nor a file that is there"),
    ("G.n_channels=2", "at least 3 channels"), ("G.small_kernel_size=1", "kernels of at least 3"),
    ("batch_size=1 content_loss=mse crop_size=4 d_shift=0", "batch_size = 1 is too few for patches of 4 pixels"),
    ("batch_size=1 content_loss=mse discriminator=srgan crop_size=8 d_shift=0", "of 8 pixels: downscaled 8 times")])
def test_settings_that_do_not_fit_together_are_found_before_a_run(changes, words, capsys):
    config = get_config("demo")
    for text in changes.split():
        change(config, text)
    with pytest.raises(BadSetting, match=words):
        check_settings(config)
    with pytest.raises(SystemExit):                # the command: before any notebook is opened
        run_notebooks.main(["--set", *changes.split()])
    assert re.search(words, capsys.readouterr().err)


def test_a_stage_that_is_skipped_is_not_checked():
    config = get_config("demo")
    config.update(epochs=0, d_shift=60, vgg19_weights="nothing.pth")
    check_settings(config)
    config.pretrain.epochs, config.crop_size = 0, 50
    check_settings(config)
    for preset in PRESETS:
        check_settings(get_config(preset))


@pytest.mark.parametrize("crop", [4, 8, 12])
def test_a_crop_that_the_check_lets_pass_can_be_trained_on(crop, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny_config(data, crop_size=crop, d_shift=0, epochs=1, updates_per_epoch=2, patch_num=2)
    check_settings(config)
    assert len(fit(config, "srgan")) == 1

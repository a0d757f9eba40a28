"""The presets: the numbers of the paper, the keys of the handout, no shared state."""

import copy
import json
import pickle
import re

import pytest

from config import PRESETS, get_config
from models import Generator
from support.run import learning_rate, plain, run_folder, save_config, stage_config
from support.settings import UnknownSetting, change

DIV2K_UPDATES = 800 * 100 // 16      # an epoch: 800 images, 100 patches each, batches of 16


def test_paper_is_the_paper():
    config = get_config("paper")
    pretrain, srgan = stage_config(config, "pretrain"), stage_config(config, "srgan")
    assert pretrain.epochs * DIV2K_UPDATES == 10**6 and srgan.epochs * DIV2K_UPDATES == 2 * 10**5
    assert (config.batch_size, config.crop_size, config.beta, config.content_loss) == (16, 96, 1e-3, "vgg")
    assert (config.vgg19_i, config.vgg19_j) == (5, 4) and config.feature_scale == pytest.approx(1 / 12.75)
    assert learning_rate(999_999, 10**6, pretrain) == 1e-4
    assert learning_rate(99_999, 2 * 10**5, srgan) == 1e-4
    assert learning_rate(100_000, 2 * 10**5, srgan) == pytest.approx(1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_keep_the_keys_of_the_handout_and_do_not_share_state(preset):
    config = get_config(preset, "somewhere", "a run", seed=3)
    for key in ("csv_folder", "HR_data_folder", "LR_data_folder", "crop_size", "scaling_factor", "checkpoint",
                "batch_size", "start_epoch", "epochs", "workers", "vgg19_i", "vgg19_j", "beta", "print_freq", "lr",
                "device"):
        assert key in config
    assert config.csv_folder == "somewhere" and run_folder(config).name == "a run" and config.seed == 3
    config.G.n_channels = 1
    config.test_sets.append("mine")
    assert get_config(preset).G.n_channels != 1 and "mine" not in get_config(preset).test_sets


def test_full_size_is_the_papers_generator():
    assert sum(p.numel() for p in Generator(get_config("course")).parameters()) == 1_547_350


def test_an_unknown_preset_is_refused_with_the_names_of_the_others():
    with pytest.raises(ValueError, match="demo, laptop, course, paper"):
        get_config("fast")


def test_config_json_holds_every_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = get_config("demo")
    save_config(config)
    assert json.loads((run_folder(config) / "config.json").read_text(encoding="utf-8")) == plain(config)


@pytest.mark.parametrize("name", ["..", "a/b", "/tmp/a"])
def test_a_run_stays_inside_runs(name):
    with pytest.raises(ValueError, match="is a path"):
        get_config("demo", name=name)


# ---------------------------------------------------------------- words that the configuration does not know

def set_attribute(config):
    config.bach_size = 8


def set_item(config):
    config["bach_size"] = 8


def set_in_a_section(config):
    config.pretrain.bach_size = 8


def set_a_section(config):
    config.pretrain = dict(epochs=1, bach_size=8)


def set_in_a_copy(config):
    copy.deepcopy(config).bach_size = 8


def set_in_a_pickled_copy(config):
    pickle.loads(pickle.dumps(config)).pretrain.bach_size = 8


@pytest.mark.parametrize("where, set_it", [
    ("config", set_attribute), ("config", set_item), ("config", lambda config: config.update(bach_size=8)),
    ("config", lambda config: config.setdefault("bach_size", 8)),
    ("config", lambda config: config.__ior__({"bach_size": 8})), ("config", set_in_a_copy),
    ("config", lambda config: change(config, "bach_size=8")),
    ("config.pretrain", set_in_a_section), ("config.pretrain", set_a_section),
    ("config.pretrain", set_in_a_pickled_copy),
    ("config.pretrain", lambda config: change(config, "pretrain.bach_size=8"))])
def test_an_unknown_setting_is_an_error_that_names_the_nearest_one(where, set_it):
    config = get_config("demo")
    before = plain(config)
    with pytest.raises(UnknownSetting, match=rf"{where} has no setting 'bach_size'\. Did you mean batch_size"):
        set_it(config)
    assert plain(config) == before


def test_a_section_has_its_own_words():
    config = get_config("demo")
    with pytest.raises(UnknownSetting, match=r"config\.G has no setting 'width'\. It has large_kernel_size, n_blocks"):
        config.G.width = 8
    config.pretrain.crop_size, config.pretrain.store = 32, None       # pre-training may have its own of anything
    assert stage_config(config, "pretrain").crop_size == 32 and config.crop_size == 48


def test_reading_an_unknown_setting_names_the_nearest_one_too():
    with pytest.raises(AttributeError, match="no setting 'batchsize'. Did you mean batch_size"):
        get_config("demo").batchsize  # noqa: B018
    assert not hasattr(get_config("demo"), "batchsize") and get_config("demo").get("batchsize", 3) == 3


def test_a_setting_of_ones_own_is_added_and_then_known():
    config = get_config("demo")
    config.add(l1_weight=0.01, loss=dict(kind="l1"))
    config.l1_weight, config.loss.kind = 0.02, "mse"
    assert plain(config)["l1_weight"] == 0.02 and plain(config)["loss"] == {"kind": "mse"}
    config.store = "elsewhere"               # without a value at first, and yet known
    assert config.pop("l1_weight") == 0.02 and "l1_weight" not in config


def test_a_copy_is_equal_and_keeps_its_values():
    config = get_config("course")
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), copy.copy(config)):
        assert other == config and plain(other) == plain(config) and other.pretrain.lr == config.pretrain.lr


@pytest.mark.parametrize("text, message", [
    ("batch_size", "KEY=VALUE"), ("pretain.lr=1", "no setting 'pretain'. Did you mean pretrain"),
    ("crop_size.x=1", "config.crop_size has no parts"),
    ("G.n_channel=8", "config.G has no setting 'n_channel'. Did you mean n_channels"), ("lr=fast", "is a number")])
def test_set_says_the_same_words(text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        change(get_config("demo"), text)
    assert text in str(error.value)

"""The presets: the numbers of the paper, the keys of the handout, no shared state."""

import json

import pytest

from config import PRESETS, get_config
from models import Generator
from support.run import learning_rate, plain, run_folder, save_config, stage_config

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

"""The settings of A2N, SRDiff and SR3 are described as those of config.py are, and checked by the same rules."""

import inspect
import re

import pytest

from benchmarks import settings
from extensions import a2n, sr3, srdiff
from extensions.setting_descriptions import DESCRIBED, OWN
from extensions.train import METHODS, extension_config, main
from support.setting_kinds import Section, is_of_a_stage
from support.setting_rules import check_settings
from support.settings import BadSetting, change
from support.settings_page import PAGES
from tests.helpers import ROOT

# Section -> the network whose arguments it holds, except those that follow from other settings.
NETWORKS = {("a2n", "A2N"): a2n.A2N, ("srdiff", "SRDiff"): srdiff.SRDiff, ("srdiff", "SRDiff.encoder"): srdiff.Encoder,
            ("sr3", "sr3.network"): sr3.SR3, ("sr3", "sr3.network.unet"): sr3.UNet}
FOLLOWING = {"scaling_factor", "c_in", "swish_level"}
PRESETS = [(method, preset) for method, module in METHODS.items() for preset in module.PRESETS]


@pytest.mark.parametrize("method, section", NETWORKS)
def test_a_section_of_a_network_takes_its_arguments(method, section):
    arguments = set(inspect.signature(NETWORKS[method, section]).parameters) - FOLLOWING
    assert {name.removeprefix(section + ".") for name in OWN[method]
            if re.fullmatch(re.escape(section) + r"\.\w+", name)} == arguments


@pytest.mark.parametrize("method, preset", PRESETS)
def test_every_setting_of_a_preset_is_described_and_fits(method, preset):
    def names(section, prefix=""):
        for name, value in section.items():
            known = DESCRIBED[method].get(prefix + name)
            if not is_of_a_stage(DESCRIBED[method], prefix + name) and isinstance(value, dict) and known:
                yield from names(value, f"{prefix}{name}.")
            yield prefix + name
    config = extension_config(method, preset)
    assert set(names(config)) <= set(DESCRIBED[method])
    for stage in config.stages:
        assert isinstance(DESCRIBED[method][stage].kind, Section) and set(config[stage]) <= {
            name.removeprefix(stage + ".") for name in DESCRIBED[method]}
    check_settings(config)


@pytest.mark.parametrize("method, text, allowed", [
    ("a2n", "a2n.lr=fast", "config.a2n.lr cannot be 'fast': it is a number above 0"),
    ("a2n", "a2n.batch_size=2.5", "a whole number, at least 1"), ("a2n", "A2N.loss=l3", "'l1', 'mse' or 'charbonnier'"),
    ("a2n", "sub_images={'size':480,'stride':0}", "config.sub_images.stride cannot be 0"),
    ("a2n", "sub_images=5", "or None: patches from anywhere"), ("a2n", "stages=[]", "a list of at least 1"),
    ("srdiff", "srdiff.warmup=abc", "a whole number, at least 0"),
    ("srdiff", "SRDiff.encoder.n_blocks=x", "config.SRDiff.encoder.n_blocks cannot be 'x'"),
    ("srdiff", "SRDiff.multipliers=(1,0)", "each is a whole number, at least 1"),
    ("sr3", "sr3.network.betas=[1,2,3]", "first and last beta"), ("sr3", "sr3.network.betas=[1e-6,0.1,2.5]", "beta"),
    ("sr3", "sr3.network.unet.dropout=1", "a number from 0 to below 1")])
def test_a_wrong_value_is_a_sentence(method, text, allowed, capsys):
    with pytest.raises(BadSetting, match=re.escape(allowed)):
        change(extension_config(method, "small"), text)
    with pytest.raises(SystemExit):
        main([method, "--preset", "small", "--set", text])
    assert allowed in " ".join(capsys.readouterr().err.split())


def test_settings_that_do_not_fit_together_are_found_before_the_data_are_opened(capsys):
    with pytest.raises(SystemExit):
        main(["a2n", "--set", "crop_size=50"])
    assert "not divisible by config.scaling_factor = 4" in " ".join(capsys.readouterr().err.split())


def test_help_shows_the_methods_settings(capsys):
    assert main(["sr3", "--help-settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "sr3.network.n_steps = 5" in lines and "sr3.epochs = 2" in lines and "crop_size = 32" in lines


def test_the_pages_are_what_the_command_writes(tmp_path):
    settings.main(["--write"], tmp_path)
    for name in PAGES:                         # written again by: python -m benchmarks.settings --write
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / "docs" / name).read_text(encoding="utf-8")

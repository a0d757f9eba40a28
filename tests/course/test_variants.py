"""The hidden tests: full points for right code of any style, a loss exactly where code is wrong."""

import importlib
import os
import sys

import numpy as np
import pytest

from course.hidden import CASES, judge, make_inputs, unfitting
from course.sandbox import ROOT
from tests.course.variants import HEAD, PARTS, RIGHT, WRONG, source_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("variants")]
SUBJECT = {"generator": "generator", "discriminator": "discriminator", "vgg": "vgg", "solver": "train"}
INPUTS = make_inputs(seed=1)


def answers_to(folder, sources, part):
    """Arrays and failures of the probes of one part, in this process: what is tried here is no stranger's."""
    import torchvision
    (folder / "models.py").write_text(HEAD + "\n".join(sources[name] for name in ("generator", "discriminator", "vgg")),
                                      encoding="utf-8")
    (folder / "solver.py").write_text(HEAD + sources["solver"], encoding="utf-8")
    arrays, failures = {"models_import": {}, "solver_import": {}}, {}
    kept = {name: sys.modules.pop(name, None) for name in ("models", "solver", "walk", "probes")}
    vgg19, place = torchvision.models.vgg19, os.getcwd()
    sys.path[:0] = [str(folder), str(ROOT / "course")]
    os.chdir(folder)
    try:
        probes = importlib.import_module("probes")
        for name in dict.fromkeys(case.probe for case in CASES):
            if name.startswith(SUBJECT[part]):
                try:
                    arrays[name] = probes.PROBES[name]({key: array.copy() for key, array in INPUTS.items()})
                except Exception as error:
                    failures[name] = f"{type(error).__name__}: {error}"
    finally:
        os.chdir(place)
        del sys.path[:2]
        torchvision.models.vgg19 = torchvision.models.vgg.vgg19 = vgg19
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    return arrays, failures


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The answers of the plain code, all parts."""
    arrays = {}
    for part in PARTS:
        arrays |= answers_to(tmp_path_factory.mktemp(part), PARTS, part)[0]
    return arrays


def verdicts_of(tmp_path, plain, part, change):
    arrays, failures = answers_to(tmp_path, {**PARTS, part: source_of(part, change)}, part)
    arrays = {**{name: value for name, value in plain.items() if not name.startswith(SUBJECT[part])}, **arrays}
    return {verdict.name: verdict for verdict in judge(arrays, INPUTS, failures)}, unfitting(arrays, INPUTS)


def lost(verdicts):
    return {name: verdict.message for name, verdict in verdicts.items() if verdict.points < verdict.of}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_gets_all_points(tmp_path, plain, name):
    part, change, note = RIGHT[name]
    verdicts, flags = verdicts_of(tmp_path, plain, part, change)
    assert lost(verdicts) == {} and flags == []
    notes = " ".join(verdict.message for verdict in verdicts.values())
    assert note in notes


@pytest.mark.parametrize("name", WRONG)
def test_wrong_code_loses_where_it_is_wrong_and_nowhere_else(tmp_path, plain, name):
    part, change, expected = WRONG[name]
    verdicts, _ = verdicts_of(tmp_path, plain, part, change)
    assert set(lost(verdicts)) == expected, lost(verdicts)


def test_answers_that_were_made_for_other_inputs_are_noticed(plain):
    """Everything right, but prepared: the features are wrong, and the layers do not fit the weights of today."""
    verdicts = {verdict.name: verdict for verdict in judge(plain, make_inputs(seed=2))}
    assert "vgg_features" in lost(verdicts) and "look at the code" in unfitting(plain, make_inputs(seed=2))[0]
    assert unfitting(plain, INPUTS) == [] and lost({v.name: v for v in judge(plain, INPUTS)}) == {}


def test_an_answer_that_is_empty_or_broken_earns_nothing(plain):
    for broken in ({}, {"x0": np.zeros(3)}, {name: np.zeros((0,)) for name in ("kind", "weights", "moved", "gain")}):
        answers = {name: broken if "_import" not in name else {} for name in plain}
        assert sum(verdict.points for verdict in judge(answers, INPUTS)) == 0
        assert unfitting(answers, INPUTS) != []
    assert sum(verdict.points for verdict in judge({}, INPUTS)) == 0
    zeros = {name: {key: np.zeros_like(value) for key, value in answer.items()} for name, answer in plain.items()}
    assert sum(verdict.points for verdict in judge(zeros, INPUTS)) == 0


def test_what_is_as_it_was_handed_out_earns_nothing_and_is_said(plain):
    verdicts = judge(plain, INPUTS, untouched=["solver.py"])
    assert sum(verdict.points for verdict in verdicts) == 82
    assert all("as it was handed out" in verdict.message for verdict in verdicts if verdict.name.startswith("train_"))


def test_there_are_enough_of_them():
    assert len(RIGHT) >= 25 and len(WRONG) >= 25

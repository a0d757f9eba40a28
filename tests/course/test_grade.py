"""Grading: every fault is found by name, hostile code harms nobody and earns what it has earned."""

import csv
import json
import os
import socket
import sys
import threading
import time
from datetime import datetime, timezone

import nbformat
import numpy as np
import psutil
import pytest
from easydict import EasyDict

from course import hidden
from course.check import set5_references
from course.facts import CODE, NOTEBOOKS, SET5, read_facts
from course.flags import common_lines, given_lines
from course.flat_edition import is_flat, unpack_flat_edition
from course.grade import assemble, grade, perceptual, with_shipped
from course.gradebook import COLUMNS, feedback_pages, read_grades, set5_means, write_grades
from course.handin import HandIn
from course.hidden import CASES, PROBES, judge, make_bundle, make_inputs, packed, read_bundle
from course.sandbox import LIMITS, OWN, ROOT, Outcome, run_probes
from inference import load_generator
from tests.course.synthetic_class import (
    FAULTS,
    HOSTILE,
    complete,
    hr_of,
    models_with,
    own_results,
    write_class,
    write_set5,
    write_zip,
)
from tests.helpers import png

pytestmark = pytest.mark.xdist_group("grade")
QUICK = {**LIMITS, "seconds": 12, "start_seconds": 45, "wall": 150, "memory": 3 * 2**30}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The hidden tests of this kit."""
    folder = tmp_path_factory.mktemp("bundle")

    def of_the_kit(inputs, names):
        return run_probes(ROOT, inputs, names)
    make_bundle(folder / "hidden.zip", of_the_kit)
    return folder / "hidden.zip"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set5(tmp_path_factory.mktemp("set5"))


@pytest.fixture(scope="module")
def references(data):
    """What the kit's generators make of Set5: half a minute of processor time, the same for every grading here."""
    return with_shipped(set5_references(data), data)


@pytest.fixture(autouse=True)
def references_once(monkeypatch, request):
    if "data" in request.fixturenames:
        known = request.getfixturevalue("references")
        monkeypatch.setattr("course.grade.with_shipped", lambda *_: known)


def grade_files(tmp_path, bundle, data, facts=None, given=(), **students):
    """Grade hand-ins given as dicts of files; returns {name: row}."""
    for name, files in students.items():
        write_zip(tmp_path / "zips" / f"{name}.zip", files)
    rows = grade(tmp_path / "zips", bundle, data, tmp_path / "out", facts or read_facts("none"), progress=False,
                 limits=QUICK, given=given)
    return {row["file"].removesuffix(".zip"): row for row in rows}


def test_the_points_are_a_hundred_and_every_case_has_its_probe():
    assert sum(case.points for case in CASES) == 100
    assert {case.probe for case in CASES} | {"models_import", "solver_import"} == set(PROBES)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.slow
def test_honest_faulty_and_hostile_hand_ins_beside_each_other(tmp_path, bundle, data):
    first, second, third = (complete(k, tmp_path / "code") for k in (1, 2, 3))
    second["models.py"] = models_with(2, *HOSTILE["exits_early"])
    third["models.py"] = models_with(3, "class Generator(Generator):\n"
                                        "    def forward(self, lr):\n        return super().forward(lr).tanh()")
    rows = grade_files(tmp_path, bundle, data, a_complete=first, b_exits=second,
                       c_tanh=FAULTS["no_report"][0](third))
    points = {name: sum(test[1] for test in row["tests"]) for name, row in rows.items()}
    assert points["a_complete"] == 100 and rows["a_complete"]["flags"] == []
    solver_alone = sum(case.points for case in CASES if case.probe.startswith("train_"))      # it plays with our stubs
    assert points["b_exits"] == solver_alone == 18
    assert points["c_tanh"] == 100
    assert [test[5] for test in rows["c_tanh"]["tests"] if test[5]] == ["tanh at the end; figure 4 has nothing there"]
    assert {finding[0] for finding in rows["c_tanh"]["findings"] if finding[1] == "fault"} == {"files"}
    assert len(rows["a_complete"]["pictures"]) == 5
    with open(tmp_path / "out/grades.csv", encoding="utf-8-sig", newline="") as file:
        table = {row["file"]: row for row in csv.DictReader(file)}
    assert table["a_complete.zip"]["hidden_points"] == "100" and table["a_complete.zip"]["name"] == "同学1"
    page = (tmp_path / "out/students/c_tanh.html").read_text(encoding="utf-8")
    assert "generator" in page.lower() and "tanh at the end" in page


@pytest.mark.slow
def test_a_hanging_submission_is_stopped_and_leaves_nothing_behind(tmp_path, bundle):
    code = tmp_path / "code"
    code.mkdir()
    (code / "models.py").write_text("import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', "
                                    "'import time; time.sleep(600)'], start_new_session=True)\ntime.sleep(600)\n")
    inputs = packed(make_inputs(seed=0))
    before, begun = {p.pid for p in psutil.process_iter()}, time.monotonic()
    outcome = run_probes(code, inputs, ["generator_shapes", "generator_walk", "vgg_features"],
                         limits={**QUICK, "wall": 8})
    assert time.monotonic() - begun < 60 and not outcome.arrays
    assert "asleep" in outcome.failures["generator_shapes"]
    time.sleep(0.5)
    left = [p for p in psutil.process_iter() if p.pid not in before and "time.sleep(600)" in " ".join(_command(p))]
    assert not left


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def probe_of_models(tmp_path, text, name="generator_shapes", **options):
    code = tmp_path / "code"
    code.mkdir()
    (code / "models.py").write_text(text, encoding="utf-8")
    return run_probes(code, packed(make_inputs(seed=0)), [name], **{"limits": QUICK, **options})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's; a note says where they are missing")
def test_no_network_and_no_sight_of_what_is_hidden(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "expected.txt").write_text("42")
    server = socket.create_server(("127.0.0.1", 0))
    reached = []
    threading.Thread(target=lambda: reached.append(server.accept()), daemon=True).start()
    outcome = probe_of_models(
        tmp_path, f"import os, socket\nfrom pathlib import Path\nfound = int(os.path.exists({str(secret)!r}))\n"
        f"try:\n    socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)\n    found += 100\n"
        "except OSError:\n    pass\nraise ValueError(f'found {found} at {Path.home().name}')")
    if outcome.notes:
        pytest.skip(f"this system allows no namespaces: {outcome.notes}")
    assert "found 0 at box" in outcome.failures["generator_shapes"] and not reached
    server.close()


@pytest.mark.slow
def test_a_result_that_is_written_by_hand_is_only_arrays(tmp_path):
    outcome = probe_of_models(tmp_path, "import gc, os\nimport numpy as np\nfrom jailed import Channel\n"
                              "import __main__\nchannel = next(o for o in gc.get_objects()\n"
                              "               if type(o).__name__ == 'Channel')\n"
                              "channel.arrays('generator_shapes.arrays', {'shapes': np.array([[2, 3, 12, 18]])})\n"
                              "os._exit(0)")
    assert outcome.arrays["generator_shapes"]["shapes"].shape == (1, 4)
    verdict = {v.name: v for v in judge({**outcome.arrays, "models_import": {}}, make_inputs(seed=0))}
    assert verdict["generator_shapes"].points == 0


@pytest.mark.slow
def test_files_in_the_places_of_results_are_never_opened(tmp_path):
    np.savez(tmp_path / "wanted.npz", shapes=np.zeros(3))
    outcome = probe_of_models(tmp_path, "import os\nfrom pathlib import Path\nbox = Path.home()\n"
                              f"os.symlink({str(tmp_path / 'wanted.npz')!r}, box / 'generator_shapes.npz')\n"
                              "os.mkfifo(box / 'generator_shapes.txt')\n(box / 'generator_layers.txt').touch()\n"
                              "os._exit(0)")
    assert "without a result" in outcome.failures["generator_shapes"] and not outcome.arrays


def test_the_child_knows_no_right_answer():
    for name in ("probes.py", "walk.py"):
        text = (ROOT / "course" / name).read_text(encoding="utf-8")
        assert "hidden" not in text and "questions" not in text and "from course" not in text
        assert name in OWN


@pytest.mark.slow
def test_a_bundle_of_another_version_is_refused(tmp_path, bundle, monkeypatch):
    assert read_bundle(bundle) == {case.name: case.points for case in CASES}
    monkeypatch.setattr(hidden, "CASES", CASES[:-1])
    with pytest.raises(ValueError, match="another version"):
        read_bundle(bundle)
    (tmp_path / "x.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match="no bundle"):
        read_bundle(tmp_path / "x.zip")


def nothing(*_, **__):
    """In the place of run_probes: no results."""
    return Outcome({}, {}, [])


@pytest.mark.slow
def test_copies_between_students_and_of_the_kits_generators_are_flagged(tmp_path, bundle, data, monkeypatch):
    monkeypatch.setattr("course.grade.run_probes", nothing)
    first, second, third, fourth = (complete(k, tmp_path / "code") for k in range(1, 5))
    copied = {**second, **{name: first[name] for name in first if name.startswith("results") or name == "models.py"}}
    from support.enlarging import super_resolve
    from support.images import read_image
    lr = read_image(data / "LR" / "birdx4.png")[0]
    third["results/Set5/bird.png"] = png(super_resolve(load_generator("srresnet-x4"), lr))
    fourth["results/Set5/baby.png"] = png(own_results(9)["baby"][::-1])
    rows = grade_files(tmp_path, bundle, data, a=first, b=copied, c=third, d=fourth)
    flags = {name: " | ".join(row["flags"]) for name, row in rows.items()}
    for one, other in (("a", "20260002"), ("b", "20260001")):
        assert f"pictures equal to those of {other}" in flags[one]
        assert f"own lines of code shared with {other}" in flags[one]
    assert "bird.png is the kit's srresnet-x4" in flags["c"] and "bird: " in flags["c"]          # and another claim
    assert "downscaled again, it differs from LR" in flags["d"] and "equal to" not in flags["c"] + flags["d"]


@pytest.mark.slow
def test_a_second_run_goes_on_where_the_first_was_stopped(tmp_path, bundle, data, monkeypatch):
    calls = []
    monkeypatch.setattr("course.grade.run_probes", lambda *a, **_: calls.append(a) or nothing())
    files = complete(1, tmp_path / "code")
    grade_files(tmp_path, bundle, data, a=files)
    grade_files(tmp_path, bundle, data, b=complete(2, tmp_path / "code"))
    assert len(calls) == 2
    grade_files(tmp_path, bundle, data, a={**files, "more.py": b"A = 1"})
    assert len(calls) == 3


@pytest.mark.slow
def test_what_course_toml_and_the_given_code_decide_is_worked_out_each_time(tmp_path, bundle, data, monkeypatch):
    """A first grading with a wrong deadline, a half roster and without the other handout leaves no flags behind."""
    calls = []
    monkeypatch.setattr("course.grade.run_probes", lambda *a, **_: calls.append(a) or nothing())
    handout = "".join(f"def from_the_other_handout_{k}(x):\n    return x + {k} - {k} + x * {k}\n" for k in range(200))
    one, two = ({**files, "models.py": files["models.py"] + handout.encode("utf-8")}
                for files in (complete(1, tmp_path / "code"), complete(2, tmp_path / "code")))
    facts = read_facts("none")
    facts.course.deadline = datetime(2020, 1, 1, tzinfo=timezone.utc)
    facts.roster = {"20260001": "同学1"}
    rows = grade_files(tmp_path, bundle, data, facts, a=one, b=two)
    for name, row in rows.items():
        flags = " | ".join(row["flags"])
        assert "after the deadline" in flags and "own lines of code shared" in flags
        assert ("20260002 is not in the roster" in flags) is (name == "b")
    facts.course.deadline = datetime(2099, 1, 1, tzinfo=timezone.utc)
    facts.roster["20260002"] = "同学2"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "handout.py").write_text(handout, encoding="utf-8")
    rows = grade_files(tmp_path, bundle, data, facts, [tmp_path / "other"])
    assert [row["flags"] for row in rows.values()] == [[], []] and len(calls) == 2
    facts.limits.files = 3                              # a limit decides what is read at all
    assert "more than 3 files" in grade_files(tmp_path, bundle, data, facts)["a"]["fault"]
    with pytest.raises(ValueError, match="no folder with code"):
        grade_files(tmp_path, bundle, data, facts, [tmp_path / "nowhere"])


@pytest.mark.slow
def test_the_same_student_twice_has_one_place_and_another_keeps_theirs(tmp_path, bundle, data, monkeypatch):
    monkeypatch.setattr("course.grade.run_probes", nothing)
    facts = read_facts("none")
    facts.roster = {"20260001": "同学1", "20260002": "同学2", "20260003": "同学3"}
    first, second = complete(1, tmp_path / "code"), complete(2, tmp_path / "code")
    second["handin.toml"] = first["handin.toml"]                     # names another's id
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "20260001_同学1_task.rar").write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    rows = grade_files(tmp_path, bundle, data, facts, **{"20260001_同学1_task": first, "0_20260002_file_": second})
    assert {name: (row["student_id"], row["counts"]) for name, row in rows.items()} == {
        "20260001_同学1_task.rar": ("20260001", False), "20260001_同学1_task": ("20260001", True),
        "0_20260002_file_": ("20260002", True)}
    assert "handin.toml names 20260001" in rows["0_20260002_file_"]["flags"][0]
    with open(tmp_path / "out/grades.csv", encoding="utf-8-sig", newline="") as file:
        absent = [row["student_id"] for row in csv.DictReader(file) if row["fault"] == "nothing handed in"]
    assert absent == ["20260003"]
    assert sorted(row["file"] for row in read_grades(tmp_path / "out/grades.json")) == [
        "0_20260002_file_.zip", "20260001_同学1_task.zip"]


@pytest.mark.slow
def test_hr_under_noise_that_nobody_sees_counts_as_a_copy(tmp_path, bundle, data, monkeypatch):
    monkeypatch.setattr("course.grade.run_probes", nothing)
    noise = np.random.default_rng(0).normal(0, 1.6, (*hr_of("bird").shape[:2], 1))
    fake = np.clip(hr_of("bird") + noise, 0, 255).round().astype(np.uint8)
    files = {**complete(1, tmp_path / "code"), "results/Set5/bird.png": png(fake)}
    row = grade_files(tmp_path, bundle, data, a=files)["a"]
    assert any(flag.startswith("bird.png: HR follows from it") for flag in row["flags"])
    assert [name for name, picture in row["pictures"].items() if picture["copied"]] == ["bird"]
    assert set5_means(row) == (None, None)


@pytest.mark.slow
def test_what_breaks_the_grader_itself_is_seen_and_stops_nobody(tmp_path, bundle, data, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a mistake of ours")
    monkeypatch.setattr("course.grade.run_probes", broken)
    rows = grade_files(tmp_path, bundle, data, a=complete(1, tmp_path / "code"), b=complete(2, tmp_path / "code"))
    assert all("a mistake of ours" in row["fault"] for row in rows.values())
    monkeypatch.setattr("course.grade.run_probes", nothing)          # and is forgotten once it is mended
    rows = grade_files(tmp_path, bundle, data, a=complete(1, tmp_path / "code"))
    assert not any(row["fault"] for row in rows.values())


@pytest.mark.slow
def test_of_a_copy_there_is_no_figure_and_other_files_are_no_hand_ins(tmp_path, bundle, data, monkeypatch, capsys):
    monkeypatch.setattr("course.grade.run_probes", nothing)
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "notes.txt").write_text("buy milk")
    files = {**complete(1, tmp_path / "code"), "results/Set5/woman.png": png(hr_of("woman"))}
    row = grade_files(tmp_path, bundle, data, a=files)["a"]
    woman = row["pictures"]["woman"]
    assert (woman["psnr"], woman["ssim"], woman["copied"]) == (100.0, pytest.approx(1), True)
    assert set5_means(row) == (None, None) and "notes.txt" in capsys.readouterr().out
    assert "Infinity" not in (tmp_path / "out/grades.json").read_text(encoding="utf-8")


def test_the_students_files_lie_in_the_kits_surroundings(tmp_path):
    folder = tmp_path / "handin"
    folder.mkdir()
    (folder / "models.py").write_text("mine = 1")
    (folder / "my_loss.py").write_text("mine = 2")
    code = assemble(HandIn(folder), tmp_path / "code")
    assert (code / "models.py").read_text() == "mine = 1" and (code / "my_loss.py").exists()
    assert (code / "support/layers.py").exists() and not (code / "solver.py").exists()
    (folder / "support").mkdir()
    (folder / "support" / "layers.py").write_text("mine = 3")
    code = assemble(HandIn(folder), tmp_path / "again")
    assert (code / "support/layers.py").read_text() == "mine = 3" and (code / "support/stage.py").exists()


def test_lines_that_most_hand_ins_share_are_noticed_and_those_of_a_folder_are_nobodys(tmp_path):
    own, shared = [[f"{k}-{n}" for n in range(30)] for k in range(4)], [f"s{n}" for n in range(20)]
    assert common_lines([{"lines": lines + shared} for lines in own]) == set(shared)
    assert common_lines([{"lines": own[0] + shared}, {"lines": own[1] + shared}, *({"lines": x} for x in own)]) == set()
    text = "def a_function_of_the_other_handout(x):\n    return x  # as it is\n"
    for name in ("code.py", "week3/lesson.md", "lesson.ipynb"):
        path = tmp_path / "other" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)])
        path.write_text(nbformat.writes(notebook) if path.suffix == ".ipynb" else text, encoding="utf-8")
        assert len(given_lines([path.parent])) == 1
        path.unlink()


# ---------------------------------------------------------------- made with the flat edition

# Compact networks in the place of those that the flat edition's models.py leaves to students.
FLAT_SOLUTION = '''

def conv(c_in, c_out, k, **more):
    return nn.Conv2d(c_in, c_out, k, padding=k // 2, **more)

class Generator(nn.Module):
    def __init__(self, large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16, scaling_factor=4):
        super().__init__()
        if hasattr(large_kernel_size, "G"):
            return self.__init__(**large_kernel_size.G, scaling_factor=large_kernel_size.scaling_factor)
        c, k, up = n_channels, small_kernel_size, int(math.log2(scaling_factor))
        self.first = nn.Sequential(conv(3, c, large_kernel_size), nn.PReLU())
        self.blocks = nn.Sequential(*[ResidualBlock(c, k) for _ in range(n_blocks)])
        self.norm = nn.Sequential(conv(c, c, k, bias=False), nn.BatchNorm2d(c))
        double = [layer for _ in range(up) for layer in (conv(c, 4 * c, k), nn.PixelShuffle(2), nn.PReLU())]
        self.last = nn.Sequential(*double, conv(c, 3, large_kernel_size))

    def forward(self, lr):
        features = self.first(lr)
        return self.last(features + self.norm(self.blocks(features)))

class ResidualBlock(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        self.layers = nn.Sequential(conv(c, c, k, bias=False), nn.BatchNorm2d(c), nn.PReLU(),
                                    conv(c, c, k, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        return x + self.layers(x)

class Discriminator(nn.Module):
    def __init__(self, kernel_size=3, n_channels=64, n_blocks=8, fc_size=1024):
        super().__init__()
        if hasattr(kernel_size, "D"):
            return self.__init__(**kernel_size.D)
        widths = [3] + [n_channels * 2 ** (i // 2) for i in range(n_blocks)]
        self.blocks = nn.Sequential(*[layer for i in range(n_blocks) for layer in (
            conv(widths[i], widths[i + 1], kernel_size, stride=1 + i % 2),
            *([nn.BatchNorm2d(widths[i + 1])] if i else []), nn.LeakyReLU(0.2))])
        self.decide = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(36 * widths[-1], fc_size),
                                    nn.LeakyReLU(0.2), nn.Linear(fc_size, 1))

    def forward(self, images):
        return self.decide(self.blocks(images))

class TruncatedVGG19(nn.Module):
    def __init__(self, i, j, weights="imagenet"):
        super().__init__()
        from torchvision.models import vgg19
        layers, pools, convolutions = [], 0, 0
        for layer in vgg19().features:
            layers.append(layer)
            pools, convolutions = pools + isinstance(layer, nn.MaxPool2d), convolutions + isinstance(layer, nn.ReLU)
            if pools == i - 1 and convolutions == sum(VGG19_LAYERS[:i - 1]) + j:
                break
        self.features = nn.Sequential(*layers).eval().requires_grad_(False)
        if weights != "random":
            state = read_weights(weights)
            self.features.load_state_dict({key.removeprefix("features."): value for key, value in state.items()
                                           if int(key.split(".")[1]) < len(layers)})

    def forward(self, images):
        return self.features(convert_image(images, "[0, 1]", "imagenet-norm"))
'''


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return unpack_flat_edition(tmp_path_factory.mktemp("flat"))


def flat_hand_in(flat, student, tmp, models="", copies=()):
    """Files of a hand-in that was made with the flat edition, with lines of the student's own at their end."""
    files = complete(student, tmp)
    own = "".join(f"def flat_{student}_{k}(x):\n    return x * {k} + len('student {student}, line {k}')\n"
                  for k in range(10))
    for name in CODE:
        files[name] = ((flat / name).read_text(encoding="utf-8") + models * (name == "models.py") + own).encode("utf-8")
    return {**files, **{name: (flat / name).read_bytes() for name in (*NOTEBOOKS, *copies)}}


@pytest.mark.slow
def test_hand_ins_of_the_flat_edition_get_their_points_and_are_no_copies_of_each_other(tmp_path, flat, bundle, data):
    """Packed by its own ``pack`` a hand-in brings a copy of each flat file; packed by hand perhaps none."""
    copies = [path.name for path in flat.glob("*.py") if path.name not in CODE]
    rows = grade_files(tmp_path, bundle, data, b_by_hand=flat_hand_in(flat, 2, tmp_path / "code"),
                       a_packed=flat_hand_in(flat, 1, tmp_path / "code", FLAT_SOLUTION, copies))
    assert [test[0] for test in rows["a_packed"]["tests"] if test[1] < test[2]] == ["train_pretrain"]   # not written
    by_hand = {test[0]: test for test in rows["b_by_hand"]["tests"]}
    assert all((test[1] == test[2]) == (name != "train_pretrain") for name, test in by_hand.items()
               if name.startswith("train_"))
    assert all("is yours to write" in test[5] for name, test in by_hand.items() if not name.startswith("train_"))
    assert len(rows["b_by_hand"]["lines"]) == 20                 # what was handed out is nobody's own
    for row in rows.values():
        assert row["fault"] == "" and not [flag for flag in row["flags"] if "shared" in flag]
        assert {finding[0] for finding in row["findings"] if finding[1] == "fault"} == {
            "executed", "figures", "table", "declaration"}       # its notebooks are as they were handed out


def test_a_flat_file_that_a_student_has_changed_is_used(tmp_path, flat):
    folder = tmp_path / "handin"
    folder.mkdir()
    (folder / "models.py").write_text("from layers import PReLU")
    (folder / "layers.py").write_text("mine = 1")
    assert is_flat(folder)
    code = assemble(HandIn(folder), tmp_path / "code", flat)
    assert (code / "layers.py").read_text() == "mine = 1" and (code / "checkpoints.py").exists()
    assert not (code / "support").exists() and "NotImplementedError" not in (code / "models.py").read_text()


@pytest.mark.parametrize("models, flat", [
    ("from checkpoints import read_weights", True), ("import troubles", True),
    ("  from layers import PReLU\ndef f(:", True),
    ("from support.checkpoints import read_weights\nfrom layers import mine", False), ("from utils import psnr", False),
    ('"""Words come\nfrom stage to stage."""', False), ("import torch", False)])
def test_which_edition_a_hand_in_was_made_with(tmp_path, models, flat):
    (tmp_path / "models.py").write_text(models)
    assert is_flat(tmp_path) is flat


@pytest.mark.long
def test_a_class_of_sixty_with_every_fault_and_every_attack(tmp_path, bundle, data):
    made = write_class(tmp_path / "zips", tmp_path / "code", 60)
    write_zip(tmp_path / "zips" / "slip.zip", {"../../evil.py": b"x"})
    (tmp_path / "zips" / "other.rar").write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    write_zip(tmp_path / "zips" / "bomb.zip", {"zeros.bin": bytes(400_000_000)})
    assert sum(bool(fault) for fault in made.values()) >= 15
    rows = {row["file"]: row for row in grade(tmp_path / "zips", bundle, data, tmp_path / "out", read_facts("none"),
                                             progress=False, limits=QUICK)}
    for file, fault in made.items():
        row, points = rows[file], sum(test[1] for test in rows[file]["tests"])
        broken = {finding[0] for finding in row["findings"] if finding[1] != "ok"}
        if fault in FAULTS:
            assert FAULTS[fault][1] in broken, fault
        elif fault in HOSTILE:
            assert points == 18, fault               # what solver.py alone earns
        else:
            assert points == 100 and broken == set() and row["flags"] == [], file
    assert "leads out" in rows["slip.zip"]["fault"] and ".rar" in rows["other.rar"]["fault"]
    assert "more than 300 MB" in rows["bomb.zip"]["fault"]
    assert not list(tmp_path.rglob("evil.py")) and len(json.loads((tmp_path / "out/grades.json").read_text())) == 63
    assert psutil.virtual_memory().percent < 99 and len(psutil.pids()) < 2000 and os.getpid()


# ---------------------------------------------------------------- what PSNR cannot see

def row_with(**measures):
    """A row of the gradebook whose five results have these scores."""
    pictures = {name: {"psnr": 30.0 + k, "ssim": 0.9, "copied": False,
                       **{key: value + k for key, value in measures.items()}} for k, name in enumerate(SET5)}
    return {"student_id": "1", "name": "x", "file": "x.zip", "fault": "", "findings": [], "tests": [],
            "pictures": pictures, "flags": [], "jail": "", "notes": []}


def test_the_tables_show_what_psnr_cannot_see(tmp_path):
    row = row_with(niqe=4.0, texture=0.5)
    facts = EasyDict(roster={"1": "x", "2": "absent"})
    write_grades(tmp_path / "grades.csv", [row], facts)
    with open(tmp_path / "grades.csv", encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == list(COLUMNS) and all(len(line) == len(header) for line in lines)
    shown = dict(zip(header, lines[0]))
    assert (shown["set5_niqe"], shown["set5_texture"], shown["set5_vgg16"]) == ("6.00", "2.50", "")
    page = feedback_pages(tmp_path, [row])[0].read_text(encoding="utf-8")
    assert "<td>NIQE ↓</td><td>4.00</td>" in page and "VGG16" not in page
    # a copy of HR has no mean, as with PSNR
    row["pictures"]["bird"]["copied"] = True
    write_grades(tmp_path / "grades.csv", [row], facts)
    with open(tmp_path / "grades.csv", encoding="utf-8-sig", newline="") as file:
        assert dict(zip(header, list(csv.reader(file))[1]))["set5_niqe"] == ""


def test_the_perceptual_measures_of_a_result():
    hr = hr_of("baby")
    same, noisy = perceptual(hr, hr), perceptual(np.roll(hr, 1, axis=0), hr)
    assert same["texture"] == 1 and {"texture", "grid"} <= set(noisy)
    assert all(isinstance(value, float) and np.isfinite(value) for value in {**same, **noisy}.values())

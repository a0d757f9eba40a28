"""The student edition in a student's hands: before anything is written, and after each of the exercises."""

import json
import re
import shutil

import nbformat
import pytest

from tests.course.edition_at_work import EXERCISES, pytest_in, run, write_exercise

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release")]


def test_before_anything_is_written_each_test_is_one_sentence_and_the_count_is_none(edition):
    done, lines = pytest_in(edition)
    assert done.returncode == 0 and "Traceback" not in done.stdout and "Error" not in done.stdout, done.stdout[-3000:]
    for number, name in enumerate(EXERCISES, start=1):
        file = "solver.py" if number == 6 else "models.py"
        place = re.match(rf"{number} {name} +not written yet: {file}, line (\d+): {name}.* is yours to write",
                         lines[number])
        source = (edition / file).read_text(encoding="utf-8").splitlines()
        assert place and "raise NotWritten(" in source[int(place[1]) - 1], lines[number]
    assert lines[7].startswith("7 solver.train     passes (4 of 4), as handed out too")
    assert "0 of 6 exercises are written and pass" in done.stdout and len(done.stdout.splitlines()) < 20


def test_the_editions_tests_find_what_they_share_while_code_is_half_written(edition, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(edition, work)
    (work / "solver.py").write_text("def pretrain(", encoding="utf-8")
    done = run(work, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider")
    failed = re.findall(r"^ERROR (\S+)", done.stdout, flags=re.MULTILINE)
    assert failed == [f"tests/students/test_{name}.py" for name in ("6_pretraining", "7_srgan")]
    assert "test_imresize.py" in done.stdout, done.stdout[-3000:]


@pytest.fixture(scope="module")
def own(edition, tmp_path_factory):
    """An edition in which the exercises are written one after the other; the lines on all of them after each."""
    work = tmp_path_factory.mktemp("own") / "work"
    shutil.copytree(edition, work)
    history = []
    for number in range(1, len(EXERCISES) + 1):
        write_exercise(work, number)
        history.append(pytest_in(work))
    return work, history


def test_after_each_exercise_its_tests_pass_and_the_count_goes_up(own):
    for number, (done, lines) in enumerate(own[1], start=1):
        assert done.returncode == 0, done.stdout[-3000:]
        for other in range(1, len(EXERCISES) + 1):
            state = "passes (" if other <= number else "not written yet: "
            assert re.match(rf"{other} \S+ +{re.escape(state)}", lines[other]), (number, lines[other])
        assert f"{number} of 6 exercises are written and pass" in done.stdout
    assert "29 passed" in own[1][-1][0].stdout and "skipped" not in own[1][-1][0].stdout


def test_the_poor_training_runs_once_models_py_is_done(own):
    done = run(own[0], "run_notebooks.py", "--set", "epochs=1", "updates_per_epoch=3", "print_freq=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "SRGAN" in done.stdout and (own[0] / "runs/demo/checkpoints/srgan_last.pth").exists()
    assert not list((own[0] / "runs/demo/checkpoints").glob("pretrain_*"))
    notebook = (own[0] / "runs/demo/train.ipynb").read_text(encoding="utf-8")
    assert all(name in notebook for name in ("kopf", "rumpf.0", "hals", "hoch.1", "farben", "alles.0"))


def test_pre_training_that_is_switched_on_has_numbers_of_its_own(edition):
    """A learning rate and an epoch's length that were made for SRGAN end below bicubic interpolation."""
    done = run(edition, "-c", "import json; from config import PRESETS\n"
               "print(json.dumps({name: [preset.pop('pretrain'), preset] for name, preset in PRESETS.items()}))")
    presets = json.loads(done.stdout)
    assert set(presets) == {"demo", "laptop", "course", "paper"}
    for own, srgan in presets.values():
        assert own["epochs"] == 0 and "lr" in own
        assert own["lr"] >= 10 * srgan.get("lr", 1e-5) and srgan.keys() & {"updates_per_epoch"} <= own.keys()


def test_a_notebook_that_comes_to_an_unwritten_part_says_it_in_one_sentence(edition, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(edition, work)
    done = run(work, "run_notebooks.py")
    told = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1 and len(told) == 1, done.stderr[-3000:]
    sentence = r"models.py, line \d+: Generator.__init__ is yours to write"
    assert re.match(f"train.ipynb came to a part that is not written yet. {sentence}", told[0])
    kept = nbformat.read(work / "runs/demo/train.ipynb", as_version=4)
    shown = [output for cell in kept.cells if cell.cell_type == "code" for output in cell.outputs
             if output.output_type == "error"]
    assert len(shown) == 1 and len(shown[0].traceback) == 1
    assert re.fullmatch(f"NotWritten: {sentence}.*", shown[0].traceback[0])
    for name in ("test", "super_resolution"):                      # there is nothing to show before a training
        done = run(work, "run_notebooks.py", name)
        assert "CheckpointError: Nothing has been trained in runs/demo yet: first run train.ipynb" in done.stderr
        assert "Traceback" not in done.stderr and "cell" not in done.stderr          # the sentence alone


def test_the_check_of_a_fresh_edition_finds_nothing_in_it_that_does_not_belong(edition):
    done = run(edition, "-m", "course", "check")
    assert done.returncode == 1 and "[ ok ] it holds no models, data or caches" in done.stdout, done.stdout
    assert "(runs/course/results/Set5)" in done.stdout           # where the results will be


def test_upscaling_from_the_command_line_before_there_is_a_network(edition):
    done = run(edition, "super_resolution.py", "photo.jpg")
    assert done.returncode == 2 and "--weights" in done.stderr
    done = run(edition, "super_resolution.py", "photo.jpg", "--weights", "runs/demo/checkpoints/srgan_last.pth")
    assert done.returncode == 2 and "There is no checkpoint" in done.stderr and "Traceback" not in done.stderr

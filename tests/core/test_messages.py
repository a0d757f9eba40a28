"""Notices that are kept, and numbers as people read them."""

import pickle
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from datasets import SRDataset, make_loader
from models import Generator
from run_notebooks import sentence_of
from solver import fit_pretrain
from support import messages
from support.checkpoints import load_checkpoint
from support.messages import NotWritten, count, duration, few, megabytes, notice, notices_kept_in
from support.run import run_folder
from tests.helpers import ROOT


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """No notices of other tests."""
    monkeypatch.setattr(messages, "_unkept", [])


def kept(folder):
    """The notices of a run folder, without their times."""
    lines = (folder / "notices.txt").read_text(encoding="utf-8").splitlines()
    assert all(line[:2] == "20" and line[10] == " " and line[19:21] == "  " for line in lines)
    return [line[21:] for line in lines]


def test_a_notice_is_printed_and_kept_in_the_run_folder(tmp_path, capsys):
    notice("before there is a run: row 3 is left out.")
    with notices_kept_in(tmp_path / "runs" / "mine"):
        notice("noticed at night.")
    assert capsys.readouterr().out.splitlines() == [
        "Notice: before there is a run: row 3 is left out.", "Notice: noticed at night."]
    assert kept(tmp_path / "runs/mine") == ["before there is a run: row 3 is left out.", "noticed at night."]


def test_each_run_keeps_its_own_and_adds_them_to_those_of_an_earlier_sitting(tmp_path):
    for folder, text in (("a", "first"), ("b", "other"), ("a", "second")):
        with pytest.raises(KeyboardInterrupt), notices_kept_in(tmp_path / folder):
            notice(text)
            raise KeyboardInterrupt
    notice("between two runs")
    with notices_kept_in(tmp_path / "b"):
        pass
    assert kept(tmp_path / "a") == ["first", "second"] and kept(tmp_path / "b") == ["other", "between two runs"]


def test_without_a_notice_there_is_no_file(tmp_path):
    with notices_kept_in(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with notices_kept_in(tmp_path / "file"):
        notice("said all the same")
    assert capsys.readouterr().out == "Notice: said all the same\n"


def test_a_training_keeps_what_it_noticed(config):
    """Rows that the data set left out, before the stage began, are in the run folder too."""
    notice("row 3 is left out.")
    config.pretrain.epochs = 1
    fit_pretrain(config, Generator(config), make_loader(SRDataset("train", config), 4), SRDataset("valid", config))
    assert kept(run_folder(config)) == ["row 3 is left out."]


def test_numbers_and_names_as_people_read_them():
    assert megabytes(2_345_678) == "2.3 MB" and megabytes(6_712_345_678) == "6.71 GB"
    assert duration(75.6) == "1:16" and duration(3600) == "1:00:00"
    assert few(["a.png", Path("x/b.png"), "c", "d", "e"]) == "a.png, b.png, c and 2 more" and few("ab") == "a, b"
    assert count([1]) == "1 image" and count([], "pair") == "0 pairs"


# ---------------------------------------------------------------- errors that need no traceback

STUB = """

def forward(x):
    raise NotWritten("Net.forward is yours to write")
"""


def test_a_part_that_is_not_written_names_its_file_and_line(tmp_path):
    code = compile(STUB, str(tmp_path / "models.py"), "exec")
    names = {"NotWritten": NotWritten}
    exec(code, names)
    with pytest.raises(NotImplementedError) as caught:
        names["forward"](1)
    assert str(caught.value) == "models.py, line 4: Net.forward is yours to write"
    assert str(pickle.loads(pickle.dumps(caught.value))) == "Net.forward is yours to write"
    assert str(NotWritten("Net.forward is yours to write")) == "Net.forward is yours to write"


@pytest.mark.parametrize("fault, shown", [
    (lambda: load_checkpoint("nowhere.pth"), "CheckpointError: There is no checkpoint nowhere.pth. A training"),
    (lambda: 1 / 0, "Traceback (most recent call last)")])
def test_a_notebook_shows_such_an_error_as_one_line(tmp_path, monkeypatch, capsys, fault, shown):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell.instance()
    try:
        shell.user_ns["fault"] = fault
        shell.run_cell("fault()")
    finally:
        InteractiveShell.clear_instance()
    lines = capsys.readouterr().out.strip().splitlines()
    assert any(shown in line for line in lines) and (len(lines) == 1) is shown.startswith("CheckpointError")


@pytest.mark.parametrize("source, said", [
    ("print('before')\nfault('Name a file.')", "Fault: Name a file."), ("1 / 0", ""), ("x = (", "")])
def test_run_notebooks_prints_such_an_error_without_the_cell(source, said):
    define = ("from support.messages import SaysItAll\nclass Fault(SaysItAll, ValueError): pass\n"
              "def fault(text): raise Fault(text)")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (define, source)])
    with pytest.raises(CellExecutionError) as error:
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    assert sentence_of(error.value) == said

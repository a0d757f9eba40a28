"""The look at the stored notebooks that `make lint` and the hook of git take: it finds what must not be committed."""

import copy
import json

import nbformat
import pytest

from tests.helpers import ROOT
from tests.stored_notebooks import faults, main, notebooks

PICTURE = nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})


@pytest.fixture
def notebook():
    """A notebook of three cells, run from the first to the last."""
    cells = [nbformat.v4.new_markdown_cell("A story"),
             nbformat.v4.new_code_cell("x = 1", execution_count=1),
             nbformat.v4.new_code_cell("show(x)", execution_count=2, outputs=[copy.deepcopy(PICTURE)])]
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))


def test_the_notebooks_of_the_kit_have_no_faults(capsys):
    assert {path.name for path in notebooks()} >= {"train.ipynb", "test.ipynb", "super_resolution.ipynb", "a2n.ipynb"}
    assert main(notebooks()) == 0, capsys.readouterr().out


def test_a_notebook_that_was_run_has_none(notebook):
    assert faults(notebook) == []


def stream(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.mark.parametrize("output, fault", [
    (nbformat.v4.new_output("error", ename="KeyError", evalue="'lr'", traceback=[]), "cell 3 ends in KeyError"),
    (stream("stderr", "UserWarning: lr_scheduler"), "cell 3 shows a warning: 'UserWarning: lr_scheduler'"),
    (nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}}), "shows a widget"),
    (stream("stdout", "saved as /home/someone/srgan/runs/a.png"), "path of the machine"),
    (stream("stdout", r"saved as C:\Users\someone\a.png"), "path of the machine")])
def test_an_output_that_must_not_be_stored_is_named(notebook, output, fault):
    notebook["cells"][2]["outputs"].append(output)
    found = faults(json.loads(json.dumps(notebook)))
    assert len(found) == 1 and fault in found[0]


def test_addresses_and_paths_of_the_kit_are_no_paths_of_a_machine(notebook):
    text = "https://example.org/home/a  runs/demo/tmp/b.png  ../work/c"
    notebook["cells"][2]["outputs"].append(stream("stdout", text))
    assert faults(notebook) == []


def test_outputs_that_were_stripped_cells_in_another_order_and_hours_are_named(notebook):
    stripped, again, timed, widgets = (copy.deepcopy(notebook) for _ in range(4))
    stripped["cells"][2].update(outputs=[], execution_count=None)
    assert [fault.partition(".")[0] for fault in faults(stripped)] == [
        "its cells were not run once, from the first to the last: they are numbered [1, None]", "it has no picture"]
    again["cells"][1]["execution_count"] = 7
    assert "numbered [7, 2]" in faults(again)[0]
    timed["cells"][1]["metadata"]["execution"] = {"iopub.execute_input": "2026-11-22T09:00:00Z"}
    assert "cells [2]" in faults(timed)[0]
    widgets["metadata"]["widgets"] = {}
    assert "state of widgets" in faults(widgets)[0]


def test_a_list_that_goes_on_with_the_numbers_of_the_one_above_is_named(notebook):
    notebook["cells"][0]["source"] = "1. One\n2. Two\n\n1. 一\n2. 二"
    assert ["'1. 一'" in fault for fault in faults(notebook)] == [True]
    notebook["cells"][0]["source"] = "1. One\n   more\n2. Two\n\n**练习**\n\n1. 一\n\n2. 二"
    assert faults(notebook) == []


def test_what_is_no_notebook_is_a_fault_and_not_a_traceback(tmp_path, capsys):
    (tmp_path / "half.ipynb").write_text('{"cells": [', encoding="utf-8")
    (tmp_path / "empty.ipynb").write_text("{}", encoding="utf-8")
    assert main([tmp_path / "half.ipynb", tmp_path / "empty.ipynb", ROOT / "train.ipynb"]) == 2
    assert capsys.readouterr().out.count("cannot be read as a notebook") == 2

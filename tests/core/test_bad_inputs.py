"""Every bad input of tests/bad: named with file and row, with what to do, and the other images are used."""

import os
import pickle
import re
import sys

import pytest

from create_data_lists import main
from datasets import SRDataset
from support.lists import DataError
from tests.bad import corpus
from tests.helpers import tiny_config

pytestmark = pytest.mark.slow        # each bad input goes through the whole command


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")       # otherwise long sentences are folded


NEEDS_LINKS = {"a_link_to_nothing", "a_link_out_of_the_folder", "a_folder_that_is_a_link_out"}


@pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
def test_a_bad_input_is_named_and_the_others_go_on(case, tmp_path, capsys):
    if sys.platform == "win32" and (case.name in NEEDS_LINKS or "capitals_only" in case.name):
        pytest.skip("Windows: links are for administrators, and capital letters make no other file")
    folder = tmp_path / "data"
    corpus.make(case, folder)
    assert_checked(case, folder, capsys)
    assert_used(case, folder, capsys)


def assert_checked(case, folder, capsys):
    """What --check says: file, row, what to do, and the status."""
    status = main(["--root", str(folder), "--csv-folder", str(folder), "--check"])
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert status == case.status, out
    assert re.search(case.check, out), out
    if case.bad is None:
        assert "Every file is whole and every pair fits." in out
    elif case.check:
        assert re.search(rf"{case.split} +{case.bad or '-'} ", out), out


def assert_used(case, folder, capsys):
    """What training and testing do with it."""
    config = tiny_config(folder)
    if not case.used:
        with pytest.raises(DataError, match="cannot be used"):
            SRDataset(case.split, config)
        return
    dataset = SRDataset(case.split, config)
    out = capsys.readouterr().out
    assert len(dataset.pairs) == case.used
    assert {pair.row for pair in dataset.pairs}.isdisjoint({case.bad} if case.used < 4 else ())
    if case.used < 4:
        assert "left out" in out and re.search(rf"row {case.bad}\b", out), out
    for i in range(0, len(dataset), 3):
        lr, hr = dataset[i]
        assert hr.shape[-1] == 4 * lr.shape[-1] and hr.max() <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such users")
def test_a_file_that_may_not_be_read_is_named_and_the_others_go_on(tmp_path, capsys):
    case = corpus.Case("no_permission", lambda it: it.add()[0].chmod(0), "HR/odd.png.*may not read it", 1, 3, 4,
                       "train")
    corpus.make(case, tmp_path / "data")
    user, folder = os.geteuid(), tmp_path
    while user == 0 and folder != folder.parent:        # pytest's folders are closed to all except root
        folder.chmod(folder.stat().st_mode | 0o755)
        folder = folder.parent
    (tmp_path / "data").chmod(0o777)
    if user == 0:                                       # nothing is forbidden to root
        os.seteuid(65534)
    try:
        assert_checked(case, tmp_path / "data", capsys)
        assert_used(case, tmp_path / "data", capsys)
    finally:
        os.seteuid(user)


def test_the_corpus_is_large_and_each_case_has_its_own_name():
    assert len({case.name for case in corpus.CASES}) == len(corpus.CASES) >= 60


def test_an_image_that_is_replaced_while_training_changes_nothing_until_the_next_start(tmp_path, capsys):
    made = corpus.make(corpus.Case("", lambda it: it.add(), "", 0, 4, None, "train"), tmp_path)
    dataset = SRDataset("train", tiny_config(tmp_path))
    before, digests = [dataset[i] for i in range(40)], dataset.digests
    for name in made.rows[3]:
        image = made.image(tmp_path / name)
        image.resize((image.width // 2, image.height // 2)).save(tmp_path / name)
    worker = pickle.loads(pickle.dumps(dataset))        # what a worker process that starts only now gets
    for one in (dataset, worker):
        assert all((a == b).all() for i in range(40) for a, b in zip(one[i], before[i], strict=True))
    new = SRDataset("train", tiny_config(tmp_path))
    changed = [name for name in digests if digests[name] != new.digests[name]]
    assert changed == ["odd.png (row 4)"]

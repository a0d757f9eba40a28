"""Notices that are kept, and numbers as people read them."""

from pathlib import Path

import pytest

from support import messages
from support.messages import count, duration, few, keep_notices, megabytes, notice


@pytest.fixture(autouse=True)
def nothing_kept():
    """No run folder and no notices of other tests, before and after."""
    def forget():
        keep_notices(None)
        messages._unkept.clear()
    forget()
    yield
    forget()


def test_a_notice_is_printed_and_kept_in_the_run_folder(tmp_path, capsys):
    notice("before there is a run: row 3 is left out.")
    keep_notices(tmp_path / "runs" / "mine")
    notice("noticed at night.")
    assert capsys.readouterr().out.splitlines() == [
        "Notice: before there is a run: row 3 is left out.", "Notice: noticed at night."]
    lines = (tmp_path / "runs/mine/notices.txt").read_text(encoding="utf-8").splitlines()
    assert [line[21:] for line in lines] == ["before there is a run: row 3 is left out.", "noticed at night."]
    assert all(line[:2] == "20" and line[10] == " " for line in lines)


def test_notices_are_added_to_those_of_an_earlier_sitting(tmp_path):
    for text in ("first", "second"):
        keep_notices(tmp_path)
        notice(text)
        keep_notices(None)
    assert [line[21:] for line in (tmp_path / "notices.txt").read_text(encoding="utf-8").splitlines()] == [
        "first", "second"]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    keep_notices(tmp_path / "file")
    notice("said all the same")
    assert capsys.readouterr().out == "Notice: said all the same\n"


def test_numbers_and_names_as_people_read_them():
    assert megabytes(2_345_678) == "2.3 MB" and megabytes(6_712_345_678) == "6.71 GB"
    assert duration(75.6) == "1:16" and duration(3600) == "1:00:00"
    assert few(["a.png", Path("x/b.png"), "c", "d", "e"]) == "a.png, b.png, c and 2 more" and few("ab") == "a, b"
    assert count([1]) == "1 image" and count([], "pair") == "0 pairs"

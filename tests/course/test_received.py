"""Names of hand-ins as learning platforms write them, and whose they are when their parts disagree."""

import os

import pytest

from course.handin import HandIn
from course.received import best_first, id_in, received, settle, whose

ROSTER = {"2021010001": "王小明", "2021010002": "李四", "A7": "Ann"}


@pytest.mark.parametrize("file, student", [
    ("2021010002.zip", "2021010002"), ("2021010002_李四_大作业.zip", "2021010002"),
    ("李四_2021010002_assignsubmission_file_.zip", "2021010002"), ("2021010002李四.zip", "2021010002"),
    ("２０２１０１０００２ 大作业.zip", "2021010002"), ("2021 010002 (1).zip", "2021010002"),
    ("李四_48213_assignsubmission_file__2021010002.zip", "2021010002"), ("hw_a7_final.zip", "A7"),
    ("12021010002.zip", ""), ("20210100021.zip", ""), ("2021010001_2021010002.zip", ""), ("Data7.zip", ""),
    ("大作业.zip", "")])
def test_the_id_in_a_files_name(file, student):
    assert id_in(file, ROSTER) == student


@pytest.mark.parametrize("file, claimed, name, student, flags", [
    ("2021010002_x.zip", "2021010002", "李四", "2021010002", 0),
    ("2021010002_x.zip", "", "", "2021010002", 0),                   # no handin.toml, or a .rar
    ("2021010002_x.zip", "2021010001", "李四", "2021010002", 1),     # another's id
    ("大作业.zip", "2021010002", "李四", "2021010002", 0),
    ("大作业.zip", "２０２１０１０００２", "李四", "2021010002", 0),
    ("大作业.zip", "2021010001", "李四", "2021010002", 1),           # another's id, under the own name
    ("大作业.zip", "2021010001", "Wang", "2021010001", 1),           # or a name that the roster spells otherwise
    ("大作业.zip", "a7", "Ann", "A7", 0),
    ("大作业.zip", "3", "x", "3", 1), ("大作业.zip", "", "", "大作业", 1)])
def test_whose_a_hand_in_is(file, claimed, name, student, flags):
    hand_in = row(file, claimed, name)
    settle([hand_in], ROSTER)
    assert hand_in["name"] == ROSTER.get(student, name)              # not that of whose handin.toml it is
    found, said = whose(file, claimed, name, ROSTER)
    assert (found, len(said)) == (student, flags), said


@pytest.mark.parametrize("file, claimed, student, flags", [
    ("2021010002_task3.zip", "", "2021010002", 0), ("task3.zip", "", "task3", 0), ("x.zip", "77", "77", 0),
    ("2021010002_task.zip", "2021010001", "2021010001", 1), ("李_48213_file_.zip", "2021010001", "2021010001", 0)])
def test_without_a_roster_handin_toml_is_believed_and_the_files_name_compared(file, claimed, student, flags):
    found, said = whose(file, claimed, "x", {})
    assert (found, len(said)) == (student, flags)


def row(file, claimed="", name="", fault="", changed=0):
    return {"file": file, "claimed_id": claimed, "claimed_name": name, "fault": fault, "changed": changed}


def settled(*rows, roster=ROSTER):
    settle(rows, roster)
    return [(one["student_id"], one["counts"]) for one in rows]


def test_of_the_same_student_twice_the_latest_that_can_be_opened_counts():
    first, second = row("2021010002.rar", fault="a .rar file", changed=9), row("2021010002.zip", "2021010002", "李四")
    assert settled(first, second) == [("2021010002", False), ("2021010002", True)]
    assert "another file has the same student id: 2021010002.rar" in second["whose"]
    assert "does not count: 2021010002.zip does" in first["whose"] and first["name"] == "李四"
    old, new = row("2021010002_1.zip", "2021010002", "李四"), row("2021010002_2.zip", "2021010002", "Li", changed=1)
    assert settled(new, old) == [("2021010002", True), ("2021010002", False)]


@pytest.mark.parametrize("roster", [ROSTER, {}])
def test_who_names_anothers_id_does_not_take_the_others_place(roster):
    """Neither with an earlier nor with a later file, with the own name or none in the file's name."""
    for changed in (-1, 1):
        honest = row("2021010001_x.zip", "2021010001", "王小明")
        other = row("a.zip", "2021010001", "赵六", changed=changed)
        assert settled(other, honest, roster=roster) == [("a", True), ("2021010001", True)]
        assert any("2021010001" in flag for flag in other["whose"]) and honest["whose"] == []


def test_a_file_that_the_platform_has_named_counts_before_one_with_another_name():
    honest, other = row("2021010001_x.zip", "2021010001", "王小明"), row("a.zip", "2021010001", "王小明", changed=1)
    assert settled(other, honest) == [("2021010001", False), ("2021010001", True)] and honest["whose"]


def test_two_who_name_one_id_are_both_flagged_where_nothing_decides():
    rows = [row("a.zip", "5", "x"), row("b.zip", "5", "y")]
    assert settled(*rows, roster={}) == [("5", True), ("5", True)]
    assert all("same student id" in " ".join(one["whose"]) for one in rows)


def test_files_lie_in_the_folder_or_in_one_for_each_student(tmp_path):
    for name in ("b.zip", "c.RAR", "notes.txt", ".hidden.zip", "李_1_file_/a.zip", "王_2_file_/a.zip", "empty/x.txt",
                 "unpacked/handin.toml", "unpacked/data.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files, others = received(tmp_path)
    assert sorted(files) == sorted(["b.zip", "c.RAR", "李_1_file__a.zip", "王_2_file__a.zip"])
    assert others == ["empty (a folder)", "notes.txt", "unpacked (a folder)"]


def test_the_gallery_takes_the_file_that_counts_in_the_grades(tmp_path):
    """Also where a platform makes a folder for each student; unpacked hand-ins are shown too."""
    for name, time in (("2021010001_x.zip", 5), ("2021010001_y.zip", 9), ("0.zip", 20), ("李_1_file_/a.zip", 1),
                       ("unpacked/handin.toml", 0), (".hidden", 0)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time, time))
    for roster in (ROSTER, {}):
        paths = [path.relative_to(tmp_path).as_posix() for path in best_first(tmp_path, roster)]
        assert paths[:2] == ["2021010001_y.zip", "2021010001_x.zip"]
        assert set(paths[2:]) == {"0.zip", "李_1_file_/a.zip", "unpacked"}


@pytest.mark.parametrize("text", [
    'student_id = "2021010002"\nname = "李四"'.encode("gbk"),
    'student_id = "2021010002"\nname = "李四"'.encode("utf-16"),
    '\ufeffstudent_id = "２０２１ ０１０００２ "\nname = "李四"'.encode(),
    'student_id = 2021010002\nname = "李四"'.encode()])
def test_handin_toml_as_any_editor_and_input_method_writes_it(tmp_path, text):
    (tmp_path / "handin.toml").write_bytes(text)
    handin = HandIn(tmp_path)
    assert (handin.student_id, handin.name) == ("2021010002", "李四")

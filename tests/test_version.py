"""The kit's version stands in pyproject.toml alone; runs, hand-ins and hidden tests record it."""

import json
import re
import zipfile

import pytest

from course import hidden
from course.facts import tomllib
from course.handin import HandIn
from course.pack import changed_since, pack
from course.regions import split
from course.release import texts_of
from support import provenance
from support.version import ROOT, kit_version


def test_the_version_is_that_of_pyproject_toml_and_is_three_numbers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert kit_version() == project["version"] and re.fullmatch(r"\d+\.\d+\.\d+", kit_version())


@pytest.mark.parametrize("content", [None, b"", b"[project]\nname = 'version = 3'\n", b"\xff\xfe"])
def test_a_kit_that_does_not_say_its_version_has_none(tmp_path, content):
    if content is not None:
        (tmp_path / "pyproject.toml").write_bytes(content)
    assert kit_version(tmp_path) is None


def test_the_student_edition_has_the_version_and_the_settings_of_its_tests_alone():
    assert ROOT / "pyproject.toml" in texts_of(ROOT)
    settings = tomllib.loads(split((ROOT / "pyproject.toml").read_text(encoding="utf-8"), "pyproject.toml")[0])
    assert settings["project"]["version"] == kit_version() and list(settings["tool"]) == ["pytest"]
    assert settings["tool"]["pytest"]["ini_options"]["testpaths"] == ["tests"]


def test_the_changelog_and_the_citation_speak_of_this_version():
    assert f"\n## {kit_version()}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {kit_version()}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_provenance_names_the_version(tmp_path):
    provenance.record(tmp_path / "provenance.json", 0, "pretrain", {})
    assert json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))[0]["kit"] == kit_version()


@pytest.mark.parametrize("version", ["2.1.0", None])
def test_the_manifest_of_a_hand_in_names_the_version_of_the_students_kit(tmp_path, version):
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "handin.toml").write_text('student_id = "1"\n', encoding="utf-8")
    (kit / "models.py").write_text("a = 1\n", encoding="utf-8")
    if version:
        (kit / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n', encoding="utf-8")
    path, names = pack(kit, tmp_path)
    assert "pyproject.toml" not in names
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("manifest.json"))["kit"] == version
        archive.extractall(tmp_path / "opened")
    assert changed_since(HandIn(tmp_path / "opened")) == []


def write_bundle(path, points, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("points.json", json.dumps(points))
        for name, text in entries.items():
            archive.writestr(f"{name}.json", text)
    return path


def test_a_bundle_of_other_points_is_refused_with_both_versions(tmp_path):
    path = write_bundle(tmp_path / "h.zip", {"generator_shapes": 1}, kit='{"version": "1.9.0"}')
    with pytest.raises(ValueError, match=re.escape(f"another version of the kit (1.9.0; this is {kit_version()})")):
        hidden.read_bundle(path)
    with pytest.raises(ValueError, match=r"\(before 2\.0\.0; this is"):
        hidden.read_bundle(write_bundle(tmp_path / "old.zip", {"generator_shapes": 1}))
    with pytest.raises(ValueError, match="no bundle"):
        hidden.read_bundle(write_bundle(tmp_path / "odd.zip", {"generator_shapes": 1}, kit="[]"))


def test_a_bundle_without_a_version_but_with_these_points_is_read(tmp_path):
    points = {case.name: case.points for case in hidden.CASES}
    assert hidden.read_bundle(write_bundle(tmp_path / "h.zip", points)) == points
    again = write_bundle(tmp_path / "again.zip", points, kit='{"version": "2.7.0"}')
    assert hidden.read_bundle(again) == points


def test_the_points_of_a_bundle_may_be_changed_as_long_as_they_are_a_hundred(tmp_path):
    points = {case.name: case.points for case in hidden.CASES}
    first, second = list(points)[:2]
    moved = {**points, first: points[first] + points[second], second: 0}
    assert hidden.read_bundle(write_bundle(tmp_path / "h.zip", moved)) == moved
    for wrong in ({**points, first: 50}, {**points, first: -1, second: points[first] + points[second] + 1},
                  {**points, first: "6"}):
        with pytest.raises(ValueError, match="sum up to 100"):
            hidden.read_bundle(write_bundle(tmp_path / "w.zip", wrong))

"""Zip files from every system, and from people who mean harm."""

import stat
import zipfile

import pytest
from easydict import EasyDict

from course.unpack import UnpackError, unpack
from tests.course.synthetic_class import write_zip

LIMITS = EasyDict(zip_mb=1, unpacked_mb=2, files=50)


def entry(name, attributes=0o100644, flags=0):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = attributes << 16, 3
    info.compress_type = zipfile.ZIP_DEFLATED
    info.flag_bits |= flags
    return info


def opened(tmp_path, files=(), limits=LIMITS, **entries):
    path = write_zip(tmp_path / "a.zip", dict(files), **entries)
    (tmp_path / "out").mkdir()
    return [name.as_posix() for name in unpack(path, tmp_path / "out", limits)]


def test_files_come_out_as_they_went_in(tmp_path):
    assert opened(tmp_path, {"models.py": b"a = 1\n", "results/Set5/baby.png": b"png"}) == [
        "models.py", "results/Set5/baby.png"]
    assert (tmp_path / "out/models.py").read_bytes() == b"a = 1\n"


def test_an_extra_top_folder_and_the_systems_own_files_are_left_out(tmp_path):
    assert opened(tmp_path, {"大作业/20260001/models.py": b"a", "大作业/20260001/report.md": b"b",
                             "__MACOSX/大作业/._models.py": b"x", "大作业/.DS_Store": b"x",
                             "大作业/20260001/__pycache__/models.pyc": b"x"}) == ["models.py", "report.md"]


def test_what_a_platform_has_packed_once_more_is_unpacked_but_not_without_end(tmp_path):
    inner = write_zip(tmp_path / "in.zip", {"hw/models.py": b"a", "hw/report.md": b"b"}).read_bytes()
    assert opened(tmp_path / "one", {"李_file_/2021010002.zip": inner}) == ["models.py", "report.md"]
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"a.zip", "out"}
    twice = write_zip(tmp_path / "in.zip", {"a.zip": inner}).read_bytes()
    assert opened(tmp_path / "two", {"b.zip": twice}) == ["a.zip"]           # the check names what is missing
    bomb = write_zip(tmp_path / "in.zip", {"zeros.bin": bytes(3_000_000)}).read_bytes()
    with pytest.raises(UnpackError, match="more than 2 MB"):
        opened(tmp_path / "bomb", {"b.zip": bomb})


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_chinese_names_without_the_flag_are_read(tmp_path, encoding):
    """As Windows' own packer (GBK) and macOS (UTF-8) write them: without saying which encoding it is."""
    path = write_zip(tmp_path / "a.zip", {"AAAAAAAAA.md": b"x"})
    name = "报告1".encode(encoding).ljust(9, b"A")[:9]
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAAA", name))
    (tmp_path / "out").mkdir()
    assert unpack(path, tmp_path / "out", LIMITS)[0].as_posix() == name.decode(encoding, "ignore") + ".md"


def test_backslashes_of_old_windows_packers_are_folders(tmp_path):
    assert opened(tmp_path, {"results\\Set5\\baby.png": b"x", "a.py": b"x"}) == ["a.py", "results/Set5/baby.png"]


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "C:/evil.py", "..\\evil.py"])
def test_a_path_that_leads_outside_is_refused(tmp_path, name):
    with pytest.raises(UnpackError, match="leads out"):
        opened(tmp_path, {name: b"x", "b.py": b"x"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "out"]


@pytest.mark.parametrize("name", ["con.py", "a/nul", "what?.py", "x" * 201, "dot.", "line\nbreak"])
def test_a_name_that_is_none_on_every_system_is_refused(tmp_path, name):
    with pytest.raises(UnpackError, match="no file name"):
        opened(tmp_path, {name: b"x"})


def test_a_link_is_refused(tmp_path):
    with pytest.raises(UnpackError, match="is a link"):
        opened(tmp_path, link=(entry("models.py", stat.S_IFLNK | 0o777), b"/etc/passwd"))


def test_bombs_are_stopped(tmp_path):
    with pytest.raises(UnpackError, match="more than 2 MB"):
        opened(tmp_path, {"zeros.bin": bytes(3_000_000)})
    with pytest.raises(UnpackError, match="more than 50 files"):
        opened(tmp_path / "b", {f"{k}.py": b"" for k in range(51)})


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"zeros.bin": bytes(3_000_000)})
    data = path.read_bytes().replace((3_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(UnpackError):
        unpack(path, tmp_path / "out", LIMITS)
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) <= 2_000_000


@pytest.mark.parametrize("content, kind", [(b"Rar!\x1a\x07\x00", ".rar"), (b"7z\xbc\xaf\x27\x1c\x00", ".7z")])
@pytest.mark.parametrize("ending", [".rar", ".7z", ".zip"])
def test_other_archives_are_refused_by_name(tmp_path, content, kind, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(content + bytes(100))
    with pytest.raises(UnpackError, match=f"{kind} file. Only .zip"):
        unpack(path, tmp_path, LIMITS)


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_what_is_no_zip_file_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(UnpackError, match="damaged"):
        unpack(path, tmp_path / "out", LIMITS)


def test_a_damaged_or_encrypted_file_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.py": bytes(range(256)) * 20})
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(UnpackError, match="damaged"):
        unpack(path, tmp_path / "out", LIMITS)
    path = write_zip(tmp_path / "b.zip", {"a.py": b"x"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(UnpackError, match="encrypted"):
        unpack(path, tmp_path / "out", LIMITS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["Models.py", "models.py"])
def test_two_files_of_one_name_are_refused(tmp_path, other):
    with pytest.raises(UnpackError, match="twice"):
        opened(tmp_path, {"models.py": b"1"}, other=(entry(other), b"2"))


def test_too_large_a_zip_file_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(1_100_000))
    with pytest.raises(UnpackError, match="the limit is 1 MB"):
        unpack(path, tmp_path, LIMITS)

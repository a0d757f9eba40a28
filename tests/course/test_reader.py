"""Documents of a hand-in that were made to break who opens them: the jail pays, the code is graded all the same."""

import io
import json
import zipfile

import nbformat
import numpy as np
import pytest
from easydict import EasyDict
from PIL import Image

from course.facts import SET5, read_facts
from course.handin import HandIn, HandInError
from course.reader import Reader, Reading
from course.sandbox import LIMITS, Budget, scratch_folder
from course.unpack import UnpackError, unpack
from tests.course.synthetic_class import write_zip

LITTLE = {**LIMITS, "seconds": 8, "start_seconds": 40, "total_seconds": 60, "wall": 200, "memory": 3 * 2**30}
MODELS = b"A = 1\n"
ZIP = EasyDict(zip_mb=50, unpacked_mb=300, files=500)


def word(cell):
    """A .docx with a table whose cell has these properties."""
    import docx
    document, buffer = docx.Document(), io.BytesIO()
    document.add_table(1, 1)
    document.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["word/document.xml"] = files["word/document.xml"].replace(b"<w:tcPr>", b"<w:tcPr>" + cell)
    assert cell in files["word/document.xml"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pages_in_a_circle():
    import pypdf
    from pypdf.generic import ArrayObject, NameObject, NumberObject
    writer, buffer = pypdf.PdfWriter(), io.BytesIO()
    writer.add_blank_page(10, 10)
    pages = writer._root_object["/Pages"].get_object()
    pages[NameObject("/Kids")] = ArrayObject([writer._root_object.raw_get("/Pages")] * 2)
    pages[NameObject("/Count")] = NumberObject(10**6)
    writer.write(buffer)
    return buffer.getvalue()


def many_pages():
    """Pages that all show one stream of 20 MB."""
    import pypdf
    from pypdf.generic import NameObject, StreamObject
    writer, buffer, stream = pypdf.PdfWriter(), io.BytesIO(), StreamObject()
    stream._data = b"BT /F1 1 Tf (word) Tj ET\n" * 800_000
    content = writer._add_object(stream.flate_encode())
    for _ in range(10):
        writer.add_blank_page(10, 10)[NameObject("/Contents")] = content
    writer.write(buffer)
    return buffer.getvalue()


def huge_picture():
    buffer = io.BytesIO()
    Image.new("RGB", (13_000, 13_000)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def many_cells():
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [], "source": "x = 1\n" * 3}
    return json.dumps({"cells": [cell] * 100_000, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()


def half_characters():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", execution_count=1, outputs=[
        nbformat.v4.new_output("error", ename="\ud800", evalue="\udfff", traceback=[])])])
    return json.dumps(notebook).encode("ascii")


# kind -> files besides models.py
DOCUMENTS = {
    "a table cell over a million columns": lambda: {"report.docx": word(b'<w:gridSpan w:val="1000000"/>')},
    "a page tree in a circle": lambda: {"report.pdf": pages_in_a_circle()},
    "two hundred megabytes of page streams": lambda: {"report.pdf": many_pages()},
    "a hundred thousand cells": lambda: {"train.ipynb": many_cells()},
    "a picture of 13,000 x 13,000": lambda: {f"results/Set5/{name}.png": picture for picture in [huge_picture()]
                                             for name in SET5},
    "a megabyte of brackets": lambda: {"solver.py": b"x = " + b"[" * 90 + b"1," * 500_000 + b"]" * 90},
    "half characters in a notebook and a manifest": lambda: {
        "train.ipynb": half_characters(), "manifest.json": b'{"sha256": {"\\ud800.py": "0", "\\udfff": 3}}'},
}


@pytest.fixture(scope="module")
def reader():
    with scratch_folder() as scratch:
        yield Reader(scratch / "kit", read_facts("none"), {}, LITTLE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_that_was_made_to_break_its_reader(kind, tmp_path, reader):
    path = write_zip(tmp_path / "a.zip", {"models.py": MODELS, **DOCUMENTS[kind]()})
    reading = reader.read(path, "all", Budget(LITTLE))
    assert reading.fault == "" and reading.code["models.py"] == MODELS
    assert reading.findings and any(level == "fault" for _, level, _ in reading.findings)
    assert json.dumps([reading.findings, reading.flags], ensure_ascii=False).encode("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("files, why", [
    ({"/".join(["d"] * 1500) + "/a.py": b"x", "b.py": b"x"}, "more than 20 folders"),
    ({"handin.toml": b"a = " + b"[" * 3000 + b"]" * 3000}, "handin.toml")])
def test_a_hand_in_that_cannot_be_opened_says_why(files, why, tmp_path, reader):
    reading = reader.read(write_zip(tmp_path / "a.zip", files), "all", Budget(LITTLE))
    assert why in reading.fault and str(tmp_path) not in reading.fault and "/box" not in reading.fault


def test_a_file_of_settings_that_is_nested_too_deep(tmp_path):
    (tmp_path / "handin.toml").write_text("a = " + "[" * 3000 + "]" * 3000)
    with pytest.raises(HandInError, match="not a TOML file"):
        HandIn(tmp_path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_an_entry_that_is_damaged_in_any_way_is_refused(kind, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("a.py", np.random.default_rng(0).bytes(3000))
    whole = path.read_bytes()
    for at in range(30, 80, 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1:])
        folder = tmp_path / str(at)
        folder.mkdir()
        try:
            unpack(path, folder, ZIP)
        except UnpackError as error:
            assert "damaged" in str(error) or "could not" in str(error) or "no file name" in str(error)


@pytest.mark.parametrize("name, content", [
    ("who", b"[]"), ("who", b'{"name": 3}'), ("measured", b'["baby", {"psnr": NaN, "ssim": 1, "copied": false}]'),
    ("measured", b'["evil", {"psnr": 1, "ssim": 1, "copied": false}]'), ("lines", b'[{"a": 1}]'), ("findings", b"[1]"),
    ("flags", b"3"), ("flags", b"{"), ("__class__", b"{}"), ("", b"1"), ("finish", b"1"), ("picture.baby", b"x"),
    ("picture.evil", b"\0\0\0\2[]"), ("flags", b"[" * 100_000)])
def test_what_no_reading_says_is_refused(name, content):
    with pytest.raises(ValueError):
        Reading().take(name, content)


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/evil.py", "support/../../evil.py", "models.pth", ".py",
                                  "a\nb.py", "deep/er/models.py", "x" * 300 + ".py", "\\\\host\\evil.py", "C:evil.py"])
def test_code_of_a_strange_name_is_left_out_and_said(name):
    reading = Reading()
    reading.take("code", name.encode() + b"\0x = 1")
    assert reading.code == {} and len(reading.flags) == 1


def test_too_much_code_is_refused():
    with pytest.raises(ValueError, match="MiB of code"):
        Reading().take("code", b"models.py\0" + bytes(5 * 2**20))

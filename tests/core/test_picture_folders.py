"""Folders to upscale as people have them: what is passed over, results among the inputs, interruptions, long names."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import super_resolution
from create_data_lists import main as data_lists
from models import Generator
from support.checkpoints import save_generator
from support.picture_files import find_pictures, is_result
from support.run import seed_everything
from tests.helpers import photo, pixels, write_image


@pytest.fixture
def weights(tmp_path):
    seed_everything(0)
    path = tmp_path / "weights" / "small.safetensors"
    save_generator(path, Generator(9, 3, 8, 1, 4).start_as_interpolation())
    return str(path)


@pytest.fixture
def run(tmp_path, weights, monkeypatch):
    """The command, in a folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return lambda *arguments: super_resolution.main([*map(str, arguments), "--weights", weights])


def cup(width=20):
    return photo("coffee.png", 100, 200, 16, width)


@pytest.fixture
def computed(monkeypatch):
    """The widths of the pictures that went through the network."""
    widths, real = [], super_resolution.super_resolve

    def counted(generator, lr, **options):
        widths.append(lr.shape[1])
        return real(generator, lr, **options)
    monkeypatch.setattr("super_resolution.super_resolve", counted)
    return widths


# ---------------------------------------------------------------- results among the inputs

def test_a_picture_is_never_replaced_by_the_result_of_another(tmp_path, run, capsys):
    write_image(tmp_path / "work/c/cat.png", cup())
    own = write_image(tmp_path / "work/c/cat_x4.png", cup(24)).read_bytes()
    assert run("c", "--out", "c") == 1
    assert (tmp_path / "work/c/cat_x4.png").read_bytes() == own
    said = capsys.readouterr().err
    assert "cat.png  NOT UPSCALED: its result would replace" in said and "Give another --out" in said
    assert (tmp_path / "work/c/cat_x16.png").exists()                   # one file never stops the others


def test_a_file_of_the_users_in_the_output_folder_is_not_replaced(tmp_path, run, capsys):
    write_image(tmp_path / "work/cat.png", cup())
    own = write_image(tmp_path / "work/out/cat_x4.png", cup(24)).read_bytes()
    assert run("cat.png", "--out", "out") == 1
    assert (tmp_path / "work/out/cat_x4.png").read_bytes() == own
    assert "is no result of this command" in capsys.readouterr().err


def test_results_are_not_upscaled_again_except_by_name(tmp_path, run, capsys):
    for name in ("a", "b"):
        write_image(tmp_path / f"work/c/{name}.png", cup())
    for _ in range(3):
        assert run("c", "--out", "c") == 0
    assert sorted(os.listdir("c")) == ["a.png", "a_x4.png", "b.png", "b_x4.png"]
    assert "2 results of earlier runs passed over (a_x4.png, b_x4.png)" in capsys.readouterr().err
    assert run("c/a_x4.png") == 0 and os.listdir("enlarged") == ["a_x16.png"]


def test_the_output_folder_is_tried_before_anything_is_computed(tmp_path, run, computed, capsys):
    write_image(tmp_path / "work/a.png", cup())
    (tmp_path / "work/file").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit):
        run("a.png", "--out", "file/out")
    assert "Nothing can be written to file" in capsys.readouterr().err and not computed


# ---------------------------------------------------------------- interruptions

def test_a_folder_resumes_where_it_was_interrupted(tmp_path, run, computed, monkeypatch, capsys):
    for k, name in enumerate("abcd"):
        write_image(tmp_path / f"work/in/{name}.png", cup(20 + k))
    real = super_resolution.super_resolve

    def interrupted(generator, lr, **options):
        if lr.shape[1] == 22:
            raise KeyboardInterrupt
        return real(generator, lr, **options)
    with monkeypatch.context() as patch:
        patch.setattr("super_resolution.super_resolve", interrupted)
        assert run("in") == 130
    said = capsys.readouterr().err
    assert "Stopped. The same command again goes on from here." in said and "Traceback" not in said
    assert sorted(os.listdir("enlarged")) == ["a_x4.png", "b_x4.png"]
    assert run("in") == 0 and computed == [20, 21, 22, 23]
    assert "2 images upscaled already" in capsys.readouterr().out


def test_what_has_changed_is_upscaled_again(tmp_path, run, computed):
    for k, name in enumerate("ab"):
        write_image(tmp_path / f"work/in/{name}.png", cup(20 + k))
    assert run("in") == 0
    stat = os.stat("in/a.png")
    write_image(tmp_path / "work/in/a.png", np.ascontiguousarray(cup(20)[::-1]))
    os.utime("in/a.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))       # content decides, not the date
    del computed[:]
    assert run("in") == 0 and computed == [20]
    assert run("in", "--self-ensemble") == 0 and computed == [20, 20, 21]


# ---------------------------------------------------------------- folders as they are

def test_a_folder_of_everything(tmp_path, run, capsys):
    folder = tmp_path / "work/in"
    write_image(folder / "a.jpg", cup())
    for name in ("paper.pdf", "data.h5", "film.mpg", "desktop.ini", "Makefile", ".hidden.png", "table.csv"):
        folder.joinpath(name).write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64)
    for name in ("phone.HEIC", "new.jxl", "camera.nef", "camera.dng", "drawing.svg"):
        folder.joinpath(name).write_bytes(b"\0" * 64)
    write_image(folder / "photo.png", cup()).rename(folder / "photo")
    write_image(folder / "sub/deep/b.png", cup())
    assert run("in") == 0 and os.listdir("enlarged") == ["a_x4.png"]
    said = capsys.readouterr().err
    for text in ("not upscaled: new.jxl, phone.HEIC. Export them as JPEG or PNG",
                 "not upscaled: camera.dng, camera.nef. Develop these raw photographs",
                 "not upscaled: drawing.svg. Export these drawings as PNG",
                 "not upscaled: photo. Their names have no ending",
                 "6 files passed over, no pictures (", "sub not searched: --subfolders takes"):
        assert text in said
    assert ".hidden" not in said


def test_subfolders_are_taken_with_their_structure(tmp_path, run, computed):
    for name in ("a.png", "x/a.png", "x/y/a.png", "z/a.jpg", "z/a.png"):
        write_image(tmp_path / "work/in" / name, cup())
    assert run("in", "--subfolders") == 0 and len(computed) == 5
    found = sorted(path.relative_to("enlarged").as_posix() for path in Path("enlarged").rglob("*.png"))
    assert found == ["a_x4.png", "x/a_x4.png", "x/y/a_x4.png", "z/a_jpg_x4.png", "z/a_png_x4.png"]
    assert run("in", "--subfolders", "--out", "in/out") == 0 and len(computed) == 10
    assert run("in", "--subfolders", "--out", "in/out") == 0 and len(computed) == 10


def test_what_a_link_leads_to_is_not_searched_and_said(tmp_path, run, capsys):
    if sys.platform == "win32":
        pytest.skip("Windows: links are for administrators")
    write_image(tmp_path / "work/in/x/a.png", cup())
    (tmp_path / "work/in/x/round").symlink_to(tmp_path / "work/in", target_is_directory=True)
    assert run("in", "--subfolders") == 0 and os.listdir("enlarged") == ["x"]
    assert "round not searched: a link is followed only where you name it." in capsys.readouterr().err


def test_a_pattern_in_quotation_marks(tmp_path, run, capsys):
    for name in ("a.jpg", "b.jpg", "c.png", "[d].jpg"):
        write_image(tmp_path / "work" / name, cup())
    assert run("*.jpg") == 0
    assert sorted(os.listdir("enlarged")) == ["[d]_x4.png", "a_x4.png", "b_x4.png"]
    assert find_pictures(["[d].jpg"])[0].name == "[d].jpg"              # a name comes before a pattern
    with pytest.raises(SystemExit):
        run("*.bmp")
    assert "No file matches *.bmp" in capsys.readouterr().err


def test_a_large_picture_is_announced_in_a_sentence(tmp_path, run, capsys, monkeypatch):
    write_image(tmp_path / "work/a.png", cup())
    monkeypatch.setattr("super_resolution.LARGE", 100)
    assert run("a.png") == 0
    assert "megapixels: the result alone takes" in capsys.readouterr().err


def test_a_result_says_what_it_is(tmp_path, run):
    source = write_image(tmp_path / "work/a.png", cup())
    assert run("a.png") == 0
    result = tmp_path / "work/enlarged/a_x4.png"
    assert is_result(result) and not is_result(source) and pixels(result).shape == (64, 80, 3)
    with Image.open(result) as image:
        assert image.info["Software"] == "super_resolution.py"


# ---------------------------------------------------------------- names

needs_long_names = pytest.mark.skipif(sys.platform == "win32", reason="Windows limits the whole path")


@needs_long_names
@pytest.mark.parametrize("stem", ["图" * 75, "n" * 210, "n" * 248])
def test_long_names_are_written(tmp_path, run, stem):
    write_image(tmp_path / "work/in" / f"{stem}.png", cup())
    assert run("in") == 0 and os.listdir("enlarged") == [f"{stem}_x4.png"]


@needs_long_names
def test_a_name_that_is_too_long_is_said_before_anything_is_computed(tmp_path, run, computed, capsys, monkeypatch):
    write_image(tmp_path / "work/in/a.png", cup())
    write_image(tmp_path / f"work/in/{'n' * 251}.png", cup(24))
    said_first = []
    monkeypatch.setattr("super_resolution.upscale_file", lambda *_: said_first.append(capsys.readouterr().err) or True)
    assert run("in") == 1
    assert len(said_first) == 1 and "would have a name of 258 bytes" in said_first[0]


@needs_long_names
def test_long_names_can_be_trained_on_and_stop_no_other_file(tmp_path, capsys):
    for stem in ("图" * 75, "n" * 210, "n" * 251, "short"):
        write_image(tmp_path / "mine" / f"{stem}.png", photo("coffee.png", 0, 0, 64, 64))
    status = data_lists(["--root", str(tmp_path / "data"), "--train-hr", str(tmp_path / "mine"), "--make-lr"])
    rows = (tmp_path / "data/train_images.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3 and status == 1
    said = capsys.readouterr().out
    assert said.count("Problem: ") >= 1 and "n" * 251 in said


def test_an_image_that_cannot_be_read_is_left_out_of_the_training_and_stops_no_other(tmp_path, capsys, monkeypatch):
    for name in ("a", "b"):
        write_image(tmp_path / "mine" / f"{name}.png", photo("coffee.png", 0, 0, 64, 64))
    real = Path.read_bytes

    def read_bytes(path):
        if path.name == "a.png":
            raise OSError(5, "Input/output error")
        return real(path)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert data_lists(["--root", str(tmp_path / "data"), "--train-hr", str(tmp_path / "mine"), "--make-lr"]) == 0
    assert len((tmp_path / "data/train_images.csv").read_text(encoding="utf-8").splitlines()) == 1
    assert "a.png is left out, it cannot be read: Input/output error." in capsys.readouterr().out


# ---------------------------------------------------------------- one file never stops the others

def test_two_pictures_that_differ_in_how_a_letter_is_written_stop_nothing(tmp_path, run):
    for stem in ("\u00fc", "u\u0308", "b"):
        write_image(tmp_path / f"work/in/{stem}.png", cup(20 + len(stem)))
    if len(os.listdir("in")) < 3:
        pytest.skip("this disk takes both letters for one")
    assert run("in") == 0 and len(os.listdir("enlarged")) == 3


def test_a_broken_link_is_a_sentence_and_stops_nothing(tmp_path, run, computed, capsys):
    write_image(tmp_path / "work/in/a.png", cup())
    try:
        (tmp_path / "work/in/gone.png").symlink_to("nowhere.png")
    except OSError:
        pytest.skip("this account may not make links")
    assert run("in") == 0 and computed == [20]
    assert "not upscaled: gone.png. There is no file behind these: broken links" in capsys.readouterr().err
    assert run("in/a.png", "in/gone.png", "--out", "again") == 1 and computed == [20, 20]
    said = capsys.readouterr().err
    assert "gone.png cannot be read: No such file or directory." in said and "[Errno" not in said

"""Upscaling images from the command line: what photographs bring with them, folders, names, errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import super_resolution
from imresize import imresize
from models import Generator
from super_resolution import enlarge, find_pictures, read_picture, result_names, save_picture
from support.checkpoints import save_generator
from support.run import seed_everything
from tests.helpers import ROOT, photo, write_image

ORIENTATION = 0x0112


@pytest.fixture
def weights(tmp_path):
    """A small generator that interpolates, as a file."""
    seed_everything(0)
    path = tmp_path / "small.safetensors"
    save_generator(path, Generator(9, 3, 8, 1, 4).start_as_interpolation())
    return str(path)


def run(*arguments):
    return super_resolution.main([str(argument) for argument in arguments])


def cup():
    return photo("coffee.png", 100, 200, 24, 36)


def twice(lr):
    return np.repeat(np.repeat(lr, 2, axis=0), 2, axis=1)


def test_a_file_becomes_a_png_four_times_as_wide_and_high(tmp_path, weights, capsys):
    source = write_image(tmp_path / "cup.jpg", cup(), quality=95)
    assert run(source, "--weights", weights, "--out", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "cup_x4.png") as sr:
        assert sr.format == "PNG" and sr.mode == "RGB" and sr.size == (144, 96)
        error = np.array(sr).astype(int) - imresize(read_picture(source).lr, 4).astype(int)
    assert np.abs(error).mean() < 3                     # the network starts as an interpolation
    assert "144 x 96" in capsys.readouterr().out         # the result; what changes while it works is on stderr


def test_a_folder_is_done_picture_by_picture_and_faults_are_named(tmp_path, weights, capsys):
    folder = tmp_path / "假期 photos"
    write_image(folder / "a.png", cup())
    (folder / "b.jpg").write_bytes(b"no picture")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "c.png")
    write_image(folder / "d.bmp", cup()[:, :20])
    (folder / "e.heic").write_bytes(b"\0" * 64)
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    assert run(folder, "--weights", weights, "--out", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_x4.png", "d_x4.png"]
    said = capsys.readouterr()
    for text in ("b.jpg  NOT UPSCALED", "c.png has 16 bits a channel", "e.heic. Export them as JPEG",
                 "1 file passed over, no pictures (notes.txt)"):
        assert text in said.err
    assert [line.split()[0] for line in said.out.splitlines()] == ["[1/4]", "[4/4]"]


@pytest.mark.parametrize("orientation, back", [(3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, 1))])
def test_a_photograph_that_lies_on_its_side_is_turned_upright(tmp_path, orientation, back):
    upright = cup()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    source = write_image(tmp_path / "side.png", np.ascontiguousarray(back(upright)), exif=exif)
    picture = read_picture(source)
    assert (picture.lr == upright).all() and "EXIF" in picture.notice


def test_alpha_is_upscaled_apart_and_kept(tmp_path, weights):
    alpha = np.zeros((24, 36), np.uint8)
    alpha[6:18, 9:27] = 255
    source = write_image(tmp_path / "cut.png", np.dstack([cup(), alpha]))
    assert run(source, "--weights", weights, "--out", tmp_path) == 0
    with Image.open(tmp_path / "cut_x4.png") as sr:
        assert sr.mode == "RGBA"
        result = np.array(sr)
    assert (result[..., 3] == imresize(alpha, 4)).all()
    opaque = write_image(tmp_path / "opaque.png", cup())
    run(opaque, "--weights", weights, "--out", tmp_path)
    with Image.open(tmp_path / "opaque_x4.png") as sr:          # the mask changes no colour that is far from its edge
        inside = np.s_[40:56, 60:84]
        assert np.abs(np.array(sr)[inside].astype(int) - result[inside][..., :3]).max() <= 3


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_transparency_is_found_in_every_mode(tmp_path, mode):
    grey = cup()[..., 0]
    if mode == "LA":
        Image.merge("LA", [Image.fromarray(grey), Image.fromarray(255 - grey)]).save(tmp_path / "x.png")
        expected = 255 - grey
    else:
        image = Image.fromarray(grey).convert(mode)
        colour = image.getpixel((0, 0))
        image.save(tmp_path / "x.png", transparency=colour)
        same = (np.array(image) == colour)
        expected = np.where(same.all(axis=2) if mode == "RGB" else same, 0, 255)
    picture = read_picture(tmp_path / "x.png")
    assert (picture.alpha == expected).all() and picture.lr.shape == (24, 36, 3)
    assert enlarge(picture, twice).shape == (48, 72, 4)


def test_a_colour_profile_stays_with_the_picture(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = write_image(tmp_path / "phone.jpg", cup(), icc_profile=profile)
    picture = read_picture(source)
    save_picture(tmp_path / "sr.png", enlarge(picture, twice), picture)
    with Image.open(tmp_path / "sr.png") as sr:
        assert sr.info["icc_profile"] == profile


def test_a_profile_of_other_colours_does_not_stay(tmp_path):
    Image.fromarray(cup()).convert("CMYK").save(tmp_path / "print.jpg", icc_profile=b"of ink")
    picture = read_picture(tmp_path / "print.jpg")
    assert picture.profile is None and "CMYK" in picture.notice


def test_of_a_moving_picture_the_first_frame_is_taken_with_a_notice(tmp_path):
    frames = [Image.fromarray(cup()[:, k:k + 20]) for k in range(3)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    picture = read_picture(tmp_path / "moving.webp")
    assert (picture.lr == np.array(frames[0])).all() and "only the first" in picture.notice


def test_two_pictures_of_one_name_get_two_files():
    paths = [Path("a.png"), Path("a.jpg"), Path("b.png")]
    assert list(result_names(paths, 4).values()) == ["a_png_x4.png", "a_jpg_x4.png", "b_x4.png"]
    # None of them stops the others: neither two of one name in two folders, nor two that differ in capitals only.
    paths = [Path("x/a.png"), Path("y/a.png"), Path("y/A.PNG"), Path("y/b.png")]
    assert list(result_names(paths, 4).values()) == ["x_a_png_x4.png", "2_a_png_x4.png", "3_A_PNG_x4.png", "b_x4.png"]


@pytest.mark.parametrize("file, name", [
    ("photo.jpg", "photo_x4.png"), ("photo_x4.png", "photo_x16.png"), ("photos/box4.png", "box4_x4.png"),
    ("Set5/LR_bicubic/X4/babyx4.png", "baby_x4.png"), ("my_LR/babyx4.png", "baby_x4.png"),
    ("walrus/babyx4.png", "babyx4_x4.png"), ("X4/x4.png", "x4_x4.png")])
def test_a_name_says_how_many_times_as_large_a_result_is(file, name):
    assert list(result_names([Path(file)], 4).values()) == [name]


def test_hr_and_lr_of_one_name_get_two_files():
    assert list(result_names([Path("X4/baby.png"), Path("X4/babyx4.png")], 4).values()) == [
        "baby_png_x4.png", "babyx4_png_x4.png"]


def test_what_is_not_there_is_named(tmp_path, weights, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in the folder"):
        find_pictures([tmp_path / "empty"])
    with pytest.raises(SystemExit):
        run(tmp_path / "nothing.png", "--weights", weights)
    assert "nothing.png does not exist" in capsys.readouterr().err
    source = write_image(tmp_path / "cup.png", cup())
    with pytest.raises(SystemExit):
        run(source, "--weights", "srresnet-x5")
    assert "No weights named 'srresnet-x5'" in capsys.readouterr().err


def test_a_former_result_is_replaced_with_a_word_and_a_file_is_no_folder(tmp_path, weights, capsys):
    path = write_image(tmp_path / "cup.png", photo("coffee.png", 100, 200, 16, 20))
    arguments = path, "--weights", weights, "--out", tmp_path / "out"
    assert run(*arguments) == 0 and "replaced" not in capsys.readouterr().out
    assert run(*arguments) == 0 and "the former one is replaced" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(path, "--weights", weights, "--out", path)
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory"),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")], ids=str)
def test_a_picture_that_is_too_large_does_not_end_the_others(tmp_path, weights, capsys, monkeypatch, error):
    real = super_resolution.super_resolve

    def full(generator, lr, **options):
        if lr.shape[1] == 24:
            raise error
        return real(generator, lr, **options)
    monkeypatch.setattr("super_resolution.super_resolve", full)
    for name, width in (("a", 24), ("b", 20)):
        write_image(tmp_path / "in" / f"{name}.png", photo("coffee.png", 100, 200, 16, width))
    assert run(tmp_path / "in", "--weights", weights, "--out", tmp_path / "out") == 1
    assert "a.png  NOT UPSCALED: the memory" in capsys.readouterr().err and (tmp_path / "out/b_x4.png").exists()


def test_a_picture_of_too_many_megapixels_says_so(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.png", photo("coffee.png", 0, 0, 20, 20))
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="more than 0 megapixels. Reduce it"):
        read_picture(path)


@pytest.mark.slow
def test_it_runs_as_a_script(tmp_path, weights):
    write_image(tmp_path / "cup.png", cup())
    done = subprocess.run([sys.executable, str(ROOT / "super_resolution.py"), "cup.png", "--weights", weights,
                           "--self-ensemble"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "enlarged" / "cup_x4.png").exists()

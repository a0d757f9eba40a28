"""create_data_lists.py and download.py: layouts, lists, LR, the demo set, --check and --download."""

import errno
import hashlib
import io
import os
import re
import shutil
import tarfile
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from easydict import EasyDict
from PIL import Image

import create_data_lists as lists
from imresize import imresize
from support import download
from tests.helpers import SHARED, noise, pixels, png, write_image


def make_set(folder, names, hr="HR", lr="LR_bicubic/X4", side=20):
    """HR and LR of the usual layout, ``names`` without ending."""
    for seed, name in enumerate(names):
        write_image(folder / hr / f"{name}.png", noise(side, side, seed))
        write_image(folder / lr / f"{name}x4.png", imresize(noise(side, side, seed), 1 / 4))


def numbered(n):
    return [f"{i:04d}" for i in range(1, n + 1)]


def rows_of(root, split):
    return (root / f"{split}_images.csv").read_bytes().decode("utf-8").split("\n")


# ---------------------------------------------------------------- layouts and lists

def test_layouts_of_the_design_are_found(tmp_path, capsys):
    make_set(tmp_path, ["0002", "0001"], "DIV2K_train_HR", "DIV2K_train_LR_bicubic/X4")
    make_set(tmp_path / "DIV2K", ["0801"], "DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X4")
    make_set(tmp_path / "benchmark" / "Set5", ["baby", "bird", "butterfly", "head", "woman"])
    make_set(tmp_path / "Urban100", ["img_001"])                                   # directly under the root
    make_set(tmp_path / "test" / "bsds100", ["3096"])                              # another folder, another name
    write_image(tmp_path / "Set14" / "image_SRF_4" / "img_001_SRF_4_HR.png", noise(16, 16))
    write_image(tmp_path / "Set14" / "image_SRF_4" / "img_001_SRF_4_LR.png", noise(4, 4))

    assert lists.main(["--root", str(tmp_path)]) == 0
    # Exactly: no header, sorted, "\n" on every system, forward slashes, relative to the root.
    assert (tmp_path / "train_images.csv").read_bytes() == (
        b"DIV2K_train_HR/0001.png,DIV2K_train_LR_bicubic/X4/0001x4.png\n"
        b"DIV2K_train_HR/0002.png,DIV2K_train_LR_bicubic/X4/0002x4.png\n")
    assert rows_of(tmp_path, "valid")[0] == "DIV2K/DIV2K_valid_HR/0801.png,DIV2K/DIV2K_valid_LR_bicubic/X4/0801x4.png"
    assert rows_of(tmp_path, "Set5")[0] == "benchmark/Set5/HR/baby.png,benchmark/Set5/LR_bicubic/X4/babyx4.png"
    assert len(rows_of(tmp_path, "Set5")) == 5 + 1
    assert rows_of(tmp_path, "Urban100")[0] == "Urban100/HR/img_001.png,Urban100/LR_bicubic/X4/img_001x4.png"
    assert rows_of(tmp_path, "B100")[0] == "test/bsds100/HR/3096.png,test/bsds100/LR_bicubic/X4/3096x4.png"
    assert rows_of(tmp_path, "Set14")[0] == \
        "Set14/image_SRF_4/img_001_SRF_4_HR.png,Set14/image_SRF_4/img_001_SRF_4_LR.png"
    printed = capsys.readouterr().out
    assert "2 of 800" in printed and "1 of 100" in printed and "1 of 14" in printed


def pair_at(root, hr, lr, seed=0, side=20):
    write_image(root / hr, noise(side, side, seed))
    write_image(root / lr, imresize(noise(side, side, seed), 1 / 4))


@pytest.mark.parametrize("split, hr, lr", [
    ("Set5", "Set5/HR/baby.png", "Set5/LR_bicubic/X4/baby.png"),                       # LR under HR's own name
    ("Set5", "Set5/HR/baby.png", "Set5/LR_bicubic/X4/baby_x4.png"),
    ("Set5", "Set5/HR/baby_HR.png", "Set5/LR/baby_LR.png"),
    ("Set5", "Set5/GTmod12/baby.png", "Set5/LRbicx4/baby.png"),                        # BasicSR's
    ("Set5", "Set5/HR/baby.png", "Set5/LRx4/baby.png"), ("Set5", "Set5/gt/baby.png", "Set5/lq/baby.png"),
    ("Set14", "benchmark/Set14/GTmod12/baby.png", "benchmark/Set14/LRbicx4/baby.png"),
    ("B100", "sets/SR/BSDS100/HR/3096.png", "sets/SR/BSDS100/LR_bicubic/X4/3096x4.png"),     # deeper
    ("Urban100", "Urban100/image_SRF_4/img_001_SRF_4_HR.png", "Urban100/image_SRF_4/img_001_SRF_4_LR.png"),
    ("train", "DIV2K_train_HR/DIV2K_train_HR/0001.png",                                # each archive in its own folder
     "DIV2K_train_LR_bicubic_X4/DIV2K_train_LR_bicubic/X4/0001x4.png"),
    ("train", "DIV2K_train_HR/0001.png", "DIV2K_train_LR_x4/0001x4.png"),          # as NTIRE names the one of x8
    ("valid", "DIV2K/DIV2K_valid_HR/0801.png", "DIV2K/LR/DIV2K_valid_LR_bicubic/X4/0801x4.png"),
    ("train", "DIV2K/DIV2K_train_HR/0001.png", "DIV2K/DIV2K_train_LR_bicubic/X4/0001.png")])
def test_layouts_of_others_are_found(tmp_path, split, hr, lr):
    pair_at(tmp_path, hr, lr)
    assert lists.list_images(tmp_path) == []
    assert rows_of(tmp_path, split) == [f"{hr},{lr}", ""]
    assert [f.kind for f in lists.check(tmp_path)[0]] == ["number"]                    # 1 image instead of 5


def test_own_images_whose_lr_lie_in_another_layout(tmp_path):
    for hr, lr in (("mine/HR/a.png", "mine/LR/a.png"), ("both/a_HR.png", "both/a_LR.png")):
        pair_at(tmp_path, hr, lr)
        assert lists.list_images(tmp_path, train_hr=tmp_path / Path(hr).parent) == []
        assert rows_of(tmp_path, "train") == [f"{hr},{lr}", ""]


def test_lr_that_is_missing_is_made_by_the_rule_of_the_others(tmp_path):
    pair_at(tmp_path, "Set5/GTmod12/a.png", "Set5/LRbicx4/a.png")
    write_image(tmp_path / "Set5/GTmod12/b.png", noise(16, 16, 1))
    assert lists.list_images(tmp_path, make=True) == []
    assert rows_of(tmp_path, "Set5")[1] == "Set5/GTmod12/b.png,Set5/LRbicx4/b.png"


def test_the_message_names_the_rule_and_the_file_that_was_looked_for(tmp_path, capsys):
    write_image(tmp_path / "Set5/HR/baby.png", noise(16, 16))
    write_image(tmp_path / "Set5/LR_bicubic/X4/baby-small.png", noise(4, 4))
    hr_alone, lr_alone, nothing = lists.list_images(tmp_path)
    assert (tmp_path / "Set5/LR_bicubic/X4/babyx4.png").as_posix() in hr_alone and "rule NAMEx4" in hr_alone
    assert "NAME_x4" in hr_alone and "baby-small.png" in lr_alone and "rule NAMEx4" in lr_alone
    assert "Set5/HR/baby.png with Set5/LR_bicubic/X4/babyx4.png" in nothing and "Set5/HR (1)" in nothing
    shutil.rmtree(tmp_path / "Set5/LR_bicubic")
    assert "there is no folder" in lists.list_images(tmp_path)[0]


def test_composed_and_decomposed_letters_are_one_name(tmp_path):
    """macOS writes u and two dots where other systems write one letter."""
    from support.lists import read_list
    pair_at(tmp_path, "Set5/HR/u\u0308ber.png", "Set5/LR_bicubic/X4/\u00fcberx4.png")
    assert lists.list_images(tmp_path) == []
    (tmp_path / "Set5_images.csv").write_text(                                          # a list from the other system
        "Set5/HR/\u00fcber.png,Set5/LR_bicubic/X4/u\u0308berx4.png\n", encoding="utf-8")
    pair, = read_list("Set5", EasyDict(csv_folder=tmp_path))
    assert pair.hr.is_file() and pair.lr.is_file()


@pytest.mark.parametrize("row", ["Set5\\HR\\a.png,Set5\\LR_bicubic\\X4\\ax4.png",
                                 " Set5/HR/a.png , Set5/LR_bicubic/X4/ax4.png ",
                                 "{root}/Set5/HR/a.png,{root}/Set5/LR_bicubic/X4/ax4.png",
                                 '"Set5\\HR\\a.png ",{root}/Set5/HR/../LR_bicubic/X4/ax4.png'])
def test_rows_as_other_systems_and_tools_write_them(tmp_path, row):
    from support.lists import read_list
    make_set(tmp_path / "Set5", ["a"])
    (tmp_path / "Set5_images.csv").write_text(row.format(root=tmp_path.as_posix()) + "\n", encoding="utf-8")
    pair, = read_list("Set5", EasyDict(csv_folder=tmp_path))
    assert pair.hr.is_file() and pair.lr.is_file() and str(pair.hr).startswith(str(tmp_path))
    assert [f.kind for f in lists.check(tmp_path)[0]] == ["number"]


def test_a_list_with_semicolons_says_so(tmp_path):
    make_set(tmp_path / "Set5", ["a"])
    (tmp_path / "Set5_images.csv").write_text("Set5/HR/a.png;Set5/LR_bicubic/X4/ax4.png\n", encoding="utf-8")
    finding, = lists.check(tmp_path)[0]
    assert "save the list with commas" in finding.problem


def test_results_of_two_images_of_one_name_do_not_overwrite_each_other():
    from support.lists import unique_names
    paths = [Path(name) for name in ("one/a.png", "two/a.png", "two/A.jpg", "b.png", "c/x.png", "c/x.png")]
    assert unique_names(paths) == ["one_a", "two_a_png", "two_A_jpg", "b", "c_x_png_5", "c_x_png_6"]
    assert unique_names([Path("HR/baby.png"), Path("HR/bird.png")]) == ["baby", "bird"]


def test_lists_can_be_read_by_the_dataset(tmp_path):
    from support.lists import read_list
    make_set(tmp_path / "Set5", ["a b", "蝴蝶", "one, two"])
    lists.list_images(tmp_path)
    pairs = read_list("Set5", EasyDict(csv_folder=tmp_path))
    assert {pair.hr.stem for pair in pairs} == {"a b", "蝴蝶", "one, two"}
    assert all(pair.hr.is_file() and pair.lr.is_file() for pair in pairs)


def test_a_second_run_changes_nothing_and_a_change_is_told(tmp_path, capsys):
    make_set(tmp_path / "Set5", ["a", "b"])
    lists.main(["--root", str(tmp_path)])
    before = (tmp_path / "Set5_images.csv").stat().st_mtime_ns
    lists.main(["--root", str(tmp_path)])
    assert (tmp_path / "Set5_images.csv").stat().st_mtime_ns == before
    assert "has changed" not in capsys.readouterr().out
    make_set(tmp_path / "Set5", ["a", "b", "c"])
    lists.main(["--root", str(tmp_path)])
    assert "2 rows before, 3 after" in capsys.readouterr().out


def test_the_fullest_of_two_folders_is_taken(tmp_path):
    (tmp_path / "Set5" / "HR").mkdir(parents=True)
    make_set(tmp_path / "benchmark" / "Set5", ["a"])
    lists.list_images(tmp_path)
    assert rows_of(tmp_path, "Set5")[0].startswith("benchmark/Set5/")


def test_images_without_partner_are_left_out_and_named(tmp_path, capsys):
    make_set(tmp_path / "Set5", ["a", "b", "c"])
    (tmp_path / "Set5/LR_bicubic/X4/ax4.png").unlink()
    (tmp_path / "Set5/HR/b.png").unlink()
    assert lists.main(["--root", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "(a.png)" in printed and "--make-lr" in printed and "(bx4.png)" in printed
    assert rows_of(tmp_path, "Set5") == ["Set5/HR/c.png,Set5/LR_bicubic/X4/cx4.png", ""]


def test_lists_in_another_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_set(tmp_path / "data" / "Set5", ["a"])
    assert lists.main(["--root", "data", "--csv-folder", "my lists"]) == 0
    assert rows_of(tmp_path / "my lists", "Set5")[0] == "Set5/HR/a.png,Set5/LR_bicubic/X4/ax4.png"
    assert not list((tmp_path / "data").glob("*.csv"))
    assert 'config.HR_data_folder = config.LR_data_folder = "data"' in capsys.readouterr().out
    assert lists.main(["--root", "data", "--csv-folder", "my lists", "--check"]) == 1      # 1 image instead of 5
    assert "1 number" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--scale", "3"], ["--valid-count", "2"], ["--download", "imagenet"],
                                       ["--demo", "--train-hr", "x"], ["--hr-folder", "x"]])
def test_bad_usage_is_status_2(arguments):
    with pytest.raises(SystemExit) as error:
        lists.main(arguments)
    assert error.value.code == 2


def test_nothing_there_is_status_1_and_says_what_to_do(tmp_path, capsys):
    assert lists.main(["--root", str(tmp_path / "nowhere")]) == 1
    assert "--demo" in capsys.readouterr().err
    assert lists.main(["--root", str(tmp_path / "new"), "--train-hr", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert lists.main(["--root", str(tmp_path)]) == 1
    assert "--download benchmark" in capsys.readouterr().out


# ---------------------------------------------------------------- one's own images, and making LR

def test_own_images_from_outside_with_lr_and_validation(tmp_path):
    root, own = tmp_path / "data", tmp_path / "my photos"
    for i, name in enumerate(numbered(9) + ["图"]):
        write_image(own / f"{name}.webp", noise(22, 27, i), lossless=True)      # not divisible by 4
    assert lists.main(["--root", str(root), "--train-hr", str(own), "--valid-count", "2", "--make-lr", "--check"]) == 0
    # Evenly spaced in sorted order: the 3rd and the 8th of ten.
    assert [row.split(",")[0] for row in rows_of(root, "valid")[:-1]] == [
        "my photos_HR/0003.webp", "my photos_HR/0008.webp"]
    train = rows_of(root, "train")[:-1]
    assert len(train) == 8 and train[-1] == "my photos_HR/图.webp,my photos_LR_bicubic/X4/图x4.png"
    hr, lr = (pixels(root / name) for name in train[0].split(","))
    assert lr.shape == (5, 6, 3) and np.array_equal(lr, imresize(hr[:20, :24], 1 / 4))


def test_lr_is_made_again_only_where_hr_has_changed_and_lr_is_ours(tmp_path):
    hr, lr = tmp_path / "my" / "HR" / "a.png", tmp_path / "my" / "LR_bicubic" / "X2" / "ax2.png"
    arguments = ["--root", str(tmp_path), "--train-hr", str(hr.parent), "--make-lr", "--scale", "2"]
    write_image(hr, noise(8, 8, 0))
    assert lists.main(arguments) == 0
    first = lr.stat().st_mtime_ns
    assert lists.main(arguments) == 0 and lr.stat().st_mtime_ns == first
    os.utime(hr, (2e9, 2e9))                              # newer, with the same content
    assert lists.main(arguments) == 0 and lr.stat().st_mtime_ns == first
    write_image(hr, noise(8, 8, 1))
    os.utime(hr, (1e9, 1e9))                              # other content, with an older date: cp -p
    assert lists.main(arguments) == 0
    assert np.array_equal(pixels(lr), imresize(noise(8, 8, 1), 1 / 2))
    write_image(lr, noise(4, 4, 5))                       # a published LR, older than its HR
    assert lists.main(arguments) == 0
    assert np.array_equal(pixels(lr), noise(4, 4, 5))


@pytest.mark.slow
def test_lr_in_processes_and_bad_files_hide_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("support.make_lr.PARALLEL_FROM", 0)
    for name in ("a", "c"):
        write_image(tmp_path / "own_HR" / f"{name}.png", noise(16, 16, 3, channels=1))
    (tmp_path / "own_HR" / "b.png").write_bytes(b"not an image")
    write_image(tmp_path / "own_HR" / "tiny.png", noise(2, 2))
    assert lists.main(["--root", str(tmp_path), "--train-hr", str(tmp_path / "own_HR"), "--make-lr"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"b\.png cannot be read", printed) and re.search(r"tiny\.png is smaller", printed)
    assert [row.split(",")[1] for row in rows_of(tmp_path, "train")[:-1]] == [
        "own_LR_bicubic/X4/ax4.png", "own_LR_bicubic/X4/cx4.png"]
    assert np.array_equal(pixels(tmp_path / "own_LR_bicubic/X4/ax4.png"),
                          imresize(noise(16, 16, 3, channels=1), 1 / 4))


def test_two_folders_of_one_name_are_not_mixed(tmp_path, capsys):
    for place, name in (("one", "a"), ("two", "b")):
        write_image(tmp_path / place / "photos" / f"{name}.png", noise(8, 8))
    command = ["--root", str(tmp_path / "data"), "--make-lr", "--train-hr"]
    assert lists.main(command + [str(tmp_path / "one" / "photos")]) == 0
    assert lists.main(command + [str(tmp_path / "two" / "photos")]) == 1
    assert "a.png" in capsys.readouterr().err
    assert rows_of(tmp_path / "data", "train")[0].startswith("photos_HR/a.png")


def test_another_folder_with_the_same_names_sizes_and_dates_is_not_taken_for_the_first(tmp_path, capsys):
    for seed, place in enumerate("AB"):
        for name in ("one", "two"):
            write_image(tmp_path / place / "shots" / f"{name}.bmp", noise(8, 8, seed))
            os.utime(tmp_path / place / "shots" / f"{name}.bmp", (1e9, 1e9))
    command = ["--root", str(tmp_path / "data"), "--make-lr", "--train-hr"]
    assert lists.main(command + [str(tmp_path / "A" / "shots")]) == 0
    assert lists.main(command + [str(tmp_path / "A" / "shots")]) == 0        # the same again: nothing to do
    assert lists.main(command + [str(tmp_path / "B" / "shots")]) == 1
    error = capsys.readouterr().err
    assert "2 images of the same name there have other content (one.bmp, two.bmp)" in error and "remove it" in error
    assert np.array_equal(pixels(tmp_path / "data" / "shots_HR" / "one.bmp"), noise(8, 8, 0))
    shutil.rmtree(tmp_path / "data" / "shots_HR")                            # the remedy that the message names
    assert lists.main(command + [str(tmp_path / "B" / "shots"), "--check"]) == 0
    hr, lr = (pixels(tmp_path / "data" / name) for name in rows_of(tmp_path / "data", "train")[0].split(","))
    assert np.array_equal(hr, noise(8, 8, 1)) and np.array_equal(lr, imresize(hr, 1 / 4))


def test_a_file_of_the_users_own_in_the_root_is_not_overwritten(tmp_path, capsys):
    own = write_image(tmp_path / "data" / "shots_HR" / "one.png", noise(9, 9, 7))
    write_image(tmp_path / "shots" / "one.png", noise(8, 8, 0))
    (tmp_path / "data" / "train_images.csv").write_text("mine/a.png,mine/b.png\n", encoding="utf-8")
    command = ["--root", str(tmp_path / "data"), "--make-lr", "--train-hr"]
    assert lists.main(command + [str(tmp_path / "shots")]) == 1
    assert "one.png" in capsys.readouterr().err and np.array_equal(pixels(own), noise(9, 9, 7))
    assert lists.main(command + [str(own.parent)]) == 0
    assert "kept as train_images.csv.old" in capsys.readouterr().out
    assert (tmp_path / "data" / "train_images.csv.old").read_text(encoding="utf-8") == "mine/a.png,mine/b.png\n"


def test_the_remedies_of_check_mend(tmp_path, capsys):
    """HR replaced after its LR was made: --make-lr alone, as the message says, also for sets that only a list names."""
    for i, name in enumerate("abc"):
        write_image(tmp_path / "own_HR" / f"{name}.png", noise(40, 48, i))
    command = ["--root", str(tmp_path), "--make-lr"]
    assert lists.main(command + ["--train-hr", str(tmp_path / "own_HR"), "--valid-count", "1"]) == 0
    for i, name in enumerate("ab"):                       # one in training, one in validation
        write_image(tmp_path / "own_HR" / f"{name}.png", noise(40, 48, 10 + i))
        os.utime(tmp_path / "own_HR" / f"{name}.png", (1e9, 1e9))
    assert lists.main(["--root", str(tmp_path), "--check"]) == 1
    assert "2 outdated" in capsys.readouterr().out
    assert {f.remedy for f in lists.check(tmp_path)[0]} == {"Make the LR again with --make-lr."}
    assert lists.main(command + ["--check"]) == 0
    lr = tmp_path / "own_LR_bicubic" / "X4" / "ax4.png"
    write_image(lr, noise(10, 12, 99))                    # an LR from elsewhere is never replaced: it is to be deleted
    assert lists.main(command + ["--check"]) == 1
    assert ["delete this LR file" in f.remedy for f in lists.check(tmp_path)[0]] == [True]
    lr.unlink()
    assert lists.main(command + ["--check"]) == 0


def test_held_out_images_that_come_back_into_training_are_reported(tmp_path, capsys):
    for name in "abcd":
        write_image(tmp_path / "own_HR" / f"{name}.png", noise(8, 8))
    command = ["--root", str(tmp_path), "--make-lr", "--train-hr", str(tmp_path / "own_HR")]
    assert lists.main(command + ["--valid-count", "1"]) == 0
    assert lists.main(command) == 1
    assert "both in the training and in the validation list" in capsys.readouterr().out
    assert lists.main(["--root", str(tmp_path), "--check"]) == 1
    assert "1 duplicate" in capsys.readouterr().out


# ---------------------------------------------------------------- --check

def broken_corpus(root):
    """Every kind of fault once, good pairs between them.  Returns {(split, row): kind} of what must be found."""
    test = root / "Set5"
    make_set(test, ["good", "no_lr", "size", "cut", "palette", "twice", "lossy", "swapped", "deep", "unlisted"],
             side=32)
    rows, expected = [], {}

    def row(kind, hr="good", lr=None, text=None):
        rows.append(text or f"Set5/HR/{hr}.png,Set5/LR_bicubic/X4/{lr or hr}x4.png")
        if kind:
            expected[("Set5", len(rows))] = kind

    row(None)
    (test / "LR_bicubic/X4/no_lrx4.png").unlink()
    row("missing partner", "no_lr")
    write_image(test / "LR_bicubic/X4/sizex4.png", noise(16, 16))
    row("wrong size", "size")
    whole = (test / "HR/cut.png").read_bytes()
    (test / "HR/cut.png").write_bytes(whole[:-10])        # all pixels are there: load() alone sees nothing
    row("unreadable", "cut")
    write_image(test / "HR/palette.png", Image.fromarray(noise(32, 32, seed=4)).quantize(256))
    row("wrong mode", "palette")
    row(None, "twice")
    row("duplicate", "twice")
    write_image(test / "HR/lossy.png", Image.fromarray(noise(32, 32, seed=6)), format="JPEG")    # whatever its name
    row("JPEG", "lossy")
    row("swapped", text="Set5/LR_bicubic/X4/swappedx4.png,Set5/HR/swapped.png")
    row("same file", text="Set5/HR/unlisted.png,Set5/HR/unlisted.png")
    row("row", text="Set5/HR/good.png")
    row("row", text="../good.png,Set5/HR/good.png")
    write_image(test / "HR/deep.png", Image.fromarray(noise(32, 32, channels=1).astype(np.uint16) * 256))
    row("wrong mode", "deep")
    (test / "LR_bicubic/X4/unlistedx4.png").unlink()
    write_image(test / "HR/alone.png", noise(32, 32))
    expected[("Set5", 0)] = "number, missing partner"
    (root / "Set5_images.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    make_set(root / "own", ["a", "b", "empty"], side=32)
    write_image(root / "own/HR/a.png", Image.fromarray(noise(32, 32)).convert("RGBA"))     # alpha: a notice in training
    (root / "own/LR_bicubic/X4/emptyx4.png").write_bytes(b"")
    lists.write_list(root, "train", lists.match(root / "own/HR", root / "own/LR_bicubic/X4", 4).pairs, root)
    expected[("train", 3)] = "unreadable"
    (root / "valid_images.csv").write_bytes("é".encode("latin-1"))
    expected[("valid", 1)] = "row"
    return expected


def test_check_reports_every_fault_at_once(tmp_path, capsys):
    expected = broken_corpus(tmp_path)
    assert lists.main(["--root", str(tmp_path), "--check"]) == 1
    printed = capsys.readouterr().out
    findings, n_rows = lists.check(tmp_path)

    found = {}
    for f in findings:
        if f.fails:
            found.setdefault((f.split, f.row), []).append(f.kind)
    assert {place: ", ".join(dict.fromkeys(kinds)) for place, kinds in found.items()} == expected
    assert [f.row for f in findings if f.split == "Set5"] == sorted(f.row for f in findings if f.split == "Set5")
    assert [(f.split, f.row, f.kind) for f in findings if not f.fails] == [("train", 1, "wrong mode")]
    # Files on the disk without partner are named, the one in a list ("no_lr") only by its row.
    alone = [Path(f.file).name for f in findings if f.row == 0 and f.kind == "missing partner"]
    assert alone == ["alone.png"]
    assert n_rows == {"train": 3, "valid": 0, "Set5": 11}
    for finding in findings:                                  # each with its own line and what to do
        assert finding.file in printed and finding.remedy and finding.problem
    assert any("columns are swapped" in finding.problem for finding in findings)


def test_check_is_content_with_a_good_corpus(tmp_path, capsys):
    make_set(tmp_path / "Set5", ["a", "b", "c", "d"])
    write_image(tmp_path / "Set5/HR/grey.png", noise(22, 21, channels=1))              # grey, not divisible: no fault
    write_image(tmp_path / "Set5/LR_bicubic/X4/greyx4.png", noise(6, 5, channels=1))   # LR by ceil: tolerated
    assert lists.main(["--root", str(tmp_path), "--check"]) == 0                  # no lists yet: it makes them
    assert "every pair fits" in capsys.readouterr().out
    assert lists.main(["--root", str(tmp_path), "--check", "--scale", "2"]) == 1  # the other scale fits nowhere


def test_check_of_a_list_of_the_original_kit(tmp_path, capsys):
    """Bare file names, and the two folders given separately."""
    make_set(tmp_path, numbered(3), "DIV2K_train_HR", "lr")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train_images.csv").write_bytes(b"0001.png,0001x4.png\r\n0002.png,0002x4.png\r\n")
    command = ["--check", "--csv-folder", str(tmp_path / "lists"), "--root", str(tmp_path),
               "--hr-folder", str(tmp_path / "DIV2K_train_HR"), "--lr-folder", str(tmp_path / "lr")]
    assert lists.main(command) == 1
    printed = capsys.readouterr().out
    assert "1 number" in printed and "2 images instead of 800" in printed and "missing" not in printed
    assert lists.main(command[:-4]) == 1
    assert "No row of train leads to its files" in capsys.readouterr().out


def test_check_finds_a_colour_png_of_16_bits(tmp_path):
    """Pillow opens it as 8-bit RGB silently."""
    make_set(tmp_path / "Set5", ["a"])
    (tmp_path / "Set5/HR/a.png").write_bytes(png_of_16_bits(16))
    lists.list_images(tmp_path)
    findings, _ = lists.check(tmp_path)
    assert ("wrong mode", "It has 16 bits a channel: only 8 bits a channel, grey or RGB, are read here.") in [
        (f.kind, f.problem) for f in findings]


def png_of_16_bits(side):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(side * 6)) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.skipif(not (SHARED / "benchmark").is_dir(),
                    reason="the real Set5 and Set14 are not there (../shared/data/benchmark)")
def test_the_real_test_sets_are_found_and_without_fault(tmp_path):
    root = SHARED / "benchmark"
    assert lists.list_images(root, csv_folder=tmp_path) == []
    assert lists.check(tmp_path, root, root) == ([], {"Set5": 5, "Set14": 14})


def test_a_set_listed_without_lr_can_be_completed(tmp_path, capsys):
    make_set(tmp_path / "Set5", ["a", "b", "c", "d", "e"])
    shutil.rmtree(tmp_path / "Set5" / "LR_bicubic")
    assert lists.main(["--root", str(tmp_path)]) == 1
    assert "5 images" in capsys.readouterr().out and not (tmp_path / "Set5_images.csv").exists()
    assert lists.main(["--root", str(tmp_path), "--make-lr", "--check"]) == 0


# ---------------------------------------------------------------- the demo set

@pytest.mark.slow
def test_demo(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert lists.main(["--demo", "--root", str(folder), "--check"]) == 0
    names = {split: {Path(row.split(",")[0]).stem for row in rows_of(folder, split)[:-1]}
             for split in ("train", "valid", "demo")}
    assert {"astronaut", "chelsea", "coffee", "camera"} < names["demo"] and len(names["demo"]) == 5
    assert {"motorcycle_left", "motorcycle_right"} <= names["train"]
    assert not names["train"] & names["demo"] and not names["valid"] & (names["train"] | names["demo"])
    for split in names:
        for row in rows_of(folder, split)[:-1]:
            hr, lr = (pixels(folder / name) for name in row.split(","))
            height, width = (n // 4 * 4 for n in hr.shape[:2])
            assert np.array_equal(lr, imresize(hr[:height, :width], 1 / 4))
    assert pixels(folder / "HR" / "retina.png").shape == (706, 706, 3)      # a JPEG, halved

    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert lists.main(["--demo", "--root", str(folder)]) == 0
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_demo_without_its_photographs(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(lists.DEMO, "train", ["no_such_photograph.png"])
    assert lists.main(["--demo", "--root", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "no_such_photograph.png" in error and "scikit-image" in error


# ---------------------------------------------------------------- --download

def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def div2k(server, monkeypatch):
    """A DIV2K of three training images, in two archives."""
    images = {name: png(noise(32, 32, i)) for i, name in enumerate(numbered(3))}
    server.files = {
        "HR.zip": zipped({f"DIV2K_train_HR/{name}.png": data for name, data in images.items()}),
        "LR.zip": zipped({f"DIV2K_train_LR_bicubic/X4/{name}x4.png": data for name, data in images.items()})}
    holds = {"HR.zip": {"DIV2K_train_HR": 3}, "LR.zip": {"DIV2K_train_LR_bicubic/X4": 3}}
    monkeypatch.setitem(download.ARCHIVES, "div2k", [
        download.Archive(server.url + name, hashlib.md5(data).hexdigest(), holds[name])
        for name, data in server.files.items()])
    return server


def left_behind(root):
    return sorted(p.name for p in root.iterdir() if p.name not in ("DIV2K_train_HR", "DIV2K_train_LR_bicubic"))


def test_download_unpacks_lists_and_does_not_fetch_twice(div2k, tmp_path, capsys):
    assert lists.main(["--root", str(tmp_path), "--download", "div2k"]) == 0
    assert len(rows_of(tmp_path, "train")) == 3 + 1
    assert (tmp_path / "DIV2K_train_HR" / "0002.png").read_bytes() == png(noise(32, 32, 1))
    assert left_behind(tmp_path) == ["train_images.csv"]                      # no archive, no .part
    assert download.download(["div2k"], tmp_path) == [] and len(div2k.ranges) == 2
    (tmp_path / "DIV2K_train_HR" / "0002.png").unlink()                       # incomplete: it is fetched again
    assert download.download(["div2k"], tmp_path) == [] and len(div2k.ranges) == 3
    assert (tmp_path / "DIV2K_train_HR" / "0002.png").is_file()


def test_download_goes_on_where_it_was_interrupted(div2k, tmp_path):
    div2k.break_after = 1000
    problem, = download.download(["div2k"], tmp_path)
    assert "broke off" in problem and "it resumes from there" in problem
    assert (tmp_path / "HR.zip.part").stat().st_size == 1000 and (tmp_path / "DIV2K_train_LR_bicubic").is_dir()
    assert download.download(["div2k"], tmp_path) == []
    assert div2k.ranges == [None, None, "bytes=1000-"]
    assert left_behind(tmp_path) == []


def test_download_takes_a_broken_connection_up_by_itself(div2k, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 3)
    div2k.break_after = 777
    assert download.download(["div2k"], tmp_path) == []
    assert div2k.ranges == [None, "bytes=777-", None]


def test_download_from_a_server_without_range(div2k, tmp_path):
    div2k.has_ranges = False
    (tmp_path / "HR.zip.part").write_bytes(b"the beginning of it")
    assert download.download(["div2k"], tmp_path) == [] and div2k.ranges[0] == "bytes=19-"


def test_download_with_a_part_that_is_whole_or_too_long(div2k, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    (tmp_path / "HR.zip.part").write_bytes(div2k.files["HR.zip"])
    (tmp_path / "LR.zip.part").write_bytes(div2k.files["LR.zip"] + b"more")
    assert download.download(["div2k"], tmp_path) == [] and left_behind(tmp_path) == []


def test_download_with_the_wrong_md5(div2k, tmp_path):
    good = div2k.files["HR.zip"]
    div2k.files["HR.zip"] = good[:500] + bytes([good[500] ^ 1]) + good[501:]
    problem, = download.download(["div2k"], tmp_path)
    assert "MD5" in problem and "deleted" in problem
    assert left_behind(tmp_path) == [] and not (tmp_path / "DIV2K_train_HR").exists()
    assert (tmp_path / "DIV2K_train_LR_bicubic" / "X4").is_dir()              # the next archive was fetched


@pytest.mark.parametrize("kind, page", [("text/html; charset=utf-8", b"Please log in"),
                                        ("application/zip", b"\n<!DOCTYPE html><p>Please log in</p>")])
def test_download_of_a_web_page(div2k, tmp_path, kind, page):
    div2k.kind, div2k.files = kind, dict.fromkeys(div2k.files, page)
    problems = download.download(["div2k"], tmp_path)
    assert len(problems) == 2 and all("web page" in problem and "browser" in problem for problem in problems)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("status, words", [(404, "does not exist any more"), (403, "another network"), (503, "later")])
def test_download_http_errors(div2k, tmp_path, capsys, status, words):
    div2k.status = status
    assert lists.main(["--root", str(tmp_path), "--download", "div2k"]) == 1
    printed = capsys.readouterr().out
    assert printed.count(f"HTTP {status}") == 2 and words in printed and "put it at" in printed


def test_download_without_a_server(div2k, tmp_path, monkeypatch):
    monkeypatch.setitem(download.ARCHIVES, "div2k", [
        download.Archive("http://127.0.0.1:9/HR.zip", None, {"DIV2K_train_HR": 3})])
    problem, = download.download(["div2k"], tmp_path)
    assert "cannot be reached" in problem and "connection" in problem


def test_download_with_too_little_disk(div2k, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 1_000_000, 1_000_000))
    div2k.files["HR.zip"] = bytes(2_000_000)
    problem = download.download(["div2k"], tmp_path)[0]
    assert "4.2 MB" in problem and "1.0 MB" in problem and "--root" in problem
    assert not (tmp_path / "HR.zip.part").exists()


def bad_zip(kind):
    if kind == "link":
        info = zipfile.ZipInfo("DIV2K_train_HR/link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        return {"DIV2K_train_HR/0001.png": png(noise(32, 32)), info: b"/etc/passwd"}
    return {"DIV2K_train_HR/0001.png": png(noise(32, 32)), kind: b"evil"}


@pytest.mark.parametrize("kind", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "link"])
def test_download_of_an_archive_that_leads_outside(div2k, tmp_path, monkeypatch, kind):
    div2k.files["HR.zip"] = zipped(bad_zip(kind))
    monkeypatch.setitem(download.ARCHIVES, "div2k", [
        download.Archive(div2k.url + "HR.zip", None, {"DIV2K_train_HR": 1})])
    root = tmp_path / "data"
    problem, = download.download(["div2k"], root)
    assert "nothing was unpacked" in problem
    assert [p.name for p in tmp_path.rglob("*")] == ["data", "HR.zip"]


def test_download_from_a_server_that_says_nothing_more(div2k, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    div2k.seconds = 30
    begun = time.monotonic()
    problem = download.download(["div2k"], tmp_path)[0]
    assert "broke off" in problem and "it resumes from there" in problem and time.monotonic() - begun < 10
    div2k.seconds = 0
    assert download.download(["div2k"], tmp_path) == [] and left_behind(tmp_path) == []


def bomb(kind):
    """An archive of some kilobytes that unpacks to 50 MB, or to very many files."""
    buffer, zeros = io.BytesIO(), bytes(50_000_000)
    if kind == "tar":
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            info = tarfile.TarInfo("DIV2K_train_HR/0001.png")
            info.size = len(zeros)
            archive.addfile(info, io.BytesIO(zeros))
        return buffer.getvalue()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "files":
            for n in range(300):
                archive.writestr(f"DIV2K_train_HR/{n}.png", b"")
        else:
            archive.writestr("DIV2K_train_HR/0001.png", zeros)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "files"])
def test_download_of_a_bomb(server, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(download, "MOST_FILES", 200)
    name = "HR.tar" if kind == "tar" else "HR.zip"
    server.files = {name: bomb(kind)}
    assert len(server.files[name]) < 100_000
    monkeypatch.setitem(download.ARCHIVES, "div2k", [download.Archive(server.url + name, None, {"DIV2K_train_HR": 1})])
    problem, = download.download(["div2k"], tmp_path)
    assert "unpacks to more than" in problem and "was not unpacked" in problem and "source that you trust" in problem
    assert [path.name for path in tmp_path.rglob("*")] == [name]


@pytest.mark.parametrize("kind", ["link", "hard link", "absolute", "upwards", "device"])
def test_download_of_a_tar_that_leads_outside(server, tmp_path, monkeypatch, kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(
            {"absolute": "/evil.png", "upwards": "Set5/../../evil.png"}.get(kind, "Set5/HR/baby.png"))
        info.type = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}.get(
            kind, tarfile.REGTYPE)
        info.linkname = "../../../etc/passwd"
        archive.addfile(info)
    server.files = {"benchmark.tar": buffer.getvalue()}
    monkeypatch.setitem(download.ARCHIVES, "benchmark", [
        download.Archive(server.url + "benchmark.tar", None, {"Set5/HR": 1})])
    problem, = download.download(["benchmark"], tmp_path / "data")
    assert "nothing was unpacked" in problem
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "benchmark.tar"]


def test_a_disk_that_fills_while_unpacking_leaves_no_set(div2k, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch:
        patch.setattr(download, "refuse_bomb", full)         # called for each part that is written
        problems = download.download(["div2k"], tmp_path)
    assert len(problems) == 2 and all("No space left" in problem for problem in problems)
    assert lists.find_sets(tmp_path, 4) == {} and left_behind(tmp_path) == ["HR.zip", "LR.zip"]
    assert download.download(["div2k"], tmp_path) == []


def benchmark_tar(leave_out=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("benchmark/Set5/HR/baby.png", "benchmark/Set5/LR_bicubic/X4/babyx4.png"):
            if name not in leave_out:
                info, data = tarfile.TarInfo(name), png(noise(32, 32))
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_download_from_a_mirror(div2k, tmp_path):
    """--url is the folder that holds the archives; hash and resuming are as ever."""
    mirror = {f"mirrored/div2k/{name}": data for name, data in div2k.files.items()}
    div2k.files, div2k.break_after = mirror, 1000
    command = ["--root", str(tmp_path), "--download", "div2k", "--url", div2k.url + "mirrored/div2k/"]
    assert lists.main(command) == 1 and (tmp_path / "HR.zip.part").stat().st_size == 1000
    assert lists.main(command) == 0 and div2k.ranges[-1] == "bytes=1000-"
    assert len(rows_of(tmp_path, "train")) == 3 + 1


def test_archives_in_a_folder_are_taken_from_there(div2k, tmp_path, capsys):
    carried, root = tmp_path / "carried", tmp_path / "data"
    carried.mkdir()
    (carried / "HR.zip").write_bytes(div2k.files["HR.zip"])
    command = ["--root", str(root), "--download", "div2k", "--from", str(carried)]
    assert lists.main(command) == 1
    assert f"There is no LR.zip in {carried}, which holds HR.zip." in capsys.readouterr().out
    (carried / "LR.zip").write_bytes(div2k.files["LR.zip"])
    assert lists.main(command) == 0
    assert len(rows_of(root, "train")) == 3 + 1 and left_behind(root) == ["train_images.csv"]
    assert sorted(path.name for path in carried.iterdir()) == ["HR.zip", "LR.zip"]         # they are not ours to delete
    assert div2k.ranges == []                                                              # nothing was fetched


@pytest.mark.parametrize("md5, words", [("0" * 32, "has the MD5"), (None, "is damaged or incomplete")])
def test_a_damaged_archive_of_a_folder_is_refused_and_stays(div2k, tmp_path, monkeypatch, md5, words):
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "HR.zip").write_bytes(div2k.files["HR.zip"][:-40])
    monkeypatch.setitem(download.ARCHIVES, "div2k", [
        download.Archive(div2k.url + "HR.zip", md5, {"DIV2K_train_HR": 3})])
    problem, = download.download(["div2k"], tmp_path / "data", folder=carried)
    assert words in problem and f"Copy it to {carried} again." in problem and (carried / "HR.zip").is_file()
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("options", [["--url", "http://x/"], ["--from", "."], ["--url", "http://x", "--from", "."],
                                     ["--download", "div2k", "--url", "http://x/HR.zip"],
                                     ["--download", "div2k", "--url", "D:/archives"],
                                     ["--download", "div2k", "--from", "no_such_folder"]])
def test_a_mirror_or_folder_that_cannot_be_meant(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        lists.main(options)
    assert stopped.value.code == 2 and ("--url" in capsys.readouterr().err or "no_such_folder" in options)


@pytest.mark.parametrize("damage", ["none", "cut in a file", "cut between files", "no tar"])
def test_download_of_the_tar_of_test_sets(server, tmp_path, monkeypatch, damage):
    """It has no published MD5: it must be readable to its end and hold all its images."""
    whole = benchmark_tar()
    server.files = {"benchmark.tar": {"none": whole, "cut in a file": whole[:2000],
                                      "cut between files": whole[:whole.index(b"benchmark/Set5/LR")],
                                      "no tar": b"Sorry" * 1000}[damage]}
    monkeypatch.setitem(download.ARCHIVES, "benchmark", [
        download.Archive(server.url + "benchmark.tar", None, {"Set5/HR": 1, "Set5/LR_bicubic/X4": 1})])
    problems = download.download(["benchmark"], tmp_path)
    if damage == "none":
        assert problems == [] and [p.name for p in tmp_path.iterdir()] == ["benchmark"]
        assert lists.find_sets(tmp_path, 4)["Set5"].pairs
        assert download.download(["benchmark"], tmp_path) == [] and len(server.ranges) == 1
    else:
        assert "damaged or incomplete" in problems[0] and list(tmp_path.iterdir()) == []


def test_an_interrupted_unpacking_leaves_no_set(div2k, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt
    monkeypatch.setattr(download, "move_into", stop)
    with pytest.raises(KeyboardInterrupt):
        download.download(["div2k"], tmp_path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["HR.zip"] and lists.find_sets(tmp_path, 4) == {}


def test_the_published_archives_are_those_of_the_design():
    """The MD5 sums are in the table; all six sets are complete there."""
    div2k = {a.url.rsplit("/", 1)[1]: a.md5 for a in download.ARCHIVES["div2k"]}
    assert div2k["DIV2K_train_HR.zip"] == "bdc2d9338d4e574fe81bf7d158758658"
    assert div2k["DIV2K_train_LR_bicubic_X4.zip"] == "76c43ec4155851901ebbe8339846d93d"
    assert div2k["DIV2K_valid_HR.zip"] == "9fcdda83005c5e5997799b69f955ff88"
    assert div2k["DIV2K_valid_LR_bicubic_X4.zip"] == "21962de700c8d368c6ff83314480eff0"
    assert all(a.url.startswith("http") and a.holds for archives in download.ARCHIVES.values() for a in archives)


def test_sets_behind_a_link_are_left_out_with_the_way_to_list_them(tmp_path, capsys):
    make_set(tmp_path / "elsewhere" / "Set5", ["a", "b"])
    make_set(tmp_path / "data" / "Set14", ["c"])
    try:
        (tmp_path / "data" / "Set5").symlink_to(tmp_path / "elsewhere" / "Set5", target_is_directory=True)
    except OSError:
        pytest.skip("Windows makes links for administrators only")
    problem, = lists.list_images(tmp_path / "data")
    assert "2 images" in problem and "a link leads out" in problem and str(tmp_path / "elsewhere" / "Set5") in problem
    assert rows_of(tmp_path / "data", "Set14")[0].startswith("Set14/HR/c.png")
    assert not (tmp_path / "data" / "Set5_images.csv").exists()

    # The explicit option: these folders are then read, and no others.
    from support.lists import read_list
    assert "--follow-links" in problem and lists.main(["--root", str(tmp_path / "data"), "--follow-links"]) == 0
    assert "elsewhere" in (tmp_path / "data" / "linked_folders.txt").read_text(encoding="utf-8")
    assert len(read_list("Set5", EasyDict(csv_folder=tmp_path / "data"))) == 2
    assert lists.main(["--root", str(tmp_path / "data")]) == 0                         # remembered
    secret = write_image(tmp_path / "secret" / "s.png", noise(16, 16))
    (tmp_path / "data" / "s.png").symlink_to(secret)
    (tmp_path / "data" / "Set5_images.csv").write_text("s.png,Set5/LR_bicubic/X4/ax4.png\n", encoding="utf-8")
    with pytest.raises(lists.DataError, match="leads out of the data folder"):
        read_list("Set5", EasyDict(csv_folder=tmp_path / "data"))

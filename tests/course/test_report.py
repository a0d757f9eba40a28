"""The draft of the report: what the run folder holds is in it, the student's words are never overwritten."""

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course import __main__ as command
from course.check import prose
from course.report import WRITE_HERE
from course.report_parts import results_and_published
from support.files import write_atomically, write_csv
from support.records import LOG_COLUMNS
from support.run import save_config
from tests.helpers import ROOT, photo, png


@pytest.fixture
def kit(config, tmp_path):
    """A folder with a run of both stages, the table of one set and two figures."""
    config.name = "mine"
    save_config(config)
    rows = [dict(zip(LOG_COLUMNS, (stage, epoch, 10 * epoch, 1e-3, 0.02, "", "", "", "", 27 + epoch, 0.7, 30.0)))
            for stage in ("pretrain", "srgan") for epoch in (1, 2)]
    write_csv(Path("runs/mine/log.csv"), [LOG_COLUMNS, *([row[name] for name in LOG_COLUMNS] for row in rows)])
    write_csv(Path("runs/mine/benchmark.csv"), [
        ["set", "image", "bicubic_psnr", "bicubic_ssim", "srgan_psnr", "srgan_ssim"],
        ["Set5", "baby", 28, 0.8, 30, 0.9], ["Set5", "bird", 29, 0.7, 31, 0.8]])
    for name in ("pretrain", "Set5_contact_sheet"):
        write_atomically(Path(f"runs/mine/figures/{name}.png"), png(photo("coffee.png", 0, 0, 20, 30)))
    Path("handin.toml").write_text('student_id = "20260001"\nname = "<李华>"\nrun = "mine"\n', encoding="utf-8")
    return tmp_path


def test_the_draft_holds_settings_log_table_and_pictures(kit, capsys):
    assert command.main(["report"]) == 0
    text, page = (Path(f"report.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    for part in ("## 1.", "## 2.", "## 3.", "## 4."):
        assert part in text
    for word in ("| batch_size | 4 | 4 |", "| Set5 | 28.50 / 0.7500 | 30.50 / 0.8500 |", "29.00 dB / 0.7000",
                 "report_files/pretrain.png", "no srgan.png in figures/", "| Set14 | – | – |"):
        assert word in text, word
    assert text.count(WRITE_HERE) == 4 and WRITE_HERE in capsys.readouterr().out
    assert Path("report_files/pretrain.png").read_bytes() == Path("runs/mine/figures/pretrain.png").read_bytes()
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert [base64.b64decode(data) for data in pictures] == [Path("report_files/pretrain.png").read_bytes()] * 2
    assert "<李华>" not in page and "&lt;李华&gt;" in page and not re.search(r"(src|href)=\"(?!data:)", page)


def test_set14_has_a_row_for_each_way_to_measure_its_grey_image(kit):
    write_csv(Path("runs/mine/benchmark.csv"), [
        ["set", "image", "srgan_psnr", "srgan_ssim", "srgan_psnr_colour", "srgan_ssim_colour"],
        ["Set14", "baboon", 22, 0.5, 22, 0.5], ["Set14", "bridge", 24, 0.6, 25.5, 0.625]])
    header, *rows = results_and_published(Path("runs/mine/benchmark.csv"))
    place = {title: k for k, title in enumerate(header)}
    by_set = {row[0]: row for row in rows}
    values, colour = by_set["Set14"], by_set["Set14, colour formula"]
    assert rows.index(colour) == rows.index(values) + 1
    assert (values[1], colour[1]) == ("23.00 / 0.5500", "23.75 / 0.5625")
    for title, expected in (("SRResNet (paper)", ("28.49 / 0.8184", "–")), ("EDSR-baseline", ("–", "28.58 / 0.7813"))):
        assert (values[place[title]], colour[place[title]]) == expected
    assert by_set["Set5"][place["EDSR-baseline"]] == "32.09 / 0.8938"
    assert command.main(["report"]) == 0
    for text in (Path(f"report.{kind}").read_text(encoding="utf-8") for kind in ("md", "html")):
        assert "bridge" in text and "Set14, colour formula" in text
    assert "bridge" not in prose(Path("report.md").read_text(encoding="utf-8"))     # not the student's words


def test_a_table_of_an_older_kit_leaves_the_second_row_of_set14_empty(kit):
    write_csv(Path("runs/mine/benchmark.csv"), [["set", "image", "srgan_psnr", "srgan_ssim"],
                                                ["Set14", "bridge", 24, 0.6]])
    rows = {row[0]: row[1] for row in results_and_published(Path("runs/mine/benchmark.csv"))}
    assert (rows["Set14"], rows["Set14, colour formula"]) == ("24.00 / 0.6000", "–")


def test_what_a_student_has_written_is_not_overwritten(kit, capsys):
    Path("report.md").write_text("my words", encoding="utf-8")
    assert command.main(["report"]) == 2 and "--again" in capsys.readouterr().err
    assert Path("report.md").read_text(encoding="utf-8") == "my words"
    assert command.main(["report", "--again"]) == 0 and "## 4." in Path("report.md").read_text(encoding="utf-8")


def test_another_run_is_chosen_and_one_that_is_not_there_is_named(kit, capsys):
    Path("runs/mine").rename("runs/other")
    assert command.main(["report", "--run", "other"]) == 0
    assert command.main(["report", "--again"]) == 2 and "mine" in capsys.readouterr().err
    shutil.rmtree("runs")
    assert command.main(["report", "--again"]) == 2 and str(Path("runs", "mine")) in capsys.readouterr().err


@pytest.mark.slow
def test_the_students_commands_do_not_load_code_that_may_be_half_written():
    code = ("import sys, course.commands, course.report\n"
            "assert not {'models', 'solver', 'inference'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_draft_shows_what_psnr_cannot_see(kit, capsys):
    write_csv(Path("runs/mine/benchmark.csv"), [
        ["set", "image", *(f"{method}_{measure}" for method in ("bicubic", "srgan")
                           for measure in ("psnr", "ssim", "niqe")), "HR_niqe"],
        ["Set5", "baby", 28, 0.8, 8, 30, 0.9, 6, 5], ["Set5", "bird", 29, 0.7, 9, 31, 0.8, "nan", 4]])
    assert command.main(["report"]) == 0
    text = Path("report.md").read_text(encoding="utf-8")
    assert "| Set5 | NIQE ↓ |" in text
    assert "| bicubic | 8.50 |" in text and "| SRGAN (MSE) | 6.00 |" in text and "| HR | 4.50 |" in text

"""The draft of the report: what the run folder holds is in it, the student's words are never overwritten."""

import base64
import json
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
    # Captions in two languages stand upright, and are no words of the student's.
    assert "<em>" not in page and "预训练：损失" in page and "预训练：损失" not in prose(text)
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


# ---------------------------------------------------------------- again: what a student has written stays

def better_run():
    """The run was trained and measured again: other scores, another figure."""
    path = Path("runs/mine/benchmark.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("30,0.9", "34,0.96"), encoding="utf-8")
    write_atomically(Path("runs/mine/figures/pretrain.png"), png(photo("coffee.png", 40, 40, 20, 30)))


def again(*more):
    assert command.main(["report", "--again", *more]) == 0
    return [Path(f"report.{kind}").read_text(encoding="utf-8") for kind in ("md", "html")]


def test_again_keeps_every_word_and_picture_and_brings_the_tables_up_to_date(kit, capsys):
    assert command.main(["report"]) == 0
    text = Path("report.md").read_text(encoding="utf-8")
    words = [f"Words of mine, number {k}, about $10^{{-3}}$ & <b>a | b</b>." for k in range(4)]
    for word in words:                                           # in the places that are marked
        text = text.replace(WRITE_HERE, word, 1)
    between = "After the table, before the figures: 损失一直下降。"
    text = text.replace("<!-- end settings -->", f"<!-- end settings -->\n\n{between}")
    text = text.replace("## 4.", "## My own section\n\n![mine](report_files/mine.png)\n\n| a | b |\n|---|---|\n"
                                 "| 1 | 2 |\n\n## 4.") + "\nThe last line.\n"
    # An editor on Windows: other line ends, tables set anew.
    text = text.replace("| Set5 | 28.50", "|  Set5   |   28.50").replace("|---|", "| :--- |")
    Path("report.md").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    write_atomically(Path("report_files/mine.png"), png(photo("camera.png", 0, 0, 9, 9)))
    better_run()
    new, page = again()
    for word in (*words, between, "## My own section", "| 1 | 2 |", "![mine](report_files/mine.png)", "The last line."):
        assert new.count(word) == 1, word
    assert new.index(between) < new.index("begin pretrain") and new.index("| 1 | 2 |") < new.index("## 4.")
    assert new.count("28.50 / 0.7500 | 32.50 / 0.8800") == 1 and "30.50" not in new         # (34 + 31) / 2
    assert Path("report_files/pretrain.png").read_bytes() == Path("runs/mine/figures/pretrain.png").read_bytes()
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert pictures.count(Path("report_files/mine.png").read_bytes()) == 1
    assert pictures.count(Path("report_files/pretrain.png").read_bytes()) == 1
    assert "Words of mine, number 3" in page and between in page and "32.50" in page and "30.50" not in page
    backup = next(Path("report_backup").iterdir())
    assert (backup / "report.md").read_bytes() == text.replace("\n", "\r\n").encode("utf-8-sig")
    assert (backup / "report.html").exists() and (backup / "report_files/pretrain.png").exists()
    assert backup.as_posix() in capsys.readouterr().out
    assert again()[0] == new                                     # and once more: nothing piles up
    assert "Words of mine" in prose(new) and "32.50" not in prose(new) and "20260001" not in prose(new)


def test_a_table_and_a_picture_that_were_changed_by_hand_stay_next_to_the_new_ones(kit, capsys):
    assert command.main(["report"]) == 0
    text = Path("report.md").read_text(encoding="utf-8")
    text = text.replace("| batch_size | 4 | 4 |", "| batch_size | 4 | 4 |\n| my trick | none | 7 |")
    Path("report.md").write_text(text, encoding="utf-8")
    drawn = png(photo("camera.png", 0, 0, 20, 30))                # arrows drawn into the kit's figure
    Path("report_files/pretrain.png").write_bytes(drawn)
    better_run()
    for _ in range(2):
        new, page = again()
        assert new.count("| my trick | none | 7 |") == 1 and new.count("| batch_size | 4 | 4 |") == 2
        assert Path("report_files/pretrain.png").read_bytes() == drawn
        assert new.count("(report_files/pretrain.png)") == 1 and new.count("(report_files/pretrain_2.png)") == 1
        new_figure = Path("report_files/pretrain_2.png").read_bytes()
        assert new_figure == Path("runs/mine/figures/pretrain.png").read_bytes()
        assert all(base64.b64encode(data).decode() in page for data in (drawn, new_figure))
    assert "settings: you have changed this part" in capsys.readouterr().out


def test_a_part_that_was_deleted_stays_away_until_it_is_asked_for(kit, capsys):
    assert command.main(["report"]) == 0
    text = re.sub(r"<!-- begin networks .*?end networks -->", "", Path("report.md").read_text(encoding="utf-8"),
                  flags=re.DOTALL)
    Path("report.md").write_text(text, encoding="utf-8")
    new, _ = again()
    assert "| G |" not in new and "Not in your report.md: networks." in capsys.readouterr().out
    Path("report.md").write_text(new + "<!-- begin networks -->\n<!-- end networks -->\n", encoding="utf-8")
    new, _ = again()
    assert new.rstrip().endswith("<!-- end networks -->") and new.count("| G |") == 1


def test_a_report_without_marks_stands_first_as_it_is(kit, capsys):
    mine = "# 我的报告\n\n| Set5 | 30.50 |\n\nmy words\n"
    Path("report.md").write_bytes(mine.encode("gb18030"))          # Notepad on a Chinese Windows
    write_atomically(Path("report_files/pretrain.png"), b"a picture of an older kit")
    new, _ = again()
    assert new.startswith(mine) and new.count("begin results") == 1 and WRITE_HERE not in new
    assert Path("report_files/pretrain.png").read_bytes() == b"a picture of an older kit"
    assert "(report_files/pretrain_2.png)" in new and "none of the marks" in capsys.readouterr().out


def test_marks_that_were_damaged_cost_no_word(kit):
    assert command.main(["report"]) == 0
    text = Path("report.md").read_text(encoding="utf-8")
    settings = re.search(r"<!-- begin settings .*?end settings -->", text, flags=re.DOTALL)[0]
    text = text.replace("<!-- end settings -->", "mine, in a part without end")
    Path("report.md").write_text(f"{text}\nmine, between two\n\n{settings}\n", encoding="utf-8")
    new, _ = again()
    assert new.count("mine, in a part without end") == new.count("mine, between two") == 1
    assert again()[0] == new


def test_a_page_that_was_changed_by_hand_keeps_its_words_and_gets_the_new_tables(kit, capsys):
    assert command.main(["report"]) == 0
    page = Path("report.html").read_text(encoding="utf-8")
    Path("report.html").write_text(page.replace(WRITE_HERE, "written into the page"), encoding="utf-8")
    better_run()
    for _ in range(2):
        _, page = again()
        assert page.count("written into the page") == 4 and page.count("32.50") == 1 and "30.50" not in page
        assert page.count(base64.b64encode(Path("report_files/pretrain.png").read_bytes()).decode()) == 1
    assert "report.html was changed by hand" in capsys.readouterr().out
    Path("report.html").write_text("<p>of an older kit</p>", encoding="utf-8")
    _, page = again()
    assert "32.50" in page and "of an older kit" not in page
    assert any("of an older kit" in path.read_text(encoding="utf-8")
               for path in Path("report_backup").glob("*/report.html"))


def test_several_runs_are_compared_and_remembered(kit, capsys):
    shutil.copytree("runs/mine", "runs/other")
    config = Path("runs/other/config.json")
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(settings | {"beta": 0.02}), encoding="utf-8")
    assert command.main(["report"]) == 0
    mine = Path("report.md").read_text(encoding="utf-8").replace(WRITE_HERE, "words")
    Path("report.md").write_text(mine, encoding="utf-8")
    new, page = again("--run", "mine", "--run", "other")
    assert "runs `mine`, `other`" in new and new.count("words") == 4
    compared = re.search(r"<!-- begin compared .*?end compared -->", new, flags=re.DOTALL)[0]
    assert re.search(rf"\| beta +\| {settings['beta']} +\| 0.02 ", compared)
    assert "report_files/compared_curves.png" in compared
    assert new.index("begin results") < new.index("begin compared") < new.index("## 3.")
    assert page.count("data:image/png;base64,") == 3 and "- one" not in prose(new)
    shutil.rmtree("runs/other/figures")
    assert "runs `mine`, `other`" in again()[0]                    # without --run: handin.toml's, and those of before
    assert "begin compared" in again("--run", "mine")[0]           # the old part stays: nothing is deleted
    assert "Not brought up to date: compared." in capsys.readouterr().out
    assert command.main(["report", "--again", "--run", "mine", "--run", "gone"]) == 2
    assert "gone holds no run" in capsys.readouterr().err

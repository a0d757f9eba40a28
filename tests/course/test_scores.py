"""From a class and simulated raters to the table: the true order comes back, faults in files are named."""

import csv
import json
import random

import numpy as np
import pytest
from easydict import EasyDict

from course import __main__ as command
from course.facts import SET5, read_facts
from course.gallery import KEY_COLUMNS, make_gallery, read_key
from course.gradebook import final_table
from course.scores import COLUMNS, STUDENT_COLUMNS, ScoresError, cell, evaluate, read_opinions
from tests.course.synthetic_class import complete, write_set5, write_zip

GALLERY = "abc"
QUALITY = {"HR": 4.6, "SRResNet": 3.4, "bicubic": 2.0}


def key_of(n_students):
    """A key as the gallery writes it, and the true quality of every picture."""
    rows, truth = {}, {}
    owners = [("student", f"S{k:02}", 1.6 + 2.6 * k / (n_students - 1)) for k in range(n_students)]
    owners += [("anchor", name, value) for name, value in QUALITY.items()]
    for kind, who, value in owners:
        for image in SET5:
            name = f"{who}_{image}"
            rows[name] = dict(zip(KEY_COLUMNS, (GALLERY, name, kind, who, image)))
            truth[name] = value
    return rows, truth


def simulate(folder, key, truth, n_raters=6, share=0.7, noise=0.6, seed=0):
    """A CSV file for each rater: biased by up to a point, noisy, with repeats and pairs."""
    rng, pick = np.random.default_rng(seed), random.Random(seed)
    paths, pictures = [], list(key)
    students = [name for name in pictures if key[name]["kind"] == "student"]
    for k in range(n_raters):
        bias, rows = rng.uniform(-1, 1), []
        seen = pick.sample(students, int(share * len(students))) + [n for n in pictures if key[n]["kind"] == "anchor"]
        pick.shuffle(seen)
        for name in seen + pick.sample(seen, 8):
            value = int(np.clip(round(truth[name] + bias + rng.normal(0, noise)), 1, 5))
            rows.append(("score", name, "", value))
        for _ in range(15):
            image = pick.choice(list(SET5))
            a, b = pick.sample([n for n in students if key[n]["image"] == image], 2)
            gap = truth[a] - truth[b] + rng.normal(0, noise)
            rows.append(("pair", a, b, "equal" if abs(gap) < 0.2 else "left" if gap > 0 else "right"))
        path = folder / f"opinions_R{k:02}.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows((GALLERY, f"R{k:02}", n, kind, a, b, value, 5.5, f"2026-11-21T10:{n // 60:02}:{n % 60:02}")
                             for n, (kind, a, b, value) in enumerate(rows))
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def opinions(tmp_path_factory):
    key, truth = key_of(20)
    return key, truth, simulate(tmp_path_factory.mktemp("opinions"), key, truth)


def test_the_true_order_of_the_students_comes_back(opinions):
    key, truth, paths = opinions
    result = evaluate(read_opinions(paths, key))
    found = [row["student"] for row in result["students"]]
    distance = [abs(k - (19 - int(name[1:]))) for k, name in enumerate(found)]
    assert np.mean(distance) < 1.5 and max(distance) <= 4
    for row in result["students"]:
        rank = 20 - int(row["student"][1:])
        assert row["rank_best"] - 1 <= rank <= row["rank_worst"] + 1 and row["low"] < row["mos"] < row["high"]
    assert result["order"] == [] and [row["student"] for row in result["anchors"]] == ["bicubic", "SRResNet", "HR"]
    bands = [row["band"] for row in result["students"]]
    assert bands == sorted(bands) and bands[0] == 1
    strengths = [row["pairs_strength"] for row in result["students"]]
    assert np.corrcoef(strengths, [row["mos"] for row in result["students"]])[0, 1] > 0.6
    assert all(row["repeats"] == 8 and row["repeat_difference"] < 1 for row in result["raters"])


def test_anchors_out_of_order_are_said(opinions, tmp_path):
    key, truth, _ = opinions
    upside_down = {name: 6 - value if key[name]["kind"] == "anchor" else value for name, value in truth.items()}
    result = evaluate(read_opinions(simulate(tmp_path, key, upside_down), key))
    assert result["order"] and "is not below" in result["order"][0]


def test_an_export_half_way_and_one_at_the_end_count_once(opinions, tmp_path):
    key, _, paths = opinions
    half = tmp_path / "half.csv"
    half.write_text("".join(paths[0].read_text(encoding="utf-8").splitlines(keepends=True)[:30]), encoding="utf-8")
    votes, _ = read_opinions([half, *paths], key)
    assert votes == read_opinions(paths, key)[0]


@pytest.mark.parametrize("old, new, fault", [
    ("abc,R00,0,", "xyz,R00,0,", "row 2.*gallery xyz"), (",score,", ",sorce,", "no vote"),
    ("gallery,rater", "a,b", "columns"), ("score,S", "score,T", "no picture 'T")])
def test_a_file_that_cannot_be_counted_is_refused_with_its_row(opinions, tmp_path, old, new, fault):
    key, _, paths = opinions
    path = tmp_path / "x.csv"
    path.write_text(paths[0].read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ScoresError, match=fault):
        read_opinions([path], key)


def test_the_command_writes_tables_and_a_figure(opinions, tmp_path, capsys):
    key, _, paths = opinions
    key_file = tmp_path / "key.csv"
    with open(key_file, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([KEY_COLUMNS, *(row.values() for row in key.values())])
    assert read_key(key_file) == key
    assert command.main(["scores", *map(str, paths), "--key", str(key_file), "--out", str(tmp_path / "out")]) == 0
    students = sorted({row["who"] for row in key.values() if row["kind"] == "student"})
    grades = [{"student_id": name, "name": name, "file": f"{name}.zip", "fault": "", "findings": [], "tests": [],
               "pictures": {}, "flags": []} for name in students]
    (tmp_path / "grades.json").write_text(json.dumps(grades), encoding="utf-8")
    pattern = str(paths[0].parent / "opinions_*.csv")           # as a Windows prompt hands it over
    assert command.main(["scores", pattern, "--key", str(key_file), "--out", str(tmp_path / "out"), "--grades",
                         str(tmp_path / "grades.json")]) == 0
    with open(tmp_path / "out/final.csv", encoding="utf-8-sig", newline="") as file:
        final = {row["student_id"]: row for row in csv.DictReader(file)}
    assert len(final) == 20 and float(final["S19"]["mos"]) > float(final["S00"]["mos"])
    assert "Mean opinion score" in (tmp_path / "out/feedback/S19.html").read_text(encoding="utf-8")
    with open(tmp_path / "out/students.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and tuple(rows[0]) == STUDENT_COLUMNS
    assert (tmp_path / "out/opinions.png").stat().st_size > 10_000
    assert "anchor HR" in capsys.readouterr().out


def test_points_rise_from_bicubic_to_srresnet(opinions):
    key, _, paths = opinions
    result = evaluate(read_opinions(paths, key))
    grades = [{"student_id": "S19", "name": "=1+1", "tests": [["a", 40, 50, "", "", ""]], "flags": ["-x"],
               "pictures": {name: {"psnr": 29.215, "ssim": 0.8} for name in SET5}},
              {"student_id": "S00", "name": "b", "tests": [], "flags": [], "pictures": {}}]
    header, best, worst = final_table(grades, result, read_facts("none"))
    assert dict(zip(header, best))["set5_scores"] == "30.0" and dict(zip(header, worst))["set5_scores"] == "0.0"
    assert dict(zip(header, best))["psnr_ssim"] == "5.0" and dict(zip(header, best))["hidden_tests"] == "16.0"
    assert dict(zip(header, best))["name"] == "'=1+1" and dict(zip(header, best))["flags"] == "'-x"


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx"])
def test_a_text_is_no_formula(text):
    assert cell(text) == "'" + text


# ---------------------------------------------------------------- gallery

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery of four hand-ins, one of them without pictures."""
    folder = tmp_path_factory.mktemp("gallery")
    data = write_set5(folder / "data")
    for student in range(4):
        files = complete(student, folder / "code")
        if student == 3:
            files = {name: content for name, content in files.items() if not name.startswith("results")}
        if student == 2:
            files["handin.toml"] = b'student_id = "<b>"\nname = "<script>alert(1)</script>"'
        write_zip(folder / "zips" / f"2026{student:04}.zip", files)
    faults, load = make_gallery(folder / "zips", folder / "page", folder / "key.csv", data, 3, 30, read_facts("none"),
                                seed=1)
    return EasyDict(folder=folder, faults=faults, load=load, key=read_key(folder / "key.csv"))


@pytest.mark.slow
def test_nothing_in_the_page_says_whose_a_picture_is(made):
    page = made.folder / "page"
    text = "".join(path.read_text(encoding="utf-8") for path in page.glob("*.*") if path.suffix in (".js", ".html"))
    for word in ("2026000", "同学", "script>alert", "bicubic", "SRResNet", "anchor"):
        assert word not in text
    names = {path.stem for path in (page / "pictures").iterdir()}
    assert {name for name in names if not name.startswith(("lr_", "hr_"))} == set(made.key)
    assert sorted(name for name, _ in made.faults) == ["20260002.zip", "20260003.zip"]


@pytest.mark.slow
def test_pictures_are_written_anew(made):
    from PIL import Image
    for path in (made.folder / "page" / "pictures").iterdir():
        with Image.open(path) as image:
            assert image.mode == "RGB" and image.format == "PNG" and not image.info


@pytest.mark.slow
def test_every_rater_gets_a_balanced_share_and_the_anchors(made):
    import json
    text = (made.folder / "page" / "trials.js").read_text(encoding="utf-8")
    data = json.loads(text.removeprefix("const GALLERY = ").rstrip().rstrip(";"))
    assert list(data["raters"]) == ["R01", "R02", "R03"]
    orders = set()
    for trials in data["raters"].values():
        first = [trial["picture"] for trial in trials if trial["kind"] == "score"]
        kinds = [made.key[name]["kind"] for name in first]
        assert kinds.count("anchor") >= 15 and kinds.count("student") >= 10
        assert [trial["kind"] for trial in trials][:8] == ["training"] * 8
        assert all(made.key[trial["picture"]]["image"] not in SET5 for trial in trials[:8])
        assert len(first) - len(set(first)) == 10                    # repeats
        for pair in (trial for trial in trials if trial["kind"] == "pair"):
            assert made.key[pair["picture"]]["image"] == made.key[pair["other"]]["image"]
            assert made.key[pair["picture"]]["who"] != made.key[pair["other"]]["who"]
        orders.add(tuple(first))
    assert len(orders) == 3 and made.load["minutes"] <= 30


def test_a_large_class_fits_into_half_an_hour(tmp_path):
    from course.gallery import Gallery
    gallery = Gallery(tmp_path, random.Random(0))
    gallery.add = lambda kind, who, image, picture: gallery.key.append((gallery.id, f"{who}{image}", kind, who, image))
    for kind, who in [("student", f"s{k}") for k in range(60)] + [("anchor", name) for name in QUALITY]:
        for image in SET5:
            gallery.add(kind, who, image, None)
            gallery.pictures[f"{who}{image}"] = {"image": image}
    load = gallery.assign(6, 30)
    assert load["minutes"] <= 30 and load["most"] - load["least"] <= 1 and load["least"] >= 2


@pytest.mark.slow
def test_a_gallery_that_is_there_is_not_overwritten(made):
    with pytest.raises(ValueError, match="there already"):
        make_gallery(made.folder / "zips", made.folder / "page", made.folder / "other.csv", made.folder / "data", 3, 30,
                     read_facts("none"))
    assert command.main(["gallery", str(made.folder / "zips"), "--out", str(made.folder / "new"), "--key",
                         str(made.folder / "new" / "key.csv"), "--data", str(made.folder / "data")]) == 2

"""From a class and simulated raters to the table: the true order comes back, faults in files are named."""

import csv
import json
import random

import numpy as np
import pytest
from easydict import EasyDict
from PIL import Image

from course import __main__ as command
from course.facts import SET5, read_facts
from course.gallery import KEY_COLUMNS, Gallery, as_png, make_gallery, padded, read_key
from course.gradebook import final_table
from course.opinions import ANCHORS
from course.scores import COLUMNS, STUDENT_COLUMNS, ScoresError, cell, evaluate, read_opinions, summary, write_scores
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
    gallery = key[pictures[0]]["gallery"]
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
            writer.writerows((gallery, f"R{k:02}", n, kind, a, b, value, 5.5, f"2026-11-21T10:{n // 60:02}:{n % 60:02}")
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


def test_a_single_rater_gives_scores_without_intervals_and_bands(opinions, tmp_path, capsys):
    key, _, paths = opinions
    result = evaluate(read_opinions(paths[:1], key))
    assert "unknown" in summary(result) and "No bands" in summary(result) and "nan" not in summary(result)
    assert {row["band"] for row in result["students"]} == {1} and result["students"][0]["rank_worst"] > 10
    write_scores(result, tmp_path)
    with open(tmp_path / "students.csv", encoding="utf-8-sig", newline="") as file:
        assert {(row["low"], row["high"]) for row in csv.DictReader(file)} == {("", "")}


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
    for path in (made.folder / "page" / "pictures").iterdir():
        with Image.open(path) as image:
            assert image.mode == "RGB" and image.format == "PNG" and not image.info


@pytest.mark.slow
def test_every_rater_gets_a_balanced_share_and_the_anchors(made):
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


# ---------------------------------------------------------------- what else could tell whose a picture is

@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A gallery of 56 students with small pictures, on disk: 280 of them, and those of the anchors."""
    folder = tmp_path_factory.mktemp("blind")
    content = Gallery(folder / "page", random.Random(3))
    rng = np.random.default_rng(0)
    for image in SET5:
        content._add_image(image, np.zeros((32, 32, 3), np.uint8), rng.integers(0, 256, (128, 128, 3), np.uint8))
        for k in range(56):                        # of less and less detail
            flat = np.full((24, 24, 3), 99, np.uint8)
            flat[:24 - k // 3] = rng.integers(0, 256, (24 - k // 3, 24, 3), np.uint8)
            content.add("student", f"2026{k:04}", image, flat)
        for name in ANCHORS:
            content.add("anchor", name, image, rng.integers(0, 256, (24, 24, 3), np.uint8))
    content.assign(6, 30)
    content.write(folder / "key.csv", {"20260003": "李华"})
    return EasyDict(folder=folder, key=read_key(folder / "key.csv"))


def in_json(page):
    text = (page / "trials.js").read_text(encoding="utf-8")
    return list(json.loads(text.removeprefix("const GALLERY = ").rstrip().rstrip(";"))["pictures"])


CLUES = {"time of change": lambda path: path.stat().st_mtime_ns,
         "time of creation": lambda path: path.stat().st_ctime_ns,
         "number in the file system": lambda path: path.stat().st_ino, "size": lambda path: path.stat().st_size,
         "name": lambda path: path.name, "order in the data": lambda path: in_json(path.parents[1]).index(path.stem)}


@pytest.mark.parametrize("clue", CLUES)
def test_whose_a_picture_is_cannot_be_told_from_its_file(blind, clue):
    """Put in order by a clue, the pictures of each image are in the order of the students no oftener than by chance."""
    right, paths = 0, [path for path in (blind.folder / "page" / "pictures").iterdir() if path.stem in blind.key]
    for image in SET5:
        of_image = [path for path in paths if blind.key[path.stem]["image"] == image
                    and blind.key[path.stem]["kind"] == "student"]
        values = {path: CLUES[clue](path) for path in of_image}
        for descending in (False, True):
            guess = sorted(of_image, key=values.get, reverse=descending)
            if len(set(values.values())) > 1:
                right += sum(blind.key[path.stem]["who"] == f"2026{k:04}" for k, path in enumerate(guess))
                places = [int(blind.key[path.stem]["who"]) for path in guess]
                assert abs(np.corrcoef(places, range(56))[0, 1]) < 0.6            # 280 of 280 had 1
    assert right < 30                                                             # of 560; 10 by chance


def test_every_file_has_one_time_and_the_pictures_of_an_image_one_size(blind):
    page = blind.folder / "page"
    assert len({path.stat().st_mtime_ns for path in page.rglob("*")}) == 1
    for image in SET5:
        assert len({(page / "pictures" / f"{name}.png").stat().st_size for name, row in blind.key.items()
                    if row["image"] == image}) == 1


def test_a_padded_picture_is_the_same_picture_and_holds_nothing_else(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    (tmp_path / "x.png").write_bytes(padded(as_png(picture), 5000))
    with Image.open(tmp_path / "x.png") as image:
        image.load()
        assert (np.array(image) == picture).all() and not image.info and image.format == "PNG"


def test_the_names_of_pictures_do_not_follow_from_each_other(tmp_path, monkeypatch):
    """A generator whose numbers can be worked out from some of them would give away the order."""
    made = []
    monkeypatch.setattr("course.gallery.collect", lambda *_: ({"1": {}}, {}, []))
    monkeypatch.setattr("course.gallery.Gallery", lambda out, rng: made.append(rng) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_gallery(tmp_path, tmp_path / "page", tmp_path / "key.csv", tmp_path, 3, 30, read_facts("none"))
    assert isinstance(made[0], random.SystemRandom)


def test_the_key_has_names_opens_in_excel_and_old_keys_are_read(blind, tmp_path):
    text = (blind.folder / "key.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf") and "李华" in text.decode("utf-8")
    names = {row["who"]: row["name"] for row in blind.key.values()}
    assert names["20260003"] == "李华" and names["20260004"] == ""
    old = tmp_path / "old.csv"
    with open(old, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([KEY_COLUMNS, ("g", "p", "student", "'=x", "baby")])
    assert read_key(old)["p"]["who"] == "=x"


# ---------------------------------------------------------------- raters

def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("put_together", [False, True])
def test_two_raters_under_one_code_are_two_raters(opinions, tmp_path, put_together):
    key, _, paths = opinions
    first, second = rows_of(paths[0]), [{**row, "rater": "R00"} for row in rows_of(paths[1])]
    half = first[:40]
    files = [write_rows(tmp_path / "half.csv", half), write_rows(tmp_path / "other.csv", second),
             write_rows(tmp_path / "all.csv", first)]
    if put_together:
        files = [write_rows(tmp_path / "one.csv", first + second)]
    votes, _ = read_opinions([*files, *paths[2:]], key)
    assert votes == sorted(votes, key=lambda row: (row["rater"], int(row["trial"])))
    assert sum(row["rater"] == "R00" for row in votes) + sum(row["rater"] == "R00 (2)" for row in votes) == \
        len(first) + len(second)
    result = evaluate((votes, key))
    assert len(result["raters"]) == 6 and list(result["shared"]) == ["R00"]
    assert "several people scored under the code R00" in summary(result)
    apart = evaluate(read_opinions(paths, key))                    # no vote has another weight than under two codes
    assert [row["mos"] for row in result["students"]] == pytest.approx([row["mos"] for row in apart["students"]])


def test_who_has_changed_some_votes_is_still_one_rater(opinions, tmp_path):
    key, _, paths = opinions
    rows = rows_of(paths[0])
    changed = [{**row, "value": "5", "time": "2026-11-22T10:00:00"} if k % 3 == 0 and row["kind"] == "score" else row
               for k, row in enumerate(rows)]
    votes, _ = read_opinions([write_rows(tmp_path / "later.csv", changed), paths[0]], key)
    assert {row["rater"] for row in votes} == {"R00"} and len(votes) == len(rows)
    assert [row["value"] for row in votes] == [row["value"] for row in changed]


@pytest.mark.parametrize("column, value", [("trial", "x"), ("seconds", "5,5"), ("trial", "")])
def test_a_number_that_is_none_is_named(opinions, tmp_path, column, value):
    key, _, paths = opinions
    rows = rows_of(paths[0])
    rows[3][column] = value
    with pytest.raises(ScoresError, match="row 5"):
        read_opinions([write_rows(tmp_path / "x.csv", rows)], key)


def test_a_file_that_is_no_text_is_named(opinions, tmp_path):
    (tmp_path / "x.csv").write_bytes("评分".encode("gbk"))
    with pytest.raises(ScoresError, match="x.csv is not a text in UTF-8"):
        read_opinions([tmp_path / "x.csv"], opinions[0])


# ---------------------------------------------------------------- the final table

def graded(student, **more):
    return {"student_id": student, "name": "", "file": f"{student}.zip", "fault": "", "findings": [], "flags": [],
            "tests": [["a", 50, 50, "", "", ""]], "notes": [], "jail": "",
            "pictures": {name: {"psnr": 29.215, "ssim": 0.8} for name in SET5}, **more}


def test_the_final_table_has_a_total_and_everybody(opinions):
    key, _, paths = opinions
    facts = EasyDict(roster={"S19": "李华", "A07": "absent"}, points=read_facts("none").points)
    header, *lines = final_table([graded("S19"), graded("S99", fault="no zip file", tests=[], pictures={})],
                                 evaluate(read_opinions(paths, key)), facts)
    rows = {line[0]: dict(zip(header, line)) for line in lines}
    assert list(rows) == ["S19", "S99", "A07"] and all(len(line) == len(header) for line in lines)
    assert (rows["S19"]["name"], rows["S19"]["total"]) == ("李华", "55.0")           # 20 + 5 + 30, without the report
    assert (rows["A07"]["fault"], rows["A07"]["total"], rows["A07"]["name"]) == ("nothing handed in", "0.0", "absent")
    assert (rows["S99"]["fault"], rows["S99"]["set5_scores"]) == ("no zip file", "0.0")
    for row in rows.values():
        parts = [float(row[part] or 0) for part in ("hidden_tests", "psnr_ssim", "set5_scores", "report")]
        assert sum(parts) == pytest.approx(float(row["total"]))


@pytest.mark.parametrize("anchors", [[], [("bicubic", 2.0)], [("bicubic", 3.0), ("SRResNet", 3.0)],
                                     [("bicubic", 4.0), ("SRResNet", 3.0)]])
def test_anchors_that_raters_did_not_see_as_they_should_give_no_points(anchors):
    student = {"student": "S1", "mos": 3.5, "low": 3.0, "high": 4.0, "band": 1, "rank_best": 1, "rank_worst": 1}
    result = {"students": [student], "anchors": [{"student": name, "mos": mos} for name, mos in anchors]}
    header, line = final_table([graded("S1")], result, read_facts("none"))
    assert dict(zip(header, line))["set5_scores"] == "" and dict(zip(header, line))["total"] == "25.0"


def test_every_table_opens_in_excel_and_the_contact_sheet_has_names(blind, tmp_path, capsys):
    key, page = blind.key, blind.folder / "page"
    truth = {name: QUALITY.get(row["who"], 3.0) for name, row in key.items()}
    gallery = next(iter(key.values()))["gallery"]
    paths = [write_rows(path, [{**row, "gallery": gallery} for row in rows_of(path)])
             for path in simulate(tmp_path, key, truth, n_raters=3)]
    (tmp_path / "grades.json").write_text(json.dumps([graded("20260001", name="<王芳>")]), encoding="utf-8")
    (tmp_path / "course.toml").write_text('[roster]\n20260002 = "张伟"\n', encoding="utf-8")
    assert command.main(["scores", *map(str, paths), "--key", str(blind.folder / "key.csv"), "--gallery", str(page),
                         "--grades", str(tmp_path / "grades.json"), "--course", str(tmp_path / "course.toml"),
                         "--out", str(tmp_path / "out")]) == 0
    tables = sorted(path.name for path in (tmp_path / "out").glob("*.csv"))
    assert tables == ["final.csv", "pictures.csv", "raters.csv", "students.csv"]
    for name in tables:
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\xef\xbb\xbf"), name
    sheet = (tmp_path / "out" / "contact_sheet.html").read_text(encoding="utf-8")
    for name in ("&lt;王芳&gt;", "张伟", "李华"):               # of grades.json, the roster, the key
        assert name in sheet
    assert "contact_sheet.html: with names" in capsys.readouterr().out


def test_a_large_class_fits_into_half_an_hour(tmp_path):
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

"""The gradebook: grades.csv, the final table, and a page for each student."""

import json
from pathlib import Path
from statistics import fmean

from course.facts import SET5
from course.report import templates
from course.texts import RULES
from support.files import write_atomically, write_csv
from support.measures import MEASURES

OTHERS = ("niqe", "vgg16", "texture", "grid")            # of the Set5 results: grade.PERCEPTUAL
COLUMNS = ("student_id", "name", "file", "fault", "hidden_points", "set5_psnr", "set5_ssim",
           *(f"set5_{name}" for name in OTHERS), "check_faults", "check_warnings", "flags", "jail")
# The PSNR on Set5, in dB, for no points (bicubic interpolation) and for all points.
PSNR_FROM, PSNR_TO = 28.43, 30.0


def safe(value):
    """A value for a CSV file that people open in a spreadsheet, which would take "=..." for a formula."""
    text = str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_grades(path, rows, facts):
    """grades.csv: a row per hand-in, and a row for everybody on the roster who has not handed in."""
    table = [COLUMNS]
    for row in rows:
        dB, similarity = set5_means(row)
        means = [f"{dB:.2f}" if dB else "", f"{similarity:.4f}" if dB else "", *set5_others(row)]
        levels = [finding[1] for finding in row["findings"]]
        table.append([row["student_id"], row["name"] or facts.roster.get(row["student_id"], ""), row["file"],
                      row["fault"], hidden_points(row), *means, levels.count("fault"), levels.count("warning"),
                      "; ".join(row["flags"]), "; ".join([row.get("jail", ""), *row.get("notes", [])])])
    handed_in = {row["student_id"] for row in rows}
    table += [[student, name, "", "nothing handed in", 0, *[""] * (len(COLUMNS) - 5)]
              for student, name in facts.roster.items() if student not in handed_in]
    # With the byte order mark, Excel reads the file as UTF-8.
    write_csv(path, [[safe(value) for value in line] for line in table], encoding="utf-8-sig")


def hidden_points(row):
    return sum(test[1] for test in row["tests"])


def read_grades(path):
    """The rows of grades.json, which ``grade`` writes, without files in whose place another of the student counts.

    Raises:
        ValueError: for another file.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        if not all(isinstance(row, dict) and {"student_id", "tests", "pictures"} <= set(row) for row in rows):
            raise ValueError("rows of another kind")
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the grades.json that `python -m course grade` writes: {error}.") from error
    return [row for row in rows if row.get("counts", True)]


def final_table(grades, opinions, facts):
    """The table of all parts, header first.  The points are a suggestion; a person judges the report.

    Opinion scores: the points rise from none at the score of the anchor bicubic to all at that of SRResNet.
    """
    students = {row["student"]: row for row in opinions["students"]}
    anchors = {row["student"]: row["mos"] for row in opinions["anchors"]}
    table = [["student_id", "name", "hidden_tests", "psnr_ssim", "set5_scores", "report", "mos", "mos_low", "mos_high",
              "band", "rank", "set5_psnr", "set5_ssim", "flags"]]
    for row in grades:
        opinion = students.get(row["student_id"])
        score = share(opinion["mos"], anchors["bicubic"], anchors["SRResNet"]) if opinion else 0
        dB, similarity = set5_means(row)
        points = (facts.points.hidden_tests * hidden_points(row) / 100,
                  facts.points.psnr_ssim * share(dB, PSNR_FROM, PSNR_TO) if dB else 0, facts.points.set5_scores * score)
        votes = [f"{opinion[key]:.2f}" for key in ("mos", "low", "high")] if opinion else ["", "", ""]
        table.append([row["student_id"], row["name"], *(f"{value:.1f}" for value in points), "", *votes,
                      opinion["band"] if opinion else "",
                      f"{opinion['rank_best']} to {opinion['rank_worst']}" if opinion else "",
                      f"{dB:.2f}" if dB else "", f"{similarity:.4f}" if dB else "", "; ".join(row["flags"])])
    return [[safe(value) for value in line] for line in table]


def set5_means(row):
    """Mean (psnr, ssim) of the five results; (None, None) where one is missing, or a copy of HR, bicubic, ..."""
    if len(row["pictures"]) < len(SET5) or any(picture.get("copied") for picture in row["pictures"].values()):
        return None, None
    return tuple(fmean(picture[key] for picture in row["pictures"].values()) for key in ("psnr", "ssim"))


def set5_others(row):
    """The means of the perceptual measures as text, in the order of OTHERS; "" where the five do not all have one."""
    if set5_means(row)[0] is None:
        return [""] * len(OTHERS)
    values = {name: [picture[name] for picture in row["pictures"].values() if name in picture] for name in OTHERS}
    return [f"{fmean(of):.{MEASURES[name].digits}f}" if len(of) == len(SET5) else "" for name, of in values.items()]


def share(value, low, high):
    """0 at ``low``, 1 at ``high``, linear in between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def shown_measures(row):
    """(name, title with its arrow, digits) of the perceptual measures that a hand-in's Set5 results have."""
    return [(name, f"{MEASURES[name].title} {MEASURES[name].direction}", MEASURES[name].digits) for name in OTHERS
            if any(name in picture for picture in row["pictures"].values())]


def feedback_pages(folder, rows, opinions=None):
    """A page for each student: what was checked, tested and measured, and the opinion scores if there are any."""
    template, pages = templates(autoescape=True).get_template("feedback.html.j2"), []
    scores = {row["student"]: row for row in (opinions or {"students": []})["students"]}
    for row in rows:
        text = template.render(row=row, rules=RULES, set5=SET5, others=shown_measures(row),
                               opinion=scores.get(row["student_id"]), points=hidden_points(row),
                               anchors=(opinions or {}).get("anchors", []))
        pages.append(Path(folder, f"{Path(row['file']).stem}.html"))
        write_atomically(pages[-1], text.encode("utf-8"))
    return pages

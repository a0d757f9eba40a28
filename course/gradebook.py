"""The gradebook: grades.csv, the final table, and a page for each student."""

import json
from pathlib import Path
from statistics import fmean

from course.facts import DEFAULTS, SET5
from course.feedback import causes, fitting, page_names, to_fix
from course.report import templates
from course.texts import RULES
from support.files import write_atomically, write_csv
from support.measures import MEASURES

OTHERS = ("niqe", "vgg16", "texture", "grid")            # of the Set5 results: grade.PERCEPTUAL
COLUMNS = ("student_id", "name", "file", "fault", "hidden_points", "set5_psnr", "set5_ssim",
           *(f"set5_{name}" for name in OTHERS), "check_faults", "check_warnings", "flags", "jail")
# The PSNR on Set5, in dB, for no points (bicubic interpolation) and for all points.
PSNR_FROM, PSNR_TO = 28.43, 30.0
BOM = "utf-8-sig"        # of tables that people open: with the byte order mark, Excel reads them as UTF-8
FORMULAS = ("=", "+", "-", "@", "\t", "\r")             # how a spreadsheet's formula begins
NOTHING = "nothing handed in"


def safe(value):
    """A value for a CSV file that people open in a spreadsheet, which would take "=..." for a formula."""
    text = str(value)
    return "'" + text if text[:1] in FORMULAS else text


def unsafe(text):
    """The text that ``safe`` has made safe."""
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULAS else text


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
    table += [[student, name, "", NOTHING, 0, *[""] * (len(COLUMNS) - 5)]
              for student, name in facts.roster.items() if student not in handed_in]
    write_csv(path, [[safe(value) for value in line] for line in table], encoding=BOM)


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
    """The table of all parts, header first: a row per hand-in, and for everybody on the roster who has not handed in.

    The points are a suggestion; a person judges the report, which "total" does not hold yet.
    """
    students = {row["student"]: row for row in opinions["students"]}
    anchors = {row["student"]: row["mos"] for row in opinions["anchors"]}
    handed_in = {row["student_id"] for row in grades}
    absent = [{"student_id": student, "name": name, "fault": NOTHING, "tests": [], "pictures": {}, "flags": []}
              for student, name in facts.roster.items() if student not in handed_in]
    table = [["student_id", "name", "hidden_tests", "psnr_ssim", "set5_scores", "report", "total", "mos", "mos_low",
              "mos_high", "band", "rank", "set5_psnr", "set5_ssim", "fault", "flags"]]
    for row in [*grades, *absent]:
        opinion = students.get(row["student_id"])
        points = points_of(row, opinion, anchors, facts.points)
        dB, similarity = set5_means(row)
        votes = [*(number(opinion[key]) for key in ("mos", "low", "high")), opinion["band"],
                 f"{opinion['rank_best']} to {opinion['rank_worst']}"] if opinion else [""] * 5
        table.append([row["student_id"], row["name"] or facts.roster.get(row["student_id"], ""),
                      *("" if value is None else f"{value:.1f}" for value in points.values()), f"{total(points):.1f}",
                      *votes, f"{dB:.2f}" if dB else "", f"{similarity:.4f}" if dB else "", row.get("fault", ""),
                      "; ".join(row["flags"])])
    return [[safe(value) for value in line] for line in table]


def points_of(row, opinion, anchors, of):
    """{part: points, to one decimal, or None where nobody has judged yet}, in the order of ``of``'s table.

    Opinion scores: the points rise from none at the score of the anchor bicubic to all at that of SRResNet.  Where the
    raters did not see these two in this order, their scores give no points; nor do those of somebody else's images.

    Args:
        opinion: the student's row of ``scores``, or None.
        anchors: dict anchor -> mean score; None where the images have not been scored yet.
        of: dict part -> the most points.
    """
    dB, _ = set5_means(row)
    worst, best = ((anchors or {}).get(name) for name in ("bicubic", "SRResNet"))
    scores = None
    if worst is not None and best is not None and worst < best:
        is_own = not any(picture.get("copied") for picture in row["pictures"].values())
        scores = of["set5_scores"] * share(opinion["mos"], worst, best) if opinion and is_own else 0.0
    points = {"hidden_tests": of["hidden_tests"] * hidden_points(row) / 100,
              "psnr_ssim": of["psnr_ssim"] * share(dB, PSNR_FROM, PSNR_TO) if dB else 0.0,
              "set5_scores": scores, "report": None}
    return {part: None if value is None else round(value, 1) for part, value in points.items()}


def total(points):
    """The sum of the parts that have been judged."""
    return sum(value for value in points.values() if value is not None)


def number(value):
    """Two decimals; nothing for nan."""
    return f"{value:.2f}" if value == value else ""


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


def feedback_pages(folder, rows, opinions=None, points=None):
    """A page for each student: points and what to fix first; then what was tested, measured and checked.

    Args:
        opinions: the result of ``scores``, if the images have been scored.
        points: dict part -> the most points (default: those of a course.toml that says nothing).
    """
    template, pages, of = templates(autoescape=True).get_template("feedback.html.j2"), [], points or DEFAULTS["points"]
    scores = {row["student"]: row for row in (opinions or {"students": []})["students"]}
    anchors = (opinions or {}).get("anchors", [])
    known = {row["student"]: row["mos"] for row in anchors} if opinions else None
    for row, name in zip(rows, page_names(rows)):
        shown, opinion = fitting(row), scores.get(row["student_id"])
        failed = causes(shown["tests"])
        got = points_of(row, opinion, known, of)
        text = template.render(row=shown, rules=RULES, set5=SET5, others=shown_measures(row), opinion=opinion,
                               anchors=anchors, number=number, hidden=hidden_points(row), got=got, of=of,
                               total=total(got), of_total=sum(of[part] for part in got if got[part] is not None),
                               psnr=set5_means(row)[0], failed=failed, to_fix=to_fix(shown, failed))
        pages.append(Path(folder, f"{name}.html"))
        write_atomically(pages[-1], text.encode("utf-8"))
    return pages

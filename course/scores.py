"""From the raters' CSV files to mean opinion scores with intervals, ranks and bands, and to the final table."""

import base64
import glob
import io
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from course.facts import SET5, read_facts
from course.gallery import read_key
from course.gradebook import BOM, feedback_pages, final_table, read_grades, safe
from course.opinions import (
    ANCHORS,
    anchors_in_order,
    bands,
    bradley_terry,
    half_widths,
    means,
    rank_ranges,
    repeat_agreement,
    without_bias,
)
from course.report import templates
from course.votes import COLUMNS, ScoresError, read_opinions  # noqa: F401  others take them from here
from course.words import clean
from support.figures import as_png, table
from support.files import write_atomically, write_csv

STUDENT_COLUMNS = ("student", "mos", "low", "high", "rank_best", "rank_worst", "band", "votes", "pairs_strength",
                   *SET5)
MIN_RATERS = 3           # for bands


def scores_command(parser):
    parser.add_argument("csv", nargs="+", metavar="CSV", help="files that the raters exported, such as opinions_*.csv")
    parser.add_argument("--key", type=Path, required=True, help="the gallery's key")
    parser.add_argument("--grades", type=Path, help="the grades.json of `grade`, for the final table")
    parser.add_argument("--gallery", type=Path, help="the gallery's folder, for a contact sheet with names")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="default: %(default)s")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")

    def run(args):
        key, facts = read_key(args.key), read_facts(args.course)
        # On Windows the shell does not expand patterns.
        files = [Path(name) for text in args.csv for name in sorted(glob.glob(text)) or [text]]
        result = evaluate(read_opinions(files, key))
        grades = read_grades(args.grades) if args.grades else []
        write_scores(result, args.out)
        print(summary(result))
        if args.gallery:
            names = names_of(key, grades, facts)
            print(f"{contact_sheet(args.out / 'contact_sheet.html', result, key, args.gallery, names)}: with names")
        if args.grades:
            write_csv(args.out / "final.csv", final_table(grades, result, facts), encoding=BOM)
            pages = feedback_pages(args.out / "feedback", grades, result, facts.points)
            print(f"{args.out / 'final.csv'}; {len(pages)} feedback pages in {args.out / 'feedback'}")
        print(f"{args.out / 'students.csv'}, pictures.csv, raters.csv, opinions.png")
        return 0
    return run


# ---------------------------------------------------------------- evaluating

def evaluate(votes_and_key):
    """Everything that ``scores`` reports.

    Returns:
        dict: "students" and "anchors" (list of dicts, see STUDENT_COLUMNS), "pictures", "raters" (lists of dicts),
        "order" (faults in the anchors' order), "shared" (dict code -> files, where several people used one code).
    """
    votes, key = votes_and_key
    scored = [row for row in votes if row["kind"] == "score" and row["what"] != "training"]
    first, again = _repeats(scored)
    raters, names = (sorted({row[column] for row in first}) for column in ("rater", "picture"))
    r = np.array([raters.index(row["rater"]) for row in first])
    p = np.array([names.index(row["picture"]) for row in first])
    values = np.array([float(row["value"]) for row in first])
    quality, bias, corrected = without_bias(r, p, values)
    owners = sorted({(key[name]["kind"], key[name]["who"]) for name in names})
    images = sorted({key[name]["image"] for name in names})
    group = np.array([owners.index((key[name]["kind"], key[name]["who"])) for name in names])
    half = half_widths(r, p, corrected, group, np.array([images.index(key[name]["image"]) for name in names]))
    mos = means(group, quality, len(owners))
    pictures = _pictures(names, key, p, corrected, quality)
    rows = [{"student": who, "kind": kind, "mos": mos[k], "low": mos[k] - half[k], "high": mos[k] + half[k],
             "votes": int((group[p] == k).sum())} for k, (kind, who) in enumerate(owners)]
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in ("student", "anchor")}
    strengths = _strengths(votes, key, [row["student"] for row in by_kind["student"]])
    students = _students(by_kind["student"], pictures, strengths, len(raters))
    anchors = [row for name in ANCHORS for row in by_kind["anchor"] if row["student"] == name]
    return {"students": students, "anchors": anchors, "pictures": pictures,
            "raters": _raters(raters, bias, r, values, first, again), "shared": _shared(votes),
            "order": anchors_in_order({row["student"]: row["mos"] for row in anchors})}


def _students(rows, pictures, strengths, n_raters):
    """The rows of students.csv, the highest score first."""
    mos, low, high = (np.array([row[name] for row in rows]) for name in ("mos", "low", "high"))
    best, worst = rank_ranges(low, high)
    band = bands(mos, low, high) if n_raters >= MIN_RATERS else np.zeros(len(rows), int)
    of_picture = {(row["who"], row["image"]): row["mos"] for row in pictures if row["kind"] == "student"}
    rows = [{**row, "rank_best": int(best[k]), "rank_worst": int(worst[k]), "band": int(band[k]) + 1,
             "pairs_strength": strengths.get(row["student"], math.nan),
             **{image: of_picture.get((row["student"], image), math.nan) for image in SET5}}
            for k, row in enumerate(rows)]
    return sorted(rows, key=lambda row: -row["mos"])


def _shared(votes):
    """{code: names of the files} of the codes under which several people scored."""
    people = defaultdict(set)
    for row in votes:
        people[row["code"]].add(row["rater"])
    return {code: sorted({row["file"] for row in votes if row["code"] == code})
            for code, raters in people.items() if len(raters) > 1}


def _repeats(scored):
    """(first votes, {rater: list of (first, second)}); the second vote on a picture is only compared with the first."""
    seen, first, again = {}, [], defaultdict(list)
    for row in scored:
        place = row["rater"], row["picture"]
        if place in seen:
            again[row["rater"]].append((float(seen[place]["value"]), float(row["value"])))
        else:
            seen[place] = row
            first.append(row)
    return first, again


def _pictures(names, key, p, corrected, quality):
    """The mean score of each picture, with the normal interval of its votes."""
    rows = []
    for k, name in enumerate(names):
        own = corrected[p == k]
        half = 1.96 * own.std(ddof=1) / math.sqrt(len(own)) if len(own) > 1 else math.nan
        rows.append({"who": key[name]["who"], "kind": key[name]["kind"], "image": key[name]["image"],
                     "mos": quality[k], "low": quality[k] - half, "high": quality[k] + half, "votes": len(own)})
    return sorted(rows, key=lambda row: (row["kind"], row["who"], row["image"]))


def _raters(raters, bias, r, values, first, again):
    rows = []
    for k, name in enumerate(raters):
        agreement = repeat_agreement(*zip(*again[name])) if again[name] else repeat_agreement([], [])
        seconds = [float(row["seconds"] or 0) for row in first if row["rater"] == name]
        rows.append({"rater": name, "votes": int((r == k).sum()), "bias": bias[k], "spread": values[r == k].std(),
                     "median_seconds": float(np.median(seconds)), "repeats": agreement["n"],
                     "repeat_difference": agreement["mean_difference"], "repeats_within_one": agreement["within_one"],
                     "repeat_correlation": agreement["correlation"]})
    return rows


def _strengths(votes, key, students):
    """The Bradley-Terry log strength of each student who took part in pairs."""
    wins = np.zeros((len(students), len(students)))
    for row in votes:
        if row["kind"] == "pair":
            i, j = (students.index(key[row[column]]["who"]) if key[row[column]]["who"] in students else None
                    for column in ("picture", "other"))
            if i is None or j is None:
                continue
            share = {"left": 1.0, "equal": 0.5, "right": 0.0}[row["value"]]
            wins[i, j] += share
            wins[j, i] += 1 - share
    there = np.flatnonzero((wins + wins.T).sum(axis=1))
    strengths = bradley_terry(len(there), wins[np.ix_(there, there)]) if len(there) else []
    return {students[k]: float(value) for k, value in zip(there, strengths)}


# ---------------------------------------------------------------- writing

def write_scores(result, out):
    """Write students.csv, pictures.csv, raters.csv and the figure."""
    write_csv(out / "students.csv", [STUDENT_COLUMNS, *([cell(row[name]) for name in STUDENT_COLUMNS]
                                                        for row in result["students"])], encoding=BOM)
    for name in ("pictures", "raters"):
        rows = result[name]
        write_csv(out / f"{name}.csv", [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)],
                  encoding=BOM)
    write_atomically(out / "opinions.png", as_png(figure(result), dpi=110))


def cell(value):
    """A value for a table: numbers with two decimals, nothing for nan; texts that no spreadsheet takes for formulas."""
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else f"{value:.2f}"
    return safe(value)


def figure(result):
    """The students' scores in order, with intervals; the anchors as lines; the bands as shades."""
    students = result["students"]
    drawn = Figure(figsize=(8, 1.2 + 0.24 * len(students)))
    axes = drawn.subplots()
    places = np.arange(len(students))
    mos, low, high = (np.array([row[name] for row in students]) for name in ("mos", "low", "high"))
    for row in range(len(students)):
        if students[row]["band"] % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="0.93", zorder=0)
    axes.errorbar(mos, places, xerr=[mos - low, high - mos], fmt="o", markersize=4, linewidth=1.2, color="tab:blue")
    for anchor, style in zip(result["anchors"], (":", "-.", "--")):
        axes.axvline(anchor["mos"], color="grey", linestyle=style, linewidth=1,
                     label=f"{anchor['student']}: {anchor['mos']:.2f}")
    axes.set_yticks(places, [row["student"] for row in students], fontsize=8, parse_math=False)
    axes.set_ylim(len(students) - 0.5, -0.5)
    axes.set_xlim(0.8, 5.2)
    axes.set_xlabel("mean opinion score; two whose intervals do not touch differ (shades: bands)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return drawn


def names_of(key, grades, facts):
    """{student id: name}, from the hand-ins as far as they say it, else from the roster."""
    names = {**facts.roster, **{row["who"]: row["name"] for row in key.values() if row.get("name")}}
    return {**names, **{row["student_id"]: row["name"] for row in grades if row.get("name")}}


def contact_sheet(path, result, key, gallery, names=None):
    """All pictures with names and scores on one page, the highest score first; returns its path."""
    files = {(row["kind"], row["who"], row["image"]): Path(gallery, "pictures", f"{name}.png")
             for name, row in key.items()}
    scores = {(row["kind"], row["who"], row["image"]): row["mos"] for row in result["pictures"]}
    rows = []
    for kind, group in (("student", result["students"]), ("anchor", result["anchors"])):
        for row in group:
            places = [(kind, row["student"], image) for image in SET5]
            name = clean((names or {}).get(row["student"], "")) if kind == "student" else ""
            rows.append({"who": row["student"], "name": name, "kind": kind, "mos": row["mos"], "cells": [
                {"data": _jpeg(files[place]), "mos": scores[place]} if place in scores else None for place in places]})
    rows.sort(key=lambda row: -row["mos"])
    text = templates(autoescape=True).get_template("contact_sheet.html.j2").render(rows=rows, images=list(SET5))
    write_atomically(path, text.encode("utf-8"))
    return path


def _jpeg(path, height=150):
    with Image.open(path) as image:
        small = image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()


def summary(result):
    """What the command prints."""
    def interval(row):
        return f"{row['low']:.2f} to {row['high']:.2f}" if row["low"] == row["low"] else "unknown"
    rows = [[row["student"], f"{row['mos']:.2f}", interval(row), f"{row['rank_best']} to {row['rank_worst']}",
             str(row["band"]), str(row["votes"])] for row in result["students"]]
    lines = [table(["student", "score", "interval", "rank", "band", "votes"], rows), ""]
    lines += [f"anchor {row['student']}: {row['mos']:.2f} ({interval(row)})" for row in result["anchors"]]
    lines.append("Two whose intervals do not touch differ; the chance that this is wrong for any two here is 5 %.")
    if result["order"] or len(result["anchors"]) < len(ANCHORS):
        lines.append(f"WARNING: the anchors: {'; '.join(result['order']) or 'not all of them were scored'}. They show "
                     "whether raters saw what they should: look at raters.csv. Where bicubic is not below SRResNet, or "
                     "one of them is missing, the scores give no points.")
    if len(result["raters"]) < MIN_RATERS:
        lines.append(f"No bands: with fewer than {MIN_RATERS} raters the intervals mean little.")
    for code, files in result["shared"].items():
        lines.append(f"WARNING: several people scored under the code {code} ({', '.join(files)}). Each counts as a "
                     f"rater, the second one as {code} (2). If it was one person who began again, leave a file out.")
    for rater in result["raters"]:
        if rater["repeats"] and rater["repeat_difference"] > 1:
            lines.append(f"WARNING: {rater['rater']} differs by {rater['repeat_difference']:.2f} points "
                         "on average from the first votes on the same pictures.")
    return "\n".join(lines)

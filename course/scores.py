"""From the raters' CSV files to mean opinion scores with intervals, ranks and bands, and to the final table."""

import base64
import csv
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
from course.gradebook import feedback_pages, final_table, read_grades, safe
from course.opinions import (
    ANCHORS,
    anchors_in_order,
    bands,
    bootstrap,
    bradley_terry,
    interval,
    means,
    rank_ranges,
    repeat_agreement,
    without_bias,
)
from course.report import templates
from support.figures import as_png, table
from support.files import write_atomically, write_csv

COLUMNS = ("gallery", "rater", "trial", "kind", "picture", "other", "value", "seconds", "time")
STUDENT_COLUMNS = ("student", "mos", "low", "high", "rank_best", "rank_worst", "band", "votes", "pairs_strength",
                   *SET5)
MIN_RATERS = 3           # for bands


class ScoresError(ValueError):
    """Files that cannot be evaluated; the message names file and row."""


def scores_command(parser):
    parser.add_argument("csv", nargs="+", metavar="CSV", help="files that the raters exported, such as opinions_*.csv")
    parser.add_argument("--key", type=Path, required=True, help="the gallery's key")
    parser.add_argument("--grades", type=Path, help="the grades.json of `grade`, for the final table")
    parser.add_argument("--gallery", type=Path, help="the gallery's folder, for a contact sheet with names")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="default: %(default)s")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")

    def run(args):
        key = read_key(args.key)
        # On Windows the shell does not expand patterns.
        files = [Path(name) for text in args.csv for name in sorted(glob.glob(text)) or [text]]
        result = evaluate(read_opinions(files, key))
        write_scores(result, args.out)
        print(summary(result))
        if args.gallery:
            print(f"{contact_sheet(args.out / 'contact_sheet.html', result, key, args.gallery)}: with names")
        if args.grades:
            grades = read_grades(args.grades)
            rows = final_table(grades, result, read_facts(args.course))
            write_csv(args.out / "final.csv", rows)
            pages = feedback_pages(args.out / "feedback", grades, result)
            print(f"{args.out / 'final.csv'}; {len(pages)} feedback pages in {args.out / 'feedback'}")
        print(f"{args.out / 'students.csv'}, pictures.csv, raters.csv, opinions.png")
        return 0
    return run


# ---------------------------------------------------------------- reading

def read_opinions(paths, key):
    """The votes of all files: (list of dicts with the page's columns and the key's "who", "what", "image"; the key).

    Of a trial that a rater has exported several times (half-way and at the end, say) the latest vote counts.

    Raises:
        ScoresError: for another kind of file, another gallery, a picture that is not in the key, or a value that is
            not a vote.
    """
    latest = {}
    for path in paths:
        for number, row in enumerate(_rows(path), start=2):
            place = f"{path}, row {number}"
            if row["gallery"] != next(iter(key.values()))["gallery"]:
                raise ScoresError(f"{place}: it belongs to the gallery {row['gallery']}, the key to another one.")
            for column in ("picture", *(["other"] if row["kind"] == "pair" else [])):
                if row[column] not in key:
                    raise ScoresError(f"{place}: the key has no picture {row[column]!r}.")
            allowed = ("left", "equal", "right") if row["kind"] == "pair" else ("1", "2", "3", "4", "5")
            if row["kind"] not in ("training", "score", "pair") or row["value"] not in allowed:
                raise ScoresError(f"{place}: {row['kind']!r} with the value {row['value']!r} is no vote.")
            vote = (row["rater"], row["trial"])
            if vote not in latest or latest[vote]["time"] <= row["time"]:
                latest[vote] = {**row, "what": key[row["picture"]]["kind"], "who": key[row["picture"]]["who"],
                                "image": key[row["picture"]]["image"]}
    votes = sorted(latest.values(), key=lambda row: (row["rater"], int(row["trial"])))
    if not any(row["kind"] == "score" for row in votes):
        raise ScoresError("There is no score in these files: nobody got beyond the practice.")
    return votes, key


def _rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or set(reader.fieldnames) != set(COLUMNS):
            raise ScoresError(f"{path} does not have the columns of the page: {', '.join(COLUMNS)}.")
        yield from reader


# ---------------------------------------------------------------- evaluating

def evaluate(votes_and_key, n_bootstrap=1000, seed=0):
    """Everything that ``scores`` reports.

    Returns:
        dict: "students" and "anchors" (list of dicts, see STUDENT_COLUMNS), "pictures", "raters" (lists of
        dicts), "order" (faults in the anchors' order).
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
    group = np.array([owners.index((key[name]["kind"], key[name]["who"])) for name in names])
    samples = bootstrap(r, p, values, group, n_bootstrap, seed)
    mos, (low, high) = means(group, quality, len(owners)), interval(samples)
    result = {"anchors": [], "students": [], "order": [], "pictures": _pictures(names, key, p, corrected, quality),
              "raters": _raters(raters, bias, r, values, first, again)}
    students = [k for k, (kind, _) in enumerate(owners) if kind == "student"]
    best, worst = rank_ranges(samples[:, students])
    band = bands(mos[students], low[students], high[students])
    if len(raters) < MIN_RATERS:             # where two agree by chance, intervals have no width
        band = np.zeros_like(band)
    strengths = _strengths(votes, key, [owners[k][1] for k in students])
    of_picture = {(key[name]["kind"], key[name]["who"], key[name]["image"]): quality[k] for k, name in enumerate(names)}
    for place, k in enumerate(students):
        result["students"].append({
            "student": owners[k][1], "mos": mos[k], "low": low[k], "high": high[k], "rank_best": int(best[place]),
            "rank_worst": int(worst[place]), "band": int(band[place]) + 1, "votes": int((group[p] == k).sum()),
            "pairs_strength": strengths.get(owners[k][1], math.nan),
            **{image: of_picture.get((*owners[k], image), math.nan) for image in SET5}})
    result["students"].sort(key=lambda row: -row["mos"])
    for name in ANCHORS:
        if ("anchor", name) in owners:
            k = owners.index(("anchor", name))
            result["anchors"].append({"student": name, "mos": mos[k], "low": low[k], "high": high[k]})
    result["order"] = anchors_in_order({row["student"]: row["mos"] for row in result["anchors"]})
    return result


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
                                                        for row in result["students"])])
    for name in ("pictures", "raters"):
        rows = result[name]
        write_csv(out / f"{name}.csv", [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)])
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
    axes.set_yticks(places, [row["student"] for row in students], fontsize=8)
    axes.set_ylim(len(students) - 0.5, -0.5)
    axes.set_xlim(0.8, 5.2)
    axes.set_xlabel("mean opinion score, 95 % interval over raters (shades: bands)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return drawn


def contact_sheet(path, result, key, gallery):
    """All pictures with names and scores on one page, the highest score first; returns its path."""
    files = {(row["kind"], row["who"], row["image"]): Path(gallery, "pictures", f"{name}.png")
             for name, row in key.items()}
    scores = {(row["kind"], row["who"], row["image"]): row["mos"] for row in result["pictures"]}
    rows = []
    for kind, group in (("student", result["students"]), ("anchor", result["anchors"])):
        for row in group:
            places = [(kind, row["student"], image) for image in SET5]
            rows.append({"who": row["student"], "kind": kind, "mos": row["mos"], "cells": [
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
    rows = [[row["student"], f"{row['mos']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}",
             f"{row['rank_best']} to {row['rank_worst']}", str(row["band"]), str(row["votes"])]
            for row in result["students"]]
    lines = [table(["student", "score", "95 % interval", "rank", "band", "votes"], rows), ""]
    lines += [f"anchor {row['student']}: {row['mos']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
              for row in result["anchors"]]
    lines += [f"WARNING: the anchors are out of order: {fault}. Look at raters.csv." for fault in result["order"]]
    if len(result["raters"]) < MIN_RATERS:
        lines.append(f"No bands: with fewer than {MIN_RATERS} raters the intervals mean little.")
    for rater in result["raters"]:
        if rater["repeats"] and rater["repeat_difference"] > 1:
            lines.append(f"WARNING: {rater['rater']} differs by {rater['repeat_difference']:.2f} points "
                         "on average from the first votes on the same pictures.")
    return "\n".join(lines)

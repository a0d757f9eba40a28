"""Reads the CSV files that raters have exported from the gallery's page."""

import csv
import io
import re
from collections import defaultdict
from pathlib import Path

COLUMNS = ("gallery", "rater", "trial", "kind", "picture", "other", "value", "seconds", "time")


class ScoresError(ValueError):
    """Files that cannot be evaluated; the message names file and row."""


def read_opinions(paths, key):
    """The votes of all files: (list of dicts with the page's columns and the key's "who", "what", "image"; the key).

    Of a trial that a rater has exported several times (half-way and at the end, say) the latest vote counts.  Two
    people who scored under one code stay two: the second one is named "R01 (2)", and "code" says "R01".

    Raises:
        ScoresError: for another kind of file, another gallery, a picture that is not in the key, or a value that is
            not a vote.
    """
    people, votes = defaultdict(list), []
    for path in paths:
        for export in _exports(path, key):
            _add(people[next(iter(export.values()))["code"]], export)
    for code, persons in people.items():
        for number, person in enumerate(persons, start=1):
            votes += [{**row, "rater": code if number == 1 else f"{code} ({number})"} for row in person.values()]
    votes.sort(key=lambda row: (row["rater"], int(row["trial"])))
    if not any(row["kind"] == "score" for row in votes):
        raise ScoresError("There is no score in these files: nobody got beyond the practice.")
    return votes, key


def _exports(path, key):
    """What each rater has exported into a file: list of dicts trial -> row.

    A trial that comes twice under one code begins another one: somebody has put two files together.
    """
    exports = defaultdict(list)
    for number, row in enumerate(_rows(path), start=2):
        _check(row, key, f"{path}, row {number}")
        row = {**row, "code": row["rater"], "file": Path(path).name, "what": key[row["picture"]]["kind"],
               "who": key[row["picture"]]["who"], "image": key[row["picture"]]["image"]}
        place = next((export for export in exports[row["code"]] if row["trial"] not in export), None)
        if place is None:
            exports[row["code"]].append(place := {})
        place[row["trial"]] = row
    return [export for of_code in exports.values() for export in of_code]


def _add(persons, export):
    """Add an export to the person of this code whose votes it repeats; where it repeats nobody's, to a new one.

    Somebody who has changed a few votes since the last export is still the same person: half of them are enough.
    """
    for person in persons:
        shared = person.keys() & export.keys()
        same = sum(_identity(person[trial]) == _identity(export[trial]) for trial in shared)
        if 2 * same >= len(shared):
            person.update({trial: row for trial, row in export.items()
                           if trial not in person or person[trial]["time"] <= row["time"]})
            return
    persons.append(export)


def _identity(row):
    return row["value"], float(row["seconds"] or 0), row["time"]


def _check(row, key, place):
    if row["gallery"] != next(iter(key.values()))["gallery"]:
        raise ScoresError(f"{place}: it belongs to the gallery {row['gallery']}, the key to another one.")
    for column in ("picture", *(["other"] if row["kind"] == "pair" else [])):
        if row[column] not in key:
            raise ScoresError(f"{place}: the key has no picture {row[column]!r}.")
    allowed = ("left", "equal", "right") if row["kind"] == "pair" else ("1", "2", "3", "4", "5")
    if row["kind"] not in ("training", "score", "pair") or row["value"] not in allowed:
        raise ScoresError(f"{place}: {row['kind']!r} with the value {row['value']!r} is no vote.")
    if not re.fullmatch(r"[0-9]{1,6}", row["trial"]) or not re.fullmatch(r"[0-9]*\.?[0-9]*", row["seconds"]):
        raise ScoresError(f"{place}: trial {row['trial']!r} or seconds {row['seconds']!r} is no number.")


def _rows(path):
    """The rows of a file that the page has exported, or that a spreadsheet has saved again."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScoresError(f"{path} is not a text in UTF-8 ({error}). "
                          "Use the file as the page has exported it.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if reader.fieldnames is None or set(reader.fieldnames) != set(COLUMNS):
        raise ScoresError(f"{path} does not have the columns of the page: {', '.join(COLUMNS)}. "
                          "Use the file as the page has exported it.")
    for row in reader:
        yield {column: row[column] or "" for column in COLUMNS}          # a short row has None

"""What a student's page says: each cause once, what to fix first, and no word that a page should not show."""

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

from course.words import LONGEST, clean

# Files of the grader: a student who reads them inside the jail, and raises their text, does not find it on the page.
OWN = ("probes.py", "walk.py", "hidden.py", "questions.py", "jailed.py", "jail.py", "sandbox.py")
IN_THE_JAIL = re.compile(r"\b(?:probes|walk|jailed|jail)\.py\b")
LONG_ENOUGH = 16         # characters: shorter lines are alike by chance
NOT_TRIED = "not tried: before, "
MOST = 5                 # things to fix first


def page_names(rows):
    """A file name for each hand-in's page, without its ending: two that differ in the ending alone keep theirs."""
    stems = Counter(Path(row["file"]).stem.casefold() for row in rows)
    return [Path(row["file"]).stem if stems[Path(row["file"]).stem.casefold()] == 1 else row["file"] for row in rows]


def fitting(row):
    """A hand-in's row with texts that fit a page: cleaned, cut, without lines of the grader."""
    return {**row, **{key: told(row[key], longest=64) for key in ("student_id", "name")},
            "file": told(row["file"]), "fault": told(row["fault"], lines=3),
            "notes": [told(note) for note in row.get("notes", [])], "jail": told(row.get("jail", "")),
            "findings": [(rule, level, told(detail, lines=5)) for rule, level, detail in row["findings"]],
            "tests": [(*test[:5], message(test[5])) for test in row["tests"]]}


def told(text, lines=1, longest=LONGEST):
    """The last lines of a text as a page may show them."""
    return "\n".join(map(_without_own, clean(text, lines, longest).splitlines()))


def message(text):
    """Why a test failed: where in the student's code, and the error; not where in the grader's."""
    lines = [line for line in told(text, lines=6).splitlines() if not IN_THE_JAIL.search(line)]
    return "\n".join(lines) or ("it failed and did not say how" if text else "")


def _without_own(line):
    for own in own_lines():
        line = line.replace(own, "…")
    bare = line.strip(" …")                              # a line of the grader that was cut off
    return "…" if len(bare) >= LONG_ENOUGH and any(bare in own for own in own_lines()) else line


@lru_cache(maxsize=1)
def own_lines():
    """The lines of the grader's files, the longest first; imports are everybody's."""
    texts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in OWN]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    return sorted((line for line in lines if len(line) >= LONG_ENOUGH and not line.startswith(("import ", "from "))),
                  key=len, reverse=True)


def causes(tests):
    """The failed tests by what they failed for, the cause that cost most first.

    Returns:
        list of dicts: "lost" (points), "message", "tests" (of one cause, in their order).
    """
    found = {}
    for test in tests:
        _, got, of, _, _, text = test
        if got < of:
            cause = found.setdefault(_cause(text), {"lost": 0, "message": text.removeprefix(NOT_TRIED), "tests": []})
            cause["lost"] += of - got
            cause["tests"].append(test)
    return sorted(found.values(), key=lambda cause: -cause["lost"])


def _cause(text):
    """What is alike in the messages of tests that fail for one reason: the last place in the student's code, the error.

    Two probes reach the same line by different ways and with arrays of other sizes, so that ways and numbers of the
    error are left out.  A message of one line is a comparison, where the numbers are what it says.
    """
    lines = text.removeprefix(NOT_TRIED).splitlines()
    return (lines[-2], re.sub(r"\d+", "#", lines[-1])) if len(lines) > 1 else tuple(lines)


def to_fix(row, failed):
    """What to fix first: at most MOST pairs ("cause", one of ``causes``) or ("rule", name of one that is broken)."""
    broken = [rule for wanted in ("fault", "warning") for rule, level, _ in row["findings"] if level == wanted]
    return ([("cause", cause) for cause in failed[:3]] + [("rule", rule) for rule in dict.fromkeys(broken)])[:MOST]

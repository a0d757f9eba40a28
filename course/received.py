"""What came in, under the names that learning platforms give it, and whose it is.

Three things say whose a hand-in is: the file's name, to which the platform adds the id; handin.toml, into which anybody
can write anything; and the roster.  Where they disagree, it is flagged, and nobody takes another's place.
"""

import re
import unicodedata
from pathlib import Path

from course.words import clean

PACKED = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
ID_DIGITS = 6            # a shorter number in a file's name is a counter or a task


def received(folder):
    """The files that may be hand-ins, also those in a folder for each student, as Moodle packs them.

    Files of other kinds than .zip are among them; they are refused later, by name.

    Returns:
        (dict name -> path, names of what is no hand-in).  A name is unique, and can be that of a file and of a page.
    """
    files, others = {}, []
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("."):
            continue
        inside = [path] if _is_packed(path) else []
        if path.is_dir() and not (path / "handin.toml").exists():
            inside = [file for file in sorted(path.iterdir()) if _is_packed(file)]
        for file in inside:
            name = file.name if file is path else f"{path.name}_{file.name}"
            files[_unique(clean(name).replace("?", "_"), files)] = file
        if not inside:
            others.append(clean(path.name) + (" (a folder)" if path.is_dir() else ""))
    return files, others


def best_first(folder, roster):
    """The files that may be hand-ins, and unpacked ones, as a list of paths, in the order in which ``settle`` chooses.

    Of several of one student the first that can be opened is the one that counts.
    """
    files, _ = received(folder)
    packed = {path.parent for path in files.values()}
    others = [path for path in Path(folder).iterdir()
              if not path.name.startswith(".") and path not in {*files.values(), *packed}]
    paths = {**{path.name: path for path in others}, **files}
    named = {name: bool(id_in(name, roster) or (not roster and re.search(rf"\d{{{ID_DIGITS}}}", plain(name))))
             for name in paths}
    return [paths[name] for name in sorted(
        paths, key=lambda name: (named[name], paths[name].stat().st_mtime, name), reverse=True)]


def _is_packed(path):
    return path.is_file() and path.suffix.lower() in PACKED and not path.name.startswith(".")


def _unique(name, names):
    taken, n = {other.casefold() for other in names}, 1
    while name.casefold() in taken:                     # Windows and macOS see no difference between a.zip and A.ZIP
        n += 1
        name = f"{Path(name).stem.removesuffix(f' ({n - 1})')} ({n}){Path(name).suffix}"
    return name


def plain(text):
    """A text in the characters that a keyboard without Chinese gives: full-width digits become digits."""
    return unicodedata.normalize("NFKC", str(text)).strip()


def id_in(file, roster):
    """The one id of the roster that a file's name holds; "" if there is none, or more than one."""
    name = plain(Path(file).stem).casefold()
    for text in (name, re.sub(r"(?<=\d)[\s-]+(?=\d)", "", name)):        # "2021 010002"
        found = [student for student in roster if _holds(text, plain(student).casefold())]
        if len(found) == 1:
            return found[0]
    return ""


def _holds(text, student):
    around = "0-9" if student.isdigit() else "0-9a-z"        # "2021010002name" holds it, "12021010002" does not
    return bool(student) and re.search(rf"(?<![{around}]){re.escape(student)}(?![{around}])", text) is not None


def whose(file, claimed_id, claimed_name, roster):
    """(student id, flags) of one hand-in.

    Args:
        claimed_id, claimed_name: of handin.toml; "" where it says nothing.
        roster: dict id -> name; {} where the course has none.
    """
    by_file, stem = id_in(file, roster), clean(Path(file).stem)
    claimed = next((student for student in roster if plain(student).casefold() == plain(claimed_id).casefold()),
                   plain(claimed_id))
    if not roster:
        numbers = [number for number in re.findall(r"\d+", plain(stem)) if len(number) >= ID_DIGITS]
        if claimed:
            other = [number for number in numbers if claimed.isdigit() and len(number) == len(claimed)]
            return claimed, [] if not other or claimed in other else [
                f"handin.toml names {claimed}, the file's name {', '.join(other)}"]
        return numbers[0] if len(numbers) == 1 else stem, []
    if by_file:
        return by_file, [] if claimed in ("", by_file) else [
            f"handin.toml names {claimed}, the file's name {by_file}, who is taken for its owner"]
    if claimed not in roster:
        return claimed or stem, [f"{claimed or stem} is not in the roster"]
    name, known = plain(claimed_name), plain(roster[claimed])
    if not name or not known or name.casefold() == known.casefold():
        return claimed, []
    of_name = [student for student, other in roster.items() if plain(other).casefold() == name.casefold()]
    return of_name[0] if len(of_name) == 1 else claimed, [
        f"handin.toml names {claimed} and {claimed_name}; in the roster {claimed} is {roster[claimed]}"]


def settle(rows, roster):
    """Work out whose each hand-in is, and which of several files of a student counts.

    Sets "student_id", "name", "counts" and "whose" (flags) of each row, from "file", "claimed_id", "claimed_name",
    "fault" and "changed" (the file's time).
    """
    for row in rows:
        row["student_id"], row["whose"] = whose(row["file"], row["claimed_id"], row["claimed_name"], roster)
        row["counts"] = True
    for student in sorted({row["student_id"] for row in rows}):
        group = [row for row in rows if row["student_id"] == student]
        if len(group) > 1:
            _settle_group(student, group)
    for row in rows:
        row["name"] = roster.get(row["student_id"], "") or row["claimed_name"]


def _settle_group(student, group):
    """Several files under one id: somebody's twice, or of somebody who names another's id."""
    def confirmed(row):
        return bool(id_in(row["file"], {student: ""}))

    owners = names_of(row for row in group if confirmed(row))
    for row in group:
        if owners and not confirmed(row) and names_of([row]) - owners:
            row["student_id"] = clean(Path(row["file"]).stem)
            row["whose"].append(f"handin.toml names {student}, whose hand-in is another file")
    group = [row for row in group if row["student_id"] == student]
    for row in group:
        others = ", ".join(other["file"] for other in group if other is not row)
        row["whose"] += [f"another file has the same student id: {others}"] if others else []
    if len(names_of(group)) > 1 and not all(map(confirmed, group)):
        return                           # two people, and nothing says whose the id is: the flags have said so
    best = max(group, key=lambda row: (not row["fault"], confirmed(row), row["changed"], row["file"]))
    for row in group:
        if row is not best:
            row["counts"] = False
            row["whose"].append(f"does not count: {best['file']} does")


def names_of(rows):
    """The different names that handin.toml gives in these hand-ins."""
    return {plain(row["claimed_name"]).casefold() for row in rows} - {""}

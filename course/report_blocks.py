"""The parts of a report that the kit writes stand between marks; everything else is the student's, and stays.

    <!-- begin settings 1a2b3c4d -->
    | batch_size | 16 |
    <!-- end settings -->

The eight digits are a hash of what the kit wrote: with them it sees whether somebody has changed it since.
"""

import hashlib
import re
import shutil
import time
from pathlib import Path

MARKED = re.compile(r"<!-- begin ([\w.]+)(?: ([0-9a-f]{8}))? -->(.*?)<!-- end \1 -->", re.DOTALL)
ANY_MARK = re.compile(r"<!-- (?:begin|end) [\w.]+(?: [0-9a-f]{8})? -->\n?")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


def digest(text, folder):
    """A hash of a part and of the pictures in it; spaces and the lines of tables, which editors set anew, do not count.

    Args:
        folder: what the pictures' paths are relative to.
    """
    content = hashlib.sha256(re.sub(r"[\s|:-]+", "", text).encode("utf-8"))
    for name in PICTURE.findall(text):
        if (folder / name).is_file():
            content.update((folder / name).read_bytes())
    return content.hexdigest()[:8]


def block(name, text, folder):
    """A part with its marks; its pictures have to be on the disk."""
    return f"<!-- begin {name} {digest(text, folder)} -->\n\n{text.strip()}\n\n<!-- end {name} -->"


def is_as_written(match, folder):
    """Whether a marked part (a match of MARKED) is what the kit wrote, or empty."""
    return not match[3].strip() or match[2] == digest(match[3], folder)


def pictures_of_the_kit(text, folder):
    """The paths of the pictures that stand in parts as the kit wrote them: these may be replaced by newer ones."""
    return {name for match in MARKED.finditer(text) if is_as_written(match, folder)
            for name in PICTURE.findall(match[3])}


def refreshed(text, unchanged, blocks):
    """A report with new parts in the place of the old ones.

    A part that somebody has changed stays as it is, without marks, and the new one follows it.

    Args:
        text: the report.
        unchanged: set of the names of parts that are as the kit wrote them (found before pictures were replaced).
        blocks: dict name -> part with its marks.

    Returns:
        (text, names of parts that were changed and stayed, names for which the report has no place)
    """
    kept = []

    def new(match):
        name, content = match[1], ANY_MARK.sub("", match[3]).strip()
        if name not in blocks:
            return match[0]
        if name in unchanged:
            return blocks[name]
        kept.append(name)
        return f"{content}\n\n{blocks[name]}"
    places = {match[1] for match in MARKED.finditer(text)}
    return MARKED.sub(new, text), list(dict.fromkeys(kept)), [name for name in blocks if name not in places]


def unchanged_parts(text, folder):
    """The names of the parts that are as the kit wrote them wherever they stand."""
    states = {}
    for match in MARKED.finditer(text):
        states[match[1]] = states.get(match[1], True) and is_as_written(match, folder)
    return {name for name, state in states.items() if state}


def without_parts(text, folder):
    """A report without the parts that are as the kit wrote them, and without marks: the words of its author."""
    text = MARKED.sub(lambda match: "" if is_as_written(match, folder) else match[3], text)
    return ANY_MARK.sub("", text)


def back_up(folder, files):
    """Copy what a new report would replace to report_backup/<time>/; returns that folder, None where there is nothing.

    Args:
        folder: the kit.
        files: paths relative to it.
    """
    there = [name for name in files if (folder / name).is_file()]
    if not there:
        return None
    place = folder / "report_backup" / time.strftime("%Y-%m-%d_%H%M%S")
    while place.exists():                                # twice in a second
        place = place.with_name(f"{place.name}_")
    for name in there:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, place / name)
    return place


def free_name(folder, name, replaceable):
    """``name``, or with a number behind it: a picture that may be written without losing one of somebody's own.

    Args:
        replaceable: names of pictures that may be replaced.
    """
    path, number = Path(name), 1
    while name not in replaceable and (folder / name).exists():
        number += 1
        name = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
    return name

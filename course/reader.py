"""What a jail says of a hand-in's files, checked before it is used: the grader's own process opens none of them."""

import json
import math
import re
from pathlib import Path

import numpy as np

from course.facts import CODE, SET5
from course.received import whose
from course.sandbox import ROOT, copy_code, read_arrays, run_jailed
from course.texts import RULES
from course.unpack import UnpackError, check_size
from course.words import clean, clean_values

MAX_CODE = 4 * 2**20         # bytes of all code of a hand-in
MAX_LINES = 50_000           # own lines of code, findings, flags
CODE_NAME = re.compile(r"(?:support/)?[\w-][\w.-]{0,80}\.py")
LEVELS = ("ok", "warning", "fault", "absent")


class Reader:
    """Reads hand-ins in jails.

    Args:
        kit: a new folder, for a copy of the part of this kit that reads; no solution is in it.
        facts: ``read_facts(...)``.
        references: see ``set5_references``.
        limits: of the jail.
    """

    def __init__(self, kit, facts, references, limits):
        self.kit, self.facts, self.limits = Path(kit), facts, limits
        copy_code(ROOT, self.kit, leave_out=CODE)
        (self.kit / "course").mkdir()
        for path in (ROOT / "course").glob("*.py"):
            (self.kit / "course" / path.name).write_bytes(path.read_bytes())
        np.savez(self.kit / "references.npz", **{f"{image}|{kind}": array for image, by_kind in references.items()
                                                 for kind, array in by_kind.items()})

    def read(self, path, what, budget):
        """A Reading of a zip file, or of an unpacked folder; ``what`` is "all" or "pictures"."""
        path, reading = Path(path), Reading()
        try:
            check_size(path, self.facts.limits)
        except UnpackError as error:
            reading.fault = clean(error)
            return reading
        given = {} if path.is_dir() else {"handin.zip": path}
        shared = {"kit": self.kit, **({"handin": path.resolve()} if path.is_dir() else {})}
        ended, reading.mode = run_jailed("course.reading", [what, json.dumps(dict(self.facts.limits))], given,
                                         reading.take, self.limits, budget, shared=shared)
        reading.finish(ended, what, path.name)
        reading.claimed_id = reading.student_id
        reading.student_id = whose(path.name, reading.claimed_id, reading.name, self.facts.roster)[0]
        return reading


class Reading:
    """What is known of one hand-in.  Nothing in it is trusted more than its type and its size say."""

    def __init__(self):
        self.fault = self.student_id = self.claimed_id = self.name = self.mode = ""
        self.is_flat, self.is_known = False, False
        self.code, self.pictures, self.measured = {}, {}, {}
        self.flags, self.lines, self.findings, self.of_file = [], [], [], {}

    def take(self, name, content):
        """Take one message.

        Raises:
            ValueError: if it is none of those that reading.py sends.
        """
        kind, _, image = name.partition(".")
        if kind == "code":
            return self._take_code(content)
        if kind == "picture":
            return self._take_picture(image, read_arrays(content))
        try:
            value = clean_values(json.loads(content))
            getattr(self, f"_take_{kind}")(value)
        except (TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            raise ValueError(f"an answer that is none: {clean(kind)}") from error
        return None

    def _take_code(self, content):
        name, _, text = content.partition(b"\0")
        name = name.decode("utf-8", "replace")
        if sum(map(len, self.code.values())) + len(text) > MAX_CODE:
            raise ValueError(f"more than {MAX_CODE / 2**20:.0f} MiB of code")
        if CODE_NAME.fullmatch(name):
            self.code[name] = text
        else:
            self.flags.append(f"{clean(name)} has no name of a Python file, and was left out")

    def _take_picture(self, image, arrays):
        width, height = SET5.get(image, (0, 0))
        array = arrays.get("image")
        if array is None or array.dtype != np.uint8 or array.shape not in ((height, width, 3), (height, width)):
            raise ValueError("a picture of another size")
        self.pictures[image] = array

    def _take_fault(self, value):
        self.fault = clean(value, lines=3)

    def _take_who(self, value):
        self.student_id, self.name = (clean(value[key], longest=64) for key in ("student_id", "name"))
        self.is_known = True

    def _take_flat(self, value):
        self.is_flat = value is True

    def _take_flags(self, value):
        self.flags += [clean(flag) for flag in value][:MAX_LINES]

    def _take_lines(self, value):
        self.lines = _hashes(value)

    def _take_of_file(self, value):
        name, hashes = value
        if name in CODE:
            self.of_file[name] = _hashes(hashes)

    def _take_measured(self, value):
        name, found = value
        numbers = {key: float(found[key]) for key in ("psnr", "ssim")}
        if name not in SET5 or not all(map(math.isfinite, numbers.values())):
            raise ValueError("a score that is none")
        self.measured[name] = {**numbers, "copied": found["copied"] is True}

    def _take_findings(self, value):
        self.findings = [[rule, level, clean(detail, lines=5)] for rule, level, detail in value[:MAX_LINES]
                         if rule in RULES and level in LEVELS]

    def finish(self, ended, what, file):
        """Note what is missing because the process was ended."""
        why = ended or "reading it ended without a result"
        if not self.is_known and not self.fault:
            self.fault = f"{clean(file)} could not be read: {why}"
        elif what == "all" and not self.findings and not self.fault:
            self.findings = [["files", "fault", f"its documents could not be read: {why}"]]
        elif what == "pictures" and len(self.pictures) < len(SET5) and not self.fault:
            self.fault = f"its pictures could not be read: {why}"


def _hashes(value):
    return [line for line in value if re.fullmatch(r"[0-9a-f]{16}", line)][:MAX_LINES]

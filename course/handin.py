"""A hand-in: where its parts are, in a student's kit and in an unpacked zip file."""

import hashlib
import json
import re
import unicodedata
from pathlib import Path, PurePosixPath

from course.facts import CODE, NOTEBOOKS, tomllib

INFO = "handin.toml"
OF_THE_RUN = ("config.json", "log.csv", "provenance.json", "benchmark.csv")
REPORTS = ("report.md", "report.docx", "report.pdf")
PICTURES = {".png", ".jpg", ".jpeg"}
MANIFEST = "manifest.json"
EDITION = "course/edition.json"          # in the student edition: a hash of each Python file that students were given


class HandInError(ValueError):
    """A folder that cannot be handed in at all; the message says why."""


class HandIn:
    """The parts of a hand-in.

    In the student's kit they lie where the notebooks wrote them (``runs/<run>/...``); in a zip file the
    files of the run are in ``run/`` and the five results in ``results/Set5/``.

    Args:
        folder: the kit, or the unpacked zip file.

    Raises:
        HandInError: if there is no such folder, or its handin.toml cannot be read.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise HandInError(f"There is no folder {self.folder}.")
        self.student_id, self.name, self.run_name = self._info()
        self.is_kit = not (self.folder / MANIFEST).exists() and (
            (self.folder / "runs").is_dir() or (self.folder / EDITION).exists())      # before the first run, too
        self.run = self.folder / "runs" / self.run_name if self.is_kit else self.folder / "run"
        self.results = (self.run if self.is_kit else self.folder) / "results" / "Set5"

    def _info(self):
        try:
            info = tomllib.loads(decoded((self.folder / INFO).read_bytes()))
        except FileNotFoundError:
            info = {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
            raise HandInError(f"{self.folder / INFO} is not a TOML file in UTF-8: {error}.") from error
        student_id, name, run = (str(info.get(key, "")).strip() for key in ("student_id", "name", "run"))
        # An input method for Chinese may write full-width digits, and people group digits by spaces.
        student_id = re.sub(r"(?<=\d)\s+(?=\d)", "", unicodedata.normalize("NFKC", student_id))
        for key, value in (("student_id", student_id), ("run", run)):
            if value and not re.fullmatch(r"[\w.-]{1,64}", value) or value in (".", ".."):
                raise HandInError(f"{self.folder / INFO}: {key} = {value!r} may hold only letters, digits, '-', '_' "
                                  "and '.'.")
        return student_id, name, run or "course"

    @property
    def reports(self):
        """The paths of the reports that are there: a draft may lie beside the real one."""
        return [self.folder / name for name in REPORTS if (self.folder / name).is_file()]

    def pictures(self):
        """The results on Set5: file name without .png -> path."""
        return {path.stem: path for path in sorted(self.results.glob("*.png"))}

    def code(self):
        """The Python files that are handed in: path inside the zip file -> (path here, "", "changed" or "new").

        models.py and solver.py always; of the other files that students were given those that differ from what was
        given; and every file that the student has added, at the top level or in support/.  Where the list of what was
        given is missing, as in the teacher's complete kit, nothing can be compared, and nothing must be lost: then
        every file is handed in.
        """
        given, files = self.given(), code_files(self.folder)
        if given is None:
            return {name: (path, "") for name, path in files.items()}
        states = {name: "new" if name.as_posix() not in given else
                  "" if text_hash(path) == given[name.as_posix()] else "changed" for name, path in files.items()}
        return {name: (path, states[name]) for name, path in files.items() if states[name] or name.as_posix() in CODE}

    def given(self):
        """The hashes of the Python files that the student was given, by path; None where they are not known."""
        try:
            files = json.loads((self.folder / EDITION).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return files if isinstance(files, dict) else None

    def contents(self):
        """What is handed in: path inside the zip file -> path here, sorted."""
        found = {name: path for name, (path, _) in self.code().items()}
        found |= {PurePosixPath(name): self.folder / name for name in (*NOTEBOOKS, *REPORTS, INFO)}
        found |= {PurePosixPath("run", name): self.run / name for name in OF_THE_RUN}
        found |= {PurePosixPath("results/Set5", path.name): path for path in self.pictures().values()}
        for part in ("report_files", "extensions"):       # images of the report; code of further methods
            kinds = PICTURES if part == "report_files" else {".py"}
            found |= {PurePosixPath(part, path.name): path for path in (self.folder / part).glob("*")
                      if path.suffix.lower() in kinds}
        return {name: found[name] for name in sorted(found) if found[name].is_file() and not found[name].is_symlink()}


def decoded(content):
    """The text of a file that was saved by any editor: UTF-8, or what Windows calls Unicode and ANSI (here GBK)."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")


def code_files(folder):
    """The Python files of a kit or a hand-in, at its top level and in support/: path inside -> path, sorted."""
    paths = sorted([*Path(folder).glob("*.py"), *Path(folder, "support").glob("*.py")])
    return {PurePosixPath(path.relative_to(folder).as_posix()): path for path in paths
            if path.is_file() and not path.is_symlink()}


def text_hash(path):
    """A hash of a text file, the same whichever way its lines end."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()

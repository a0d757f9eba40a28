"""A hand-in: where its parts are, in a student's kit and in a zip file that was unpacked."""

import re
from pathlib import Path, PurePosixPath

from course.facts import NOTEBOOKS, tomllib

INFO = "handin.toml"
OF_THE_RUN = ("config.json", "log.csv", "provenance.json", "benchmark.csv")
REPORTS = ("report.md", "report.docx", "report.pdf")
PICTURES = {".png", ".jpg", ".jpeg"}
MANIFEST = "manifest.json"


class HandInError(ValueError):
    """A folder that cannot be handed in at all; the message says why."""


class HandIn:
    """The parts of a hand-in.

    In the student's kit they lie where work has left them (``runs/<run>/...``); in a zip file the
    run's files are in ``run/`` and the five pictures in ``results/Set5/``.

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
        self.is_kit = not (self.folder / MANIFEST).exists() and (self.folder / "runs").is_dir()
        self.run = self.folder / "runs" / self.run_name if self.is_kit else self.folder / "run"
        self.results = (self.run if self.is_kit else self.folder) / "results" / "Set5"

    def _info(self):
        try:
            info = tomllib.loads((self.folder / INFO).read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            info = {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise HandInError(f"{self.folder / INFO} is not a TOML file in UTF-8: {error}.") from error
        student_id, name, run = (str(info.get(key, "")).strip() for key in ("student_id", "name", "run"))
        for key, value in (("student_id", student_id), ("run", run)):
            if value and not re.fullmatch(r"[\w.-]{1,64}", value) or value in (".", ".."):
                raise HandInError(f"{self.folder / INFO}: {key} = {value!r} is not made of letters, digits, '-', '_' "
                                  "and '.'.")
        return student_id, name, run or "course"

    @property
    def report(self):
        """The report's path, or None."""
        return next((self.folder / name for name in REPORTS if (self.folder / name).is_file()), None)

    def pictures(self):
        """The PNG files of Set5, name without ending -> path."""
        return {path.stem: path for path in sorted(self.results.glob("*.png"))}

    def contents(self):
        """What is handed in: path inside the zip file -> path here, sorted."""
        found = {PurePosixPath(path.name): path for path in self.folder.glob("*.py")}
        found |= {PurePosixPath(name): self.folder / name for name in (*NOTEBOOKS, *REPORTS, INFO)}
        found |= {PurePosixPath("run", name): self.run / name for name in OF_THE_RUN}
        found |= {PurePosixPath("results/Set5", path.name): path for path in self.pictures().values()}
        for part in ("report_files", "extensions"):       # pictures of the report; code of further methods
            kinds = PICTURES if part == "report_files" else {".py"}
            found |= {PurePosixPath(part, path.name): path for path in (self.folder / part).glob("*")
                      if path.suffix.lower() in kinds}
        return {name: found[name] for name in sorted(found) if found[name].is_file() and not found[name].is_symlink()}

"""A run as it lies on the disk: settings, log, scores and images, for those who compare runs (nothing is computed)."""

import csv
import json
import math
from pathlib import Path
from statistics import fmean

from easydict import EasyDict

from metrics import three_channels
from support.images import read_image
from support.lists import DataError, fit_pair, read_list


class RunMissing(ValueError):
    """There is no such run; the message names those that are there."""


class StoredRun:
    """What runs/<name>/ holds.  A file that is missing is no error: ``lacks`` says so, in a sentence each.

    Attributes:
        settings: dict "pretrain.lr" -> value, from config.json.
        log: dict stage -> list of dicts column -> float, a row for each epoch.
        scores: the rows of benchmark.csv: dict (set, image) -> dict column -> text.
        lacks: list of sentences.

    Raises:
        RunMissing: if there is no such folder, or nothing of a run in it.
        ValueError: for a file that cannot be read; the message names it.
    """

    def __init__(self, name, runs="runs"):
        self.folder = Path(name) if Path(name).name != str(name) else Path(runs, name)
        self.name, self.lacks = self.folder.name, []
        files = ("config.json", "log.csv", "benchmark.csv")
        if not any((self.folder / file).is_file() for file in files):
            there = sorted({path.parent.name for file in files for path in self.folder.parent.glob(f"*/{file}")})
            raise RunMissing(f"{self.folder.as_posix()} holds no run: none of {', '.join(files)} is there. Runs in "
                             f"{self.folder.parent.as_posix()}: {', '.join(there) or 'none; run train.ipynb first'}.")
        self.config = self._json("config.json", "its settings are not shown; training writes it")
        self.settings = dict(flat(self.config))
        starts = self._json("provenance.json", "what code and data it was made with is not known")
        self.origin = starts[-1] if isinstance(starts, list) and starts else {}
        self.log = self._log()
        self.scores = {(row["set"], row["image"]): row for row in self._csv(
            "benchmark.csv", f"it has no scores; run test.ipynb with run_name = {self.name!r}")}

    def _json(self, file, without):
        path = self.folder / file
        if not path.is_file():
            self.lacks.append(f"{self.name} has no {file}: {without}.")
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path.as_posix()} cannot be read ({error}). Move it away to compare without "
                             "it.") from error

    def _csv(self, file, without):
        path = self.folder / file
        if not path.is_file():
            self.lacks.append(f"{self.name} has no {file}: {without}.")
            return []
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as opened:
            rows = list(csv.DictReader(opened))
        key = "stage" if file == "log.csv" else "set"
        if rows and key not in rows[0]:
            raise ValueError(f"{path.as_posix()}: its first row has no column {key!r}: a spreadsheet may have saved it "
                             "with semicolons. Save it with commas, or move it away to compare without it.")
        return rows

    def _log(self):
        rows, by_stage = self._csv("log.csv", "it has no curves; train.ipynb writes it"), {}
        for row in rows:
            by_stage.setdefault(row["stage"], []).append(
                {name: number(text) for name, text in row.items() if name and name != "stage"})
        return by_stage

    def methods(self):
        """The methods that benchmark.csv has scores of, in its order, bicubic too."""
        columns = next(iter(self.scores.values()), {})
        return [name.removesuffix("_psnr") for name in columns if name and name.endswith("_psnr")]

    def result(self, method, set_name, image):
        """The image that a method has left, uint8 (H, W, 3); None where there is none."""
        folder = self.folder / "results" if method == "srgan" else self.folder / "results" / method
        path = folder / set_name / f"{image}.png"
        return read_image(path)[0] if path.is_file() else None

    def pair(self, set_name, image):
        """LR, uint8 (h, w, 3), and HR, uint8 (s h, s w, 3) or (s h, s w), by the lists that the run used.

        Returns None where they are not on this machine.
        """
        if not {"csv_folder", "scaling_factor"} <= set(self.config):
            return None
        try:
            pair = next(pair for pair in read_list(set_name, EasyDict(self.config)) if pair.hr.stem == image)
            hr, lr = read_image(pair.hr)[0], read_image(pair.lr)[0]
            (height, width), (h, w) = fit_pair(hr.shape, lr.shape, self.config["scaling_factor"])
        except (DataError, ValueError, StopIteration):
            return None
        return three_channels(lr)[:h, :w], hr[:height, :width]


def flat(settings, prefix=""):
    """("pretrain.lr", 0.0002) and so on, of a dict of dicts."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def number(text):
    """A cell of a table as float; NaN where it is empty or no number."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


# ---------------------------------------------------------------- several runs

def stages_of(stored):
    """The stages that any run has logged; pre-training comes first."""
    stages = dict.fromkeys(stage for run in stored for stage in run.log)
    return sorted(stages, key=lambda stage: stage != "pretrain")


def sets_of(stored):
    return list(dict.fromkeys(name for run in stored for name, _ in run.scores))


def methods_of(stored):
    return list(dict.fromkeys(method for run in stored for method in run.methods()))


def common_images(stored, set_name):
    """The images of a set that each run which has the set has measured, and whether these are all."""
    by_run = [[image for name, image in run.scores if name == set_name] for run in stored]
    by_run = [images for images in by_run if images]
    common = [image for image in by_run[0] if all(image in images for images in by_run)]
    return common, all(len(images) == len(common) for images in by_run)


def mean_of(run, set_name, images, column):
    """The mean of a column of benchmark.csv over these images; None where there is none."""
    values = [number_in(run, set_name, image, column) for image in images]
    values = [value for value in values if not math.isnan(value)]
    return fmean(values) if values else None


def number_in(run, set_name, image, column):
    """A cell of benchmark.csv as float; NaN where there is none."""
    return number(run.scores.get((set_name, image), {}).get(column))

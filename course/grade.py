"""Check, test and measure a folder of hand-ins; whatever is wrong with one of them, the others are graded."""

import hashlib
import json
import re
import traceback
from collections import namedtuple
from datetime import datetime
from math import isfinite
from pathlib import Path

from tqdm import tqdm

from config import get_config
from course.check import set5_references
from course.facts import CODE, read_facts
from course.flags import as_handed_out, between_students, edition_lines
from course.flat_edition import unpack_flat_edition
from course.gradebook import feedback_pages, write_grades
from course.guard import Guard
from course.handin import HandIn
from course.hidden import PROBES, judge, make_inputs, packed, read_bundle, unfitting
from course.reader import Reader
from course.sandbox import LIMITS, ROOT, WEAK, Budget, copy_code, run_probes, scratch_folder, strongest
from course.words import clean
from datasets import SRDataset
from inference import load_generator
from support.checkpoints import shipped_names
from support.enlarging import super_resolve
from support.files import save_image, write_atomically
from support.measures import available, measured

PACKED = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
VERSION = 5              # of the kept results: a hand-in whose result is of another version is graded again
JAILS = {"": "none needed", "plain": WEAK, "namespaces": "namespaces of its own", "bubblewrap": "bubblewrap"}
UNTRUSTED = "not to be trusted: files of the kit were changed; fetch it again, and grade on a system with a jail"
# What each hand-in is measured against.  points: of the bundle; given: hashes of the lines that students were given;
# flat: folder of the flat edition; limits: of the jail; reader: a Reader; hr: dict image of Set5 -> uint8 (H, W, 3).
Measures = namedtuple("Measures", "points given flat facts limits reader hr")
PERCEPTUAL = ["niqe", "vgg16", "texture", "grid"]        # of each Set5 result, see support/measures.py


def grade_command(parser):
    parser.add_argument("zips", type=Path, help="folder of the zip files")
    parser.add_argument("--hidden", type=Path, required=True, help="the bundle that `release` has written")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the lists with Set5")
    parser.add_argument("--out", type=Path, default=Path("grading"), help="default: %(default)s")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")

    def run(args):
        rows = grade(args.zips, args.hidden, args.data, args.out, read_facts(args.course))
        faulty = sum(bool(row["fault"]) for row in rows)
        print("Jail · 隔离方式: " + ", ".join(sorted({JAILS.get(row["jail"], row["jail"]) for row in rows})))
        print(f"{len(rows)} hand-ins, {faulty} of them could not be opened. {args.out / 'grades.csv'}; a page for each "
              f"in {args.out / 'students'}")
        return 0
    return run


def grade(zips, bundle, data, out, facts, progress=True, limits=LIMITS):
    """Grade every zip file of a folder; a run that was stopped resumes.

    Returns:
        list of dicts, see ``grade_one``; also kept as out/grades.json, out/grades.csv and out/students/<file>.html.

    Raises:
        JailError: if code of students cannot be run here at all.
    """
    points = read_bundle(bundle)
    mode, why = strongest()
    if progress and mode == "plain":
        print(f"{WEAK} ({why}).")
    if progress:
        print("Upscaling Set5 with the generators that come with the kit, to compare with ...", flush=True)
    references = with_shipped(set5_references(data), data)
    paths, others = packed_files(zips)
    if others:
        print(f"Not graded, because they are no archives: {', '.join(others)}")
    if not paths:
        raise ValueError(f"There is no zip file in {zips}.")
    rows = []
    with scratch_folder() as scratch:
        (scratch / "flat").mkdir()
        flat = unpack_flat_edition(scratch / "flat")
        reader = Reader(scratch / "kit", facts, references, limits)
        measures = Measures(points, edition_lines(ROOT) | edition_lines(flat), flat, facts, limits, reader,
                            {name: by_kind["HR"] for name, by_kind in references.items()})
        guard = Guard([ROOT, flat, reader.kit]) if mode == "plain" else None
        for path in tqdm(paths, desc="Grading", unit="hand-in", disable=not progress):
            rows.append(_kept_or_graded(path, bundle, measures, out, guard))
    flags = between_students(rows, {row["file"]: pictures_of(out, row["file"]) for row in rows})
    for row in rows:
        row["flags"] = row["own_flags"] + flags.get(row["file"], [])
    write_grades(Path(out, "grades.csv"), rows, facts)
    text = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(Path(out, "grades.json"), text.encode("utf-8"))
    feedback_pages(Path(out, "students"), rows, points=facts.points)
    return rows


def _kept_or_graded(path, bundle, measures, out, guard):
    """The row of a hand-in.  What was graded after the kit's own files were changed is not kept."""
    kept = Path(out, "kept", f"{path.name}.json")
    label = [VERSION, _sha256(path), _sha256(bundle)]
    row = _read_kept(kept, label)
    if row is None:
        row = grade_one(path, measures, pictures_of(out, path.name))
        changed = guard.changed() if guard else []
        if changed:
            row["own_flags"].append(f"{UNTRUSTED}: {', '.join(changed[:5])}")
            row["jail"] = UNTRUSTED
        else:
            write_atomically(kept, json.dumps([label, row], ensure_ascii=False).encode("utf-8"))
    return row


def packed_files(folder):
    """(files that may be hand-ins, names of the others); .rar and the like are refused later, by name."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith("."))
    packed = [path for path in files if path.suffix.lower() in PACKED]
    return packed, [path.name for path in files if path not in packed]


def pictures_of(out, file):
    """The folder in which the images of a hand-in are kept."""
    return Path(out, "kept", "pictures", file)


def with_shipped(references, data):
    """The references, and the results on Set5 of the generators that come with the kit."""
    import extensions  # noqa: F401  some of them are networks of extensions/, which register themselves
    dataset = SRDataset("Set5", get_config("course", data))
    for weights in shipped_names():
        generator = load_generator(weights)
        if hasattr(generator, "n_steps"):        # diffusion gives another image for each seed: none to compare with
            continue
        for i, name in enumerate(dataset.names):
            references[name.lower()][f"the kit's {weights}"] = super_resolve(generator, dataset.pair(i)[0])
    return references


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _read_kept(path, label):
    try:
        found, row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if found == label else None


def grade_one(path, measures, pictures):
    """Everything about one hand-in that needs no other one, as plain values.

    Args:
        pictures: the folder in which its Set5 results are kept.

    Returns:
        dict: "file", "student_id", "name", "fault" (why it could not be opened, or ""), "findings", "tests",
        "notes" (on the jail), "jail" (its kind), "pictures" (of each image psnr, ssim, copied and the perceptual
        measures), "own_flags", "lines" (hashes of its own lines of code).
    """
    row = {"file": clean(path.name), "student_id": clean(path.stem), "name": "", "fault": "", "findings": [],
           "tests": [], "notes": [], "jail": "", "pictures": {}, "own_flags": [], "lines": []}
    try:
        row["own_flags"] += late(path, measures.facts.course.deadline)
        budget = Budget(measures.limits)
        reading = measures.reader.read(path, "all", budget)
        row["jail"] = reading.mode
        if reading.fault:
            row["fault"] = reading.fault
            return row
        row["student_id"], row["name"] = reading.student_id or row["student_id"], reading.name
        if measures.facts.roster and row["student_id"] not in measures.facts.roster:
            row["own_flags"].append(f"{row['student_id']} is not in the roster")
        row["own_flags"] += reading.flags
        row["findings"], row["pictures"] = reading.findings, reading.measured
        row["lines"] = sorted(set(reading.lines) - measures.given)
        for name, picture in reading.pictures.items():
            save_image(pictures / f"{name}.png", picture)          # for the comparison between students
            if name in row["pictures"] and picture.shape == measures.hr[name].shape:
                row["pictures"][name] |= perceptual(picture, measures.hr[name])
        _test(row, reading, measures, budget)
    except Exception as error:       # a fault of the grader itself stops nothing either, but has to be seen
        place = traceback.extract_tb(error.__traceback__)[-1]
        row["fault"] = (f"the grader itself failed here: {Path(place.filename).name}, line {place.lineno}: "
                        f"{type(error).__name__}: {clean(error)}")
    return row


def perceptual(picture, hr):
    """dict measure -> value of a Set5 result; a measure that is not installed, or has no value here, is left out."""
    values = measured(picture, hr, available(PERCEPTUAL)[0])
    return {name: value for name, value in values.items() if isfinite(value)}


def _test(row, reading, measures, budget):
    """Run the hidden tests on the code of a hand-in."""
    with scratch_folder() as scratch:
        folder = scratch / "handin"
        for name, content in reading.code.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        folder.mkdir(exist_ok=True)
        kit = measures.flat if reading.is_flat else ROOT
        code = assemble(HandIn(folder), scratch / "code", kit)
        inputs = make_inputs()
        outcome = run_probes(code, packed(inputs), PROBES, limits=measures.limits, budget=budget)
    untouched = [name for name, hashes in reading.of_file.items() if as_handed_out(name, hashes, kit)]
    row["tests"] = [list(verdict) for verdict in judge(outcome.arrays, inputs, outcome.failures, measures.points,
                                                       untouched)]
    row["own_flags"] += unfitting(outcome.arrays, inputs) + missing_packages(outcome.failures)
    row["notes"] = outcome.notes


def missing_packages(failures):
    """A flag for each package that a hand-in imports and this machine lacks: that is no fault of the student."""
    found = {name for why in failures.values() for name in re.findall(r"No module named '([\w.]{1,60})'", why)}
    return [f"it needs the package {name}, which is not installed here; install it and grade again, if your course "
            "allows it" for name in sorted(found)]


def late(path, deadline):
    """A flag if the file was last changed after the deadline; copying the file may have changed its time."""
    if deadline is None:
        return []
    changed = datetime.fromtimestamp(path.stat().st_mtime, deadline.tzinfo)
    return [f"the file is dated {changed:%Y-%m-%d %H:%M}, after the deadline"] if changed > deadline else []


def assemble(handin, folder, kit=ROOT):
    """The code that runs in the jail: the student's files over those of the kit that the student had."""
    copy_code(kit, folder, leave_out=CODE)
    copy_code(handin.folder, folder)
    return folder

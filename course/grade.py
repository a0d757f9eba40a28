"""Check, test and measure a folder of hand-ins; whatever is wrong with one of them, the others are graded."""

import hashlib
import json
import re
import sys
import traceback
from collections import namedtuple
from datetime import datetime
from math import isfinite
from pathlib import Path

from tqdm import tqdm

from config import get_config
from course.check import set5_references
from course.facts import CODE, read_facts
from course.flags import as_handed_out, between_students, common_lines, edition_lines, given_lines
from course.flat_edition import unpack_flat_edition
from course.gradebook import feedback_pages, write_grades
from course.guard import Guard
from course.handin import HandIn
from course.hidden import PROBES, judge, make_inputs, packed, read_bundle, unfitting
from course.reader import Reader
from course.received import received, settle
from course.sandbox import LIMITS, ROOT, WEAK, Budget, copy_code, run_probes, scratch_folder, strongest
from course.words import clean
from datasets import SRDataset
from inference import load_generator
from support.checkpoints import shipped_names
from support.enlarging import super_resolve
from support.files import save_image, write_atomically
from support.measures import available, measured

VERSION = 6              # of the kept results: a hand-in whose result is of another version is graded again
JAILS = {"": "none needed", "plain": WEAK, "namespaces": "namespaces of its own", "bubblewrap": "bubblewrap"}
UNTRUSTED = "not to be trusted: files of the kit were changed; fetch it again, and grade on a system with a jail"
# What each hand-in is measured against.  points: of the bundle; flat: folder of the flat edition; limits: of the jail;
# reader: a Reader; hr: dict image of Set5 -> uint8 (H, W, 3).
Measures = namedtuple("Measures", "points flat facts limits reader hr")
GRADERS_FAULT = "the grader itself failed"
PERCEPTUAL = ["niqe", "vgg16", "texture", "grid"]        # of each Set5 result, see support/measures.py


def grade_command(parser):
    parser.add_argument("zips", type=Path, help="folder of the zip files")
    parser.add_argument("--hidden", type=Path, required=True, help="the bundle that `release` has written")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the lists with Set5")
    parser.add_argument("--out", type=Path, default=Path("grading"), help="default: %(default)s")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")
    parser.add_argument("--given", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="code that students were given elsewhere: lines of it are nobody's own")

    def run(args):
        rows = grade(args.zips, args.hidden, args.data, args.out, read_facts(args.course), given=args.given)
        faulty = sum(bool(row["fault"]) for row in rows)
        print("Jail · 隔离方式: " + ", ".join(sorted({JAILS.get(row["jail"], row["jail"]) for row in rows})))
        print(f"{len(rows)} hand-ins, {faulty} of them could not be opened. {args.out / 'grades.csv'}; a page for each "
              f"in {args.out / 'students'}")
        return 0
    return run


def grade(zips, bundle, data, out, facts, progress=True, limits=LIMITS, given=()):
    """Grade every zip file of a folder; a run that was stopped resumes.

    What course.toml and ``given`` decide is worked out anew each time; only what the files themselves say is kept.

    Args:
        given: folders of code that students were given elsewhere.

    Returns:
        list of dicts, see ``grade_one``; also kept as out/grades.json, out/grades.csv and out/students/<file>.html.

    Raises:
        JailError: if code of students cannot be run here at all.
    """
    points = read_bundle(bundle)
    elsewhere = given_lines(given)
    mode, why = strongest()
    if progress and mode == "plain":
        print(f"{WEAK} ({why}).")
    if progress:
        print("Upscaling Set5 with the generators that come with the kit, to compare with ...", file=sys.stderr,
              flush=True)
    references = with_shipped(set5_references(data), data)
    paths, others = received(zips)
    if others:
        print(f"Not graded, because they are no archives: {', '.join(others)}")
    if not paths:
        raise ValueError(f"There is no zip file in {zips}.")
    rows = []
    with scratch_folder() as scratch:
        (scratch / "flat").mkdir()
        flat = unpack_flat_edition(scratch / "flat")
        reader = Reader(scratch / "kit", facts, references, limits)
        measures = Measures(points, flat, facts, limits, reader,
                            {name: by_kind["HR"] for name, by_kind in references.items()})
        nobodys = edition_lines(ROOT) | edition_lines(flat) | elsewhere
        guard = Guard([ROOT, flat, reader.kit]) if mode == "plain" else None
        label = label_of(bundle, references, facts)
        for name, path in tqdm(paths.items(), desc="Grading", unit="hand-in", disable=not progress):
            row = _kept_or_graded(name, path, label, measures, out, guard)
            rows.append({**row, "changed": path.stat().st_mtime, "lines": sorted(set(row["lines"]) - nobodys)})
    settle(rows, facts.roster)
    flags = between_students(rows, {row["file"]: pictures_of(out, row["file"]) for row in rows})
    for row in rows:
        row["flags"] = (late(row["changed"], facts.course.deadline) + row["whose"] + row["own_flags"]
                        + flags[row["file"]])
    if progress and common_lines(rows):
        print(f"{len(common_lines(rows))} lines of code are in more than half of the hand-ins, and not of this kit. "
              "Were they handed out elsewhere? Put those files into a folder, and add --given FOLDER.")
    write_grades(Path(out, "grades.csv"), rows, facts)
    text = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(Path(out, "grades.json"), text.encode("utf-8"))
    feedback_pages(Path(out, "students"), rows, points=facts.points)
    return rows


def label_of(bundle, references, facts):
    """What a kept result depends on, besides the hand-in itself and this file's VERSION, as a list of texts."""
    known = hashlib.sha256()
    for name, by_kind in sorted(references.items()):
        for kind, picture in sorted(by_kind.items()):
            known.update(f"{name} {kind} {picture.shape}".encode() + picture.tobytes())
    return [_sha256(bundle), known.hexdigest(), json.dumps(dict(facts.limits)), " ".join(available(PERCEPTUAL)[0])]


def _kept_or_graded(name, path, label, measures, out, guard):
    """The row of a hand-in.  Not kept: what was graded after the kit's own files were changed, and our own failures."""
    kept, label = Path(out, "kept", f"{name}.json"), [VERSION, _sha256(path), *label]
    pictures = pictures_of(out, name)
    row = _read_kept(kept, label, pictures)
    if row is None:
        row = grade_one(name, path, measures, pictures)
        changed = guard.changed() if guard else []
        if changed:
            row["own_flags"].append(f"{UNTRUSTED}: {', '.join(changed[:5])}")
            row["jail"] = UNTRUSTED
        elif not row["fault"].startswith(GRADERS_FAULT):
            write_atomically(kept, json.dumps([label, row], ensure_ascii=False).encode("utf-8"))
    return row


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


def _read_kept(path, label, pictures):
    try:
        found, row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = found == label and all((pictures / f"{name}.png").is_file() for name in row["pictures"])
    return row if complete else None


def grade_one(name, path, measures, pictures):
    """Everything about one hand-in that needs no other one, and no deadline and no roster, as plain values.

    Args:
        name: of the hand-in, see ``received``.
        pictures: the folder in which its Set5 results are kept.

    Returns:
        dict: "file", "claimed_id" and "claimed_name" (of handin.toml), "fault" (why it could not be opened, or ""),
        "findings", "tests", "notes" (on the jail), "jail" (its kind), "pictures" (of each image psnr, ssim, copied and
        the perceptual measures), "own_flags", "lines" (hashes of its lines of code).
    """
    row = {"file": name, "claimed_id": "", "claimed_name": "", "fault": "", "findings": [],
           "tests": [], "notes": [], "jail": "", "pictures": {}, "own_flags": [], "lines": []}
    try:
        budget = Budget(measures.limits)
        reading = measures.reader.read(path, "all", budget)
        row["jail"] = reading.mode
        if reading.fault:
            row["fault"] = reading.fault
            return row
        row["claimed_id"], row["claimed_name"] = reading.claimed_id, reading.name
        row["own_flags"] += reading.flags
        row["findings"], row["pictures"] = reading.findings, reading.measured
        row["lines"] = sorted(set(reading.lines))
        for image, picture in reading.pictures.items():
            save_image(pictures / f"{image}.png", picture)         # for the comparison between students
            if image in row["pictures"] and picture.shape == measures.hr[image].shape:
                row["pictures"][image] |= perceptual(picture, measures.hr[image])
        _test(row, reading, measures, budget)
    except Exception as error:       # a fault of the grader itself stops nothing either, but has to be seen
        place = traceback.extract_tb(error.__traceback__)[-1]
        row["fault"] = (f"{GRADERS_FAULT} here: {Path(place.filename).name}, line {place.lineno}: "
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


def late(changed, deadline):
    """A flag if a file was last changed (a time in seconds) after the deadline; copying may have changed that time."""
    if deadline is None:
        return []
    changed = datetime.fromtimestamp(changed, deadline.tzinfo)
    return [f"the file is dated {changed:%Y-%m-%d %H:%M}, after the deadline"] if changed > deadline else []


def assemble(handin, folder, kit=ROOT):
    """The code that runs in the jail: the student's files over those of the kit that the student had."""
    copy_code(kit, folder, leave_out=CODE)
    copy_code(handin.folder, folder)
    return folder

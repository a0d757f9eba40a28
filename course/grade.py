"""Check, test and measure a folder of hand-ins; whatever is wrong with one of them, the others are graded."""

import hashlib
import json
import tempfile
import traceback
from collections import namedtuple
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from config import get_config
from course.check import check, same_picture, set5_references
from course.facts import CODE, NOTEBOOKS, SET5, read_facts
from course.flags import between_students, disagreement_with_lr, edition_lines, own_lines, wrong_claims
from course.flat_edition import is_flat, unpack_flat_edition
from course.gradebook import feedback_pages, write_grades
from course.handin import HandIn, HandInError
from course.hidden import CASES, judge, read_bundle
from course.pack import changed_since
from course.sandbox import LIMITS, ROOT, copy_code, run_probes
from course.unpack import UnpackError, unpack
from datasets import SRDataset
from inference import load_generator
from metrics import psnr, ssim, three_channels
from support.checkpoints import shipped_names
from support.enlarging import super_resolve
from support.files import save_image, write_atomically
from support.images import read_image

PACKED = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
VERSION = 3              # of the kept results: a hand-in whose result is of another version is graded again
# Parts of this repository that the students' code must not see.
SECRET = ("course", "weights", "benchmarks", "tests", ".git", *CODE, *NOTEBOOKS)
# What each hand-in is measured against.  given: hashes of the lines that students were given; hide: paths that code in
# the jail must not see; flat: folder of the flat edition; limits: of the jail.
Measures = namedtuple("Measures", "inputs expected references given hide flat facts limits")


def grade_command(parser):
    parser.add_argument("zips", type=Path, help="folder of the zip files")
    parser.add_argument("--hidden", type=Path, required=True, help="the bundle that `release` has written")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the lists with Set5")
    parser.add_argument("--out", type=Path, default=Path("grading"), help="default: %(default)s")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")

    def run(args):
        rows = grade(args.zips, args.hidden, args.data, args.out, read_facts(args.course))
        faulty = sum(bool(row["fault"]) for row in rows)
        print(f"{len(rows)} hand-ins, {faulty} of them could not be opened. {args.out / 'grades.csv'}; a page for each "
              f"in {args.out / 'students'}")
        return 0
    return run


def grade(zips, bundle, data, out, facts, progress=True, limits=LIMITS):
    """Grade every zip file of a folder; a run that was stopped resumes.

    Returns:
        list of dicts, see ``grade_one``; also kept as out/grades.json, out/grades.csv and out/students/<file>.html.
    """
    inputs, expected = read_bundle(bundle)
    if progress:
        print("Upscaling Set5 with the generators that come with the kit, to compare with ...", flush=True)
    references = with_shipped(set5_references(data), data)
    paths, others = packed_files(zips)
    if others:
        print(f"Not graded, because they are no archives: {', '.join(others)}")
    if not paths:
        raise ValueError(f"There is no zip file in {zips}.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="srgan-flat-") as scratch:
        flat = unpack_flat_edition(scratch)
        measures = Measures(inputs, expected, references, edition_lines(ROOT) | edition_lines(flat),
                            [Path(place).resolve() for place in (zips, bundle, out, data, *map(ROOT.joinpath, SECRET))],
                            flat, facts, limits)
        for path in tqdm(paths, desc="Grading", unit="hand-in", disable=not progress):
            kept = Path(out, "kept", f"{path.name}.json")
            label = [VERSION, _sha256(path), _sha256(bundle)]
            row = _read_kept(kept, label)
            if row is None:
                row = grade_one(path, measures, pictures_of(out, path.name))
                write_atomically(kept, json.dumps([label, row], ensure_ascii=False).encode("utf-8"))
            rows.append(row)
    flags = between_students(rows, {row["file"]: pictures_of(out, row["file"]) for row in rows})
    for row in rows:
        row["flags"] = row["own_flags"] + flags.get(row["file"], [])
    write_grades(Path(out, "grades.csv"), rows, facts)
    text = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(Path(out, "grades.json"), text.encode("utf-8"))
    feedback_pages(Path(out, "students"), rows)
    return rows


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
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


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
        "notes" (on the jail), "pictures" (of each image psnr, ssim, copied), "own_flags", "lines" (hashes of its own
        lines of code).
    """
    row = {"file": path.name, "student_id": path.stem, "name": "", "fault": "", "findings": [], "tests": [],
           "notes": [], "pictures": {}, "own_flags": [], "lines": []}
    with tempfile.TemporaryDirectory(prefix="srgan-grade-") as scratch:
        try:
            folder = Path(scratch, "handin")
            folder.mkdir()
            unpack(path, folder, measures.facts.limits)
            handin = HandIn(folder)
            row["own_flags"] += late(path, measures.facts.course.deadline)
            _check_and_test(row, handin, measures, Path(scratch))
            _measure_pictures(row, handin, measures.references, pictures)
            row["own_flags"] += wrong_claims(handin, row["pictures"])
        except (UnpackError, HandInError) as error:
            row["fault"] = str(error)
        except Exception:            # a fault of the grader itself stops nothing either, but has to be seen
            row["fault"] = "the grader itself failed here:\n" + traceback.format_exc(limit=-3).replace(str(ROOT), "")
    return row


def _check_and_test(row, handin, measures, scratch):
    """The student, the rules, the hidden tests, the student's own lines of code."""
    row["student_id"], row["name"] = handin.student_id or row["student_id"], handin.name
    if measures.facts.roster and row["student_id"] not in measures.facts.roster:
        row["own_flags"].append(f"{row['student_id']} is not in the roster")
    changed = changed_since(handin)
    if changed:
        row["own_flags"].append("changed after packing: " + ", ".join(f"{name} ({how})" for name, how in changed[:5]))
    row["findings"] = [list(finding) for finding in
                       check(handin.folder, measures.facts, references=measures.references)]
    code = assemble(handin, scratch / "code", measures.flat if is_flat(handin.folder) else ROOT)
    (scratch / "inputs.npz").write_bytes(measures.inputs)
    outcome = run_probes(code, scratch / "inputs.npz", [case.probe for case in CASES], scratch / "jail",
                         measures.hide, measures.limits)
    row["tests"] = [list(verdict) for verdict in judge(measures.expected, outcome.arrays, outcome.failures)]
    row["notes"] = outcome.notes
    row["lines"] = sorted(own_lines(handin, measures.given))


def _measure_pictures(row, handin, references, folder):
    """PSNR and SSIM of the Set5 results, and what they may be copies of; the images are kept."""
    for name, path in handin.pictures().items():
        if name not in SET5 or name not in references:
            continue
        try:
            picture = three_channels(read_image(path)[0])
        except ValueError:
            continue                 # a finding reports it
        hr = references[name]["HR"]
        if picture.shape != hr.shape:
            continue
        copied = [kind for kind, other in references[name].items() if same_picture(picture, other)]
        row["own_flags"] += [f"{name}.png is {kind}" for kind in copied]
        # The PSNR of HR itself is infinite, which no table and no JSON can hold.
        row["pictures"][name] = {"psnr": min(psnr(picture, hr), 100.0), "ssim": ssim(picture, hr),
                                 "copied": bool(copied)}
        save_image(folder / f"{name}.png", picture)          # for the comparison between students
        row["own_flags"] += disagreement_with_lr(name, picture, references[name]["LR"])


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

"""The page for blind scoring: one folder that opens from disk in any browser.

Pictures get random names; a key file outside the folder says whose they are.  Hidden among the
students' pictures are anchors (HR, bicubic interpolation, the kit's SRResNet) and repeats.

Nothing else about a picture may tell whose it is either.  They are written in random order, into the folder and into
the page's data; all files of the folder have one time, and all pictures of an image one size.
"""

import csv
import io
import json
import os
import random
import shutil
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

from PIL import Image

from config import get_config
from course.check import set5_references
from course.facts import SET5, read_facts
from course.gradebook import BOM, safe, unsafe
from course.opinions import ANCHORS
from course.reader import Reader
from course.received import best_first
from course.sandbox import LIMITS, Budget, JailError, scratch_folder
from course.words import clean
from datasets import SRDataset
from imresize import imresize
from inference import SHIPPED, load_generator
from metrics import fullest_boxes, gradients
from support.enlarging import super_resolve
from support.files import write_atomically, write_csv
from support.images import read_image

PAGE = Path(__file__).parent / "page"
SECONDS = {"training": 8, "score": 7, "pair": 8}        # of one trial, with a margin: raters get faster
REPEATS, PAIRS = 10, 15                                 # of each rater
CROP = 64                                               # side of the fixed details, in HR pixels
TRAINING = {"coffee.png": (60, 180), "astronaut.png": (20, 130)}      # of scikit-image: top, left of a 256 x 256 crop
KEY_COLUMNS = ("gallery", "picture", "kind", "who", "image")            # and the name, which older keys do not have
PADDING = b"fiLl"                                       # a chunk of PNG: private, and nobody has to read it


def gallery_command(parser):
    parser.add_argument("zips", type=Path, help="folder of the zip files (or of unpacked hand-ins)")
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="default: %(default)s")
    parser.add_argument("--key", type=Path, help="file for the key (default: <out>_key.csv); not for raters")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the lists with Set5")
    parser.add_argument("--raters", type=int, default=6, help="how many people score (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30, help="at most, for each rater (default: %(default)s)")
    parser.add_argument("--course", type=Path, default=Path("course.toml"), help="the facts (default: %(default)s)")

    def run(args):
        key = args.key or args.out.with_name(f"{args.out.name}_key.csv")
        if key.resolve().is_relative_to(args.out.resolve()):
            raise ValueError(f"The key {key} would lie in the gallery, where raters could see it.")
        faults, load = make_gallery(args.zips, args.out, key, args.data, args.raters, args.minutes,
                                    read_facts(args.course))
        for name, text in faults:
            print(f"left out: {name}: {text}")
        print(f"{args.out / 'index.html'}: open it in a browser, or give the folder {args.out} to the raters.\n"
              f"{key}: whose pictures they are. Do not show it to the raters.\n"
              f"{args.raters} raters, {load['trials']} trials each (about {load['minutes']:.0f} minutes); "
              f"each picture is scored {load['least']} times"
              + (f" to {load['most']} times." if load["most"] > load["least"] else "."))
        return 0
    return run


def make_gallery(zips, out, key, data, n_raters, minutes, facts, seed=None):
    """Write the gallery's folder and the key.

    Args:
        seed: makes a test repeat itself; whoever knows it knows the key.

    Returns:
        (faults: list of (file, why it is left out), load: dict of trials, minutes, least, most)

    Raises:
        ValueError: if no hand-in has pictures, Set5 is not in ``data``, or gallery or key exist already.
    """
    if out.exists() or key.exists():
        raise ValueError(f"{out if out.exists() else key} is there already, and scores belong to one gallery and its "
                         "key. Choose another --out.")
    # Names of a pseudorandom generator could be worked out from each other.
    rng = random.SystemRandom() if seed is None else random.Random(seed)
    found, names, faults = collect(zips, facts)
    if not found:
        raise ValueError(f"No hand-in in {zips} has the five pictures of Set5: " + "; ".join(map(": ".join, faults)))
    content = Gallery(out, rng)
    content.add_images(data)
    for who, by_image in sorted(found.items()):
        for image, picture in by_image.items():
            content.add("student", who, image, picture)
    content.add_anchors(data)
    content.add_training()
    load = content.assign(n_raters, minutes)
    content.write(key, names)
    return faults, load


def collect(zips, facts):
    """The five pictures of every hand-in: ({student: {image: uint8 array (H, W, 3)}}, {student: name}, faults)."""
    found, names, faults = {}, {}, []
    with scratch_folder() as scratch:
        reader = Reader(scratch / "kit", facts, {}, LIMITS)
        for path in best_first(zips, facts.roster):
            try:
                reading = reader.read(path, "pictures", Budget(LIMITS))
                who = reading.student_id or clean(path.stem)
                if reading.fault or who in found:
                    raise ValueError(reading.fault or f"there is another hand-in of {who}")
                # Decoded in the jail and encoded again: nothing except pixels reaches the page.
                found[who], names[who] = {name: reading.pictures[name] for name in SET5}, reading.name
            except (ValueError, OSError, JailError) as error:
                faults.append((clean(path.name), clean(error)))
    return found, names, faults


class Gallery:
    """The content of the page: pictures with random names, the trials of each rater, and the key.

    Until ``write`` it is all in memory: what is written one after the other shows in which order it came.
    """

    def __init__(self, out, rng):
        self.out, self.rng = Path(out), rng
        self.id = f"{rng.getrandbits(40):010x}"
        self.images, self.pictures, self.key, self.raters = {}, {}, [], {}
        self.files = {}                  # dict file of a picture -> (image, uint8 array (H, W, 3))

    def add_images(self, data):
        """Add LR and HR of Set5, and the two most detailed squares of each image."""
        dataset = SRDataset("Set5", get_config("course", data))
        for i, name in enumerate(dataset.names):
            self._add_image(name.lower(), *dataset.pair(i))

    def _add_image(self, name, lr, hr):
        self.files |= {f"pictures/lr_{name}.png": (f"lr of {name}", lr), f"pictures/hr_{name}.png": (name, hr)}
        crops = [[left, top, CROP, CROP] for top, left, _ in fullest_boxes(gradients(hr), CROP, 2, step=4)]
        self.images[name] = {"lr": f"pictures/lr_{name}.png", "hr": f"pictures/hr_{name}.png",
                             "width": hr.shape[1], "height": hr.shape[0], "crops": crops}

    def add(self, kind, who, image, picture):
        """Add a picture under a random name, which is returned; ``kind`` is "student", "anchor" or "training"."""
        name = f"{self.rng.getrandbits(48):012x}"
        self.files[f"pictures/{name}.png"] = (image, picture)
        self.pictures[name] = {"file": f"pictures/{name}.png", "image": image}
        self.key.append((self.id, name, kind, who, image))
        return name

    def add_anchors(self, data):
        references, dataset = set5_references(data), SRDataset("Set5", get_config("course", data))
        generator = load_generator(SHIPPED["pretrain"])
        for i, name in enumerate(dataset.names):
            made = {**references[name.lower()], "SRResNet": super_resolve(generator, dataset.pair(i)[0])}
            for anchor in ANCHORS:
                self.add("anchor", anchor, name.lower(), made[anchor])

    def add_training(self):
        """Add pictures of other images, from the worst to the best, on which raters learn the scale."""
        import skimage.data
        generator = load_generator(SHIPPED["pretrain"])
        for file, (top, left) in TRAINING.items():
            hr = read_image(Path(skimage.data.__file__).parent / file)[0][top:top + 256, left:left + 256]
            lr, name = imresize(hr, 1 / 4), f"practice_{Path(file).stem}"
            self._add_image(name, lr, hr)
            for kind, picture in (("nearest", lr.repeat(4, axis=0).repeat(4, axis=1)), ("bicubic", imresize(lr, 4)),
                                  ("SRResNet", super_resolve(generator, lr)), ("HR", hr)):
                self.add("training", kind, name, picture)

    def assign(self, n_raters, minutes):
        """Give each rater a share of the pictures, so that all are scored about equally often.

        Every rater sees all anchors (they connect the raters' scales), some pictures twice, and pairs of two
        students' pictures of the same image.
        """
        of_kind = {kind: [row[1] for row in self.key if row[2] == kind] for kind in ("student", "anchor", "training")}
        fixed = (SECONDS["training"] * len(of_kind["training"]) + SECONDS["pair"] * PAIRS
                 + SECONDS["score"] * (len(of_kind["anchor"]) + REPEATS))
        share = min(len(of_kind["student"]), int((60 * minutes - fixed) / SECONDS["score"]))
        if share < 1:
            raise ValueError(f"{minutes:g} minutes are too few: the anchors, repeats and pairs alone take "
                             f"{fixed / 60:.0f}.")
        scored, paired = Counter(dict.fromkeys(of_kind["student"], 0)), Counter()
        for number in range(1, n_raters + 1):
            own = self._least(scored, share)
            repeats = self.rng.sample(own, min(REPEATS, len(own)))
            first = [{"kind": "score", "picture": name} for name in self._mixed(own + of_kind["anchor"])]
            again = [{"kind": "score", "picture": name} for name in self._mixed(repeats)]
            training = [{"kind": "training", "picture": name} for name in self._mixed(of_kind["training"])]
            self.raters[f"R{number:02}"] = training + first + again + self._pairs(paired)
        longest = max(self.raters.values(), key=len)
        return {"trials": len(longest), "minutes": sum(SECONDS[trial["kind"]] for trial in longest) / 60,
                "least": min(scored.values()), "most": max(scored.values())}

    def _least(self, counts, n):
        """The n names that were chosen least often so far; they are counted."""
        order = sorted(counts, key=lambda name: (counts[name], self.rng.random()))[:n]
        counts.update(order)
        return order

    def _mixed(self, names):
        """The names in random order, if possible without the same image twice in a row."""
        left, result = self.rng.sample(names, len(names)), []
        while left:
            last = result and self.pictures[result[-1]]["image"]
            k = next((k for k, name in enumerate(left) if self.pictures[name]["image"] != last), 0)
            result.append(left.pop(k))
        return result

    def _pairs(self, counts):
        """Pairs of two students' pictures of the same image, those that were compared least often so far."""
        of_image = {image: [row[1] for row in self.key if row[2] == "student" and row[4] == image] for image in SET5}
        if min(map(len, of_image.values())) < 2:
            return []
        trials = []
        for k in range(PAIRS):
            names = of_image[list(SET5)[k % len(SET5)]]
            pair = sorted(names, key=lambda name: (counts[name], self.rng.random()))[:2]
            counts.update(pair)
            self.rng.shuffle(pair)
            trials.append({"kind": "pair", "picture": pair[0], "other": pair[1]})
        return trials

    def write(self, key, names):
        """Write the page, its data and the key.

        Args:
            names: dict student -> name, for the key.
        """
        for file, png in self._shuffled(self._pngs()):
            write_atomically(self.out / file, png)
        for file in PAGE.iterdir():
            shutil.copyfile(file, self.out / file.name)
        data = {"id": self.id, "images": self.images, "pictures": dict(self._shuffled(self.pictures)),
                "raters": self.raters, "seconds": SECONDS}
        # "</" could end a script; no text here is a student's, and it is escaped all the same.
        text = json.dumps(data).replace("<", "\\u003c")
        (self.out / "trials.js").write_text(f"const GALLERY = {text};\n", encoding="utf-8")
        rows = [(*row, names.get(row[3], "") if row[2] == "student" else "") for row in self.key]
        write_csv(key, [(*KEY_COLUMNS, "name"), *(map(safe, row) for row in rows)], encoding=BOM)
        now = time.time()
        for path in (*self.out.rglob("*"), self.out):
            os.utime(path, (now, now))

    def _shuffled(self, entries):
        entries = list(entries.items())
        self.rng.shuffle(entries)
        return entries

    def _pngs(self):
        """{file: PNG}; all of one image are as long as its longest: less detail would make a shorter file."""
        pngs = {file: as_png(picture) for file, (_, picture) in self.files.items()}
        most = {}
        for file, (image, _) in self.files.items():
            most[image] = max(most.get(image, 0), len(pngs[file]))
        return {file: padded(pngs[file], most[image]) for file, (image, _) in self.files.items()}


def as_png(picture):
    """A uint8 array (H, W, 3) as PNG, with nothing in it except its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def padded(png, size):
    """The PNG with a chunk that nobody reads: all with one ``size``, which is at least theirs, become equally long."""
    chunk = PADDING + bytes(size - len(png))
    end = len(png) - 12                                          # the last chunk, IEND, has 12 bytes
    return png[:end] + struct.pack("!I", len(chunk) - 4) + chunk + struct.pack("!I", zlib.crc32(chunk)) + png[end:]


def read_key(path):
    """{picture: dict of KEY_COLUMNS, and of the "name" in keys that have one}.

    Raises:
        ValueError: if the file is not a key.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(KEY_COLUMNS) <= set(rows[0]) <= {*KEY_COLUMNS, "name"}:
        raise ValueError(f"{path} is not the key of a gallery, which has the columns {', '.join(KEY_COLUMNS)}.")
    return {row["picture"]: {column: unsafe(value or "") for column, value in row.items()} for row in rows}

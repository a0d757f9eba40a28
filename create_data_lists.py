"""Find, fetch, pair, list and check the images: everything between a data folder and the CSV lists."""

import argparse
import csv
import io
import os
import re
import sys
from pathlib import Path

from tqdm import tqdm

from imresize import imresize
from support.content import same_content
from support.data_check import check, report
from support.data_layout import (
    SPLITS,
    TEST_SETS,
    TRAINING,
    expected_number,
    find_sets,
    folders_with_images,
    images_in,
    lr_path_of,
    match,
    match_own,
    name_rules,
    print_table,
)
from support.download import MIRROR, download
from support.files import write_atomically
from support.images import SUFFIXES, read_image
from support.lists import LINKED, DataError, leads_outside, linked_folders, list_path
from support.make_lr import is_outdated, lr_of_lists, make_lr, make_one_lr, missing_lr, write_png
from support.messages import count, few, notice

# The demo set: scikit-image's own photographs (most CC0 or public domain), part of its installation.
DEMO = {
    # Both views of the motorcycle are on one side: they show the same thing.
    "train": ["motorcycle_left.png", "motorcycle_right.png", "hubble_deep_field.jpg", "retina.jpg", "brick.png",
              "grass.png", "gravel.png", "moon.png", "page.png", "text.png", "cell.png"],
    "valid": ["coins.png", "ihc.png"],
    "demo": ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"],          # the test set
}


def take_in(folder, root):
    """The folder of one's own HR images, inside ``root``: a row of a list never leads outside.

    Args:
        folder: the images; copied into ``root`` where they lie elsewhere.

    Returns:
        Path of the folder in ``root``.

    Raises:
        DataError: if ``folder`` is missing, holds no image, is ``root`` itself, or would be copied among other images.
    """
    folder, root = Path(folder), Path(root)
    if not images_in(folder):
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} (--train-hr).")
        raise DataError(f"--train-hr {folder} holds no image ({', '.join(sorted(SUFFIXES))}). "
                        "Its subfolders are not searched; name the folder that the images are in.")
    inside, top = Path(os.path.abspath(folder)), Path(os.path.abspath(root))
    if inside == top:
        raise DataError(f"--train-hr and --root are the same folder {folder}. Put the images into a folder of "
                        f"their own, for example {root / 'my_HR'}.")
    if inside.is_relative_to(top):
        return root / inside.relative_to(top)
    name = inside.parent.name if inside.name.upper() == "HR" and inside.parent.name else inside.name
    target = root / (name if name.upper().endswith("_HR") else f"{name}_HR")
    copy_images(folder, target)
    return target


def copy_images(source, target):
    """Copy the images of a folder; those that are there already are not copied again, and nothing is overwritten.

    Raises:
        DataError: if there are other images in ``target``, or other content under the same names.
    """
    images = images_in(source)
    others = {p.name for p in images_in(target)} - {p.name for p in images}
    if others:
        raise DataError(f"{source} would be copied to {target}, but there are other images in it already "
                        f"({few(sorted(others))}). Rename or remove {target}.")
    there = [image for image in images if (target / image.name).exists()]
    changed = [image for image in there if not same_content(target / image.name, image)]
    if changed:
        raise DataError(f"{source} would be copied to {target}, but {count(changed)} of the same name there "
                        f"{'has' if len(changed) == 1 else 'have'} other content ({few(changed)}). Nothing was copied. "
                        f"Where {target} is an earlier copy, remove it and run this again; where it is another set, "
                        f"rename {source.name}.")
    target.mkdir(parents=True, exist_ok=True)
    new = [image for image in images if image not in set(there)]
    for image in tqdm(new, desc=f"Copying to {target.name}", unit=" images", disable=len(new) < 20, mininterval=1):
        try:
            content = image.read_bytes()
        except OSError as error:           # one file never stops the others
            notice(f"{image} is left out, it cannot be read: {error.strerror or error}.")
            continue
        write_atomically(target / image.name, content)


# ---------------------------------------------------------------- lists

def list_images(root, csv_folder=None, train_hr=None, valid_count=0, make=False, scale=4, follow_links=False):
    """Find the sets in ``root``, write their lists, and print a table of what is where.

    Args:
        root: the data folder; rows are relative to it.
        csv_folder: where the lists go (default: ``root``).
        train_hr: a folder of one's own HR images for training; copied into ``root`` if outside.
        valid_count: this many of them are held out as the split valid (unless DIV2K's is there).
        make: make the LR images that are missing.
        scale: 2, 4 or 8.
        follow_links: list images too that a link leads to out of ``root``; their folders are kept in a file beside the
            lists, so that the notebooks follow the same links and no others.

    Returns:
        list of problems, as sentences: images left out and why; empty when all is well.

    Raises:
        DataError: if ``root`` or ``train_hr`` cannot be used at all.
    """
    root, problems = Path(root), []
    csv_folder = Path(csv_folder or root)
    own_folder = take_in(train_hr, root) if train_hr else None         # this makes the root where there is none
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Name the folder with the images (--root), fetch them "
                        "(--download div2k benchmark), or start with the small demo set (--demo).")
    sets = find_sets(root, scale)
    if train_hr:
        sets["train"] = match_own(own_folder, scale)
    if make:
        kept = [split for split in SPLITS if split not in sets and list_path(csv_folder, split).is_file()]
        jobs = [job for found in sets.values() for job in missing_lr(found, scale)]
        problems += make_lr(list(dict.fromkeys([*jobs, *lr_of_lists(csv_folder, root, kept, scale)])))
        sets = {split: match(found.hr_folder, found.lr_folder, scale) for split, found in sets.items()}
    problems += [problem for found in sets.values() for problem in left_out(found, scale, make)]

    pairs = {split: found.pairs for split, found in sets.items()}
    if follow_links:
        allow_links([file for found in pairs.values() for pair in found for file in pair], root, csv_folder)
    for split in pairs:
        pairs[split], outside = without_links(pairs[split], root, linked_folders(csv_folder))
        if outside:
            problems.append(f"{count(outside)} of {sets[split].hr_folder.as_posix()} left out: a link leads out of "
                            f"{root.as_posix()} ({few(outside)}). Where that is meant, run this again with "
                            "--follow-links; otherwise copy the set into it, or give the folder that really "
                            f"holds the set as --root, with --csv-folder {csv_folder.as_posix()}. The images are in "
                            f"{os.path.dirname(os.path.realpath(outside[0]))}.")
    where = {split: found.hr_folder.as_posix() for split, found in sets.items()}
    if valid_count and pairs.get("valid"):
        notice(f"--valid-count is not used, because the images of {where['valid']} are the split valid.")
    elif valid_count and pairs["train"]:
        pairs["train"], pairs["valid"] = hold_out(pairs["train"], valid_count)
        where["valid"] = f"held out from {where['train']}"
    for split, its_pairs in pairs.items():
        if its_pairs:
            write_list(csv_folder, split, its_pairs, root)
    print_overview(root, csv_folder, pairs, where)
    if not any(list_path(csv_folder, split).is_file() for split in SPLITS):
        here = folders_with_images(root)
        problems.append(f"No pair of images was found in {root}: no list was written. Looked for were DIV2K_train_HR/"
                        f"0001.png with DIV2K_train_LR_bicubic/X{scale}/0001x{scale}.png, Set5/HR/baby.png with "
                        f"Set5/LR_bicubic/X{scale}/babyx{scale}.png, and their like (docs/data.md). "
                        + (f"Folders with images are {few(here, 5)}: for training, --train-hr FOLDER --make-lr."
                           if here else "No folder in it holds an image."))
    shared = set.intersection(*(set(list_rows(list_path(csv_folder, split))) for split in TRAINING))
    if shared:
        problems.append(f"{count(shared)} are both in the training and in the validation list, one of which is from an "
                        "earlier run. Give --valid-count again, or delete the list that is old.")
    return problems


def left_out(found, scale, made):
    """Sentences about the images of a set that have no partner, with the file that was looked for."""
    rules = list(name_rules(scale, found.hr_folder == found.lr_folder))
    others = f"; no other rule pairs more: {', '.join(rule for rule in rules if rule != found.rule)}" * (len(rules) > 1)
    if found.hr_only and not made:          # after --make-lr, each of them has its own sentence
        folder = "" if found.lr_folder.is_dir() else f" (there is no folder {found.lr_folder.as_posix()})"
        yield (f"{count(found.hr_only)} of {found.hr_folder.as_posix()} left out, without LR ({few(found.hr_only)}). "
               f"Looked for was {lr_path_of(found.hr_only[0], found, scale).as_posix()}{folder}, by the rule "
               f"{found.rule}{others}. Make the LR images with --make-lr.")
    if found.lr_only:
        yield (f"{count(found.lr_only)} of {found.lr_folder.as_posix()} left out, without HR in "
               f"{found.hr_folder.as_posix()} ({few(found.lr_only)}), by the rule {found.rule}{others}. Fetch the HR "
               "images, or remove these.")
    if found.twins:
        yield (f"{count(found.twins)} of {found.hr_folder.as_posix()} left out, with the name of another one "
               f"except for the ending ({few(found.twins)}). Rename or remove one of the two.")


def allow_links(files, root, csv_folder):
    """Add the real folders of files that a link leads out of ``root`` to those that may be read."""
    allowed = linked_folders(csv_folder)
    new = sorted({os.path.dirname(os.path.realpath(file)) for file in files
                  if leads_outside(file.relative_to(root).as_posix(), root, allowed)})
    if new:
        write_atomically(Path(csv_folder, LINKED), "\n".join([*allowed, *new, ""]).encode("utf-8"))
        notice(f"links are followed to {few(new, 9)}; {Path(csv_folder, LINKED)} names the folders that are allowed.")


def without_links(pairs, root, linked=()):
    """(pairs, HR files): those that lie in ``root`` or in linked folders, and the HR of those that a link leads out."""
    outside = [pair for pair in pairs
               if any(leads_outside(file.relative_to(root).as_posix(), root, linked) for file in pair)]
    return [pair for pair in pairs if pair not in outside], [hr for hr, _ in outside]


def hold_out(pairs, n):
    """Split into (train, valid): ``n`` of the pairs, evenly spaced, are held out.

    Raises:
        DataError: if nothing is left to train on.
    """
    if n >= len(pairs):
        raise DataError(f"--valid-count {n} leaves nothing to train on: there are {len(pairs)} pairs.")
    chosen = {(2 * i + 1) * len(pairs) // (2 * n) for i in range(n)}
    return [p for i, p in enumerate(pairs) if i not in chosen], [p for i, p in enumerate(pairs) if i in chosen]


def write_list(csv_folder, split, pairs, root):
    """Write ``<split>_images.csv`` with rows relative to ``root``, and say so where it replaces another list."""
    path, text = list_path(csv_folder, split), io.StringIO()
    rows = sorted(tuple(file.relative_to(root).as_posix() for file in pair) for pair in pairs)
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode("utf-8")
    before = list_rows(path)
    if not path.is_file() or path.read_bytes() != content:
        former = path.with_suffix(".csv.old") if before else None
        write_atomically(path, content, keep_old=former)
        if before:
            notice(f"{path} has changed: {len(before)} rows before, {len(rows)} after. The former list is kept as "
                   f"{former.name}.")


def list_rows(path):
    """The lines of a list, whatever is in them; an empty list where there is no file."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]


def print_overview(root, csv_folder, pairs, where):
    """Print a row for each split: how many images, where they are, or how to get them."""
    command = "python create_data_lists.py" + (f" --root {root.as_posix()}" if root != Path("data") else "")
    how = {"train": f"{command} --download div2k, or --train-hr DIR --make-lr",
           "valid": f"{command} --download div2k, or --valid-count N with --train-hr"}
    rows = []
    for split in SPLITS:
        path = list_path(csv_folder, split)
        if split == "demo" and not path.is_file():           # it has its own command
            continue
        if pairs.get(split):
            expected = expected_number(split, [hr for hr, _ in pairs[split]])
            of = f" of {expected}" if expected not in (None, len(pairs[split])) else ""
            rows.append((split, f"{len(pairs[split])}{of}", where[split]))
        elif path.is_file():
            rows.append((split, len(list_rows(path)), f"kept: the list of an earlier run, {path.as_posix()}"))
        elif split in where:
            rows.append((split, 0, f"{where[split]} has no pair: see below"))
        else:
            rows.append((split, "-", "not found: " + how.get(split, f"{command} --download benchmark")))
    print()
    print_table(("split", "images", "where"), rows)
    missing = [split for split, n, _ in rows if n == "-" and split in TEST_SETS]
    if missing:
        print(f"\nThe test sets by hand, in a browser: {MIRROR}\n"
              f"Unpack them so that there is a folder {(root / 'benchmark' / missing[0] / 'HR').as_posix()}.")


# ---------------------------------------------------------------- the demo set

def make_demo(folder, scale=4):
    """A small set of pairs from scikit-image's photographs: train, valid and demo (the test set), with lists.

    What is there already is not made again.

    Raises:
        DataError: if a photograph is missing from the installation.
    """
    import skimage.data
    # The files themselves, not skimage.data.astronaut(): such functions may start a download.
    photographs, folder = Path(skimage.data.__file__).parent, Path(folder)
    for split, names in DEMO.items():
        pairs = []
        for name in names:
            hr = folder / "HR" / f"{Path(name).stem}.png"
            lr = folder / "LR_bicubic" / f"X{scale}" / f"{hr.stem}x{scale}.png"
            if not hr.is_file():
                write_png(hr, demo_image(photographs / name, split))
            problem = "" if lr.is_file() and not is_outdated(hr, lr) else make_one_lr((hr, lr, scale))
            if problem:
                raise DataError(problem)
            pairs.append((hr, lr))
        write_list(folder, split, pairs, folder)


def demo_image(path, split):
    if not path.is_file():
        raise DataError(f"scikit-image's photograph {path} is missing. Install the package again: "
                        "python -m pip install --force-reinstall scikit-image")
    image, _ = read_image(path)
    if path.suffix == ".jpg" and split == "train":
        image = imresize(image, 0.5)        # otherwise the 8 x 8 blocks of JPEG would be learnt
    return image


# ---------------------------------------------------------------- the command

EXAMPLES = """\
examples:
  python create_data_lists.py --demo
      make a small set of photographs in data/demo, without any download (start here)
  python create_data_lists.py --download div2k benchmark
      fetch the training images and the four test sets into data, and list them
  python create_data_lists.py --download div2k --url http://mirror.example/div2k
      fetch them from a mirror; --from DIR takes archives that lie in a folder, without internet
  python create_data_lists.py --root D:/images
      list the sets that are in D:/images
  python create_data_lists.py --train-hr my_photos --valid-count 10 --make-lr
      train on your own images: make their LR, hold out 10 for validation
  python create_data_lists.py --check
      read every image of the lists in data and report everything that is wrong
  python create_data_lists.py --root /mnt/div2k --csv-folder lists
      list images in a folder that cannot be written to

exit status: 0 all is well, 1 something is wrong (it says what), 2 the command was not understood
"""


def parser():
    p = argparse.ArgumentParser(prog="create_data_lists.py", description=__doc__.split(":")[0] + ".",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", metavar="DIR", help="the data folder (default: data; with --demo: data/demo)")
    p.add_argument("--csv-folder", metavar="DIR", help="where the lists are (default: the data folder)")
    p.add_argument("--scale", type=int, default=4, choices=(2, 4, 8),
                   help="HR is this many times larger than LR (default: 4)")
    p.add_argument("--demo", action="store_true", help="make the demo set from scikit-image's photographs")
    p.add_argument("--download", nargs="+", default=[], choices=("div2k", "benchmark"), metavar="SET",
                   help="fetch 'div2k' (several GB) and/or 'benchmark' (Set5, Set14, B100, Urban100; 250 MB); "
                        "resumes where it was interrupted")
    p.add_argument("--url", help="for --download: a mirror, the address of the folder that holds the archives")
    p.add_argument("--from", dest="archives", metavar="DIR",
                   help="for --download: take the archives from this folder, without internet")
    p.add_argument("--train-hr", metavar="DIR", help="a folder of your own HR images to train on")
    p.add_argument("--valid-count", type=int, default=0, metavar="N",
                   help="hold out N of the --train-hr images for validation")
    p.add_argument("--make-lr", action="store_true", help="make the LR images that are missing")
    p.add_argument("--follow-links", action="store_true",
                   help="list images on other disks too, where a link in the data folder leads to them")
    p.add_argument("--check", action="store_true", help="read every pair of the lists and report every fault")
    p.add_argument("--hr-folder", metavar="DIR",
                   help="for --check: what the HR names are relative to (config.HR_data_folder)")
    p.add_argument("--lr-folder", metavar="DIR",
                   help="for --check: what the LR names are relative to (config.LR_data_folder)")
    return p


def main(argv=None):
    """The command; returns its exit status."""
    p = parser()
    args = p.parse_args(argv)
    if args.valid_count < 0 or args.valid_count and not args.train_hr:
        p.error("--valid-count takes a positive number, and goes with --train-hr")
    if (args.url or args.archives) and not args.download or args.url and args.archives:
        p.error("--url and --from go with --download, one of them at a time")
    if args.url and not re.match(r"https?://.*(?<!\.zip)(?<!\.tar)$", args.url):
        p.error(f"--url {args.url}: it is the address of the folder that holds the archives and begins with "
                "http:// or https://")
    if args.archives and not Path(args.archives).is_dir():
        p.error(f"--from {args.archives}: there is no such folder")
    if args.demo and (args.download or args.train_hr or args.csv_folder):
        p.error("--demo goes without --download, --train-hr and --csv-folder")
    if (args.hr_folder or args.lr_folder) and not args.check:
        p.error("--hr-folder and --lr-folder go with --check")
    try:
        return run(args)
    except (DataError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again: it resumes from here.", file=sys.stderr)
        return 130


def run(args):
    """Do what the command line says; returns the exit status."""
    root = Path(args.root or ("data/demo" if args.demo else "data"))
    csv_folder = Path(args.csv_folder or root)
    elsewhere = os.path.abspath(csv_folder) != os.path.abspath(root)
    problems = download(args.download, root, args.url, args.archives) if args.download else []
    is_new = not any(list_path(csv_folder, split).is_file() for split in SPLITS)
    if args.demo:
        make_demo(root, args.scale)
        print_table(("split", "images", "where"), [(split, len(names), f"{root.as_posix()}/HR: " + ", ".join(
            Path(name).stem for name in names)) for split, names in DEMO.items()], fold=1)
    elif args.download or args.train_hr or args.make_lr or args.follow_links or not args.check or is_new:
        # --check alone takes the lists as they are.
        problems += list_images(root, csv_folder, args.train_hr, args.valid_count, args.make_lr, args.scale,
                                args.follow_links)
    for problem in problems:
        print(f"\nProblem: {problem}")
    status = 1 if problems else 0
    if args.check:
        print()
        base = root if elsewhere else None
        found = check(csv_folder, args.hr_folder or base, args.lr_folder or base, args.scale)
        return report(*found) or status
    if not is_new or any(list_path(csv_folder, split).is_file() for split in SPLITS):
        print_next_steps(root, csv_folder, elsewhere)
    return status


def print_next_steps(root, csv_folder, elsewhere):
    print(f"\nThe lists are in {csv_folder.as_posix()}. In the cell of the notebooks that sets preset:\n"
          f'    data_folder = "{csv_folder.as_posix()}"')
    if elsewhere:
        print("and in the cell that makes config:\n"
              f'    config.HR_data_folder = config.LR_data_folder = "{root.as_posix()}"')
    options = f"--root {root.as_posix()}" + (f" --csv-folder {csv_folder.as_posix()}" if elsewhere else "")
    print(f"Read and check every image: python create_data_lists.py {options} --check")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        # A Windows console may not have every letter of a file name: better a "?" than a crash.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())

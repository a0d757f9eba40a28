"""The crops that SRDiff's sources train on: python -m extensions preprocess --root DIR --dataset div2k --output DIR

Makes OUTPUT/train and OUTPUT/val with X1/image_0000.png (HR, 320 x 320) and X4/image_0000.png
(LR, 80 x 80), and their lists, so that --data OUTPUT trains on them.  The kit itself does not
need this: it cuts patches from whole images, from more positions.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from create_data_lists import write_list
from imresize import imresize
from support.data_layout import images_in
from support.images import read_image
from support.lists import DataError
from support.make_lr import write_png
from support.messages import notice

SIZE, SCALE = 320, 4          # of a crop; divisible by the 160 pixels of SRDiff's training patches
N_VAL_FLICKR2K = 100          # Flickr2K has no validation part: its last images are taken, as many as DIV2K's
FOLDERS = {"div2k": ("DIV2K_train_HR", "DIV2K_valid_HR"), "flickr2k": ("Flickr2K_HR", "Flickr2K/Flickr2K_HR")}
SPLITS = {"train": "train", "val": "valid"}           # folder -> the kit's name of the list


def corners(length, size=SIZE):
    """Where crops begin along one side: next to each other, the last one shifted inwards to end at the edge.

    A side shorter than ``size`` has none.
    """
    starts = list(range(0, length - size + 1, size))
    return starts + [length - size] * (bool(starts) and starts[-1] + size < length)


def sources(root, dataset):
    """{"train": HR files, "val": HR files} of a dataset in ``root``.

    Raises:
        DataError: if it is not there, or too small to be split.
    """
    root, names = Path(root), FOLDERS[dataset]
    if dataset == "div2k":
        found = {split: images_in(root / name) for split, name in zip(SPLITS, names)}
        missing = [str(root / name) for name, files in zip(names, found.values()) if not files]
        if missing:
            raise DataError(f"There are no images in {' and '.join(missing)}. Download them with: "
                            f"python create_data_lists.py --root {root} --download div2k")
        return found
    files = next(filter(None, (images_in(root / name) for name in names)), [])
    if len(files) <= N_VAL_FLICKR2K:
        raise DataError(f"Flickr2K has 2,650 images; {len(files)} are in {root / names[0]} or {root / names[1]}, and "
                        f"{N_VAL_FLICKR2K} of them are for validation. Unpack it there.")
    return {"train": files[:-N_VAL_FLICKR2K], "val": files[-N_VAL_FLICKR2K:]}


def crop_all(files, folder):
    """Write the crops of all files, X1/ and X4/, in order.

    LR is made from each crop by itself: each pair of files is then complete, and
    ``create_data_lists.py --check`` or any other tool can verify it.

    Returns:
        (pairs, problems): list of (HR file, LR file), and sentences about the images that are left out.
    """
    pairs, problems = [], []
    for file in tqdm(files, desc=f"Cutting {folder.name}", unit=" images", disable=len(files) < 8, mininterval=1):
        try:
            image, changed = read_image(file)
        except ValueError as error:
            problems.append(str(error))
            continue
        if changed:
            with tqdm.external_write_mode():             # or the bar and the notice would share a line
                notice(f"{file}: {changed}.")
        # Cropped to a multiple of 4 first, as the kit crops pairs: else a shifted crop could begin inside an LR pixel.
        height, width = (length // SCALE * SCALE for length in image.shape[:2])
        places = [(top, left) for top in corners(height) for left in corners(width)]
        if not places:
            problems.append(f"{file} is {width} x {height} pixels, smaller than a crop of {SIZE}: left out.")
        for top, left in places:
            crop = image[top:top + SIZE, left:left + SIZE]
            hr, lr = (folder / part / f"image_{len(pairs):04d}.png" for part in ("X1", f"X{SCALE}"))
            write_png(hr, crop)
            write_png(lr, imresize(crop, 1 / SCALE))
            pairs.append((hr, lr))
    return pairs, problems


def preprocess(root, dataset, output):
    """Cut a whole dataset.

    Args:
        root: the folder that holds DIV2K_train_HR and DIV2K_valid_HR, or Flickr2K_HR.
        dataset: "div2k" or "flickr2k".
        output: an empty or new folder.

    Returns:
        ({"train": number of pairs, "val": ...}, problems)

    Raises:
        DataError: if the dataset is not there, none of its images is large enough, or ``output`` already has crops.
    """
    output, counts, problems = Path(output), {}, []
    for split in SPLITS:
        if (output / split).exists():
            raise DataError(f"{output / split} exists already; crops of two runs must not be mixed. Delete it, or "
                            "give another --output.")
    for split, files in sources(root, dataset).items():
        pairs, left_out = crop_all(files, output / split)
        if not pairs:
            raise DataError(f"No image of {files[0].parent} can be used:\n  " + "\n  ".join(left_out[:5]))
        write_list(output, SPLITS[split], pairs, output)
        counts[split] = len(pairs)
        problems += left_out
    return counts, problems


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m extensions preprocess", description=__doc__.split("\n\n")[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, metavar="DIR", help="holds DIV2K_train_HR, DIV2K_valid_HR, or "
                                                                     "Flickr2K_HR")
    parser.add_argument("--dataset", required=True, choices=list(FOLDERS))
    parser.add_argument("--output", required=True, metavar="DIR")
    args = parser.parse_args(arguments)
    try:
        counts, problems = preprocess(args.root, args.dataset, args.output)
    except (DataError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"Left out: {problem}")
    print(", ".join(f"{n} pairs in {Path(args.output, split).as_posix()}" for split, n in counts.items())
          + f"; to train on them: --data {Path(args.output).as_posix()}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

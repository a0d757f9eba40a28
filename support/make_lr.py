"""Making LR images from HR with our imresize, and knowing which of them are out of date."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image, PngImagePlugin
from tqdm import tqdm

from imresize import imresize
from support.content import content_hash
from support.data_layout import lr_path_of
from support.files import save_image
from support.images import read_image
from support.lists import list_path, read_rows

PARALLEL_FROM = 100_000_000            # bytes of HR files: below that, processes take longer to start than to work
MADE_HERE = "create_data_lists.py"     # written into every LR made here: only these are ever made again
HR_HASH = "HR SHA-256"                 # so is the hash of the HR file that it was made from


def write_png(path, image, hr=None):
    """Write a uint8 array (H, W) or (H, W, 3) as PNG, marked as made here, from the file ``hr`` where it is an LR."""
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Software", MADE_HERE)
    if hr is not None:
        facts.add_text(HR_HASH, content_hash(hr))
    save_image(path, image, pnginfo=facts)


def make_one_lr(job):
    """Make one LR image; job is (HR file, LR file, scale).  Returns what went wrong, or ""."""
    hr, lr, scale = job
    try:
        image, _ = read_image(hr)
        height, width = (n // scale * scale for n in image.shape[:2])     # the pairs' rule: cropped from the top left
        if 0 in (height, width):
            return f"{hr} is smaller than {scale} x {scale} pixels. Remove it."
        write_png(lr, imresize(image[:height, :width], 1 / scale), hr)
        return ""
    except (ValueError, OSError) as error:
        return str(error)


def make_lr(jobs):
    """Make LR images, in parallel where they are many: jobs are (HR file, LR file, scale).

    Returns:
        list of problems, as sentences.
    """
    progress = dict(total=len(jobs), desc="Making LR", unit=" images", disable=len(jobs) < 8, mininterval=1)
    if sum(os.path.getsize(hr) for hr, _, _ in jobs) < PARALLEL_FROM:
        return [problem for problem in tqdm(map(make_one_lr, jobs), **progress) if problem]
    # "spawn" is what Windows and macOS do: the same everywhere.
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=multiprocessing.get_context("spawn")) as pool:
        return [problem for problem in tqdm(pool.map(make_one_lr, jobs, chunksize=4), **progress) if problem]


def missing_lr(found, scale):
    """The jobs for ``make_lr``: HR without LR, and HR whose content has changed since its LR was made here.

    Args:
        found: support.data_layout.Found, the images of a set.
    """
    jobs = [(hr, lr_path_of(hr, found, scale), scale) for hr in found.hr_only]
    return jobs + [(hr, lr, scale) for hr, lr in found.pairs if is_outdated(hr, lr)]


def is_outdated(hr, lr):
    """Whether an LR was made here, and from another HR than the one that is there now.

    A published LR is never outdated: it must not be replaced.  Dates say nothing: either may be older than its HR.
    """
    try:
        with Image.open(lr) as file:
            facts = dict(file.info)
        return facts.get("Software") == MADE_HERE and facts.get(HR_HASH) != content_hash(hr)
    except Exception:          # Pillow raises many kinds for damaged files; --check reports them
        return False


def lr_of_lists(csv_folder, root, splits, scale):
    """The jobs for ``make_lr`` of lists that an earlier run has written: nothing else finds a set of one's own."""
    for split in splits:
        pairs, _ = read_rows(list_path(csv_folder, split), [Path(root), Path(root)])
        for hr, lr, _ in pairs:
            if hr.is_file() and lr.suffix.lower() == ".png" and (not lr.exists() or is_outdated(hr, lr)):
                yield hr, lr, scale

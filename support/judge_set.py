"""Whether the LR of a whole set come from MATLAB's bicubic imresize or from another tool, and likely which."""

import numpy as np

from support.data_layout import TEST_SETS
from support.downscaling import MOST, likely_tool
from support.findings import NEW_LR, Finding
from support.images import read_image
from support.lists import fit_pair, list_path

# dB of agreement with imresize, away from the border; what the tools have is in support/downscaling.py.
SAME_KERNEL = 50             # the same kernel with other rounding has 53.5 and more
SAME_FILE = 65               # MATLAB's files and those of our imresize are equal
SAMPLE = 5                   # pairs of a set from which the tool is told


def judge_set(split, rows, scale):
    """Findings about the LR of a set, from how they agree with the LR that our imresize makes.

    A single image does not show it: in a smooth one all tools agree.

    Args:
        rows: list of (Row, Facts of LR, Agreement or None), without those that have a fault of their own.
    """
    rows = [(row, lr, found.inner) for row, lr, found in rows if found and found.inner is not None]
    odd = [entry for entry in rows if entry[2] < SAME_KERNEL]
    close = [entry for entry in rows if SAME_KERNEL <= entry[2] < SAME_FILE]
    if 2 * len(odd) > len(rows):
        yield of_the_set(split, odd, rows, scale)
        return
    for row, lr, inner in odd:
        yield Finding(split, row.number, row.names[1], "other downscaling",
                      "LR was not made by bicubic downscaling of this HR, as those of the other images: it agrees "
                      f"only to {inner:.1f} dB{likely([(row, lr)], scale)}.",
                      f"If that is not wanted: {NEW_LR[0].lower()}{NEW_LR[1:]}", False)
    if 2 * len(close) > len(rows):
        yield Finding(split, 0, list_path("", split).name, "other rounding",
                      f"{how_many(close, rows)} bicubic as MATLAB's, but rounded in another way ({median(close):.0f} "
                      f"dB){likely_of(close, scale)}.", "Nothing: scores differ by hundredths of dB at most.", False)


def of_the_set(split, odd, rows, scale):
    """The Finding that most LR of a set are of another tool."""
    is_published = split in TEST_SETS
    return Finding(split, 0, list_path("", split).name, "other downscaling",
                   f"{how_many(odd, rows)} not made by MATLAB's bicubic imresize, with which they agree only to "
                   f"{median(odd):.1f} dB{likely_of(odd, scale)}.",
                   "Fetch the published LR, or delete the LR folder and run --make-lr: scores on these do not compare "
                   "with published ones." if is_published else
                   "If that is not wanted, delete the LR folder and run --make-lr: a network learns to undo the "
                   "downscaling that it has seen.", is_published)


def how_many(some, rows):
    of = f"all {len(rows)}" if len(some) == len(rows) else f"{len(some)} of {len(rows)}"
    return f"LR of {of} pairs are"


def median(entries):
    return float(np.median([inner for *_, inner in entries]))


def likely_of(entries, scale):
    """``likely``, from a sample of all grades of agreement."""
    ordered = sorted(entries, key=lambda entry: entry[2])
    return likely([entry[:2] for entry in ordered[::-(-len(ordered) // SAMPLE)]], scale)


def likely(rows, scale):
    """The tool that is likely to have made the LR of some rows, as the end of a sentence.

    Args:
        rows: list of (Row, Facts of LR).
    """
    if all(lr.jpeg for _, lr in rows):
        return "; JPEG loses detail"
    pairs = []
    for row, _ in rows:
        hr, lr = (read_image(path)[0] for path in row.paths)
        (height, width), (h, w) = fit_pair(hr.shape, lr.shape, scale)
        pairs.append((hr[:height, :width], lr[:h, :w]))
    tool, dB = likely_tool(pairs, scale)
    exactly = "equal" if dB >= MOST else f"{dB:.0f} dB"
    return f"; likely {tool} ({exactly})" if dB >= SAME_KERNEL else (
        f"; by a tool that is not known here (the most alike: {tool}, {dB:.0f} dB)")

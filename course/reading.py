"""Reads a hand-in: unpacks it, checks its documents, measures its images.  This file runs in a jail, see sandbox.py.

Documents and images are read by libraries that were written for honest files.  Whatever they meet here, endless page
trees, a million cells, a picture of a gigabyte, costs this process its time and memory and nobody else.
"""

import json
from pathlib import Path

import numpy as np
from easydict import EasyDict

from course.check import check, pictures, same_picture
from course.facts import SET5
from course.flags import disagreement_with_lr, line_hashes, own_lines, reaching, wrong_claims
from course.flat_edition import is_flat
from course.handin import HandIn, HandInError, code_files
from course.pack import changed_since
from course.reach import beyond_reach
from course.unpack import UnpackError, unpack
from metrics import psnr, ssim, three_channels
from support.images import read_image


def answer(channel, places, what, limits):
    """Send what is known of a hand-in, the code first: what a document breaks later does not take that back.

    Args:
        places: "given" holds the hand-in as handin.zip (where there is no places["handin"], an unpacked folder).
        what: "all", or "pictures" for the five results alone.
        limits: JSON of ``facts.limits``.
    """
    facts = EasyDict(limits=json.loads(limits))
    try:
        folder = Path(places.get("handin") or Path(places["box"], "handin"))
        if "handin" not in places:
            folder.mkdir()
            unpack(Path(places["given"], "handin.zip"), folder, facts.limits)
        handin = HandIn(folder)
    except (UnpackError, HandInError) as error:
        return _say(channel, "fault", str(error).replace(str(places["box"]), "").replace(str(places["given"]), ""))
    _say(channel, "who", {"student_id": handin.student_id, "name": handin.name})
    if what == "pictures":
        return _send_pictures(channel, handin)
    for name, path in code_files(folder).items():
        channel("code", name.as_posix().encode("utf-8") + b"\0" + path.read_bytes())
    _say(channel, "flat", is_flat(folder))
    changed = changed_since(handin) or []
    _say(channel, "flags", ["changed after packing: " + ", ".join(f"{name} ({how})" for name, how in changed[:5])]
         if changed else [])
    _say(channel, "flags", reaching(handin))
    measured = _measure(channel, handin, Path(places["kit"], "references.npz"))
    _say(channel, "flags", wrong_claims(handin, measured))
    _say(channel, "lines", sorted(own_lines(handin, set())))
    for name, hashes in line_hashes(handin).items():
        _say(channel, "of_file", [name, hashes])
    references = _references(Path(places["kit"], "references.npz"))
    _say(channel, "findings", [list(finding) for finding in check(folder, facts, references=references)])
    return None


def _say(channel, name, value):
    channel(name, json.dumps(value))           # in ASCII: half characters come through, and are replaced outside


def _references(path):
    references = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            image, _, kind = key.partition("|")
            references.setdefault(image, {})[kind] = file[key]
    return references


def _send_pictures(channel, handin):
    wrong = pictures(handin)
    if wrong:
        return _say(channel, "fault", "; ".join(wrong))
    for name, path in handin.pictures().items():
        if name in SET5:
            channel.arrays(f"picture.{name}", {"image": read_image(path)[0]})
    return None


def _measure(channel, handin, path):
    """PSNR and SSIM of the Set5 results, and what they may be copies of; the images are sent too."""
    references, measured = _references(path), {}
    for name, file in handin.pictures().items():
        if name not in SET5 or name not in references:
            continue
        try:
            picture = three_channels(read_image(file)[0])
        except ValueError:
            continue                 # a finding reports it
        hr = references[name]["HR"]
        if picture.shape != hr.shape:
            continue
        copied = [f"{name}.png is {kind}" for kind, other in references[name].items() if same_picture(picture, other)]
        beyond = "" if copied else beyond_reach(picture, references[name])
        copied += [f"{name}.png: {beyond}"] if beyond else []
        # The PSNR of HR itself is infinite, which no table and no JSON can hold.
        measured[name] = {"psnr": min(psnr(picture, hr), 100.0), "ssim": ssim(picture, hr), "copied": bool(copied)}
        channel.arrays(f"picture.{name}", {"image": picture})
        _say(channel, "measured", [name, measured[name]])
        _say(channel, "flags", copied + disagreement_with_lr(name, picture, references[name]["LR"]))
    return measured

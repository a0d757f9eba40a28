"""Folders of pictures to upscale: which files are pictures, which results are there already, where one may be written.

No torch here.
"""

import errno
import glob
import hashlib
import os
import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

from PIL import Image

from support.foreign import FOREIGN, kind_of
from support.messages import count, few
from support.pictures import MADE_HERE

NO_PICTURES = {"BUFR", "GRIB", "HDF5", "MPEG", "IPTC", "EPS", "WMF"}      # Pillow knows them, and decodes none


# ---------------------------------------------------------------- finding

def endings():
    """Of the files that are read as pictures, in small letters."""
    known = {ending for ending, kind in Image.registered_extensions().items()
             if kind in Image.OPEN and kind not in NO_PICTURES}
    return known | {".mpo"}


def find_pictures(paths, subfolders=False, say=None):
    """The picture files among files, folders and patterns such as ``*.jpg``, each once, a folder's sorted by name.

    Args:
        subfolders: whether folders in folders are searched as well.
        say: function that is given a line of text about what of a folder is passed over.

    Raises:
        ValueError: for a path that does not exist, or a folder without a picture.
    """
    found = []
    for path in expanded(paths):
        if not path.is_dir():
            found.append(path)
            continue
        files, passed_over = in_folder(path, subfolders)
        for line in passed_over:
            if say:
                say(f"{path}: {line}")
        if not files:
            inside = "" if subfolders else " itself (its subfolders are searched with --subfolders)"
            raise ValueError(f"There is no image in the folder {path}{inside}." + "".join(
                f"\n  {line}" for line in passed_over))
        found += files
    return list(dict.fromkeys(found))


def expanded(paths):
    """Path objects; a pattern becomes what it matches, as Windows and quotation marks hand it on as it is.

    Raises:
        ValueError: for what does not exist.
    """
    for path in map(str, paths):
        if os.path.lexists(path):
            yield Path(path)
        elif any(letter in path for letter in "*?["):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise ValueError(f"No file matches {path}.")
            yield from map(Path, matches)
        else:
            try:
                os.lstat(path)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise ValueError(f"{path} does not exist: no disk here has names as long as this.") from None
            raise ValueError(f"{path} does not exist.")


def in_folder(folder, subfolders):
    """(the pictures of a folder, sorted; sentences about what is passed over)."""
    known, pictures, foreign, others, results = endings(), [], {}, [], []
    files, not_searched = all_files(folder, subfolders)
    for file in files:
        ending = file.suffix.lower()
        if not file.is_file():
            foreign.setdefault("there is no file behind these: broken links, or pipes and devices", []).append(file)
        elif ending in known:
            (results if is_result(file) else pictures).append(file)
        elif ending in FOREIGN:
            foreign.setdefault(FOREIGN[ending], []).append(file)
        elif not ending and is_picture(file):
            foreign.setdefault("their names have no ending such as .jpg: add it", []).append(file)
        else:
            others.append(file)
    said = [f"not upscaled: {few(named, 20)}. {what[0].upper()}{what[1:]}." for what, named in foreign.items()]
    if others:
        said.append(f"{count(others, 'file')} passed over, no pictures ({few(others)}).")
    if results:
        said.append(f"{count(results, 'result')} of earlier runs passed over ({few(results)}). To upscale one again, "
                    "name the file.")
    said += [f"{few(folders, 20)} not searched: {why}." for why, folders in not_searched.items()]
    return pictures, said


def all_files(folder, subfolders):
    """(files of a folder, sorted, hidden ones left out; dict reason -> the subfolders that were not searched for it).

    Raises:
        ValueError: if the folder cannot be read.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ValueError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    files, not_searched = [path for path in inside if not path.is_dir()], {}
    for path in inside:
        if not path.is_dir():
            continue
        if not subfolders:
            not_searched.setdefault("--subfolders takes what is in subfolders, too", []).append(path)
        elif path.is_symlink():                    # it may lead round in a circle
            not_searched.setdefault("a link is followed only where you name it", []).append(path)
        else:
            try:
                more, also_not = all_files(path, True)
            except ValueError:                     # one folder never stops the others
                more, also_not = [], {"this account may not read it": [path]}
            files += more
            for why, folders in also_not.items():
                not_searched.setdefault(why, []).extend(folders)
    return files, not_searched


def is_picture(file):
    """Whether a file's content is that of a picture, also of a kind that is not read here."""
    try:
        with Image.open(file) as image:
            return image.format not in NO_PICTURES
    except Exception:              # Pillow raises many kinds
        return kind_of(file)[1] in FOREIGN.values()


def facts_of(file):
    """The texts in a PNG file, such as "Software"; empty for anything else."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return image.info
    except Exception:              # no PNG, damaged, not there
        return {}


def is_result(file):
    """Whether a file was written by this command, or by ``sr3 infer``."""
    return file.suffix.lower() == ".png" and facts_of(file).get("Software") == MADE_HERE


# ---------------------------------------------------------------- results

def result_names(paths, scale, folders=()):
    """dict path -> name of its result; two that would get one name get their ending, their folder, or at last a number.

    Args:
        folders: those that the paths were found in; a result lies in the same subfolder.
    """
    def key(name):                     # as Windows and macOS compare names
        return unicodedata.normalize("NFC", name).lower()
    within = {path: subfolder(path, folders) for path in paths}
    numbers = {path: number for number, path in enumerate(paths, start=1)}
    stems = (lambda path: path.stem, lambda path: path.name.replace(".", "_"),
             lambda path: f"{path.absolute().parent.name}_{path.name.replace('.', '_')}",
             lambda path: f"{numbers[path]}_{path.name.replace('.', '_')}")
    names, again = {}, list(paths)
    for stem in stems:
        names |= {path: within[path] + result_name(path, stem(path), scale) for path in again}
        taken = Counter(key(name) for name in names.values())
        again = [path for path, name in names.items() if taken[key(name)] > 1]
    return names


def subfolder(path, folders):
    """``a/b/`` for a file found in ``folder/a/b``, else ``""``."""
    for folder in folders:
        if path.parent != folder and path.parent.is_relative_to(folder):
            return path.parent.relative_to(folder).as_posix() + "/"
    return ""


def result_name(path, stem, scale):
    """photo -> photo_x4.png; a result upscaled again, photo_x4 -> photo_x16.png; LR of a test set, X4/babyx4 ->
    baby_x4.png.  (Elsewhere babyx4 stays whole: box4 may be the fourth photograph of a box.)"""
    again = re.fullmatch(r"(.+)_x(\d+)", stem)
    if again:
        return f"{again[1]}_x{int(again[2]) * scale}.png"
    if re.search(rf"(^|[^a-z])lr([^a-z]|$)|^x{scale}$", path.absolute().parent.name, flags=re.IGNORECASE):
        stem = re.sub(rf"(?<=.)x{scale}$", "", stem)
    return f"{stem}_x{scale}.png"


def try_folder(folder):
    """Make a folder and write into it, before anything is computed.

    Raises:
        ValueError: if that cannot be done; the message says why.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise ValueError(f"Nothing can be written to {folder}: {reason}. Give another folder.") from error


def too_long(target):
    """Why a file cannot have its name, as a sentence; "" where it can."""
    there = next(folder for folder in Path(target).absolute().parents if folder.is_dir())
    try:
        os.lstat(there / target.name)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return (f"its result {target.name} would have a name of {len(os.fsencode(target.name))} bytes, and this "
                    "disk does not take so many. Give the picture a shorter name.")
    return ""


def why_not(target, inputs):
    """Why a result must not be written to a file, as a sentence; "" where it may.

    Args:
        inputs: the pictures that are upscaled, in the form that ``real`` gives.
    """
    if reason := too_long(target):
        return reason
    if real(target) in inputs:
        return f"its result would replace {target}, which is itself to be upscaled. Give another --out."
    if os.path.lexists(target) and not is_result(target):
        return f"{target} is there already, and is no result of this command. Move it, or give another --out."
    return ""


def real(path):
    """A path in one form only, links followed, by which two paths to one file are equal."""
    return os.path.normcase(os.path.realpath(path))


def source_of(file, *settings):
    """24 hexadecimal digits that identify a picture's content, and what it is upscaled with.

    Raises:
        OSError: if the file cannot be read.
    """
    digest = hashlib.sha256("|".join(map(str, settings)).encode())
    digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:24]


def is_there(target, file, *settings):
    """Whether a result is there already that was made from the same content with the same settings."""
    try:
        return target.exists() and facts_of(target).get("Source") == source_of(file, *settings)
    except OSError:                    # the picture cannot be read: whoever reads it says so
        return False

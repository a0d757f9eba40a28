"""Fetch the image sets: resumed, verified, unpacked safely.  The command is create_data_lists.py --download."""

import hashlib
import http.client
import os
import re
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from support.data_layout import TEST_SETS
from support.lists import leads_outside
from support.messages import few, megabytes

# ---------------------------------------------------------------- where the sets come from

# holds: folder -> number of PNG files, by which a complete set is recognised.
Archive = namedtuple("Archive", "url md5 holds")

DIV2K_URL = "http://data.vision.ee.ethz.ch/cvl/DIV2K/"
BENCHMARK_URL = "https://cv.snu.ac.kr/research/EDSR/"
# The course's own copy of the test sets; it needs a browser.
MIRROR = "https://cloud.tsinghua.edu.cn/d/d97daf4c4b394abf86ec/"

ARCHIVES = {
    "div2k": [
        Archive(DIV2K_URL + "DIV2K_valid_LR_bicubic_X4.zip", "21962de700c8d368c6ff83314480eff0",
                {"DIV2K_valid_LR_bicubic/X4": 100}),
        Archive(DIV2K_URL + "DIV2K_train_LR_bicubic_X4.zip", "76c43ec4155851901ebbe8339846d93d",
                {"DIV2K_train_LR_bicubic/X4": 800}),
        Archive(DIV2K_URL + "DIV2K_valid_HR.zip", "9fcdda83005c5e5997799b69f955ff88", {"DIV2K_valid_HR": 100}),
        Archive(DIV2K_URL + "DIV2K_train_HR.zip", "bdc2d9338d4e574fe81bf7d158758658", {"DIV2K_train_HR": 800}),
    ],
    "benchmark": [
        Archive(BENCHMARK_URL + "benchmark.tar", None,       # its md5 is published nowhere: see unpack
                {f"{name}/{kind}": n for name, n in TEST_SETS.items() for kind in ("HR", "LR_bicubic/X4")}),
    ],
}

TIMEOUT = 30             # seconds without a byte
ATTEMPTS, PAUSE = 5, 3   # how often a connection is tried, and the seconds between two attempts
SPACE_MARGIN = 1.05
CHUNK = 1 << 18
# PNG files do not shrink in an archive: one that grows by more, or holds more files, holds something else.
GROWTH, MOST_FILES = 3, 100_000


class DownloadError(RuntimeError):
    """An archive that could not be fetched or used; the message says why (``what``) and what to do."""

    def __init__(self, what, advice=""):
        super().__init__(f"{what} {advice}".strip())
        self.what = what


def download(names, root, url=None, folder=None):
    """Fetch and unpack sets into ``root``; what is complete there already is left alone.

    Args:
        names: "div2k" and/or "benchmark".
        root: the data folder; it is made if needed.
        url: a mirror: the address of the folder that holds the archives, under their published names.
        folder: take the archives from this folder, without internet; they stay there.

    Returns:
        list of sentences: what could not be fetched, and what to do.  One archive that
        fails does not keep the next one from being fetched.
    """
    root, problems = Path(root), []
    root.mkdir(parents=True, exist_ok=True)
    for archive in [archive for name in names for archive in ARCHIVES[name]]:
        name = archive.url.rsplit("/", 1)[1]
        if is_complete(archive, root):
            print(f"{name}: its images are in {root.as_posix()} already.")
            continue
        try:
            if folder:
                path = in_folder(folder, name)
                verify(path, archive.md5, f"Copy it to {folder} again.")
                unpack(archive, path, root, advice=f"Copy it to {folder} again.")
            else:
                fetch_and_unpack(archive, root / name, root, f"{url.rstrip('/')}/{name}" if url else archive.url)
            print(f"{name}: {'found' if folder else 'fetched'}, verified and unpacked into {root.as_posix()}.")
        except (DownloadError, OSError) as error:
            problems.append(str(error))
    return problems


def fetch_and_unpack(archive, target, root, url):
    """Fetch an archive to ``target``, unless it lies there, unpack it into ``root`` and delete it."""
    if target.is_file():                          # put there by hand, or its unpacking was interrupted
        verify(target, archive.md5, f"Delete {target} and run the command again.")
    else:
        fetch(url, target, archive.md5)
    unpack(archive, target, root)
    target.unlink()


def in_folder(folder, name):
    """The file ``name`` of a folder that replaces the internet.

    Raises:
        DownloadError: if it is not there; the message says what there is.
    """
    path = Path(folder, name)
    if not path.is_file():
        there = sorted(item.name for item in Path(folder).iterdir())
        raise DownloadError(f"There is no {name} in {folder}, which holds {few(there) or 'nothing'}. Put it there, "
                            "under this name, and run the same command again; without --from it is downloaded.")
    return path


def is_complete(archive, root):
    """Whether all folders of an archive are in ``root`` or one of its folders, with all their images."""
    places = [root, *(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))]
    return all(any(len(list((place / folder).glob("*.png"))) >= n for place in places)
               for folder, n in archive.holds.items())


# ---------------------------------------------------------------- fetching

def fetch(url, target, expected=None, algorithm="md5"):
    """Fetch ``url`` to the file ``target``, through ``<target>.part``, which a later call resumes.

    Args:
        expected, algorithm: as for ``verify``.

    Raises:
        DownloadError: whatever went wrong; the message says what, and what to do.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        try:
            if receive(url, part):
                break
        except HTTPError as error:
            raise DownloadError(http_sentence(error, url, target)) from None
        except (TimeoutError, ConnectionError, http.client.HTTPException):
            pass                                  # the next attempt resumes it
        except URLError as error:
            raise DownloadError(f"{url} cannot be reached ({error.reason}).",
                                "Check the connection and the proxy settings and run the same command again, name a "
                                f"mirror with --url, or fetch it on another machine and put it at {target}.") from None
    else:
        done = part.stat().st_size if part.exists() else 0
        raise DownloadError(f"{url} broke off {ATTEMPTS} times, at {megabytes(done)} the last time. "
                            "Run the same command again: it resumes from there.")
    try:
        verify(part, expected, "It was damaged on the way and has been deleted. Run the same command again.",
               algorithm)
    except DownloadError:
        part.unlink()
        raise
    os.replace(part, target)


def receive(url, part):
    """One connection: append to ``part`` what is missing.  Returns whether the file is complete now."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "srgan-teaching-kit", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        # "Range not satisfiable": there is nothing after ``done``.  Complete, or from another file.
        if (error.headers.get("Content-Range") or "").endswith(f"/{done}"):
            return True
        part.unlink()
        return False
    with answer:
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
        if answer.status != 206 or not begins or int(begins[1]) != done:
            if answer.status == 206:
                part.unlink()                     # some other range than the one asked for
                return False
            done = 0                              # no Range here: the server sends everything again
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        chunk = answer.read(CHUNK)
        refuse_web_page(answer, chunk if done == 0 else b"", url, part)
        if total:
            require_space(part.parent, total - done, total, part.name.removesuffix(".part"))
        with open(part, "ab" if done else "wb") as file, \
                tqdm(total=total, initial=done, unit="B", unit_scale=True, unit_divisor=1024, mininterval=1,
                     desc=part.name.removesuffix(".part")) as bar:
            while chunk:
                file.write(chunk)
                bar.update(len(chunk))
                done += len(chunk)
                chunk = answer.read(CHUNK)
    # A connection that is closed too early looks like the end of the file: only the length shows it.
    return total is None or done == total


def refuse_web_page(answer, beginning, url, part):
    """Networks with a login page, and moved files, answer 200 with HTML."""
    kind = answer.headers.get("Content-Type") or ""
    if kind.startswith("text/html") or beginning.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise DownloadError(f"{url} is a web page, not the file: a network that wants you to log in first, or "
                            "a file that has moved. Open the address in a browser; if it gives you the file, "
                            f"put it at {part.with_name(part.name.removesuffix('.part'))} and run the command again.")


def http_sentence(error, url, target):
    """What an HTTP error means, and what to do, as text."""
    by_hand = f"Fetch it elsewhere and put it at {target}"
    if target.suffix == ".tar":
        by_hand += f", or take the test sets by hand from {MIRROR}"
    if error.code in (404, 410):
        return f"{url} does not exist any more (HTTP {error.code}). {by_hand}."
    if error.code in (401, 403, 407):
        return f"{url} is not given to this machine (HTTP {error.code}): try another network. {by_hand}."
    if error.code == 429 or error.code >= 500:
        return f"The server of {url} has a problem (HTTP {error.code}). Run the same command again later. {by_hand}."
    return f"{url} answers with HTTP {error.code} ({error.reason}). {by_hand}."


def require_space(folder, to_come, size, name):
    """Raise DownloadError where a folder has no room for the bytes to come and, of an archive, its content."""
    is_archive = name.endswith((".zip", ".tar"))
    needed, free = int((to_come + size * is_archive) * SPACE_MARGIN), shutil.disk_usage(folder).free
    if free < needed:
        what, way = (("for the archive and for unpacking it", "choose another disk with --root") if is_archive else
                     ("there", "choose another disk: TORCH_HOME names the folder of torch's files"))
        raise DownloadError(f"{name} needs {megabytes(needed)} {what}, but only {megabytes(free)} are free in "
                            f"{folder}. Free some space, or {way}.")


def verify(path, expected, advice, algorithm="md5"):
    """Compare a file with its published hash (None: there is none to compare with).

    Args:
        expected: the hash in hexadecimal digits, or its beginning.
        algorithm: "md5" or "sha256".

    Raises:
        DownloadError: if they differ; ``advice`` says what to do.
    """
    if expected is None:
        return
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file, tqdm(total=path.stat().st_size, unit="B", unit_scale=True, unit_divisor=1024,
                                        desc="Verifying", mininterval=1, leave=False) as bar:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    if not digest.hexdigest().startswith(expected):
        raise DownloadError(f"{path.name.removesuffix('.part')} has the {algorithm.upper()} {digest.hexdigest()} "
                            f"instead of {expected}. {advice}")


def unpack(archive, path, root, advice=None):
    """Unpack a .zip or .tar into ``root``.

    Everything goes into a hidden folder first and is moved when it is complete: an
    interrupted unpacking leaves nothing that looks like a set.

    Args:
        advice: what to do about a damaged archive, which then stays; None: it is deleted.

    Raises:
        DownloadError: for a damaged or incomplete archive, one whose
            names lead out of the folder or that holds links, or too little room.
    """
    require_space(root, 0, path.stat().st_size, path.name)
    temporary = root / f".unpacking-{path.name}"
    shutil.rmtree(temporary, ignore_errors=True)            # left by an unpacking that was interrupted
    temporary.mkdir()
    unpacked = 0
    try:
        # closing: Windows cannot delete an archive that is still open.
        with tqdm(desc=f"Unpacking {path.name}", unit=" files", mininterval=1) as bar, closing(members(path)) as files:
            for n_files, (name, source) in enumerate(files, start=1):
                refuse_bomb(unpacked, n_files, path)
                file = temporary / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with source, open(file, "wb") as out:
                    while chunk := source.read(CHUNK):
                        unpacked += len(chunk)
                        refuse_bomb(unpacked, n_files, path)
                        out.write(chunk)
                bar.update()
        # A tar that ends early may read without an error: its images are counted.
        if not is_complete(archive, temporary):
            raise tarfile.ReadError("images are missing in it")
        move_into(temporary, root)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        if advice is None:
            path.unlink()
            advice = "It has been deleted. Run the same command again."
        raise DownloadError(f"{path.name} is damaged or incomplete ({error}). {advice}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def members(path):
    """Yield (name, open file) of each file in an archive, once its name has been found harmless."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                refuse_unsafe(info.filename, stat.S_ISLNK(info.external_attr >> 16), path)
                if not info.is_dir():
                    yield info.filename, archive.open(info)       # reading it verifies its CRC
    else:
        with tarfile.open(path) as archive:
            for info in archive:
                refuse_unsafe(info.name, not (info.isfile() or info.isdir()), path)
                if info.isfile():
                    yield info.name, archive.extractfile(info)


def refuse_unsafe(name, is_link, path):
    """Raise DownloadError for an entry that is a link or would be written outside the folder."""
    if is_link or name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or leads_outside(name):
        what = "is a link" if is_link else "leads out of the folder"
        raise DownloadError(f"{path.name} holds an entry {name!r} that {what}: nothing was unpacked. "
                            f"Delete {path} and fetch it from a source that you trust.")


def refuse_bomb(n_bytes, n_files, path):
    """Raise DownloadError for an archive that unpacks to far more than images do."""
    # Counted while it is unpacked: the sizes that the archive states may be wrong.
    if n_bytes > GROWTH * path.stat().st_size + CHUNK or n_files > MOST_FILES:
        raise DownloadError(f"{path.name} ({megabytes(path.stat().st_size)}) unpacks to more than "
                            f"{megabytes(n_bytes)} and {n_files} files: no images do that, so it was not unpacked. "
                            f"Delete {path} and fetch it from a source that you trust.")


def move_into(source, target):
    """Move a folder's content into another one: a whole folder at a time where it is new there."""
    for item in sorted(source.iterdir()):
        place = target / item.name
        if item.is_dir() and place.is_dir():
            move_into(item, place)
        else:
            os.replace(item, place)

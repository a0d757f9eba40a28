"""The store: every image decoded once, kept as raw bytes on disk, and from then on memory-mapped."""

import hashlib
import io
import math
import mmap
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image

from support.content import content_hash
from support.files import write_atomically
from support.images import read_image
from support.lists import DataError
from support.messages import megabytes, notice
from support.progress import StatusLine

STORED = re.compile("[0-9a-f]{24}[.]npy")           # only such files are ever deleted: the folder may hold others
UNFINISHED = re.compile("([0-9a-f]{24}[.]npy[.].*|[0-9a-f]{32})[.]tmp")
DAY = 24 * 3600
WAYS_OUT = ("Free space or allow writing there, or set config.store to another folder, or to None: "
            "then the images are kept in memory.")
DIGEST = 16                                         # hexadecimal digits in the hash of an image's pixels
THREADS = 8                                         # each holds an image or two; fewer already keep a disk busy


class StoreError(DataError):
    """The store cannot be written: no space, no permission; the message says where and what to do."""


class ImageStore:
    """Every image decoded once, and from then on read as a memory-mapped array.

    Decoding a 2040 x 1356 PNG takes a tenth of a second, cutting a patch from the
    decoded image some microseconds.  An image is kept as ``<key>.npy``, where the key is a
    hash of the file's path and content: a file that changes gets a new key, also where its
    size and date stay the same.  (Hashing takes a few per cent of the time of decoding.)  What was
    hashed stands after the array's bytes, where ``np.load`` does not look, and after it a digest of
    the pixels.  They show that the file is complete, and which image it belongs to: files of images
    that are gone or have changed are deleted when others are added.

    An image that is replaced while a training runs is not noticed by that training, nor by
    its workers: all continue with the pixels that were there when it began.

    All processes share the pages, and the system drops them where it needs the memory.
    Several may build the same store at the same time: a file is there complete or not at all.

    Args:
        folder: where the decoded images are kept; None keeps them in this process's memory.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else Path(folder)
        self._open = {}                  # path -> array
        self._labels = {}                # path -> the state of its file when it was first looked at
        self._digests = {}               # path -> hash of its pixels

    def __getstate__(self):
        # A pickled memory map carries all its bytes: a worker opens its own instead.
        return {**self.__dict__, "_open": self._open if self.folder is None else {}}

    def get(self, path):
        """The image as uint8 array, (H, W, 3) or grey (H, W), read-only where it comes from the store.

        Raises:
            StoreError: if it is not in the store yet and cannot be written there.
            ValueError, OSError: if it cannot be read.
        """
        if path not in self._open:
            self._open[path] = self._decode(path) if self.folder is None else self._stored(path)
        return self._open[path]

    def digest(self, path):
        """16 hexadecimal digits that identify the image's pixels; arguments and errors as ``get``."""
        self.get(path)
        return self._digests[path]

    def prepare(self, paths, label):
        """Decode what is not in the store yet, in parallel, with progress.

        Args:
            paths: Path objects, each once.
            label: what these images are, for the progress line.

        Returns:
            dict path -> what is wrong with it, for the files that cannot be read.

        Raises:
            StoreError: if there is not enough space, before anything is decoded; or if a
                file cannot be written.  What was stored until then is complete and stays.
        """
        pool = ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS))      # Pillow decodes outside Python's lock
        try:
            new = [path for path, found in zip(paths, pool.map(self._is_here, paths)) if not found]
            if self.folder is not None and (needed := sum(pool.map(decoded_bytes, new))):
                self._make_room(needed, len(new))
            line, faults = StatusLine(), {}
            for n, (path, fault) in enumerate(zip(new, pool.map(self._fault, new)), start=1):
                if fault:
                    faults[path] = fault
                if len(new) > 50:
                    line.show(f"Decoding {label}: {n} of {len(new)} images", last=n == len(new))
        finally:
            pool.shutdown(cancel_futures=True)       # a full disk or Ctrl-C ends it: no further image is started
        return faults

    # ------------------------------------------------------------ adding

    def _decode(self, path):
        """Read an image file, with a notice where it was changed, and note its digest."""
        image, changed = read_image(path)
        if changed:
            notice(f"{path}: {changed}.")
        self._digests[path] = _digest(image)
        return image

    def _stored(self, path):
        """The image from its file in the store, which is written first where it is not there."""
        if path not in self._labels:
            self._labels[path] = _label(path)
        label = self._labels[path]
        file = self.folder / _file_name(label)
        if not self._map(path, file, label):
            if _label(path) != label:
                raise StoreError(f"{path} has been replaced while it was in use, and its old pixels are no longer in "
                                 f"{self.folder}. Start again: restart the notebook's kernel, or the command.")
            image = self._decode(path)
            if _label(path) != label:                # replaced while it was decoded: these pixels are not that label's
                raise StoreError(f"{path} is being replaced at this moment. Start again when it is whole.")
            self._write(file, image, label, self._digests[path])
            if not self._map(path, file, label):
                raise StoreError(f"{file} was written, but does not hold what was written. {WAYS_OUT}")
        return self._open[path]

    def _map(self, path, file, label):
        """Open the image in a file of the store; returns whether the file is there, complete, and this image's."""
        found = _mapped(file, label)
        if found:
            self._open[path], self._digests[path] = found
        return bool(found)

    def _write(self, file, image, label, digest):
        """Write an image as a file of the store.

        Raises:
            StoreError: if that fails and no other process has written it.
        """
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(image))
        try:
            write_atomically(file, b"".join([header.getvalue(), np.ascontiguousarray(image).data, label,
                                            b"|" + digest.encode()]))
        except OSError as error:
            # Windows replaces no file that is mapped: another process was faster, with the same image.
            if _mapped(file, label) is None:
                reason = os.strerror(error.errno) if error.errno else error
                raise StoreError(f"The decoded images cannot be kept in {self.folder}: {reason}, at "
                                 f"an image of {megabytes(image.nbytes)}{self._free_space()}. {WAYS_OUT}") from error

    def _is_here(self, path):
        """Whether the image needs no decoding; then it is opened as well."""
        if path not in self._open and self.folder is not None:
            try:
                label = _label(path)
            except OSError:
                return False             # _fault reports it
            self._labels[path] = label
            self._map(path, self.folder / _file_name(label), label)
        return path in self._open

    def _fault(self, path):
        """Get the image; what is wrong with it, or None."""
        try:
            self.get(path)
        except StoreError:
            raise                        # not the image's fault
        except FileNotFoundError:
            return f"{path} does not exist."
        except OSError as error:
            return f"{path} cannot be read ({error.strerror or error})."
        except ValueError as error:
            return str(error)

    # ------------------------------------------------------------ the folder

    def _make_room(self, needed, n_images):
        """Make the folder, delete what is no longer used, and check that so many bytes fit.

        Raises:
            StoreError: if they do not.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            usage = shutil.disk_usage(self.folder)
        except OSError as error:
            raise StoreError(f"The decoded images cannot be kept in {self.folder}: {error.strerror or error}. "
                             f"{WAYS_OUT}") from error
        needed += 4096 * n_images                    # for each: a header, a label, and a last block that is not full
        if usage.total and needed > usage.free:      # some network folders do not say, and report 0 of 0
            raise StoreError(f"The decoded images do not fit into {self.folder}: {n_images} images need "
                             f"{megabytes(needed)}, and {megabytes(usage.free)} are free there. {WAYS_OUT}")

    def _sweep(self):
        """Delete the files of images that are gone or have changed, and what a killed build left."""
        for file in self.folder.iterdir():
            try:
                if STORED.fullmatch(file.name):
                    if not _is_current(file):
                        file.unlink()
                elif UNFINISHED.fullmatch(file.name) and time.time() - file.stat().st_mtime > DAY:
                    file.unlink()                    # a newer one may belong to another process that writes now
            except OSError:
                pass         # in use elsewhere (Windows), or deleted by another process: left for the next time

    def _free_space(self):
        """How much is free in the folder, as text; "" where that cannot be read."""
        try:
            return f" ({megabytes(shutil.disk_usage(self.folder).free)} are free there)"
        except OSError:
            return ""


# ---------------------------------------------------------------- a file of the store

def _label(path):
    """What identifies the state of an image file: path|hash of its content, as bytes.

    Raises:
        OSError: if there is no such file.
    """
    return os.fsencode(f"{Path(path).resolve()}|{content_hash(path)}")


def _digest(image):
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:DIGEST]


def _file_name(label):
    return hashlib.sha256(label).hexdigest()[:24] + ".npy"


# numpy reads a header as a Python literal, and Python 3.11 fails now and then where two threads do that at once
# (SystemError: AST constructor recursion depth mismatch).
_ONE_AT_A_TIME = Lock()


def _array_place(opened):
    """(shape, first byte) of the array in an opened .npy file of bytes.

    Raises:
        ValueError: if it is no such file.
    """
    if np.lib.format.read_magic(opened) != (1, 0):
        raise ValueError("not of format version 1.0")
    with _ONE_AT_A_TIME:
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(opened)
    if dtype != np.uint8 or fortran_order:
        raise ValueError("not an array of bytes")
    return shape, opened.tell()


def _mapped(file, label):
    """(image, digest) in a file of the store, read-only; None if the file is missing, cut short or another image's."""
    try:
        with open(file, "rb") as opened:
            shape, begin = _array_place(opened)
            end = begin + math.prod(shape)
            opened.seek(end)
            tail = opened.read(len(label) + DIGEST + 2)
            if tail[:-DIGEST] != label + b"|" or len(tail) != len(label) + DIGEST + 1:
                return None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    image = _map_bytes(file, end)[begin:].reshape(shape)
    image.flags.writeable = False
    return image, tail[-DIGEST:].decode()


def _map_bytes(file, size):
    """The first bytes of a file as a memory-mapped uint8 array.

    Python's own ``mmap``, and so ``np.load(..., mmap_mode="r")``, holds a file descriptor for
    each map: DIV2K has 1,600 images and more, and a process may often open 1,024 files or 256.
    ``torch.from_file`` closes it.  Its private map may be written to, each page written
    becoming a copy: nobody does, and so it takes no memory, but Windows sets memory aside for
    the whole of it.  Windows has handles to spare instead: there Python's map, which is
    read-only, is used.  (``shared=True`` does not help: it opens the file for writing.)
    """
    if os.name == "nt":
        with open(file, "rb") as opened:
            return np.frombuffer(mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ), np.uint8)
    return torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8).numpy()


def _is_current(file):
    """Whether a file of the store is complete and its image file is still as it was."""
    try:
        with open(file, "rb") as opened:
            shape, begin = _array_place(opened)
            opened.seek(begin + math.prod(shape))
            label = opened.read()[:-DIGEST - 1]
        return _file_name(label) == file.name and _label(os.fsdecode(label.rsplit(b"|", 1)[0])) == label
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


# ---------------------------------------------------------------- sizes

def decoded_bytes(path):
    """The bytes of the decoded image, computed from the file's header; 0 if that cannot be read.

    Turning it upright, as EXIF says, changes its sides but not their product.
    """
    try:
        with Image.open(path) as image:
            return math.prod(image.size) * (1 if image.mode in ("1", "L", "LA") else 3)
    except Exception:              # Pillow raises many kinds for damaged files; decoding reports them
        return 0

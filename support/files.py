"""Files that are written whole or not at all: atomic writing, tables, images (no torch here)."""

import contextlib
import csv
import errno
import io
import os
import re
import uuid
from pathlib import Path

from PIL import Image

from support.messages import megabytes, notice

# The names of write_atomically's temporary files; those of earlier versions had the file's own name in front.
UNFINISHED = re.compile(r"(.+\.)?[0-9a-f]{32}\.tmp")


def write_atomically(path, data, keep_old=None):
    """Write bytes so that ``path`` holds the old or the new content, whenever the machine stops.

    Args:
        keep_old: the old content becomes this file, once the new one is on the disk.

    Raises:
        OSError: if it cannot be written; the message says why, and that the old file is still there.
    """
    path = Path(path)
    temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")        # short: a disk may allow no longer name than path's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())     # renaming an unwritten file would leave an empty one after a power cut
        if keep_old is not None and path.exists():
            os.replace(path, keep_old)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise type(error)(error.errno, _cannot_write(path, len(data), error)) from error
        raise


def _cannot_write(path, n_bytes, error):
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = {errno.ENOSPC: "Free some space", errno.EDQUOT: "Free some space", errno.EROFS: "Allow writing there",
              errno.EACCES: "Allow writing there, or close the program that has it open"}.get(error.errno, "Fix this")
    state = "The file that was there is unchanged" if os.path.exists(path) else "Nothing was written"
    return f"{path} ({megabytes(n_bytes)}) could not be written: {reason}. {state}. {advice} and run this again."


def remove_unfinished(folder):
    """Delete what ``write_atomically`` left in a folder when it was killed."""
    for file in Path(folder).rglob("*.tmp"):
        if UNFINISHED.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_csv(path, rows, encoding="utf-8"):
    """Write a table, atomically.  A spreadsheet that has the old one open stops nothing: a notice says so.

    Args:
        rows: of cells; the first one is the header.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    try:
        write_atomically(path, text.getvalue().encode(encoding))
    except PermissionError:        # on Windows a program that shows the file locks it
        notice(f"{path} could not be written; is it open in another program? "
               "It still holds the former table. Close it there and run this cell again.")


def save_image(path, image, **options):
    """Write a uint8 array (H, W, 3), (H, W) or (H, W, 4) as PNG, atomically; ``options`` are those of Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **options)
    write_atomically(path, buffer.getvalue())

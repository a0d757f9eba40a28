"""What the kit says: notices that are also kept, errors that need no traceback, numbers in the form that people read.

No torch here.
"""

import contextlib
import time
from pathlib import Path


class SaysItAll:
    """Of an error: its message names the thing and the way out, so a notebook shows it without the traceback."""

    def _render_traceback_(self):                    # IPython asks an exception for this
        return [f"{type(self).__name__}: {self}"]


class NotWritten(SaysItAll, NotImplementedError):
    """Raised where a part that is yours to write still stands as it was handed out.

    Its text names the file and the line: ``models.py, line 64: Generator.__init__ is yours to write``.
    """

    def __str__(self):
        file, line = self.place()
        return f"{file}, line {line}: {super().__str__()}" if file else super().__str__()

    def place(self):
        """(name of the file, line) that raised it; ("", 0) before it is raised."""
        last = self.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        return (Path(last.tb_frame.f_code.co_filename).name, last.tb_lineno) if last else ("", 0)


_unkept, _file = [], None      # lines that have no run folder yet; the notices.txt of the run that is at work


def notice(text):
    """Print a notice, and keep it in the run folder: what is printed at night can be read in the morning."""
    print(f"Notice: {text}")
    _unkept.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
    _write()


@contextlib.contextmanager
def notices_kept_in(folder):
    """Inside ``with``, notices are kept in ``folder``/notices.txt, with those that no folder has kept yet."""
    global _file
    former, _file = _file, Path(folder, "notices.txt")
    _write()
    try:
        yield
    finally:
        _file = former


def _write():
    """Move the notices that are not kept yet to the file, where there is one."""
    if _file is None:
        del _unkept[:-100]                           # a command without a run folder: only the latest are remembered
    if _file is None or not _unkept:
        return
    with contextlib.suppress(OSError):               # a full disk is reported elsewhere; the notice was printed
        _file.parent.mkdir(parents=True, exist_ok=True)
        with open(_file, "a", encoding="utf-8") as file:
            file.writelines(_unkept)
        _unkept.clear()


def few(names, n=3):
    """The first of many names, or files: ``a.png, b.png, c.png and 9 more``."""
    names = [getattr(name, "name", str(name)) for name in names]
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def count(files, word="image"):
    """``1 image``, ``12 images``."""
    return f"{len(files)} {word}{'s' * (len(files) != 1)}"


def megabytes(n_bytes):
    """A number of bytes as ``12.3 MB`` or ``1.25 GB``."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def duration(seconds):
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

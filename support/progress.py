"""The progress line, in a notebook, a terminal or a file: on stderr, where results are on stdout (no torch here)."""

import math
import shutil
import sys
import time


def in_notebook():
    """Whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class StatusLine:
    """One line of text that is replaced by the next: in a notebook, or in a terminal."""

    def __init__(self):
        self.handle, self.shown = None, -math.inf

    def show(self, text, last=False):
        """Show ``text``; the ``last`` one is always shown, others not more often than eyes can follow."""
        now = time.monotonic()
        if not last and now - self.shown < (0.3 if in_notebook() or sys.stderr.isatty() else 20):
            return
        self.shown = now
        if in_notebook():
            from IPython.display import display
            bundle = {"text/plain": text}
            if self.handle is None:
                self.handle = display(bundle, raw=True, display_id=True)
            else:
                self.handle.update(bundle, raw=True)
        elif sys.stderr.isatty():
            # A line that the terminal wraps could not be replaced by the next.
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[2K{text if last else text[:width]}" + ("\n" if last else ""))
            sys.stderr.flush()
        else:                                # into a file: a line every 20 seconds
            print(text, file=sys.stderr, flush=True)

    def clear(self):
        """Take the line off a terminal: progress goes to stderr, and a result that is printed next to stdout."""
        if not in_notebook() and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

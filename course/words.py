"""Words that come from a hand-in, made fit for a table and a page."""

import os
import re
import sys
import tempfile
from pathlib import Path

LONGEST = 500          # characters of a sentence
# Folders of a machine before a file's name: students read where in their own code it was, not where that lay.
# Two slashes: repr doubles those of Windows.
FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/]{1,2}[^\\/\s'\"<>|:*?]+)+[\\/]{1,2}(?=[^\\/\s'\"<>|:*?]+)")
# This machine's own folders, whose names may hold spaces: FOLDERS alone would stop there.  Not "/" or "/tmp".
OWN_FOLDERS = sorted({path for path in (os.path.expanduser("~"), tempfile.gettempdir(), sys.prefix, sys.base_prefix,
                                        str(Path(__file__).resolve().parents[1])) if len(Path(path).parts) > 2},
                     key=len, reverse=True)
# Each as it is written in a text, in repr and in a URL.
IN_OWN_FOLDERS = re.compile("|".join(
    f"(?:{re.escape(written)})" + r"(?:[\\/]+|(?![\w.-]))" for path in OWN_FOLDERS
    for written in (path.replace("\\", "\\\\"), path, path.replace("\\", "/"))) or "(?!)")
# Control characters, half characters (surrogates), those that turn the direction of a text, and those that nobody sees.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
                   "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")


def clean(text, lines=1, longest=LONGEST):
    """A text without folders of this machine and without what no page can show; its last lines, cut to ``longest``."""
    text = FOLDERS.sub("", IN_OWN_FOLDERS.sub("/_/", str(text)[-20 * longest:])).replace("/_/", "")
    text = UNFIT.sub("?", text)
    kept = "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])
    return kept if len(kept) <= longest else kept[:longest - 1] + "…"


def clean_values(value, depth=0):
    """JSON values with clean texts; what is nested deeper than a result is becomes None."""
    if isinstance(value, str):
        return UNFIT.sub("?", value)[:5000]
    if depth > 8:
        return None
    if isinstance(value, list):
        return [clean_values(entry, depth + 1) for entry in value]
    if isinstance(value, dict):
        return {clean_values(str(key)): clean_values(entry, depth + 1) for key, entry in value.items()}
    return value

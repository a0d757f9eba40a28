"""Words that come from a hand-in, made fit for a table and a page."""

import re

LONGEST = 500          # characters of a sentence
# Folders of a machine before a file's name: students read where in their own code it was, not where that lay.
FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\\/\s'\"<>|:*?]+)+[\\/](?=[^\\/\s'\"<>|:*?]+)")
# Control characters, half characters (surrogates), and those that turn the direction of a text.
UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text, lines=1, longest=LONGEST):
    """A text without folders of this machine and without what no page can show; its last lines, cut to ``longest``."""
    text = UNFIT.sub("?", FOLDERS.sub("", str(text)[-20 * longest:]))
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

"""The notebooks of the repository are stored with their outputs: what a reader sees before anything is run.

    python tests/stored_notebooks.py                 all of them
    python tests/stored_notebooks.py train.ipynb     these

Says of each notebook what must not be committed: a cell that has not been run, a widget, a path or the hours of the
machine that ran it.  Needs nothing but Python: `make lint` and the hook of git run it before each commit.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|kaggle|content)/|\b[A-Z]:\\\\")
AGAIN = "Run the whole notebook again and store it (CONTRIBUTING.md says how)."


def notebooks():
    """All notebooks of the kit."""
    return sorted([*ROOT.glob("*.ipynb"), *ROOT.glob("extensions/*.ipynb")])


def faults(notebook):
    """What must not be stored, as a list of sentences.

    Args:
        notebook: dict, the content of an .ipynb file.
    """
    cells = [(number, cell) for number, cell in enumerate(notebook["cells"], start=1) if cell["cell_type"] == "code"]
    found = []
    counts = [cell["execution_count"] for _, cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"its cells were not run once, from the first to the last: they are numbered {counts}. {AGAIN}")
    if not any("image/png" in output.get("data", {}) for _, cell in cells for output in cell["outputs"]):
        found.append(f"it has no picture. {AGAIN}")
    for number, cell in cells:
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {number} ends in {output['ename']}. Correct it. {AGAIN}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} shows a warning: {''.join(output['text']).strip()[:80]!r}. "
                             f"See to its cause. {AGAIN}")
            if any("widget" in kind for kind in output.get("data", {})):
                found.append(f"cell {number} shows a widget, which is lost when the notebook is closed. "
                             "Show progress as a line or a picture that is updated (support/progress.py).")
    for number, cell in enumerate(notebook["cells"], start=1):
        line = numbered_on("".join(cell["source"])) if cell["cell_type"] == "markdown" else None
        if line:
            found.append(f"the list in text cell {number} that begins with {line[:40]!r} is numbered on from the list "
                         "above it. Put a line of text between them.")
    if "widgets" in notebook["metadata"]:
        found.append('its metadata hold the state of widgets. Delete "widgets" there, or clear the outputs. ' + AGAIN)
    hours = [number for number, cell in enumerate(notebook["cells"], start=1) if "execution" in cell["metadata"]]
    if hours:
        found.append(f"the hours at which cells were run are stored with them (cells {hours}). Delete \"execution\" "
                     "from their metadata, and turn off JupyterLab's setting \"Record timing\".")
    # The cell for hosted notebooks names the folders of the hosts, which are no machine's own.
    text = json.dumps([cell for cell in notebook["cells"] if "hosted" not in cell["metadata"].get("tags", [])])
    path = OUTSIDE.search(text)
    if path:
        where = text[path.start():path.start() + 60]
        found.append(f"it shows a path of the machine that ran it: {where}. Print paths relative to the kit. {AGAIN}")
    return found


def numbered_on(text):
    """The line of a Markdown text at which a list begins anew and is numbered on from the one above it; None if none.

    Markdown joins two lists that only an empty line parts: the second one's "1." is shown as 5.
    """
    last = None
    for line in text.splitlines():
        number = re.match(r"(\d+)\. ", line)
        if number and last is not None and int(number[1]) <= last:
            return line
        if number or line.strip() and not line.startswith(" "):
            last = int(number[1]) if number else None
    return None


def main(paths):
    """Print the faults of these notebooks; returns how many notebooks have some."""
    spoilt = 0
    for path in paths:
        try:
            found = faults(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError) as error:
            found = [f"it cannot be read as a notebook ({type(error).__name__}: {error}). Take it back from git."]
        spoilt += bool(found)
        for fault in found:
            print(f"{path}: {fault}")
    print(f"{len(paths)} notebooks as they are stored: {spoilt or 'none'} with faults")
    return spoilt


if __name__ == "__main__":
    sys.exit(bool(main([Path(name) for name in sys.argv[1:]] or notebooks())))

"""Hand-ins that were made with the flat edition: the student edition before version 2.0, which had no support/.

Everything lay at the top level there, and models.py says ``from checkpoints import read_weights``.  Such a hand-in is
graded on the files that its code was written for, not on those of today.  They lie in flat_edition.tar.xz as students
got them: what models.py and solver.py import, directly or not, and the code cells of the three notebooks.
"""

import re
import tarfile
from pathlib import Path

from course.handin import code_files

ARCHIVE = Path(__file__).with_name("flat_edition.tar.xz")
# Of the files that lay at the top level then, those that do not now.
MODULES = {"checkpoints", "figures", "image_store", "layers", "precision", "provenance", "stage", "troubles"}


def unpack_flat_edition(folder):
    """Write the files of the flat edition into a folder; returns the folder."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            Path(folder, member.name).write_bytes(archive.extractfile(member).read())
    return Path(folder)


def is_flat(folder):
    """Whether the code of a hand-in was written for the flat edition: it imports files that lie in support/ today.

    Code of today's edition that has a ``layers.py`` of its own, say, imports something from support/ as well.
    """
    imported = set()
    for path in code_files(folder).values():
        text = path.read_text(encoding="utf-8-sig", errors="replace")      # it need not be Python that can be parsed
        found = re.findall(r"^\s*(?:from\s+(\w+)[\w.]*\s+import\b|import\s+(\w+))", text, flags=re.MULTILINE)
        imported |= {module for pair in found for module in pair}
    return bool(imported & MODULES) and "support" not in imported

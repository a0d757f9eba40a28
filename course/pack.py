"""Pack a hand-in: <student-id>.zip, the same bytes for the same files, with a manifest of hashes."""

import hashlib
import io
import json
import zipfile

from course.handin import MANIFEST, HandIn
from support.files import write_atomically
from support.version import kit_version

FIRST_DAY = (1980, 1, 1, 0, 0, 0)        # of zip files: with the time of packing, no two would be equal
REGULAR_FILE = 0o100644 << 16


def pack(folder, out):
    """Write the zip file of a hand-in; returns (path, list of the paths inside).

    Args:
        folder: the student's kit; only what belongs to a hand-in is packed (``HandIn.contents``).
        out: the folder for the zip file.

    Raises:
        ValueError: if handin.toml has no student id.
    """
    handin = HandIn(folder)
    if not handin.student_id:
        raise ValueError("handin.toml has no student_id; the zip file is named after it.")
    files = {name.as_posix(): path.read_bytes() for name, path in handin.contents().items()}
    manifest = {"student_id": handin.student_id, "name": handin.name, "kit": kit_version(handin.folder),
                "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}}
    files[MANIFEST] = json.dumps(manifest, indent=2, ensure_ascii=False).encode("utf-8")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, REGULAR_FILE, 3
            archive.writestr(entry, files[name], compresslevel=9)
    path = out / f"{handin.student_id}.zip"
    write_atomically(path, buffer.getvalue())
    return path, sorted(files)


def changed_since(handin):
    """Files of an unpacked hand-in that differ from its manifest: [(name, "changed", "missing" or "new")].

    None where there is no manifest: the zip file was packed by hand.
    """
    try:
        listed = json.loads((handin.folder / MANIFEST).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = {path.relative_to(handin.folder).as_posix(): path for path in handin.folder.rglob("*") if path.is_file()}
    found.pop(MANIFEST, None)
    differing = [(name, "missing" if name not in found else "changed") for name, digest in listed.items()
                 if name not in found or hashlib.sha256(found[name].read_bytes()).hexdigest() != digest]
    return sorted(differing + [(name, "new") for name in found if name not in listed])

"""Unpack the zip file of a hand-in, which may come from any system, or from somebody who means harm."""

import re
import stat
import zipfile
from pathlib import Path, PurePosixPath

NOISE = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", "__pycache__", ".ipynb_checkpoints"}
OTHER_KINDS = {b"Rar!\x1a\x07": ".rar", b"7z\xbc\xaf\x27\x1c": ".7z", b"\x1f\x8b": ".tar.gz"}
# Windows reserves these names for devices, also with an ending.
DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
CHUNK = 1 << 16
MAX_DEPTH = 20           # of folders in folders
UTF8_FLAG, ENCRYPTED_FLAG = 0x800, 0x1


class UnpackError(ValueError):
    """A hand-in that is not unpacked; the message says why."""


def unpack(path, folder, limits, once_more=True):
    """Unpack a zip file into an empty folder, without extra top folders and without the files that systems add.

    Args:
        limits: ``facts.limits``: zip_mb, unpacked_mb, files.
        once_more: whether a zip file that is all it holds is unpacked too: some platforms pack what students have
            packed.

    Returns:
        the files' paths inside ``folder``, sorted, as PurePosixPath.

    Raises:
        UnpackError: for an archive that is not a zip file, is damaged or encrypted, holds a path that leads
            outside, a link, or two files of one name, or holds more than the limits allow.
    """
    path, folder = Path(path), Path(folder)
    check_size(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, limits)
            left = limits.unpacked_mb * 1e6
            for name, info in members.items():
                left -= _write(archive, info, folder / name, left, limits)
    except UnpackError:
        raise
    except OSError as error:
        raise UnpackError(f"{path.name} could not be unpacked: {error}.") from error
    except Exception as error:         # damaged archives raise exceptions of many types: zipfile's, lzma's, struct's
        raise UnpackError(f"{path.name} is damaged, or not a zip file: {error}.") from error
    if once_more and [name.suffix.lower() for name in members] == [".zip"]:
        inner = (folder / next(iter(members))).replace(folder.with_name(f"{folder.name}_inner.zip"))
        try:
            return unpack(inner, folder, limits, once_more=False)
        finally:
            inner.unlink()
    return sorted(members)


def check_size(path, limits):
    """Look at a hand-in before it is opened; an unpacked folder passes.

    Raises:
        UnpackError: for a file of another kind, or a larger one than the limits allow.
    """
    if Path(path).is_dir():
        return
    _check_kind(path)
    if path.stat().st_size > limits.zip_mb * 1e6:
        raise UnpackError(f"{path.name} has {path.stat().st_size / 1e6:.0f} MB; the limit is {limits.zip_mb} MB.")


def _check_kind(path):
    with open(path, "rb") as file:
        begin = file.read(8)
    kind = next((kind for magic, kind in OTHER_KINDS.items() if begin.startswith(magic)), None)
    if kind or path.suffix.lower() in (".rar", ".7z"):
        raise UnpackError(f"{path.name} is a {kind or path.suffix} file. Only .zip is accepted: unpack it, and pack it "
                          "again with `python -m course pack`.")


def _members(archive, limits):
    """{path inside the folder: entry}, checked, without NOISE and without extra top folders."""
    members, seen = {}, {}
    for info in archive.infolist():
        name = _name(info)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if info.is_dir() or name.endswith("/") or NOISE & set(parts) or not parts or parts[-1].startswith("._"):
            continue
        _check_path(name, parts)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UnpackError(f"{name} is a link; links are not accepted.")
        if info.flag_bits & ENCRYPTED_FLAG:
            raise UnpackError(f"{name} is encrypted. Pack it without a password.")
        if PurePosixPath(*parts) in members:
            raise UnpackError(f"It holds {name} twice.")
        members[PurePosixPath(*parts)] = info
        if len(members) > limits.files:
            raise UnpackError(f"It holds more than {limits.files} files.")
    if sum(info.file_size for info in members.values()) > limits.unpacked_mb * 1e6:
        raise UnpackError(f"Unpacked it would have more than {limits.unpacked_mb} MB.")
    while members and all(len(name.parts) > 1 for name in members) and len({name.parts[0] for name in members}) == 1:
        members = {PurePosixPath(*name.parts[1:]): info for name, info in members.items()}
    for name in members:
        other = seen.setdefault(str(name).casefold(), name)
        if other is not name:
            raise UnpackError(f"It holds {name} twice (as {other}).")
    if not members:
        raise UnpackError("It holds no file.")
    return members


def _name(info):
    """The name of an entry.  Without the UTF-8 flag zipfile reads CP437; Chinese Windows writes GBK, macOS UTF-8."""
    name = info.filename
    if not info.flag_bits & UTF8_FLAG:
        raw = name.encode("cp437", errors="replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/")


def _check_path(name, parts):
    if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise UnpackError(f"{name!r} leads out of the folder.")
    if len(parts) > MAX_DEPTH:
        raise UnpackError(f"It holds more than {MAX_DEPTH} folders inside each other.")
    for part in parts:
        if re.search(r'[\x00-\x1f<>:"|?*]', part) or DEVICES.fullmatch(part) or part != part.rstrip(" .") or (
                len(part.encode("utf-8", "replace")) > 200):
            raise UnpackError(f"{name!r} is no file name on every system.")


def _write(archive, info, target, left, limits):
    """Write one entry; returns its size, counted while it is unpacked, for the header may lie."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(info) as source, open(target, "xb") as file:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise UnpackError(f"Unpacked it has more than {limits.unpacked_mb} MB.")
            file.write(chunk)
    return written

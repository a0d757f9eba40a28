"""What a file is that is given as weights and is none, in words (no torch here)."""

import re
import zipfile

from support.messages import few, megabytes

AGAIN = "Fetch or copy it again."
PACKED = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"       # near the beginning of what torch.save wrote before it wrote zip files
OTHERS = {b"\x93NUMPY": "a NumPy array", b"GGUF": "a GGUF file, of language models", b"\x89PNG": "a picture",
          b"\xff\xd8\xff": "a picture", b"%PDF": "a PDF document"}


def something_else(path):
    """What a file is where it cannot be one of weights, as the rest of a sentence with a way out; else ""."""
    with open(path, "rb") as file:
        start = file.read(512)
    if is_safetensors(path):                # first: it begins with any number at all
        return ""
    text = start.removeprefix(b"\xef\xbb\xbf").strip().lower()
    packed = next((name for magic, name in PACKED.items() if start.startswith(magic)),
                  "tar" if start[257:262] == b"ustar" else None)
    if not start:
        return f"is empty (0 bytes): a download or a copy was stopped. {AGAIN}"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        size = re.search(rb"size (\d+)", start)
        return ("is a pointer of Git LFS, a few lines of text that stand for the file" +
                (f" of {megabytes(int(size[1]))}" if size else "") +
                ". In the repository that it comes from: git lfs pull; or download the file itself from its page.")
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return ("is a web page, not the file: the server wants a log-in or a click first. Open the address in a "
                "browser, and save the file itself.")
    if packed:
        return f"is a packed file ({packed}). Unpack it, and give the weights that are inside."
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file, such as Keras writes. Weights of PyTorch are read: .pth, .pt, .safetensors."
    other = next((name for begins, name in OTHERS.items() if start.startswith(begins)), "an ONNX model" if (
        start[:1] == b"\x08" and start[2:3] in (b"\x12", b"\x1a", b":", b"B")) else "")
    if other:
        return f"is {other}, not weights of PyTorch. Weights are read from .pth, .pt and .safetensors files."
    if start.startswith(b"\x80") and LEGACY not in start[:40]:
        return ("is a pickle that torch.save has not written, or is damaged or cut short. Such a file can run code of "
                "whoever made it: nothing in it was run. Save the state_dict with torch.save where it was made.")
    if start.startswith(b"PK"):
        return _other_zip(path)
    if all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        begin = start.decode("utf-8", "replace").strip().splitlines() or [""]
        return f"is a text that begins with {begin[0][:60]!r}, not weights. {AGAIN}"
    return ""


def _other_zip(path):
    """The same for what begins like a zip file, as everything that ``torch.save`` writes does."""
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"is damaged or cut short ({megabytes(path.stat().st_size)} are here). {AGAIN}"
    if any(name.endswith("/constants.pkl") for name in names):
        return ("is a TorchScript program (torch.jit.save), not weights alone. It was not opened. Save "
                "module.state_dict() with torch.save where it was made.")
    if not any(name.endswith("/data.pkl") for name in names):
        return f"is a zip file with {few(names)}. Unpack it, and give the weights that are inside."
    return ""


def is_safetensors(path):
    """Whether a file begins as .safetensors does, whatever its name: with the length of a JSON header."""
    with open(path, "rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000

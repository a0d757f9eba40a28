"""Pictures that are not read here, by the ending of their name or their first bytes; and what to do (no torch here)."""

from pathlib import Path

EXPORT = "export them as JPEG or PNG"
DEVELOP = "develop these raw photographs and " + EXPORT
DRAWING = "export these drawings as PNG, in any size: they need no network"
RAW = (".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr",
       ".iiq", ".x3f")
# ending -> what to do
FOREIGN = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".jxl", ".jxr", ".wdp", ".avif", ".xcf", ".kra", ".ora"), EXPORT),
    **dict.fromkeys(RAW, DEVELOP),
    **dict.fromkeys((".exr", ".hdr"), "convert them to 8 bits, with the brightness that you want, and " + EXPORT),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ps", ".ai", ".wmf", ".emf"), DRAWING),
}
AGAIN = "fetch or copy it again"
# What begins so, at the byte that is given -> (what it is, what to do)
CONTENTS = [
    (4, b"ftypheic", "HEIC", EXPORT), (4, b"ftypheix", "HEIC", EXPORT), (4, b"ftyphevc", "HEIC", EXPORT),
    (4, b"ftypmif1", "HEIF", EXPORT), (4, b"ftypmsf1", "HEIF", EXPORT), (4, b"ftypavi", "AVIF", EXPORT),
    (4, b"JXL ", "JPEG XL", EXPORT), (0, b"\xff\x0a", "JPEG XL", EXPORT),
    (4, b"ftypcrx", "a raw photograph", DEVELOP), (0, b"FUJIFILM", "a raw photograph", DEVELOP),
    (0, b"<svg", "an SVG drawing", DRAWING), (0, b"%!PS", "a PostScript drawing", DRAWING),
    (0, b"%PDF", "a PDF document", "export its pages as PNG"),
    (0, b"P7\n", "a PAM image", EXPORT), (128, b"DICM", "DICOM", EXPORT), (0, b"SDPX", "DPX", EXPORT),
    (0, b"XPDS", "DPX", EXPORT), (0, b"v/1\1", "OpenEXR", EXPORT), (0, b"#?RADIANCE", "a Radiance image", EXPORT),
    (0, b"gimp xcf", "a drawing of GIMP", EXPORT), (0, b"<svg", "an SVG drawing", DRAWING),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it with: git lfs pull"),
    (0, b"<!doctype html", "a web page, not a picture", AGAIN), (0, b"<html", "a web page, not a picture", AGAIN),
]


def kind_of(path):
    """(what a file is by its first bytes, what to do), both as text; ("", "") where nothing is known of it."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return "", ""
    if not head:
        return "the file is empty", AGAIN
    for at, begins, what, advice in CONTENTS:
        if head[at:].lower().startswith(begins.lower()):
            return f"it is {what}", advice
    return "", ""


def advice_on(path):
    """(what a file that cannot be read is, or "", what to do), by its content, or else by its ending."""
    what, advice = kind_of(path)
    return what, advice or FOREIGN.get(Path(path).suffix.lower(), AGAIN)

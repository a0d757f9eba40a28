"""What an image file says of its own pixels, bits and bands, before they are decoded (no torch here).

Pillow decodes much that is not 8 bits without a word: it drops the lower bits, the fourth band of a satellite, or reads
planes as if they were rows.  So the file itself is asked.
"""

import struct

from PIL import TiffImagePlugin

HEAD = 65536                    # bytes; what is looked for stands near the beginning (JPEG: may be after a thumbnail)
FORMATS = {1: "whole numbers", 2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers",
           6: "complex numbers"}
# TIFF, PhotometricInterpretation: bands without transparency.  Others are decoded by none of Pillow's ways, or wrongly.
BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
RAW_SENSOR = {32803, 34892}     # TIFF, the same: a camera's raw data


def not_plain(path):
    """What keeps an image file from being read as 8 bits a channel, such as "16 bits a channel"; "" if nothing does.

    Raises:
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _of_tiff(file)
    for begins, look in ((b"\x89PNG\r\n\x1a\n", _of_png), (b"\xff\xd8\xff", _of_jpeg), (b"\x01\xda", _of_sgi),
                         (b"8BPS", _of_psd), (b"\xff\x4f\xff\x51", _of_jpeg2000), (b"\0\0\0\x0cjP  ", _of_jpeg2000),
                         (b"P", _of_netpbm)):
        if head.startswith(begins):
            try:
                return look(head)
            except (struct.error, ValueError, IndexError):      # cut short: whoever decodes it says so
                return ""
    return _of_avif(head) if head[4:12] in (b"ftypavif", b"ftypavis") else ""


def unread_tiff(path):
    """What a TIFF is, whose tags are whole and whose pixels are there, though Pillow decodes none such; else ""."""
    try:
        with open(path, "rb") as file:
            tags = _tags_of(file)
            size = file.seek(0, 2)
        begins, lengths = (_values(tags, numbers, ()) for numbers in ((273, 324), (279, 325)))     # strips, or tiles
        whole = begins and lengths and max(begins) + min(lengths) <= size and 256 in tags
    except Exception:              # no TIFF, or a damaged one
        return ""
    return (f"it is a TIFF of an unusual kind (Compression {tags.get(259, 1)}, PhotometricInterpretation "
            f"{tags.get(262, 1)}, {tags.get(277, 1)} bands)") if whole else ""


def bits(n):
    return f"{n} bits a channel" if n > 8 else ""


def _tags_of(file):
    """The tags of the first image of a TIFF, opened; Pillow raises many kinds for damaged ones."""
    file.seek(0)
    header = file.read(8)
    if header[2:4] in (b"+\0", b"\0+"):                            # BigTIFF
        header += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _of_tiff(file):
    """Of a TIFF, opened: by the tags of its first image."""
    try:
        tags = _tags_of(file)
        depths, kinds = _values(tags, 258, (1,)), _values(tags, 339, (1,))
        n_bands, extra, photometric = tags.get(277, 1), _values(tags, 338, ()), tags.get(262, 1)
    except Exception:              # whoever decodes it says so
        return ""
    if photometric in RAW_SENSOR or 50706 in tags:                  # 50706: DNGVersion
        return "the raw data of a camera's sensor (a thumbnail is all that could be shown)"
    if tags.get(254, 0) & 1:                                        # NewSubfileType: cameras' raw files begin so
        return "a reduced picture in front of the real one, as raw photographs have"
    if kinds != {1}:
        words = " and ".join(FORMATS.get(kind, "numbers of an unknown kind") for kind in sorted(kinds))
        return f"{max(depths)} bits a channel, {words}"
    if max(depths) > 8:
        return bits(max(depths))
    if len(depths) > 1:
        return f"channels of {' and '.join(map(str, sorted(depths)))} bits"
    bands = BANDS.get(photometric)
    if bands is None:
        return f"colours of an unusual kind (PhotometricInterpretation {photometric})"
    # One more may be transparency (ExtraSamples 1 or 2); any other would be lost, or taken for transparency.
    if n_bands > bands + 1:
        return f"{n_bands} bands"
    return f"{n_bands} bands, the last of which is not transparency" if n_bands > bands and not extra & {1, 2} else ""


def _values(tags, numbers, default):
    """The values of a TIFF tag as a set: one for each band, mostly all the same; numbers: of the tag, or of several."""
    numbers = numbers if isinstance(numbers, tuple) else (numbers,)
    value = next((tags[number] for number in numbers if number in tags), default)
    return set(value) if isinstance(value, tuple) else {value}


def _of_png(head):
    return bits(head[24])


def _of_sgi(head):
    bytes_each, n_bands = head[3], struct.unpack(">H", head[10:12])[0]
    return bits(8 * bytes_each) or (f"{n_bands} bands" if n_bands > 4 else "")


def _of_psd(head):
    return bits(struct.unpack(">H", head[22:24])[0])


def _of_jpeg(head):
    at = 2
    while True:                                                    # from marker to marker, to the frame's header
        marker, length = struct.unpack(">HH", head[at:at + 4])
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            return bits(head[at + 4])
        if marker < 0xFF01 or marker == 0xFFDA:
            return ""
        at += 1 if marker == 0xFFFF else 2 + length


def _of_jpeg2000(head):
    at = head.find(b"\xff\x4f\xff\x51")                            # the image's size, then its components
    if at < 0:
        return ""
    n_bands = struct.unpack(">H", head[at + 40:at + 42])[0]
    depths = [head[at + 42 + 3 * k] for k in range(n_bands)]
    if any(depth & 128 for depth in depths):
        return f"{max(depth & 127 for depth in depths) + 1} bits a channel, signed numbers"
    return bits(max(depths) + 1) or (f"{n_bands} bands" if n_bands > 4 else "")


def _of_netpbm(head):
    kind = head[:2]
    if kind in (b"Pf", b"PF"):
        return "32 bits a channel, floating-point numbers"
    if kind not in (b"P2", b"P3", b"P5", b"P6"):
        return ""
    lines = (line.partition(b"#")[0] for line in head.splitlines())
    words = [word for line in lines for word in line.split()]
    return bits(16) if int(words[3]) > 255 else ""


def _of_avif(head):
    at = head.find(b"av1C")                                        # the codec's configuration
    return "more than 8 bits a channel" if at >= 0 and head[at + 6] & 0x40 else ""

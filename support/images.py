"""Reading image files: what they hold, and what was changed to make 8-bit arrays from it (no torch here)."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# Of the files that count as images of a folder.
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


class TooManyBits(ValueError):
    """An image with 16 or more bits a channel."""


def read_image(path):
    """Read an image file as uint8 array (H, W, 3), or (H, W) for a grey one, and say what was changed.

    Returns:
        (image, notice): notice is "" or a sentence such as "its alpha channel was dropped".

    Raises:
        ValueError: for a file that is not an image, is damaged, or has 16 bits
            (TooManyBits); the message says what to do.
    """
    image, notices = open_image(path)
    array, changed = as_8_bit_array(image)
    return array, ", and ".join(filter(None, [changed, *notices]))


def open_image(path):
    """Open an image file whole and upright.

    Returns:
        (PIL image of any mode with 8 bits or fewer, list of sentences such as "it was turned upright")

    Raises:
        ValueError, TooManyBits: as in ``read_image``.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            file.verify()               # a PNG whose last bytes are missing would still load
        with Image.open(path) as file:
            is_deep = _has_16_bits(file)
            image = ImageOps.exif_transpose(file)
            notices = []
            if file.getexif().get(0x0112, 1) in range(2, 9):           # 0x0112: orientation
                notices.append("it was turned upright, as its EXIF orientation says")
            if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":     # a phone's MPO is one photograph
                notices.append("of its frames only the first was taken")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels. "
                         "Reduce it, or cut it into parts, first.") from None
    except Exception as error:     # Pillow raises many kinds for damaged files
        is_heic = path.suffix.lower() in (".heic", ".heif")
        advice = "Export it as JPEG: HEIC is not read here" if is_heic else "Fetch or copy it again"
        raise ValueError(f"{path} cannot be read as an image ({error}). {advice}.") from error
    if is_deep or image.mode.startswith(("I", "F")):
        raise TooManyBits(f"{path} has 16 or more bits a channel (mode {image.mode}). Convert it to 8 bits first, "
                          "with the brightness that you want.")
    return image, notices


def as_8_bit_array(image):
    """The colours of a PIL image as uint8 array (H, W, 3) or (H, W), and a sentence on what was changed, or ""."""
    mode = image.mode
    if mode in ("RGB", "L"):
        return np.array(image), ""
    if mode == "1":
        return np.array(image.convert("L")), "its 1-bit pixels became grey values 0 and 255"
    if mode == "LA":
        return np.array(image.convert("L")), "its alpha channel was dropped"
    if mode == "P" and "transparency" not in image.info:
        return np.array(image.convert("RGB")), "its palette was replaced by RGB colours"
    if mode in ("RGBA", "P", "PA"):
        # Dropped, not blended: convert("RGB") keeps the colours as they are stored.
        return np.array(image.convert("RGBA"))[..., :3].copy(), "its alpha channel was dropped"
    return np.array(image.convert("RGB")), f"its colours were converted from {mode} to RGB"


def _has_16_bits(file):
    """Whether an opened file has 16 bits a channel: Pillow reads a coloured one as if it had 8.

    Only the arguments of its decoder show it: such as "RGB;16B" for PNG and TIFF, ("RGB", 65535) for PPM.
    """
    return any(";16" in str(args) or codec.startswith("ppm") and isinstance(args, tuple) and args[-1] > 255
               for codec, _, _, args in file.tile)

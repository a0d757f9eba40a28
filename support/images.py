"""Reading image files: what they hold, and what was changed to make 8-bit arrays from it (no torch here)."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from support import colours
from support.depth import not_plain, unread_tiff
from support.foreign import EXPORT, RAW, advice_on

# Of the files that count as images of a folder.
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TO_8_BITS = "Convert it to 8-bit RGB or grey first, with the brightness that you want."

# Said in our own words, where it matters: a huge file is refused below, and a large one takes memory as announced.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL[.]")      # damaged EXIF: see support.pictures


class TooManyBits(ValueError):
    """An image whose pixels are not plain 8-bit values, by depth or by bands; ``found`` says what they are."""

    def __init__(self, path, found):
        self.found = f"{found}: only 8 bits a channel, grey or RGB, are read here"
        super().__init__(f"{path} has {self.found}. {TO_8_BITS}")


def read_image(path):
    """Read an image file as uint8 array (H, W, 3), or (H, W) for a grey one, and say what was changed.

    Returns:
        (image, notice): notice is "" or a sentence such as "its alpha channel was dropped".

    Raises:
        ValueError: for a file that is not an image, is damaged, or is not 8-bit
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
        if path.suffix.lower() in RAW and path.exists():
            raise ValueError("a camera's raw data")        # Pillow would show the thumbnail in it
        if found := not_plain(path):
            raise TooManyBits(path, found)
        with Image.open(path) as file:
            file.verify()               # a PNG whose last bytes are missing would still load
        with Image.open(path) as file:
            orientation = file.getexif().get(0x0112, 1)                # before it is decoded: a TIFF is turned by that
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(("I", "F")):          # of formats that support.depth does not know, such as FITS
                raise TooManyBits(path, f"16 or 32 bits a channel (mode {image.mode})")
            notices = []
            if orientation in range(2, 9):
                notices.append("it was turned upright, as its EXIF orientation says")
            if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":     # a phone's MPO is one photograph
                notices.append("of its frames only the first was taken")
    except TooManyBits:
        raise
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels. "
                         "Reduce it, or cut it into parts, first.") from None
    except Exception as error:     # Pillow raises many kinds for damaged files
        what, advice = advice_on(path)
        if not what and isinstance(error, UnidentifiedImageError) and (what := unread_tiff(path)):
            advice = EXPORT
        raise ValueError(f"{path} cannot be read as an image ({what or error}). {advice[0].upper()}{advice[1:]}."
                         ) from error
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
    rgb, changed = colours.to_rgb(image)
    return np.array(rgb), changed

"""Pictures to upscale, as cameras, phones and drawing programs make them: one reader, one writer (no torch here).

The network takes three colours of 8 bits.  What else a picture has is put aside here, and back afterwards: the mask of
its transparency, its colour profile, date and place, resolution.  What cannot be kept is said.
"""

import warnings
from collections import namedtuple

import numpy as np
from PIL import Image, PngImagePlugin
from scipy import ndimage

from imresize import imresize
from metrics import three_channels
from support.colours import space_of
from support.files import save_image
from support.images import as_8_bit_array, open_image

# lr: uint8 (h, w, 3), of a grey picture three equal channels.  alpha: uint8 (h, w) or None.  profile: the ICC profile's
# bytes or None.  notice: what was changed, or "".  kept: options of Pillow's PNG writer for what is written back.
Picture = namedtuple("Picture", "lr alpha profile notice kept", defaults=({},))

MADE_HERE = "super_resolution.py"       # written into every result, which so is never upscaled again by mistake
# Tags of EXIF that hold for the result too; not orientation, sizes, thumbnail, and a maker's notes, which have offsets.
CAMERA = {270, 271, 272, 305, 306, 315, 33432}     # description, make, model, software, date, artist, copyright
PHOTOGRAPH, PLACE = 0x8769, 0x8825                 # tables of their own: exposure, lens, dates; GPS
DOTS_PER_INCH = 282
OF_THIS_FILE = {0xA002, 0xA003, 0xA005, 0x927C, 0xEA1C}       # of PHOTOGRAPH: width, height, offsets, notes, padding

WORDS = {"L": "grey", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}

BARELY = 8              # alpha: such a pixel changes what is seen by less than 8 levels, whatever its colour is
REACH = 2               # LR pixels: as far as the bicubic kernel reaches
FADE = 3                # LR pixels: over which the network's output passes into the interpolation
BAND = 64               # rows of LR that are looked at together: the float copies of a whole photograph are gigabytes


# ---------------------------------------------------------------- reading

def read_picture(path):
    """Read a photograph as cameras and phones make it: turned upright, alpha channel and colour profile apart.

    Returns:
        Picture; ``notice`` is "" or says what was changed.

    Raises:
        ValueError: for what is not an image, is damaged, or is not 8-bit (TooManyBits).
    """
    image, notices = open_image(path)
    kept, lost = what_is_kept(path)
    alpha = None
    if has_transparency(image):
        whole = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        array, alpha, changed = np.array(whole.convert(whole.mode[:-1])), np.array(whole.getchannel("A")), ""
    else:
        array, changed = as_8_bit_array(image)
    is_grey = array.ndim == 2
    profile, unfit = fitting_profile(image, is_grey)
    lr = three_channels(array)
    if alpha is not None:
        lr = fill_hidden(lr, alpha)
    lr, toned = without_tinge(lr)
    return Picture(lr, alpha, profile, ", and ".join(filter(None, [changed, toned, *notices, unfit, lost])), kept)


def has_transparency(image):
    # Not by the letter A: the second band of LAB has this name as well.
    return image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info


def without_tinge(lr):
    """(the picture, grey where no pixel is more than one level off grey, as a WebP file makes it; what was changed)."""
    if int((lr.max(axis=2) - lr.min(axis=2)).max()) != 1:
        return lr, ""
    grey = (lr.mean(axis=2) + 0.5).astype(np.uint8)
    return three_channels(grey), "its colours, nowhere more than one level off grey, became grey"


def fitting_profile(image, is_grey):
    """(the ICC profile that fits what will be written, or None; why it is lost, or "")."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode in ("CMYK", "LAB"):                 # these are converted to sRGB, see support.colours
        return None, ""
    space = space_of(profile)
    if space != ("L" if is_grey else "RGB"):
        kind = f"is for {WORDS[space]}" if space else "is damaged or of an unknown kind"
        return None, f"its colour profile was left out: it {kind}, the picture is {WORDS['L' if is_grey else 'RGB']}"
    return profile, ""


def what_is_kept(path):
    """EXIF and resolution of a file as options of Pillow's PNG writer, and what is lost of them, or ""."""
    kept, lost, exif = {}, "", {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # From the file, and not from what ``open_image`` has turned upright: a TIFF's tags are no longer there.
        with Image.open(path) as file:
            gamma = file.info.get("gamma")
            try:
                exif = file.getexif()
                if clean := clean_exif(exif):
                    kept["exif"] = clean
                # Pillow warns of a part that it leaves out, and leaves out the whole without a word.
                if any(warning.category is UserWarning for warning in caught) or (
                        not len(exif) and len(file.info.get("exif") or b"") > len(b"Exif\0\0")):
                    lost = "its EXIF data is damaged, and kept only as far as it can be read"
            except Exception:              # Pillow raises many kinds for damaged EXIF; the picture is not damaged
                lost = "its EXIF data was left out: it is damaged"
            dpi = file.info.get("dpi") if says_resolution(file, exif) else None
    try:
        dpi = tuple(float(number) for number in dpi) if dpi else None
        if dpi and len(dpi) == 2 and all(0 < number < 1e6 for number in dpi):
            kept["dpi"] = dpi
    except (TypeError, ValueError, ZeroDivisionError):              # a fraction with 0 below the line
        pass
    # A PNG may say with a number instead of a profile how bright its values are; 1 / 2.2 is what all assume.
    if gamma and abs(gamma - 1 / 2.2) > 0.02 and not file.info.get("icc_profile") and "srgb" not in file.info:
        lost = ", and ".join(filter(None, [
            f"its gamma of {gamma:.3f} is not kept: the result may look lighter or darker", lost]))
    return kept, lost


def says_resolution(file, exif):
    """Whether an opened file says how large it is on paper: where a TIFF or a JPEG does not, Pillow gives 1 or 72."""
    if file.format == "TIFF":
        return DOTS_PER_INCH in file.tag_v2
    return file.format not in ("JPEG", "MPO") or bool(file.info.get("jfif_unit")) or DOTS_PER_INCH in exif


def exif_value(value):
    """A value as it is written: Pillow reads the bytes of a text as Latin-1, and writes "?" for what is not ASCII."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def clean_exif(exif):
    """The bytes of the EXIF that holds for the result too: without orientation, sizes and thumbnail; b"" if none."""
    clean = Image.Exif()
    for tag in CAMERA & set(exif):
        clean[tag] = exif_value(exif[tag])
    for table in (PHOTOGRAPH, PLACE):
        values = {tag: exif_value(value) for tag, value in exif.get_ifd(table).items() if tag not in OF_THIS_FILE}
        if values:
            clean[table] = values
    return clean.tobytes() if len(clean) else b""


# ---------------------------------------------------------------- transparency

def fill_hidden(lr, alpha):
    """Give hidden pixels the colour of the nearest visible one: theirs is arbitrary, and would reach visible ones.

    Args:
        lr: uint8 (h, w, 3).
        alpha: uint8 (h, w), 0 for what is hidden.  Below ``BARELY`` a pixel counts as hidden, if others are above.
    """
    if not alpha.any():
        return np.zeros_like(lr)
    hidden = alpha < min(BARELY, alpha.max())
    if not hidden.any():
        return lr
    rows, columns = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return lr[rows, columns]


# ---------------------------------------------------------------- upscaling

def enlarge(picture, upscale):
    """The picture upscaled: uint8 (s h, s w, 3), or (s h, s w, 4) where it has an alpha channel.

    Grey stays grey, and what is flat stays flat, see ``settle``.  Measuring does not come here: the scores of a network
    are those of its own output.

    Args:
        picture: Picture, see ``read_picture``.
        upscale: function uint8 (h, w, 3) -> uint8 (s h, s w, 3).
    """
    sr = settle(picture.lr, upscale(picture.lr))
    if picture.alpha is None:
        return sr
    # The network has learnt photographs, not masks; and colours must not leak into the mask.
    return np.dstack([sr, imresize(picture.alpha, output_shape=sr.shape[:2])])


def settle(lr, sr):
    """What is known exactly, put into a network's output: no colour in a grey picture, no pattern in a flat area.

    Where LR's pixels differ by one level at most, by no more than their rounding, as far as the bicubic kernel
    reaches, there is nothing to reconstruct: interpolation is right to a level there.  A network shifts such an
    area by a few levels (a saturated colour by twenty), gives it a pattern of s x s pixels, and a frame at the border.
    Towards anything that is not flat, the interpolation passes into the network's output.

    Args:
        lr: uint8 (h, w, 3).
        sr: uint8 (s h, s w, 3), the network's output; it is not changed.
    """
    h, s = lr.shape[0], sr.shape[0] // lr.shape[0]
    is_grey = bool((lr == lr[..., :1]).all())
    result, margin = sr.copy(), REACH + FADE
    for top in range(0, h, BAND):
        bottom = min(top + BAND, h)
        first, last = max(top - 2 * margin, 0), min(bottom + 2 * margin, h)
        band, inside = result[s * top:s * bottom], slice(s * (top - first), s * (bottom - first))
        if is_grey:
            band[:] = (band.mean(axis=2, keepdims=True) + 0.5).astype(np.uint8)
        weight = flatness(lr[first:last])
        if not weight.any():
            continue
        weight = imresize(weight, s)[inside, :, None].astype(np.float32) / 255         # (s rows, s w, 1)
        flat = imresize(lr[first:last], s)[inside]
        band[:] = np.floor(weight * flat + (1 - weight) * band + 0.5).astype(np.uint8)
    return result


def flatness(lr):
    """255 where LR is flat in a wide neighbourhood, 0 near anything else, between them for ``FADE`` pixels: (h, w)."""
    side = 2 * REACH + 1
    highest = ndimage.maximum_filter(lr, (side, side, 1), mode="nearest").astype(int)
    lowest = ndimage.minimum_filter(lr, (side, side, 1), mode="nearest")
    is_flat = ((highest - lowest).max(axis=2) <= 1).astype(np.float32)
    return np.floor(255 * ndimage.uniform_filter(is_flat, FADE, mode="nearest") + 0.5).astype(np.uint8)


# ---------------------------------------------------------------- writing

def save_picture(path, sr, picture, made_from=""):
    """Write the array that ``enlarge`` returned as PNG, with what the picture had: profile, EXIF, resolution.

    An array without colours becomes a grey PNG, unless an RGB profile says what its values show.

    Args:
        made_from: what identifies the picture, the weights and the options, see ``support.picture_files``.
    """
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Software", MADE_HERE)
    if made_from:
        facts.add_text("Source", made_from)
    profile, space = picture.profile, space_of(picture.profile)
    is_grey = bool((sr[..., :3] == sr[..., :1]).all())
    if is_grey and (not profile or space == "L"):
        sr = sr[..., 0] if sr.shape[2] == 3 else np.ascontiguousarray(sr[..., [0, 3]])
    elif space == "L":                 # the states of sampling are coloured, also those of a grey picture
        profile = None
    save_image(path, sr, pnginfo=facts, **picture.kept, **({"icc_profile": profile} if profile else {}))

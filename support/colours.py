"""Colours that are not RGB become RGB, by the colour profile of the file where there is one (no torch here)."""

import io

from PIL import ImageCms

# Signatures of colour spaces, bytes 16 to 20 of an ICC profile, and the modes that such a profile is for.
SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}


def space_of(profile):
    """The mode of the colours that an ICC profile describes; "" if it is None, damaged or of another kind."""
    space = SPACES.get((profile or b"")[16:20], "")
    try:
        return space and ImageCms.ImageCmsProfile(io.BytesIO(profile)) and space
    except OSError:                        # its first bytes are in order, the others are not
        return ""


def to_rgb(image):
    """A PIL image of a mode such as CMYK, LAB or YCbCr as RGB: sRGB, where a profile or the mode says what it shows.

    Returns:
        (PIL image, what was changed).
    """
    mode, profile = image.mode, image.info.get("icc_profile")
    source = None
    if profile and space_of(profile) == mode:
        source = io.BytesIO(profile)
    elif mode == "LAB":                    # CIE colours mean the same without a profile
        source = ImageCms.createProfile("LAB")
    if source:
        try:
            rgb = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            rgb.info.pop("icc_profile", None)
            return rgb, f"its colours were converted from {mode} to RGB (sRGB{' by its profile' * bool(profile)})"
        except ImageCms.PyCMSError:
            pass                           # a damaged profile, as none
    if mode == "LAB":
        raise ValueError("LAB colours cannot be converted here: this Pillow has no colour management. Export the image "
                         "as RGB.")
    why = "its colour profile cannot be used" if profile else "it has no colour profile"
    return image.convert("RGB"), (f"its colours were converted from {mode} to RGB" +
                                  f" by a simple rule, because {why}" * (mode == "CMYK"))

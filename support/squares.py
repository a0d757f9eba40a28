"""Pictures that can be judged: squares of images at a whole zoom, pixel for pixel, with captions and scores.

Nothing here is resampled, except the small whole image that shows where a square lies: an image's pixel is a sharp
square of zoom x zoom pixels of the PNG.
"""

import textwrap

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from metrics import fullest_boxes, gradient_magnitude, gradients, grid, luma, texture, three_channels

DPI = 80
WIDTH = 900              # of a sheet, about: what a notebook shows without reducing it, in pixels
SIDE, ZOOM = 288, 3      # of a square on a sheet: its side, about, in pixels; the smallest zoom
GAP, LINE = 8, 17        # between cells; height of a line of text, in pixels
COLOURS = ((255, 220, 0), (0, 230, 255), (255, 80, 200), (120, 255, 90))       # of the squares in the whole image


class Sheet:
    """A page on which images stand pixel for pixel, and text; coordinates in pixels from the top left."""

    def __init__(self):
        self.images, self.texts = [], []

    def place(self, image, left, top, zoom=1):
        """An image, uint8 (H, W, 3) or (H, W), each of its pixels as zoom x zoom."""
        self.images.append((three_channels(image).repeat(zoom, axis=0).repeat(zoom, axis=1), left, top))

    def write(self, text, left, top, size=9, **style):
        """Lines of text whose first begins at ``top``; size in points, ``style`` as matplotlib's ``Figure.text``."""
        self.texts.append((text, left, top, {"fontsize": size, "va": "top", **style}))

    def caption(self, title, text, left, top, width):
        """A title, bold, and a text that ends at the right; below it where a line is too narrow for both."""
        self.write(title, left, top, weight="bold")
        if fits_on_a_line(title, text, width):
            self.write(text, left + width, top, ha="right", color="dimgray")
        else:
            self.write(text, left, top + LINE, color="dimgray")

    def figure(self, width=0):
        """The page, of at least this width, as a matplotlib Figure; ``figures.as_png`` keeps each pixel as it is."""
        width = max([width, *(left + image.shape[1] + GAP for image, left, _ in self.images)])
        height = max([top + image.shape[0] for image, _, top in self.images]
                     + [top + LINE * (text.count("\n") + 1) for text, _, top, _ in self.texts]) + GAP
        page = np.full((height, width, 3), 255, np.uint8)
        for image, left, top in self.images:
            page[top:top + image.shape[0], left:left + image.shape[1]] = image
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        figure.figimage(page, zorder=-1)           # below what is drawn on the page
        for text, left, top, style in self.texts:
            figure.text(left / width, 1 - top / height, text, **style)
        return figure


def fits_on_a_line(title, text, width):
    """Whether a bold title and a text of the usual size have room next to each other; width in pixels."""
    return 7 * len(title) + 6 * len(text) + GAP <= width


# ---------------------------------------------------------------- which squares

def interest(versions, hr=None):
    """What there is to judge at each pixel: where the versions differ and the photograph has texture.

    Both are capped: a strong edge, at which any two methods differ, counts no more than fur or grass.

    Args:
        versions: dict title -> uint8 (H, W, 3); bicubic interpolation is left out where there are two others.
        hr: uint8 (H, W, 3) or (H, W); without it, texture is what the last version has.

    Returns:
        float64 (H, W)
    """
    networks = [image for title, image in versions.items() if title != "bicubic"]
    compared = networks if len(networks) > 1 else list(versions.values())
    planes = [luma(three_channels(image)) for image in compared]
    differences = np.max(planes, axis=0) - np.min(planes, axis=0)
    detail = gradients(list(versions.values())[-1] if hr is None else hr)
    if len(compared) == 1:
        return detail
    return np.minimum(differences, 12) * np.minimum(detail, 16)


def chosen_squares(lr, versions, hr=None, size=24, n=2):
    """The n squares in which most can be judged, and the one that is flattest.

    Args:
        lr, versions, hr: as in ``comparison_figure``.
        size: side in LR pixels.

    Returns:
        list of (top, left, is_flat), in LR pixels; fewer where there is no room.
    """
    reference = list(versions.values())[-1] if hr is None else hr
    s = reference.shape[0] // lr.shape[0]
    size = s * min(size, *lr.shape[:2])
    full = fullest_boxes(interest(versions, hr), size, n, step=s)
    y = luma(three_channels(reference))
    clipped = (y < 20) | (y > 231)               # black and white hide what a network does
    flat = fullest_boxes(-gradients(reference)**2 - 255 * clipped, size, 1, step=s)     # squared: no edge in a corner
    boxes = [(top // s, left // s, False) for top, left, _ in full]
    return boxes + [(top // s, left // s, True) for top, left, _ in flat if (top // s, left // s, False) not in boxes]


def part_to_judge(versions, side=SIDE):
    """The part of large images in which most can be judged, of at most side x side pixels; small ones stay whole.

    Args:
        versions: dict title -> uint8 image; "HR" is taken as such.  One that is k times smaller than the others (LR)
            is cut to the same part.

    Returns:
        dict title -> array of its own.
    """
    height, width = map(max, zip(*(image.shape[:2] for image in versions.values())))
    values = interest({title: image for title, image in versions.items()
                       if title != "HR" and image.shape[:2] == (height, width)} or versions, versions.get("HR"))
    top = 4 * (_fullest_stretch(values.sum(1), side) // 4)               # on the grid of LR
    left = 4 * (_fullest_stretch(values[top:top + side].sum(0), side) // 4)
    parts = {}
    for title, image in versions.items():
        k = height // image.shape[0]
        parts[title] = image[top // k:(top + side) // k, left // k:(left + side) // k].copy()
    return parts


def _fullest_stretch(values, length):
    """Where the largest sum of ``length`` neighbours of a row of numbers begins."""
    if len(values) <= length:
        return 0
    total = np.concatenate([[0], values.cumsum()])
    return int((total[length:] - total[:-length]).argmax())


# ---------------------------------------------------------------- pages of squares

def comparison_figure(name, lr, versions, hr=None, scores=None, size=24, n=2):
    """One image as a whole, and squares of it in LR, each version and HR, pixel for pixel at a whole zoom.

    The n first squares are those in which most can be judged (``interest``); the last is the flattest, where a
    network's own pattern is seen: below its titles stand ``metrics.grid``, the deviation of the s x s positions'
    means, and the texture.

    Args:
        lr: uint8 (h, w, 3); its squares are shown with their pixels as they are.
        versions: dict title -> image, uint8 (s h, s w, 3).
        hr: uint8 (s h, s w, 3) or (s h, s w), where there is one.
        scores: dict title -> text next to the title, such as "28.4 dB / 0.81".
        size: side of the squares in LR pixels.
        n: number of squares, without the flat one.
    """
    shown = {"LR": lr, **versions, **({} if hr is None else {"HR": hr})}
    squares = chosen_squares(lr, versions, hr, size, n)
    reference = list(shown.values())[-1]
    s = reference.shape[0] // lr.shape[0]
    size = min(size, *lr.shape[:2])
    zoom = max(ZOOM, SIDE // (s * size))
    side = zoom * s * size
    sheet, top = Sheet(), GAP
    for number, (y, x, is_flat) in enumerate(squares):
        (left, top), *places = _places(len(shown) + 1, side, top)
        sheet.place(_swatch(number), left, top + LINE * (number == 0))
        sheet.write("flattest" if is_flat else "where the results differ" if len(versions) > 1 else "most detail",
                    left + LINE, top + LINE * (number == 0), weight="bold")
        if number == 0:
            sheet.write(name, left, top, weight="bold")
            sheet.place(_located(reference, squares, s, size, side), left, top + 2 * LINE)
        else:
            sheet.write(_explained(is_flat, hr is not None, s), left, top + LINE + 4, color="dimgray")
        for (title, image), (left, cell_top) in zip(shown.items(), places):
            k = 1 if title == "LR" else s
            cut = np.s_[k * y:k * (y + size), k * x:k * (x + size)]
            note = f"{size} x {size} pixels" if title == "LR" else _measured_here(
                image[cut], None if hr is None else hr[cut], s, is_flat)
            score = (scores or {}).get(title, "") if number == 0 else ""
            if not fits_on_a_line(title, score, side):
                score, note = "", f"{score}; {note}"
            sheet.caption(title, score, left, cell_top, side)
            sheet.write(note, left, cell_top + LINE, color="dimgray")
            sheet.place(image[cut], left, cell_top + 2 * LINE, zoom * s // k)
        top = places[-1][1] + 2 * LINE + side + 2 * GAP
    return sheet.figure()


def _places(n, side, top):
    """Where n cells lie, each a square below two lines of text: list of (left, top), row by row."""
    columns = max(1, min(WIDTH // side, 2 if n == 4 else n))
    return [(GAP + place % columns * (side + GAP), top + place // columns * (side + 2 * LINE + GAP))
            for place in range(n)]


def _swatch(number):
    """What marks a square in the whole image: uint8 (12, 12, 3)."""
    return np.full((12, 12, 3), COLOURS[number % len(COLOURS)], np.uint8)


def _located(whole, squares, s, size, side):
    """The whole image, so small that it fits into a cell, with the squares' outlines."""
    image = Image.fromarray(three_channels(whole))
    image.thumbnail((3 * side // 4, 3 * side // 4))
    small, unit = np.array(image), s * image.width / whole.shape[1]          # pixels for one of LR
    for number, (y, x, _) in enumerate(squares):
        (y0, x0), (y1, x1) = (((unit * np.array(corner)).astype(int)) for corner in ((y, x), (y + size, x + size)))
        for width, colour in ((3, (0, 0, 0)), (2, COLOURS[number % len(COLOURS)])):        # seen on any ground
            for part in (np.s_[y0:y0 + width, x0:x1], np.s_[max(y1 - width, 0):y1, x0:x1],
                         np.s_[y0:y1, x0:x0 + width], np.s_[y0:y1, max(x1 - width, 0):x1]):
                small[part] = colour
    return small


def _explained(is_flat, has_hr, s):
    """What to look for in a square, as lines of text."""
    what = "HR" if has_hr else "the last result (there is no HR)"
    texture_is = "texture: mean gradient, " + ("HR's is 1." if has_hr else "in grey levels a pixel.")
    if not is_flat:
        return _wrapped(f"The results differ here, and {what} has texture.", texture_is)
    more_than = "HR" if has_hr else "bicubic interpolation"
    return _wrapped(f"{what[0].upper()}{what[1:]} varies least here: dots, lines and colours that only a result "
                    f"has are its network's own.", f"grid: how far the means of the positions modulo {s} deviate, in "
                    f"grey levels; a network's pattern is what it has more than {more_than}.", texture_is)


def _wrapped(*paragraphs):
    return "\n\n".join("\n".join(textwrap.wrap(text, 50)) for text in paragraphs)


def _measured_here(sr, hr, s, is_flat):
    """The texture of a square, and in a flat one the grid's strength, as text."""
    words = f"texture {gradient_magnitude(sr) if hr is None else texture(sr, hr):.2f}"
    if is_flat:
        words = f"grid {grid(sr, sr, s, len(sr), 1):.2f}, {words}"
    return words


def contact_sheet(rows):
    """Images next to each other, pixel for pixel at a whole zoom; of large ones a part (``part_to_judge``).

    Args:
        rows: list of (name, dict title -> (uint8 image, text next to the title)).
    """
    sheet, top = Sheet(), GAP
    for name, versions in rows:
        parts = part_to_judge({title: image for title, (image, _) in versions.items()})
        height, width = map(max, zip(*(part.shape[:2] for part in parts.values())))
        zoom = max(1, SIDE // max(height, width))
        height, width = zoom * height, zoom * width
        lines = 1 if all(fits_on_a_line(title, text, width) for title, (_, text) in versions.items()) else 2
        columns = 2 if len(parts) in (2, 4) else 3          # four: two above two, each next to the others
        sheet.write(name, GAP, top, 11, weight="bold")
        for place, (title, part) in enumerate(parts.items()):
            left = GAP + place % columns * (width + GAP)
            cell_top = top + LINE + GAP + place // columns * (height + lines * LINE + GAP)
            sheet.caption(title, versions[title][1], left, cell_top, width)
            sheet.place(part, left, cell_top + lines * LINE, height // part.shape[0])
        top = cell_top + lines * LINE + height + 2 * GAP
    return sheet.figure()


# ---------------------------------------------------------------- training patches

def variety(image):
    """How much there is to see: the entropy of the colours, in bits; uint8 (H, W, 3).

    A black patch has 0, one of letters little (black, white and what lies between), one of a photograph 4 and more.
    """
    r, g, b = image.reshape(-1, 3).astype(int).T // 32
    share = np.bincount(64 * r + 8 * g + b) / r.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def patches_figure(lr, hr, n=6):
    """The n training patches of a batch in which there is most to see: LR above, HR below, at whole zooms.

    Args:
        lr, hr: float tensors (N, 3, h, w) and (N, 3, s h, s w) in [0, 1].
    """
    lr, hr = ((255 * batch).round().byte().permute(0, 2, 3, 1).cpu().numpy() for batch in (lr, hr))
    c, s = hr.shape[1], hr.shape[1] // lr.shape[1]
    zoom = max(ZOOM, SIDE // 2 // c)
    side = zoom * c
    best = sorted(sorted(range(len(hr)), key=lambda k: -variety(hr[k]))[:max(1, min(n, WIDTH // side))])
    sheet = Sheet()
    for title, batch, k, top in (("LR", lr, zoom * s, GAP), ("HR", hr, zoom, 2 * GAP + LINE + side)):
        sheet.write(f"{title}, {batch.shape[2]} x {batch.shape[1]} pixels", GAP, top, weight="bold")
        for place, number in enumerate(best):
            sheet.place(batch[number], GAP + place * (side + GAP), top + LINE, k)
    return sheet.figure()

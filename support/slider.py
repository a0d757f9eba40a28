"""Before and after in one picture, divided by a line that the reader moves: HTML that a stored notebook keeps.

The output holds both images and needs nothing else: no network, no library, no running kernel.  Where a viewer drops
it (GitHub does), the still picture that is shown with it remains.
"""

import base64
import html
import io

from PIL import Image

from metrics import three_channels
from support.figures import show
from support.progress import in_notebook
from support.squares import GAP, LINE, Sheet, part_to_judge

ZOOM = 3
SIDE, STILL = 240, 104        # of the parts that the slider and the still picture show at most, in pixels of the image

# The position lies in one CSS variable, so that there is neither a name that could occur twice nor a script to load.
PAGE = """\
<div class="before-after" style="--at:50%;max-width:{width}px;font:14px sans-serif">
<div style="position:relative;line-height:0;cursor:ew-resize;touch-action:pan-y"
 onpointerdown="{drag}" onpointermove="if(event.buttons){{{drag}}}">
<img alt="{after}" src="{after_data}" draggable="false" style="{image}">
<img alt="{before}" src="{before_data}" draggable="false"
 style="{image};position:absolute;left:0;top:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)">
<div style="position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;background:#fff;\
box-shadow:0 0 2px #000"></div>
</div>
<div style="display:flex;justify-content:space-between;gap:1em;padding:4px 0">
<b>&#9664; {before}</b><b>{after} &#9654;</b></div>
<input type="range" min="0" max="100" value="50" step="1" style="width:100%;margin:0" \
aria-label="{label}" oninput="this.parentNode.style.setProperty('--at',this.value+'%')">
</div>
"""
IMAGE = "display:block;width:100%;max-width:none;margin:0;image-rendering:pixelated"
DRAG = ("const b=this.getBoundingClientRect(),r=this.parentNode.querySelector('input');"
        "r.value=100*(event.clientX-b.left)/b.width;r.dispatchEvent(new Event('input'))")


def slider_html(before, after, zoom=ZOOM):
    """A picture of two images of one place, divided by a line that moves with the mouse, a finger or the arrow keys.

    Args:
        before, after: (title, uint8 image (H, W, 3) or (H, W)), both of one size.
        zoom: pixels of the page for one of the images.

    Raises:
        ValueError: if the images differ in size.
    """
    (first, left), (second, right) = before, after
    if left.shape[:2] != right.shape[:2]:
        raise ValueError(f"The slider lays one image above the other: {first} has {left.shape[:2]} pixels (height, "
                         f"width), {second} {right.shape[:2]}.")
    first, second = html.escape(first), html.escape(second)
    return PAGE.format(width=zoom * left.shape[1], before=first, after=second, before_data=data_uri(left),
                       after_data=data_uri(right), image=IMAGE, drag=DRAG,
                       label=f"Line between {first}, left of it, and {second}, right of it")


def data_uri(image):
    """An image as the text of a JPEG of quality 90, for ``src``."""
    buffer = io.BytesIO()
    Image.fromarray(three_channels(image)).save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def still_figure(images):
    """The most telling part of the same images next to each other, for viewers that drop the slider.

    Args:
        images: dict title -> uint8 image, all of one size.
    """
    sheet, left = Sheet(), GAP
    for title, part in part_to_judge(images, STILL).items():
        sheet.write(title, left, GAP, weight="bold")
        sheet.place(part, left, GAP + LINE, ZOOM)
        left += ZOOM * part.shape[1] + GAP
    return sheet.figure()


def show_slider(before, after, hr=None, path=None):
    """Show the slider below the cell, and a still picture below it, which is also kept as ``path``.

    Args:
        before, after: (title, uint8 image (H, W, 3)), both of one size; of large ones a part is shown
            (``squares.part_to_judge``).
        hr: uint8 image of the same size, which the still picture shows as well.
    """
    parts = part_to_judge(dict([before, after]) | ({} if hr is None else {"HR": hr}), SIDE)
    if in_notebook():
        from IPython.display import HTML, display
        display(HTML(slider_html(*list(parts.items())[:2], zoom=ZOOM)))
    show(still_figure(parts), path)

"""The pictures of the README and of docs/results.md: python -m benchmarks.pictures

Squares of photographs that come with scikit-image (CC0 or public domain), chosen for their texture and drawn pixel for
pixel, as the generators in weights/ upscale them.  Leaves demo.png and interpolation.png in docs/.
"""

from pathlib import Path

from benchmarks.measure import photograph
from imresize import imresize
from inference import SHIPPED, interpolated, load_generator
from metrics import fullest_boxes, gradient_magnitude, gradients, psnr, three_channels
from support.enlarging import super_resolve
from support.figures import as_png
from support.files import write_atomically
from support.squares import GAP, LINE, Sheet

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE, ZOOM = 64, 3                         # of a square: HR pixels, and how large each is drawn
FUR, GRASS, STONE = ("chelsea.png", None), ("grass.png", None), ("gravel.png", None)
FABRIC = ("astronaut.png", (330, 60))
ALPHAS = (0, 0.25, 0.5, 0.75, 1)


def main():
    write_atomically(DOCS / "demo.png", as_png(demo_figure()))
    write_atomically(DOCS / "interpolation.png", as_png(interpolation_figure()))


def networks_between(alphas=ALPHAS):
    """{alpha: generator} from SRResNet (0) to SRGAN (1)."""
    ends = [load_generator(SHIPPED[stage]) for stage in ("pretrain", "srgan")]
    return {alpha: interpolated(*ends, alpha) for alpha in alphas}


def demo_figure(photographs=(FUR, GRASS, STONE)):
    """LR, bicubic interpolation, SRResNet, SRGAN and the original of squares with texture."""
    networks = {f"{title} ({SHIPPED[stage]})": load_generator(SHIPPED[stage])
                for title, stage in (("SRResNet", "pretrain"), ("SRGAN", "srgan"))}
    ways = {"bicubic": lambda lr: imresize(lr, 4), **{title: upscaling(network) for title, network in networks.items()}}
    return squares(photographs, ways, lambda image, hr: f"{psnr(image, hr):.2f} dB")


def interpolation_figure(photographs=(FUR, FABRIC, STONE)):
    """The same squares by networks between SRResNet and SRGAN."""
    ways = {f"alpha = {alpha:g}": upscaling(network) for alpha, network in networks_between((0, 0.5, 1)).items()}
    return squares(photographs, ways, lambda image, hr: f"{psnr(image, hr):.2f} dB, {gradient_magnitude(image):.2f}")


def upscaling(network):
    return lambda lr: super_resolve(network, lr)


def squares(photographs, ways, caption):
    """A figure with a row for each photograph: LR, each way of upscaling, the original.

    Args:
        photographs: pairs (file of scikit-image, (top, left) of the square, or None: where the most detail is).
        ways: dict title -> function (h, w, 3) -> (4 h, 4 w, 3), uint8.
        caption: function (image, hr) -> text below an upscaled square.
    """
    sheet, top, step = Sheet(), 0, SIDE * ZOOM + GAP
    for file, place in photographs:
        hr = three_channels(photograph(file))
        hr = hr[:hr.shape[0] // 4 * 4, :hr.shape[1] // 4 * 4]
        lr = imresize(hr, 1 / 4)
        y, x = place or fullest_boxes(gradients(hr), SIDE, 1, step=4)[0][:2]
        versions = {"LR": lr.repeat(4, axis=0).repeat(4, axis=1), **{title: way(lr) for title, way in ways.items()}}
        for column, (title, image) in enumerate({**versions, "original": hr}.items()):
            left = column * step
            if top == 0:
                sheet.write(title, left, 0, weight="bold")
            sheet.place(image[y:y + SIDE, x:x + SIDE], left, top + LINE * (top == 0), ZOOM)
            if title in ways:
                sheet.write(caption(image, hr), left, top + LINE * (top == 0) + step - GAP + 2, color="dimgray")
        top += step + LINE * (1 + (top == 0))
    return sheet.figure()


if __name__ == "__main__":
    main()

"""The figures of the slides: squares of scikit-image's photographs, and drawings.  benchmarks/slides.py asks for them.

The labels are in English, in the slides of both languages.
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from benchmarks.measure import photograph
from benchmarks.pictures import FUR, GRASS, STONE, squares, upscaling
from imresize import imresize
from inference import load_generator
from metrics import psnr, ssim
from support.squares import GAP, LINE, Sheet

RESULTS = Path(__file__).resolve().parents[1] / "docs/results.md"
BLUE, ORANGE, GREEN, GREY = "#2060a0", "#d06010", "#308040", "#666666"


def square(name, top, left, side=96):
    return photograph(name)[top:top + side, left:left + side]


def row(images, captions, zoom=3):
    """Squares in a row with a line or two of text below each."""
    sheet = Sheet()
    for k, (image, caption) in enumerate(zip(images, captions)):
        left = k * (image.shape[1] * zoom + GAP)
        sheet.place(image, left, 0, zoom)
        sheet.write(caption, left, image.shape[0] * zoom + 4, size=12)
    height = max(caption.count("\n") for caption in captions) + 1
    sheet.write(" ", 0, images[0].shape[0] * zoom + height * LINE)             # room for the last line
    return sheet.figure()


# ---------------------------------------------------------------- lecture 1

def wanted():
    """LR, bicubic interpolation and the original."""
    return squares((FUR, STONE), {"bicubic": lambda lr: imresize(lr, 4)}, lambda image, hr: f"{psnr(image, hr):.2f} dB")


def ill_posed():
    """Four images that shrink to the same LR, up to the rounding to 8 bits."""
    hr = square("chelsea.png", 128, 176).astype(float)
    lr, rng = imresize(hr, 1 / 4), np.random.default_rng(0)
    starts = (hr, imresize(lr, 4), np.clip(imresize(lr, 4) + rng.normal(0, 40, hr.shape), 0, 255),
              hr[:, ::-1])
    images = []
    for image in starts:
        for _ in range(60):                                # add what its LR lacks, until nothing is lacking
            image = np.clip(image + imresize(lr - imresize(image, 1 / 4), 4), 0, 255)
        images.append(image)
    images = [image.round() for image in images]
    gaps = [np.abs(imresize(image, 1 / 4) - lr).mean() for image in images]
    names = ("the original", "smooth", "with noise", "with other fur")
    small = lr.round().astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    return row([small, *(image.astype(np.uint8) for image in images)],
               ["LR", *(f"{name}\nits LR differs by {gap:.1f}" for name, gap in zip(names, gaps))], zoom=2)


def mean_is_soft():
    """Sixteen equally sharp answers that lie a little to the side, and their mean."""
    grass = photograph("grass.png")
    answers = [grass[200 + dy:296 + dy, 200 + dx:296 + dx] for dy in (0, 2, 4, 6) for dx in (0, 2, 4, 6)]
    mean = np.mean(answers, axis=0).round().astype(np.uint8)
    return row([answers[0], answers[5], answers[15], mean], ["one answer", "another", "a third", "the mean of 16"])


def same_mse():
    """Four changes of one image with the same PSNR: blur, noise, brightness, stripes."""
    hr = square("chelsea.png", 96, 150, 144)
    blurred = imresize(imresize(hr, 1 / 4), 4)
    stripes = np.sign(np.sin(np.arange(hr.shape[1]) * np.pi / 6))[None, :, None] * np.ones(hr.shape)
    changes = {"noise": np.random.default_rng(0).normal(0, 1, (*hr.shape[:2], 1)), "brighter": np.ones(hr.shape),
               "stripes": stripes}
    images = {"original": hr, "blurred": blurred}
    for name, change in changes.items():
        size = 1.0
        for _ in range(20):                                    # clipping and rounding take a little of each change
            images[name] = np.clip(hr + size * change, 0, 255).round().astype(np.uint8)
            size *= 10 ** ((psnr(images[name], hr) - psnr(blurred, hr)) / 20)
    captions = [name if image is hr else f"{name}\n{psnr(image, hr):.1f} dB, SSIM {ssim(image, hr):.2f}"
                for name, image in images.items()]
    return row(list(images.values()), captions, zoom=2)


def boxes(width, height):
    """An empty drawing of width x height units, the same scale in both directions."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def box(axes, x, y, width, height, text, colour=BLUE):
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02", facecolor=colour + "22",
                                  edgecolor=colour, linewidth=1.5))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=12)


def arrow(axes, start, end, colour="black", bend=0.0, text=""):
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=colour, linewidth=1.5,
                                   connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0))
    if text:
        axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", fontsize=11, color=colour)


def around(axes, start, end, height, colour):
    """An arrow between two points of the same height that passes at another one."""
    axes.plot([start[0], start[0], end[0]], [start[1], height, height], color=colour, linewidth=1.5)
    arrow(axes, (end[0], height), end, colour)


def network():
    """SRResNet: the blocks and the sizes of what flows between them; below, what a residual block does."""
    figure, axes = boxes(12.4, 4.6)
    upscaling_by_2 = ("conv, shuffle\nx 2", ORANGE, 1.4)
    parts = [("LR\n3 x h x w", GREY, 1.0), ("conv 9x9\nPReLU", BLUE, 1.2), ("16 residual\nblocks", BLUE, 1.6),
             ("conv 3x3\nBatchNorm", BLUE, 1.3), upscaling_by_2, upscaling_by_2,
             ("conv 9x9", BLUE, 1.0), ("SR\n3 x 4h x 4w", GREY, 1.3)]
    x, centres = 0.1, []
    for text, colour, width in parts:
        box(axes, x, 3.0, width, 1.0, text, colour)
        centres.append((x, x + width))
        x += width + 0.29
    for (_, right), (left, _) in zip(centres, centres[1:]):
        arrow(axes, (right + 0.02, 3.5), (left - 0.02, 3.5))
    start, end = centres[1][1] + 0.14, centres[3][1] + 0.14
    around(axes, (start, 3.5), (end, 3.5), 4.2, GREEN)
    axes.text((start + end) / 2, 4.28, "long skip connection: +", ha="center", color=GREEN, fontsize=11)
    for first, last, text, colour in ((1, 3, "64 channels, at the size of LR", BLUE),
                                      (4, 6, "twice as large, then four times", ORANGE)):
        axes.text((centres[first][0] + centres[last][1]) / 2, 2.7, text, ha="center", color=colour, fontsize=11)
    x, middles = 2.0, []
    for text, width in (("conv 3x3", 1.3), ("BatchNorm", 1.3), ("PReLU", 1.1), ("conv 3x3", 1.3), ("BatchNorm", 1.3)):
        box(axes, x, 0.9, width, 0.7, text)
        middles.append((x, x + width))
        x += width + 0.3
    arrow(axes, (1.2, 1.25), (1.98, 1.25))
    for (_, right), (left, _) in zip(middles, middles[1:]):
        arrow(axes, (right + 0.02, 1.25), (left - 0.02, 1.25))
    arrow(axes, (middles[-1][1] + 0.02, 1.25), (10.9, 1.25))
    around(axes, (1.6, 1.25), (10.4, 1.25), 0.6, GREEN)
    axes.text(6.0, 0.25, "one residual block: x + F(x)", ha="center", color=GREEN, fontsize=12)
    axes.text(1.1, 1.25, "x", ha="right", va="center", fontsize=14)
    axes.text(11.0, 1.25, "x + F(x)", va="center", fontsize=14)
    return figure


def subpixel():
    """Four channels at the size of LR become squares of two by two pixels."""
    figure, axes = boxes(11, 4.2)
    colours = (BLUE, ORANGE, GREEN, "#a03080")
    for k, colour in enumerate(colours):
        left, bottom = 0.3 + 0.35 * k, 0.5 + 0.35 * (3 - k)
        for i in range(3):
            for j in range(3):
                axes.add_patch(Rectangle((left + 0.5 * j, bottom + 0.5 * i), 0.5, 0.5, facecolor=colour,
                                         edgecolor="white"))
    axes.text(1.6, 0.1, "4 C channels, h x w", ha="center", fontsize=13)
    arrow(axes, (3.4, 2.0), (5.6, 2.0), text="PixelShuffle(2)")
    for i in range(6):
        for j in range(6):
            axes.add_patch(Rectangle((6.3 + 0.5 * j, 0.6 + 0.5 * i), 0.5, 0.5, edgecolor="white",
                                     facecolor=colours[(1 - i % 2) * 2 + j % 2]))
    axes.text(7.8, 0.1, "C channels, 2h x 2w", ha="center", fontsize=13)
    return figure


def grid():
    """A smooth surface through an untrained sub-pixel convolution: its four sets of weights disagree."""
    import torch
    from torch import nn
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1, padding_mode="replicate"), nn.PixelShuffle(2))
    smooth = np.linspace(70, 180, 48)[None, :, None] * np.ones((48, 1, 3))
    with torch.no_grad():
        out = layer(torch.from_numpy(smooth / 255).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
    out = (128 + 90 * (out - out.mean()) / np.abs(out - out.mean()).max()).astype(np.uint8)
    before, corner = smooth.astype(np.uint8).repeat(2, 0).repeat(2, 1), out[:24, :24].repeat(4, 0).repeat(4, 1)
    return row([before, out, corner], ["what goes in", "what comes out", "its corner, four times"])


def learnt():
    """What SRResNet makes of the squares, and what it does not bring back."""
    return squares((FUR, GRASS), {"bicubic": lambda lr: imresize(lr, 4),
                                  "SRResNet": upscaling(load_generator("srresnet-x4"))},
                   lambda image, hr: f"{psnr(image, hr):.2f} dB")


# ---------------------------------------------------------------- lecture 2

def manifold():
    """Natural images as a curve: the mean of two of them does not lie on it."""
    figure = Figure(figsize=(8, 3.9))
    axes = figure.add_axes((0, 0, 1, 1))
    t = np.linspace(0.12, np.pi - 0.12, 200)
    axes.plot(np.cos(t), np.sin(t), color=GREEN, linewidth=3)
    places = np.array([0.75, 1.15, 1.6, 2.05, 2.45])
    axes.scatter(np.cos(places), np.sin(places), color=BLUE, s=90, zorder=3)
    mean = np.cos(places).mean(), np.sin(places).mean()
    axes.scatter(*mean, color=ORANGE, s=120, marker="s", zorder=3)
    for place in places:
        axes.plot([mean[0], np.cos(place)], [mean[1], np.sin(place)], color=GREY, linewidth=0.8, linestyle=":")
    axes.text(0.98, 0.42, "images that look natural", color=GREEN, fontsize=13)
    axes.text(-0.5, 1.06, "HR images that fit this LR", color=BLUE, fontsize=13)
    axes.text(mean[0], mean[1] - 0.12, "their mean: the answer of MSE", color=ORANGE, fontsize=13, ha="center")
    axes.set(xlim=(-1.3, 1.9), ylim=(0.05, 1.2))
    axes.axis("off")
    return figure


def game():
    """Who sees what, and which way the gradients flow."""
    figure, axes = boxes(11.5, 3.9)
    box(axes, 0.2, 1.4, 1.1, 0.8, "LR", GREY)
    box(axes, 2.3, 1.4, 1.7, 0.8, "generator\nG", BLUE)
    box(axes, 5.0, 1.4, 1.1, 0.8, "SR", GREY)
    box(axes, 5.0, 2.8, 1.1, 0.8, "HR", GREY)
    box(axes, 7.2, 2.0, 1.9, 0.9, "discriminator\nD", ORANGE)
    box(axes, 10.1, 2.0, 1.2, 0.9, "logit", GREY)
    for start, end in (((1.33, 1.8), (2.27, 1.8)), ((4.03, 1.8), (4.97, 1.8)), ((6.13, 1.9), (7.17, 2.3)),
                       ((6.13, 3.2), (7.17, 2.65)), ((9.13, 2.45), (10.07, 2.45))):
        arrow(axes, start, end)
    arrow(axes, (10.6, 1.95), (3.1, 1.35), BLUE, bend=-0.22)
    axes.text(7.2, 0.3, "to train G: through D, which stays as it is", color=BLUE, ha="center", fontsize=12)
    arrow(axes, (10.6, 2.95), (8.2, 2.95), ORANGE, bend=0.5)
    axes.text(9.4, 3.62, "to train D: stops here", color=ORANGE, ha="center", fontsize=12)
    return figure


def two_losses():
    """log(1 - p) is flat where the generator is caught, -log p is steep there."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes, p = figure.subplots(), np.linspace(0.02, 0.98, 200)
    axes.plot(p, np.log(1 - p), color=GREY, linewidth=2, label="log(1 - D(SR))")
    axes.plot(p, -np.log(p), color=BLUE, linewidth=2, label="-log D(SR), what the paper uses")
    axes.set(xlabel="D(SR): probability that SR is taken for HR", ylabel="the generator's loss")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure


def scores_of(column):
    """{row: number} of a column of the tables in docs/results.md; PSNR is in "Set5", NIQE on Set5 in "NIQE ↓"."""
    found = {}
    for table in re.findall(r"(?:^\|.*\n)+", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE):
        head, _, *rows = [[cell.strip(" `") for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()]
        for cells in rows if column in head else []:
            number = re.match(r"\d+\.\d+", cells[head.index(column)])
            if number and cells[0] not in found:               # the first table that has the row
                found[cells[0]] = float(number[0])
    return found


def plane():
    """PSNR against NIQE on Set5, of the kit's generators."""
    psnr_of, niqe_of = scores_of("Set5"), scores_of("NIQE ↓")
    figure = Figure(figsize=(7.4, 4), layout="constrained")
    axes = figure.subplots()
    for name in [name for name in niqe_of if name in psnr_of]:
        colour = ORANGE if "gan" in name else GREY if name == "bicubic" else BLUE
        axes.scatter(psnr_of[name], niqe_of[name], s=80, color=colour)
        axes.annotate(name, (psnr_of[name], niqe_of[name]), (7, 6 if "small" in name else -12), fontsize=11,
                      textcoords="offset points")
    axes.axhline(niqe_of["HR"], color=GREEN, linestyle="--", linewidth=1)
    axes.text(28.4, niqe_of["HR"] + 0.1, "the originals", color=GREEN, fontsize=11)
    axes.set(xlabel="PSNR on Set5 in dB: further right is closer to the original", xlim=(28.2, 32.2),
             ylabel="NIQE: lower looks more natural")
    axes.grid(alpha=0.3)
    return figure


FIGURES = {function.__name__: function for function in (wanted, ill_posed, mean_is_soft, same_mse, network, subpixel,
                                                        grid, learnt, manifold, game, two_losses, plane)}

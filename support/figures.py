"""What people look at: the progress line, live curves, patches, zoomed comparisons, contact sheets.

Everything shown in a notebook is plain text, a picture or HTML that needs nothing else, so that a
stored notebook still shows what its reader saw.  All texts are English: a Chinese font is not installed everywhere.
"""

import csv
import io
import json
import time
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure  # not pyplot: no window, no global state
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image

from metrics import three_channels
from support.checkpoints import METHODS
from support.files import write_atomically, write_csv
from support.images import read_image
from support.measures import MEASURES
from support.messages import duration
from support.progress import StatusLine, in_notebook
from support.records import losses_between
from support.squares import (  # noqa: F401  the notebooks take them from here
    GAP,
    LINE,
    Sheet,
    comparison_figure,
    contact_sheet,
    part_to_judge,
    patches_figure,
)

CORE_METHODS = {"bicubic": "bicubic", "pretrain": "pre-trained", "srgan": "SRGAN", "self-ensemble": "self-ensemble",
                "HR": "HR"}
SETS_WITH_GREY = ("Set14",)      # of those with published scores: its "bridge" is grey
CORE_STAGES = {"pretrain": ("Pre-training", "tab:blue"), "srgan": ("SRGAN", "tab:orange")}


def method_title(name, recipe=None):
    """What tables and plots call a method: the core's by its name here, another one by the title that it registered.

    Args:
        recipe: settings of the training (config.json, or the metadata of weights), of which an SRGAN's content loss
            goes into the title: "SRGAN (MSE)".
    """
    title = CORE_METHODS.get(name) or getattr(METHODS.get(name), "title", name)
    loss = content_loss_title(recipe or {}) if name == "srgan" else ""
    return f"{title} ({loss})" if loss else title


def content_loss_title(recipe):
    """The content loss of an SRGAN: "MSE", "VGG 5,4", "random VGG 1,1", "learned VGG16 5,3", ...; "" if unknown."""
    ### BEGIN SOLUTION
    if recipe.get("content_loss") == "perceptual":
        return "learned VGG16" if recipe.get("vgg19_weights") == "vgg16" else "perceptual"
    ### END SOLUTION
    if recipe.get("content_loss") != "vgg":
        return str(recipe.get("content_loss", "")).upper()
    kind = {"random": "random VGG", "vgg16": "learned VGG16"}.get(recipe.get("vgg19_weights"), "VGG")
    return f"{kind} {recipe.get('vgg19_i', '?')},{recipe.get('vgg19_j', '?')}"


def run_recipe(folder):
    """The settings that a run was trained with, from its config.json; {} where there is none; folder: runs/<name>."""
    path = Path(folder, "config.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def stage_title(name):
    """What a stage of training is called: "Pre-training", "SRGAN"."""
    return CORE_STAGES[name][0] if name in CORE_STAGES else method_title(name)


def colour_of(stage):
    """The colour of a stage's curves."""
    return CORE_STAGES[stage][1] if stage in CORE_STAGES else getattr(METHODS.get(stage), "colour", "tab:gray")


# ---------------------------------------------------------------- showing things

def as_png(figure, dpi=80):
    """A matplotlib Figure as the bytes of a PNG file; ``dpi``: of plots, a Sheet has its own."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    # A Sheet (support/squares.py) has its size in pixels: to cut its margins off would move them by parts of a pixel.
    size = {"dpi": figure.dpi} if figure.images else {"dpi": dpi, "bbox_inches": "tight"}
    figure.savefig(drawn, format="png", facecolor="white", **size)
    # Without matplotlib's alpha channel, which is opaque everywhere: stored notebooks become an eighth smaller.
    Image.open(drawn).convert("RGB").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def as_jpeg(png):
    """The bytes of a PNG file as those of a JPEG file, a quarter of them, with the colours of every pixel."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
    return buffer.getvalue()


def show(figure, path=None, handle=None, jpeg=False):
    """Show a figure as a PNG below the cell; also keep it as ``path``.

    Args:
        jpeg: show a JPEG of quality 90, for large sheets: a stored notebook stays small.  The file is a PNG.

    Returns the display's handle, None outside a notebook.  The next figure that is shown with this ``handle``
    replaces the former one.
    """
    png = as_png(figure)
    if path is not None:
        write_atomically(path, png)
    if not in_notebook():
        return None
    from IPython.display import Image as Shown
    from IPython.display import display
    shown = Shown(data=as_jpeg(png), format="jpeg") if jpeg else Shown(data=png)
    if handle is None:
        return display(shown, display_id=True)
    handle.update(shown)
    return handle


def table(header, rows):
    """A Markdown table whose columns also line up as plain text; cells are strings."""
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([line(header), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


def show_table(header, rows, path):
    """Show a table below the cell and keep it as a CSV file; cells are strings."""
    write_csv(path, [header, *rows])
    show_text(table(header, rows))


def show_text(markdown):
    """Show Markdown (a table, a bold sentence) below the cell; print it in a terminal."""
    if in_notebook():
        from IPython.display import Markdown, display
        display(Markdown(markdown))
    else:
        print(markdown)


class LiveCurves:
    """Follows a stage of training: one line with the time left, and after each epoch the
    curves and the fixed crop over the epochs, which are also kept in the run's figures/.

    Each method takes a support.stage.Stage.
    """

    def begin(self, stage):
        self.line, self.figure, self.first_seen = StatusLine(), None, None
        self.began, self.drawn = time.perf_counter(), None
        if stage.history:
            self.draw(stage)

    def progress(self, stage):
        if self.drawn != stage.newest_sample and stage.readings:        # a picture inside the epoch
            self.draw(stage)
        now = time.perf_counter()
        if self.first_seen is None:     # the first updates are slower than the rest and say little
            self.first_seen = now, stage.updates_done
        seconds, done = now - self.first_seen[0], stage.updates_done - self.first_seen[1]
        left = f"{duration(seconds / done * (stage.n_updates - stage.updates_done))} left  " if done else ""
        losses = ", ".join(f"{name} {meter.avg:.3g}" for name, meter in stage.meters.items())
        self.line.show(f"{stage_title(stage.name)}  epoch {stage.epoch + 1} of {stage.settings.epochs}  "
                       f"update {stage.updates_done} of {stage.n_updates}  {left}{losses}")

    def epoch_end(self, stage):
        row = stage.history[-1]
        finished = stage.epoch == stage.settings.epochs
        self.line.show(f"{stage_title(stage.name)}  epoch {stage.epoch} of {stage.settings.epochs} complete  "
                       f"{stage.updates_done} updates  {duration(time.perf_counter() - self.began)}  "
                       f"validation {row['valid_psnr']:.2f} dB / {row['valid_ssim']:.4f}", last=finished)
        self.draw(stage)

    def draw(self, stage):
        self.drawn = stage.newest_sample
        if in_notebook():
            folder = stage.folder / "figures"
            self.figure = show(training_figure(stage), folder / f"{stage.name}.png", self.figure)


# ---------------------------------------------------------------- plots of training

def picture(axes, image, title=None, size=9):
    """Draw an image, uint8 or float in [0, 1], without ticks; the pixels of a small one stay sharp squares."""
    small = max(np.shape(image)[:2]) < 200
    axes.imshow(three_channels(np.asarray(image)), interpolation="nearest" if small else "antialiased")
    axes.set_xticks([]), axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if title:
        axes.set_title(title, fontsize=size)


def training_figure(stage):
    """The curves of a stage and its fixed crop over the epochs, pixel for pixel at a whole zoom."""
    cells = inner_parts(sample_strip(stage.folder, stage.name))
    side = max(CELL // len(image) * len(image) for _, image in cells)
    page, columns, curves = Sheet(), 4, 260              # height of the curves, in pixels
    for place, (title, image) in enumerate(cells):
        left = GAP + place % columns * (side + GAP)
        top = curves + place // columns * (side + LINE + GAP)
        page.write(title, left, top, weight="bold")
        page.place(image, left, top + LINE, side // len(image))
    figure = page.figure(columns * (side + GAP) + GAP)
    draw_curves(figure, stage.history, losses_between(stage.readings), stage.name)
    height = figure.get_figheight() * figure.dpi
    figure.subplots_adjust(left=0.07, right=0.98, wspace=0.3, bottom=1 - (curves - 46) / height, top=1 - 24 / height)
    return figure


CELL = 232        # side of the fixed crop in the plot at most, in pixels


def inner_parts(images):
    """The middle of the fixed crop, so that it fits into the cells at a whole zoom of 2 or more.

    Args:
        images: list of (title, square image); LR is smaller than the others, and its middle is theirs.
    """
    full = max(len(image) for _, image in images)
    smallest = min(len(image) for _, image in images)
    cut = max(0, -(-(full - CELL // 2) * smallest // (2 * full)))          # off each side of LR, in its pixels
    parts = []
    for title, image in images:
        off = cut * len(image) // smallest
        parts.append((title, image[off:len(image) - off, off:len(image) - off]))
    return parts


def draw_curves(figure, rows, readings=(), stage=None):
    """Losses, validation PSNR and, for SRGAN, the discriminator's probabilities, over the updates.

    Args:
        rows: those of a stage's history, or of log.csv: a dot for each epoch.
        readings: dicts with "updates" and losses, as ``records.losses_between`` returns them: a line.
        stage: its name; None: that of the rows.
    """
    stage = stage or rows[0]["stage"]
    losses, quality, *third = figure.subplots(1, 3 if stage == "srgan" else 2)

    def curve(axes, name, label, colour, marker="o"):
        points = [(int(row["updates"]), float(row[name])) for row in rows]
        line = [(row["updates"], row[name]) for row in readings if name in row]
        if line:
            axes.plot(*zip(*line), color=colour, linewidth=1, label=label)
        if points:                       # none inside the first epoch
            axes.plot(*zip(*points), marker if line else f"{marker}-", color=colour, markersize=4, linewidth=1,
                      label=None if line else label)

    curve(losses, "content", "content", "tab:blue")
    if stage == "srgan":
        curve(losses, "adversarial", "beta x adversarial", "tab:orange")
        losses.legend(fontsize=8)
    plain_log_scale(losses)
    losses.set_title(f"{stage_title(stage)}: generator's losses", fontsize=9)
    curve(quality, "valid_psnr", "PSNR", colour_of(stage))
    psnr_scale(quality)
    quality.set_title("validation PSNR (Y), dB", fontsize=9)
    if not rows:
        quality.text(0.5, 0.5, "measured after each epoch", transform=quality.transAxes, ha="center", fontsize=9)
    for axes in third:
        curve(axes, "d_real", "of HR", "tab:blue")
        curve(axes, "d_sr", "of SR", "tab:orange")
        axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1)
        axes.legend(fontsize=8)
        axes.set_title("D's probability of 'real'", fontsize=9)
    for axes in (losses, quality, *third):
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("updates (a dot: mean of an epoch)", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)


def psnr_scale(axes):
    """A vertical axis in dB that shows 0.5 dB or more: noise in the third digit must not fill the plot."""
    low, high = axes.get_ylim()
    if high - low < 0.5:
        axes.set_ylim((low + high) / 2 - 0.25, (low + high) / 2 + 0.25)
    axes.yaxis.set_major_formatter("{x:g}")


def plain_log_scale(axes):
    """A logarithmic vertical axis whose ticks are plain numbers: 0.002 and not 2 x 10^-3."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)) if high > 30 * low else MaxNLocator(5))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def sample_strip(folder, stage, n=6):
    """The fixed crop: LR, up to n pictures evenly spread over the training, HR, as a list of (title, image)."""
    folder = Path(folder, "samples")
    pictures = sorted(folder.glob(f"{stage}_[0-9]*.png"), key=lambda path: path.stem)
    chosen = [pictures[i] for i in sorted(set(np.linspace(0, len(pictures) - 1, n).astype(int)))]
    titles = [sample_title(*map(int, path.stem.removeprefix(f"{stage}_").split("_"))) for path in chosen]
    return [(title, read_image(path)[0])
            for title, path in [("LR", folder / "lr.png"), *zip(titles, chosen), ("HR", folder / "hr.png")]]


def sample_title(epochs, update=0):
    """When a picture of the fixed crop was made: after so many epochs, and so many updates of the next."""
    if update:
        return f"epoch {epochs + 1}, update {update}"
    return f"epoch {epochs}" if epochs else "before"


def read_log(folder):
    """The rows of runs/<name>/log.csv, as dicts of strings; folder: runs/<name>."""
    with open(Path(folder, "log.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def score_rows(set_name):
    """The rows of a set in a table of scores: list of (title, grey), ``grey`` as in metrics.psnr.

    Set14, which holds a grey image, has two: a score stands in the row of the way that it was measured in.
    """
    return [(set_name, "values")] + [(f"{set_name}, colour formula", "colour")] * (set_name in SETS_WITH_GREY)


def published_score(by_set, set_name, grey):
    """The (psnr, ssim) of a row of config.PUBLISHED, or None where there is none that was measured in this way."""
    same_way = set_name not in SETS_WITH_GREY or by_set["grey"] == grey
    return by_set.get(set_name) if same_way else None


def read_benchmark(path, grey="values"):
    """The means of benchmark.csv: dict set -> (number of images, dict method -> (psnr, ssim)).

    Args:
        grey: as in metrics.psnr; with "colour", a file that an older kit wrote has no methods.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ending = "_colour" if grey == "colour" else ""
    methods = [key.removesuffix(f"_psnr{ending}") for key in rows[0] if key.endswith(f"_psnr{ending}")]
    means = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == name]
        means[name] = len(of_set), {
            method: tuple(fmean(float(row[f"{method}_{measure}{ending}"]) for row in of_set)
                          for measure in ("psnr", "ssim"))
            for method in methods}
    return means


def read_measures(path):
    """The means of the other measures in benchmark.csv: dict set -> dict method, "HR" too -> dict measure -> mean.

    An image that is too small for a measure has no value and does not count.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [(key, *key.rsplit("_", 1)) for key in rows[0] if key.rsplit("_", 1)[-1] in MEASURES]
    means = {}
    for key, method, measure in columns:
        for name in dict.fromkeys(row["set"] for row in rows):
            values = [float(row[key]) for row in rows if row["set"] == name and float(row[key]) == float(row[key])]
            if values:
                means.setdefault(name, {}).setdefault(method, {})[measure] = fmean(values)
    return means


def measures_table(of_set, methods, recipe=None):
    """What PSNR cannot see, of one set: a row for each method and HR, a column for each measure.

    Args:
        of_set: dict method -> dict measure -> mean, as ``read_measures`` gives it for a set.
        methods: the rows' order.
        recipe: as in ``method_title``.

    Returns:
        (header, rows) of strings.
    """
    present = [name for name in MEASURES if any(name in values for values in of_set.values())]
    header = [f"{MEASURES[name].title} {MEASURES[name].direction}" for name in present]
    rows = []
    for method in [*methods, "HR"]:
        values = of_set.get(method, {})
        rows.append([method_title(method, recipe)] + [
            f"{values[name]:.{MEASURES[name].digits}f}" if name in values else "" for name in present])
    return header, rows


def plane_figure(title, scores, measure, line=None):
    """The perception-distortion plane (Blau and Michaeli 2018, arXiv 1711.06077): a point for each method.

    Args:
        scores: dict title -> (psnr in dB, value of the measure); HR has no PSNR and is a dashed line: (None, value).
        measure: name of the measure on the vertical axis, one of which low is good.
        line: list of (alpha, psnr, value): the networks between two generators, drawn as a line.
    """
    figure = Figure(figsize=(7.5, 4.8))
    axes = figure.subplots()
    if line:
        axes.plot([psnr for _, psnr, _ in line], [value for *_, value in line], "-", color="grey", zorder=1,
                  label="interpolated weights")
        for alpha, psnr, value in line:
            axes.plot(psnr, value, "o", color="grey", markersize=3, zorder=1)
            axes.annotate(f"{alpha:g}", (psnr, value), textcoords="offset points", xytext=(4, 4), fontsize=8,
                          color="grey")
    for name, (psnr, value) in scores.items():
        if psnr is None:
            axes.axhline(value, linestyle="--", color="black", linewidth=0.8, label=name)
        else:
            axes.plot(psnr, value, "o", markersize=8, zorder=2, label=name)
    axes.set_xlabel("PSNR on Y, dB  (right: nearer to HR pixel by pixel)", fontsize=9)
    axes.set_ylabel(f"{MEASURES[measure].title}  (down: better to look at)", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


def thumbnail(image, side=1000):
    """A uint8 image with sides of at most ``side``, by averaging whole pixels: all that a plot can show."""
    factor = -(-max(image.shape[:2]) // side)
    return np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image

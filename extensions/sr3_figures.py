"""The plots of sr3.ipynb.  All texts in them are English: not every system has a Chinese font."""

import numpy as np
from matplotlib.figure import Figure

from support.enlarging import as_8_bit
from support.figures import picture


def as_array(x):
    """(3, H, W) in [-1, 1] -> uint8 (H, W, 3)."""
    return as_8_bit(x).permute(1, 2, 0).contiguous().numpy()


def strip_figure(states, columns=6, side=2.0):
    """Images in rows: list of (title, tensor (3, H, W) in [-1, 1] or uint8 array)."""
    rows = -(-len(states) // columns)
    image = states[0][1]
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.shape[1:]
    figure = Figure(figsize=(side * columns, rows * (side * height / width + 0.3)))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, image) in zip(grid, states):
        picture(axes, image if isinstance(image, np.ndarray) else as_array(image), title)
    for axes in grid[len(states):]:
        axes.set_axis_off()
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.3 / figure.get_figheight(), wspace=0.05,
                           hspace=0.3 / side)
    return figure


def schedules_figure(schedules):
    """What is left of the image, sqrt(alphabar), over the steps: dict title -> Diffusion."""
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    for title, diffusion in schedules.items():
        axes.plot(np.linspace(0, 1, diffusion.n_steps), diffusion.alphabar.sqrt().numpy(), label=title)
    axes.set_xlabel("fraction of the steps", fontsize=9)
    axes.set_ylabel("noise level sqrt(alphabar)", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def levels_figure(levels, steps):
    """What the networks are told in training: any level (SR3), those of the steps (DDPM); two arrays (N,)."""
    figure = Figure(figsize=(9, 2.4))
    axes = figure.subplots()
    axes.plot(levels, np.full(len(levels), 1.0), "|", markersize=16, color="tab:purple")
    axes.plot(steps, np.full(len(steps), 0.0), "|", markersize=16, color="tab:grey")
    axes.set_yticks([0, 1], ["DDPM: the levels\nof the steps", "SR3: any level\nbetween two steps"], fontsize=9)
    axes.set_ylim(-0.6, 1.6)
    axes.set_xlabel("noise level sqrt(alphabar)", fontsize=9)
    axes.grid(alpha=0.3, axis="x")
    return figure


def steps_figure(rows, baseline):
    """PSNR over the number of steps, one curve for each way of sampling: list of (way, steps, psnr, seconds)."""
    figure = Figure(figsize=(9, 3.4))
    axes = figure.subplots()
    for way in dict.fromkeys(row[0] for row in rows):
        points = sorted((steps, psnr) for name, steps, psnr, _ in rows if name == way)
        axes.plot(*zip(*points), ".-", label=way, markersize=9)
    axes.axhline(baseline, color="grey", linestyle=":", label="bicubic")
    axes.set_xscale("log")
    ticks = sorted({row[1] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("steps of the U-Net", fontsize=9)
    axes.set_ylabel("PSNR (Y), dB", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure

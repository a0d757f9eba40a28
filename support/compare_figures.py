"""The figures of a comparison of runs: curves in one plot, squares of the same images, the fixed crop."""

import math

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imresize import imresize
from support.figures import method_title, plain_log_scale, psnr_scale, sample_strip, stage_title
from support.messages import few
from support.squares import comparison_figure, contact_sheet
from support.stored_run import common_images, methods_of, number_in, sets_of, stages_of

IMAGES = 2                   # of a set that are shown as squares


def curves_figure(stored):
    """A row of plots for each stage, a colour for each run: content loss, validation PSNR, D's probabilities."""
    stages = stages_of(stored)
    figure = Figure(figsize=(11, 3 * len(stages) + 0.4))
    grid = figure.subplots(len(stages), 3, squeeze=False)
    for stage, (losses, quality, probability) in zip(stages, grid):
        for k, run in enumerate(stored):
            rows, style = run.log.get(stage, []), {"color": f"C{k}", "markersize": 4, "linewidth": 1}
            curve(losses, rows, "content", "o-", label=run.name, **style)
            curve(quality, rows, "valid_psnr", "o-", label=run.name, **style)
            curve(probability, rows, "d_real", "o-", label=f"{run.name}, of HR", **style)
            curve(probability, rows, "d_sr", "o--", label=f"{run.name}, of SR", markerfacecolor="none", **style)
        losses.set_title(f"{stage_title(stage)}: content loss", fontsize=9)
        quality.set_title(f"{stage_title(stage)}: validation PSNR (Y), dB", fontsize=9)
        probability.set_title("D's probability of 'real'", fontsize=9)
        if losses.lines:
            plain_log_scale(losses)
        if quality.lines:
            psnr_scale(quality)
        probability.set_ylim(0, 1)
        probability.set_visible(bool(probability.lines))
        for axes in (losses, quality, probability):
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_xlabel("updates", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def curve(axes, rows, column, marker, **style):
    """The values of a column of log.csv over the updates; those that are not numbers are left out."""
    points = [(row["updates"], row[column]) for row in rows
              if not math.isnan(row.get("updates", math.nan)) and not math.isnan(row.get(column, math.nan))]
    if points:
        axes.plot(*zip(*points), marker, **style)


# ---------------------------------------------------------------- images

def squares(stored):
    """(dict name -> Figure, list of sentences on what cannot be shown): the first set of which two runs have images."""
    pictures, missing = {}, []
    for method in [method for method in methods_of(stored) if method != "bicubic"]:
        for name in sets_of(stored):
            images, _ = common_images(stored, name)
            found = {image: {run.name: run.result(method, name, image) for run in stored} for image in images[:IMAGES]}
            found = {image: {title: sr for title, sr in versions.items() if sr is not None}
                     for image, versions in found.items()}
            if all(len(versions) > 1 for versions in found.values()) and found:
                for image, versions in found.items():
                    pictures[f"{name}_{image}_{method}"] = squares_of(stored, method, name, image, versions)
                break
        else:
            if sum(bool(run.scores) for run in stored) > 1:          # else it has been said which have none
                missing.append(f"{method_title(method)}: not every run has images of the same set "
                               f"(results/ in the run folder; test.ipynb writes them).")
    figure, without = fixed_crops(stored)
    return pictures | figure, missing + without


def squares_of(stored, method, set_name, image, versions):
    """Squares of one image by each run; with LR, bicubic interpolation and HR where the images are here."""
    numbers = {run.name: [number_in(run, set_name, image, f"{method}_{score}") for score in ("psnr", "ssim")]
               for run in stored}
    scores = {name: "" if math.isnan(psnr) else f"{psnr:.2f} dB / {ssim:.4f}" for name, (psnr, ssim) in numbers.items()}
    title, pair = f"{image}, {method_title(method)}", next(filter(None, (run.pair(set_name, image) for run in stored)),
                                                           None)
    if pair is None or any(sr.shape[:2] != pair[1].shape[:2] for sr in versions.values()):
        return contact_sheet([(title, {name: (sr, scores[name]) for name, sr in versions.items()})])
    lr, hr = pair
    bicubic = {"bicubic": imresize(lr, hr.shape[0] // lr.shape[0])}
    return comparison_figure(title, lr, {**bicubic, **versions}, hr, scores, n=1)


def fixed_crops(stored):
    """A row for each stage: LR, the fixed crop at the end of each run, HR: (dict name -> Figure, sentences)."""
    strips = {run.name: {stage: sample_strip(run.folder, stage, n=1000) for stage in run.log
                         if list((run.folder / "samples").glob(f"{stage}_[0-9]*.png"))} for run in stored}
    without = [f"{run.name} has no samples/: its fixed crop is not shown; training writes it."
               for run in stored if run.log and not strips[run.name]]
    all_strips = [strip for stages in strips.values() for strip in stages.values()]
    if not all_strips:
        return {}, without
    lr, hr = all_strips[0][0], all_strips[0][-1]
    if any(strip[-1][1].shape != hr[1].shape or (strip[-1][1] != hr[1]).any() for strip in all_strips):
        return {}, [*without, f"The fixed crops of {few(strips)} are of different images, and are not shown."]
    rows = []
    for stage in stages_of(stored):
        last = {f"{name}, {stages[stage][-2][0]}": stages[stage][-2][1] for name, stages in strips.items()
                if stage in stages}
        rows.append((f"The fixed crop at the end: {stage_title(stage)}",
                     {title: (image, "") for title, image in (lr, *last.items(), hr)}))
    return {"fixed_crop": contact_sheet(rows)}, without

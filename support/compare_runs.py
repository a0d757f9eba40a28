"""Two runs or more next to each other: settings that differ, curves, scores with the better one marked, squares.

    python -m support.compare_runs mine beta5            names in runs/, or folders

In a notebook: ``compare_runs("mine", "beta5")``.  Nothing is computed again: everything comes from what the runs have
left on the disk.  Tables go to the screen; comparison.html, comparison.md and the plots to runs/compared/.
"""

import argparse
import re
import sys
from pathlib import Path

from support.compare_figures import curves_figure, squares
from support.figures import method_title, score_rows, show, show_text, stage_title, table
from support.files import write_atomically
from support.measures import MEASURES
from support.messages import count
from support.pages import page
from support.stored_run import StoredRun, common_images, mean_of, methods_of, sets_of, stages_of

ORIGIN = ("kit", "code_sha256", "data_sha256", "device", "torch")      # of provenance.json
SAME_ANYWAY = ("name", "preset")
NONE = "–"


def compare_runs(*names, runs="runs"):
    """Show and keep the comparison; returns the path of the HTML page.

    Args:
        names: of runs in ``runs``, or folders.

    Raises:
        ValueError: for fewer than two runs, a run that is not there (RunMissing), or a file that cannot be read.
    """
    if len(set(names)) < 2:
        raise ValueError("Name two runs or more, each once, such as: python -m support.compare_runs mine beta5")
    stored = [StoredRun(name, runs) for name in names]
    if len({run.name for run in stored}) < len(stored):              # of different folders
        for run in stored:
            run.name = run.folder.as_posix()
    folder = Path(runs, "compared", "_".join(re.sub(r"[^\w.-]+", "-", run.name).strip("-") for run in stored))
    parts = []
    for title, text, pictures in comparison(stored):
        show_text(f"## {title}\n\n{text}".rstrip() + "\n")
        links = [f"![{name}]({name}.png)" for name in pictures]
        for name, figure in pictures.items():
            show(figure, folder / f"{name}.png")
        parts.append("\n\n".join([f"## {title}", *filter(None, [text, *links])]))
    heading = " · ".join(run.name for run in stored)
    markdown = f"# {heading}\n\n" + "\n\n".join(parts) + "\n"
    write_atomically(folder / "comparison.md", markdown.encode("utf-8"))
    write_atomically(folder / "comparison.html", page(markdown, heading, folder).encode("utf-8"))
    print(f"kept in {folder.as_posix()}: comparison.html and .md, the plots as .png")
    return folder / "comparison.html"


def comparison(stored):
    """The parts of a comparison: a list of (title, Markdown, dict name -> Figure).

    Args:
        stored: list of StoredRun.
    """
    names = [run.name for run in stored]
    pictures, missing = squares(stored)
    lacks = [line for run in stored for line in run.lacks] + scale_note(stored) + missing
    parts = [("What is missing · 缺少的内容", "\n".join(f"- {line}" for line in lacks), {})] if lacks else []
    rows = settings_that_differ(stored)
    parts.append(("Settings that differ · 不同的设置", table(["setting", *names], rows) if rows else
                  "None that is known. 没有发现不同的设置。", {}))
    if any(run.log for run in stored):
        parts.append(("Curves · 曲线", "\n".join(curve_notes(stored)), {"curves": curves_figure(stored)}))
    header, rows, notes = score_table(stored)
    if rows:
        parts.append(("Test sets · 测试集", "\n\n".join([table(header, rows), *notes]), {}))
        for name in sets_of(stored):
            header, rows = measures_beside(stored, name)
            if rows:
                parts.append((f"What PSNR cannot see: {name} · PSNR 看不到的：{name}", table(header, rows), {}))
    if pictures:
        parts.append(("The same images · 同样的图像", "", pictures))
    return parts


# ---------------------------------------------------------------- settings

def settings_that_differ(stored):
    """Rows (setting, a value for each run): of config.json, and of provenance.json where code, data, ... differ."""
    with_settings = [run for run in stored if run.settings]
    keys = dict.fromkeys(key for run in with_settings for key in run.settings if key not in SAME_ANYWAY)
    rows = [[key, *(_word(run.settings.get(key, NONE)) if run.settings else NONE for run in stored)] for key in keys]
    rows += [[key, *(str(run.origin.get(key, NONE))[:12 if "sha" in key else 60] for run in stored)] for key in ORIGIN]
    return [row for row in rows if len(set(row[1:]) - {NONE}) > 1 or _only_some_have_it(row[1:], row[0], with_settings)]


def _only_some_have_it(values, key, with_settings):
    """Whether a setting exists in some configurations and not in others, as from kits of different years."""
    return 0 < sum(key in run.settings for run in with_settings) < len(with_settings) and set(values) != {NONE}


def _word(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def scale_note(stored):
    scales = {run.name: run.config["scaling_factor"] for run in stored if "scaling_factor" in run.config}
    return [] if len(set(scales.values())) < 2 else [
        "The runs upscale by different factors (" + ", ".join(f"{name}: {scale}" for name, scale in scales.items())
        + "): their scores do not compare."]


def curve_notes(stored):
    """What must be known to read the curves, a line each."""
    notes = []
    for stage in stages_of(stored):
        without = [run.name for run in stored if run.log and stage not in run.log]
        if without:
            notes.append(f"- {', '.join(without)}: no stage {stage_title(stage)}.")
    losses = {run.name: run.settings["content_loss"] for run in stored if "content_loss" in run.settings}
    if len(set(losses.values())) > 1:
        notes.append("- The content losses of SRGAN differ (" + ", ".join(f"{name}: {loss}" for name, loss in
                                                                          losses.items())
                     + "): their curves do not compare. 内容损失不同，其曲线不可直接比较。")
    return notes


# ---------------------------------------------------------------- scores

def marked(values, text, goodness):
    """The values as texts, the best in bold; none where all read the same.

    Args:
        values: of the runs, None where a run has none.
        text: function value -> str.
        goodness: function value -> the higher, the better.
    """
    there = [value for value in values if value is not None]
    best = text(max(there, key=goodness)) if there else ""
    alike = len({text(value) for value in there}) < 2
    return [NONE if value is None else text(value) if alike or text(value) != best else f"**{best}**"
            for value in values]


def score_table(stored):
    """PSNR and SSIM, means over the images that all runs have: (header, rows, notes)."""
    rows, notes = [], []
    for name in sets_of(stored):
        images, complete = common_images(stored, name)
        if not complete:
            notes.append(f"{name}: the runs have not measured the same images; these are means over the "
                         f"{len(images)} that all have. 各次运行所测图像不同，此处只对共有的图像取平均。")
        for title, grey in score_rows(name):
            ending = "_colour" if grey == "colour" else ""
            for method in methods_of(stored):
                psnr, ssim = ([mean_of(run, name, images, f"{method}_{measure}{ending}") for run in stored]
                              for measure in ("psnr", "ssim"))
                cells = zip(marked(psnr, "{:.2f}".format, float), marked(ssim, "{:.4f}".format, float))
                if any(value is not None for value in psnr):
                    rows.append([f"{title}, {count(images)}", method_title(method), *(
                        NONE if first == NONE else f"{first} / {second}" for first, second in cells)])
                if method == "bicubic" and len({f"{value:.2f}" for value in psnr if value is not None}) > 1:
                    notes.append(f"{title}: bicubic interpolation differs, so HR or LR was not the same. "
                                 "双三次插值的数值不同，说明所用的图像不一致。")
    return ["PSNR (dB) / SSIM on Y", "method", *(run.name for run in stored)], rows, notes


def measures_beside(stored, set_name):
    """The other measures of a set: (header, rows), a row for each method and measure."""
    images, _ = common_images(stored, set_name)
    rows = []
    for method in [method for method in methods_of(stored) if method != "bicubic"]:
        for name, measure in MEASURES.items():
            values = [mean_of(run, set_name, images, f"{method}_{name}") for run in stored]
            if any(value is not None for value in values):
                rows.append([method_title(method), f"{measure.title} {measure.direction}",
                             *marked(values, f"{{:.{measure.digits}f}}".format, GOODNESS[measure.direction])])
    return ["method", "measure", *(run.name for run in stored)], rows


GOODNESS = {"↓": lambda value: -value, "↑": lambda value: value, "→ 1": lambda value: -abs(value - 1)}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m support.compare_runs",
                                     description="Runs next to each other: settings, curves, scores, squares. "
                                                 "并排比较两次或多次运行：设置、曲线、分数、图像。")
    parser.add_argument("names", nargs="+", metavar="RUN", help="its name in runs/, or its folder 运行的名称或文件夹")
    args = parser.parse_args(arguments)
    try:
        compare_runs(*args.names)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):          # a Chinese Windows console may lack characters
        stream.reconfigure(errors="replace")
    sys.exit(main())

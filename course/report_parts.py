"""What the kit writes into a report: tables and figures of a run, and of others next to it."""

import html
import json

from config import PUBLISHED
from course.facts import TEST_SETS
from course.report_blocks import free_name
from metrics import GREY
from support.compare_runs import comparison
from support.figures import (
    as_png,
    measures_table,
    method_title,
    published_score,
    read_benchmark,
    read_log,
    read_measures,
    run_recipe,
    score_rows,
    stage_title,
)

ABOUT_BRIDGE = (
    "Set14 holds one grey image, bridge. Compare scores within a row: the first row takes bridge by its grey values, "
    "the second puts it through the colour formula, which gives about 0.09 dB more. Set14 中的 bridge 是灰度图，"
    "请只在同一行内比较：第一行直接比较其灰度值，第二行则按彩色公式换算，数值约高 0.09 dB。")
# Figure in the run folder -> its caption.
FIGURES = {
    "pretrain.png": "Pre-training: loss, validation PSNR, the fixed crop · 预训练：损失、验证 PSNR、固定裁剪区域",
    "srgan.png": "SRGAN: losses, validation PSNR, D's probabilities · SRGAN：损失、验证 PSNR、判别器概率",
    "Set5_contact_sheet.png": "Set5",
}
SETTINGS = ("batch_size", "crop_size", "epochs", "updates_per_epoch", "lr", "lr_schedule", "warmup", "averaging")
OF_SRGAN = ("lr_d", "beta", "content_loss", "vgg19_i", "vgg19_j", "vgg19_weights", "feature_scale")


class ReportError(ValueError):
    """No draft can be written, or it would overwrite something; the message says why."""


def parts_of(content, handin, stored, folder, replaceable):
    """What the kit writes: (dict name -> Markdown, dict path -> PNG).

    Args:
        content: as ``gather`` returns it.
        stored: list of StoredRun to compare, the first is the report's own; [] for one run.
        replaceable: paths of pictures that may be replaced.
    """
    names = [run.name for run in stored] or [content["run"]]
    who = html.escape(f"{handin.student_id} {handin.name}".strip(), quote=False)
    runs = f"{'runs' if stored else 'run'} " + ", ".join(f"`{name}`" for name in names)
    parts = {"runs": " · ".join(filter(None, [who, runs])),
             "networks": markdown_table([["network", "settings"], *content["networks"]]),
             "settings": markdown_table(content["settings"])}
    pictures = {}

    def picture(name, png, text):
        path = free_name(folder, f"report_files/{name}", replaceable)
        pictures[path] = png
        return f"![{text}]({path})\n\n<small>{text}</small>"     # upright: slanted Chinese is hard to read
    for stage, without in (("pretrain", "This run has no pre-training. 此次运行没有预训练。"),
                           ("srgan", "This run has no SRGAN stage. 此次运行没有 SRGAN 阶段。")):
        parts[stage] = without if stage not in content["stages"] else _figure(f"{stage}.png", content, picture)
    parts |= {"log": markdown_table(content["log"]),
              "results": markdown_table(content["results"]) + f"\n\n<small>{ABOUT_BRIDGE}</small>"}
    if content["measures"]:
        parts["measures"] = markdown_table(content["measures"])
    if stored:
        parts["compared"] = "\n\n".join(
            "\n\n".join([f"### {title}", *filter(None, [text]), *(
                picture(f"compared_{name}.png", as_png(figure), f"{name.replace('_', ' ')}: {', '.join(names)}")
                for name, figure in figures.items())]) for title, text, figures in comparison(stored))
    parts["contact_sheet"] = _figure("Set5_contact_sheet.png", content, picture)
    return parts, pictures


def _figure(name, content, picture):
    if name in content["pictures"]:
        return picture(name, content["pictures"][name], FIGURES[name])
    return (f"(no {name} in figures/ of the run folder yet: run the notebooks "
            f"运行文件夹的 figures/ 中还没有 {name}，请先运行 notebook)")


def markdown_table(rows):
    """A Markdown table of a list of rows of strings; the first is the header."""
    lines = ["| " + " | ".join(html.escape(cell, quote=False) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def gather(run):
    """The contents of the run folder that a report needs.

    Raises:
        ReportError: if there is no log.csv: nothing has been trained then.
    """
    if not (run / "log.csv").exists() or not (run / "config.json").exists():
        there = ", ".join(sorted(path.parent.name for path in run.parent.glob("*/log.csv"))) or "none"
        raise ReportError(f"{run} holds no log.csv and config.json. Choose the run with run = ... in handin.toml or "
                          f"with --run; runs found here: {there}. If there are none, run train.ipynb first. "
                          f"没有找到这次运行的记录：请检查 handin.toml 中的 run，或先运行 train.ipynb。")
    config, log = json.loads((run / "config.json").read_text(encoding="utf-8")), read_log(run)
    stages = [stage for stage in ("pretrain", "srgan") if any(row["stage"] == stage for row in log)]
    return {"run": run.name, "config": config, "settings": settings_table(config, stages),
            "networks": [["G", _words(config["G"])], ["D", _words(config["D"])]],
            "log": [["stage", "epochs", "updates", "minutes", "validation PSNR / SSIM"],
                    *(stage_row(stage, log) for stage in stages)],
            "results": results_and_published(run / "benchmark.csv"),
            "measures": what_psnr_cannot_see(run / "benchmark.csv"),
            "stages": stages,
            "pictures": {name: (run / "figures" / name).read_bytes() for name in FIGURES
                         if (run / "figures" / name).exists()}}


def settings_table(config, stages):
    """A row per setting, a column per stage."""
    rows = [["", *map(stage_title, stages)]]
    for key in (*SETTINGS, *OF_SRGAN):
        values = []
        for stage in stages:
            settings = {**config, **(config["pretrain"] if stage == "pretrain" else {})}
            values.append("" if key in OF_SRGAN and stage == "pretrain" else str(settings.get(key, "")))
        rows.append([key, *values])
    return rows


def stage_row(stage, log):
    rows = [row for row in log if row["stage"] == stage]
    minutes = sum(float(row["seconds"] or 0) for row in rows) / 60
    return [stage_title(stage), str(len(rows)), rows[-1]["updates"], f"{minutes:.0f}",
            f"{float(rows[-1]['valid_psnr']):.2f} dB / {float(rows[-1]['valid_ssim']):.4f}"]


def results_and_published(path):
    """The means of benchmark.csv next to the published scores: a row per set, also for sets that were not measured.

    Set14 has two rows (support.figures.score_rows).
    """
    if not path.exists():
        return [["Y: PSNR (dB) / SSIM"], ["test.ipynb has not been run 尚未运行 test.ipynb"]]
    means, recipe = {grey: read_benchmark(path, grey) for grey in GREY}, run_recipe(path.parent)
    methods = list(next(iter(means["values"].values()))[1])
    published = {name: by_set for name, by_set in PUBLISHED.items() if "paper" in name or name == "EDSR-baseline"}
    table = [["Y: PSNR (dB) / SSIM", *(method_title(name, recipe) for name in methods), *published]]
    for name in dict.fromkeys([*TEST_SETS, *means["values"]]):
        for title, grey in score_rows(name):
            measured = means[grey][name][1] if name in means[grey] else {}
            values = [measured.get(method) for method in methods]
            values += [published_score(by_set, name, grey) for by_set in published.values()]
            table.append([title] + ["–" if value is None else "{:.2f} / {:.4f}".format(*value) for value in values])
    return table


def what_psnr_cannot_see(path):
    """The other measures of benchmark.csv on Set5, or on the first set that has any; [] where there are none."""
    measures = read_measures(path) if path.exists() else {}
    if not measures:
        return []
    name = "Set5" if "Set5" in measures else next(iter(measures))
    header, rows = measures_table(measures[name], [method for method in measures[name] if method != "HR"],
                                  run_recipe(path.parent))
    return [[name, *header], *rows]


def _words(settings):
    return ", ".join(f"{key} {value}" for key, value in settings.items())

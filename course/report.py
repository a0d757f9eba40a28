"""A draft of the report from the run folder: report.md, and report.html with the images inside."""

import base64
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from config import PUBLISHED
from course.facts import TEST_SETS
from course.handin import HandIn
from metrics import GREY
from support.figures import (
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
from support.files import write_atomically

WRITE_HERE = "(write here) 在此填写"
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


def report_command(parser):
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="the kit (default: this folder)")
    parser.add_argument("--run", help="name of the run (default: the one in handin.toml)")
    parser.add_argument("--again", action="store_true", help="replace an existing report.md 覆盖已有的 report.md")

    def run(args):
        written = write_report(args.folder, args.run, args.again)
        print("\n".join(map(str, written)))
        print(f"Fill in the places marked {WRITE_HERE!r}. 请填写标有该字样的地方。")
        return 0
    return run


def write_report(folder, run_name=None, again=False):
    """Write report.md, report_files/ and report.html into the kit; returns the paths.

    Raises:
        ReportError: if the run has no log, or a report.md exists and ``again`` is not set.
    """
    folder, handin = Path(folder), HandIn(folder)
    run = folder / "runs" / (run_name or handin.run_name)
    if (folder / "report.md").exists() and not again:
        raise ReportError(f"{folder / 'report.md'} is there already, and may hold what you have written. "
                          "Rename it, or add --again. report.md 已存在；请先改名，或加上 --again。")
    content = gather(run)
    written = []
    for name, png in content.pop("pictures").items():
        written.append(folder / "report_files" / name)
        write_atomically(written[-1], png)
        content["figures"].append({"file": f"report_files/{name}", "text": FIGURES[name],
                                   "data": base64.b64encode(png).decode()})
    for kind in ("md", "html"):
        written.append(folder / f"report.{kind}")
        text = templates(autoescape=kind == "html").get_template(f"report.{kind}.j2").render(
            **content, student_id=handin.student_id, name=handin.name, write_here=WRITE_HERE)
        write_atomically(written[-1], text.encode("utf-8"))
    return written


def templates(autoescape):
    """The templates of this package; in an HTML page, everything that is put in is escaped."""
    return Environment(loader=FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
                       autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


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
            "figures": [], "stages": stages,
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

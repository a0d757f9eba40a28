"""The results table of the weights that come with the kit: python -m benchmarks.results --data data

Measures bicubic interpolation and every file of weights/ on the test sets that are there, by
the protocol of the papers, next to the published scores; and what lies between the weights of
SRResNet and SRGAN.  Leaves results.md, results.csv and interpolation.png in runs/benchmarks/;
with --write, docs/ and both READMEs are updated: docs/results.md has the whole table, a README a few
rows of it.  Every table of the Chinese page is made from the English one.
"""

import argparse
import re
import statistics
import sys
import time
from pathlib import Path

import torch

import extensions  # noqa: F401  its networks register themselves
from benchmarks.measure import machine, mosaic
from benchmarks.pictures import interpolation_figure, networks_between
from config import PUBLISHED, get_config
from datasets import SRDataset
from imresize import imresize
from inference import load_generator
from metrics import gradient_magnitude, psnr, ssim
from support import measures
from support.checkpoints import read_metadata, shipped_names, weight_file
from support.enlarging import evaluate, mean_of, super_resolve
from support.figures import as_png, measures_table, published_score, score_rows, table
from support.files import write_atomically, write_csv
from support.lists import list_path, read_list
from support.progress import StatusLine

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("docs/results.md", "README.md", "README.zh-CN.md")        # that hold the table; the READMEs in short:
IN_SHORT = ("bicubic", "`srresnet-small-x4`", "`srresnet-x4`", "`srgan-x4`", "`srgan-mse-x4`", "SRResNet (paper)",
            "SRGAN-MSE (paper)")
FOLDER = Path("runs", "benchmarks")
SETS = {"Set5": "Set5", "Set14": "Set14", "B100": "B100", "Urban100": "Urban100", "valid": "DIV2K valid"}
MISSING = {"valid": "python create_data_lists.py --download div2k"}       # the others: --download benchmark
CHINESE = {"PSNR (dB) / SSIM on Y": "PSNR (dB) / SSIM，Y 通道", "parameters": "参数量",
           "Set14, colour formula": "Set14，彩色公式", "510 x 339 upscaled in": "放大 510 x 339 用时",
           "not measured: not here": "未测：没有该数据集", "how to get it": "获取方法", "DIV2K valid": "DIV2K 验证集",
           ", self-ensemble": "，自集成", ", published": "，公开数值", " (paper)": "（论文）", "bicubic ": "双三次 ",
           "bicubic，": "双三次，", " (trained on the 291 images)": "（用 291 张图像训练）",
           # what PSNR cannot see
           "VGG16 distance": "VGG16 距离", "texture → 1": "纹理 → 1", "grid ↓": "网格 ↓",
           # between the networks
           "mean gradient, grey levels per pixel": "平均梯度（每像素灰度级）",
           "Set5 is not here: not measured.": "没有 Set5，未测。",
           # the two ways to measure a grey image
           "| by grey values | by the colour formula | published |": "| 按灰度值 | 按彩色公式 | 公开数值 |",
           ", its public weights": "，公开权重",
           # the sources' scores
           "| source | data | protocol | score |": "| 出处 | 数据 | 评测协议 | 数值 |",
           "A2N, a tutorial's x4": "A2N，某教程的 x4", "A2N, the same tutorial's x2": "A2N，同一教程的 x2",
           "SRDiff, the paper": "SRDiff，论文", "SRDiff, a MindSpore model": "SRDiff，MindSpore 的模型",
           "SR3, the public code, ": "SR3，公开代码，", "16 to 128": "16 到 128", "64 to 512": "64 到 512",
           "trained on DIV2K; Set5, Set14": "用 DIV2K 训练；Set5、Set14", "the same, x2": "同上，x2",
           "| faces |": "| 人脸 |",
           "DIV2K, x4": "DIV2K，x4", "; trained for ": "；训练了 ", " hours |": " 小时 |",
           "Y, 4 pixels cut off: the kit's": "Y，四周裁去 4 个像素：与本套件相同",
           "; Set14 by the colour formula": "；Set14 用彩色公式",
           "Y, no border cut off": "Y，不裁边", "RGB, no border cut off": "RGB，不裁边", ", LPIPS": "，LPIPS",
           " with DDIM, ": "（DDIM，", " with ": "（", " steps; ": " 步）；", " steps |": " 步） |",
           # full size
           "network, full size": "完整规模的网络", "| training |": "| 训练 |", "A2N, the tutorial's": "A2N，教程中的",
           "A2N, ": "A2N，", " blocks |": " 个块 |", " updates in ": " 次更新，", " minutes |": " 分钟 |",
           " updates (": " 次更新（其中 ", " of them at x2), patches twice as wide, batches of ":
           " 次为 x2），图像块的边长为两倍，批大小 ", "not run here yet": "尚未训练", " (computed)": "（计算所得）"}
SLOW = 60                    # seconds: what has taken longer is not timed again
TIMED = (339, 510)           # height and width of the LR image whose upscaling is timed: 510 x 339 -> 2040 x 1356


def main(arguments=None, root=ROOT, timed=TIMED):
    """The command.

    Args:
        root: folder whose pages --write updates.
        timed: height and width of the LR image whose upscaling is timed.
    """
    args, config = parse(arguments)
    if args.twin:
        return write_twin(root / "docs/results.md")
    methods = shipped_methods()
    measured = measure(config, args.sets, methods)
    write_csv(FOLDER / "results.csv", [
        ["set", "method", "image", "psnr", "ssim", "psnr_colour", "ssim_colour", *next(iter(measured.values()))[0][3]],
        *([name, method, image, *(f"{value:.6f}" for value in (dB, similarity, *by_colour, *others.values()))]
          for (name, method), rows in measured.items() for image, dB, similarity, others, by_colour in rows)])
    others = perceptual_text(measured, config)
    text = as_text(measured, methods, args.sets, seconds_of(methods, timed))
    between, plot = interpolation(config, args.sets), as_png(interpolation_figure())
    write_atomically(FOLDER / "results.md", f"{text}\n\n{others}\n\n{between}\n".encode())
    write_atomically(FOLDER / "interpolation.png", plot)
    if args.write:
        for page in PAGES:
            block = in_short(text) if "README" in page else text
            write_between(root / page, "results", in_chinese(block) if "zh-CN" in page else block)
        write_between(root / "docs/results.md", "perceptual", others)
        write_between(root / "docs/results.md", "interpolation", between)
        write_twin(root / "docs/results.md")
        write_atomically(root / "docs/interpolation.png", plot)
    print(f"\n{text}\n\n{others}\n\n{between}\n\n"
          f"kept in {FOLDER / 'results.md'}; an image a row: {FOLDER / 'results.csv'}")


def parse(arguments):
    """(the command line's arguments, the configuration to measure with)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__.split("\n\n")[1])
    parser.add_argument("--data", default="data", help="folder of the lists (default: data)")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--write", action="store_true", help="update docs/results.md and the READMEs")
    parser.add_argument("--twin", action="store_true",
                        help="measure nothing: only update docs/results.zh-CN.md from docs/results.md")
    args = parser.parse_args(arguments)
    config = get_config("course", args.data, "shipped")
    if not args.twin and not Path(args.data).is_dir():
        parser.error(f"There is no folder {args.data}.")
    if args.write and (set(args.sets) != set(SETS) or not is_there("Set5", config)):
        parser.error("--write needs Set5, and all sets that are there: otherwise the tables of docs/ would lose rows.")
    return args, config


def shipped_methods():
    """dict title -> (function uint8 -> uint8, its generator or None)."""
    methods = {"bicubic": (lambda lr: imresize(lr, 4), None)}
    for name in sorted(shipped_names(), key=lambda name: not name.startswith("srresnet")):    # SRResNets first
        generator = load_generator(name).to("cuda" if torch.cuda.is_available() else "cpu")
        methods[f"`{name}`"] = (lambda lr, g=generator: super_resolve(g, lr)), generator
        if read_metadata(weight_file(name))["facts"].get("stage") in ("pretrain", "a2n"):
            methods[f"`{name}`, self-ensemble"] = (
                lambda lr, g=generator: super_resolve(g, lr, self_ensemble=True)), None
    return methods


def is_there(name, config):
    """Whether a set's list is there; of "valid", whether it is DIV2K's."""
    if not list_path(config.csv_folder, name).exists():
        return False
    return name != "valid" or "DIV2K_valid_HR" in str(read_list("valid", config)[0].hr)


def measure(config, sets, methods):
    """{(set, method): rows of ``evaluate``, with the measures of config.measures} of all sets that are there.

    Raises:
        SystemExit: if bicubic interpolation does not give the published score: no other would be worth anything.
    """
    measured, line, names = {}, StatusLine(), measures.available(config.measures)[0]
    for name in filter(lambda name: is_there(name, config), sets):
        dataset = SRDataset(name, config)
        for method, (upscale, _) in methods.items():
            line.show(f"Measuring {method} on {name}, {len(dataset)} images")
            measured[name, method] = evaluate(upscale, dataset, by_colour=True,
                                              also=lambda sr, hr: measures.measured(sr, hr, names))
            if method == "bicubic":
                check_bicubic(name, mean_of(measured[name, method]))
    line.show(f"Measured {len(measured)} rows.", last=True)
    return measured


def check_bicubic(name, scores):
    """Stop if bicubic's (PSNR, SSIM) on a set is not the published one, within 0.03 dB and 0.001."""
    published = PUBLISHED["bicubic"].get(name, scores)
    if abs(scores[0] - published[0]) > 0.03 or abs(scores[1] - published[1]) > 0.001:
        sys.exit(f"{name}: bicubic gives {scores[0]:.2f} dB / {scores[1]:.4f} instead of the published "
                 f"{published[0]} / {published[1]}. These are not the images of the papers, or LR was made "
                 "by another tool: run create_data_lists.py --check. Nothing has been written.")


def seconds_of(methods, size=TIMED, repeats=3):
    """{method: median seconds to upscale an image of ``size`` by 4}, the generators in turn; slow ones once."""
    lr, seconds, line = imresize(mosaic(0, 4 * size[0], 4 * size[1]), 1 / 4), {}, StatusLine()
    for repeat in range(repeats):
        for method, (upscale, generator) in methods.items():
            if generator is not None and sum(seconds.get(method, [])) < SLOW:
                line.show(f"Timing {method}, {repeat + 1} of {repeats}")
                begun = time.perf_counter()
                upscale(lr)
                seconds.setdefault(method, []).append(time.perf_counter() - begun)
    line.show(f"Timed on {machine()}.", last=True)
    return {method: statistics.median(values) for method, values in seconds.items()}


def as_text(measured, methods, sets, seconds):
    """The table in Markdown, a row a method, a column a set (of Set14 two: support.figures.score_rows); then a row for
    each set that is not there.

    Args:
        measured: what ``measure`` gives.
        seconds: what ``seconds_of`` gives.
    """
    sizes = {method: sum(p.numel() for p in generator.parameters()) for method, (_, generator) in methods.items()
             if generator is not None}
    there = [name for name in sets if any(key[0] == name for key in measured)]
    shown = [(name, *row) for name in sets if name in there or any(name in by_set for by_set in PUBLISHED.values())
             for row in score_rows(name)]
    rows = []
    for method in dict.fromkeys(key[1] for key in measured):
        values = [mean_of(measured[name, method], grey) if name in there else None for name, _, grey in shown]
        rows.append([method, *map(cell, values), f"{sizes[method] / 1e6:.2f} M" if method in sizes else "",
                     f"{seconds[method]:.2f} s" if method in seconds else ""])
    for method, by_set in PUBLISHED.items():
        rows.append([f"{method}, published" if "paper" not in method else method,
                     *(cell(published_score(by_set, name, grey)) for name, _, grey in shown), "", ""])
    titles = [SETS.get(title, title) for _, title, _ in shown]
    text = table(["PSNR (dB) / SSIM on Y", *titles, "parameters", "510 x 339 upscaled in"], rows)
    text += f"\n\nUpscaled in: {machine()}."
    absent = [[SETS[name], f"`{MISSING.get(name, 'python create_data_lists.py --download benchmark')}`"]
              for name in sets if name not in there]
    return text + ("\n\n" + table(["not measured: not here", "how to get it"], absent) if absent else "")


def perceptual_text(measured, config):
    """What PSNR cannot see, in Markdown: for each set a table with a row for each method, and HR's own scores.

    Args:
        measured: what ``measure`` gives.
    """
    parts = []
    for name in dict.fromkeys(key[0] for key in measured):
        of_set = {method: mean_measures([row[3] for row in rows])
                  for (of, method), rows in measured.items() if of == name}
        dataset = SRDataset(name, config)
        names = list(next(iter(of_set.values())))
        of_set["HR"] = mean_measures([measures.measured_of_hr(dataset.pair(i)[1], names) for i in range(len(dataset))])
        header, rows = measures_table(of_set, [method for method in of_set if method != "HR"])
        parts.append(table([SETS.get(name, name), *header], rows))
    return "\n\n".join(parts)


def mean_measures(rows):
    """The mean of each measure over the images that have one: list of dicts -> dict."""
    values = {name: [row[name] for row in rows if row[name] == row[name]] for name in rows[0]}
    return {name: statistics.fmean(of_images) for name, of_images in values.items() if of_images}


def in_short(text):
    """Of the table a few rows, and of the sets Set5 and Set14; with the machine, without what is not there."""
    whole, measured_on = text.split("\n\n")[:2]
    header, _, *rows = [[value.strip() for value in line.strip("|").split("|")] for line in whole.splitlines()]
    shown = [k for k, title in enumerate(header)
             if title in ("Set5", "Set14") or title.split(",")[0] not in SETS.values()]
    rows = [[row[k] for k in shown] for row in rows if row[0] in IN_SHORT]
    return f"{table([header[k] for k in shown], rows)}\n\n{measured_on}"


def in_chinese(text):
    """The table's English words in Chinese."""
    text = re.sub(r"(?m)^Upscaled in: (.+), (\d+) threads, (torch .+)\.$",
                  r"放大用时的测试环境：\1，\2 线程，\3。", text)
    for english, chinese in CHINESE.items():
        text = text.replace(english, chinese)
    return text


def cell(value):
    return "" if value is None else f"{value[0]:.2f} / {value[1]:.4f}"


# ---------------------------------------------------------------- between SRResNet and SRGAN

def interpolation(config, sets):
    """A table: PSNR, SSIM and texture on Set5 for each alpha; a sentence if Set5 is not there."""
    if "Set5" not in sets or not is_there("Set5", config):
        return "Set5 is not here: not measured."
    dataset, rows, line = SRDataset("Set5", config), [], StatusLine()
    pairs = [dataset.pair(i) for i in range(len(dataset))]
    for alpha, generator in networks_between().items():
        line.show(f"Measuring alpha = {alpha:g} on Set5")
        images = [(super_resolve(generator, lr), hr) for lr, hr in pairs]
        means = [statistics.fmean(measure_pair(sr, hr) for sr, hr in images)
                 for measure_pair in (psnr, ssim, lambda sr, hr: gradient_magnitude(sr))]
        rows.append([f"{alpha:g}", "{:.2f} dB / {:.4f}".format(*means), f"{means[2]:.2f}"])
    hr_texture = statistics.fmean(gradient_magnitude(hr) for _, hr in pairs)
    return table(["alpha", "Set5", "mean gradient, grey levels per pixel"], [*rows, ["HR", "", f"{hr_texture:.2f}"]])


def write_between(path, name, text):
    """Replace what stands in a Markdown file between the comments ``begin <name>`` and ``end <name>``.

    Raises:
        ValueError: if the file has no such comments.
    """
    content = path.read_text(encoding="utf-8")
    pattern = rf"(<!-- begin {name} -->\n).*?(\n<!-- end {name} -->)"
    changed, n = re.subn(pattern, lambda match: match[1] + text + match[2], content, flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"{path} has {n} places between <!-- begin {name} --> and <!-- end {name} -->, not one.")
    write_atomically(path, changed.encode("utf-8"))


def between_marks(path):
    """{name: what stands in a Markdown file between the comments ``begin <name>`` and ``end <name>``}."""
    found = re.findall(r"<!-- begin ([\w-]+) -->\n(.*?)\n<!-- end \1 -->", path.read_text(encoding="utf-8"), re.DOTALL)
    return dict(found)


def write_twin(page):
    """Write what stands between the marks of a page, in Chinese, between those of its Chinese page.

    Raises:
        ValueError: if that page lacks one of the marks.
    """
    for name, text in between_marks(page).items():
        write_between(page.with_suffix(".zh-CN.md"), name, in_chinese(text))


if __name__ == "__main__":
    main()

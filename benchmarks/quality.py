"""Quality against time: python -m benchmarks.quality --data FOLDER --preset laptop

Pre-trains a preset's generator from scratch and measures it after every epoch: on "valid",
by which recipes are chosen, and on Set5, which is only reported.  Leaves quality_<name>.csv
in runs/benchmarks/ and, from all such files there, the plot quality.png.

"minutes" are of training alone: the updates times the seconds of one, the median of runs that
take turns with the plain loop (torch's own layers, default format, the pair of images decoded
for each patch), whose speed gives "plain_minutes".  "wall_minutes" are what the training took
by the clock, including whatever else the machine had to do.
"""

import argparse
import csv
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

import solver
from benchmarks import plain
from benchmarks.common import silent
from benchmarks.measure import side_by_side
from config import PRESETS, get_config
from datasets import SRDataset, make_loader
from imresize import imresize
from inference import load_generator
from models import Generator
from support.convert import convert_image
from support.enlarging import evaluate, mean_of, super_resolve
from support.figures import LiveCurves, as_png, table
from support.files import write_atomically, write_csv
from support.lists import read_list
from support.precision import Precision, keep_freed_memory
from support.run import run_folder, seed_everything, stage_config
from support.setting_rules import check_settings
from support.settings import change

COLUMNS = ("updates", "minutes", "plain_minutes", "wall_minutes", "valid_psnr", "valid_ssim", "Set5_psnr", "Set5_ssim")
FOLDER = Path("runs", "benchmarks")
N_UPDATES = 4         # in one run of a loop whose speed is measured


def main(arguments=None, apart=True):
    """The command; ``apart`` as in ``side_by_side``."""
    config = read_config(arguments)
    speed = side_by_side((prepare_ours, config), (prepare_plain, config), apart=apart)
    print(f"An update takes {speed['ours'] / N_UPDATES:.3f} s, {speed['plain'] / N_UPDATES:.3f} s in the plain loop: "
          f"{speed['ratio']:.2f} times as long.", flush=True)
    rows = measured(config, train(config), speed["ours"] / N_UPDATES, speed["ratio"])
    write_csv(FOLDER / f"quality_{config.name}.csv", [COLUMNS, *rows])
    write_atomically(FOLDER / "quality.png", as_png(figure(sorted(FOLDER.glob("quality_*.csv")))))
    print(table(COLUMNS, [[f"{value:.{4 if name.endswith('ssim') else 2 if name.endswith('psnr') else 1}f}"
                           for name, value in zip(COLUMNS, row)] for row in rows]))


def read_config(arguments):
    """The configuration that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n\n")[1])
    parser.add_argument("--data", required=True, help="folder of the lists: train, valid and Set5")
    parser.add_argument("--preset", choices=list(PRESETS), default="laptop")
    parser.add_argument("--name", help="of the run (default: quality-<preset>)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
                        help="values other than the preset's, such as pretrain.epochs=4")
    args = parser.parse_args(arguments)
    try:
        config = get_config(args.preset, args.data, args.name or f"quality-{args.preset}", args.seed)
        for text in args.changes:
            change(config, text)
        check_settings(config, ["pretrain"])        # the only stage that is run here
    except ValueError as error:
        parser.error(str(error))
    return config


def generator_of(config):
    seed_everything(config.seed)
    generator = Generator(config)
    return generator.start_as_interpolation() if config.start == "interpolation" else generator


def train(config):
    """The history of the pre-training, an epoch a row; a stopped run resumes."""
    config.keep_every, settings = 1, stage_config(config, "pretrain")
    loader = make_loader(SRDataset("train", config), settings.batch_size, settings.workers, settings.updates_per_epoch)
    return solver.fit_pretrain(config, generator_of(config), loader, SRDataset("valid", config), LiveCurves())


def measured(config, history, seconds, ratio):
    """The rows of the table; the first is bicubic interpolation, before any training.

    Args:
        seconds: of an update.
        ratio: how many times as long the plain loop takes.
    """
    sets = [SRDataset(name, config) for name in ("valid", "Set5")]
    rows, wall = [(0, 0.0, 0.0, 0.0, *scores(lambda lr: imresize(lr, 4), sets))], 0.0
    for row in history:
        minutes = row["updates"] * seconds / 60
        wall += row["seconds"] / 60
        generator = load_generator(
            run_folder(config) / "checkpoints" / f"pretrain_epoch_{row['epoch']:03d}.safetensors")
        rows.append((row["updates"], minutes, ratio * minutes, wall, *scores(partial(super_resolve, generator), sets)))
    return rows


def scores(upscale, sets):
    """Mean PSNR in dB and mean SSIM of each set, in one list."""
    return [value for data in sets for value in mean_of(evaluate(upscale, data))]


# ---------------------------------------------------------------- the two loops, to measure their speed

def prepare_ours(config, n_updates=N_UPDATES):
    keep_freed_memory()
    precision = Precision("cpu", channels_last=True)
    generator = precision.to_device(generator_of(config))
    optimizer = torch.optim.Adam(generator.parameters(), fused=True)
    loader = make_loader(SRDataset("train", config), config.batch_size, n_batches=n_updates)
    return lambda: solver.pretrain(loader, generator, nn.MSELoss(), optimizer, 0, "cpu", 100,
                                   **silent(precision))["content"].avg


def prepare_plain(config, n_updates=N_UPDATES):
    generator = plain.plain_layers(generator_of(config))
    optimizer = torch.optim.Adam(generator.parameters())
    pairs, rng = read_list("train", config), np.random.default_rng(0)

    def run():
        for _ in range(n_updates):
            chosen = [pairs[rng.integers(len(pairs))] for _ in range(config.batch_size)]
            patches = [plain.decode_patch(pair.hr, pair.lr, config.crop_size, config.scaling_factor, rng)
                       for pair in chosen]
            lr, hr = (torch.stack(parts) for parts in zip(*patches))
            plain.pretrain_step(generator, optimizer, lr, convert_image(hr, "[0, 1]", "[-1, 1]"))
    return run


# ---------------------------------------------------------------- the plot

def figure(paths):
    """Set5's PSNR over the minutes of pre-training: of the kit's loop, and of the plain one at the same updates."""
    result = Figure(figsize=(8, 4.2))
    axes = result.subplots()
    for k, path in enumerate(paths):
        with open(path, encoding="utf-8", newline="") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        name = path.stem.removeprefix("quality_").removeprefix("quality-")
        values, last = [row["Set5_psnr"] for row in rows[1:]], rows[-1]
        for column, style, text in (("minutes", "o-", f"{name}: {last['Set5_psnr']:.2f} dB"),
                                    ("plain_minutes", ":", f"{name}, at the speed of the plain loop (computed)")):
            axes.plot([row[column] for row in rows[1:]], values, style, markersize=3, color=f"C{k}", label=text)
        axes.axhline(rows[0]["Set5_psnr"], color="grey", linewidth=1, linestyle="--",
                     label=f"bicubic: {rows[0]['Set5_psnr']:.2f} dB" if k == 0 else None)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("minutes of pre-training")
    axes.set_ylabel("PSNR (Y) on Set5, dB")
    axes.grid(alpha=0.3)
    axes.set_xlim(left=1)
    axes.legend(fontsize=8, loc="lower right")
    return result


if __name__ == "__main__":
    main()

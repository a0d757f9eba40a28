"""The trained networks in use: loading them, choosing those that a notebook shows, measuring the test sets."""

import copy
import json
from pathlib import Path

import torch

import models  # noqa: F401  its networks register themselves
from datasets import SRDataset
from support import presence
from support.checkpoints import (
    METHODS,
    CheckpointError,
    load_checkpoint,
    load_weights,
    read_metadata,
    read_weights,
    weight_file,
)
from support.enlarging import evaluate
from support.files import write_csv
from support.lists import MissingList
from support.measures import MEASURES, available, measured, measured_of_hr
from support.messages import notice, notices_kept_in
from support.run import has_trained, run_folder, stage_config

### BEGIN SOLUTION
from config import SHIPPED_RUN
from support.checkpoints import shipped_names

SHIPPED = {"pretrain": "srresnet-x4", "srgan": "srgan-x4"}      # in weights/
### END SOLUTION


def load_generator(path):
    """The generator in a checkpoint (.pth) or in a .safetensors file, in eval mode, on the CPU.

    Of a checkpoint the averaged weights are taken: they are what was validated.  ``recipe`` of the result is a dict of
    the settings that it was trained with, as far as the file says so.

    Args:
        path: of the file.

    Raises:
        CheckpointError: if the file is missing or damaged, holds no generator, or is of
            a method that is not registered (import its module first).
    """
    path = weight_file(path)
    if path.suffix == ".safetensors":
        state, metadata = read_weights(path), read_metadata(path)
        method, settings, recipe = metadata["method"], metadata["settings"], metadata["facts"].get("recipe", {})
    else:
        checkpoint = load_checkpoint(path)
        method, settings, recipe = (checkpoint.get(key) for key in ("method", "settings", "config"))
        state = checkpoint.get("averaged") or checkpoint.get("generator")
        if not (method and settings and state):
            raise CheckpointError(f"{path} holds no generator (method, settings or weights are missing). "
                                  "Name a checkpoint of a training, such as runs/<name>/checkpoints/srgan_last.pth.")
    if method not in METHODS:
        ### BEGIN SOLUTION
        where = "; for A2N, SRDiff, SR3 and networks of others: extensions (python -m extensions.super_resolution)"
        ### REPLACED BY
        # where = ""
        ### END SOLUTION
        raise CheckpointError(f"{path} holds a network of the method {method!r}; known here: "
                              f"{', '.join(sorted(METHODS))}. Import the module that defines it first{where}.")
    generator = load_weights(METHODS[method](**settings), state, path).eval()
    generator.recipe = recipe or {}
    return generator


def generators_of(config):
    """The generators that test.ipynb and super_resolution.ipynb show, in eval mode, on config.device.

    "pretrain" is the run's best of the pre-training, "srgan" its last of SRGAN; a stage of no
    epochs has none (without pre-training, "pretrain" is what ``checkpoint`` names): the run's
    config.json says which there are.  A run of
    another method (its module has to be imported) has the best of its own stages.

    Returns:
        (generators, note, run): a dict; a sentence (Markdown) that says where the weights come from; and
        the name of the run that their images belong to.

    Raises:
        CheckpointError: if a stage of the run has left none, or a damaged one; or if nothing has been trained
            that could be shown.
    """
    ### BEGIN SOLUTION
    # Where nothing has been trained in the run folder yet: those that come with the kit, whose images must not be mixed
    # with a student's own.
    shipped = SHIPPED if config.scaling_factor == 4 else {}
    paths, note, run = weights_to_show(config, _paths_of(config), shipped)
    ### REPLACED BY
    # paths, run = _paths_of(config), config.name
    # folder = run_folder(config).as_posix()
    # if not has_trained(folder):
    #     raise CheckpointError(f"Nothing has been trained in {folder} yet: first run train.ipynb with run_name = "
    #                           f"{run!r}. {folder} 中尚未训练：请先用 run_name = {run!r} 运行 train.ipynb。")
    # files = " and ".join(Path(path).as_posix() for path in paths.values())
    # note = f"Weights: those of this run, {files}. 权重：本次运行训练所得。"
    ### END SOLUTION
    return {stage: load_generator(path).to(config.device) for stage, path in paths.items()}, note, run


### BEGIN SOLUTION
def weights_to_show(config, own, shipped):
    """The run's own weights, or, where nothing has been trained in its folder, those that come with the kit.

    Args:
        own: dict stage -> path of a file that the run leaves.
        shipped: dict stage -> name of weights of the kit; where one of them is missing, the run's own are taken.

    Returns:
        (weights, note, run): one of the two dicts; a sentence (Markdown) on where they come from; and the name
        of the run whose folder keeps what is made with them.
    """
    folder = run_folder(config).as_posix()
    if has_trained(folder):
        other = presence.trainer_of(folder)
        if other:                                        # a later stage has left nothing yet
            own = {stage: path for stage, path in own.items() if Path(path).exists()} or own
        files = " and ".join(Path(path).as_posix() for path in own.values())
        return own, (f"Weights: those of this run, {files}. 权重：本次运行训练所得。"
                     + (f" {presence.whose_outputs(folder)}" if other else "")), config.name
    if not shipped or not set(shipped.values()) <= set(shipped_names()):
        return own, "", config.name                  # loading them says what is missing
    names = [f"`{name}`" for name in shipped.values()]
    return shipped, (
        f"**Nothing has been trained in {folder} yet. Shown are weights that come with the kit: {' and '.join(names)} "
        f"(see `weights/`). They are not yours to hand in; their images are kept in runs/{SHIPPED_RUN}. "
        f"{folder} 尚未训练，这里显示的是套件附带的权重 {'、'.join(names)}（见 `weights/`）；"
        f"结果保存在 runs/{SHIPPED_RUN}，不可作为作业提交。**"), SHIPPED_RUN
### END SOLUTION


def _paths_of(config):
    """dict stage -> path of the weights to show, of the stages that the run has."""
    folder, path = run_folder(config) / "checkpoints", run_folder(config) / "config.json"
    # What was trained, train.ipynb says: the configuration of another notebook need not know it.
    trained = json.loads(path.read_text(encoding="utf-8")) if path.exists() else config
    paths = {"pretrain": folder / "pretrain_best.pth", "srgan": folder / "srgan_last.pth"}
    best = {path.name.removesuffix("_best.pth"): path for path in sorted(folder.glob("*_best.pth"))}
    others = {stage: path for stage, path in best.items() if stage not in paths}
    if others:                             # a run of another method: its stages in the order of its training
        order = trained.get("stages", [])
        return dict(sorted(others.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1))
    for stage in [stage for stage in paths if stage_config(trained, stage).epochs == 0]:
        paths.pop(stage)
        if stage == "pretrain" and trained["checkpoint"]:       # SRGAN started from these
            paths = {stage: trained["checkpoint"], **paths}
    return paths


@torch.no_grad()
def interpolated(first, second, alpha):
    """The network whose weights lie between those of two: (1 - alpha) first + alpha second, in eval mode.

    Wang et al. 2018, "ESRGAN" (arXiv 1809.00219), section 3.4.  It works where the training of
    the second started from the first: two networks trained independently have nothing between them.

    Args:
        first, second: generators of the same shape; they are not changed.
        alpha: 0 gives the first, 1 the second.

    Raises:
        ValueError: if their methods or settings differ.
    """
    if (first.method, first.settings) != (second.method, second.settings):
        raise ValueError(f"Only networks of the same shape can be interpolated, not {first.settings} and "
                         f"{second.settings}.")
    result = copy.deepcopy(first)
    for value, other in zip(result.state_dict().values(), second.state_dict().values()):
        if value.is_floating_point():
            value.lerp_(other.to(value), alpha)          # BatchNorm's means and variances too
    for layer in result.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):      # an alpha outside [0, 1] can lead below zero
            layer.running_var.clamp_(min=0)
    return result.eval()


def benchmark(config, methods, sets=None, progress=None):
    """Measure several methods on every test set that is there, and keep scores and images.

    Leaves ``benchmark.csv`` (a row for each image) in the run folder, and the images:
    ``results/<set>/<image>.png`` of the method "srgan", ``results/<method>/<set>/`` of the
    others except bicubic.

    Args:
        methods: dict name -> function uint8 (h, w, 3) -> uint8 (s h, s w, 3).
        sets: names of the sets (default: config.test_sets).
        progress: function that is given a line of text now and then.

    Returns:
        (results, missing): results[set][method] is a list of (image, psnr in dB, ssim, dict of the measures of
        config.measures, (psnr, ssim) with a grey HR by the colour formula), see ``evaluate``; missing[set] says how
        to get a set that is not there.

    Raises:
        DataError: for a set that is there but cannot be used.
        ValueError: for a measure that does not exist.
    """
    with notices_kept_in(run_folder(config)):
        return _benchmark(config, methods, sets or config.test_sets, progress)


def _benchmark(config, methods, sets, progress):
    results, of_hr, missing = {}, {}, {}
    measures, not_here = available(config.measures)
    for measure, command in not_here.items():
        notice(f"{MEASURES[measure].title} is not measured: it is not installed here. To install it: {command}")

    def also(sr, hr):
        return measured(sr, hr, measures)
    for name in sets:
        try:
            dataset = SRDataset(name, config)
        except MissingList as error:       # a set that is there but faulty is an error, not a missing set
            missing[name] = str(error)
            continue
        results[name] = {}
        of_hr[name] = [measured_of_hr(dataset.pair(i)[1], measures) for i in range(len(dataset))]
        for method, upscale in methods.items():
            folder = {"bicubic": None, "srgan": run_folder(config) / "results" / name}.get(
                method, run_folder(config) / "results" / method / name)
            if progress:
                progress(f"Measuring {method} on {name}, {len(dataset)} images")
            results[name][method] = evaluate(upscale, dataset, results=folder, also=also, by_colour=True)
        # After each set: stopping loses nothing.
        write_benchmark(run_folder(config) / "benchmark.csv", results, of_hr)
    return results, missing


def write_benchmark(path, results, of_hr):
    """Write benchmark.csv: set, image, and for each method psnr (dB), ssim and the measures; HR's own measures; and for
    each method psnr_colour and ssim_colour, with a grey HR by the colour formula.

    These last columns are full for every image, so that the mean of a column is the set's score.

    Args:
        results: as ``benchmark`` returns them.
        of_hr: dict set -> list of dict measure -> value.
    """
    by_method, first = next(iter(results.values())), next(iter(of_hr.values()))[0]
    header = ["set", "image"]
    for method, rows in by_method.items():
        header += [f"{method}_{measure}" for measure in ("psnr", "ssim", *rows[0][3])]
    header += [f"HR_{measure}" for measure in first]
    header += [f"{method}_{measure}_colour" for method in by_method for measure in ("psnr", "ssim")]
    table = [header]
    for name, by_method in results.items():
        for *rows, hr in zip(*by_method.values(), of_hr[name]):
            values = [value for row in rows for value in (*row[1:3], *row[3].values())] + list(hr.values())
            values += [value for row in rows for value in row[4]]
            table.append([name, rows[0][0]] + [f"{value:.6f}" for value in values])
    write_csv(path, table)

"""What the commands of sr3_commands.py do: training, upscaling, sampling, measuring; the weights that they use.

``args`` is the parsed command line, ``options`` the JSON configuration, ``config`` the kit's configuration of the
same run.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from extensions import distributed, source_metrics, sr3, sr3_config, sr3_weights
from extensions.sr3_config import STAGE, ConfigError, data_len, value
from extensions.sr3_figures import as_array
from extensions.sr3_trackers import Trackers, wandb_run
from extensions.train import fit
from inference import load_generator
from support import figures
from support.checkpoints import CheckpointError, load_weights
from support.convert import to_float
from support.files import save_image
from support.images import read_image
from support.lists import DataError
from support.messages import notice
from support.picture_files import find_pictures, real, result_names, try_folder, why_not
from support.pictures import enlarge, read_picture, save_picture
from support.progress import StatusLine
from support.run import has_trained, run_folder
from support.safeguards import is_out_of_memory

# ---------------------------------------------------------------- weights

def take_weights(network, source):
    """Load the weights that "resume_state" names into a network.

    Args:
        source: a *_gen.pth of the public code, "_gen.pth" may be left out; or a file or name of the kit's.

    Raises:
        CheckpointError: if there is no such file, it is of another kind, or it does not fit.
    """
    public = Path(source if str(source).endswith("_gen.pth") else f"{source}_gen.pth")
    if public.is_file():
        if Path(str(public).replace("_gen.pth", "_opt.pth")).exists():
            notice("the state of the optimizer (*_opt.pth) is not loaded: Adam starts from zero.")
        return sr3_weights.take_public(network, public)
    other = load_generator(source)
    if other.method != network.method:
        raise CheckpointError(f"{source} holds a network of the method {other.method!r}, not of {network.method!r}: "
                              "name other weights in path.resume_state.")
    sr3_weights.check_kind(network, other.settings, source)
    return load_weights(network, other.state_dict(), source)


def trained(options, config):
    """The network of "resume_state", or else that of the run; in eval mode on config.device.

    Raises:
        CheckpointError: if there is neither.
    """
    source, folder = value(options, "path.resume_state", None), run_folder(config)
    if source:
        network = take_weights(sr3.build(config, STAGE), source)
        if has_trained(folder):
            notice(f"path.resume_state is used, {source}, and not what has been trained in {folder}. To use that, set "
                   "path.resume_state to null.")
    elif has_trained(folder):
        # Without a condition PSNR measures nothing, so there is no best.
        which = "best" if config.sr3.network["conditional"] else "last"
        network = load_generator(folder / "checkpoints" / f"{STAGE}_{which}.pth")
        schedule = config.sr3.network["test_betas"] or config.sr3.network["betas"]
        network.walk(schedule)
        network.n_steps, network.ddim = config.sr3.network["n_steps"], config.sr3.network["ddim"]
    else:
        raise CheckpointError(f"Nothing has been trained in {folder}, and path.resume_state of the configuration is "
                              "null. Train first (-p train), or name a checkpoint there.")
    return network.to(config.device, memory_format=torch.channels_last).eval()


# ---------------------------------------------------------------- training

def train_run(args, options, config):
    """Train what the configuration says; resumes where an earlier run has stopped."""
    network = sr3.build(config, STAGE)
    source = value(options, "path.resume_state", None)
    if source and not has_trained(run_folder(config)):
        take_weights(network, source)
    with distributed.rank0_first():                    # it makes missing lists and decodes the images
        loader, valid = sr3_config.train_loader(options, config), sr3_config.valid_set(options, config)
    config.n_valid = config.n_valid or len(valid.pairs)
    monitor = Trackers(args, options, config) if distributed.rank() == 0 else None
    try:
        fit(config, STAGE, network, loader, valid, monitor)
    finally:
        if monitor:
            monitor.end()
    if monitor:
        print(f"runs/{config.name}: to see its images, run the same with -p val.")


# ---------------------------------------------------------------- images

def images_of(network, lr):
    """Upscale an image, uint8 (h, w, 3).

    Returns:
        dict of uint8 arrays: "sr", "lr", "inf" (LR upscaled by bicubic) and "sr_process" (the states of sampling).
    """
    tensor = to_float(torch.from_numpy(np.array(lr)).permute(2, 0, 1)[None].to(next(network.parameters()).device))
    states = [as_array(x) for _, x in sr3.process(network, tensor)]
    return {"sr": states[-1], "lr": lr, "inf": states[0], "sr_process": np.hstack(states)}


def results_folder(options, config, phase):
    return run_folder(config) / value(options, "path.results", "results") / phase


def upscale_set(args, options, config):
    """Every validation pair: files NAME_hr and those of ``images_of``; and the mean scores."""
    network, valid = trained(options, config), sr3_config.valid_set(options, config)
    folder, line, rows = results_folder(options, config, "val"), StatusLine(), []
    run = wandb_run(args, options, config)
    for i, name in enumerate(valid.names):
        lr, hr = valid.pair(i)
        made = images_of(network, lr)
        for ending, image in {**made, "hr": hr}.items():
            save_image(folder / f"{name}_{ending}.png", image)
        rows.append((name, made["sr"], hr))
        line.show(f"{i + 1} of {len(valid.names)} images", last=i + 1 == len(valid.names))
    psnr, ssim = report([(sr, hr) for _, sr, hr in rows])
    if run:
        run.log({"psnr": psnr, "ssim": ssim})
        if args.log_eval:
            run.log_images("eval", ("SR", "HR"), rows)
        run.end()
    print(f"Images in {folder}")


def infer(args, options, config):
    """Photographs that need no HR: the files of ``images_of`` for each; 1 if one of them failed, else 0."""
    low = value(options, "datasets.val.l_resolution")
    source = args.input or Path(value(options, "datasets.val.dataroot"), f"lr_{low}")
    files = find_pictures([source], args.subfolders, say=lambda text: print(text, file=sys.stderr))
    s, folder = config.scaling_factor, results_folder(options, config, "infer")
    named = result_names(files, s, [Path(source)])
    names = {file: name.removesuffix(".png").removesuffix(f"_x{s}") for file, name in named.items()}
    try_folder(folder)
    network = trained(options, config)
    run, rows, failed = wandb_run(args, options, config), [], []
    inputs = set(map(real, files))
    for file, name in names.items():
        try:
            rows.append((name, *infer_one(network, file, folder, name, inputs)))
        except (ValueError, OSError, MemoryError, RuntimeError) as error:       # the other images still get their turn
            failed.append(f"{file.name}: {reason_of(error)}")
            print(f"NOT UPSCALED: {failed[-1]}", file=sys.stderr)
    if run:
        run.log_images("infer", ("SR", "LR upscaled"), rows)
        run.end()
    print(f"Images in {folder}")
    if failed:
        print(f"Error: {len(failed)} of {len(names)} images were not upscaled:\n  " + "\n  ".join(failed),
              file=sys.stderr)
    return 1 if failed else 0


def infer_one(network, file, folder, name, inputs):
    """Upscale a photograph and keep its images: all with its colour profile, SR with its alpha channel.

    Returns:
        (SR, LR upscaled), uint8 (s h, s w, 3).

    Raises:
        ValueError: as ``read_picture``; or if a file cannot be written, see ``why_not``, which tells of ``inputs`` too.
    """
    for ending in ("sr", "lr", "inf", "sr_process"):
        if reason := why_not(folder / f"{name}_{ending}.png", inputs):
            raise ValueError(reason)
    photograph = read_picture(file)
    made, replaced = images_of(network, photograph.lr), (folder / f"{name}_sr.png").exists()
    sr = enlarge(photograph, lambda _: made["sr"])
    for ending, image in {**made, "sr": sr}.items():
        save_picture(folder / f"{name}_{ending}.png", image, photograph)
    (h, w), changed = photograph.lr.shape[:2], f" ({photograph.notice})" * bool(photograph.notice)
    print(f"{file.name}: {w} x {h} -> {sr.shape[1]} x {sr.shape[0]}, {name}_sr.png{changed}"
          + " (the previous one is replaced)" * replaced)
    return made["sr"], made["inf"]


def reason_of(error):
    """Why an image could not be upscaled; an error that is not the image's fault is raised again."""
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "there is not enough memory for an image of this size. Reduce it first."
    if isinstance(error, RuntimeError):
        raise error
    return str(error)


def draw(args, options, config):
    """Images from noise alone: NNN_sample and NNN_sample_process, one for each seed."""
    side, n = value(options, "model.diffusion.image_size") // config.scaling_factor, data_len(options, "val")
    if n is None:
        raise ConfigError("datasets.val.data_len is how many images are sampled: give a number.")
    network, folder = trained(options, config), results_folder(options, config, "sample")
    run, rows = wandb_run(args, options, config), []
    for seed in range(n):
        network.seed = seed
        states = sr3.process(network, torch.zeros(1, 3, side, side, device=config.device))[1:]     # without LR
        rows.append((f"{seed:03d}", as_array(states[-1][1])))
        save_image(folder / f"{seed:03d}_sample.png", rows[-1][1])
        save_image(folder / f"{seed:03d}_sample_process.png", np.hstack([as_array(x) for _, x in states]))
    if run:
        run.log_images("sample", ("sample",), rows)
        run.end()
    print(f"Images in {folder}")


# ---------------------------------------------------------------- scores

def evaluate_folder(folder):
    """The mean scores of all NAME_sr.png against NAME_hr.png in a folder.

    Raises:
        DataError: if there are none, or one of a pair is missing.
    """
    pairs = []
    for hr in sorted(Path(folder).glob("*_hr.png")):
        sr = hr.with_name(hr.name.removesuffix("_hr.png") + "_sr.png")
        if not sr.exists():
            raise DataError(f"{sr.name}, which belongs to {hr}, is missing. Run sr -p val again.")
        pairs.append((read_image(sr)[0], read_image(hr)[0]))
    if not pairs:
        raise DataError(f"{folder} holds no *_hr.png. They are made by sr -p val, in runs/<name>/results/val.")
    report(pairs)


def report(pairs):
    """Print the means over (SR, HR) by every protocol; returns (PSNR, SSIM) by the kit's."""
    means = source_metrics.by_each_protocol(pairs)
    print(figures.table(["protocol", "PSNR", "SSIM"], [[name, f"{psnr:.2f} dB", f"{ssim:.4f}"]
                                                       for name, (psnr, ssim) in means.items()]))
    return next(iter(means.values()))

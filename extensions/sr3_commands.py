"""The commands of the public SR3 code, on the kit's training, checkpoints and measures.

    python -m extensions.sr3_commands prepare_data --path PHOTOS --out dataset/faces --size 16,128
    python -m extensions.sr3_commands sr -p train -c config/sr_sr3.json          train
    python -m extensions.sr3_commands sr -p val -c config/sr_sr3.json            enlarge the validation set
    python -m extensions.sr3_commands eval -p runs/sr_ffhq/results/val           measure what that has left
    python -m extensions.sr3_commands infer -c config/sr_sr3.json --input FOLDER photographs that have no HR
    python -m extensions.sr3_commands sample -p train -c config/sample_sr3_128.json   without a condition
    python -m extensions.sr3_commands convert I640000_E37_gen.pth --out sr3.safetensors

CONFIG is looked for as it is given, then below extensions/.  A run is kept in runs/<name>/ and goes on
where it was stopped.  With several GPUs: torchrun --nproc_per_node=N -m extensions.sr3_commands sr ...
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import torch

import super_resolution
from extensions import distributed, source_metrics, sr3, sr3_config, sr3_weights
from extensions.sr3_config import STAGE, ConfigError, data_len, value
from extensions.sr3_data import prepare
from extensions.sr3_figures import as_array
from extensions.sr3_trackers import Trackers, import_packages, wandb_run
from extensions.train import fit
from inference import load_generator
from support import figures, provenance
from support.checkpoints import CheckpointError, load_weights, save_generator
from support.convert import to_float
from support.files import save_image
from support.images import read_image
from support.lists import DataError
from support.progress import StatusLine
from support.run import has_trained, run_folder, seed_everything
from support.safeguards import OutOfMemory, TrainingDiverged, is_out_of_memory

# ---------------------------------------------------------------- weights

def take_weights(network, source):
    """Load the weights that "resume_state" names into a network.

    Args:
        source: a *_gen.pth of the public code, also without "_gen.pth"; or a file or name of the kit's.

    Raises:
        CheckpointError: if there is no such file, it is of another kind, or it does not fit.
    """
    public = Path(source if str(source).endswith("_gen.pth") else f"{source}_gen.pth")
    if public.is_file():
        if Path(str(public).replace("_gen.pth", "_opt.pth")).exists():
            print("Notice: the state of the optimizer (*_opt.pth) is not taken over: Adam begins anew.")
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
            print(f"Notice: path.resume_state is taken, {source}, and not what has been trained in {folder}. Set it to "
                  "null for that.")
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


# ---------------------------------------------------------------- the commands

def train_run(args, options, config):
    """Train what the configuration says; goes on where an earlier run has stopped."""
    network = sr3.build(config, STAGE)
    source = value(options, "path.resume_state", None)
    if source and not has_trained(run_folder(config)):
        take_weights(network, source)
    with distributed.rank0_first():                    # it makes lists that are missing, and decodes the images
        loader, valid = sr3_config.train_loader(options, config), sr3_config.valid_set(options, config)
    config.n_valid = config.n_valid or len(valid.pairs)
    monitor = Trackers(args, options, config) if distributed.rank() == 0 else None
    fit(config, STAGE, network, loader, valid, monitor)
    if monitor:
        monitor.end()
        print(f"runs/{config.name}: run the same with -p val to see its pictures.")


def enlarge_set(args, options, config):
    """Every validation pair: files NAME_hr and those of ``pictures_of``; and the means."""
    network, valid = trained(options, config), sr3_config.valid_set(options, config)
    folder, line, rows = results_folder(options, config, "val"), StatusLine(), []
    run = wandb_run(args, options, config)
    for i, name in enumerate(valid.names):
        lr, hr = valid.pair(i)
        made = pictures_of(network, lr)
        for ending, picture in {**made, "hr": hr}.items():
            save_image(folder / f"{name}_{ending}.png", picture)
        rows.append((name, made["sr"], hr))
        line.show(f"{i + 1} of {len(valid.names)} pictures", last=i + 1 == len(valid.names))
    psnr, ssim = report([(sr, hr) for _, sr, hr in rows])
    if run:
        run.log({"psnr": psnr, "ssim": ssim})
        if args.log_eval:
            run.log_pictures("eval", ("SR", "HR"), rows)
        run.end()
    print(f"Pictures in {folder}")


def infer(args, options, config):
    """Photographs that need no HR, each as ``pictures_of`` says; 1 if one of them failed, else 0."""
    low = value(options, "datasets.val.l_resolution")
    source = args.input or Path(value(options, "datasets.val.dataroot"), f"lr_{low}")
    files, s = super_resolution.find_pictures([source]), config.scaling_factor
    names = {file: name.removesuffix(f"_x{s}.png") for file, name in super_resolution.result_names(files, s).items()}
    network, folder = trained(options, config), results_folder(options, config, "infer")
    run, rows, failed = wandb_run(args, options, config), [], []
    for file, name in names.items():
        try:
            rows.append((name, *infer_one(network, file, folder, name)))
        except (ValueError, OSError, MemoryError, RuntimeError) as error:         # the other pictures are not to suffer
            failed.append(f"{file.name}: {reason_of(error)}")
            print(f"NOT ENLARGED: {failed[-1]}")
    if run:
        run.log_pictures("infer", ("SR", "LR enlarged"), rows)
        run.end()
    print(f"Pictures in {folder}")
    if failed:
        print(f"Error: {len(failed)} of {len(names)} pictures were not enlarged:\n  " + "\n  ".join(failed),
              file=sys.stderr)
    return 1 if failed else 0


def infer_one(network, file, folder, name):
    """Enlarge a photograph and keep the pictures; the colour profile stays with all, an alpha channel with SR.

    Returns:
        (SR, LR enlarged), uint8 (s h, s w, 3).

    Raises:
        ValueError: as ``super_resolution.read_picture``.
    """
    picture = super_resolution.read_picture(file)
    made, replaced = pictures_of(network, picture.lr), (folder / f"{name}_sr.png").exists()
    sr = super_resolution.enlarge(picture, lambda _: made["sr"])
    for ending, image in {**made, "sr": sr}.items():
        super_resolution.save_picture(folder / f"{name}_{ending}.png", image, picture)
    (h, w), notice = picture.lr.shape[:2], f" ({picture.notice})" * bool(picture.notice)
    print(f"{file.name}: {w} x {h} -> {sr.shape[1]} x {sr.shape[0]}, {name}_sr.png{notice}"
          + " (the former one is replaced)" * replaced)
    return made["sr"], made["inf"]


def reason_of(error):
    """Why a picture could not be enlarged; what is no fault of the picture is raised again."""
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "the memory does not hold a picture of this size. Reduce it first."
    if isinstance(error, RuntimeError):
        raise error
    return str(error)


def draw(args, options, config):
    """Pictures out of noise alone: NNN_sample and NNN_sample_process, a seed each."""
    side, n = value(options, "model.diffusion.image_size") // config.scaling_factor, data_len(options, "val")
    if n is None:
        raise ConfigError("datasets.val.data_len is how many pictures are drawn: give a number.")
    network, folder = trained(options, config), results_folder(options, config, "sample")
    run, rows = wandb_run(args, options, config), []
    for seed in range(n):
        network.seed = seed
        states = sr3.process(network, torch.zeros(1, 3, side, side, device=config.device))[1:]     # but for LR
        rows.append((f"{seed:03d}", as_array(states[-1][1])))
        save_image(folder / f"{seed:03d}_sample.png", rows[-1][1])
        save_image(folder / f"{seed:03d}_sample_process.png", np.hstack([as_array(x) for _, x in states]))
    if run:
        run.log_pictures("sample", ("sample",), rows)
        run.end()
    print(f"Pictures in {folder}")


def evaluate_folder(folder):
    """The means of all NAME_sr.png against NAME_hr.png in a folder.

    Raises:
        DataError: if there are none, or one of a pair is missing.
    """
    pairs = []
    for hr in sorted(Path(folder).glob("*_hr.png")):
        sr = hr.with_name(hr.name.removesuffix("_hr.png") + "_sr.png")
        if not sr.exists():
            raise DataError(f"{hr} has no {sr.name} beside it. Run sr -p val again.")
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


def pictures_of(network, lr):
    """Enlarge a picture, uint8 (h, w, 3).

    Returns:
        dict of uint8 arrays: "sr", "lr", "inf" (LR enlarged by bicubic) and "sr_process" (how SR came about).
    """
    tensor = to_float(torch.from_numpy(np.array(lr)).permute(2, 0, 1)[None].to(next(network.parameters()).device))
    states = [as_array(x) for _, x in sr3.process(network, tensor)]
    return {"sr": states[-1], "lr": lr, "inf": states[0], "sr_process": np.hstack(states)}


def results_folder(options, config, phase):
    return run_folder(config) / value(options, "path.results", "results") / phase


# ---------------------------------------------------------------- the command line

# Flags by which a run is followed; users of the public code write them with one dash.
FLAGS = {"enable_wandb": "follow the run with Weights & Biases (WANDB_MODE=offline works)",
         "log_wandb_ckpt": "with -enable_wandb: keep the checkpoints there",
         "log_eval": "with -enable_wandb: a table of the validation pictures",
         "log_infer": "with -enable_wandb: a table of infer's pictures",
         "tensorboard": "follow the training with TensorBoard"}


def arguments_of(arguments):
    parser = argparse.ArgumentParser(prog="python -m extensions.sr3_commands", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, default in (("sr", "config/sr_sr3.json"), ("infer", "config/sr_sr3_64_512.json"),
                          ("sample", "config/sample_sr3_128.json")):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("-c", "--config", default=default, help=f"a JSON file with comments (default: {default})")
        command.add_argument("-p", "--phase", choices=["train", "val"] if name != "infer" else ["val"],
                             help="train, or make pictures (default: what the configuration says)")
        command.add_argument("-gpu", "--gpu_ids", help="such as 0,1 (default: what the configuration says)")
        for flag, text in FLAGS.items():
            command.add_argument(f"-{flag}", f"--{flag}", action="store_true", help=text)
        if name == "infer":
            command.add_argument("--input", type=Path, help="a picture, or a folder of them, without the folders in it "
                                                              "(default: the LR of datasets.val)")
    data = commands.add_parser("prepare_data", allow_abbrev=False)
    data.add_argument("-p", "--path", type=Path, required=True, help="folder with photographs")
    data.add_argument("-o", "--out", required=True, help="the sizes are appended: faces becomes faces_64_512")
    data.add_argument("--size", default="64,512", help="LR and HR (default: 64,512)")
    data.add_argument("--n_worker", type=int, default=1, help="processes")
    commands.add_parser("eval", allow_abbrev=False).add_argument(
        "-p", "--path", type=Path, required=True, help="a folder that sr -p val has made")
    convert = commands.add_parser("convert", allow_abbrev=False)
    convert.add_argument("source", type=Path, help="a *_gen.pth of the public code")
    convert.add_argument("--out", type=Path, required=True, help="a .safetensors file of this kit")
    return parser.parse_args(arguments)


def numbers_of(text, flag, n, example):
    """Whole numbers with commas between them, such as "64,512"; ``n`` of them, or any number where it is None.

    Raises:
        ValueError: for anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or n not in (None, len(words)):
        raise ValueError(f"{flag} {text}: whole numbers are wanted, such as {example}.")
    return [int(word) for word in words]


# The core's messages call them by the names of the kit's configuration.
NAMES = ("In the JSON file lr is train.optimizer.lr, batch_size is datasets.train.batch_size, and crop_size is "
         "datasets.train.r_resolution.")


def main(arguments=None):
    args = arguments_of(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    os.environ[provenance.COMMAND] = shlex.join(["-m", "extensions.sr3_commands", *map(str, words)])
    try:
        if args.command == "prepare_data":
            low, high = numbers_of(args.size, "--size", 2, "64,512")
            print(f"Pictures and lists in {prepare(args.path, args.out, low, high, args.n_worker)}")
        elif args.command == "eval":
            evaluate_folder(args.path)
        elif args.command == "convert":
            save_generator(args.out, sr3_weights.load_public(args.source), source=args.source.name)
            print(f"{args.out}: to be loaded by checkpoints.load_generator.")
        else:
            return run(args) or 0
    except (TrainingDiverged, OutOfMemory) as error:
        return fault(f"{error} {NAMES}")
    except (CheckpointError, DataError, ValueError, OSError) as error:
        return fault(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return fault("The memory does not hold pictures of this size. Take smaller ones, or close what else uses it.")
    except KeyboardInterrupt:
        print("\nStopped. A training goes on from here when the same command is run again.", file=sys.stderr)
        return 130
    return 0


def fault(text):
    """Say why a command ends; returns its exit status."""
    print(f"Error: {text}", file=sys.stderr)
    return 1


# (command, phase) -> what is done, and the flags that it looks at.
ACTIONS = {("sr", "train"): (train_run, {"enable_wandb", "log_wandb_ckpt", "tensorboard"}),
           ("sr", "val"): (enlarge_set, {"enable_wandb", "log_eval"}),
           ("infer", "val"): (infer, {"enable_wandb", "log_infer"}),
           ("sample", "train"): (train_run, {"enable_wandb", "log_wandb_ckpt", "tensorboard"}),
           ("sample", "val"): (draw, {"enable_wandb"})}


def run(args):
    """sr, infer or sample; returns the exit status, or None."""
    options = sr3_config.read_config(args.config)
    if args.gpu_ids is not None:
        options["gpu_ids"] = numbers_of(args.gpu_ids, "-gpu", None, "0 or 0,1") if args.gpu_ids else []
    phase = args.phase or ("val" if args.command == "infer" else value(options, "phase", "train"))
    if (args.command, phase) not in ACTIONS:
        raise ConfigError(f"{args.config} has phase = {phase!r}: there are 'train' and 'val'.")
    action, flags = ACTIONS[args.command, phase]
    check_flags(args, flags)
    config = sr3_config.kit_config(options)
    conditional = config.sr3.network["conditional"]
    if conditional == (args.command == "sample"):
        raise ConfigError(f"{args.config} has model.diffusion.conditional = {conditional}: "
                          f"{'sr and infer' if conditional else 'sample'} is the command for it.")
    if len(value(options, "gpu_ids", [])) > 1 and not distributed.is_distributed():
        print("Notice: of several gpu_ids one process uses the first. For all of them: "
              "torchrun --nproc_per_node=N -m extensions.sr3_commands ...")
    distributed.setup(config)
    seed_everything(config.seed)
    status = action(args, options, config)
    distributed.cleanup()
    return status


def check_flags(args, known):
    """Turn off the flags that have nothing to do here, with a notice, and see that the others have what they need.

    Raises:
        ConfigError: if -enable_wandb is missing beside a flag that goes with it.
        CheckpointError: if a package is missing.
    """
    given = {flag for flag in FLAGS if getattr(args, flag)}
    alone = sorted(flag for flag in given if flag.startswith("log_") and not args.enable_wandb)
    if alone:
        raise ConfigError(f"-{alone[0]} keeps things at Weights & Biases: it goes with -enable_wandb.")
    idle = given - known
    if args.command == "infer" and not args.log_infer:
        idle = given               # nothing else of infer could be followed
    if idle:
        texts = (" ".join(f"-{flag}" for flag in sorted(flags)) for flags in (idle, known))
        print("Notice: {} changes nothing here. To follow this command: {}.".format(*texts))
    for flag in idle:
        setattr(args, flag, False)
    import_packages(args)


if __name__ == "__main__":
    sys.exit(main())

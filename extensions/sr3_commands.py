"""The commands of the public SR3 code, on the kit's training, checkpoints and scores.

    python -m extensions.sr3_commands prepare_data --path PHOTOS --out dataset/faces --size 16,128
    python -m extensions.sr3_commands sr -p train -c config/sr_sr3.json          train
    python -m extensions.sr3_commands sr -p val -c config/sr_sr3.json            upscale the validation set
    python -m extensions.sr3_commands eval -p runs/sr_ffhq/results/val           measure what that has written
    python -m extensions.sr3_commands infer -c config/sr_sr3.json --input FOLDER photographs without HR
    python -m extensions.sr3_commands sample -p train -c config/sample_sr3_128.json   without a condition
    python -m extensions.sr3_commands convert I640000_E37_gen.pth --out sr3.safetensors

CONFIG is looked for as given, then below extensions/.  A run is kept in runs/<name>/ and resumes
where it was stopped.  With several GPUs: torchrun --nproc_per_node=N -m extensions.sr3_commands sr ...
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from extensions import distributed, sr3_config, sr3_weights
from extensions.sr3_actions import draw, evaluate_folder, infer, train_run, upscale_set
from extensions.sr3_config import ConfigError, value
from extensions.sr3_data import prepare
from extensions.sr3_trackers import import_packages
from support import provenance
from support.checkpoints import CheckpointError, save_generator
from support.lists import DataError
from support.messages import notice
from support.run import seed_everything
from support.safeguards import OutOfMemory, TrainingDiverged, is_out_of_memory

# Flags by which a run is followed; users of the public code write them with one dash.
FLAGS = {"enable_wandb": "follow the run with Weights & Biases (WANDB_MODE=offline works)",
         "log_wandb_ckpt": "with -enable_wandb: keep the checkpoints there",
         "log_eval": "with -enable_wandb: a table of the validation images",
         "log_infer": "with -enable_wandb: a table of infer's images",
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
                             help="train, or make images (default: what the configuration says)")
        command.add_argument("-gpu", "--gpu_ids", help="such as 0,1 (default: what the configuration says)")
        for flag, text in FLAGS.items():
            command.add_argument(f"-{flag}", f"--{flag}", action="store_true", help=text)
        if name == "infer":
            command.add_argument("--input", type=Path, help="an image, or a folder of them "
                                                              "(default: the LR of datasets.val)")
            command.add_argument("--subfolders", action="store_true", help="of a folder: its subfolders as well")
    data = commands.add_parser("prepare_data", allow_abbrev=False)
    data.add_argument("-p", "--path", type=Path, required=True, help="folder with photographs")
    data.add_argument("-o", "--out", required=True, help="the sizes are appended: faces becomes faces_64_512")
    data.add_argument("--size", default="64,512", help="LR and HR (default: 64,512)")
    data.add_argument("--n_worker", type=int, default=1, help="number of processes")
    commands.add_parser("eval", allow_abbrev=False).add_argument(
        "-p", "--path", type=Path, required=True, help="a folder that sr -p val has made")
    convert = commands.add_parser("convert", allow_abbrev=False)
    convert.add_argument("source", type=Path, help="a *_gen.pth of the public code")
    convert.add_argument("--out", type=Path, required=True, help="a .safetensors file of this kit")
    return parser.parse_args(arguments)


def numbers_of(text, flag, n, example):
    """Whole numbers with commas between them, such as "64,512"; ``n`` of them, or any number of them if None.

    Raises:
        ValueError: for anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or n not in (None, len(words)):
        raise ValueError(f"{flag} {text}: give whole numbers, such as {example}.")
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
            print(f"Images and lists in {prepare(args.path, args.out, low, high, args.n_worker)}")
        elif args.command == "eval":
            evaluate_folder(args.path)
        elif args.command == "convert":
            save_generator(args.out, sr3_weights.load_public(args.source), source=args.source.name)
            print(f"{args.out}: to load it, call inference.load_generator.")
        else:
            return run(args) or 0
    except (TrainingDiverged, OutOfMemory) as error:
        return fault(f"{error} {NAMES}")
    except (CheckpointError, DataError, ValueError, OSError) as error:
        return fault(error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return fault("There is not enough memory for images of this size. Use smaller ones, or close other programs.")
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again, and a training resumes from here.", file=sys.stderr)
        return 130
    return 0


def fault(text):
    """Say why a command ends; returns its exit status."""
    print(f"Error: {text}", file=sys.stderr)
    return 1


# (command, phase) -> what is done, and the flags that it uses.
ACTIONS = {("sr", "train"): (train_run, {"enable_wandb", "log_wandb_ckpt", "tensorboard"}),
           ("sr", "val"): (upscale_set, {"enable_wandb", "log_eval"}),
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
        raise ConfigError(f"{args.config} has phase = {phase!r}: it must be 'train' or 'val'.")
    action, flags = ACTIONS[args.command, phase]
    check_flags(args, flags)
    config = sr3_config.kit_config(options)
    conditional = config.sr3.network["conditional"]
    if conditional == (args.command == "sample"):
        raise ConfigError(f"{args.config} has model.diffusion.conditional = {conditional}: "
                          f"{'sr and infer' if conditional else 'sample'} is the command for it.")
    if len(value(options, "gpu_ids", [])) > 1 and not distributed.is_distributed():
        notice("one process uses only the first of several gpu_ids. To use all of them: "
               "torchrun --nproc_per_node=N -m extensions.sr3_commands ...")
    distributed.setup(config)
    seed_everything(config.seed)
    status = action(args, options, config)
    distributed.cleanup()
    return status


def check_flags(args, known):
    """Turn off the flags that do nothing here, with a notice, and make sure that the others have what they need.

    Raises:
        ConfigError: if a flag that needs -enable_wandb is given without it.
        CheckpointError: if a package is missing.
    """
    given = {flag for flag in FLAGS if getattr(args, flag)}
    alone = sorted(flag for flag in given if flag.startswith("log_") and not args.enable_wandb)
    if alone:
        raise ConfigError(f"-{alone[0]} keeps things at Weights & Biases: it needs -enable_wandb.")
    idle = given - known
    if args.command == "infer" and not args.log_infer:
        idle = given               # there is nothing else of infer to follow
    if idle:
        texts = (" ".join(f"-{flag}" for flag in sorted(flags)) for flags in (idle, known))
        notice("{} changes nothing here. To follow this command: {}.".format(*texts))
    for flag in idle:
        setattr(args, flag, False)
    import_packages(args)


if __name__ == "__main__":
    sys.exit(main())

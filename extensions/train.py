"""The training of every extension: python -m extensions METHOD --preset small --data data

A method is a network with a loss of its own.  Everything around an update (checkpoints, resuming,
averaged weights, log, curves, validation) is the core's ``support.stage.Stage``.
"""

import argparse
import os
import shlex
import sys
from functools import partial

import torch

import create_data_lists
from config import get_config
from datasets import SRDataset, make_loader
from extensions import a2n, distributed, import_weights, sr3, srdiff, srdiff_preprocess
from extensions.setting_descriptions import DESCRIBED
from support import provenance
from support.checkpoints import CheckpointError
from support.convert import convert_image
from support.figures import LiveCurves
from support.lists import DataError
from support.precision import report_not_compiled
from support.run import EpochProgress, random_states, restore_random_states, seed_everything, stage_config
from support.safeguards import OutOfMemory, TrainingDiverged, exit_status
from support.setting_rules import check_settings
from support.settings import UnknownSetting, change
from support.settings_page import as_lines


def one_epoch(train_loader, network, optimizer, epoch, *, name="extension", print_freq=50, progress=None):
    """One epoch of a network with a loss of its own, ``network.loss(lr, hr)``; arguments as ``solver.pretrain``.

    Args:
        network: its ``loss`` takes LR in [0, 1] and HR in [-1, 1].

    Returns:
        dict of AverageMeter: "content", that loss.

    Raises:
        TrainingDiverged: if the loss is no longer finite.
    """
    progress = progress or EpochProgress("cpu")
    meters = progress.meters_of("content")
    network.train()
    for lr, hr in progress.batches(train_loader, name, epoch, print_freq):
        loss = loss_of(network, lr, hr, progress.precision)
        progress.step(name, loss, optimizer)
        meters["content"].update(loss, len(lr))
    return meters


def loss_of(network, lr, hr, precision):
    """The loss of a batch in [0, 1]: (N, 3, h, w) and (N, 3, s h, s w)."""
    hr = convert_image(hr, "[0, 1]", "[-1, 1]")
    with precision.autocast():
        return network.loss(lr, hr)


def loaders(config, name):
    """(training loader of a stage, validation set)."""
    settings = stage_config(config, name)
    train_set = a2n.SubImages(settings) if settings.get("sub_images") else SRDataset("train", settings)
    return (make_loader(train_set, settings.batch_size, settings.workers, settings.updates_per_epoch,
                        pin_memory=config.device.startswith("cuda")), SRDataset("valid", config))


def fit(config, name, network, train_loader, valid_set, monitor=None):
    """One stage of an extension's training; resumes where an earlier run has stopped.

    Writes ``runs/<config.name>/checkpoints/<name>_{last,best}.pth`` and all else that the core's stages write.

    Args:
        name: of the stage; its settings are config.<name> over the top level.
        network: a registered method with ``loss(lr, hr)``; ``network(lr)`` gives SR, in eval mode.

    Returns:
        the history: a dict for each epoch, as ``solver.fit_pretrain``.
    """
    seed_everything(config.seed)
    stage = distributed.stage_class()(name, config, network, train_loader, valid_set, monitor=monitor)
    if stage.settings.compile:
        compile_in_place(stage)
    return distributed.run(stage, one_epoch) if distributed.is_distributed() else stage.run(partial(_epoch, stage))


def _epoch(stage, loader, epoch, progress):
    return one_epoch(loader, stage.generator, stage.optimizer_g, epoch, name=stage.name,
                     print_freq=stage.settings.print_freq, progress=progress)


def compile_in_place(stage):
    """torch.compile for what every update calls; if that fails, the network stays as it is, with a notice.

    In place, so that the names in checkpoints stay.  The averaged copy, which upscales images of all
    sizes, is not compiled.
    """
    network, settings, before = stage.generator, stage.settings, random_states()
    called = getattr(network, "unet", network)           # the diffusion methods' loss is not the network's forward
    n, side = settings.batch_size // distributed.world_size(), settings.crop_size
    hr = torch.zeros(n, 3, side, side, dtype=torch.uint8)
    lr = hr[:, :, ::settings.scaling_factor, ::settings.scaling_factor]
    try:
        called.compile()
        network.train()
        lr, hr = stage.precision.to_unit_range(lr, hr)
        loss_of(network, lr, hr, stage.precision).backward()        # it compiles at the first call
    except Exception as error:                 # no C++ compiler, a Python or a card that is not supported
        called._compiled_call_impl = None      # private: torch has no public call to undo compile()
        report_not_compiled(called, error)
    network.zero_grad(set_to_none=True)
    restore_random_states(before)


# ---------------------------------------------------------------- configurations and the command

METHODS = {"a2n": a2n, "srdiff": srdiff, "sr3": sr3}       # name -> module with PRESETS and build(config, stage)
# Other commands: name -> main(arguments).
COMMANDS = {"preprocess": srdiff_preprocess.main, "import_weights": import_weights.main}


def extension_config(method, preset="demo", data_folder="data", name=None, seed=0):
    """The configuration of a run: the method's settings over those of the core (config.COMMON).

    Args:
        method: "a2n", "srdiff" or "sr3".
        preset: one of the method's PRESETS: "demo" (seconds), "small" (minutes on a CPU), "full" (a GPU).
        name: of the run, which is kept in runs/<name>/ (default: <method>-<preset>).

    Raises:
        ValueError: for an unknown method or preset, or a name that is a path.
    """
    if method not in METHODS or preset not in METHODS[method].PRESETS:
        known = ", ".join(f"{key}: {', '.join(module.PRESETS)}" for key, module in METHODS.items())
        raise ValueError(f"There is no preset {preset!r} of {method!r}; there are {known}.")
    config = get_config("course", data_folder, name or f"{method}-{preset}", seed)
    # The warm-up of the preset is SRGAN's.
    config.add(**{"preset": preset, "method": method, "workers": 0, "warmup": 0, **METHODS[method].PRESETS[preset]})
    config.close(DESCRIBED[method])
    return config


def train_all(config, monitor=LiveCurves):
    """All stages of a method, one after the other; a complete stage is left as it is.

    Returns:
        {stage: history}.
    """
    module, histories = METHODS[config.method], {}
    for name in config.stages:
        seed_everything(config.seed)
        network = module.build(config, name)
        with distributed.rank0_first():                    # it decodes the images
            parts = loaders(config, name)
        histories[name] = fit(config, name, network, *parts, monitor())
    return histories


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m extensions", description=__doc__.split("\n\n")[0],
                                     epilog=f"other commands: {', '.join(COMMANDS)}")
    parser.add_argument("method", choices=list(METHODS))
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--data", help="folder of the lists (default: data; demo: data/demo, which is created)")
    parser.add_argument("--name", help="name of the run, which is kept in runs/<name>/ (default: <method>-<preset>)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
                        help="change the configuration: --set crop_size=64 a2n.epochs=2")
    parser.add_argument("--help-settings", action="store_true",
                        help="what --set can change: every setting, its value in this preset, and what it takes")
    args = parser.parse_args(arguments)
    try:
        config = extension_config(args.method, args.preset, args.data or (
            "data/demo" if args.preset == "demo" else "data"), args.name, args.seed)
        for text in args.changes:
            change(config, text)
        check_settings(config)
    except UnknownSetting as error:
        parser.error(f"{error} What {args.method} has of its own: PRESETS in extensions/{args.method}.py.")
    except ValueError as error:
        parser.error(str(error))
    if args.help_settings:
        print(as_lines(DESCRIBED[args.method], config))
        return 0
    os.environ[provenance.COMMAND] = shlex.join(["-m", "extensions", *(arguments or sys.argv[1:])])
    try:
        distributed.setup(config)
        if config.csv_folder == "data/demo":
            with distributed.rank0_first():
                create_data_lists.make_demo(config.csv_folder, config.scaling_factor)
        train_all(config)
        distributed.cleanup()
    except KeyboardInterrupt as stop:
        return exit_status(stop)
    except (CheckpointError, DataError, OutOfMemory, TrainingDiverged, ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"runs/{config.name}: to test it, set run_name = {config.name!r} in test.ipynb and super_resolution.ipynb.")
    return 0

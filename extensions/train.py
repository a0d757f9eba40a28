"""The training of every extension: python -m extensions METHOD --preset small --data data

A method is a network that says its own loss.  Everything around an update (checkpoints, resume,
averaged weights, log, curves, validation) is the core's ``stage.Stage``.
"""

import argparse
import ast
import inspect
import os
import shlex
import sys
from functools import partial

import torch

import create_data_lists
from config import get_config
from datasets import SRDataset, make_loader
from extensions import a2n, distributed, sr3, srdiff, srdiff_preprocess
from support import provenance
from support.checkpoints import CheckpointError
from support.convert import convert_image
from support.figures import Monitor
from support.lists import DataError
from support.precision import Precision
from support.run import (
    AverageMeter,
    begin_epoch,
    look,
    random_states,
    restore_random_states,
    seed_everything,
    stage_config,
)
from support.safeguards import OutOfMemory, TrainingDiverged, Watch
from support.stage import tell_not_compiled


def one_epoch(train_loader, network, optimizer, epoch, *, name="extension", print_freq=50, precision=None, meters=None,
              first=0, after_update=None, watch=None):
    """One epoch of a network that says its own loss: ``network.loss(lr, hr)``; arguments as ``solver.pretrain``.

    Args:
        network: its ``loss`` takes LR in [0, 1] and HR in [-1, 1].

    Returns:
        dict of AverageMeter: "content", that loss.

    Raises:
        TrainingDiverged: if the loss is no longer finite.
    """
    precision, watch = precision or Precision("cpu"), watch or Watch()
    meters = meters or {"content": AverageMeter()}
    network.train()
    begin_epoch(train_loader, epoch, first)
    for update, (lr, hr) in enumerate(train_loader, start=first + 1):
        loss = loss_of(network, lr, hr, precision)
        watch.gradient(name, precision.step(loss, optimizer))

        meters["content"].update(loss, len(lr))
        look(name, epoch, update, len(train_loader), meters, watch, print_freq, after_update)
    return meters


def loss_of(network, lr, hr, precision):
    """The loss of a batch as a loader gives it: (N, 3, h, w) and (N, 3, s h, s w), bytes or [0, 1]."""
    lr, hr = precision.images(lr, hr)
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
    """One stage of an extension's training; goes on where an earlier run has stopped.

    Leaves ``runs/<config.name>/checkpoints/<name>_{last,best}.pth`` and all else that the core's stages leave.

    Args:
        name: of the stage; its settings are config.<name> over the top level.
        network: a registered method with ``loss(lr, hr)``; ``network(lr)`` makes the picture, in eval mode.

    Returns:
        the history: a dict an epoch, as ``solver.fit_pretrain``.
    """
    seed_everything(config.seed)
    stage = distributed.stage_class()(name, config, network, train_loader, valid_set, monitor=monitor)
    if stage.settings.compile:
        compile_in_place(stage)
    return distributed.run(stage, one_epoch) if distributed.is_on() else stage.run(partial(_epoch, stage))


def _epoch(stage, loader, epoch, **inside):
    return one_epoch(loader, stage.generator, stage.optimizer_g, epoch, name=stage.name,
                     print_freq=stage.settings.print_freq, **inside)


def compile_in_place(stage):
    """torch.compile for what every update calls; where that fails the network stays as it is, with a notice.

    In place: the names in checkpoints stay.  The averaged copy, which enlarges pictures of all
    sizes, is not compiled.
    """
    network, settings, before = stage.generator, stage.settings, random_states()
    called = getattr(network, "unet", network)           # the diffusion methods' loss is not the network's forward
    n, side = settings.batch_size // distributed.size(), settings.crop_size
    hr = torch.zeros(n, 3, side, side, dtype=torch.uint8)
    lr = hr[:, :, ::settings.scaling_factor, ::settings.scaling_factor]
    try:
        called.compile()
        network.train()
        loss_of(network, lr, hr, stage.precision).backward()        # it compiles at the first call
    except Exception as error:                 # no C++ compiler, a Python or a card that is not supported
        called._compiled_call_impl = None      # torch has no call that undoes compile()
        tell_not_compiled(called, error)
    network.zero_grad(set_to_none=True)
    restore_random_states(before)


# ---------------------------------------------------------------- configurations and the command

METHODS = {"a2n": a2n, "srdiff": srdiff, "sr3": sr3}       # name -> module with PRESETS and build(config, stage)
COMMANDS = {"preprocess": srdiff_preprocess.main}          # what else there is: name -> main(arguments)

# Section of a configuration -> the network whose arguments it holds, but for those that follow from other settings.
NETWORKS = {"A2N": a2n.A2N, "SRDiff": srdiff.SRDiff, "SRDiff.encoder": srdiff.Encoder,
            "sr3.network": sr3.SR3, "sr3.network.unet": sr3.UNet}
FOLLOWING = {"scaling_factor", "c_in", "swish_level"}


def extension_config(method, preset="demo", data_folder="data", name=None, seed=0):
    """The configuration of a run: the core's (config.COMMON), and over it the method's own.

    Args:
        method: "a2n", "srdiff" or "sr3".
        preset: one of the method's PRESETS: "demo" (seconds), "small" (minutes on a CPU), "full" (a GPU).
        name: of the run, kept in runs/<name>/ (default: <method>-<preset>).

    Raises:
        ValueError: for an unknown method or preset, or a name that is a path.
    """
    if method not in METHODS or preset not in METHODS[method].PRESETS:
        known = ", ".join(f"{key}: {', '.join(module.PRESETS)}" for key, module in METHODS.items())
        raise ValueError(f"There is no preset {preset!r} of {method!r}; there are {known}.")
    config = get_config("course", data_folder, name or f"{method}-{preset}", seed)
    config.update(preset=preset, method=method, workers=0)
    config.update(METHODS[method].PRESETS[preset])
    return config


def train_all(config, monitor=Monitor):
    """All stages of a method, one after the other; a stage that is complete is left as it is.

    Returns:
        {stage: history}.
    """
    module, histories = METHODS[config.method], {}
    for name in config.stages:
        seed_everything(config.seed)
        network = module.build(config, name)
        with distributed.first_alone():                    # it decodes the images
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
    parser.add_argument("--data", help="folder of the lists (default: data; demo: data/demo, which is made)")
    parser.add_argument("--name", help="name of the run, kept in runs/<name>/ (default: <method>-<preset>)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
                        help="change the configuration: --set crop_size=64 a2n.epochs=2")
    args = parser.parse_args(arguments)
    try:
        config = extension_config(args.method, args.preset, args.data or (
            "data/demo" if args.preset == "demo" else "data"), args.name, args.seed)
        for text in args.changes:
            change(config, text)
    except ValueError as error:
        parser.error(str(error))
    os.environ[provenance.COMMAND] = shlex.join(["-m", "extensions", *(arguments or sys.argv[1:])])
    try:
        distributed.begin(config)
        if config.csv_folder == "data/demo":
            with distributed.first_alone():
                create_data_lists.make_demo(config.csv_folder, config.scaling_factor)
        train_all(config)
        distributed.end()
    except KeyboardInterrupt:
        return 130                  # as the shell says of a program that Ctrl-C has ended
    except (CheckpointError, DataError, OutOfMemory, TrainingDiverged, ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"runs/{config.name}: to test it, set run_name = {config.name!r} in test.ipynb and super_resolution.ipynb.")
    return 0


def change(config, text):
    """``crop_size=64``, ``a2n.lr=1e-4`` or ``sr3.network.unet.n_channels=32``: put a value into the configuration.

    Raises:
        ValueError: if there is no such setting, or each stage has its own.
    """
    key, equals, word = text.partition("=")
    *sections, last = key.split(".")
    place, section = config, ".".join(sections)
    for name in sections:
        place = place.get(name) if isinstance(place, dict) else None
    known = known_keys(config, place, section) if isinstance(place, dict) else []
    if not equals or last not in known:
        hint = f"{section} has {', '.join(known)}" if known and section in NETWORKS else "see the method's PRESETS"
        raise ValueError(f"--set {text}: KEY=VALUE is wanted, with a KEY that config has; {hint}.")
    own = [f"{stage}.{last}" for stage in config.stages if last in config.get(stage, {})]
    if not section and own:
        raise ValueError(f"--set {text} would change nothing: the stage has its own; set {' and '.join(own)}.")
    try:
        place[last] = ast.literal_eval(word)
    except (ValueError, SyntaxError):
        place[last] = word                         # a plain word, such as loss=charbonnier


def known_keys(config, place, section):
    """What may be set in a section, whose present content is ``place``."""
    if section in NETWORKS:
        return [name for name in inspect.signature(NETWORKS[section]).parameters if name not in FOLLOWING]
    return [*place, *(config if section in config.stages else ())]         # a stage may have its own of anything

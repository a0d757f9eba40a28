"""TensorBoard and Weights & Biases, for those who have them: ``config.tracker = "tensorboard"`` or ``"wandb"``.

Both packages are optional: imported when they are asked for, never before.
"""

import contextlib
import importlib
import os
import secrets

import numpy as np

from metrics import three_channels
from support.files import write_atomically
from support.images import read_image
from support.messages import notice
from support.run import plain, run_folder

PACKAGES = {"tensorboard": ("torch.utils.tensorboard", "tensorboard"), "wandb": ("wandb", "wandb")}


class TrackerError(ValueError):
    """A tracker that does not exist, or whose package is not installed; the message says how to get it."""


def optional(name, setting):
    """Import the package of a tracker.

    Args:
        setting: how it was asked for, such as ``config.tracker = 'wandb'``.

    Raises:
        TrackerError: if it is missing; the message says how to get it, and that it is optional.
    """
    module, package = PACKAGES[name]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise TrackerError(f"{setting} needs the package {package}, which is not installed ({error}): "
                           f"python -m pip install {package}. Without {setting} everything else works.") from None


def trackers_of(config):
    """The names in config.tracker, as a list; their packages are imported: a missing one is known before any work.

    Raises:
        TrackerError: for a package that is missing.
    """
    names = config.get("tracker") or []
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        optional(name, f"config.tracker = {name!r}")
    return names


class TensorBoard:
    """Curves and pictures in a folder: ``tensorboard --logdir runs`` shows them."""

    def __init__(self, folder, setting="config.tracker = 'tensorboard'"):
        self.writer = optional("tensorboard", setting).SummaryWriter(str(folder))

    def log(self, values, step):
        for name, number in values.items():
            self.writer.add_scalar(name, number, step)

    def picture(self, name, image, step):
        self.writer.add_image(name, image, step, dataformats="HWC")

    def end(self):
        self.writer.close()


class Wandb:
    """One run at Weights & Biases; without a login or a network it works offline.

    Args:
        options: arguments of ``wandb.init``.
    """

    def __init__(self, config, setting="config.tracker = 'wandb'", **options):
        self.wandb, self.config = optional("wandb", setting), config
        # A question for the login would stop a training that nobody watches.
        if "WANDB_MODE" not in os.environ and "WANDB_API_KEY" not in os.environ:
            options["mode"] = "offline"
            notice("neither WANDB_API_KEY nor WANDB_MODE is set: wandb works offline; `wandb sync` uploads the run.")
        self.run = self.wandb.init(**{"project": config.name, "name": config.name, "dir": str(run_folder(config)),
                                      "config": plain(config), **options})

    def log(self, values, step=None):
        self.run.log(values, step=step)

    def picture(self, name, image, step):
        self.run.log({name: self.wandb.Image(three_channels(np.asarray(image)))}, step=step)

    def log_checkpoint(self, path):
        artifact = self.wandb.Artifact(f"{self.config.name}-{path.stem}", type="model")
        artifact.add_file(str(path))
        self.run.log_artifact(artifact)

    def log_images(self, name, columns, rows):
        """A table of rows (name of the image, a uint8 array for each of the columns)."""
        table = self.wandb.Table(columns=["picture", *columns])
        for title, *images in rows:
            table.add_data(title, *(self.wandb.Image(three_channels(np.asarray(image))) for image in images))
        self.run.log({name: table})

    def end(self):
        self.run.finish()


class Tracker:
    """Follows a stage of training: its losses, scores and pictures go to each of the boards.

    Its methods are those of a monitor, see support.figures.LiveCurves.

    Args:
        boards: list of TensorBoard and Wandb.
        names: dict name in the kit -> name of the curve; the others keep theirs.
    """

    def __init__(self, boards, names=()):
        self.boards, self.names, self.sent = boards, dict(names), None

    def log(self, values, step):
        for board in self.boards:
            board.log({self.names.get(name, name): number for name, number in values.items()}, step)

    def progress(self, stage):
        """The losses of the last update."""
        self.log({name: meter.val for name, meter in stage.meters.items()}, stage.updates_done)
        self.picture(stage)

    def epoch_end(self, stage):
        """The scores of an epoch, and the fixed crop."""
        row = stage.history[-1]
        self.log({name: row[name] for name in ("valid_psnr", "valid_ssim", "epoch")}, stage.updates_done)
        self.picture(stage)

    def picture(self, stage):
        """The newest picture of the fixed crop, once."""
        if stage.newest_sample not in (None, self.sent):
            self.sent = stage.newest_sample
            image = read_image(stage.folder / "samples" / f"{stage.newest_sample}.png")[0]
            for board in self.boards:
                board.picture("sample", image, stage.updates_done)

    def end(self):
        for board in self.boards:
            board.end()


def wandb_id(path):
    """The number of a run at wandb, kept in a file; a new one where there is none."""
    if not path.exists():
        write_atomically(path, secrets.token_hex(8).encode())        # not from the seeded random numbers
    return path.read_text(encoding="utf-8")


@contextlib.contextmanager
def tracking(config, stage):
    """The Tracker of a stage as config.tracker says (None: none), ended after ``with``.

    TensorBoard's files are in runs/<name>/tensorboard/<stage>; at wandb the stages of a run are a group, and a resumed
    stage continues its curves: the run folder keeps the number of the run there.

    Raises:
        TrackerError: see ``trackers_of``.
    """
    makers = {"tensorboard": lambda: TensorBoard(run_folder(config) / "tensorboard" / stage),
              "wandb": lambda: Wandb(config, project="srgan", name=f"{config.name}-{stage}", group=config.name,
                                     id=wandb_id(run_folder(config) / "wandb" / f"{stage}.id"), resume="allow")}
    names = trackers_of(config)
    tracker = Tracker([makers[name]() for name in names]) if names else None
    try:
        yield tracker
    finally:
        if tracker:
            tracker.end()

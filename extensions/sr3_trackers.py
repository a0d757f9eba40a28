"""Weights & Biases and TensorBoard, for those who have them: imported when their flag is set, never before."""

import importlib
import os

import numpy as np

from extensions.sr3_config import value
from metrics import three_channels
from support.checkpoints import CheckpointError
from support.figures import LiveCurves
from support.images import read_image
from support.messages import notice
from support.run import plain, run_folder


def optional(module, package, flag):
    """Import an optional package.

    Raises:
        CheckpointError: if it is missing; the message says how to get it, and that it is optional.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CheckpointError(f"{flag} needs the package {package}, which is not installed ({error}): "
                              f"python -m pip install {package}. Without {flag} everything else works.") from None


def import_packages(args):
    """Import what the flags need: a missing package must be known before hours of work.

    Raises:
        CheckpointError: see ``optional``.
    """
    if args.enable_wandb:
        optional("wandb", "wandb", "-enable_wandb")
    if args.tensorboard:
        optional("torch.utils.tensorboard", "tensorboard", "-tensorboard")


def wandb_run(args, options, config):
    """A WandbRun, or None without -enable_wandb."""
    return WandbRun(options, config) if args.enable_wandb else None


class WandbRun:
    """One run at Weights & Biases; without a login or a network set WANDB_MODE=offline."""

    def __init__(self, options, config):
        self.wandb, self.config = optional("wandb", "wandb", "-enable_wandb"), config
        # A question for the login would stop a training that nobody watches.
        mode = {} if "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ else {"mode": "offline"}
        if mode:
            notice("neither WANDB_API_KEY nor WANDB_MODE is set: wandb works offline; `wandb sync` uploads the run.")
        self.run = self.wandb.init(project=value(options, "wandb.project", config.name), name=config.name,
                                   dir=str(run_folder(config)), config=plain(config), **mode)

    def log(self, values, step=None):
        self.run.log(values, step=step)

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


class Trackers(LiveCurves):
    """The kit's LiveCurves, which also log to wandb and TensorBoard if their flags are set."""

    def __init__(self, args, options, config):
        self.args, self.board = args, None
        self.wandb = wandb_run(args, options, config)
        if args.tensorboard:
            board = optional("torch.utils.tensorboard", "tensorboard", "-tensorboard")
            self.board = board.SummaryWriter(str(run_folder(config) / value(options, "path.tb_logger", "tb_logger")))

    def log(self, values, step):
        if self.wandb:
            self.wandb.log(values, step)
        if self.board:
            for name, number in values.items():
                self.board.add_scalar(name, number, step)

    def progress(self, stage):
        super().progress(stage)
        # "l_pix" and "psnr": the names of the public code's curves.
        self.log({"l_pix": stage.meters["content"].val}, stage.updates_done)

    def epoch_end(self, stage):
        super().epoch_end(stage)
        row = stage.history[-1]
        self.log({"psnr": row["valid_psnr"], "ssim": row["valid_ssim"], "epoch": row["epoch"]}, stage.updates_done)
        if self.wandb and self.args.log_wandb_ckpt:
            self.wandb.log_checkpoint(stage.shelf.path("last"))
        if self.board:
            sample = read_image(stage.folder / "samples" / f"{stage.name}_{stage.epoch:03d}.png")[0]
            self.board.add_image("sample", sample, stage.updates_done, dataformats="HWC")

    def end(self):
        if self.wandb:
            self.wandb.end()
        if self.board:
            self.board.close()

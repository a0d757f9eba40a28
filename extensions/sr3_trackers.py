"""Weights & Biases and TensorBoard by the flags and names of the public SR3 code; support.trackers does the work."""

from extensions.sr3_config import value
from support.figures import LiveCurves
from support.run import run_folder
from support.trackers import TensorBoard, Tracker, Wandb, optional

CURVES = {"content": "l_pix", "valid_psnr": "psnr", "valid_ssim": "ssim"}        # the public code's names
FLAGS = {"wandb": "-enable_wandb", "tensorboard": "-tensorboard"}


def import_packages(args):
    """Import what the flags need: a missing package must be known before hours of work.

    Raises:
        TrackerError: see ``support.trackers.optional``.
    """
    for name, flag in FLAGS.items():
        if getattr(args, flag[1:]):
            optional(name, flag)


def wandb_run(args, options, config):
    """A Wandb run, or None without -enable_wandb."""
    if not args.enable_wandb:
        return None
    return Wandb(config, FLAGS["wandb"], project=value(options, "wandb.project", config.name))


class Trackers(LiveCurves):
    """The kit's LiveCurves, which also log to wandb and TensorBoard if their flags are set."""

    def __init__(self, args, options, config):
        self.args, self.wandb = args, wandb_run(args, options, config)
        board = args.tensorboard and TensorBoard(
            run_folder(config) / value(options, "path.tb_logger", "tb_logger"), FLAGS["tensorboard"])
        self.tracker = Tracker([one for one in (self.wandb, board) if one], CURVES)

    def progress(self, stage):
        super().progress(stage)
        self.tracker.progress(stage)

    def epoch_end(self, stage):
        super().epoch_end(stage)
        self.tracker.epoch_end(stage)
        if self.args.log_wandb_ckpt:
            self.wandb.log_checkpoint(stage.shelf.path("last"))

    def end(self):
        self.tracker.end()

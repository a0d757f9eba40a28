"""A run: its folder, the settings of its stages, random state, running means, and what surrounds an update."""

import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict

from support.files import write_atomically
from support.precision import Precision
from support.safeguards import TrainingMonitor, check_finite

# ---------------------------------------------------------------- folder and settings

def run_folder(config):
    """runs/<name>/, where everything of this run is kept."""
    return Path("runs", config.name)


def has_trained(folder):
    """Whether a run folder holds a checkpoint of any stage; folder: runs/<name>."""
    return any((Path(folder) / "checkpoints").glob("*.pth"))


def stage_config(config, stage):
    """The settings of one stage as an EasyDict: its own section, such as config.pretrain, over the top level."""
    return EasyDict({**config, **config.get(stage, {})})


def plain(config):
    """The configuration as a dict of plain values, for JSON and checkpoints."""
    return json.loads(json.dumps(config, default=str))


def save_config(config):
    """Write runs/<name>/config.json."""
    text = json.dumps(plain(config), indent=2, sort_keys=True)
    write_atomically(run_folder(config) / "config.json", text.encode("utf-8"))


def learning_rate(update, n_updates, settings):
    """The learning rate of one update (from 0) of a stage that has ``n_updates``.

    A function of the update alone: a run that is resumed needs no scheduler state.

    Raises:
        ValueError: for another lr_schedule than "steps" or "cosine".
    """
    if settings.lr_schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * update / n_updates))
    elif settings.lr_schedule == "steps":
        factor = settings.get("lr_factor", 0.1) ** sum(update >= part * n_updates for part in settings.lr_milestones)
    else:
        raise ValueError(f"lr_schedule must be 'steps' or 'cosine', not {settings.lr_schedule!r}.")
    return settings.lr * factor * min(1, (update + 1) / max(settings.warmup, 1))


# ---------------------------------------------------------------- random state

def seed_everything(seed):
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_states():
    """Every random state, as tensors and plain containers that a checkpoint can hold."""
    kind, keys, *rest = np.random.get_state()
    return {"python": random.getstate(), "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
            "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def restore_random_states(states):
    """Set every random state to what ``random_states`` returned; those of GPUs only where their number is the same."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


# ---------------------------------------------------------------- training helpers

class AverageMeter:
    """A running mean.  Given tensors, it stays on their device and copies nothing
    until ``avg`` or ``val`` is read: reading is what makes a GPU wait."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._val, self._sum, self.count = 0.0, 0.0, 0

    def update(self, val, n=1):
        """Add ``val``, a number or a scalar tensor, the mean over ``n`` samples."""
        val = val.detach() if torch.is_tensor(val) else val
        self._val = val
        self._sum = self._sum + val * n      # not +=: that would change the caller's tensor
        self.count += n

    @property
    def val(self):
        return float(self._val)

    @property
    def sum(self):
        return float(self._sum)

    @property
    def avg(self):
        return self.sum / self.count if self.count else float("nan")

    def state(self):
        """Plain numbers that a checkpoint can hold: [val, sum, count]."""
        return [self.val, self.sum, self.count]

    @classmethod
    def of(cls, state):
        """The meter whose ``state()`` this is."""
        meter = cls()
        meter._val, meter._sum, meter.count = state
        return meter


def adjust_learning_rate(optimizer, shrink_factor):
    """Multiply the learning rate of every parameter group by ``shrink_factor``."""
    for group in optimizer.param_groups:
        group["lr"] *= shrink_factor


# ---------------------------------------------------------------- inside an epoch

class EpochProgress:
    """What surrounds the updates of one epoch, so that ``solver.train`` shows only its losses.

    Args:
        device: where the networks are.
        precision: how the arithmetic is done; float32 if None.
        meters: dict of AverageMeter: what was measured in this epoch before it was interrupted.
        start_batch: number of batches of this epoch that are done already.
        after_update: function that is called as ``after_update(update, meters)``; None: the losses are printed.
        monitor: a TrainingMonitor; None: one that only prints.
        d_shift: D sees windows this many pixels smaller, at a random place (config.d_shift).
    """

    def __init__(self, device="cpu", *, precision=None, meters=None, start_batch=0, after_update=None, monitor=None,
                 d_shift=0):
        self.precision, self.meters = precision or Precision(device), meters
        self.start_batch, self.after_update, self.d_shift = start_batch, after_update, d_shift
        self.monitor = monitor or TrainingMonitor()

    def meters_of(self, *names):
        """dict name -> AverageMeter; those of an interrupted epoch continue."""
        self.meters = self.meters or {name: AverageMeter() for name in names}
        return self.meters

    def batches(self, train_loader, name, epoch, print_freq):
        """The batches that are left of an epoch, on the device, in [0, 1]; after each update the losses are checked.

        Yields:
            (lr, hr): float tensors (N, 3, h, w) and (N, 3, s h, s w).

        Raises:
            TrainingDiverged: if a loss is no longer finite.
        """
        begin_epoch(train_loader, epoch, self.start_batch)
        for update, (lr, hr) in enumerate(train_loader, start=self.start_batch + 1):
            yield self.precision.to_unit_range(lr, hr)
            log_progress(name, epoch, update, len(train_loader), print_freq, self)

    def step(self, name, loss, optimizer, keep_graph=False):
        """Backward and one optimizer step of the network ``name``, whose gradient is watched."""
        self.monitor.gradient(name, self.precision.step(loss, optimizer, keep_graph))


def begin_epoch(train_loader, epoch, start_batch=0):
    """Set the epoch of a loader, and the batch to start with (a plain DataLoader always starts with the first)."""
    if hasattr(train_loader.sampler, "set_epoch"):       # make_loader's
        train_loader.sampler.set_epoch(epoch, start_batch)
    elif hasattr(train_loader.dataset, "set_epoch"):     # a plain DataLoader over an SRDataset
        train_loader.dataset.set_epoch(epoch)


def log_progress(name, epoch, update, n_updates, print_freq, progress):
    """After an update: every ``print_freq`` updates read the losses, which makes a GPU wait; print them
    where no ``after_update`` takes them.

    Raises:
        TrainingDiverged: if a loss is no longer finite.
    """
    if update % print_freq == 0 or update == n_updates:
        check_finite(progress.meters, epoch, update)
        progress.monitor.check(epoch, update)
        if progress.after_update is None:
            values = "  ".join(f"{key} {meter.val:.4g} (mean {meter.avg:.4g})"
                               for key, meter in progress.meters.items())
            print(f"{name} epoch {epoch + 1}  {update}/{n_updates}  {values}")
    if progress.after_update is not None:
        progress.after_update(update, progress.meters)

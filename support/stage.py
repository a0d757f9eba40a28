"""One stage of a run, around its updates: averaged weights, learning rate, checkpoints, resume."""

import copy
import math
import time

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from support import presence, provenance, records, trackers
from support.checkpoints import (
    CheckpointError,
    CheckpointShelf,
    check_fit,
    save_generator,
)
from support.enlarging import evaluate, mean_of, super_resolve
from support.files import remove_unfinished
from support.messages import notice, notices_kept_in
from support.precision import Precision, compiled, keep_freed_memory
from support.progress import in_notebook
from support.run import (
    AverageMeter,
    EpochProgress,
    learning_rate,
    plain,
    random_states,
    restore_random_states,
    run_folder,
    save_config,
    stage_config,
)
from support.safeguards import (
    OutOfMemory,
    StopRequest,
    TrainingDiverged,
    TrainingMonitor,
    advice_on_memory,
    check_finite,
    check_weights,
    is_out_of_memory,
    largest_that_fits,
)
from support.setting_rules import CORE, check_settings, setting_name


class Stage:
    """One stage of a run: its networks, optimizers, averaged weights and history.

    Args:
        name: of the stage; its settings are config.<name> over the top level.
        train_loader: made by ``datasets.make_loader``.
        valid_set: an SRDataset, whose pairs are measured after each epoch.
        discriminator: None where the generator trains alone.
        monitor: shows the progress (support.figures.LiveCurves); None shows nothing.

    Raises:
        BadSetting: for settings that do not fit together.
        TypeError: for a loader that cannot resume inside an epoch, or a network that no checkpoint can describe.
    """

    def __init__(self, name, config, generator, train_loader, valid_set, discriminator=None, monitor=None):
        self.name, self.config, self.settings = name, config, stage_config(config, name)
        check_settings(config, [name])
        check_parts(generator, train_loader)
        self.folder = run_folder(config)
        self.shelf = CheckpointShelf(self.folder / "checkpoints", name)
        self.precision = Precision(config.device, self.settings.amp, self.settings.channels_last)
        if self.precision.device.type == "cpu":
            keep_freed_memory()
        self.generator, self.discriminator = self.precision.to_device(generator), discriminator
        # fused: all weights in one pass, and with float16 no waiting for the card.
        self.optimizer_g = torch.optim.Adam(generator.parameters(), lr=self.settings.lr, fused=True)
        self.optimizer_d = None
        if discriminator is not None:
            self.precision.to_device(discriminator)
            self.optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=self.settings.lr, fused=True)
        # A running average of the weights: less noise than any single update's (Polyak and Juditsky 1992).
        self.averaged = copy.deepcopy(generator).requires_grad_(False)
        self.train_loader, self.valid_set, self.monitor = train_loader, valid_set, monitor
        self.digests = {"train": train_loader.dataset.dataset.digests, "valid": valid_set.digests}
        self.training_monitor = TrainingMonitor(self.settings.on_trouble, self.settings.exploding_gradient,
                                                self.settings.d_has_won_loss, self.settings.d_has_won_updates)
        self.epoch, self.update, self.meters, self.history = self.settings.start_epoch, 0, None, []
        self.readings = []                   # of the losses inside the epochs, for the curves
        self.newest_sample = None            # the name of the last picture of the fixed crop
        self.n_updates = len(train_loader) * (self.settings.epochs - self.settings.start_epoch)

    def compiled(self, network, side):
        """The network compiled by torch.compile, if config.compile says so; ``side``: of its input, in pixels."""
        if not self.settings.compile:
            return network
        return compiled(network, (self.settings.batch_size, 3, side, side), self.precision)

    @property
    def updates_done(self):
        """Updates since the stage began."""
        return (self.epoch - self.settings.start_epoch) * len(self.train_loader) + self.update

    def setting(self, key):
        """How a setting of this stage is written, see ``setting_name``."""
        return setting_name(self.config, self.name, key)

    # ---- the epochs

    def run(self, one_epoch):
        """Run all epochs that are left; ``one_epoch(loader, epoch, progress)`` makes the updates of one.

        Returns:
            the history: a list with a dict for each epoch.

        Raises:
            TrainingDiverged, CheckpointError, OutOfMemory
        """
        with (notices_kept_in(self.folder), presence.training(self.folder, self.name) as self.alive,
              trackers.tracking(self.config, self.name) as self.tracker):
            self.begin()
            try:
                return self.all_epochs(one_epoch)
            except KeyboardInterrupt:
                self.train_loader.end_workers()          # they are in the middle of an epoch
                again = "Run this cell" if in_notebook() else "Run the same command"
                print(f"Stopped. {again} again to resume from {self.shelf.path('last')}.")
                raise
            except TrainingDiverged as error:
                path = self.go_back()
                raise TrainingDiverged(f"{error} The weights are back at the last good checkpoint, {path} "
                                       f"(epoch {self.epoch + 1}, update {self.update}).") from None
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside "except": the error holds references to the tensors of the update that failed.
            raise OutOfMemory(self.memory_message(one_epoch))

    def all_epochs(self, one_epoch):
        """The epochs that are left, until a stop is requested; returns the history."""
        with StopRequest() as self.stop_request:
            while self.epoch < self.settings.epochs:
                self.set_learning_rate()
                begun = time.perf_counter()
                meters = one_epoch(self.train_loader, self.epoch, self.progress())
                self.end_epoch(meters, time.perf_counter() - begun)
                self.stop_request.check()
        return self.history

    def begin(self):
        """Start in the run folder: resume from its checkpoint, or write the first one."""
        save_config(self.config)
        remove_unfinished(self.folder)
        if self.shelf.has_begun():
            self.resume()
            if not any((self.folder / "samples").glob(f"{self.name}_[0-9]*.png")):       # deleted in the meantime
                self.save_sample()
        else:
            self.save_sample()
            self.save("last")          # there is always a checkpoint to go back to
        provenance.record(self.folder / "provenance.json", self.config.seed, self.name, self.digests)
        if self.monitor:
            self.monitor.begin(self)

    def monitors(self):
        """What follows this training: the monitor, and the trackers of config.tracker."""
        return [one for one in (self.monitor, self.tracker) if one]

    def progress(self, **changes):
        """The EpochProgress that ``one_epoch`` is given; changes: other arguments for it."""
        usual = dict(precision=self.precision, meters=self.meters, start_batch=self.update,
                     after_update=self.after_update, monitor=self.training_monitor,
                     d_shift=self.settings.get("d_shift", 0))
        return EpochProgress(**{**usual, **changes})

    def after_update(self, update, meters):
        """What follows each update inside an epoch."""
        self.update, self.meters = update, meters
        self.average_weights()
        self.set_learning_rate()
        if update % self.settings.print_freq == 0 or update == len(self.train_loader):
            records.add_reading(self.readings, self.epoch, self.updates_done, meters)
            self.alive()
        if self.settings.get("sample_every") and update % self.settings.sample_every == 0:
            self.save_sample(update)
        is_due = update % self.settings.checkpoint_every == 0 and update < len(self.train_loader)
        if is_due:
            self.save_inside_epoch()
        if update % self.settings.print_freq == 0:
            for monitor in self.monitors():
                monitor.progress(self)
        if self.stop_request.made and not is_due:
            self.save_inside_epoch()
        self.stop_request.check()

    def save_inside_epoch(self):
        """Write a checkpoint between two updates.

        Raises:
            TrainingDiverged: if a loss or a weight is not finite.
        """
        check_finite(self.meters, self.epoch, self.update)
        self.save("last")

    @torch.no_grad()
    def average_weights(self):
        """Move the averaged weights towards those of the generator."""
        # In the first updates the average must follow immediately, or it would remember the random start.
        decay = min(self.settings.averaging, (1 + self.updates_done) / (10 + self.updates_done))
        pairs = list(zip(self.averaged.state_dict().values(), self.generator.state_dict().values()))
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()))
        get_ema_multi_avg_fn(decay)(means, values, None)     # all tensors in one call
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)                            # BatchNorm's counter

    def set_learning_rate(self):
        """Give both optimizers the learning rate of the next update."""
        lr = learning_rate(self.updates_done, self.n_updates, self.settings)
        ratio = (self.settings.lr_d or self.settings.lr) / self.settings.lr
        for optimizer, rate in ((self.optimizer_g, lr), (self.optimizer_d, ratio * lr)):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = rate

    def end_epoch(self, meters, seconds):
        """Validate, keep the weights, write the log."""
        self.check_weights()        # before anything from this epoch is written
        # The last update's; the optimizer already has that of the next.
        lr = learning_rate(self.updates_done - 1, self.n_updates, self.settings)
        rows = evaluate(lambda image: super_resolve(self.averaged, image), self.valid_set, self.settings.n_valid)
        quality, similarity = mean_of(rows)
        best = quality > max((row["valid_psnr"] for row in self.history), default=-math.inf)
        self.epoch, self.update, self.meters = self.epoch + 1, 0, None
        self.history.append({"stage": self.name, "epoch": self.epoch, "updates": self.updates_done, "lr": lr,
                             **{name: meter.avg for name, meter in meters.items()},
                             "valid_psnr": quality, "valid_ssim": similarity, "seconds": round(seconds, 1)})
        if best:
            self.save("best")
        if self.settings.keep_every and self.epoch % self.settings.keep_every == 0:
            save_generator(self.shelf.path(f"epoch_{self.epoch:03d}", ".safetensors"), self.averaged,
                           stage=self.name, epoch=self.epoch)
        self.save_sample()
        self.write_log()
        # Last of all: a run that is killed before this line repeats the end of the epoch.
        self.save("last")
        for monitor in self.monitors():
            monitor.epoch_end(self)

    def save_sample(self, update=0):
        """The fixed crop, as the averaged weights upscale it now: <stage>_<epoch>.png at the end of an epoch,
        <stage>_<epochs complete>_<update>.png inside the next.
        """
        if update == len(self.train_loader):
            return                                # the epoch's own follows
        name = f"{self.name}_{self.epoch:03d}" + (f"_{update:06d}" if update else "")
        before = random_states() if update else None
        records.save_sample(self.folder / "samples", name, self.averaged, self.valid_set)
        if update:                                # a network may draw random numbers: training must not notice
            restore_random_states(before)
        self.newest_sample = name

    def write_log(self):
        """This stage's rows of log.csv."""
        records.write_log(self.folder / "log.csv", self.name, self.history)

    # ---- memory

    def memory_message(self, one_epoch):
        """What to do when the device's memory is full, as text; the weights are then those of a checkpoint."""
        size, crop = self.settings.batch_size, self.settings.crop_size
        try:
            fits = self.batch_that_fits(one_epoch)
        finally:
            path = self.go_back()
        fewer = "generator fewer channels (config.G.n_channels)" if self.name in CORE else "network fewer channels"
        advice = advice_on_memory(size, crop, fits, self.setting, fewer, self.precision.device)
        return f"{advice} The weights are those of {path}; batches of another size resume there with other patches."

    def batch_that_fits(self, one_epoch):
        """The largest part of the batch that fits into the device's memory, found by trying; 0 if none does.

        None where it cannot be tried (a subclass may say so).
        """
        return largest_that_fits(self.settings.batch_size, lambda n: one_epoch(
            self.train_loader.smaller(n, n_batches=2), 0,
            self.progress(meters=None, start_batch=0, after_update=lambda *_: None, monitor=None)))

    # ---- checkpoints

    def state_dict(self):
        """Everything that the rest of the run depends on, as a dict that a checkpoint can hold."""
        return {
            "method": self.generator.method, "settings": self.generator.settings,
            "config": plain(self.config), "stage": self.name, "epoch": self.epoch, "update": self.update,
            "generator": self.generator.state_dict(), "averaged": self.averaged.state_dict(),
            "discriminator": self.discriminator and self.discriminator.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d and self.optimizer_d.state_dict(),
            "scaler": self.precision.scaler.state_dict(), "random": random_states(),
            "meters": self.meters and {name: meter.state() for name, meter in self.meters.items()},
            "history": self.history, "readings": self.readings, "threads": torch.get_num_threads(),
            "torch": str(torch.__version__), "images": self.digests}

    def load_state_dict(self, state, origin):
        """Load everything that a ``state_dict`` holds, or nothing; ``origin``: the file that it comes from.

        Raises:
            CheckpointError: if it is of another method, stage or size of the networks.
        """
        if state["stage"] != self.name or state["method"] != self.generator.method:
            raise CheckpointError(f"{origin} is of {state['method']}, stage {state['stage']}, "
                                  f"not of {self.generator.method}, stage {self.name}.")
        networks = {"generator": self.generator, "averaged": self.averaged, "discriminator": self.discriminator}
        networks = {name: network for name, network in networks.items() if network is not None}
        for name, network in networks.items():          # check all before any is changed
            check_fit(network, state[name], f"{origin} ({name})")
        for name, network in networks.items():
            network.load_state_dict(state[name])
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        if self.discriminator is not None:
            self.optimizer_d.load_state_dict(state["optimizer_d"])
        if self.precision.scaler.is_enabled() and state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"])
        self.epoch, self.update, self.history = state["epoch"], state["update"], state["history"]
        self.readings = state.get("readings", [])         # an older checkpoint has none
        self.meters = state["meters"] and {name: AverageMeter.of(meter) for name, meter in state["meters"].items()}

    def check_weights(self):
        """Raise TrainingDiverged if a weight is not finite."""
        for network in filter(None, (self.generator, self.discriminator)):
            check_weights(network, self.setting("lr"), self.setting("amp"))

    def save(self, which):
        """Write the checkpoint "last" or "best".

        Raises:
            TrainingDiverged: if a weight is not finite: a checkpoint is always a good one.
        """
        self.check_weights()
        self.shelf.save(which, self.state_dict())

    def go_back(self):
        """Return to the newest checkpoint; returns its path."""
        checkpoint, path = self.shelf.newest()
        self.load_state_dict(checkpoint, path)
        return path

    def resume(self):
        """Continue from the run folder's last checkpoint, and say so."""
        checkpoint, path = self.shelf.newest()
        self.load_state_dict(checkpoint, path)
        if self.epoch >= self.settings.epochs:
            print(f"This stage is complete ({path}). "
                  f"To train again from the beginning, choose another run name or delete {self.folder}.")
        else:
            print(f"Resuming from {path}: epoch {self.epoch} of {self.settings.epochs} complete, "
                  f"{self.update} updates of the next.")
        if changed := self.changes_since(checkpoint):
            notice("the result will differ from that of an uninterrupted run: " + "; ".join(changed) + ".")

    def changes_since(self, checkpoint):
        """What is no longer as it was when the checkpoint was written, as a list of phrases."""
        changed = records.changed_settings(checkpoint["config"], plain(self.config), self.name)
        if checkpoint["threads"] != torch.get_num_threads():
            changed.append(f"torch used {checkpoint['threads']} threads and uses {torch.get_num_threads()}")
        return changed + list(provenance.changes(checkpoint.get("images", {}), self.digests))


def check_parts(generator, train_loader):
    """Raise, before any work, if a stage cannot be made from these parts: see Stage."""
    if not hasattr(train_loader, "sampler") or not hasattr(train_loader.sampler, "set_epoch"):
        raise TypeError("fit_pretrain and fit_srgan resume inside an epoch, which only a loader made by "
                        "datasets.make_loader can. A plain DataLoader serves solver.pretrain and solver.train.")
    if not hasattr(generator, "method") or not hasattr(generator, "settings"):
        raise TypeError(f"A checkpoint has to say how to build {type(generator).__name__} again: put "
                        "@register_method('a name') above the class (support.checkpoints.register_method), and keep "
                        "the arguments of __init__ as a dict in self.settings, as models.Generator does.")

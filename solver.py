"""Training: the losses, one epoch of pre-training, one epoch of SRGAN, validation, the fit loops.

Equations are those of Ledig et al. 2017 (arXiv 1609.04802).  All images of a batch are
(N, 3, H, W); SR and HR are compared in [-1, 1].
"""

import contextlib
import copy
import csv
import io
import math
import time
from pathlib import Path

import numpy as np
import torch

from config import learning_rate, plain, run_folder, save_config, stage_config
from datasets import MissingList, SRDataset
from figures import textured_boxes
from utils import (
    AverageMeter,
    CheckpointError,
    convert_image,
    load_checkpoint,
    load_weights,
    psnr,
    random_states,
    restore_random_states,
    save_checkpoint,
    save_generator,
    save_image,
    ssim,
    write_atomically,
)

LOG_COLUMNS = ("stage", "epoch", "updates", "lr", "content", "adversarial", "discriminator", "d_real", "d_sr",
               "valid_psnr", "valid_ssim", "seconds")


class TrainingDiverged(RuntimeError):
    """A loss became NaN or infinite."""


# ---------------------------------------------------------------- one epoch

class Precision:
    """How the arithmetic is done: mixed precision and memory format.

    Args:
        device: "cpu", "cuda" or a torch.device.
        amp: None for float32; "auto" for bfloat16 on a CUDA card that has it, float16 with
            loss scaling on an older one, and float32 on the CPU (where bfloat16 is slow);
            or "bf16" or "fp16" by name.
        channels_last: keep feature maps as (N, h, w, C) in memory: quicker convolutions.
    """

    def __init__(self, device, amp=None, channels_last=False):
        self.device = torch.device(device)
        if amp == "auto":
            amp = None
            if self.device.type == "cuda":
                # is_bf16_supported() also counts cards that only emulate it, slowly.
                amp = "bf16" if torch.cuda.get_device_capability(self.device) >= (8, 0) else "fp16"
        self.dtype = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        # float16 has gradients too small for its range; bfloat16 has float32's range.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == "fp16")

    def autocast(self):
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def place(self, *tensors_or_networks):
        """Move tensors or networks to the device, in this memory format."""
        moved = [x.to(self.device, memory_format=self.format, non_blocking=True) for x in tensors_or_networks]
        return moved if len(moved) > 1 else moved[0]

    def step(self, loss, optimizer):
        """Backward and one optimizer step."""
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()


def begin_epoch(train_loader, epoch, first=0):
    """Tell the loader which epoch comes, and with which batch it begins."""
    if hasattr(train_loader.sampler, "set_epoch"):       # make_loader's
        train_loader.sampler.set_epoch(epoch, first)
    elif hasattr(train_loader.dataset, "set_epoch"):     # a plain DataLoader over an SRDataset
        train_loader.dataset.set_epoch(epoch)


def check_finite(meters, epoch, update):
    """Raise if any loss was NaN or infinite since the epoch began.

    One such value makes the running sum non-finite for good, so the sum is the flag: it
    stays on the device, and nothing waits for it until it is read here.
    """
    bad = [name for name, meter in meters.items() if meter.count and not math.isfinite(meter.sum)]
    if bad:
        raise TrainingDiverged(
            f"The loss is no longer a finite number ({', '.join(bad)}), noticed in epoch {epoch} after update {update}. "
            "The usual causes, most frequent first: a learning rate that is too high (divide config.pretrain.lr "
            "or config.lr by 3), "
            "float16 arithmetic (set config.amp = None), a change in models.py or in a loss that divides "
            "by zero or takes the logarithm of zero.")


def report(name, epoch, update, n_updates, meters):
    """One line for a loop without a monitor."""
    values = "  ".join(f"{key} {meter.val:.4g} (mean {meter.avg:.4g})" for key, meter in meters.items())
    print(f"{name} epoch {epoch}  {update}/{n_updates}  {values}")


def pretrain(train_loader, generator, content_loss_criterion, optimizer_g, epoch, device, print_freq, *,
             precision=None, meters=None, first=0, after_update=None):
    """One epoch of pre-training: the generator alone, by the pixel loss (section 3.2, equation 4).

    Args:
        train_loader: gives (lr, hr) in [0, 1].
        generator: takes LR in [0, 1], gives SR in [-1, 1].
        content_loss_criterion: nn.MSELoss() in the paper.
        optimizer_g: of the generator's parameters.
        epoch: its number, from 0; it chooses the patches.
        device: where the networks are.
        print_freq: updates between two looks at the losses.
        precision: see Precision; float32 if None.
        meters, first, after_update: how ``fit`` goes on inside an epoch and follows it.

    Returns:
        dict of AverageMeter: "content".

    Raises:
        TrainingDiverged: if the loss is no longer finite.
    """
    precision = precision or Precision(device)
    meters = meters or {"content": AverageMeter()}
    generator.train()
    begin_epoch(train_loader, epoch, first)
    for update, (lr, hr) in enumerate(train_loader, start=first + 1):
        lr, hr = precision.place(lr, hr)                          # (N, 3, h, w), (N, 3, s h, s w)
        hr = convert_image(hr, "[0, 1]", "[-1, 1]")

        # l_MSE = 1/(s^2 W H) sum (HR - G(LR))^2                                     (equation 4)
        with precision.autocast():
            sr = generator(lr)
        loss = content_loss_criterion(sr.float(), hr)
        precision.step(loss, optimizer_g)

        meters["content"].update(loss, len(lr))
        if update % print_freq == 0 or update == len(train_loader):
            check_finite(meters, epoch, update)
            if after_update is None:
                report("pretrain", epoch, update, len(train_loader), meters)
        if after_update is not None:
            after_update(update, meters)
    return meters


def train(train_loader, generator, discriminator, truncated_vgg19, content_loss_criterion,
          adversarial_loss_criterion, optimizer_g, optimizer_d, epoch, device, beta, print_freq, *,
          precision=None, meters=None, first=0, after_update=None):
    """One epoch of SRGAN: a generator update and a discriminator update for each batch (section 2.2).

    Generator:      L_G = L_X + beta * (-log D(G(lr)))                               (equations 3, 6)
    Discriminator:  L_D = -log D(hr) - log(1 - D(G(lr)))                             (equation 2)

    Args:
        truncated_vgg19: L_X is then the distance of its feature maps (equation 5);
            None: the distance of the pixels in [-1, 1] (SRGAN-MSE, equation 4).
        content_loss_criterion: nn.MSELoss() in the paper.
        adversarial_loss_criterion: nn.BCEWithLogitsLoss(): -log D where the target is 1.
        beta: weight of the adversarial loss, 1e-3 in the paper.
        The others are those of ``pretrain``.

    Returns:
        dict of AverageMeter: "content" and "adversarial" (as they enter L_G, so already
        times beta), "discriminator" (L_D), "d_real" and "d_sr" (mean probability "real"
        that D gives to HR and to SR).

    Raises:
        TrainingDiverged: if a loss is no longer finite.
    """
    precision = precision or Precision(device)
    names = ("content", "adversarial", "discriminator", "d_real", "d_sr")
    meters = meters or {name: AverageMeter() for name in names}
    generator.train()
    discriminator.train()
    begin_epoch(train_loader, epoch, first)
    for update, (lr, hr) in enumerate(train_loader, start=first + 1):
        lr, hr = precision.place(lr, hr)
        hr = convert_image(hr, "[0, 1]", "[-1, 1]")

        # ---- Generator.  D only judges here: frozen, so that no gradient is computed for its weights.
        discriminator.requires_grad_(False)
        with precision.autocast():
            sr = generator(lr)                                    # (N, 3, s h, s w)
            judged = discriminator(sr)                            # (N, 1) logits
            if truncated_vgg19 is not None:
                features_sr = truncated_vgg19(convert_image(sr, "[-1, 1]", "[0, 1]"))
                with torch.no_grad():                             # a target needs no graph
                    features_hr = truncated_vgg19(convert_image(hr, "[-1, 1]", "[0, 1]"))
        if truncated_vgg19 is not None:
            content = content_loss_criterion(features_sr.float(), features_hr.float())
        else:
            content = content_loss_criterion(sr.float(), hr)
        # The generator wants its pictures called real: target 1.
        adversarial = beta * adversarial_loss_criterion(judged.float(), torch.ones_like(judged.float()))
        precision.step(content + adversarial, optimizer_g)

        # ---- Discriminator.  detach(): the same SR, but nothing flows back into the generator.
        discriminator.requires_grad_(True)
        with precision.autocast():
            # HR and SR go in apart: BatchNorm over a mixed batch would tell D which is which.
            real, fake = discriminator(hr).float(), discriminator(sr.detach()).float()
        loss_d = (adversarial_loss_criterion(real, torch.ones_like(real))
                  + adversarial_loss_criterion(fake, torch.zeros_like(fake)))
        precision.step(loss_d, optimizer_d)

        values = (content, adversarial, loss_d, real.detach().sigmoid().mean(), fake.detach().sigmoid().mean())
        for name, value in zip(names, values):
            meters[name].update(value, len(lr))
        if update % print_freq == 0 or update == len(train_loader):
            check_finite(meters, epoch, update)
            if after_update is None:
                report("srgan", epoch, update, len(train_loader), meters)
        if after_update is not None:
            after_update(update, meters)
    return meters


# ---------------------------------------------------------------- inference and validation

def super_resolve(model, lr, tile=192):
    """Enlarge one picture: uint8 array (h, w, 3) -> uint8 array (s h, s w, 3).

    The trunk runs on the whole picture where it fits, the much larger feature maps of
    the tail tile by tile.  A tile is cut with a margin as wide as the network looks, so
    the result is that of the whole picture.

    Args:
        model: a generator, on any device; it is used in eval mode.
        lr: the picture; grey goes in as three equal channels (``utils.three_channels``).
        tile: side of a tail tile in LR pixels: memory is about 4 * C * (s * tile)^2 * 3 bytes.

    Raises:
        ValueError: for another dtype or shape.
    """
    if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3:
        raise ValueError(f"super_resolve takes a uint8 array (h, w, 3), not {lr.dtype} {lr.shape}.")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()      # BatchNorm by its running statistics: a picture must not depend on what it is batched with
    x = torch.from_numpy(np.array(lr)).permute(2, 0, 1)[None]      # (1, 3, h, w) uint8
    try:
        with torch.inference_mode():
            if hasattr(model, "trunk"):
                in_trunk, in_tail = model.reach()
                features = _in_tiles(lambda part: model.trunk(part.to(device).float() / 255), x, 1, in_trunk, 6 * tile)
                sr = _in_tiles(lambda part: _as_8_bit(model.tail(part)), features, model.scaling_factor, in_tail, tile)
            else:
                sr = _as_8_bit(model(x.to(device).float() / 255))
    finally:
        model.train(was_training)
    return sr[0].permute(1, 2, 0).cpu().numpy()


def _as_8_bit(sr):
    """[-1, 1] -> uint8, clamped and rounded."""
    return ((sr.float() + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)


def _in_tiles(function, x, scale, margin, tile):
    """``function`` over tiles of x (1, C, h, w) with a margin that is cut off afterwards."""
    h, w = x.shape[-2:]
    if h <= tile and w <= tile:
        return function(x)
    result = None
    for top in range(0, h, tile):
        for left in range(0, w, tile):
            bottom, right = min(top + tile, h), min(left + tile, w)
            y0, x0 = max(top - margin, 0), max(left - margin, 0)
            part = function(x[..., y0:bottom + margin, x0:right + margin])
            if result is None:
                result = part.new_empty((1, part.shape[1], scale * h, scale * w))
            result[..., scale * top:scale * bottom, scale * left:scale * right] = part[
                ..., scale * (top - y0):scale * (bottom - y0), scale * (left - x0):scale * (right - x0)]
    return result


def evaluate(upscale, dataset, n_images=None, results=None):
    """PSNR and SSIM of each image of a test set, by the protocol of utils.psnr.

    Args:
        upscale: function uint8 (h, w, 3) -> uint8 (s h, s w, 3), such as
            ``lambda lr: super_resolve(model, lr)``.
        dataset: an SRDataset of whole pairs.
        n_images: only the first n.
        results: folder for the pictures, ``<image>.png``; None keeps none.

    Returns:
        list of (name, psnr in dB, ssim).
    """
    rows = []
    for i in range(min(len(dataset), n_images or len(dataset))):
        lr, hr = dataset.pair(i)
        sr = upscale(lr)
        if results is not None:
            save_image(Path(results, dataset.names[i] + ".png"), sr)
        rows.append((dataset.names[i], psnr(sr, hr), ssim(sr, hr)))
    return rows


def mean_of(rows):
    """(psnr, ssim) averaged over the rows of ``evaluate``."""
    return tuple(float(np.mean([row[k] for row in rows])) for k in (1, 2))


def benchmark(config, methods, sets=None, progress=None):
    """Measure several methods on every test set that is there, and keep numbers and pictures.

    Leaves ``benchmark.csv`` (an image a row) in the run folder, and the pictures:
    ``results/<set>/<image>.png`` of the method "srgan", ``results/<method>/<set>/`` of the
    others except bicubic.

    Args:
        methods: dict name -> function uint8 (h, w, 3) -> uint8 (s h, s w, 3).
        sets: names of the sets (default: config.test_sets).
        progress: function that is given a line of text now and then.

    Returns:
        (results, missing): results[set][method] is a list of (image, psnr, ssim);
        missing[set] says how to get a set that is not there.
    """
    results, missing = {}, {}
    for name in sets or config.test_sets:
        try:
            dataset = SRDataset(name, config)
        except MissingList as error:       # a set that is there but faulty is an error, not a missing set
            missing[name] = str(error)
            continue
        results[name] = {}
        for method, upscale in methods.items():
            folder = {"bicubic": None, "srgan": run_folder(config) / "results" / name}.get(
                method, run_folder(config) / "results" / method / name)
            if progress:
                progress(f"Measuring {method} on {name}, {len(dataset)} images")
            results[name][method] = evaluate(upscale, dataset, results=folder)
    write_benchmark(run_folder(config) / "benchmark.csv", results)
    return results, missing


def write_benchmark(path, results):
    """benchmark.csv: set, image, and psnr and ssim of each method."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    methods = list(next(iter(results.values()), {}))
    writer.writerow(["set", "image"] + [f"{method}_{measure}" for method in methods for measure in ("psnr", "ssim")])
    for name, by_method in results.items():
        for rows in zip(*by_method.values()):
            writer.writerow([name, rows[0][0]] + [f"{value:.6f}" for row in rows for value in row[1:]])
    write_atomically(path, text.getvalue().encode("utf-8"))


# ---------------------------------------------------------------- the fit loops

def fit_pretrain(config, generator, train_loader, valid_set, monitor=None):
    """Pre-train the generator as ``config.pretrain`` says; goes on where a stopped run was.

    Leaves ``checkpoints/pretrain_{last,best}.pth`` in the run folder.

    Args:
        monitor: shows the progress (figures.Monitor); None shows nothing.

    Returns:
        the history: a list with a dict for each epoch.

    Raises:
        TrainingDiverged, CheckpointError
    """
    stage = Stage("pretrain", config, generator, train_loader, valid_set, monitor=monitor)
    criterion = torch.nn.MSELoss()

    def one_epoch(epoch, **inside):
        return pretrain(train_loader, generator, criterion, stage.optimizer_g, epoch, config.device,
                        stage.settings.print_freq, **inside)
    return stage.run(one_epoch)


def fit_srgan(config, generator, discriminator, truncated_vgg19, train_loader, valid_set, monitor=None):
    """The SRGAN stage; arguments and behaviour as ``fit_pretrain``.

    Begins with the weights that ``generator`` has: load the pre-trained ones first, for
    the discriminator wins at once against an untrained generator (section 3.2).
    Leaves ``checkpoints/srgan_{last,best}.pth``.  Pictures come from ``last``: "best" is by
    validation PSNR, which falls while texture comes back.
    """
    stage = Stage("srgan", config, generator, train_loader, valid_set, discriminator, monitor)
    if truncated_vgg19 is not None:
        stage.precision.place(truncated_vgg19)
    content, adversarial = torch.nn.MSELoss(), torch.nn.BCEWithLogitsLoss()

    def one_epoch(epoch, **inside):
        return train(train_loader, generator, discriminator, truncated_vgg19, content, adversarial,
                     stage.optimizer_g, stage.optimizer_d, epoch, config.device, config.beta,
                     stage.settings.print_freq, **inside)
    return stage.run(one_epoch)


class Stage:
    """One stage of a run: its networks, optimizers, averaged weights, history and checkpoints."""

    def __init__(self, name, config, generator, train_loader, valid_set, discriminator=None, monitor=None):
        self.name, self.config, self.settings = name, config, stage_config(config, name)
        self.folder = run_folder(config)
        self.precision = Precision(config.device, config.amp, config.channels_last)
        self.generator, self.discriminator = self.precision.place(generator), discriminator
        self.optimizer_g = torch.optim.Adam(generator.parameters(), lr=self.settings.lr)
        self.optimizer_d = None
        if discriminator is not None:
            self.precision.place(discriminator)
            self.optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=self.settings.lr)
        # A running average of the weights: less noise than any single update's (Polyak and Juditsky 1992).
        self.averaged = copy.deepcopy(generator).requires_grad_(False)
        self.train_loader, self.valid_set, self.monitor = train_loader, valid_set, monitor
        self.epoch, self.update, self.meters, self.history = config.start_epoch, 0, None, []
        self.n_updates = len(train_loader) * (self.settings.epochs - config.start_epoch)

    @property
    def done(self):
        """Updates since the stage began."""
        return (self.epoch - self.config.start_epoch) * len(self.train_loader) + self.update

    def run(self, one_epoch):
        """All epochs that are left; ``one_epoch(epoch, ...)`` is pretrain or train."""
        save_config(self.config)
        if self.path("last").exists():
            self.resume()
        else:
            self.save_sample()
            self.save("last")          # there is always something to go back to
        if self.monitor:
            self.monitor.begin(self)
        try:
            while self.epoch < self.settings.epochs:
                self.set_learning_rate()
                begun = time.perf_counter()
                meters = one_epoch(self.epoch, precision=self.precision, meters=self.meters, first=self.update,
                                   after_update=self.after_update)
                self.end_epoch(meters, time.perf_counter() - begun)
        except KeyboardInterrupt:
            # A notebook interrupts the loader's worker processes as well: the next run needs new ones.
            self.train_loader._iterator = None
            print(f"Stopped. Run this cell again to go on from {self.path('last')}.")
            raise
        except TrainingDiverged as error:
            self.restore(load_checkpoint(self.path("last")))
            raise TrainingDiverged(f"{error} The weights are back at the last good checkpoint, {self.path('last')} "
                                   f"(epoch {self.epoch + 1}, update {self.update}).") from None
        return self.history

    def after_update(self, update, meters):
        """What follows each update inside an epoch."""
        self.update, self.meters = update, meters
        self.average_weights()
        self.set_learning_rate()
        if update % self.settings.checkpoint_every == 0 and update < len(self.train_loader):
            check_finite(meters, self.epoch, update)
            self.save("last")
        if self.monitor and update % self.settings.print_freq == 0:
            self.monitor.progress(self)

    @torch.no_grad()
    def average_weights(self):
        # In the first updates the average must follow quickly, or it would remember the random start.
        decay = min(self.config.averaging, (1 + self.done) / (10 + self.done))
        for mean, value in zip(self.averaged.state_dict().values(), self.generator.state_dict().values()):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)      # BatchNorm's counter

    def set_learning_rate(self):
        lr = learning_rate(self.done, self.n_updates, self.settings)
        ratio = (self.settings.lr_d or self.settings.lr) / self.settings.lr
        for optimizer, rate in ((self.optimizer_g, lr), (self.optimizer_d, ratio * lr)):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = rate

    def end_epoch(self, meters, seconds):
        """Validate, keep the weights, write the log."""
        self.check_weights()        # before anything of this epoch is written
        lr = self.optimizer_g.param_groups[0]["lr"]
        rows = evaluate(lambda image: super_resolve(self.averaged, image), self.valid_set, self.config.n_valid)
        quality, similarity = mean_of(rows)
        best = quality > max((row["valid_psnr"] for row in self.history), default=-math.inf)
        self.epoch, self.update, self.meters = self.epoch + 1, 0, None
        self.history.append({"stage": self.name, "epoch": self.epoch, "updates": self.done, "lr": lr,
                             **{name: meter.avg for name, meter in meters.items()},
                             "valid_psnr": quality, "valid_ssim": similarity, "seconds": round(seconds, 1)})
        if best:
            self.save("best")
        if self.settings.keep_every and self.epoch % self.settings.keep_every == 0:
            save_generator(self.path(f"epoch_{self.epoch:03d}", ".safetensors"), self.averaged,
                           stage=self.name, epoch=self.epoch)
        self.save_sample()
        self.write_log()
        # Last of all: killed before this line, the run does the end of the epoch again.
        self.save("last")
        if self.monitor:
            self.monitor.epoch_end(self)

    def save_sample(self):
        """samples/<stage>_<epoch>.png: the most detailed crop of the first validation image."""
        lr, hr = self.valid_set.pair(0)
        s, size = self.valid_set.scale, min(32, *lr.shape[:2])
        top, left = (place // s for place in textured_boxes(hr, s * size)[0])
        crop = lr[top:top + size, left:left + size]
        images = {"lr": crop, "hr": hr[s * top:s * (top + size), s * left:s * (left + size)],
                  f"{self.name}_{self.epoch:03d}": super_resolve(self.averaged, crop)}
        for name, image in images.items():
            save_image(self.folder / "samples" / f"{name}.png", image)

    def write_log(self):
        """log.csv: a row for each epoch of both stages; this stage's rows come from its history."""
        path = self.folder / "log.csv"
        rows = []
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if row["stage"] != self.name]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, LOG_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows + self.history, key=lambda row: row["stage"]))
        try:
            write_atomically(path, text.getvalue().encode("utf-8"))
        except PermissionError:        # on Windows a spreadsheet that shows the file locks it
            print(f"Notice: {path} could not be written; is it open in another program? "
                  "Nothing is lost: the next epoch writes all its rows again.")

    # ---- checkpoints

    def path(self, which, suffix=".pth"):
        return self.folder / "checkpoints" / f"{self.name}_{which}{suffix}"

    def check_weights(self):
        """Raise if a weight is not finite: a gradient can overflow in an update whose loss was still finite."""
        for network in filter(None, (self.generator, self.discriminator)):
            if not all(torch.isfinite(weight).all() for weight in network.parameters()):
                raise TrainingDiverged(
                    f"The {type(network).__name__.lower()} has weights that are no finite numbers: a gradient has "
                    "overflowed. Divide config.pretrain.lr or config.lr by 3, or set config.amp = None.")

    def save(self, which):
        """Write everything that the rest of the run depends on; a checkpoint is always a good one."""
        self.check_weights()
        save_checkpoint(self.path(which), {
            "format": 1, "method": self.generator.method, "settings": self.generator.settings,
            "config": plain(self.config), "stage": self.name, "epoch": self.epoch, "update": self.update,
            "generator": self.generator.state_dict(), "averaged": self.averaged.state_dict(),
            "discriminator": self.discriminator and self.discriminator.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d and self.optimizer_d.state_dict(),
            "scaler": self.precision.scaler.state_dict(), "random": random_states(),
            "meters": self.meters and {name: meter.state() for name, meter in self.meters.items()},
            "history": self.history, "threads": torch.get_num_threads(), "torch": str(torch.__version__)})

    def resume(self):
        """Go on where the run folder's last checkpoint is, and say so."""
        checkpoint = load_checkpoint(self.path("last"))
        self.restore(checkpoint)
        print(f"Going on from {self.path('last')}: epoch {self.epoch} of {self.settings.epochs} complete, "
              f"{self.update} updates of the next.")
        if self.epoch >= self.settings.epochs:
            print(f"This stage is complete. To train anew, choose another run name or delete {self.folder}.")
        old = checkpoint["config"]
        changed = [f"{key} was {old.get(key)!r} and is {value!r}" for key, value in plain(self.config).items()
                   if old.get(key) != value]
        if checkpoint["threads"] != torch.get_num_threads():
            changed.append(f"torch used {checkpoint['threads']} threads and uses {torch.get_num_threads()}")
        if changed:
            print("Notice: the result will differ from that of an uninterrupted run: " + "; ".join(changed) + ".")

    def restore(self, checkpoint):
        path = self.path("last")
        if checkpoint["stage"] != self.name or checkpoint["method"] != self.generator.method:
            raise CheckpointError(f"{path} is of {checkpoint['method']}, stage {checkpoint['stage']}, "
                                  f"not of {self.generator.method}, stage {self.name}.")
        load_weights(self.generator, checkpoint["generator"], path)
        load_weights(self.averaged, checkpoint["averaged"], path)
        self.optimizer_g.load_state_dict(checkpoint["optimizer_g"])
        if self.discriminator is not None:
            load_weights(self.discriminator, checkpoint["discriminator"], path)
            self.optimizer_d.load_state_dict(checkpoint["optimizer_d"])
        if self.precision.scaler.is_enabled() and checkpoint["scaler"]:
            self.precision.scaler.load_state_dict(checkpoint["scaler"])
        restore_random_states(checkpoint["random"])
        self.epoch, self.update, self.history = checkpoint["epoch"], checkpoint["update"], checkpoint["history"]
        self.meters = checkpoint["meters"] and {name: AverageMeter.of(state)
                                                for name, state in checkpoint["meters"].items()}

"""What goes wrong in training: noticed, explained, and stopped or continued as the configuration says."""

import math
import signal
import threading

import torch

from support.messages import SaysItAll, notice

CAUSES = ("The usual causes, most frequent first: a learning rate that is too high (divide config.pretrain.lr or "
          "config.lr by 3), float16 arithmetic (set config.amp = None), a change in models.py or in a loss that "
          "divides by zero or takes the logarithm of zero.")


class TrainingDiverged(SaysItAll, RuntimeError):
    """Training has come to a point from which it cannot, or should not, continue; the message says what to try."""


def check_finite(meters, epoch, update):
    """Raise TrainingDiverged if any loss was NaN or infinite since the epoch began.

    One such value makes the running sum non-finite for good, so the sum is the flag: it
    stays on the device, and nothing waits for it until it is read here.

    Args:
        meters: dict name -> AverageMeter.
    """
    bad = [name for name, meter in meters.items() if meter.count and not math.isfinite(meter.sum)]
    if bad:
        raise TrainingDiverged(f"The loss is no longer a finite number ({', '.join(bad)}), noticed in epoch "
                               f"{epoch + 1} after update {update}. {CAUSES}")


def check_weights(network, lr, amp):
    """Raise TrainingDiverged if a weight is not finite: a gradient can overflow although the loss was still finite.

    Args:
        lr, amp: how these settings are written, such as "config.pretrain.lr".
    """
    if not all(torch.isfinite(weight).all() for weight in network.parameters()):
        raise TrainingDiverged(
            f"The {type(network).__name__.lower()} has weights that are not finite numbers: a gradient has "
            f"overflowed. Divide {lr} by 3, or set {amp} = None.")


class TrainingMonitor:
    """Looks for gradients that explode and for a discriminator that has won.

    After each update it is given numbers that stay on their device; they are read, which
    makes a GPU wait, only by ``check``.

    Args:
        on_trouble: "continue" (a notice, once an epoch) or "stop" (TrainingDiverged).
        exploding_gradient: a gradient explodes when its norm is more than this many times
            the running mean of the norms before it.
        d_has_won_loss, d_has_won_updates: the discriminator has won when its loss stays
            below ``d_has_won_loss`` for ``d_has_won_updates`` updates in a row.

    Raises:
        ValueError: for another ``on_trouble``.
    """

    WARM_UP = 20           # gradients before the running mean says what is usual

    def __init__(self, on_trouble="continue", exploding_gradient=100, d_has_won_loss=0.01, d_has_won_updates=200):
        if on_trouble not in ("continue", "stop"):
            raise ValueError(f"config.on_trouble must be 'continue' or 'stop', not {on_trouble!r}.")
        self.stop = on_trouble == "stop"
        self.limit, self.won_loss, self.won_updates = exploding_gradient, d_has_won_loss, d_has_won_updates
        self.n, self.usual, self.worst = {}, {}, {}          # by network: gradients seen, their mean, the worst ratio
        self.below = self.longest = 0                        # updates in a row with D's loss below the bound
        self.reported = set()

    def gradient(self, network, norm):
        """Add the norm of a gradient, a scalar tensor; network: its name in messages."""
        n = self.n[network] = self.n.get(network, 0) + 1
        # float16 overflows now and then, which its loss scaling corrects: that is no sign of trouble.
        norm = torch.where(torch.isfinite(norm), norm, self.usual.get(network, torch.zeros_like(norm)))
        if n > self.WARM_UP:
            ratio = norm / (self.usual[network] + 1e-30)
            self.worst[network] = torch.maximum(self.worst.get(network, ratio), ratio)
            norm = torch.minimum(norm, self.limit * self.usual[network])      # an outlier must not shift the mean
        self.usual[network] = torch.lerp(self.usual.get(network, norm), norm, 1 / min(n, 100))

    def discriminator(self, loss):
        """Add the discriminator's loss, a scalar tensor."""
        self.below = (self.below + 1) * (loss.detach() < self.won_loss)
        self.longest = torch.maximum(torch.as_tensor(self.longest, device=self.below.device), self.below)

    def check(self, epoch, update):
        """Report what there is to report.

        Raises:
            TrainingDiverged: if there is trouble and ``on_trouble`` is "stop".
        """
        for network, worst in self.worst.items():
            if worst > self.limit:
                self._report(epoch, update, f"The gradient of the {network} has exploded: its norm was "
                             f"{float(worst):.3g} times the usual one (config.exploding_gradient = {self.limit}). Now "
                             "and then an unusual batch does that, and Adam recovers; when it happens again, training "
                             f"is close to breaking down. {CAUSES}")
        if self.longest >= self.won_updates:
            self._report(epoch, update, "The discriminator has won: it always tells SR from HR, its loss has been "
                       f"below {self.won_loss} (config.d_has_won_loss) for {int(self.longest)} updates in a row, "
                       "and its gradients no longer show the generator what to change: the images will not get better. "
                       "Try, one at a time: a lower learning rate for it (config.lr_d = config.lr / 4), a "
                       "smaller discriminator (half of config.D.n_channels), a longer pre-training, fewer epochs.")
        self.worst.clear()
        self.longest = self.below          # a sequence that has ended is reported by now

    def _report(self, epoch, update, text):
        if self.stop:
            raise TrainingDiverged(f"{text} Noticed in epoch {epoch + 1} after update {update}; "
                                   "config.on_trouble = 'continue' would have let it continue.")
        if (epoch, text[:30]) not in self.reported:
            self.reported.add((epoch, text[:30]))
            notice(f"{text} Noticed in epoch {epoch + 1} after update {update}; training continues "
                   "(config.on_trouble = 'stop' would have stopped it).")


class StopRequest:
    """Ctrl-C, or a notebook's stop button, held back until an update is complete.

    Inside ``with StopRequest() as request``, ``request.made`` says whether there was one.
    A second one stops immediately.  (Between the generator's and the discriminator's half of
    an update there is no state that could be saved.)
    """

    def __enter__(self):
        self.made, self.former = False, None
        if threading.current_thread() is threading.main_thread():      # no other thread gets signals
            self.former = signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, number, frame):
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        print("Stopping: this update is completed and everything is saved first. A second request stops immediately.",
              flush=True)

    def __exit__(self, *_):
        if self.former is not None:
            signal.signal(signal.SIGINT, self.former)


class OutOfMemory(SaysItAll, RuntimeError):
    """The device's memory is full; the message gives a setting that fits, or one to try."""


def is_out_of_memory(error):
    """Whether an exception says that the device's memory is full, in any version of torch."""
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or "out of memory" in text or "can't allocate memory" in text


def advice_on_memory(size, crop, fits, setting, fewer, device):
    """What to do when the device's memory is full, as text.

    Args:
        size, crop: patches per batch and their side in pixels, of the batches that did not fit.
        fits: the largest part of the batch that does fit (0: none), None where it could not be tried.
        setting: function key -> how it is written: "config.pretrain.batch_size".
        fewer: what can be given fewer channels, as words that follow "give the".
        device: whose memory is full.
    """
    if fits is None:
        advice = f"Try {setting('batch_size')} = {size // 2}."
    elif fits:
        advice = f"A batch of {fits} fits (tried just now): set {setting('batch_size')} = {fits}."
    else:
        advice = f"Not even one patch fits: set {setting('crop_size')} = {crop // 2}, or give the {fewer}."
    return (f"The memory of {device} is full: batches of {size} patches of {crop} pixels do not fit. {advice} "
            "Other programs that use the card take from it too.")


def largest_that_fits(n, attempt):
    """The largest of n/2, n/4, ... 1 for which ``attempt(size)`` does not run out of memory; 0 if none does.

    Found by trying: what a network needs is not known in advance.
    """
    while n > 1:
        n //= 2
        torch.cuda.empty_cache()             # does nothing where there is no card
        try:
            attempt(n)
            return n
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return 0

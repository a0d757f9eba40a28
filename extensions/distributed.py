"""Training on several GPUs (or processes) of one machine:

    torchrun --standalone --nproc_per_node=2 -m extensions sr3 --preset full --data data

Each process takes its part of every batch, and DistributedDataParallel averages the gradients, so
that all make the same update.  Only the first one (rank 0) prepares the data, validates, writes and
prints; it runs the core's Stage as it is.  The others follow it: they start from the checkpoint that
it has read or written.  If one ends with an error, torchrun ends the others.
"""

import contextlib
import datetime
import os
import signal
import sys

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from datasets import hash_numbers
from support.safeguards import outlive_sigterm
from support.stage import Stage

PATIENCE = datetime.timedelta(hours=6)        # the others wait while rank 0 decodes the images, or validates


# ---------------------------------------------------------------- the processes

def is_distributed():
    """Whether torchrun started this process together with others."""
    return world_size() > 1


def world_size():
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank():
    return int(os.environ.get("RANK", 0)) if is_distributed() else 0


def setup(config):
    """Join the other processes; each has its own GPU, if there are any."""
    if not is_distributed() or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        number = int(os.environ["LOCAL_RANK"])
        torch.cuda.set_device(number)
        config.device = f"cuda:{number}"
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    if rank() > 0:
        # Rank 0 prints the same.  Open until the process ends, so no "with".
        sys.stdout = open(os.devnull, "w", encoding="utf-8")       # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_IGN)               # at Ctrl-C rank 0 needs them for one more update
        outlive_sigterm(signal.SIG_DFL)                            # which also ends one that waits for the others in C


def cleanup():
    """Leave the other processes, once all is done.  Not after an error: they would wait for each other."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def rank0_first():
    """Rank 0 runs the block first, the others after it: they find the files that it has made."""
    if rank() > 0:
        distributed.barrier()
    yield
    if is_distributed() and rank() == 0:
        distributed.barrier()


def broadcast_from_rank0(value=None):
    """The value of rank 0, in every process; all have to call this."""
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


# ---------------------------------------------------------------- network and batches

class LossModule(nn.Module):
    """The loss as a forward: DistributedDataParallel wraps nothing else."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, lr, hr):
        return self.network.loss(lr, hr)


class ParallelNetwork:
    """A network as ``extensions.train.one_epoch`` uses it: ``train`` and ``loss``."""

    def __init__(self, network):
        device = next(network.parameters()).device
        self.network = network
        self.loss = DistributedDataParallel(LossModule(network), device_ids=[device] if device.type == "cuda" else None)

    def train(self):
        self.network.train()


class RankShare:
    """This process's part of each batch of a loader, and its own noise: a function of (seed, epoch, update, rank).

    So a resumed run needs no random states except these numbers.

    Raises:
        ValueError: if the batch cannot be divided evenly: the mean of the parts' means would not be its mean.
    """

    def __init__(self, loader, seed):
        self.loader, self.sampler, self.dataset = loader, loader.sampler, loader.dataset
        self.seed, self.n = seed, distributed.get_world_size()
        if loader.sampler.batch_size % self.n:
            raise ValueError(f"A batch of {loader.sampler.batch_size} cannot be divided among {self.n} processes: "
                             "set config.batch_size to a multiple.")

    def __len__(self):
        return len(self.loader)

    def end_workers(self):
        self.loader.end_workers()

    def __iter__(self):
        for update, (lr, hr) in enumerate(self.loader, start=self.sampler.start_batch):
            number, = hash_numbers(self.seed, self.sampler.epoch, [update], rank())
            torch.manual_seed(int(number) % 2**63)
            yield lr[rank()::self.n], hr[rank()::self.n]


# ---------------------------------------------------------------- a stage

class Leader(Stage):
    """A stage in rank 0: the same as in a single process."""

    def batch_that_fits(self, one_epoch):
        return None                               # the others would have to try it too


class Follower(Stage):
    """A stage in another process: it makes the same updates and writes nothing."""

    def run(self, one_epoch):
        if not broadcast_from_rank0():                   # the stage is complete
            return self.history
        one_epoch.connect()
        self.go_back()                            # rank 0 writes the next one after an update, when all have this one
        while self.epoch < self.settings.epochs:
            self.set_learning_rate()
            one_epoch(self.train_loader, self.epoch, self.progress(meters=None, after_update=self.follow))
            self.epoch, self.update = self.epoch + 1, 0
        return self.history

    def follow(self, update, meters):
        self.update = update
        self.set_learning_rate()


def stage_class():
    """The class of a stage in this process."""
    return (Leader if rank() == 0 else Follower) if is_distributed() else Stage


class DistributedEpoch:
    """one_epoch for Stage.run, made by all processes together; each takes its part of the stage's loader."""

    def __init__(self, stage, one_epoch):
        self.stage, self.one_epoch, self.network = stage, one_epoch, None
        self.part = RankShare(stage.train_loader, stage.config.seed)

    def connect(self):
        self.network = ParallelNetwork(self.stage.generator)

    def __call__(self, loader, epoch, progress):
        if self.network is None:                  # rank 0's first epoch: its checkpoint has been written
            broadcast_from_rank0(True)
            self.connect()
        return self.one_epoch(self.part, self.network, self.stage.optimizer_g, epoch, name=self.stage.name,
                              print_freq=self.stage.settings.print_freq, progress=progress)


def run(stage, one_epoch):
    """``stage.run`` in all processes; each returns once rank 0 has written everything.

    Only rank 0 knows whether there is anything to do: it has read the checkpoint.
    """
    shared = DistributedEpoch(stage, one_epoch)
    history = stage.run(shared)
    if rank() == 0 and shared.network is None:
        broadcast_from_rank0(False)                      # there was nothing left to do
    distributed.barrier()
    return history

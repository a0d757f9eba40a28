"""Both training stages on a CUDA card: python -m benchmarks cuda"""

import contextlib
import time

import torch
from torch import nn

import solver
from benchmarks import plain
from benchmarks.common import FULL, Row, batch_of, full_networks, loader_of, operations, pairs_folder, silent
from benchmarks.measure import matrix_rate, wait_for
from support.precision import Precision

EPOCH = 80_000        # patches: 100 of each of DIV2K's 800 images


def cuda(work, sizes=FULL):
    """Updates a second of the plain loop (eager, float32) and of the kit's; whether that one waits for the loader."""
    if not torch.cuda.is_available():
        return [Row("CUDA", 0, "cards", None, "no CUDA card here: the two stages were not measured on one")]
    return table_of(pairs_folder(work, sizes), "cuda", torch.cuda.get_device_name(), "auto", sizes)


def table_of(folder, device, name, amp, sizes, workers=2):
    """The rows of both stages, first without torch.compile, then with it."""
    rows, peak = [], matrix_rate(device, torch.bfloat16, repeats=20, sizes=sizes.matrices)
    for stage, plain_step, epoch in (("pre-training", plain_pretrain, our_pretrain), ("SRGAN", plain_srgan, our_srgan)):
        networks = [plain.plain_layers(network) for network in full_networks(sizes)]
        batch = batch_of(folder, sizes, sizes.batch_size)
        flop = operations(plain_step(networks, batch))
        slow = updates_a_second(plain_step([n.to(device) for n in networks], [x.to(device) for x in batch]), device,
                                sizes.seconds)
        for compiled in (False, True):
            precision = Precision(device, amp, channels_last=True)
            networks = our_networks(precision, sizes, compiled)
            waiting, fast = timed_epoch(folder, sizes, workers, device, epoch(networks, precision))
            rows += [Row(f"{stage} on {name}, batch {sizes.batch_size}" + ", torch.compile" * compiled, fast,
                         "updates/s", None, f"{slow:.2f} updates/s in eager float32, default format: "
                         f"{fast / slow:.2f} x"),
                     Row("  share of its bf16 matrix rate", 100 * flop * fast / peak, "%", None,
                         f"{flop / 1e9:.0f} GFLOP an update; matrix products reach {peak / 1e12:.3g} TFLOP/s"),
                     Row(f"  an epoch of {EPOCH:,} patches", EPOCH / sizes.batch_size / fast, "s", None,
                         "computed from the updates a second"),
                     Row("  the loop waits for the loader", 100 * waiting, "% of its time", None, f"{workers} workers")]
    return rows


def updates_a_second(step, device, seconds):
    for _ in range(3):
        step()
    wait_for(device)
    begun, n = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step()
        n += 1
    wait_for(device)
    return n / (time.perf_counter() - begun)


def plain_pretrain(networks, batch):
    optimizer = torch.optim.Adam(networks[0].parameters(), lr=1e-4)
    return lambda: plain.pretrain_step(networks[0], optimizer, *batch)


def plain_srgan(networks, batch):
    networks[2].requires_grad_(True)
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4) for network in networks[:2]]
    return lambda: plain.srgan_step(*networks, *optimizers, *batch)


def our_networks(precision, sizes, compiled):
    """[generator, discriminator, VGG] on the device; compiled as Stage.compiled does it: G and VGG, not D."""
    networks = [precision.to_device(network) for network in full_networks(sizes)]
    if compiled:
        with contextlib.suppress(AttributeError):           # older versions of torch need no such setting
            torch._functorch.config.donated_buffer = False
        networks[0], networks[2] = torch.compile(networks[0]), torch.compile(networks[2])
    return networks


def our_pretrain(networks, precision):
    optimizer = torch.optim.Adam(networks[0].parameters(), lr=1e-4, fused=True)
    return lambda loader, follow: solver.pretrain(loader, networks[0], nn.MSELoss(), optimizer, 0, precision.device,
                                                  100, **silent(precision, follow))


def our_srgan(networks, precision):
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4, fused=True) for network in networks[:2]]
    return lambda loader, follow: solver.train(loader, *networks, nn.MSELoss(), nn.BCEWithLogitsLoss(), *optimizers, 0,
                                               precision.device, 1e-3, 100, **silent(precision, follow))


def timed_epoch(folder, sizes, workers, device, epoch):
    """One short epoch: (share of its time in which the loop waited for a batch, updates a second).

    The first tenth does not count: algorithms are chosen there, and networks compiled.
    """
    loader = TimedLoader(loader_of(folder, sizes, sizes.batch_size, sizes.updates, workers=workers,
                                   pin_memory=torch.device(device).type == "cuda"))
    begun, first = [], max(len(loader) // 10, 1)

    def follow(update, meters):
        if update == first:
            wait_for(device)
            loader.waited = 0.0
            begun.append(time.perf_counter())
    epoch(loader, follow)
    wait_for(device)
    seconds = time.perf_counter() - begun[0]
    return loader.waited / seconds, (len(loader) - first) / seconds


class TimedLoader:
    """A loader that counts the seconds in which its user waits for a batch."""

    def __init__(self, loader):
        self.loader, self.sampler, self.dataset, self.waited = loader, loader.sampler, loader.dataset, 0.0

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        batches = iter(self.loader)
        while True:
            begun = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - begun
            if batch is None:
                return
            yield batch

"""Both training stages on a CUDA card: python -m benchmarks cuda"""

import contextlib
import time

import torch
from torch import nn

import datasets
import solver
from benchmarks import plain
from benchmarks.common import Row, batch_of, data_config, full_networks, operations, pairs_folder
from benchmarks.measure import matrix_rate, wait_for
from support.precision import Precision

SECONDS = 8           # of a measurement of the plain loop
UPDATES = 200         # of a measurement of ours; the first tenth choose algorithms and compile, and do not count


def cuda(work):
    """Updates a second in eager float32 and ours, an epoch's seconds, whether the card waits for the loader."""
    if not torch.cuda.is_available():
        return [Row("CUDA", 0, "cards", None, "no CUDA card here: both stages on one were not measured")]
    return table_of(pairs_folder(work), "cuda", torch.cuda.get_device_name(), "auto")


def table_of(folder, device, name, amp, workers=2):
    rows, peak = [], matrix_rate(device, torch.bfloat16, repeats=20)
    for stage, plain_step, epoch in (("pre-training", plain_pretrain, our_pretrain), ("SRGAN", plain_srgan, our_srgan)):
        networks, batch = [plain.plain_layers(network) for network in full_networks()], batch_of(folder, 16)
        flop = operations(plain_step(networks, batch))
        slow = updates_a_second(plain_step([n.to(device) for n in networks], [x.to(device) for x in batch]), device)
        for compiled in (False, True):
            precision = Precision(device, amp, channels_last=True)
            networks = [precision.place(network) for network in full_networks()]
            if compiled:       # as Stage.compiled does: G and VGG, not D
                with contextlib.suppress(AttributeError):
                    torch._functorch.config.donated_buffer = False
                networks[0], networks[2] = torch.compile(networks[0]), torch.compile(networks[2])
            waiting, fast = timed_epoch(folder, workers, device, epoch(networks, precision))
            rows += [Row(f"{stage} on {name}, batch 16" + ", torch.compile" * compiled, fast, "updates/s", None,
                         f"{slow:.2f} updates/s in eager float32, default format: {fast / slow:.2f} x"),
                     Row("  share of its bf16 matrix rate", 100 * flop * fast / peak, "%", None,
                         f"{flop / 1e9:.0f} GFLOP an update; matrix products reach {peak / 1e12:.3g} TFLOP/s"),
                     Row("  an epoch of 80,000 patches", 5000 / fast, "s", None, "computed from the updates a second"),
                     Row("  the loop waits for the loader", 100 * waiting, "% of its time", None, f"{workers} workers")]
    return rows


def updates_a_second(step, device):
    for _ in range(3):
        step()
    wait_for(device)
    begun, n = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
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


def our_pretrain(networks, precision):
    optimizer = torch.optim.Adam(networks[0].parameters(), lr=1e-4, fused=True)
    return lambda loader, follow: solver.pretrain(loader, networks[0], nn.MSELoss(), optimizer, 0, precision.device,
                                                  100, precision=precision, after_update=follow)


def our_srgan(networks, precision):
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4, fused=True) for network in networks[:2]]
    return lambda loader, follow: solver.train(loader, *networks, nn.MSELoss(), nn.BCEWithLogitsLoss(), *optimizers, 0,
                                               precision.device, 1e-3, 100, precision=precision, after_update=follow)


def timed_epoch(folder, workers, device, epoch):
    """(share of its time that the loop waited for a batch, updates a second) of one short epoch."""
    dataset = datasets.SRDataset("train", data_config(folder))
    loader = WatchedLoader(datasets.make_loader(dataset, 16, workers, n_batches=UPDATES,
                                                pin_memory=torch.device(device).type == "cuda"))
    begun, first = [], len(loader) // 10

    def follow(update, meters):
        if update == first:
            wait_for(device)
            loader.waited = 0.0
            begun.append(time.perf_counter())
    epoch(loader, follow)
    wait_for(device)
    seconds = time.perf_counter() - begun[0]
    return loader.waited / seconds, (len(loader) - first) / seconds


class WatchedLoader:
    """A loader that counts the seconds in which a batch was waited for."""

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

"""Both training stages on a CUDA card: python -m benchmarks cuda"""

import time

import torch
from torch import nn

import datasets
import solver
from benchmarks import plain
from benchmarks.measure import matrix_rate
from stage import Precision

SECONDS = 8           # of each measurement


def cuda(work):
    """Updates a second in eager float32 and ours, an epoch's seconds, whether the card waits for the loader."""
    from benchmarks.parts import Row, batch_of, data_config, full_networks, operations, pairs_folder
    if not torch.cuda.is_available():
        return [Row("CUDA", 0, "cards", None, "no CUDA card here: both stages on one were not measured")]
    folder, rows = pairs_folder(work), []
    peak = matrix_rate("cuda", torch.bfloat16, repeats=20)
    for name, plain_step, epoch in (("pre-training", plain_pretrain, our_pretrain), ("SRGAN", plain_srgan, our_srgan)):
        networks = full_networks()
        flop = operations(plain_step([plain.plain_layers(n) for n in networks], batch_of(folder, 16), "cpu"))
        batch = [x.cuda() for x in batch_of(folder, 16)]
        slow = updates_a_second(plain_step([plain.plain_layers(n).cuda() for n in networks], batch, "cuda"))
        for compiled in (False, True):
            precision = Precision("cuda", "auto", channels_last=True)
            placed = [precision.place(network) for network in full_networks()]
            if compiled:
                torch._functorch.config.donated_buffer = False
                placed[0], placed[2] = torch.compile(placed[0]), torch.compile(placed[2])
            waiting, fast = epoch(placed, precision, folder)
            title = f"{name} on {torch.cuda.get_device_name()}, batch 16" + ", torch.compile" * compiled
            rows += [Row(title, fast, "updates/s", None, f"{slow:.2f} in eager float32, default format"),
                     Row("  share of its bf16 matrix rate", 100 * flop * fast / peak, "%", None,
                         f"{peak / 1e12:.0f} TFLOP/s"),
                     Row("  an epoch of 80,000 patches", 5000 / fast, "s", None, "computed"),
                     Row("  the card waits for the loader", 100 * waiting, "% of the time", None, "2 workers")]
    return rows


def updates_a_second(step):
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    begun, n = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        step()
        n += 1
    torch.cuda.synchronize()
    return n / (time.perf_counter() - begun)


def plain_pretrain(networks, batch, device):
    optimizer = torch.optim.Adam(networks[0].parameters(), lr=1e-4)
    return lambda: plain.pretrain_step(networks[0], optimizer, *batch)


def plain_srgan(networks, batch, device):
    networks[2].requires_grad_(True)
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4) for network in networks[:2]]
    return lambda: plain.srgan_step(*networks, *optimizers, *batch)


def our_pretrain(networks, precision, folder):
    optimizer = torch.optim.Adam(networks[0].parameters(), lr=1e-4, fused=True)
    return timed_epoch(folder, lambda loader, follow: solver.pretrain(
        loader, networks[0], nn.MSELoss(), optimizer, 0, "cuda", 100, precision=precision, after_update=follow))


def our_srgan(networks, precision, folder):
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4, fused=True) for network in networks[:2]]
    return timed_epoch(folder, lambda loader, follow: solver.train(
        loader, *networks, nn.MSELoss(), nn.BCEWithLogitsLoss(), *optimizers, 0, "cuda", 1e-3, 100,
        precision=precision, after_update=follow))


def timed_epoch(folder, epoch):
    """(share of the time that the loop spent waiting for a batch, updates a second) of one short epoch."""
    loader = WatchedLoader(datasets.make_loader(datasets.SRDataset("train", data_config_of(folder)), 16, workers=2,
                                                n_batches=200, pin_memory=True))
    begun = []

    def follow(update, meters):
        if update == 20:                   # the first updates choose algorithms, compile and start workers
            torch.cuda.synchronize()
            loader.waited = 0.0
            begun.append(time.perf_counter())
    epoch(loader, follow)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begun[0]
    return loader.waited / seconds, (len(loader) - 20) / seconds


def data_config_of(folder):
    from benchmarks.parts import data_config
    return data_config(folder)


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

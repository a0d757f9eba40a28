"""A2N's part of the speed table: python -m benchmarks a2n"""

import numpy as np
import torch

import datasets
from benchmarks import plain
from benchmarks.common import Row, batch_of, check_same, data_config, pairs_folder
from benchmarks.measure import photograph, side_by_side
from extensions.a2n import build
from extensions.train import extension_config, one_epoch
from imresize import imresize
from support import enlarging
from support.precision import Precision, keep_freed_memory
from support.run import seed_everything, stage_config


def network_and_settings(folder, blocks):
    config = extension_config("a2n", "small", folder)
    config.A2N.n_blocks = blocks
    seed_everything(0)
    return build(config, "a2n"), stage_config(config, "a2n")


def prepare_training(folder, blocks):
    keep_freed_memory()
    network, settings = network_and_settings(folder, blocks)
    precision = Precision("cpu", channels_last=True)
    optimizer = torch.optim.Adam(precision.place(network).parameters(), lr=settings.lr, fused=True)
    loader = datasets.make_loader(datasets.SRDataset("train", data_config(folder)), settings.batch_size, n_batches=1)
    return lambda: one_epoch(loader, network, optimizer, 0, precision=precision,
                             after_update=lambda *_: None)["content"].avg


def prepare_plain_training(folder, blocks):
    """Eager, float32, torch's default memory format, the same batch over and over."""
    network, settings = network_and_settings(folder, blocks)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    lr, hr = batch_of(folder, settings.batch_size)

    def run():
        loss = network.loss(lr, hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    return run


def small_picture():
    return imresize(photograph("astronaut.png")[:256, 128:384], 1 / 4)            # 64 x 64


def prepare_enlarging(folder, blocks):
    network, lr = network_and_settings(folder, blocks)[0], small_picture()
    return lambda: enlarging.super_resolve(network, lr)


def prepare_plain_enlarging(folder, blocks):
    network, lr = network_and_settings(folder, blocks)[0].eval(), small_picture()
    return lambda: plain.enlarge(network, lr)


def a2n(work):
    folder, rows = pairs_folder(work), []
    for blocks in (4, 16):
        name = f"A2N-M, {blocks} blocks"
        result = side_by_side((prepare_training, folder, blocks), (prepare_plain_training, folder, blocks))
        check_same(result["values"])
        rows.append(Row(f"{name}: training update, batch 8, LR patch 24", result["ratio"], "x", None,
                        f"{1 / result['ours']:.2f} updates/s against {1 / result['plain']:.2f}, same loss to 1e-5"))
        result = side_by_side((prepare_enlarging, folder, blocks), (prepare_plain_enlarging, folder, blocks))
        assert np.abs(np.subtract(*result["values"], dtype=int)).max() <= 1, "the two pictures differ"
        rows.append(Row(f"{name}: enlarging to 256 x 256", result["ratio"], "x", None,
                        f"{result['ours']:.3f} s against {result['plain']:.3f} s a picture"))
    return rows

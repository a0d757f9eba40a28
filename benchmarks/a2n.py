"""A2N's part of the speed table: python -m benchmarks a2n"""

import numpy as np
import torch

from benchmarks import plain
from benchmarks.common import FULL, Row, batch_of, check_same, compare, loader_of, pairs_folder, silent, text_of
from benchmarks.measure import photograph
from extensions.a2n import build
from extensions.train import extension_config, one_epoch
from imresize import imresize
from support import enlarging
from support.precision import Precision, keep_freed_memory
from support.run import seed_everything, stage_config


def config_of(folder, blocks):
    config = extension_config("a2n", "small", folder)
    config.A2N.n_blocks = blocks
    return config


def network_and_settings(folder, blocks):
    config = config_of(folder, blocks)
    seed_everything(0)
    return build(config, "a2n"), stage_config(config, "a2n")


def prepare_training(folder, blocks, sizes):
    keep_freed_memory()
    network, settings = network_and_settings(folder, blocks)
    precision = Precision("cpu", channels_last=True)
    optimizer = torch.optim.Adam(precision.to_device(network).parameters(), lr=settings.lr, fused=True)
    loader = loader_of(folder, sizes, settings.batch_size)
    return lambda: one_epoch(loader, network, optimizer, 0, **silent(precision))["content"].avg


def prepare_plain_training(folder, blocks, sizes):
    """Eager, float32, torch's default memory format, the same batch over and over."""
    network, settings = network_and_settings(folder, blocks)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    lr, hr = batch_of(folder, sizes, settings.batch_size)

    def run():
        loss = network.loss(lr, hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    return run


def small_image(side):
    """LR (side, side, 3), uint8."""
    return imresize(photograph("astronaut.png")[:4 * side, 128:128 + 4 * side], 1 / 4)


def prepare_upscaling(folder, blocks, side):
    network, lr = network_and_settings(folder, blocks)[0], small_image(side)
    return lambda: enlarging.super_resolve(network, lr)


def prepare_plain_upscaling(folder, blocks, side):
    network, lr = network_and_settings(folder, blocks)[0].eval(), small_image(side)
    return lambda: plain.upscale(network, lr)


def a2n(work, sizes=FULL):
    folder, side, rows = pairs_folder(work, sizes), sizes.a2n_side, []
    for blocks in sizes.a2n_blocks:
        name, batch_size = f"A2N-M, {blocks} blocks", stage_config(config_of(folder, blocks), "a2n").batch_size
        result = compare((prepare_training, folder, blocks, sizes), (prepare_plain_training, folder, blocks, sizes),
                         sizes)
        check_same(result["values"])
        rows.append(Row(f"{name}: training update, batch {batch_size}, LR patch {sizes.crop_size // 4}",
                        result["ratio"], "x", None, f"{1 / result['ours']:.2f} updates/s compared with "
                        f"{1 / result['plain']:.2f}, same loss to 1e-5"))
        result = compare((prepare_upscaling, folder, blocks, side), (prepare_plain_upscaling, folder, blocks, side),
                         sizes)
        assert np.abs(np.subtract(*result["values"], dtype=int)).max() <= 1, "the two images differ"
        rows.append(Row(f"{name}: upscaling to {text_of(4 * side, 4 * side)}", result["ratio"], "x", None,
                        f"{result['ours']:.3f} s compared with {result['plain']:.3f} s an image"))
    return rows

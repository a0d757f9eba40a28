"""The parts of the speed table.  Each is a function of a work folder that returns rows (see Row)."""

import statistics
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict
from torch import nn

import datasets
import image_store
import inference
import solver
from benchmarks import plain
from benchmarks.a2n import a2n
from benchmarks.common import CROP, Row, batch_of, check_same, data_config, full_networks, operations, pairs_folder
from benchmarks.cuda import cuda
from benchmarks.measure import Way, calls_of, matrix_rate, mosaic, side_by_side
from imresize import imresize
from metrics import luma, psnr, ssim
from precision import Precision, keep_freed_memory

# ---------------------------------------------------------------- training pairs

def prepare_loading(folder, n_batches):
    dataset = datasets.SRDataset("train", data_config(folder))
    loader = datasets.make_loader(dataset, 16, n_batches=n_batches)
    precision = Precision("cpu", channels_last=True)

    def run():
        for batch in loader:
            precision.images(*batch)          # float32 in [0, 1], ready for the network
    return run


def prepare_decoding(folder, n_batches):
    rng, paths = np.random.default_rng(0), sorted(Path(folder, "HR").glob("*.png"))

    def run():
        for _ in range(n_batches):
            names = [paths[rng.integers(len(paths))] for _ in range(16)]
            patches = [plain.decode_patch(path, Path(folder, "LR", f"{path.stem}x4.png"), CROP, 4, rng)
                       for path in names]
            tuple(torch.stack(parts) for parts in zip(*patches))
    return run


def loading(work):
    folder = pairs_folder(work)
    ours, theirs = 200, 2
    result = side_by_side((prepare_loading, folder, ours), (prepare_decoding, folder, theirs))
    rate, plain_rate = 16 * ours / result["ours"], 16 * theirs / result["plain"]
    return [Row("training pairs, one process, batches of 16", result["ratio"] * ours / theirs, "x", 1000,
                f"{plain_rate:.1f}/s by decoding the pair for each patch"),
            Row("  the same, pairs a second", rate, "/s", 8000, "float32, crop 96 and its LR")]


def store(work):
    """How many images are decoded: in the first epoch, in the second, and in a second run."""
    folder, counts = pairs_folder(work), {}
    config = EasyDict(data_config(folder), store=str(Path(work, "another store")))
    with calls_of(image_store, "read_image") as decoded:
        for run in range(2):
            dataset = datasets.SRDataset("train", config)
            loader = datasets.make_loader(dataset, 16)
            for epoch in range(2):
                loader.sampler.set_epoch(epoch)
                for _ in loader:
                    pass
                counts[run, epoch] = len(decoded)
                decoded.clear()
    first = counts[0, 0]
    # A count of nothing would be a good result, too.
    assert first == 2 * len(dataset.pairs), f"{first} images were decoded in the first epoch"
    return [Row("images decoded: second epoch", counts[0, 1], "", 0, f"first epoch: {first}"),
            Row("images decoded: second run", counts[1, 0] + counts[1, 1], "", 0, f"first run: {first}")]


# ---------------------------------------------------------------- imresize

def prepare_resize():
    image = mosaic(0)
    return lambda: imresize(image, 0.25)


def prepare_gather():
    image = mosaic(0)
    return lambda: plain.gather_resize(image, 0.25)


def resize(work):
    result = side_by_side((prepare_resize,), (prepare_gather,))
    same = np.array_equal(*result["values"])
    assert same, "imresize and the gather differ"
    return [Row("imresize 2040 x 1356 x 3 by 1/4", result["ratio"], "x", 4,
                f"{1000 * result['ours']:.0f} ms against {1000 * result['plain']:.0f} ms, same bytes")]


# ---------------------------------------------------------------- training steps

def prepare_pretrain(folder, batch_size):
    keep_freed_memory()
    precision = Precision("cpu", channels_last=True)
    generator = precision.place(full_networks()[0])
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, fused=True)
    loader = datasets.make_loader(datasets.SRDataset("train", data_config(folder)), batch_size, n_batches=1)
    return lambda: solver.pretrain(loader, generator, nn.MSELoss(), optimizer, 0, "cpu", 100,
                                   precision=precision, after_update=lambda *_: None)["content"].avg


def prepare_plain_pretrain(folder, batch_size):
    generator = plain.plain_layers(full_networks()[0])
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4)
    batch = batch_of(folder, batch_size)
    return lambda: plain.pretrain_step(generator, optimizer, *batch)


def step(work):
    folder = pairs_folder(work)
    result = side_by_side((prepare_pretrain, folder, 16), (prepare_plain_pretrain, folder, 16), pairs=7,
                          beside=matrix_rate)
    check_same(result["values"])
    flop = operations(prepare_plain_pretrain(folder, 16))
    # Each against the rate that was measured beside it: a shared machine is not always equally quick.
    share = statistics.median(flop / seconds / rate for (seconds, _), rate in zip(result["seconds"], result["beside"]))
    return [Row("pre-training step, full generator, batch 16", result["ratio"], "x", 1.35,
                f"{result['ours']:.2f} s against {result['plain']:.2f} s, same loss to 1e-5"),
            Row("  share of the machine's fp32 matrix rate", 100 * share, "%", 70,
                f"{flop / 1e9:.0f} GFLOP a step; matrix products: "
                f"{statistics.median(result['beside']) / 1e9:.0f} GFLOP/s beside it")]


def prepare_srgan(folder, batch_size):
    keep_freed_memory()
    precision = Precision("cpu", channels_last=True)
    generator, discriminator, vgg19 = map(precision.place, full_networks())
    optimizers = [torch.optim.Adam(n.parameters(), lr=1e-4, fused=True) for n in (generator, discriminator)]
    loader = datasets.make_loader(datasets.SRDataset("train", data_config(folder)), batch_size, n_batches=1)

    def run():
        meters = solver.train(loader, generator, discriminator, vgg19, nn.MSELoss(), nn.BCEWithLogitsLoss(),
                              *optimizers, 0, "cpu", 1e-3, 100, precision=precision, after_update=lambda *_: None)
        return tuple(meters[name].avg for name in ("content", "adversarial", "discriminator"))
    return run


def prepare_plain_srgan(folder, batch_size):
    generator, discriminator, vgg19 = full_networks()
    generator = plain.plain_layers(generator)
    vgg19.requires_grad_(True)
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4) for network in (generator, discriminator)]
    batch = batch_of(folder, batch_size)
    return lambda: plain.srgan_step(generator, discriminator, vgg19, *optimizers, *batch)


def srgan(work):
    rows = []
    for batch_size in (4, 16):
        result = side_by_side((prepare_srgan, pairs_folder(work), batch_size),
                              (prepare_plain_srgan, pairs_folder(work), batch_size))
        check_same(result["values"])
        rows.append(Row(f"SRGAN step, full networks, VGG 5,4, batch {batch_size}", result["ratio"], "x", 1.4,
                        f"{result['ours']:.2f} s against {result['plain']:.2f} s, same losses to 1e-5"))
    return rows


# ---------------------------------------------------------------- pictures

def small_picture():
    return imresize(mosaic(0), 0.25)          # 510 x 339


def prepare_enlarge():
    generator, lr = full_networks()[0], small_picture()
    return lambda: inference.super_resolve(generator, lr)


def prepare_plain_enlarge():
    generator, lr = plain.plain_layers(full_networks()[0]).eval(), small_picture()
    return lambda: plain.enlarge(generator, lr)


def enlarge(work):
    result = side_by_side((prepare_enlarge,), (prepare_plain_enlarge,), warm=False)
    ours, theirs = result["values"]
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3, "the two pictures differ"
    rows = [Row("enlarging 510 x 339 to 2040 x 1356, full generator", result["ratio"], "x", 1.3,
                f"{result['ours']:.1f} s against {result['plain']:.1f} s")]
    if all(result["memory"]):
        ours, theirs = result["memory"]
        rows.append(Row("  its peak memory, whole picture / ours", theirs / ours, "x", 3,
                        f"{ours / 2**20:.0f} MiB against {theirs / 2**20:.0f} MiB beside the loaded program"))
    return rows


def large(work):
    """Not in the table of `make bench`, for it takes minutes: 2040 x 1356 to 8160 x 5424."""
    way = Way(prepare_large)
    seconds, shape, peak = way.run()
    way.close()
    return [Row("peak memory of enlarging 2040 x 1356 to 8160 x 5424", peak / 1e9, "GB", -3,
                f"{seconds:.0f} s, beside the loaded program; result {shape}")]


def prepare_large():
    generator, lr = full_networks()[0], mosaic(0)
    return lambda: inference.super_resolve(generator, lr).shape


def prepare_metrics():
    hr, sr = mosaic(0), blurred()
    return lambda: (psnr(sr, hr), ssim(sr, hr))


def prepare_skimage_metrics():
    hr, sr = mosaic(0), blurred()
    inside = np.s_[4:-4, 4:-4]
    return lambda: plain.skimage_psnr_ssim(luma(sr)[inside], luma(hr)[inside])


def blurred():
    return imresize(imresize(mosaic(0), 0.25), 4)


def metrics(work):
    result = side_by_side((prepare_metrics,), (prepare_skimage_metrics,))
    check_same(result["values"], 1e-6)
    return [Row("PSNR + SSIM of a 2040 x 1356 pair, against scikit-image", result["ratio"], "x", 1.5,
                f"{1000 * result['ours']:.0f} ms against {1000 * result['plain']:.0f} ms, same figures to 1e-6")]


PARTS = {"loading": loading, "store": store, "resize": resize, "metrics": metrics, "step": step, "srgan": srgan,
         "enlarge": enlarge, "cuda": cuda}
ALONE = {"large": large, "a2n": a2n}          # only when they are named

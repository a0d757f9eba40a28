"""The parts of the speed table.  Each is a function of a work folder and of sizes that returns rows (see Row)."""

import statistics
from pathlib import Path

import numpy as np
import torch
from easydict import EasyDict
from torch import nn

import datasets
import solver
from benchmarks import plain
from benchmarks.a2n import a2n
from benchmarks.common import (
    FULL,
    Row,
    batch_of,
    check_same,
    compare,
    data_config,
    full_networks,
    loader_of,
    operations,
    pairs_folder,
    silent,
    text_of,
)
from benchmarks.cuda import cuda
from benchmarks.measure import Way, WayHere, calls_of, matrix_rate, mosaic
from imresize import imresize
from metrics import luma, psnr, ssim
from support import enlarging, image_store
from support.precision import Precision, keep_freed_memory

# ---------------------------------------------------------------- training pairs

def prepare_loading(folder, n_batches, sizes):
    loader, precision = loader_of(folder, sizes, sizes.batch_size, n_batches), Precision("cpu", channels_last=True)

    def run():
        for batch in loader:
            precision.to_unit_range(*batch)          # float32 in [0, 1], ready for the network
    return run


def prepare_decoding(folder, n_batches, sizes):
    rng, paths = np.random.default_rng(0), sorted(Path(folder, "HR").glob("*.png"))

    def run():
        for _ in range(n_batches):
            names = [paths[rng.integers(len(paths))] for _ in range(sizes.batch_size)]
            patches = [plain.decode_patch(path, Path(folder, "LR", f"{path.stem}x4.png"), sizes.crop_size, 4, rng)
                       for path in names]
            tuple(torch.stack(parts) for parts in zip(*patches))
    return run


def loading(work, sizes=FULL):
    folder, (ours, theirs), n = pairs_folder(work, sizes), sizes.n_batches, sizes.batch_size
    result = compare((prepare_loading, folder, ours, sizes), (prepare_decoding, folder, theirs, sizes), sizes)
    rate, plain_rate = n * ours / result["ours"], n * theirs / result["plain"]
    return [Row(f"training pairs, one process, batches of {n}", result["ratio"] * ours / theirs, "x", 1000,
                f"{plain_rate:.1f}/s by decoding the pair for each patch"),
            Row("  the same, pairs a second", rate, "/s", 8000, f"float32, crop {sizes.crop_size} and its LR")]


def store(work, sizes=FULL):
    """How many images are decoded: in the first epoch, in the second, and in a second run."""
    folder, counts = pairs_folder(work, sizes), {}
    config = EasyDict(data_config(folder, sizes), store=str(Path(work, "another store")))
    with calls_of(image_store, "read_image") as decoded:
        for run in range(2):
            dataset = datasets.SRDataset("train", config)
            loader = datasets.make_loader(dataset, sizes.batch_size)
            for epoch in range(2):
                loader.sampler.set_epoch(epoch)
                for _ in loader:
                    pass
                counts[run, epoch] = len(decoded)
                decoded.clear()
    first = counts[0, 0]
    # A count that sees nothing would look like a good result.
    assert first == 2 * len(dataset.pairs), f"{first} images were decoded in the first epoch"
    return [Row("images decoded: second epoch", counts[0, 1], "", 0, f"first epoch: {first}"),
            Row("images decoded: second run", counts[1, 0] + counts[1, 1], "", 0, f"first run: {first}")]


# ---------------------------------------------------------------- imresize

def prepare_resize(sizes):
    image = mosaic(0, *sizes.image)
    return lambda: imresize(image, 0.25)


def prepare_gather(sizes):
    image = mosaic(0, *sizes.image)
    return lambda: plain.gather_resize(image, 0.25)


def resize(work, sizes=FULL):
    result = compare((prepare_resize, sizes), (prepare_gather, sizes), sizes)
    assert np.array_equal(*result["values"]), "imresize and the gather differ"
    return [Row(f"imresize {text_of(*sizes.image)} x 3 by 1/4", result["ratio"], "x", 4,
                f"{1000 * result['ours']:.0f} ms compared with {1000 * result['plain']:.0f} ms, same bytes")]


# ---------------------------------------------------------------- training steps

def prepare_pretrain(folder, sizes):
    keep_freed_memory()
    precision = Precision("cpu", channels_last=True)
    generator = precision.to_device(full_networks(sizes)[0])
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, fused=True)
    loader = loader_of(folder, sizes, sizes.batch_size)
    return lambda: solver.pretrain(loader, generator, nn.MSELoss(), optimizer, 0, "cpu", 100,
                                   **silent(precision))["content"].avg


def prepare_plain_pretrain(folder, sizes):
    generator = plain.plain_layers(full_networks(sizes)[0])
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4)
    batch = batch_of(folder, sizes, sizes.batch_size)
    return lambda: plain.pretrain_step(generator, optimizer, *batch)


def step(work, sizes=FULL):
    folder = pairs_folder(work, sizes)
    result = compare((prepare_pretrain, folder, sizes), (prepare_plain_pretrain, folder, sizes), sizes,
                     pairs=sizes.step_pairs, after_pair=lambda: matrix_rate(sizes=sizes.matrices))
    check_same(result["values"])
    flop, rates = operations(prepare_plain_pretrain(folder, sizes)), result["after_pair"]
    # Each compared with the rate measured right after it: a shared machine is not always equally fast.
    share = statistics.median(flop / seconds / rate for (seconds, _), rate in zip(result["seconds"], rates))
    return [Row(f"pre-training step, full generator, batch {sizes.batch_size}", result["ratio"], "x", 1.35,
                f"{result['ours']:.2f} s compared with {result['plain']:.2f} s, same loss to 1e-5"),
            Row("  share of the machine's fp32 matrix rate", 100 * share, "%", 70,
                f"{flop / 1e9:.0f} GFLOP a step; matrix products: {statistics.median(rates) / 1e9:.0f} GFLOP/s, "
                "measured in turn with it")]


def prepare_srgan(folder, batch_size, sizes):
    keep_freed_memory()
    precision = Precision("cpu", channels_last=True)
    generator, discriminator, vgg19 = map(precision.to_device, full_networks(sizes))
    optimizers = [torch.optim.Adam(n.parameters(), lr=1e-4, fused=True) for n in (generator, discriminator)]
    loader = loader_of(folder, sizes, batch_size)

    def run():
        meters = solver.train(loader, generator, discriminator, vgg19, nn.MSELoss(), nn.BCEWithLogitsLoss(),
                              *optimizers, 0, "cpu", 1e-3, 100, **silent(precision))
        return tuple(meters[name].avg for name in ("content", "adversarial", "discriminator"))
    return run


def prepare_plain_srgan(folder, batch_size, sizes):
    generator, discriminator, vgg19 = full_networks(sizes)
    generator = plain.plain_layers(generator)
    vgg19.requires_grad_(True)
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4) for network in (generator, discriminator)]
    batch = batch_of(folder, sizes, batch_size)
    return lambda: plain.srgan_step(generator, discriminator, vgg19, *optimizers, *batch)


def srgan(work, sizes=FULL):
    folder, rows = pairs_folder(work, sizes), []
    for batch_size in sizes.srgan_batch_sizes:
        result = compare((prepare_srgan, folder, batch_size, sizes), (prepare_plain_srgan, folder, batch_size, sizes),
                         sizes)
        check_same(result["values"])
        rows.append(Row(f"SRGAN step, full networks, VGG {sizes.vgg[0]},{sizes.vgg[1]}, batch {batch_size}",
                        result["ratio"], "x", 1.4, f"{result['ours']:.2f} s compared with {result['plain']:.2f} s, "
                        "same losses to 1e-5"))
    return rows


# ---------------------------------------------------------------- whole images

def small_image(sizes):
    """LR of an HR mosaic, uint8 (h, w, 3)."""
    return imresize(mosaic(0, *sizes.image), 0.25)


def prepare_upscaling(sizes):
    generator, lr = full_networks(sizes)[0], small_image(sizes)
    return lambda: enlarging.super_resolve(generator, lr)


def prepare_plain_upscaling(sizes):
    generator, lr = plain.plain_layers(full_networks(sizes)[0]).eval(), small_image(sizes)
    return lambda: plain.upscale(generator, lr)


def enlarge(work, sizes=FULL):
    result, (height, width) = compare((prepare_upscaling, sizes), (prepare_plain_upscaling, sizes), sizes,
                                      warm=False), sizes.image
    ours, theirs = result["values"]
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3, "the two images differ"
    rows = [Row(f"upscaling {text_of(height // 4, width // 4)} to {text_of(height, width)}, full generator",
                result["ratio"], "x", 1.3, f"{result['ours']:.1f} s compared with {result['plain']:.1f} s")]
    if all(result["memory"]):                 # 0 where it is not measured
        ours, theirs = result["memory"]
        rows.append(Row("  its peak memory, whole image / ours", theirs / ours, "x", 3,
                        f"{ours / 2**20:.0f} MiB compared with {theirs / 2**20:.0f} MiB, without the loaded program"))
    return rows


def prepare_large(sizes):
    generator, lr = full_networks(sizes)[0], mosaic(0, *sizes.image)
    return lambda: enlarging.super_resolve(generator, lr).shape


def large(work, sizes=FULL):
    """Not in the table of `make bench`, because it takes minutes: 2040 x 1356 to 8160 x 5424."""
    way, (height, width) = (Way if sizes.apart else WayHere)(prepare_large, sizes), sizes.image
    seconds, shape, peak = way.run()
    way.close()
    return [Row(f"peak memory of upscaling {text_of(height, width)} to {text_of(4 * height, 4 * width)}", peak / 1e9,
                "GB", -3, f"{seconds:.0f} s, without the loaded program; result {shape}")]


def prepare_metrics(sizes):
    hr, sr = mosaic(0, *sizes.image), blurred(sizes)
    return lambda: (psnr(sr, hr), ssim(sr, hr))


def prepare_skimage_metrics(sizes):
    hr, sr = mosaic(0, *sizes.image), blurred(sizes)
    inside = np.s_[4:-4, 4:-4]
    return lambda: plain.skimage_psnr_ssim(luma(sr)[inside], luma(hr)[inside])


def blurred(sizes):
    return imresize(small_image(sizes), 4)


def metrics(work, sizes=FULL):
    result = compare((prepare_metrics, sizes), (prepare_skimage_metrics, sizes), sizes)
    check_same(result["values"], 1e-6)
    return [Row(f"PSNR + SSIM of a {text_of(*sizes.image)} pair, compared with scikit-image", result["ratio"], "x", 1.5,
                f"{1000 * result['ours']:.0f} ms compared with {1000 * result['plain']:.0f} ms, same scores to 1e-6")]


PARTS = {"loading": loading, "store": store, "resize": resize, "metrics": metrics, "step": step, "srgan": srgan,
         "enlarge": enlarge, "cuda": cuda}
ALONE = {"large": large, "a2n": a2n}          # only when they are named

"""The trained networks at work: enlarging a picture of any size, measuring a test set."""

from pathlib import Path

import numpy as np
import torch

from config import run_folder
from datasets import MissingList, SRDataset
from utils import convert_image, psnr, save_image, ssim, to_uint8, write_csv


def super_resolve(model, lr, tile=192, progress=None):
    """Enlarge one picture: uint8 array (h, w, 3) -> uint8 array (s h, s w, 3).

    The trunk runs on the whole picture (on tiles of 6 * tile where it is larger than
    that), the much larger feature maps of the tail tile by tile.  A tile is cut with a
    margin as wide as the network looks, so the result is that of the whole picture.

    Args:
        model: a generator, on any device; it is used in eval mode.
        lr: the picture; grey goes in as three equal channels (``utils.three_channels``).
        tile: side of a tail tile in LR pixels: memory is about 4 * C * (s * tile)^2 * 3 bytes.
        progress: function that is given a line of text after each tile of the trunk.

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
                sr = _in_tiles(lambda part: _enlarge(model, part.to(device), tile), x, model.scaling_factor,
                               sum(model.reach()), 6 * tile, progress)
            else:
                sr = _as_8_bit(model(x.to(device).float() / 255))
    finally:
        model.train(was_training)
    return sr[0].permute(1, 2, 0).numpy()


def _enlarge(model, x, tile):
    """uint8 (1, 3, h, w) -> uint8 (1, 3, s h, s w): the trunk in one piece, the tail in tiles."""
    features = model.trunk(x.float() / 255)                        # (1, C, h, w)
    return _in_tiles(lambda part: _as_8_bit(model.tail(part)), features, model.scaling_factor, model.reach()[1], tile)


def _as_8_bit(sr):
    """[-1, 1] on any device -> uint8 on the CPU."""
    return to_uint8(convert_image(sr, "[-1, 1]", "[0, 1]")).cpu()


def _in_tiles(function, x, scale, margin, tile, progress=None):
    """``function`` over tiles of x (1, C, h, w) with a margin that is cut off afterwards."""
    h, w = x.shape[-2:]
    if h <= tile and w <= tile:
        return function(x)
    result, places = None, [(top, left) for top in range(0, h, tile) for left in range(0, w, tile)]
    for n, (top, left) in enumerate(places, start=1):
        bottom, right = min(top + tile, h), min(left + tile, w)
        y0, x0 = max(top - margin, 0), max(left - margin, 0)
        part = function(x[..., y0:bottom + margin, x0:right + margin])
        if result is None:
            result = part.new_empty((1, part.shape[1], scale * h, scale * w))
        result[..., scale * top:scale * bottom, scale * left:scale * right] = part[
            ..., scale * (top - y0):scale * (bottom - y0), scale * (left - x0):scale * (right - x0)]
        if progress:
            progress(f"Enlarging: {n} of {len(places)} tiles")
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
        write_benchmark(run_folder(config) / "benchmark.csv", results)     # at once: nothing is lost by stopping
    return results, missing


def write_benchmark(path, results):
    """benchmark.csv: set, image, and psnr and ssim of each method."""
    methods = list(next(iter(results.values())))
    table = [["set", "image"] + [f"{method}_{measure}" for method in methods for measure in ("psnr", "ssim")]]
    for name, by_method in results.items():
        for rows in zip(*by_method.values()):
            table.append([name, rows[0][0]] + [f"{value:.6f}" for row in rows for value in row[1:]])
    write_csv(path, table)

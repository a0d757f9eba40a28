"""The trained networks at work: enlarging a picture of any size, measuring a test set."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import torch

from checkpoints import load_generator, save_image, shipped_names, write_csv
from config import SHIPPED_RUN, has_trained, run_folder, stage_config
from datasets import MissingList, SRDataset
from layers import folded
from metrics import psnr, ssim
from utils import convert_image, to_float, to_uint8

MEMORY = 2**29      # bytes for feature maps
SHIPPED = {"pretrain": "srresnet-x4", "srgan": "srgan-mse-x4"}      # in weights/


def generators_of(config):
    """The generators that test.ipynb and super_resolution.ipynb show, in eval mode, on config.device.

    "pretrain" is the run's best of the pre-training, "srgan" its last of SRGAN; a stage of no
    epochs has none (without pre-training, "pretrain" is what config.checkpoint names).  A run of
    another method (its module has to be imported) has the best of its own stages.  Where
    nothing has been trained in the run folder yet, they are those that come with the kit (SHIPPED),
    and ``config.name`` becomes SHIPPED_RUN: their pictures must not lie among a student's own.

    Returns:
        (generators, whose): a dict, and a sentence (Markdown) that says whose weights they are.

    Raises:
        CheckpointError: if a stage of the run has left none, or a damaged one; or if nothing has
            been trained and the scaling factor is not 4, that of the shipped ones.
    """
    paths = _paths_of(config)
    if has_trained(run_folder(config)):
        whose = f"Weights: those of this run, {' and '.join(map(str, paths.values()))}."
    elif config.scaling_factor == 4 and set(SHIPPED.values()) <= set(shipped_names()):
        whose = (f"**Nothing has been trained in {run_folder(config).as_posix()} yet. Shown are weights that come with "
                 f"the kit: `{SHIPPED['pretrain']}` and `{SHIPPED['srgan']}` (see `weights/`). They are not yours to "
                 f"hand in; their pictures are kept in runs/{SHIPPED_RUN}. "
                 f"{run_folder(config).as_posix()} 尚未训练，这里显示的是套件附带的权重 `{SHIPPED['pretrain']}` 和 "
                 f"`{SHIPPED['srgan']}`（见 `weights/`）；结果保存在 runs/{SHIPPED_RUN}，不可作为作业提交。**")
        paths, config.name = SHIPPED, SHIPPED_RUN
    return {stage: load_generator(path).to(config.device) for stage, path in paths.items()}, whose


def _paths_of(config):
    """{stage: path of the weights that it has left to be shown}."""
    folder = run_folder(config) / "checkpoints"
    paths = {"pretrain": folder / "pretrain_best.pth", "srgan": folder / "srgan_last.pth"}
    best = {path.name.removesuffix("_best.pth"): path for path in sorted(folder.glob("*_best.pth"))}
    others = {stage: path for stage, path in best.items() if stage not in paths}
    if others:                             # a run of another method: its stages in the order of its training
        path = run_folder(config) / "config.json"
        order = json.loads(path.read_text(encoding="utf-8")).get("stages", []) if path.exists() else []
        return dict(sorted(others.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1))
    for stage in [stage for stage in paths if stage_config(config, stage).epochs == 0]:
        paths.pop(stage)
        if stage == "pretrain" and config.checkpoint:       # SRGAN has begun with these
            paths = {stage: config.checkpoint, **paths}
    return paths


@torch.no_grad()
def interpolated(first, second, alpha):
    """The network whose weights lie between those of two: (1 - alpha) first + alpha second, in eval mode.

    Wang et al. 2018, "ESRGAN" (arXiv 1809.00219), section 3.4.  It works where the second was
    trained on from the first: two networks that were trained apart have nothing between them.

    Args:
        first, second: generators of the same shape; they are not changed.
        alpha: 0 gives the first, 1 the second.

    Raises:
        ValueError: if their settings differ.
    """
    if (first.method, first.settings) != (second.method, second.settings):
        raise ValueError(f"Only networks of the same shape have something between them, not {first.settings} and "
                         f"{second.settings}.")
    result = copy.deepcopy(first)
    for value, other in zip(result.state_dict().values(), second.state_dict().values()):
        if value.is_floating_point():
            value.lerp_(other.to(value), alpha)          # BatchNorm's means and variances too
    for layer in result.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):      # an alpha beyond 0 to 1 can lead below zero
            layer.running_var.clamp_(min=0)
    return result.eval()


def super_resolve(model, lr, memory=MEMORY, self_ensemble=False, progress=None):
    """Enlarge one picture: uint8 array (h, w, 3) -> uint8 array (s h, s w, 3).

    The trunk runs on the whole picture where that fits into ``memory``, else on tiles; the
    much larger feature maps of the tail are always made tile by tile.  A tile is cut with a
    margin as wide as the network looks, so the result is that of the whole picture.
    BatchNorm is folded into the convolutions.  The model itself is not changed.

    Args:
        model: a generator, on any device; it is used in eval mode.
        lr: the picture; grey goes in as three equal channels (``utils.three_channels``).
        memory: bytes for the network's feature maps; picture and result come on top.
        self_ensemble: the mean over the eight flips and rotations of the picture (Timofte et
            al. 2016, arXiv 1511.02228): eight times the work, a little better.
        progress: function that is given a line of text after each tile.

    Raises:
        ValueError: for another dtype or shape, or too little ``memory`` for a single tile.
    """
    if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3:
        raise ValueError(f"super_resolve takes a uint8 array (h, w, 3), not {lr.dtype} {lr.shape}.")
    network = folded(model).to(memory_format=torch.channels_last)
    x = torch.from_numpy(np.array(lr)).permute(2, 0, 1)[None]      # (1, 3, h, w) uint8
    passes, done = 8 if self_ensemble else 1, 0

    def tell(n_pixels):
        nonlocal done
        done += n_pixels
        if progress:
            progress(f"Enlarging {lr.shape[1]} x {lr.shape[0]}: {done / (passes * lr.shape[0] * lr.shape[1]):.0%}")

    with torch.inference_mode():
        if self_ensemble:      # the mean is taken before rounding to 8 bits
            sr = _as_8_bit(sum(_turned_back(_enlarge(network, _turned(x, turn), memory, tell, torch.Tensor.cpu), turn)
                               for turn in range(8)) / 8)
        else:
            sr = _enlarge(network, x, memory, tell, _as_8_bit)
    return sr[0].permute(1, 2, 0).contiguous().numpy()


def _enlarge(network, x, memory, tell, finish):
    """uint8 (1, 3, h, w) -> (1, 3, s h, s w), where ``finish`` has been applied to each tile of SR."""
    device, (h, w) = next(network.parameters()).device, x.shape[-2:]
    if not hasattr(network, "trunk"):          # some other network: nothing is known of how far it looks
        return finish(network(to_float(x.to(device))))
    s, result = network.scaling_factor, None
    trunk_reach, tail_reach = network.reach()
    trunk_bytes, tail_bytes = network.feature_bytes()
    whole = h * w * trunk_bytes <= memory
    outer_side = max(h, w) if whole else _side(memory, trunk_bytes, trunk_reach + tail_reach)
    # An eighth for the tail: its margin is narrow, so that small tiles cost little, and caches like them.
    inner_side = _side(memory / 8, tail_bytes, tail_reach)
    for outer in _tiles((0, h, 0, w), outer_side):
        seen = _grown(outer, trunk_reach + tail_reach, h, w)
        features = network.trunk(to_float(_cut(x, seen).to(device)))                   # (1, C, ...)
        for inner in _tiles(outer, inner_side):
            cut = _grown(inner, tail_reach, h, w)
            sr = finish(network.tail(_cut(features, cut, origin=seen)))                # (1, 3, ...)
            if result is None:
                result = sr.new_empty((1, h * s, w * s, 3)).permute(0, 3, 1, 2)        # pixels stay together
            _cut(result, inner, scale=s).copy_(_cut(sr, inner, origin=cut, scale=s))
            tell((inner[1] - inner[0]) * (inner[3] - inner[2]))
    return result


# A box is (top, bottom, left, right), in pixels of the whole LR picture.

def _side(memory, bytes_per_pixel, margin):
    """The side of a square tile whose feature maps fit into ``memory`` together with its margin."""
    side = math.isqrt(int(memory / bytes_per_pixel)) - 2 * margin
    if side < 8:
        raise ValueError("memory is too little for this network: a tile of 8 x 8 pixels with its margin takes "
                         f"{(8 + 2 * margin)**2 * bytes_per_pixel / 1e6:.1f} MB (for the tail, an eighth of memory).")
    return side


def _tiles(box, side):
    """Boxes no larger than ``side``, all about equal, that fill a box."""
    def ends(first, last):
        n = -(-(last - first) // side)
        return [first + (last - first) * k // n for k in range(n + 1)]
    rows, columns = ends(*box[:2]), ends(*box[2:])
    return [(top, bottom, left, right) for top, bottom in zip(rows, rows[1:])
            for left, right in zip(columns, columns[1:])]


def _grown(box, margin, h, w):
    """The box with a margin, as far as the picture has one."""
    top, bottom, left, right = box
    return max(top - margin, 0), min(bottom + margin, h), max(left - margin, 0), min(right + margin, w)


def _cut(x, box, origin=(0, 0, 0, 0), scale=1):
    """The box out of x (..., H, W), whose first pixel is that of the box ``origin``."""
    top, bottom, left, right = box
    y, x0 = origin[0], origin[2]
    return x[..., scale * (top - y):scale * (bottom - y), scale * (left - x0):scale * (right - x0)]


def _as_8_bit(sr):
    """[-1, 1] on any device -> uint8 on the CPU."""
    return to_uint8(convert_image(sr, "[-1, 1]", "[0, 1]")).cpu()


def _turned(x, turn):
    """One of the eight flips and rotations (0 to 7) of images (..., H, W)."""
    flips = [axis for bit, axis in ((1, -2), (2, -1)) if turn & bit]
    x = x.flip(flips)
    return x.transpose(-2, -1) if turn & 4 else x


def _turned_back(x, turn):
    """Undoes ``_turned``."""
    if turn & 4:
        x = x.transpose(-2, -1)
    return x.flip([axis for bit, axis in ((1, -2), (2, -1)) if turn & bit])


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

"""How fast SRDiff and SR3 are: python -m benchmarks.diffusion srdiff|sr3 [--preset full] [--compile]

Compared with the plain way, which is what one writes first: torch's own Mish, attention by two
products and a softmax over a whole matrix, the default memory format, the encoder and the
projection of its features again in each step of sampling, Adam tensor by tensor, the loss read
after each update.  Both ways compute the same numbers, which is checked before anything is
timed.  Each number is the median over pairs of runs that take turns.
"""

import argparse
import math
import statistics
import time
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from benchmarks.measure import machine
from extensions import sr3, srdiff
from extensions.diffusion import randn
from extensions.train import METHODS, extension_config
from support.figures import table
from support.layers import FewChannelsConv2d
from support.precision import Precision, keep_freed_memory
from support.run import stage_config

TOLERANCE = 4e-3    # for values in [-1, 1], after all steps: half of an 8-bit level
ALIKE = 0.2         # on CUDA: mixed precision rounds to 8 bits of mantissa, so numbers are only alike


class PlainBlock(srdiff.Block):
    """torch's own Mish."""

    def forward(self, x):
        return functional.mish(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect")))


class PlainAttention(sr3.Attention):
    """softmax(q k / sqrt(C)) v with the whole matrix (N, h w, h w) in memory."""

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)                  # each (N, C, h w)
        weights = torch.softmax(torch.einsum("nci,ncj->nij", q, k) / math.sqrt(c), dim=2)
        return x + self.leave(torch.einsum("nij,ncj->nci", weights, v).reshape(n, c, h, w))


PLAIN = {srdiff.Block: PlainBlock, sr3.Attention: PlainAttention, FewChannelsConv2d: nn.Conv2d}


def networks_of(config, device, with_compile):
    """{way: network} with the same weights: "plain", "kit" and, ``with_compile``, "kit, torch.compile"."""
    networks = {}
    for way in ("plain", "kit") + ("kit, torch.compile",) * with_compile:
        torch.manual_seed(config.seed)
        if config.method == "srdiff":
            network = srdiff.SRDiff(**config.SRDiff, scaling_factor=config.scaling_factor)
        else:
            settings = stage_config(config, "sr3").network
            # Dropout draws in the order of the memory format; without it both ways have the same loss.
            network = sr3.SR3(**{**settings, "unet": {**settings["unet"], "dropout": 0.0}},
                              scaling_factor=config.scaling_factor)
        networks[way] = network.to(device)
    for layer in networks["plain"].modules():
        layer.__class__ = PLAIN.get(type(layer), type(layer))
    for network in list(networks.values())[1:]:
        network.to(memory_format=torch.channels_last)
    if with_compile:
        networks["kit, torch.compile"].unet.compile()
    return networks


def plain_sample(network, lr):
    """``network.sample(lr)`` in the plain way: (N, 3, h, w) -> (N, 3, 4h, 4w); for sides that need no padding."""
    if isinstance(network, sr3.SR3):
        return network.sample(lr)
    up, generator = network.enlarged(lr), torch.Generator().manual_seed(network.seed)
    x = (1 - network.diffusion.alphabar[-1]).sqrt().item() * randn(up, generator)

    def noise(x, t):
        _, features = network.encoder.features(lr)
        return network.unet(x, features, torch.tensor([t], device=lr.device))

    with torch.no_grad():
        return network.picture_of(network.diffusion.sample(noise, x, generator, network.n_steps, network.ddim), up)


def sampling(networks, device, n_steps, repeats, side):
    """Rows of the table: an image of side x side pixels, by DDIM in n_steps; 0: in all, by DDPM.

    Raises:
        SystemExit: if the two ways make different images.
    """
    lr = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(1)).to(device)
    for network in networks.values():
        network.eval()
        network.n_steps, network.ddim, network.tile = n_steps or None, bool(n_steps), side
    ways = {way: partial(plain_sample, network, lr) if way == "plain" else partial(network.sample, lr)
            for way, network in networks.items()}
    difference = (ways["plain"]() - ways["kit"]()).abs().max().item()
    if not difference < (TOLERANCE if device == "cpu" else ALIKE):
        raise SystemExit(f"The two ways differ by {difference:.2e}; nothing was timed.")
    walk = f"DDIM, {n_steps} steps" if n_steps else f"DDPM, {networks['kit'].diffusion.n_steps} steps"
    return rows_of(f"an image of {side} x {side}, {walk}", ways, repeats, difference,
                   lambda seconds: f"{seconds:.2f} s")


def training(networks, device, batch_size, crop_size, repeats):
    """Rows of the table: updates a second (of SRDiff, the U-Net's).

    Raises:
        SystemExit: if the two ways have different losses.
    """
    hr = torch.rand(batch_size, 3, crop_size, crop_size, generator=torch.Generator().manual_seed(1)).to(device) * 2 - 1
    lr, precision = functional.avg_pool2d(hr, 4) / 2 + 0.5, Precision(device, "auto", channels_last=True)
    kit_pair = [x.contiguous(memory_format=torch.channels_last) for x in (lr, hr)]

    def plain_update(network, optimizer):
        optimizer.zero_grad()
        loss = network.loss(lr, hr)
        loss.backward()
        optimizer.step()
        return loss.item()

    def update(network, optimizer):
        with precision.autocast():
            loss = network.loss(*kit_pair)
        precision.step(loss, optimizer)
        return loss.detach()

    ways, losses = {}, {}
    for way, network in networks.items():
        trained = [p for p in network.train().parameters() if p.requires_grad]
        options = dict(foreach=False) if way == "plain" else dict(fused=True)
        ways[way] = partial(plain_update if way == "plain" else update, network,
                            torch.optim.Adam(trained, 1e-4, **options))
        torch.manual_seed(2)
        losses[way] = float(ways[way]())
    difference = abs(losses["plain"] - losses["kit"])
    if not difference < (1e-4 if device == "cpu" else 2e-2):
        raise SystemExit(f"The two ways have the losses {losses}; nothing was timed.")
    return rows_of(f"training, {batch_size} patches of {crop_size} x {crop_size}", ways, repeats, difference,
                   lambda seconds: f"{1 / seconds:.2f} updates/s")


def rows_of(what, ways, repeats, difference, shown):
    """A row of the table for each way; the ways take turns."""
    times = {way: [] for way in ways}
    for number in range(repeats + 1):                    # the first round only warms up
        for way, act in ways.items():
            begun = time.perf_counter()
            act()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                times[way].append(time.perf_counter() - begun)
    return [[what, way, shown(statistics.median(values)),
             f"{statistics.median(a / b for a, b in zip(times['plain'], values)):.2f} x", f"{difference:.1e}"]
            for way, values in times.items()]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffusion", description=__doc__.split("\n\n")[0])
    parser.add_argument("method", choices=["srdiff", "sr3"])
    parser.add_argument("--preset", default="small", choices=sorted({*srdiff.PRESETS, *sr3.PRESETS}))
    parser.add_argument("--steps", type=int, default=20, help="of DDIM (default: 20); 0: all steps of DDPM")
    parser.add_argument("--side", type=int, default=256, help="of the image that is made (default: 256)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also torch.compile (a minute to compile)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    if args.preset not in METHODS[args.method].PRESETS:
        parser.error(f"{args.method} has no preset {args.preset!r}: {', '.join(METHODS[args.method].PRESETS)}")
    config = extension_config(args.method, args.preset)
    settings = stage_config(config, args.method)
    if args.device == "cpu":
        keep_freed_memory()                              # for all ways: the training does so too
    networks = networks_of(config, args.device, args.compile)
    rows = sampling(networks, args.device, args.steps, args.repeats, args.side)
    rows += training(networks, args.device, settings.batch_size, settings.crop_size, args.repeats)
    print(f"{args.method}, preset {args.preset}: {machine()}\n")
    print(table(["what", "way", "measured", "speed-up", "largest difference"], rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""SRDiff: single image super-resolution with diffusion models (Li et al. 2021, arXiv 2104.14951).

Not the picture is drawn out of noise, but what interpolation misses: the residual
2 (HR - up(LR)).  An encoder that has learnt super-resolution by itself tells the U-Net what LR
looks like.  Images inside are in [-1, 1].

Two stages: ``python -m extensions srdiff`` trains the encoder ("srdiff_encoder"), then, with
the encoder frozen, the U-Net ("srdiff").  What a trained model can do besides enlarging is in
srdiff_sampling.py.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from extensions.diffusion import Diffusion, cosine_betas, randn
from extensions.interpolation import bicubic
from extensions.mish import mish
from extensions.srdiff_sampling import Tiles
from inference import load_generator, weights_to_show
from support.checkpoints import CheckpointError, register_method
from support.convert import convert_image
from support.run import run_folder

SLOPE = 0.2


def conv3(c_in, c_out):
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def copying(weight, bias, out, source, kernel):
    """Let a convolution's output channel be one input channel under a kernel (k, k), and nothing else."""
    weight[out], bias[out] = 0, 0
    weight[out, source] = kernel


def single(size, row, column):
    """A kernel (size, size) of one 1."""
    kernel = torch.zeros(size, size)
    kernel[row, column] = 1
    return kernel


# ---------------------------------------------------------------- encoder

class DenseBlock(nn.Module):
    """x + 0.2 F(x), F five convolutions of which each sees all before it (ESRGAN, figure 4)."""

    def __init__(self, n_channels, growth):
        super().__init__()
        self.convolutions = nn.ModuleList(
            conv3(n_channels + i * growth, growth if i < 4 else n_channels) for i in range(5))

    def forward(self, x):
        seen = [x]
        for i, convolution in enumerate(self.convolutions):
            out = convolution(torch.cat(seen, dim=1))
            seen.append(functional.leaky_relu(out, SLOPE) if i < 4 else out)
        return x + 0.2 * seen[-1]


class RRDB(nn.Module):
    """Residual in residual dense block: x + 0.2 of three dense blocks."""

    def __init__(self, n_channels, growth):
        super().__init__()
        self.layers = nn.Sequential(*[DenseBlock(n_channels, growth) for _ in range(3)])

    def forward(self, x):
        return x + 0.2 * self.layers(x)


@register_method("srdiff_encoder", "SRDiff's encoder", "tab:olive")
class Encoder(nn.Module):
    """RRDBNet: (N, 3, h, w) in [0, 1] -> (N, 3, 4h, 4w) in [-1, 1]; ``features`` for the U-Net.

    Args:
        n_channels: of the feature maps.
        n_blocks: RRDBs; every third output is a condition.
    """

    def __init__(self, n_channels=32, n_blocks=8, scaling_factor=4):
        super().__init__()
        if scaling_factor not in (4, 8):
            raise ValueError(f"SRDiff enlarges 4 or 8 times, not {scaling_factor}.")
        self.settings = dict(n_channels=n_channels, n_blocks=n_blocks, scaling_factor=scaling_factor)
        self.scaling_factor = scaling_factor
        self.first = conv3(3, n_channels)
        self.blocks = nn.ModuleList(RRDB(n_channels, n_channels // 2) for _ in range(n_blocks))
        self.trunk_conv = conv3(n_channels, n_channels)
        self.doublings = nn.ModuleList(conv3(n_channels, n_channels) for _ in range(int(math.log2(scaling_factor))))
        self.head = nn.Sequential(conv3(n_channels, n_channels), nn.LeakyReLU(SLOPE), conv3(n_channels, 3))

    @torch.no_grad()
    def start_as_interpolation(self):
        """Begin as bilinear interpolation (but for the border): three channels carry R, G and B to the end.

        Not in the paper.  A short training need not learn first what a picture is.
        """
        middle = single(3, 1, 1)
        triangle = torch.outer(*2 * [torch.tensor([1.0, 2, 1]) / 4])       # behind nearest x2: bilinear x2
        for c in range(3):
            copying(self.first.weight, self.first.bias, c, c, middle)
            self.trunk_conv.weight[c], self.trunk_conv.bias[c] = 0, 0
            for convolution in self.doublings:
                copying(convolution.weight, convolution.bias, c, c, triangle)
            for convolution in (self.head[0], self.head[2]):
                copying(convolution.weight, convolution.bias, c, c, middle)
        return self

    def n_condition(self):
        """Channels of the condition."""
        return self.settings["n_channels"] * len(range(self.settings["n_blocks"] + 1)[2::3])

    def features(self, lr):
        """(final features (N, C, h, w), condition (N, C', h, w))."""
        first = self.first(lr)
        outputs, x = [], first
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        final = first + self.trunk_conv(x)
        return final, torch.cat([*outputs, final][2::3], dim=1)

    def forward(self, lr):
        x, _ = self.features(lr)
        for convolution in self.doublings:
            x = functional.leaky_relu(convolution(functional.interpolate(x, scale_factor=2, mode="nearest")), SLOPE)
        sr = self.head(x)
        return 2 * (sr if self.training else sr.clamp(0, 1)) - 1      # a clamp in training would stop gradients

    def loss(self, lr, hr):
        """Mean absolute error of the enlarged picture (the encoder's pre-training); lr in [0, 1], hr in [-1, 1]."""
        return functional.l1_loss(self(lr).float(), hr)


# ---------------------------------------------------------------- U-Net

class Block(nn.Module):
    """Reflection, a convolution, Mish: no zeros from outside that would darken the border."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3)

    def forward(self, x):
        return mish(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect")))


class ResBlock(nn.Module):
    """Two blocks, the step's embedding between them, and a skip."""

    def __init__(self, c_in, c_out, c_time):
        super().__init__()
        self.first, self.second = Block(c_in, c_out), Block(c_out, c_out)
        self.time = nn.Sequential(nn.Mish(), nn.Linear(c_time, c_out))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, time):
        h = self.first(x) + self.time(time)[:, :, None, None]
        return self.second(h) + self.skip(x)


class Shrinking(nn.Module):
    """Reflection and a convolution of stride 2."""

    def __init__(self, n_channels):
        super().__init__()
        self.conv = nn.Conv2d(n_channels, n_channels, 3, stride=2)

    def forward(self, x):
        return self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect"))


class StepEmbedding(nn.Module):
    """The step t as sines and cosines of many frequencies, then two linear layers (DDPM, appendix B)."""

    def __init__(self, size, n_frequencies=32):
        super().__init__()
        half = n_frequencies - 1
        self.register_buffer("frequencies", torch.exp(-torch.arange(n_frequencies) * math.log(1e4) / half),
                             persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_frequencies, 4 * size), nn.Mish(), nn.Linear(4 * size, size))

    def forward(self, t):
        angles = t[:, None].to(self.frequencies) * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))        # (N, size)


class UNet(nn.Module):
    """Predicts the noise in a residual: (N, 3, H, W), condition (N, C', h, w), steps (N,) -> (N, 3, H, W).

    H and W have to be divisible by ``cell`` (2 for each shrinking), and at least twice as large.

    Args:
        n_channels: of the first level; the others have ``multipliers`` times as many.
        n_condition: C', channels of the encoder's features.
    """

    def __init__(self, n_channels, multipliers, n_condition, scaling_factor):
        super().__init__()
        sizes = [n_channels * multiplier for multiplier in multipliers]
        s, self.cell = scaling_factor, 2 ** (len(sizes) - 1)
        self.time = StepEmbedding(n_channels)
        self.condition = nn.ConvTranspose2d(n_condition, sizes[0], 2 * s, stride=s, padding=s // 2)
        self.down, c = nn.ModuleList(), 3
        for k, size in enumerate(sizes):
            self.down.append(nn.ModuleList([
                ResBlock(c, size, n_channels), ResBlock(size, size, n_channels),
                Shrinking(size) if k < len(sizes) - 1 else nn.Identity()]))
            c = size
        self.middle = nn.ModuleList([ResBlock(c, c, n_channels), ResBlock(c, c, n_channels)])
        self.up = nn.ModuleList()
        for size, skip in zip(sizes[-2::-1], sizes[:0:-1]):
            self.up.append(nn.ModuleList([
                ResBlock(2 * skip, size, n_channels), ResBlock(size, size, n_channels),
                nn.ConvTranspose2d(size, size, 4, stride=2, padding=1)]))
        self.head = nn.Sequential(Block(sizes[0], sizes[0]), nn.Conv2d(sizes[0], 3, 1))

    @torch.no_grad()
    def start_as_interpolation(self):
        """Begin with x itself as the prediction of the noise in it, which is a residual of almost nothing.

        Not in the paper.  Of the noise every number must come through the whole network, past all the
        convolutions (there is no skip from x to the end); a short training would do little else than
        learn that.  Here 12 channels carry the four pixels of each square of 2 x 2 through half the
        resolution, and every block begins as its skip.

        Raises:
            ValueError: if the network has fewer than 12 channels.
        """
        if self.head[1].in_channels < 12:
            raise ValueError(f"start_as_interpolation wants 12 channels or more, not {self.head[1].in_channels}; "
                             'set config.start = "random".')
        for block in self.modules():
            if isinstance(block, ResBlock):
                block.second.conv.weight.zero_(), block.second.conv.bias.zero_()
        (enter, _, shrink), (below, _, _), (up, _, enlarge) = self.down[0], self.down[1], self.up[-1]
        self.condition.weight[:, :3], self.condition.bias[:3] = 0, 0
        head, last = self.head[0].conv, self.head[1]
        last.weight.zero_()
        for c in range(3):
            copying(enter.skip.weight, enter.skip.bias, c, c, single(1, 0, 0))
            enlarge.weight[:, c], enlarge.bias[c] = 0, 0           # a transposed convolution: (in, out, k, k)
            for k in range(4):                                     # the pixels of a square
                row, column, carrier = 1 + k // 2, 1 + k % 2, 3 * k + c
                copying(shrink.conv.weight, shrink.conv.bias, carrier, c, single(3, row, column))
                if isinstance(below.skip, nn.Conv2d):
                    copying(below.skip.weight, below.skip.bias, carrier, carrier, single(1, 0, 0))
                skipped = up.skip.in_channels // 2 + carrier       # behind the channels that come from below
                copying(up.skip.weight, up.skip.bias, carrier, skipped, single(1, 0, 0))
                enlarge.weight[carrier, c] = single(4, row, column)
            # Mish is straight where its input is above 3: a detour over +4, and noise passes unchanged.
            copying(head.weight, head.bias, c, c, single(3, 1, 1))
            head.bias[c], last.weight[c, c], last.bias[c] = 4, 1, -4
        return self

    def receptive_margin(self):
        """How many pixels of x away a pixel can still change the noise that is predicted for this one."""
        levels = [2**k for k in range(len(self.down))]          # pixels of x for one of the level's
        down = sum(4 * f for f in levels) + sum(levels[:-1])    # four convolutions a level, and the shrinking
        up = sum(4 * f + f for f in levels[1:])                 # the same, and the enlarging
        return down + 4 * levels[-1] + up + 1

    def forward(self, x, condition, t, is_projected=False):
        """``is_projected``: the condition is ``self.condition(features)`` already, which no step changes."""
        time, condition, skips = self.time(t), condition if is_projected else self.condition(condition), []
        for k, (first, second, shrink) in enumerate(self.down):
            x = second(first(x, time), time)
            if k == 0:
                x = x + condition             # behind the first level's blocks: LR's features at HR's size
            skips.append(x)
            x = shrink(x)
        for block in self.middle:
            x = block(x, time)
        for first, second, enlarge in self.up:
            # The skip of the full resolution is left over: the last level has none.
            x = enlarge(second(first(torch.cat([x, skips.pop()], dim=1), time), time))
        return self.head(x)


# ---------------------------------------------------------------- the whole method

@register_method("srdiff", "SRDiff", "tab:red")
class SRDiff(nn.Module):
    """(N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1], drawn at random: one of the pictures that LR allows.

    ``seed``, ``n_steps`` and ``ddim`` are attributes and may be changed at any time; the result is a
    function of them and of LR.

    Args:
        encoder: dict, the arguments of Encoder.
        n_channels, multipliers: of the U-Net.
        scaling_factor: 4 or 8.
        n_train_steps: T, of the cosine schedule (100 in the paper).
        n_steps: of sampling (None: all T).
        ddim: sampling without new noise.
    """

    def __init__(self, encoder=None, n_channels=64, multipliers=(1, 2, 3, 4), scaling_factor=4, n_train_steps=100,
                 n_steps=None, ddim=False):
        super().__init__()
        encoder = dict(encoder or {})
        self.settings = dict(encoder=encoder, n_channels=n_channels, multipliers=list(multipliers),
                             scaling_factor=scaling_factor, n_train_steps=n_train_steps, n_steps=n_steps, ddim=ddim)
        self.scaling_factor, self.n_steps, self.ddim, self.seed = scaling_factor, n_steps, ddim, 0
        self.memory = 2**31                # bytes for the feature maps of sampling: larger pictures go tile by tile
        self.diffusion = Diffusion(cosine_betas(n_train_steps))
        self.encoder = Encoder(**encoder, scaling_factor=scaling_factor).requires_grad_(False)
        self.unet = UNet(n_channels, multipliers, self.encoder.n_condition(), scaling_factor)

    # ---- residuals

    def enlarged(self, lr):
        """up(LR): (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w), about [-1, 1]."""
        # Bicubic by our imresize, the authors' kernel too; the same here, in training and in sampling.
        return convert_image(bicubic(lr, self.scaling_factor), "[0, 1]", "[-1, 1]")

    @staticmethod
    def residual_of(hr, up):
        """x0 = clamp(2 (HR - up(LR)), -1, 1): residuals are small beside noise of variance 1."""
        return (2 * (hr - up)).clamp(-1, 1)

    @staticmethod
    def picture_of(residual, up):
        """The picture that has this residual."""
        return residual.clamp(-1, 1) / 2 + up

    # ---- training

    def loss(self, lr, hr):
        """E |noise - U-Net(x_t, features(LR), t)|, t and noise drawn anew each time (the paper's algorithm 1).

        Args:
            lr: (N, 3, h, w) in [0, 1].
            hr: (N, 3, s h, s w) in [-1, 1]; s h and s w divisible by ``unet.cell``.
        """
        residual = self.residual_of(hr, self.enlarged(lr))
        with torch.no_grad():
            _, features = self.encoder.features(lr)
        t = torch.randint(self.diffusion.n_steps, (len(lr),))              # one for each picture
        # Not randn_like: it fills the memory in its order, so that channels_last would get other noise from one seed.
        noise = torch.randn(residual.shape, device=residual.device)
        x = self.diffusion.add_noise(residual, t, noise)
        predicted = self.unet(x, features, t.to(x.device))
        return functional.l1_loss(predicted.float(), noise)

    # ---- sampling

    def forward(self, lr):
        return self.sample(lr)

    @torch.inference_mode()
    def sample(self, lr, x=None, start=None, each=None):
        """Walk from noise to a picture (the paper's algorithm 2).

        Pictures of any size: what is larger than ``memory`` allows is seen by the U-Net in tiles,
        anew in each step, with a margin as wide as it looks.  Noise is drawn for the whole picture,
        so there are no seams.

        Args:
            lr: (N, 3, h, w) in [0, 1].
            x: residual with noise to begin with, (N, 3, s h, s w) (default: pure noise).
            start: the step whose noise is in ``x``, from 0 (default: the last).
            each: function (step number, picture that the U-Net now expects, x) that is called after each step.

        Returns:
            (N, 3, s h, s w) in [-1, 1] and a little beyond.
        """
        height, width = (self.scaling_factor * length for length in lr.shape[-2:])
        up, tiles = self.enlarged(lr), Tiles(self, lr)
        generator = torch.Generator().manual_seed(self.seed)
        # The tiles want sides that are divisible; the pixels beyond the picture begin as noise and are cut off.
        blank = up.new_zeros(*up.shape[:2], *tiles.size)
        noisiest = torch.full((len(lr),), self.diffusion.n_steps - 1 if start is None else start)
        canvas = self.diffusion.add_noise(blank, noisiest, randn(blank, generator))
        if x is not None:
            canvas[..., :height, :width] = x

        def told(number, x0, x):
            each(number, self.picture_of(x0[..., :height, :width], up), x[..., :height, :width])

        residual = self.diffusion.sample(tiles.noise, canvas, generator, self.n_steps, self.ddim, start=start,
                                         each=each and told)
        return self.picture_of(residual[..., :height, :width], up)


# ---------------------------------------------------------------- training

# "Code" is the authors' public configuration for DIV2K + Flickr2K x4.  Their clipping of gradients longer than 10 is
# left out: the kit has none.
PRESETS = {
    # To see every line run: seconds.
    "demo": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, crop_size=32, patch_num=40, batch_size=4, n_valid=1,
                 averaging=0.9, lr_schedule="cosine",
                 SRDiff=dict(encoder=dict(n_channels=8, n_blocks=2), n_channels=12, multipliers=(1, 2), n_steps=4,
                             ddim=True),
                 srdiff_encoder=dict(epochs=2, updates_per_epoch=10, lr=1e-3),
                 srdiff=dict(epochs=2, updates_per_epoch=10, lr=1e-3)),

    # Two CPU cores, ten minutes for both stages.  Patches of 48 pixels: on smaller ones, the zeros around LR reach
    # every feature of the encoder, and the U-Net learns features that whole pictures do not have.
    "small": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, crop_size=48, n_valid=3, averaging=0.99,
                  lr_schedule="cosine", warmup=50,
                  SRDiff=dict(encoder=dict(n_channels=16, n_blocks=2), n_channels=24, multipliers=(1, 2, 2),
                              n_steps=10),
                  srdiff_encoder=dict(batch_size=16, epochs=2, updates_per_epoch=600, lr=2e-3),
                  srdiff=dict(batch_size=8, epochs=4, updates_per_epoch=500, lr=1e-3)),

    # Code, for a GPU: 13,234,022 parameters; 100,000 and 400,000 updates (with 800 images or more).
    "full": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, workers=2, start="random",
                 crop_size=160,           # code: patch_size
                 batch_size=64,           # code
                 n_valid=2,               # 100 steps for a 2K picture take long
                 keep_every=20,           # 53 MB each
                 averaging=0,             # code: no averaged weights
                 SRDiff=dict(encoder=dict(n_channels=32, n_blocks=8), n_channels=64, multipliers=(1, 2, 3, 4)),
                 srdiff_encoder=dict(epochs=100, updates_per_epoch=1000, lr=2e-4, lr_milestones=[]),
                 srdiff=dict(epochs=400, updates_per_epoch=1000, lr=2e-4, lr_milestones=[0.5], lr_factor=0.5)),
}
# With the larger encoder, 17 blocks of 64 channels (code): 25,316,358 parameters together.
PRESETS["large"] = {**PRESETS["full"], "SRDiff": {**PRESETS["full"]["SRDiff"], "encoder": dict(n_channels=64,
                                                                                              n_blocks=17)}}


def build(config, stage):
    """The network of a stage: "srdiff_encoder" with fresh weights, "srdiff" with the encoder that has been trained.

    Fresh weights are random, or with ``config.start = "interpolation"`` those of start_as_interpolation.
    The encoder is the file (or the name in weights/) ``config.encoder``, else this run's
    srdiff_encoder_best.pth.

    Raises:
        CheckpointError: if there is none, or it is not of this size.
    """
    settings = {**config.SRDiff, "scaling_factor": config.scaling_factor}
    if stage == "srdiff_encoder":
        encoder = Encoder(**settings["encoder"], scaling_factor=config.scaling_factor)
        return encoder.start_as_interpolation() if config.start == "interpolation" else encoder
    path = config.encoder or run_folder(config) / "checkpoints" / "srdiff_encoder_best.pth"
    try:
        trained = load_generator(path)
    except CheckpointError as error:
        raise CheckpointError(f"SRDiff's U-Net is trained on the features of a trained encoder. {error} Train the "
                              "stage srdiff_encoder first (it is the first of config.stages), or give config.encoder "
                              "a file that holds one.") from error
    trained = getattr(trained, "encoder", trained)                    # a whole SRDiff has one, too
    network = SRDiff(**settings)
    if getattr(trained, "settings", None) != network.encoder.settings:
        raise CheckpointError(f"{path} holds {type(trained).__name__} with {getattr(trained, 'settings', {})}, but the "
                              f"configuration wants an encoder with {network.encoder.settings}. Change "
                              "config.SRDiff.encoder, or give config.encoder another file.")
    network.encoder.load_state_dict(trained.state_dict())
    if config.start == "interpolation":
        network.unet.start_as_interpolation()
    return network


SHIPPED = "srdiff-small-x4"        # in weights/


def model_to_show(config):
    """The SRDiff that the notebook shows: the run's own, or, where nothing has been trained, that of the kit.

    Returns:
        (model, note, run): in eval mode on config.device; and as ``inference.generators_of``.

    Raises:
        CheckpointError: if the run has trained something, but no SRDiff, or the file is damaged.
    """
    own = run_folder(config) / "checkpoints" / "srdiff_best.pth"
    weights, note, run = weights_to_show(config, {"srdiff": own}, {"srdiff": SHIPPED})
    model = load_generator(weights["srdiff"])
    return model.to(config.device, memory_format=torch.channels_last), note, run

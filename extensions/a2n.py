"""A2N: attention in attention network for image super-resolution (Chen et al. 2021, arXiv 2104.09497).

Regression like SRResNet, with three differences: no BatchNorm; attention that is itself weighted
against a branch without attention; the upscaled LR added at the very end, so that the network
only learns what interpolation misses.

Shapes are written (N, C, h, w), where h and w are LR pixels and s is the scaling factor.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from datasets import SRDataset, hash_numbers
from inference import load_generator
from support.checkpoints import CheckpointError, register_method
from support.lists import DataError
from support.messages import few, notice
from support.run import has_trained, run_folder

SLOPE = 0.2            # of every LeakyReLU
TEMPERATURE = 30       # softens the softmax that weighs the two branches (section 3.3)


def conv3(c_in, c_out, bias=True):
    return nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias)


def conv1(c_in, c_out, bias=True):
    return nn.Conv2d(c_in, c_out, 1, bias=bias)


class Charbonnier(nn.Module):
    """mean sqrt(d^2 + 1e-6): L1 whose slope does not jump at 0 (Lai et al. 2017, LapSRN, section 3.2)."""

    def forward(self, sr, hr):
        return torch.sqrt((sr - hr) ** 2 + 1e-6).mean()


LOSSES = {"l1": nn.L1Loss, "mse": nn.MSELoss, "charbonnier": Charbonnier}


@register_method("a2n", "A2N", "tab:green")
class A2N(nn.Module):
    """(N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1].

    Args:
        scaling_factor: 2, 3 or 4.
        n_channels: of the blocks.
        n_up_channels: of the upsampling stages.
        n_blocks: number of attention-in-attention blocks.
        small: A2N-M, whose branch without attention is a 1 x 1 convolution.
        loss: the training loss, one of LOSSES.

    Raises:
        ValueError: for another scaling factor or loss.
    """

    def __init__(self, scaling_factor=4, n_channels=40, n_up_channels=24, n_blocks=16, small=False, loss="l1"):
        super().__init__()
        if scaling_factor not in (2, 3, 4):
            raise ValueError(f"A2N upscales by 2, 3 or 4: scaling_factor cannot be {scaling_factor}.")
        if loss not in LOSSES:
            raise ValueError(f"There is no loss {loss!r}; choose one of {', '.join(LOSSES)}.")
        self.settings = dict(scaling_factor=scaling_factor, n_channels=n_channels, n_up_channels=n_up_channels,
                             n_blocks=n_blocks, small=small, loss=loss)
        self.scaling_factor = scaling_factor
        self.first = conv3(3, n_channels)
        self.blocks = nn.Sequential(*[AttentionInAttention(n_channels, small) for _ in range(n_blocks)])
        self.trunk_conv = conv3(n_channels, n_channels)
        self.stage1 = Upsample(n_channels, n_up_channels, 3 if scaling_factor == 3 else 2)
        self.stage2 = Upsample(n_up_channels, n_up_channels, 2) if scaling_factor == 4 else nn.Identity()
        self.last = conv3(n_up_channels, 3)
        self.criterion = LOSSES[loss]()

    def start_as_interpolation(self):
        """Initial weights with which the network is nearly bilinear interpolation, and learns from the first update on.

        torch's default initialisation shrinks the features, to a third of their variance in each layer: in the end
        the biases drown the image, and 150 updates of the demo do not get beyond interpolation.  That of He et al.
        2015 (arXiv 1502.01852, section 2.2) keeps the variance.  What each block adds, and what the network adds to
        interpolation, is scaled to a tenth.

        Returns:
            the network itself.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for layer in (*(block.leave for block in self.blocks), self.trunk_conv, self.last):
                layer.weight.mul_(0.1)
        return self

    def forward(self, lr):
        return self.tail(self.trunk(lr))

    def trunk(self, lr):
        """(N, 3, h, w) in [0, 1] -> (N, C + 3, h, w): the features at LR's size, and LR itself."""
        features = self.first(lr)                                          # (N, C, h, w)
        return torch.cat([features + self.trunk_conv(self.blocks(features)), lr], dim=1)

    def tail(self, x):
        """(N, C + 3, h, w) -> (N, 3, s h, s w) in [-1, 1]."""
        features, lr = x[:, :-3], x[:, -3:]
        features = self.stage2(self.stage1(features))                      # (N, C', s h, s w)
        # Added at the end: colours need not pass through sixteen blocks.
        upscaled = functional.interpolate(lr, scale_factor=self.scaling_factor, mode="bilinear", align_corners=False)
        return 2 * (self.last(features) + upscaled) - 1

    def receptive_margin(self):
        """How far an output pixel looks, in LR pixels: (in the trunk, in the tail); see models.Generator.

        Except the means of whole feature maps in each block: where an image is too large for the
        memory, they are those of a tile.
        """
        return 2 + 2 * len(self.blocks), 2

    def bytes_per_pixel(self):
        """Bytes of feature maps for each LR pixel, without gradients: (in the trunk, in the tail); estimates."""
        # Seven maps are alive at once in a block, five in an upsampling stage.
        return (4 * 7 * self.settings["n_channels"],
                4 * self.scaling_factor**2 * 5 * self.settings["n_up_channels"])

    def loss(self, lr, hr):
        """LR in [0, 1], HR in [-1, 1] -> the mean difference of SR and HR."""
        return self.criterion(self(lr).float(), hr)


class AttentionInAttention(nn.Module):
    """A block that decides for each image how much its own attention is worth (section 3.3, equation 4).

    x + k1(LeakyReLU(w0 A + w1 N)): A with pixel attention, N without; w0 + w1 = 1 are computed from
    the mean of the features over the whole image.
    """

    def __init__(self, n_channels, small):
        super().__init__()
        self.enter = conv1(n_channels, n_channels, bias=False)
        self.weigh = nn.Sequential(nn.Linear(n_channels, n_channels // 4, bias=False), nn.ReLU(),
                                   nn.Linear(n_channels // 4, 2, bias=False))
        self.attention = AttentionBranch(n_channels)
        self.plain = (conv1 if small else conv3)(n_channels, n_channels, bias=False)
        self.leave = conv1(n_channels, n_channels, bias=False)

    def forward(self, x):
        h = functional.leaky_relu(self.enter(x), SLOPE)                    # (N, C, h, w)
        weights = functional.softmax(self.weigh(h.mean(dim=(2, 3))) / TEMPERATURE, dim=1)        # (N, 2)
        w0, w1 = weights[:, :, None, None, None].unbind(1)                 # each (N, 1, 1, 1)
        mixed = w0 * self.attention(h) + w1 * self.plain(h)
        return x + self.leave(functional.leaky_relu(mixed, SLOPE))


class AttentionBranch(nn.Module):
    """k3(k3(h) * sigmoid(k1(LeakyReLU(k3(h))))): a weight for each channel of each pixel."""

    def __init__(self, n_channels):
        super().__init__()
        self.look = conv3(n_channels, n_channels, bias=False)
        self.mask = conv1(n_channels, n_channels)
        self.value = conv3(n_channels, n_channels, bias=False)
        self.leave = conv3(n_channels, n_channels, bias=False)

    def forward(self, h):
        mask = torch.sigmoid(self.mask(functional.leaky_relu(self.look(h), SLOPE)))
        return self.leave(self.value(h) * mask)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling, a convolution, pixel attention, another convolution.

    (N, C, h, w) -> (N, C', s h, s w)
    """

    def __init__(self, c_in, c_out, scale):
        super().__init__()
        self.scale = scale
        self.enter = conv3(c_in, c_out)
        self.mask = conv1(c_out, c_out)
        self.leave = conv3(c_out, c_out)

    def forward(self, x):
        x = self.enter(functional.interpolate(x, scale_factor=self.scale, mode="nearest"))
        x = functional.leaky_relu(x * torch.sigmoid(self.mask(x)), SLOPE)      # PA(x) = x sigmoid(k1(x))
        return functional.leaky_relu(self.leave(x), SLOPE)


@torch.inference_mode()
def attention(network, lr):
    """What the blocks of a network decide for an image.

    Args:
        network: an A2N.
        lr: (1, 3, h, w) in [0, 1].

    Returns:
        weights: (n_blocks, 2), w0 of the branch with attention and w1 of the one without, on the CPU.
        maps: (n_blocks, h, w) in [0, 1], the pixel attention of each block, averaged over the channels.
    """
    weights, maps, hooks = [], [], []
    for block in network.blocks:
        hooks += [
            block.weigh.register_forward_hook(
                lambda _, __, out: weights.append(functional.softmax(out[0] / TEMPERATURE, dim=0))),
            block.attention.mask.register_forward_hook(
                lambda _, __, out: maps.append(torch.sigmoid(out[0]).mean(dim=0)))]
    try:
        network(lr)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(weights).cpu(), torch.stack(maps).cpu()


# ---------------------------------------------------------------- from x2 to x4

def transfer(network, state):
    """Initialise a network with the weights of another scaling factor, as the authors do from x2 to x4.

    Only tensors of the same name and shape are loaded.

    Returns:
        (list of names that were loaded, list of names that keep their own values)

    Raises:
        CheckpointError: if a tensor has the right name and another shape, or none fits.
    """
    own = network.state_dict()
    other_shape = [name for name in own if name in state and state[name].shape != own[name].shape]
    if other_shape:
        raise CheckpointError("These tensors have another shape: " + few(
            [f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}" for name in other_shape], 6))
    loaded = [name for name in own if name in state]
    if not loaded:
        raise CheckpointError("No tensor of these weights has the same name as one of this network.")
    network.load_state_dict({**own, **{name: state[name] for name in loaded}})
    return loaded, [name for name in own if name not in state]


def begin_with(network, path):
    """``transfer`` from a file; prints what was loaded and what was not.

    Args:
        path: a checkpoint or weight file of an A2N of any scaling factor, or the name of weights in weights/.

    Raises:
        CheckpointError: if the file is missing, damaged, of another method, or does not fit.
    """
    other = load_generator(path)
    if other.method != network.method:
        raise CheckpointError(f"{path} holds a network of the method {other.method!r}, not an A2N: nothing can be "
                              "transferred from it. Name a checkpoint of python -m extensions a2n.")
    try:
        loaded, fresh = transfer(network, other.state_dict())
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be transferred. {error}. Its settings are {other.settings}, those "
                              f"of the network {network.settings}: set A2N.n_channels, A2N.n_up_channels and A2N.small "
                              "to the same values.") from None
    left = [name for name in other.state_dict() if name not in network.state_dict()]
    begun = f"{len(fresh)} begin with random values: {few(fresh, 6)}." if fresh else "None keeps its random values."
    print(f"Transfer from {path} (x{other.scaling_factor}): {len(loaded)} of {len(loaded) + len(fresh)} tensors are "
          f"loaded. {begun}"
          + (f" {len(left)} of the file have no place here: {few(left, 6)}." if left else ""))


# ---------------------------------------------------------------- sub-images

def windows(height, width, size=480, stride=200):
    """The corners (top, left) of the tutorial's sub-images of an image.

    Its rule leaves out a window that ends exactly at the edge: an image of 2040 x 1356 has 40 windows.
    """
    tops = [top for top in range(0, height, stride) if top + size < height]
    lefts = [left for left in range(0, width, stride) if left + size < width]
    return [(top, left) for top in tops for left in lefts]


class SubImages(SRDataset):
    """Training patches from the tutorial's sub-images; everything else is as in SRDataset("train", config).

    The tutorial writes its overlapping sub-images (32,096 of DIV2K's 800 images) into one file, more than
    three times the pixels of the images themselves.  Here a sub-image is three numbers, and its pixels are
    read from the image store.

    Args:
        config: as for SRDataset, and ``sub_images = dict(size=480, stride=200)`` in HR pixels.  Each
            sub-image gives ``patch_num`` patches an epoch; the tutorial takes 1.

    Raises:
        DataError: if no image is larger than a sub-image, or the sizes do not fit together.
    """

    def __init__(self, config):
        super().__init__("train", config)
        if not isinstance(config.sub_images, dict) or set(config.sub_images) != {"size", "stride"}:
            raise DataError(f"sub_images is {config.sub_images!r} instead of a dict with size and stride: "
                            "--set \"sub_images={'size': 480, 'stride': 200}\"")
        size, stride, s = config.sub_images["size"], config.sub_images["stride"], self.scale
        if size % s or stride % s or stride <= 0 or size < self.crop:
            raise DataError(f"sub_images = dict(size={size}, stride={stride}) does not fit crop_size {self.crop} "
                            f"and scaling_factor {s}: both must be divisible by {s}, and size at least {self.crop}.")
        self.side = (size - self.crop) // s + 1                     # positions of a patch in a sub-image, each way
        self.corners = np.array([(image, top // s, left // s)       # (n, 3), in LR pixels
                                 for image, lr_size in enumerate(self.lr_sizes)
                                 for top, left in windows(*(s * lr_size), size, stride)], np.int64).reshape(-1, 3)
        without = sorted(set(range(len(self.pairs))) - set(self.corners[:, 0]))
        if len(without) == len(self.pairs):
            raise DataError(f"No training image is larger than a sub-image of {size} x {size}. Lower sub_images.size, "
                            "or set sub_images=None: patches are then cut from anywhere.")
        if without:
            notice(f"{len(without)} of {len(self.pairs)} training images are not larger than a sub-image of "
                   f"{size} x {size}, and are left out: {few([self.pairs[image].hr for image in without], 6)}.")

    def __len__(self):
        return len(self.corners) * self.patch_num

    def places(self, epoch, indices):
        indices = np.asarray(indices)
        image, top, left = self.corners[indices // self.patch_num].T                    # each (N,)
        draws = hash_numbers(self.seed, epoch, indices, np.arange(3)[:, None])          # (3, N)
        down, right, turn = (draws % np.array([[self.side], [self.side], [8]], np.uint64)).astype(np.int64)
        return image.tolist(), (top + down).tolist(), (left + right).tolist(), turn.tolist()


# ---------------------------------------------------------------- training

NETWORK = dict(n_channels=40, n_up_channels=24, n_blocks=16, small=False, loss="l1")       # the paper's

# In all presets: --set transfer=..., sub_images=... and scaling_factor=2 work with each.
COMMON = dict(stages=["a2n"],
              start="interpolation",      # A2N.start_as_interpolation(); or "random": torch's default, as in the paper
              transfer=None,         # a checkpoint of another scaling factor to start from, see begin_with
              sub_images=None,       # dict(size=480, stride=200): see SubImages; None: patches from anywhere
              lr_factor=0.5)         # paper: a milestone halves the learning rate

# The tutorial's training: one patch an epoch from each of DIV2K's 32,096 sub-images, 1,003 batches of 32.
TUTORIAL = dict(COMMON, A2N=NETWORK, sub_images=dict(size=480, stride=200), patch_num=1, batch_size=32,
                start="random", averaging=0)         # neither the paper nor the tutorial averages weights

PRESETS = {
    # A small network and few updates, about ten seconds: already a little above bicubic interpolation.
    "demo": dict(COMMON, A2N=dict(NETWORK, n_blocks=2, small=True), crop_size=48, patch_num=40, batch_size=4,
                 n_valid=1, averaging=0.9, print_freq=5,
                 a2n=dict(epochs=5, updates_per_epoch=30, lr=2e-3, lr_schedule="cosine", warmup=20)),

    # Two CPU cores, under ten minutes: A2N-M with a quarter of its blocks, LR patches of 24.
    # An average with a longer memory would still hold the beginning of so short a training.
    "small": dict(COMMON, A2N=dict(NETWORK, n_blocks=4, small=True), crop_size=96, batch_size=8, n_valid=3,
                  averaging=0.99,
                  a2n=dict(epochs=12, updates_per_epoch=200, lr=2e-3, lr_schedule="cosine", warmup=20)),

    # The tutorial's two steps, on a GPU: x2, and then x4 with --set transfer=runs/a2n-full-x2/checkpoints/a2n_best.pth.
    # LR patches of 48 in both (the paper: 64); 5e-4 is halved every 200,000 updates.
    "full-x2": dict(TUTORIAL, scaling_factor=2, crop_size=96,
                    a2n=dict(epochs=500, updates_per_epoch=1000, lr=5e-4, lr_milestones=[0.4, 0.8])),
    "full": dict(TUTORIAL, scaling_factor=4, crop_size=192,
                 a2n=dict(epochs=200, updates_per_epoch=1000, lr=5e-4, lr_milestones=[])),
}


def build(config, stage):
    """The network of a stage: with fresh weights, or with those of config.transfer if the run has not begun yet.

    Raises:
        CheckpointError: see ``begin_with``.
    """
    network = A2N(scaling_factor=config.scaling_factor, **config.A2N)
    if config.start == "interpolation":
        network.start_as_interpolation()
    if config.transfer and not has_trained(run_folder(config)):        # a resumed run has weights of its own
        begin_with(network, config.transfer)
    return network

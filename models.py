"""The networks of SRGAN: generator (= SRResNet), discriminator, truncated VGG19.

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a
Generative Adversarial Network" (arXiv 1609.04802), figure 4 and section 3.2.

Images go in with values in [0, 1]; the generator's come out in [-1, 1].
Shapes are written (N, C, h, w), where h and w are LR pixels and s is the scaling factor.
"""

import math

import torch
from torch import nn

from support.checkpoints import read_weights, register_method
from support.convert import convert_image

### BEGIN SOLUTION
from support.layers import FewChannelsConv2d, PReLU, SubPixelConv2d

### REPLACED BY
# from support.messages import NotWritten
### END SOLUTION
from support.vgg19 import fetch_vgg19


@register_method("srgan")
class Generator(nn.Module):
    """SRResNet, the generator of SRGAN (figure 4, top): (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1].

    The last layer is linear, as in the paper's figure: values can leave [-1, 1] a
    little, and are clamped only when an 8-bit image is made from them.

    Args:
        large_kernel_size: kernel of the first and the last convolution (odd).
        small_kernel_size: kernel of all the others (odd).
        n_channels: channels of the feature maps.
        n_blocks: residual blocks.
        scaling_factor: 2, 4 or 8.

    ``Generator(config)`` reads ``config.G`` and ``config.scaling_factor``.

    Raises:
        ValueError: for another scaling factor or an even kernel.
    """

    def __init__(self, large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16, scaling_factor=4):
        super().__init__()
        if hasattr(large_kernel_size, "G"):    # Generator(config)
            config = large_kernel_size
            return self.__init__(**config.G, scaling_factor=config.get("scaling_factor", 4))
        if scaling_factor not in (2, 4, 8):
            raise ValueError(f"scaling_factor must be 2, 4 or 8, not {scaling_factor}: "
                             "the generator doubles the size one to three times.")
        if large_kernel_size % 2 == 0 or small_kernel_size % 2 == 0:
            raise ValueError("Kernel sizes must be odd, so that a convolution keeps the size of the image.")
        # What load_generator() needs to build the same network again.
        self.settings = dict(large_kernel_size=large_kernel_size, small_kernel_size=small_kernel_size,
                             n_channels=n_channels, n_blocks=n_blocks, scaling_factor=scaling_factor)
        self.scaling_factor = scaling_factor

        ### BEGIN SOLUTION
        self.first = nn.Sequential(
            nn.Conv2d(3, n_channels, large_kernel_size, padding=large_kernel_size // 2), PReLU())
        self.blocks = nn.Sequential(*[ResidualBlock(n_channels, small_kernel_size) for _ in range(n_blocks)])
        self.after_blocks = nn.Sequential(
            nn.Conv2d(n_channels, n_channels, small_kernel_size, padding=small_kernel_size // 2, bias=False),
            nn.BatchNorm2d(n_channels))
        n_doublings = int(math.log2(scaling_factor))
        self.upsampling = nn.Sequential(*[UpsampleBlock(n_channels, small_kernel_size) for _ in range(n_doublings)])
        self.last = FewChannelsConv2d(n_channels, 3, large_kernel_size, padding=large_kernel_size // 2)
        ### REPLACED BY
        # # Build the layers of figure 4 (top), in this order:
        # #   convolution, large kernel, 3 -> n_channels; PReLU                    (N, C, h, w)
        # #   n_blocks residual blocks                                             (N, C, h, w)
        # #   convolution, small kernel; BatchNorm; plus the output of the first PReLU
        # #   log2(scaling_factor) times: convolution C -> 4 C, PixelShuffle(2), PReLU     (N, C, s h, s w)
        # #   convolution, large kernel, C -> 3, and nothing after it              (N, 3, s h, s w)
        # # An odd kernel of size k keeps the size with padding=k // 2.
        # raise NotWritten("Generator.__init__ is yours to write: the layers of figure 4")
        ### END SOLUTION

    def forward(self, lr):
        ### BEGIN SOLUTION
        return self.tail(self.trunk(lr))

    def trunk(self, lr):
        """Everything at the LR size: (N, 3, h, w) in [0, 1] -> features (N, C, h, w)."""
        features = self.first(lr)                          # (N, C, h, w)
        # The long skip: the blocks only have to learn what the first layer does not see.
        return features + self.after_blocks(self.blocks(features))

    def tail(self, features):
        """Upsampling and the last convolution: features (N, C, h, w) -> (N, 3, s h, s w) in [-1, 1]."""
        return self.last(self.upsampling(features))

    @torch.no_grad()
    def start_as_interpolation(self):
        """Change the initial weights so that the untrained network already interpolates.

        From random weights the network first has to learn to copy colours, and a short
        training ends below bicubic interpolation.  Here three channels carry R, G and B
        from the first layer to the last (colours are positive, where PReLU changes
        nothing), each doubling interpolates them quadratically, and all other channels
        are free to learn what is missing.  Still the same network: only the initial weights differ.
        """
        nn.init.zeros_(self.after_blocks[1].weight)     # the blocks add nothing at first
        first, last = self.first[0], self.last
        nn.init.zeros_(first.weight[:3])
        nn.init.zeros_(first.bias[:3])
        last.weight.mul_(0.1)
        nn.init.zeros_(last.weight[:, :3])
        nn.init.constant_(last.bias, -1)
        for c in range(3):
            _centre(first.weight[c, c])[1, 1] = 1
            _centre(last.weight[c, c])[1, 1] = 2        # [0, 1] -> [-1, 1]
        # A new pixel lies a quarter of an old one off its centre, on one side or the other:
        # the parabola through three neighbours, read at d = -1/4 and at d = +1/4.
        taps = torch.tensor([[(d * d - d) / 2, 1 - d * d, (d * d + d) / 2] for d in (-0.25, 0.25)])
        for doubling in self.upsampling:
            # The four pixels that PixelShuffle makes from channels 4c to 4c + 3 start equal, or the image
            # starts with a checkerboard that disappears only slowly (Aitken et al. 2017, arXiv 1707.02937).
            weight, bias = doubling.conv.weight, doubling.conv.bias
            weight.copy_(weight[::4].repeat_interleave(4, dim=0))
            bias.copy_(bias[::4].repeat_interleave(4))
            nn.init.zeros_(weight[:12])
            nn.init.zeros_(bias[:12])
            for c in range(3):
                for y in range(2):
                    for x in range(2):
                        _centre(weight[4 * c + 2 * y + x, c])[:] = torch.outer(taps[y], taps[x])
        return self

    def receptive_margin(self):
        """How far the receptive field of an output pixel reaches, in LR pixels: (in the trunk, in the tail).

        A tile cut with at least this margin gives exactly the pixels of the whole image.
        """
        large, small = (self.settings[k] // 2 for k in ("large_kernel_size", "small_kernel_size"))
        trunk = large + small * (2 * len(self.blocks) + 1)
        tail = sum(small / 2**i for i in range(len(self.upsampling))) + large / self.scaling_factor
        return trunk, math.ceil(tail)

    def bytes_per_pixel(self):
        """Bytes that an LR pixel takes in feature maps without gradients: (in the trunk, in the tail); estimates."""
        channels, k = self.settings["n_channels"], self.settings["large_kernel_size"]
        # A block holds six maps at the same time; the tail three at the full size, and the last layer's parts.
        return 4 * 6 * channels, 4 * self.scaling_factor**2 * (3 * channels + 6 * k)
        ### REPLACED BY
        # raise NotWritten("Generator.forward is yours to write: (N, 3, h, w) -> (N, 3, s h, s w)")
        ### END SOLUTION


### BEGIN SOLUTION
def _centre(kernel):
    """The middle 3 x 3 of a kernel, as a view."""
    k = kernel.shape[-1] // 2
    return kernel[k - 1:k + 2, k - 1:k + 2]
### END SOLUTION


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))): (N, C, h, w) -> (N, C, h, w)."""

    ### BEGIN SOLUTION
    def __init__(self, n_channels, kernel_size):
        super().__init__()
        self.layers = nn.Sequential(
            # No bias before BatchNorm, which subtracts the mean and adds a bias of its own.
            nn.Conv2d(n_channels, n_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(n_channels),
            PReLU(),
            nn.Conv2d(n_channels, n_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(n_channels),      # no activation after it: the skip must stay free
        )

    def forward(self, x):
        return x + self.layers(x)
    ### REPLACED BY
    # def __init__(self, n_channels, kernel_size):
    #     super().__init__()
    #     raise NotWritten("ResidualBlock.__init__ is yours to write (section 2.1.1)")
    #
    # def forward(self, x):
    #     raise NotWritten("ResidualBlock.forward is yours to write: (N, C, h, w) -> (N, C, h, w)")
    ### END SOLUTION


class UpsampleBlock(nn.Module):
    """Sub-pixel convolution (Shi et al. 2016, arXiv 1609.05158): (N, C, h, w) -> (N, C, 2h, 2w)."""

    ### BEGIN SOLUTION
    def __init__(self, n_channels, kernel_size):
        super().__init__()
        # C -> 4C channels, which a pixel shuffle turns into 2 x 2 pixels of C channels: (N, C, 2h, 2w)
        self.conv = SubPixelConv2d(n_channels, 4 * n_channels, kernel_size, padding=kernel_size // 2)
        self.prelu = PReLU()

    def forward(self, x):
        return self.prelu(self.conv(x))
    ### REPLACED BY
    # def __init__(self, n_channels, kernel_size):
    #     super().__init__()
    #     raise NotWritten("UpsampleBlock.__init__ is yours to write: convolution, PixelShuffle(2), PReLU")
    #
    # def forward(self, x):
    #     raise NotWritten("UpsampleBlock.forward is yours to write: (N, C, h, w) -> (N, C, 2h, 2w)")
    ### END SOLUTION


class Discriminator(nn.Module):
    """The discriminator of SRGAN (figure 4, bottom): (N, 3, H, W) in [-1, 1] -> logits (N, 1).

    Large positive = "real HR", large negative = "made by the generator".  There is no
    sigmoid at the end: ``BCEWithLogitsLoss`` computes log(sigmoid(x)) without overflow.

    Args:
        kernel_size: kernel of all convolutions (odd).
        n_channels: channels of the first block; doubled in every second block.
        n_blocks: convolutional blocks; every second one halves the size.
        fc_size: width of the fully connected layer.

    ``Discriminator(config)`` reads ``config.D``.
    """

    def __init__(self, kernel_size=3, n_channels=64, n_blocks=8, fc_size=1024):
        super().__init__()
        if hasattr(kernel_size, "D"):          # Discriminator(config)
            return self.__init__(**kernel_size.D)
        self.settings = dict(kernel_size=kernel_size, n_channels=n_channels, n_blocks=n_blocks, fc_size=fc_size)
        ### BEGIN SOLUTION
        blocks, channels_in, channels_out = [], 3, n_channels
        for i in range(n_blocks):
            if i > 0 and i % 2 == 0:
                channels_out *= 2
            blocks += [nn.Conv2d(channels_in, channels_out, kernel_size, stride=1 + i % 2, padding=kernel_size // 2,
                                 bias=i == 0),
                       nn.BatchNorm2d(channels_out) if i > 0 else nn.Identity(),   # the first block has none
                       nn.LeakyReLU(0.2, inplace=True)]
            channels_in = channels_out
        self.blocks = nn.Sequential(*blocks)
        # 96 x 96 crops are 6 x 6 here after four halvings; the pooling allows other crop sizes.
        self.pool = nn.AdaptiveAvgPool2d((6, 6))
        self.decide = nn.Sequential(
            nn.Flatten(), nn.Linear(channels_out * 6 * 6, fc_size), nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(fc_size, 1))
        ### REPLACED BY
        # # Build the layers of figure 4 (bottom):
        # #   n_blocks blocks: convolution; BatchNorm, but not in the first block; LeakyReLU(0.2).
        # #   Every second convolution has stride 2; the channels double after every second block.
        # #   Then the map as a vector, a linear layer to fc_size, LeakyReLU(0.2), a linear layer to 1.
        # # nn.AdaptiveAvgPool2d((6, 6)) before the linear layers allows crops of other sizes.
        # raise NotWritten("Discriminator.__init__ is yours to write: the layers of figure 4")
        ### END SOLUTION

    def forward(self, images):
        ### BEGIN SOLUTION
        return self.decide(self.pool(self.blocks(images)))    # (N, 1)
        ### REPLACED BY
        # raise NotWritten("Discriminator.forward is yours to write: (N, 3, H, W) -> logits (N, 1)")
        ### END SOLUTION


### BEGIN SOLUTION
class PatchDiscriminator(nn.Module):
    """A logit for each patch instead of one for the image: (N, 3, H, W) in [-1, 1] -> (N, 1, H / 4, W / 4).

    PatchGAN (Isola et al. 2017, arXiv 1611.07004).  Each logit sees 28 x 28 pixels, so it judges texture, whatever the
    image shows, and the generator learns at every place where it went wrong.

    Args:
        n_channels: channels of the first layer; doubled where the size is halved.

    ``PatchDiscriminator(config)`` reads ``config.D.n_channels``.
    """

    def __init__(self, n_channels=64):
        super().__init__()
        if hasattr(n_channels, "D"):          # PatchDiscriminator(config)
            return self.__init__(n_channels.D.n_channels)
        self.settings = dict(n_channels=n_channels)
        layers, channels = [nn.Conv2d(3, n_channels, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)], n_channels
        # Kernel 4 with stride 2: every pixel is in the same number of windows.  With kernel 3 every second one would
        # be in more, and the gradients would draw stripes into the generator's images.
        for kernel, stride in ((4, 2), (4, 2), (3, 1)):
            layers += [nn.Conv2d(channels, stride * channels, kernel, stride, padding=1, bias=False),
                       nn.BatchNorm2d(stride * channels), nn.LeakyReLU(0.2, inplace=True)]
            channels *= stride
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, images):
        return self.layers(images)
### END SOLUTION


VGG19_LAYERS = (2, 2, 4, 4, 4)    # convolutions before each of the five max-pools


class TruncatedVGG19(nn.Module):
    """The feature map phi_{i,j} of the perceptual loss (section 2.2.1, equation 5).

    VGG19 (Simonyan and Zisserman 2015) cut after the j-th convolution and its ReLU,
    before the i-th max-pool.  Takes (N, 3, H, W) in [0, 1] and normalises inside;
    gives (N, C, H', W').  Its weights are frozen.

    Args:
        i: which max-pool, 1 to 5 (the paper's "VGG54" is i=5, j=4).
        j: which convolution before it.
        weights: ``"imagenet"`` fetches torchvision's file once (548 MB); a path reads
            that file (.pth or .safetensors with torchvision's names); ``"random"`` takes
            He-initialised filters (He et al. 2015) from a fixed seed, always the same, for experiments.
        feature_scale: the features are multiplied by it.  1 is the course's formula; the
            paper's implementation rescales by 1/12.75, which divides the loss by 163.

    Raises:
        ValueError: if VGG19 has no such layer.
        RuntimeError: if the weights cannot be fetched or do not fit.
        CheckpointError: if the weight file is missing or damaged.
    """

    def __init__(self, i, j, weights="imagenet", feature_scale=1.0):
        super().__init__()
        if not (1 <= i <= 5 and 1 <= j <= VGG19_LAYERS[i - 1]):
            raise ValueError(f"VGG19 has no layer i={i}, j={j}: before its five max-pools "
                             f"there are {VGG19_LAYERS} convolutions.")
        self.feature_scale = feature_scale
        ### BEGIN SOLUTION
        layers, channels_in = [], 3
        for pool, n_convolutions in enumerate(VGG19_LAYERS[:i], start=1):
            channels_out = min(64 * 2 ** (pool - 1), 512)
            for _ in range(j if pool == i else n_convolutions):
                layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(inplace=True)]
                channels_in = channels_out
            if pool < i:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)    # numbered as torchvision's vgg19().features
        ### REPLACED BY
        # # self.features = nn.Sequential(...), numbered as torchvision's vgg19().features: convolution 3 x 3
        # # and ReLU in turn, VGG19_LAYERS[k] convolutions before the (k + 1)-th max-pool, 64, 128, 256, 512 and
        # # 512 channels; it ends after the ReLU of the j-th convolution before the i-th max-pool.
        # raise NotWritten("TruncatedVGG19.__init__ is yours to write (section 2.2.1, equation 5)")
        ### END SOLUTION

        self.requires_grad_(False)
        if weights == "random":
            # A seed of its own: a resumed run gets the same filters, and no other random state changes.
            generator = torch.Generator().manual_seed(0)
            for layer in self.features:
                if isinstance(layer, nn.Conv2d):
                    fan_in = layer.weight[0].numel()
                    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * math.sqrt(2 / fan_in))
                    nn.init.zeros_(layer.bias)
        else:
            self._load(fetch_vgg19() if weights == "imagenet" else weights)
        self.eval()

    def _load(self, path):
        state = read_weights(path)
        own = self.features.state_dict(prefix="features.")
        missing = [name for name in own if name not in state]
        if missing:
            raise RuntimeError(f"{path} is not a VGG19 weight file: it lacks {', '.join(missing)}. Name "
                               "torchvision's file in config.vgg19_weights, or set it to 'imagenet'.")
        self.load_state_dict({name: state[name] for name in own})

    def forward(self, images):
        return self.feature_scale * self.features(convert_image(images, "[0, 1]", "imagenet-norm"))

    ### BEGIN SOLUTION
    def stages(self, x):
        """The last feature map before each max-pool, and the last of all: x (N, 3, H, W) in [0, 1] -> list of them."""
        x, maps = convert_image(x, "[0, 1]", "imagenet-norm"), []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
            x = layer(x)
        return [*maps, x]
    ### END SOLUTION

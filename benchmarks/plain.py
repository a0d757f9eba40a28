"""The plain way of doing it: the kit's own way is measured and tested against it.

Everything here is what one writes first: torch's own layers, the default memory format, all
networks unfrozen, the whole image at once, a PNG file decoded for each patch.
"""

import copy

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torch.nn import functional

from datasets import turned
from imresize import contributions
from support.layers import FewChannelsConv2d, PReLU, SubPixelConv2d

# ---------------------------------------------------------------- layers

def plain_layers(network):
    """A copy of a network with torch's own layers instead of those of layers.py, with the same weights."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, PReLU):
                plain = nn.PReLU()
                plain.weight = layer.weight
            elif isinstance(layer, (FewChannelsConv2d, SubPixelConv2d)):
                plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding)
                plain.weight, plain.bias = layer.weight, layer.bias
                if isinstance(layer, SubPixelConv2d):
                    plain = nn.Sequential(plain, nn.PixelShuffle(2))
            else:
                continue
            setattr(module, name, plain)
    return network


# ---------------------------------------------------------------- training steps

def pretrain_step(generator, optimizer_g, lr, hr):
    """One update of the generator by the pixel loss; lr in [0, 1], hr in [-1, 1]; returns the loss."""
    loss = functional.mse_loss(generator(lr), hr)
    optimizer_g.zero_grad()
    loss.backward()
    optimizer_g.step()
    return loss.item()


def srgan_step(generator, discriminator, vgg19, optimizer_g, optimizer_d, lr, hr, beta=1e-3):
    """One SRGAN update that leaves VGG and D unfrozen; lr in [0, 1], hr in [-1, 1].

    Returns the content, the adversarial (times beta) and the discriminator loss.
    """
    bce = functional.binary_cross_entropy_with_logits
    sr = generator(lr)
    content = functional.mse_loss(vgg19((sr + 1) / 2), vgg19((hr + 1) / 2).detach())
    judged = discriminator(sr)
    adversarial = beta * bce(judged, torch.ones_like(judged))
    optimizer_g.zero_grad()
    (content + adversarial).backward()
    optimizer_g.step()

    real, fake = discriminator(hr), discriminator(sr.detach())
    loss_d = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    return content.item(), adversarial.item(), loss_d.item()


# ---------------------------------------------------------------- data

def decode_patch(hr_path, lr_path, crop, scale, rng):
    """A training patch without a store: decode the whole pair, cut one patch.

    Args:
        crop: side of the HR patch, c.
        rng: a numpy Generator; it chooses place and turn.

    Returns:
        (LR (3, c/s, c/s), HR (3, c, c)), float tensors in [0, 1].
    """
    hr, lr = (np.array(Image.open(path).convert("RGB")) for path in (hr_path, lr_path))
    size = crop // scale
    top, left = (int(rng.integers(length - size + 1)) for length in lr.shape[:2])
    lr, hr = lr[top:top + size, left:left + size], hr[scale * top:, scale * left:][:crop, :crop]
    turn = int(rng.integers(8))
    return tuple(torch.from_numpy(turned(patch, turn).copy()).permute(2, 0, 1).float() / 255 for patch in (lr, hr))


# ---------------------------------------------------------------- whole images

def gather_resize(image, scale):
    """``imresize`` of a uint8 image (H, W, 3) without a loop: every output row gathers its input rows, in float64."""
    for axis in range(2):
        out_length = -(-image.shape[axis] * scale // 1)
        weights, indices = contributions(image.shape[axis], int(out_length), scale)
        rows = np.swapaxes(image, 0, axis)[indices].astype(np.float64)              # (out, taps, m, 3)
        sums = np.einsum("ok,okmc->omc", weights, rows)
        image = np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8).swapaxes(0, axis)
    return image


def upscale(generator, lr):
    """uint8 (h, w, 3) -> uint8 (s h, s w, 3), the whole image at once."""
    with torch.inference_mode():
        sr = generator(torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255)
        return (((sr + 1) / 2).clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()


def skimage_psnr_ssim(y_sr, y_hr):
    """(PSNR in dB, SSIM) of two luma arrays (H, W) in [0, 255], float64, by scikit-image."""
    _, similarity = structural_similarity(y_hr, y_sr, data_range=255, gaussian_weights=True, sigma=1.5,
                                          use_sample_covariance=False, full=True)
    return peak_signal_noise_ratio(y_hr, y_sr, data_range=255), float(similarity[5:-5, 5:-5].mean())

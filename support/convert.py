"""From one form of an image to another: PIL, tensors in [0, 1] and [-1, 1], luma, bytes."""

import numpy as np
import torch
from PIL import Image

from metrics import LUMA

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SOURCES = ("pil", "[0, 1]", "[-1, 1]")
TARGETS = ("pil", "[0, 255]", "[0, 1]", "[-1, 1]", "imagenet-norm", "y-channel")


def convert_image(img, source, target, device=None):
    """Convert an image, or a batch of them, from one form to another.

    | form            | what it is                                                                  |
    |-----------------|-----------------------------------------------------------------------------|
    | 'pil'           | a PIL image in mode RGB (8 bits)                                            |
    | '[0, 1]'        | float tensor (3, H, W) or (N, 3, H, W)                                      |
    | '[-1, 1]'       | the same, as the generator gives it                                         |
    | '[0, 255]'      | the same with values up to 255, not rounded (target only)                   |
    | 'imagenet-norm' | the same, minus ImageNet's mean, over its standard deviation (target only)  |
    | 'y-channel'     | luma, float tensor (H, W) or (N, H, W), 16 to 235 (target only)             |

    Between tensors the conversion is affine and differentiable: gradients pass through
    it.  Only for 'pil' are values clamped and rounded to 8 bits.

    Args:
        img: the image; a batch cannot become 'pil'.
        source: one of 'pil', '[0, 1]', '[-1, 1]'.
        target: one of the forms above.
        device: of the resulting tensor (default: where ``img`` is).

    Returns:
        a PIL image or a float tensor, as in the table.

    Raises:
        ValueError: for an unknown form, a tensor of the wrong shape, or a PIL image
            that is not RGB.
    """
    if source not in SOURCES:
        raise ValueError(f"Cannot convert from {source!r}; the sources are {', '.join(SOURCES)}.")
    if target not in TARGETS:
        raise ValueError(f"Cannot convert to {target!r}; the targets are {', '.join(TARGETS)}.")

    if source == "pil":
        if getattr(img, "mode", None) != "RGB":
            raise ValueError(f"convert_image takes PIL images in mode RGB, not {getattr(img, 'mode', type(img))}. "
                             "Read files with utils.read_image, which says what it had to change.")
        img = torch.from_numpy(np.array(img)).permute(2, 0, 1).float() / 255    # (3, H, W)
    elif img.ndim not in (3, 4) or img.shape[-3] != 3:
        raise ValueError(f"convert_image takes tensors (3, H, W) or (N, 3, H, W), not {tuple(img.shape)}.")
    elif source == "[-1, 1]":
        img = (img + 1) / 2
    if device is not None:
        img = img.to(device)

    # img is in [0, 1] here.
    if target == "pil":
        if img.ndim != 3:
            raise ValueError("Only a single image (3, H, W) becomes a PIL image, not a batch.")
        return Image.fromarray(to_uint8(img).permute(1, 2, 0).cpu().numpy())
    if target == "[0, 1]":
        return img
    if target == "[-1, 1]":
        return 2 * img - 1
    if target == "[0, 255]":
        return 255 * img
    if target == "imagenet-norm":
        mean, std = (torch.tensor(v, dtype=img.dtype, device=img.device).view(3, 1, 1)
                     for v in (IMAGENET_MEAN, IMAGENET_STD))
        return (img - mean) / std
    weights = torch.tensor(LUMA, dtype=img.dtype, device=img.device).view(3, 1, 1)
    return (img * weights).sum(dim=-3) + 16


def to_uint8(images):
    """Float tensor in [0, 1] -> uint8 tensor of the same shape: clamped and rounded."""
    return (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)


def to_float(images):
    """uint8 tensor -> float32 tensor in [0, 1] of the same shape; a float tensor stays as it is."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images       # in place: float() made a copy

"""What everything else uses: image conversion and reading, seeds, meters, the progress line.

PSNR and SSIM are computed in metrics.py, checkpoints written and read in checkpoints.py; here
they are found under the names of the course: ``utils.psnr``, ``utils.load_generator``.
"""

import math
import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from checkpoints import (  # noqa: F401  for the notebooks
    CheckpointError,
    load_generator,
    load_weights,
    read_weights,
    save_image,
)
from metrics import (  # noqa: F401  for the notebooks
    LUMA,
    fullest_boxes,
    gradient_magnitude,
    gradients,
    psnr,
    squared_error,
    ssim,
    three_channels,
)

# ---------------------------------------------------------------- image conversion

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SOURCES = ("pil", "[0, 1]", "[-1, 1]")
TARGETS = ("pil", "[0, 255]", "[0, 1]", "[-1, 1]", "imagenet-norm", "y-channel")


def convert_image(img, source, target, device=None):
    """Convert an image, or a batch of them, from one form to another.

    | form            | what it is                                                            |
    |-----------------|-----------------------------------------------------------------------|
    | 'pil'           | a PIL image in mode RGB (8 bits)                                      |
    | '[0, 1]'        | float tensor (3, H, W) or (N, 3, H, W)                                |
    | '[-1, 1]'       | the same, as the generator gives it                                   |
    | '[0, 255]'      | the same with values up to 255, not rounded (target only)             |
    | 'imagenet-norm' | the same, less the ImageNet mean, divided by its deviation (target only) |
    | 'y-channel'     | luma, float tensor (H, W) or (N, H, W), 16 to 235 (target only)       |

    Between tensors the conversion is affine and differentiable: losses can look through
    it.  Only towards 'pil' are values clamped and rounded to 8 bits.

    Args:
        img: the image; a batch cannot become 'pil'.
        source: one of 'pil', '[0, 1]', '[-1, 1]'.
        target: one of the forms above.
        device: where the resulting tensor shall be (default: where it is).

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
                             "Read files with utils.read_image, which tells what it had to change.")
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
    return images.float().div_(255) if images.dtype == torch.uint8 else images       # float() has made a new one


class TooManyBits(ValueError):
    """An image with 16 or more bits a channel."""


def read_image(path):
    """Read an image file as uint8 array (H, W, 3), or (H, W) for a grey one, and say what was changed.

    Returns:
        (image, notice): notice is "" or a sentence such as "its alpha channel was dropped".

    Raises:
        ValueError: for a file that is not an image, is damaged, or has 16 bits
            (TooManyBits); the message says what to do.
    """
    image, notices = open_image(path)
    array, changed = as_8_bit_array(image)
    return array, ", and ".join(filter(None, [changed, *notices]))


def open_image(path):
    """Open an image file whole and upright.

    Returns:
        (PIL image of any mode with 8 bits or fewer, list of sentences such as "it was turned upright")

    Raises:
        ValueError, TooManyBits: as in ``read_image``.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            file.verify()               # a PNG whose last bytes are missing would still load
        with Image.open(path) as file:
            is_deep = _has_16_bits(file)
            image = ImageOps.exif_transpose(file)
            notices = []
            if file.getexif().get(0x0112, 1) in range(2, 9):           # 0x0112: orientation
                notices.append("it was turned upright, as its EXIF orientation says")
            if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":     # a phone's MPO is one photograph
                notices.append("of its frames only the first was taken")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels. "
                         "Reduce it, or cut it into parts, first.") from None
    except Exception as error:     # Pillow raises many kinds for damaged files
        is_heic = path.suffix.lower() in (".heic", ".heif")
        advice = "Export it as JPEG: HEIC is not read here" if is_heic else "Fetch or copy it again"
        raise ValueError(f"{path} cannot be read as an image ({error}). {advice}.") from error
    if is_deep or image.mode.startswith(("I", "F")):
        raise TooManyBits(f"{path} has 16 or more bits a channel (mode {image.mode}). Convert it to 8 bits first, "
                          "with the brightness that you want.")
    return image, notices


def as_8_bit_array(image):
    """The colours of a PIL image as uint8 array (H, W, 3) or (H, W), and a sentence on what was changed, or ""."""
    mode = image.mode
    if mode in ("RGB", "L"):
        return np.array(image), ""
    if mode == "1":
        return np.array(image.convert("L")), "its 1-bit pixels became grey values 0 and 255"
    if mode == "LA":
        return np.array(image.convert("L")), "its alpha channel was dropped"
    if mode == "P" and "transparency" not in image.info:
        return np.array(image.convert("RGB")), "its palette was replaced by RGB colours"
    if mode in ("RGBA", "P", "PA"):
        # Dropped, not blended: convert("RGB") keeps the colours as they are stored.
        return np.array(image.convert("RGBA"))[..., :3].copy(), "its alpha channel was dropped"
    return np.array(image.convert("RGB")), f"its colours were converted from {mode} to RGB"


def _has_16_bits(file):
    """Whether an opened file has 16 bits a channel: Pillow reads a coloured one as if it had 8.

    Only the arguments of its decoder tell: such as "RGB;16B" for PNG and TIFF, ("RGB", 65535) for PPM.
    """
    return any(";16" in str(args) or codec.startswith("ppm") and isinstance(args, tuple) and args[-1] > 255
               for codec, _, _, args in file.tile)


# ---------------------------------------------------------------- random state

def seed_everything(seed):
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_states():
    """Every random state, as tensors and plain containers that a checkpoint can hold."""
    kind, keys, *rest = np.random.get_state()
    return {"python": random.getstate(), "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
            "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def restore_random_states(states):
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


# ---------------------------------------------------------------- training helpers

class AverageMeter:
    """A running mean.  Fed with tensors, it stays on their device and copies nothing
    until ``avg`` or ``val`` is read: reading is what makes a GPU wait."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._val, self._sum, self.count = 0.0, 0.0, 0

    def update(self, val, n=1):
        """Take in ``val``, the mean over ``n`` samples."""
        val = val.detach() if torch.is_tensor(val) else val
        self._val = val
        self._sum = self._sum + val * n      # not +=: that would change the caller's tensor
        self.count += n

    @property
    def val(self):
        return float(self._val)

    @property
    def sum(self):
        return float(self._sum)

    @property
    def avg(self):
        return self.sum / self.count if self.count else float("nan")

    def state(self):
        return [self.val, self.sum, self.count]

    @classmethod
    def of(cls, state):
        """The meter whose ``state()`` this is."""
        meter = cls()
        meter._val, meter._sum, meter.count = state
        return meter


def adjust_learning_rate(optimizer, shrink_factor):
    """Multiply the learning rate of every parameter group by ``shrink_factor``."""
    for group in optimizer.param_groups:
        group["lr"] *= shrink_factor


# ---------------------------------------------------------------- progress

def in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Line:
    """One line of text that is replaced by the next: in a notebook, or in a terminal."""

    def __init__(self):
        self.handle, self.shown = None, -math.inf

    def show(self, text, last=False):
        """Show ``text``; the ``last`` one is always shown, others not more often than eyes can follow."""
        now = time.monotonic()
        if not last and now - self.shown < (0.3 if in_notebook() or sys.stderr.isatty() else 20):
            return
        self.shown = now
        if in_notebook():
            from IPython.display import display
            bundle = {"text/plain": text}
            if self.handle is None:
                self.handle = display(bundle, raw=True, display_id=True)
            else:
                self.handle.update(bundle, raw=True)
        elif sys.stderr.isatty():
            # A line that the terminal breaks could not be replaced by the next.
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[2K{text if last else text[:width]}" + ("\n" if last else ""))
            sys.stderr.flush()
        else:                                # into a file: a line every 20 seconds
            print(text, file=sys.stderr, flush=True)

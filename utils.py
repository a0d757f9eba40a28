"""What everything else uses: image conversion, PSNR and SSIM, checkpoints, seeds, meters."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import os
import pickle
import random
import re
import shutil
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

# ---------------------------------------------------------------- image conversion

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (65.481, 128.553, 24.966)      # ITU-R BT.601: Y = 16 + (65.481 R + 128.553 G + 24.966 B), RGB in [0, 1]
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
    path = Path(path)
    try:
        with Image.open(path) as file:
            file.verify()               # a PNG whose last bytes are missing would still load
        with Image.open(path) as file:
            is_deep = _has_16_bits(file)
            image = ImageOps.exif_transpose(file)
            turned = file.getexif().get(0x0112, 1) in range(2, 9)      # 0x0112: orientation
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except Exception as error:     # Pillow raises many kinds for damaged files
        raise ValueError(f"{path} cannot be read as an image ({error}). Fetch or copy it again.") from error
    if is_deep or image.mode.startswith(("I", "F")):
        raise TooManyBits(f"{path} has 16 or more bits a channel (mode {image.mode}). Convert it to 8 bits first, "
                          "with the brightness that you want.")
    array, notice = _as_8_bit_array(image)
    if turned:
        notice = f"{notice}, and " * bool(notice) + "it was turned upright, as its EXIF orientation says"
    return array, notice


def _as_8_bit_array(image):
    """The second half of ``read_image``: by the mode of the file."""
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


def three_channels(image):
    """Grey (H, W) -> three equal channels (H, W, 3); a colour image stays as it is."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def fullest_boxes(values, size, n=1, step=1):
    """The n squares with the largest sums that do not overlap.

    Args:
        values: float array (H, W), such as the detail or the error at each pixel.
        size: side of the squares, in pixels.
        step: only squares whose corner lies on a grid of so many pixels.

    Returns:
        list of (top, left, mean value inside); fewer than n where there is no room.
    """
    size = min(size, *values.shape)
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))       # sums of all rectangles from the top left
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    sums = sums[::step, ::step]
    T, L = np.meshgrid(*(step * np.arange(length) for length in sums.shape), indexing="ij")
    boxes = []
    while len(boxes) < n and np.isfinite(sums).any():
        k = np.unravel_index(sums.argmax(), sums.shape)
        boxes.append((int(T[k]), int(L[k]), float(sums[k]) / size**2))
        sums[(abs(T - T[k]) < size) & (abs(L - L[k]) < size)] = -np.inf
    return boxes


# ---------------------------------------------------------------- PSNR and SSIM

def luma(image):
    """Y of an 8-bit image: (H, W, 3) -> (H, W) float64 in [16, 235]; grey (H, W) keeps its values.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.  Pillow's ``convert("L")`` is another
    formula (full range, rounded) and moves the PSNR by 1.3 dB.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"PSNR and SSIM are measured on uint8 arrays (H, W, 3) or (H, W), "
                         f"not {image.dtype} {image.shape}.")
    if image.ndim == 2:
        return image.astype(np.float64)
    weights, y = np.array(LUMA) / 255, np.empty(image.shape[:2])
    for top in range(0, len(y), 16):       # in strips: all of the picture in float64 would not fit into the cache
        y[top:top + 16] = 16 + image[top:top + 16].astype(np.float64) @ weights
    return y


def _compared(sr, hr, crop):
    """Both images as the protocol compares them: luma in float64, border cut off."""
    sr, hr = np.asarray(sr), np.asarray(hr)
    if sr.shape[:2] != hr.shape[:2]:
        raise ValueError(f"SR and HR differ in size: {sr.shape[:2]} and {hr.shape[:2]} (height, width).")
    if min(hr.shape[:2]) <= 2 * crop:
        raise ValueError(f"An image of {hr.shape[:2]} has nothing left when {crop} pixels are cut off every side.")
    if hr.ndim == 2 and sr.ndim == 3:
        # Set14's "bridge" is a grey file.  MATLAB evaluations compare grey values; through
        # the colour formula (219 levels instead of 255) it would gain 1.3 dB.
        luma(sr)                       # checks dtype and shape
        y_sr = sr.mean(axis=2)
    else:
        y_sr = luma(three_channels(sr) if hr.ndim == 3 else sr)
    inside = np.s_[crop:hr.shape[0] - crop, crop:hr.shape[1] - crop]
    return y_sr[inside], luma(hr)[inside]


def squared_error(sr, hr, crop=4):
    """(Y_SR - Y_HR)^2 at each pixel that is left, float64; arguments and errors as in ``psnr``."""
    y_sr, y_hr = _compared(sr, hr, crop)
    error = y_sr - y_hr
    error *= error        # in place: to fetch new memory takes longer than the product
    return error


def psnr(sr, hr, crop=4):
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / MSE), on luma, without the border.

    Args:
        sr, hr: uint8 arrays of equal size, (H, W, 3) or (H, W).  Where HR is grey, the mean
            of SR's channels is compared with it.
        crop: pixels cut off every side (the scaling factor, by custom).

    Raises:
        ValueError: for other dtypes or shapes, or sizes that differ.
    """
    mse = squared_error(sr, hr, crop).mean()
    return float(10 * np.log10(255**2 / mse)) if mse > 0 else float("inf")


def ssim(sr, hr, crop=4):
    """Structural similarity (Wang et al. 2004, equation 13), on luma, without the border.

    Gaussian window 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, averaged over the
    positions where the window lies wholly inside.  Arguments and errors as in ``psnr``.
    """
    x, y = _compared(sr, hr, crop)
    if min(x.shape) < 11:
        raise ValueError(f"SSIM's window is 11 x 11; what is left of the image is {x.shape}.")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total, step = 0.0, 24
    for top in range(0, len(x) - 10, step):      # in strips of rows that stay in the processor's cache
        a, b = x[top:top + step + 10], y[top:top + step + 10]
        # Four filterings and not five: equation 13 needs only the sum of the two variances.
        mu_x, mu_y, squares, products = _gaussian(np.stack([a, b, a * a + b * b, a * b]))
        mu_xy, mu_squares = mu_x * mu_y, mu_x**2 + mu_y**2
        variances = squares - mu_squares                           # var_x + var_y
        cov = products - mu_xy
        index = (2 * mu_xy + c1) * (2 * cov + c2) / ((mu_squares + c1) * (variances + c2))
        total += index.sum()
    return float(total / ((x.shape[0] - 10) * (x.shape[1] - 10)))


def _gaussian(images, size=11, sigma=1.5, step=24):
    """Weighted means under a Gaussian window, valid positions only: (N, h, W) -> (N, h - 10, W - 10).

    h is at most ``step + 10``.  The window is separable: columns, then rows, each as a product with

                 w0 w1 ... w10
        band  =     w0 w1 ... w10             (step, step + 10)
                       w0 w1 ... w10 ...

    Two thirds of it are zeros, and BLAS still is quicker than numpy's sums of shifted images.  Its products are
    kept small: large ones start threads, which on a busy machine wait for each other longer than they work.
    """
    window = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    window /= window.sum()
    band = np.zeros((step, step + size - 1))
    for k in range(step):
        band[k, k:k + size] = window
    n, h, w = images.shape
    h, w = h - size + 1, w - size + 1
    rows = np.empty((n, h, images.shape[2]))
    for left in range(0, images.shape[2], 256):
        part = np.s_[..., left:left + 256]
        np.matmul(band[:h, :h + size - 1], images[part], out=rows[part])
    rows, means = rows.reshape(n * h, -1), np.empty((n * h, w))
    for left in range(0, w, step):
        part = means[:, left:left + step]
        high = part.shape[1] + size - 1
        np.matmul(rows[:, left:left + high], band[:part.shape[1], :high].T, out=part)
    return means.reshape(n, h, w)


def gradients(image):
    """Length of the luma gradient at each pixel: uint8 (H, W, 3) or (H, W) -> float64 (H, W)."""
    # A grey file counts as three equal channels: HR and the network's RGB picture are measured on one scale.
    y = luma(three_channels(np.asarray(image)))
    wide_enough = np.pad(y, [(0, int(length == 1)) for length in y.shape], "edge")       # one pixel has no gradient
    gy, gx = np.gradient(wide_enough)
    return np.hypot(gy, gx)[:y.shape[0], :y.shape[1]]


def gradient_magnitude(image):
    """Mean length of the luma gradient, in grey levels a pixel: how much texture a picture has."""
    return float(gradients(image).mean())


# ---------------------------------------------------------------- checkpoints and weights

METHODS = {}      # name -> network class; a class registers itself, see register_method


def register_method(name):
    """Class decorator: makes a network known to ``load_generator`` under ``name``.

    The class keeps its constructor's arguments in ``self.settings``, a dict of plain values.
    """
    def register(cls):
        cls.method = name
        METHODS[name] = cls
        return cls
    return register


class CheckpointError(RuntimeError):
    """A checkpoint or weight file that is missing, damaged, or of another network."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint whose bytes are not those that were written."""


FORMAT = 1        # of checkpoints: raised when an older kit could not read them any more
HASH_LABEL = b"sha256:"
HASH_BYTES = len(HASH_LABEL) + 64
UNFINISHED = re.compile(r".+\.[0-9a-f]{32}\.tmp")       # the names of write_atomically's temporary files


def write_atomically(path, data, keep_old=None):
    """Write bytes so that ``path`` holds the old or the new content, whenever the machine stops.

    Args:
        keep_old: the old content becomes this file, once the new one is on the disk.

    Raises:
        OSError: if it cannot be written; the message says why, and that the old file is still there.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())     # renaming an unwritten file would leave an empty one after a power cut
        if keep_old is not None and path.exists():
            os.replace(path, keep_old)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise type(error)(error.errno, _cannot_write(path, len(data), error)) from error
        raise


def _cannot_write(path, n_bytes, error):
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = {errno.ENOSPC: "Free some space", errno.EDQUOT: "Free some space", errno.EROFS: "Allow writing there",
              errno.EACCES: "Allow writing there, or close the program that has it open"}.get(error.errno, "Mend this")
    state = "The file that was there is unchanged" if os.path.exists(path) else "Nothing was written"
    return f"{path} ({n_bytes / 1e6:.1f} MB) could not be written: {reason}. {state}. {advice} and run this again."


def remove_unfinished(folder):
    """Delete what ``write_atomically`` left in a folder when it was killed."""
    for file in Path(folder).rglob("*.tmp"):
        if UNFINISHED.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_csv(path, rows):
    """Write a table for people, atomically.  A spreadsheet that shows the old one does not stop anything."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    try:
        write_atomically(path, text.getvalue().encode("utf-8"))
    except PermissionError:        # on Windows a program that shows the file locks it
        print(f"Notice: {path} could not be written; is it open in another program? "
              "It still holds the former table. Close it there and run this cell again.")


def save_image(path, image):
    """Write an 8-bit array (H, W, 3) or (H, W) as PNG, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def save_checkpoint(path, checkpoint, keep_old=None):
    """Write a dict of tensors and plain containers, with its SHA-256, atomically.

    ``keep_old`` as in ``write_atomically``.

    The hash stands in the comment at the end of the zip file that ``torch.save`` makes,
    so that ``torch.load`` reads the file as well.
    """
    buffer = io.BytesIO()
    torch.save({**checkpoint, "format": FORMAT}, buffer)
    data = bytearray(buffer.getvalue())
    data[-2:] = HASH_BYTES.to_bytes(2, "little")     # the last field of a zip file: the comment's length
    digest = hashlib.sha256(data).hexdigest().encode()
    write_atomically(path, bytes(data) + HASH_LABEL + digest, keep_old)


def load_checkpoint(path):
    """Read what ``save_checkpoint`` wrote, on the CPU, once its hash is verified.

    Raises:
        CheckpointError: if the file is missing, cut short or changed (DamagedCheckpoint;
            ``torch.load`` alone accepts a flipped bit in silence), of another format
            version, or holds anything that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}. It is made by train.ipynb with the same run_name.")
    data = path.read_bytes()
    body, label, digest = data[:-HASH_BYTES], data[-HASH_BYTES:-64], data[-64:]
    if label != HASH_LABEL:
        raise DamagedCheckpoint(f"{path} carries no hash: it is damaged or cut short, or this kit has not written it. "
                                "Of a plain state_dict: generator.load_state_dict(utils.read_weights(path)).")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise DamagedCheckpoint(f"{path} is damaged: its content does not have the hash that was stored with it. "
                                "Take an older checkpoint, or delete it and train again.")
    checkpoint = _load_safely(io.BytesIO(data), path)
    if checkpoint.get("format") != FORMAT:
        raise CheckpointError(f"{path} has the checkpoint format {checkpoint.get('format')}; this version of the kit "
                              f"reads format {FORMAT}. Use the version that has written it.")
    return checkpoint


def _load_safely(file, path):
    """``torch.load`` that takes tensors and plain containers only: a file from a stranger must not run code."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:      # its own text advises to load the file all the same
        raise CheckpointError(f"{path} is damaged, or holds more than tensors and plain containers. It was not opened, "
                              "and nothing in it was run: such a file can run code of whoever made it.") from error


def read_weights(path):
    """The tensors of a .safetensors file or of a plain ``torch.save(state_dict)`` file."""
    from safetensors.torch import load_file
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no weight file {path}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = _load_safely(path, path)
    except CheckpointError:
        raise
    except Exception as error:       # safetensors, zip files and torch each raise kinds of their own
        raise CheckpointError(f"{path} cannot be read as a weight file ({error}). Copy or fetch it again.") from error
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise CheckpointError(f"{path} holds no plain state_dict (name -> tensor). Of a checkpoint of this kit: "
                              "utils.load_generator(path).")
    return state


def check_fit(model, state, origin):
    """Raise CheckpointError, with a list of what does not fit, unless ``model.load_state_dict`` would take ``state``.

    To be called before loading: torch's own would load what fits, and raise afterwards.
    """
    own = model.state_dict()
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is not expected" for name in state if name not in own]
    faults += [f"{name} is {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
               for name in own if name in state and state[name].shape != own[name].shape]
    if faults:
        raise CheckpointError(f"{origin} does not fit this {type(model).__name__}. "
                              "Check n_channels, n_blocks and the kernel sizes:\n  " + "\n  ".join(faults))


def load_weights(model, state, origin):
    """``model.load_state_dict``, or a CheckpointError that lists what does not fit; then the model is as it was."""
    check_fit(model, state, origin)
    model.load_state_dict(state)
    return model


def save_generator(path, model, **facts):
    """Write a generator's weights as .safetensors, with all that ``load_generator`` needs.

    ``facts`` (plain values, such as stage and epoch) are kept in the file's metadata.
    """
    from safetensors.torch import save
    metadata = {"method": model.method, "settings": json.dumps(model.settings), "facts": json.dumps(facts)}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path, save(state, metadata))


def load_generator(path):
    """The generator in a checkpoint (.pth) or in a .safetensors file, in eval mode, on the CPU.

    Of a checkpoint the averaged weights are taken: they are what was validated.

    Raises:
        CheckpointError: if the file is missing or damaged, holds no generator, or is of
            a method that is not registered (import its module first).
    """
    import models  # noqa: F401  it registers the core's own methods, and it imports this file
    path = Path(path)
    if path.suffix == ".safetensors":
        from safetensors import safe_open
        state = read_weights(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if "method" not in metadata:
            raise CheckpointError(f"{path} does not say which network it holds (no 'method' in its metadata).")
        method, settings = metadata["method"], json.loads(metadata["settings"])
    else:
        checkpoint = load_checkpoint(path)
        method, settings = checkpoint.get("method"), checkpoint.get("settings")
        state = checkpoint.get("averaged") or checkpoint.get("generator")
        if not (method and settings and state):
            raise CheckpointError(f"{path} holds no generator (method, settings or weights are missing).")
    if method not in METHODS:
        raise CheckpointError(f"{path} holds a network of the method {method!r}; known here: "
                              f"{', '.join(sorted(METHODS))}. Import the module that defines it first.")
    return load_weights(METHODS[method](**settings), state, path).eval()


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

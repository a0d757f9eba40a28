"""Conversion, PSNR and SSIM, reading images, checkpoints, meters, random states."""

import math
import os
import pickle
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import utils
from imresize import imresize
from inference import load_generator
from metrics import SMALLEST, psnr, ssim
from models import Discriminator, Generator
from support.checkpoints import (
    METHODS,
    CheckpointError,
    load_checkpoint,
    load_weights,
    read_weights,
    save_checkpoint,
    save_generator,
)
from support.convert import convert_image
from support.files import save_image, write_atomically, write_csv
from support.images import TooManyBits, read_image
from support.run import AverageMeter, adjust_learning_rate, random_states, restore_random_states, seed_everything
from tests.helpers import ROOT, photo, write_image

# ---------------------------------------------------------------- convert_image

PIXEL = (51, 102, 204)            # 0.2, 0.4, 0.8
BY_HAND = {
    "[0, 1]": [0.2, 0.4, 0.8], "[-1, 1]": [-0.6, -0.2, 0.6], "[0, 255]": [51, 102, 204],
    "imagenet-norm": [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.8 - 0.406) / 0.225],
    "y-channel": [16 + 65.481 * 0.2 + 128.553 * 0.4 + 24.966 * 0.8]}       # 100.4902


def one_pixel(source):
    if source == "pil":
        return Image.new("RGB", (1, 1), PIXEL)
    return torch.tensor(BY_HAND[source]).view(3, 1, 1)


@pytest.mark.parametrize("source", ["pil", "[0, 1]", "[-1, 1]"])
@pytest.mark.parametrize("target", list(BY_HAND))
def test_every_conversion_gives_the_numbers_computed_by_hand(source, target):
    out = convert_image(one_pixel(source), source, target)
    assert out.shape == ((1, 1) if target == "y-channel" else (3, 1, 1))
    assert out.dtype == torch.float32
    assert torch.allclose(out.flatten(), torch.tensor(BY_HAND[target], dtype=torch.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", ["pil", "[0, 1]", "[-1, 1]"])
def test_towards_pil_the_pixel_is_the_same(source):
    out = convert_image(one_pixel(source), source, "pil")
    assert out.mode == "RGB" and out.getpixel((0, 0)) == PIXEL


def test_rows_and_columns_keep_their_places():
    image = photo("coffee.png", 50, 60, 5, 7)
    tensor = convert_image(Image.fromarray(image), "pil", "[0, 1]")
    assert tensor.shape == (3, 5, 7)
    assert torch.equal((tensor * 255).round().byte(), torch.from_numpy(image).permute(2, 0, 1))
    assert np.array_equal(np.array(convert_image(tensor, "[0, 1]", "pil")), image)


def test_black_and_white_have_luma_16_and_235():
    grey = torch.stack([torch.zeros(3, 1), torch.ones(3, 1)], dim=2)
    assert convert_image(grey, "[0, 1]", "y-channel")[0].tolist() == pytest.approx([16, 235])


@pytest.mark.parametrize("source", ["[0, 1]", "[-1, 1]"])
@pytest.mark.parametrize("target", list(BY_HAND))
def test_between_tensors_it_is_affine_beyond_the_range_and_differentiable(source, target):
    x, y = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5
    x.requires_grad_()

    def f(image):
        return convert_image(image, source, target)

    assert f(x).dtype == torch.float64
    assert torch.allclose(f(0.3 * x + 0.7 * y), 0.3 * f(x) + 0.7 * f(y))       # a clamp would break this
    weights = torch.randn_like(f(x))
    (weights * f(x)).sum().backward()
    assert torch.allclose((x.grad * (y - x)).sum(), (weights * (f(y) - f(x))).sum())
    assert (x.grad.abs() > 0).all()


def test_towards_pil_values_are_clamped_and_rounded():
    values = torch.tensor([-0.5, 0.0, 1.4 / 255, 1.6 / 255, 1.0, 7.0])
    image = convert_image(values.view(1, 1, 6).expand(3, 1, 6), "[0, 1]", "pil")
    assert np.array(image)[0, :, 0].tolist() == [0, 0, 1, 2, 255, 255]


@pytest.mark.parametrize("target", list(BY_HAND))
def test_a_batch_is_converted_image_by_image(target):
    batch = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    together = convert_image(batch, "[-1, 1]", target)
    assert torch.equal(together, torch.stack([convert_image(image, "[-1, 1]", target) for image in batch]))


@pytest.mark.parametrize("source, target", [("pil", "[0, 1]"), ("[0, 1]", "y-channel"), ("[-1, 1]", "imagenet-norm")])
def test_the_result_is_moved_to_the_device_asked_for(monkeypatch, source, target):
    asked, real_to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: (asked.append(a), real_to(self, "cpu"))[1])
    convert_image(one_pixel(source), source, target)
    assert asked == []
    convert_image(one_pixel(source), source, target, device="cuda:1")
    assert asked == [("cuda:1",)]


@pytest.mark.parametrize("img, source, target", [
    (torch.rand(3, 2, 2), "[0, 2]", "pil"),
    (torch.rand(3, 2, 2), "[0, 255]", "pil"),
    (torch.rand(3, 2, 2), "[0, 1]", "rgb"),
    (torch.rand(2, 2, 3), "[0, 1]", "[-1, 1]"),
    (torch.rand(1, 2, 2), "[0, 1]", "[-1, 1]"),
    (torch.rand(3, 2), "[0, 1]", "[-1, 1]"),
    (torch.rand(2, 3, 2, 2), "[0, 1]", "pil"),
    (Image.new("L", (2, 2)), "pil", "[0, 1]"),
    (torch.rand(3, 2, 2), "pil", "[0, 1]"),
])
def test_what_cannot_be_converted_is_refused(img, source, target):
    with pytest.raises(ValueError):
        convert_image(img, source, target)


# ---------------------------------------------------------------- PSNR and SSIM

def luma_by_hand(image):
    r, g, b = np.moveaxis(image.astype(np.float64), 2, 0)
    return 16 + 65.481 * r / 255 + 128.553 * g / 255 + 24.966 * b / 255


def degraded(hr):
    return imresize(imresize(hr, 0.25), output_shape=hr.shape[:2])


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "chelsea.png"])
def test_psnr_and_ssim_equal_scikit_image(name):
    hr = photo(name, 60, 100, 61, 80)
    sr = degraded(hr)
    a, b = (luma_by_hand(image)[4:-4, 4:-4] for image in (sr, hr))
    assert psnr(sr, hr) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-9)
    expected = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                     data_range=255)
    assert ssim(sr, hr) == pytest.approx(expected, abs=1e-9)


def test_psnr_by_hand():
    hr = np.full((10, 10, 3), 100, np.uint8)
    sr = hr.copy()
    sr[4, 4] = (150, 100, 100)        # one of the four pixels that are left of 10 x 10
    sr[0, 0] = 255                    # in the border: does not count
    mse = (65.481 * 50 / 255) ** 2 / 4
    assert psnr(sr, hr) == pytest.approx(10 * math.log10(255**2 / mse))
    assert psnr(sr, hr, crop=0) < psnr(sr, hr)


def test_identical_images_give_infinity_and_one():
    hr = photo("coffee.png", 0, 0, 24, 24)
    assert psnr(hr, hr) == math.inf and ssim(hr, hr) == pytest.approx(1)


def test_a_grey_hr_is_measured_on_grey_values_against_the_mean_of_the_channels():
    hr = photo("camera.png", 100, 200, 40, 44)
    sr = np.stack([degraded(hr)] * 3, axis=2)
    sr[..., 0] = np.where(sr[..., 0] > 250, 255, sr[..., 0] + 3)
    mean = sr.astype(np.float64).mean(axis=2)[4:-4, 4:-4]
    inner = hr.astype(np.float64)[4:-4, 4:-4]
    assert psnr(sr, hr) == pytest.approx(10 * np.log10(255**2 / np.mean((mean - inner) ** 2)))
    assert ssim(sr, hr) == pytest.approx(structural_similarity(
        mean, inner, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255))
    as_colour = psnr(sr, np.stack([hr] * 3, axis=2))
    assert as_colour - psnr(sr, hr) > 1            # 219 levels instead of 255: 1.32 dB


@pytest.mark.parametrize("name, dB, similarity", [("Set5", 28.42, 0.8104), ("Set14", 26.00, 0.7027)])
def test_bicubic_has_the_published_figures(benchmark, name, dB, similarity):
    rows = []
    for _, hr, lr in benchmark[name]:
        hr, lr = read_image(hr)[0], read_image(lr)[0]
        sr = imresize(utils.three_channels(lr), 4)
        rows.append((psnr(sr, hr), ssim(sr, hr)))
    assert np.mean(rows, axis=0)[0] == pytest.approx(dB, abs=0.03)
    assert np.mean(rows, axis=0)[1] == pytest.approx(similarity, abs=0.001)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("sr, hr", [
    (np.zeros((20, 20, 3)), np.zeros((20, 20, 3), np.uint8)),
    (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.float32)),
    (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 24, 3), np.uint8)),
    (np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3), np.uint8)),
    (np.zeros((20, 20, 3)), np.zeros((20, 20), np.uint8)),
    (np.zeros((1, 20, 20, 3), np.uint8), np.zeros((1, 20, 20, 3), np.uint8)),
    (np.zeros((8, 20, 3), np.uint8), np.zeros((8, 20, 3), np.uint8)),
])
def test_other_dtypes_and_sizes_are_not_measured(measure, sr, hr):
    with pytest.raises(ValueError):
        measure(sr, hr)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(np.zeros((18, 40, 3), np.uint8), np.zeros((18, 40, 3), np.uint8))


def test_the_smallest_image_that_can_be_measured():
    image = photo("coffee.png", 50, 60, SMALLEST, SMALLEST)
    assert SMALLEST == 19 and ssim(image, image) == 1            # 18: see above


# ---------------------------------------------------------------- read_image

def colours(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_colour_and_grey_files_are_read_as_they_are(tmp_path):
    rgb, grey = colours(), colours()[..., 0]
    for image in (rgb, grey):
        read, notice = read_image(write_image(tmp_path / "a.png", image))
        assert np.array_equal(read, image) and read.dtype == np.uint8 and notice == ""


def test_alpha_is_dropped_not_blended_with_a_notice(tmp_path):
    rgba = np.dstack([colours(), np.full((6, 8), 30, np.uint8)])
    read, notice = read_image(write_image(tmp_path / "a.png", rgba))
    assert np.array_equal(read, rgba[..., :3]) and "alpha" in notice
    la = np.dstack([colours()[..., 0], np.full((6, 8), 30, np.uint8)])
    Image.fromarray(la, "LA").save(tmp_path / "la.png")
    read, notice = read_image(tmp_path / "la.png")
    assert np.array_equal(read, la[..., 0]) and "alpha" in notice


def test_a_palette_becomes_colours_with_a_notice(tmp_path):
    image = Image.fromarray(colours() // 128 * 200).quantize(8)
    image.save(tmp_path / "a.png")
    read, notice = read_image(tmp_path / "a.png")
    assert np.array_equal(read, np.array(image.convert("RGB"))) and "palette" in notice
    image.save(tmp_path / "b.png", transparency=0)
    read, notice = read_image(tmp_path / "b.png")
    assert np.array_equal(read, np.array(image.convert("RGB"))) and "alpha" in notice


def test_one_bit_becomes_0_and_255_with_a_notice(tmp_path):
    bits = colours()[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    read, notice = read_image(tmp_path / "a.png")
    assert np.array_equal(read, bits * np.uint8(255)) and "1-bit" in notice


def test_cmyk_is_converted_with_a_notice(tmp_path):
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    read, notice = read_image(tmp_path / "a.jpg")
    assert read.shape == (6, 8, 3) and "CMYK" in notice
    assert read[0, 0, 0] > 200 and read[0, 0, 1:].max() < 60      # no cyan: red


def test_16_bit_grey_is_refused_by_name(tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 900).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png.*16"):
        read_image(tmp_path / "deep.png")


def png_16_bit(path, image, colour_type):
    """Pillow cannot write 16-bit colour, so by hand: signature, IHDR, IDAT, IEND."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 16, colour_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                     + chunk(b"IEND", b""))


@pytest.mark.parametrize("colour_type, channels", [(2, 3), (6, 4)])
def test_16_bit_colour_is_converted_with_a_notice_or_refused(tmp_path, colour_type, channels):
    image = np.random.default_rng(0).integers(0, 65536, (6, 8, channels))
    png_16_bit(tmp_path / "deep.png", image, colour_type)
    try:
        _, notice = read_image(tmp_path / "deep.png")
    except ValueError as error:
        assert "deep.png" in str(error) and "16" in str(error)
    else:
        assert "16" in notice          # Pillow reads such a file as 8-bit RGB silently


def tiff_16_bit(path, image):
    """Header, one directory of nine entries, the three bit depths, the pixels."""
    height, width, _ = image.shape
    pixels = image.astype("<u2").tobytes()
    depths = 8 + 2 + 9 * 12 + 4
    entries = [(256, width), (257, height), (258, depths), (259, 1), (262, 2), (273, depths + 6), (277, 3),
               (278, height), (279, len(pixels))]
    directory = b"".join(struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
                         for tag, value in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 9) + directory + struct.pack("<I3H", 0, 16, 16, 16) + pixels)


def test_16_bit_colour_of_other_kinds_is_refused_too(tmp_path):
    image = np.random.default_rng(1).integers(0, 65536, (6, 8, 3))
    tiff_16_bit(tmp_path / "deep.tif", image)
    (tmp_path / "deep.ppm").write_bytes(b"P6 8 6 65535\n" + image.astype(">u2").tobytes())
    for name in ("deep.tif", "deep.ppm"):
        with pytest.raises(TooManyBits, match=name):
            read_image(tmp_path / name)


@pytest.mark.parametrize("ending", ["tif", "ppm", "bmp", "webp", "jpg"])
def test_8_bits_of_every_kind_are_read(tmp_path, ending):
    image = photo("astronaut.png", 0, 0, 16, 24)
    write_image(tmp_path / f"a.{ending}", image, **({"lossless": True} if ending == "webp" else {}))
    read, notice = read_image(tmp_path / f"a.{ending}")
    assert notice == "" and read.shape == image.shape
    assert ending == "jpg" or np.array_equal(read, image)


def test_a_table_that_another_program_has_open_stops_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "log.csv"
    write_csv(path, [["a", "b"], [1, "c, d"]])
    assert path.read_bytes() == b'a,b\n1,"c, d"\n'

    def locked(*_):
        raise PermissionError("used by another process")
    monkeypatch.setattr(os, "replace", locked)
    write_csv(path, [["new"]])
    assert "log.csv" in capsys.readouterr().out and [p.name for p in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("content", ["truncated", "text", "empty", "flipped"])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    path = write_image(tmp_path / "bad.png", photo("coffee.png", 0, 0, 40, 40))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0x10
    path.write_bytes({"truncated": whole[:len(whole) // 3], "text": b"<html>404 Not Found</html>", "empty": b"",
                      "flipped": bytes(whole)}[content])
    with pytest.raises(ValueError, match=r"bad\.png"):
        read_image(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")


def test_save_image_and_read_image_round_trip(tmp_path):
    for image in (colours(), colours()[..., 0]):
        save_image(tmp_path / "new" / "a.png", image)
        assert np.array_equal(read_image(tmp_path / "new" / "a.png")[0], image)
    assert os.listdir(tmp_path / "new") == ["a.png"]


# ---------------------------------------------------------------- checkpoints

CHECKPOINT = {"method": "srgan", "epoch": 3, "history": [{"psnr": 28.4, "note": None}], "nested": {"a": (1, 2.5)},
              "weights": {"w": torch.arange(2000.).view(40, 50), "n": torch.tensor(7)},
              "format": 1}


def same(a, b):
    if torch.is_tensor(a):
        return torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path / "new" / "a.pth", CHECKPOINT)
    assert same(load_checkpoint(tmp_path / "new" / "a.pth"), CHECKPOINT)
    assert os.listdir(tmp_path / "new") == ["a.pth"]


def test_torch_load_reads_the_same_file(tmp_path):
    save_checkpoint(tmp_path / "a.pth", CHECKPOINT)
    assert same(torch.load(tmp_path / "a.pth", weights_only=True), CHECKPOINT)


@pytest.mark.parametrize("place", [0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 0.99, "hash", "end"])
def test_a_flipped_bit_is_noticed(tmp_path, place):
    path = tmp_path / "a.pth"
    save_checkpoint(path, CHECKPOINT)
    data = bytearray(path.read_bytes())
    data[{"hash": len(data) - 30, "end": len(data) - 1}.get(place) or int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a\.pth.*damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 10, 0.5, -1])
def test_a_truncated_checkpoint_is_noticed(tmp_path, kept):
    path = tmp_path / "a.pth"
    save_checkpoint(path, CHECKPOINT)
    data = path.read_bytes()
    path.write_bytes(data[:kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth"):
        load_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.pth"
    save_checkpoint(path, CHECKPOINT)
    before = path.read_bytes()

    def disk_full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, failing, disk_full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"epoch": 4})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.pth"]


def test_content_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), real_fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), real_replace(a, b))[1])
    write_atomically(tmp_path / "a.txt", b"abc")
    assert events == ["fsync", "replace"] and (tmp_path / "a.txt").read_bytes() == b"abc"


class Intruder:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_with_code_is_refused_and_not_executed(tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Intruder(mark)))
    torch.save({"w": Intruder(mark)}, tmp_path / "zip.pth")
    for name in ("plain.pth", "zip.pth"):
        for read in (load_checkpoint, read_weights, load_generator):
            with pytest.raises(CheckpointError, match=name):
                read(tmp_path / name)
    assert not mark.exists()
    torch.load(tmp_path / "zip.pth", weights_only=False)
    assert mark.exists()               # the file would have worked


def test_a_file_with_code_and_a_right_hash_is_refused_too(tmp_path):
    mark = tmp_path / "executed"
    save_checkpoint(tmp_path / "a.pth", {"w": Intruder(mark)})
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        load_checkpoint(tmp_path / "a.pth")
    assert not mark.exists()


# ---------------------------------------------------------------- generators in files

def small_generator(seed=0, **settings):
    torch.manual_seed(seed)
    model = Generator(**{**dict(large_kernel_size=5, small_kernel_size=3, n_channels=6, n_blocks=2, scaling_factor=2),
                         **settings})
    for _ in range(3):
        model.train()(torch.rand(2, 3, 8, 8))      # moves BatchNorm's running statistics
    return model


def test_a_generator_comes_back_from_safetensors_with_the_same_output(tmp_path):
    model = small_generator()
    save_generator(tmp_path / "g.safetensors", model, stage="srgan", epoch=5)
    loaded = load_generator(str(tmp_path / "g.safetensors"))
    x = torch.rand(1, 3, 7, 9)
    assert not loaded.training and loaded.settings == model.settings
    assert torch.equal(loaded(x), model.eval()(x))


def test_a_generator_comes_back_from_a_checkpoint_by_its_averaged_weights(tmp_path):
    model, averaged = small_generator(0), small_generator(1)
    save_checkpoint(tmp_path / "g.pth", {"method": "srgan", "settings": model.settings, "stage": "pretrain",
                                         "generator": model.state_dict(), "averaged": averaged.state_dict()})
    loaded = load_generator(tmp_path / "g.pth")
    x = torch.rand(1, 3, 7, 9)
    assert not loaded.training
    assert torch.equal(loaded(x), averaged.eval()(x)) and not torch.equal(loaded(x), model.eval()(x))
    save_checkpoint(tmp_path / "h.pth", {"method": "srgan", "settings": model.settings, "averaged": None,
                                         "generator": model.state_dict()})
    assert torch.equal(load_generator(tmp_path / "h.pth")(x), model(x))


def test_keys_that_do_not_fit_are_listed(tmp_path):
    model = small_generator()
    state = model.state_dict()
    state["extra.weight"] = state.pop("last.bias")
    with pytest.raises(CheckpointError) as error:
        load_weights(model, state, "homework.pth")
    for part in ("homework.pth", "Generator", "last.bias", "extra.weight"):
        assert part in str(error.value)
    with pytest.raises(CheckpointError, match=r"first\.0\.weight"):
        load_weights(small_generator(n_channels=8), model.state_dict(), "homework.pth")


@pytest.mark.parametrize("content", [
    {"epoch": 1}, {"method": "srgan", "settings": {}, "stage": "pretrain"},
    {"method": "unheard", "settings": {}, "averaged": {}, "generator": {}}])
def test_a_checkpoint_without_a_known_generator_is_refused_by_name(tmp_path, content):
    save_checkpoint(tmp_path / "g.pth", content)
    with pytest.raises(CheckpointError, match=r"g\.pth"):
        load_generator(tmp_path / "g.pth")


def test_a_weight_file_without_a_known_generator_is_refused_by_name(tmp_path):
    from safetensors.torch import save_file
    save_file({"w": torch.ones(2)}, tmp_path / "bare.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors", {"method": "unheard", "settings": "{}"})
    (tmp_path / "text.safetensors").write_text("<html>")
    for name in ("bare", "other", "text", "none"):
        with pytest.raises(CheckpointError, match=rf"{name}\.safetensors"):
            load_generator(tmp_path / f"{name}.safetensors")


def test_a_discriminator_is_not_a_registered_method():
    assert "srgan" in METHODS and not hasattr(Discriminator, "method")


# ---------------------------------------------------------------- meters, learning rate, random state

def test_the_mean_is_weighted_by_the_number_of_samples():
    meter = AverageMeter()
    assert math.isnan(meter.avg)
    meter.update(2.0, 3)
    meter.update(5.0)
    assert (meter.val, meter.sum, meter.count, meter.avg) == (5.0, 11.0, 4, 2.75)
    meter.reset()
    assert meter.count == 0 and meter.sum == 0


def test_a_meter_fed_with_tensors_keeps_no_graph_and_leaves_them_alone():
    weight = torch.tensor(2.0, requires_grad=True)
    meter = AverageMeter()
    losses = [weight * 3, weight * 5]
    for loss in losses:
        meter.update(loss, 2)
    assert meter.avg == 8 and meter.val == 10 and isinstance(meter.avg, float)
    assert [loss.item() for loss in losses] == [6, 10]
    assert not meter._sum.requires_grad


def test_a_meter_goes_on_from_its_state_as_if_never_stopped():
    values = torch.rand(20, generator=torch.Generator().manual_seed(0)) / 7
    whole, part = AverageMeter(), AverageMeter()
    for n, value in enumerate(values):
        if n == 9:
            part = AverageMeter.of(part.state())
        whole.update(value, 3)
        part.update(value, 3)
    assert whole.state() == part.state()


def test_a_nan_stays_visible_in_the_sum():
    meter = AverageMeter()
    for value in (1.0, float("nan"), 1.0):
        meter.update(torch.tensor(value))
    assert math.isnan(meter.sum) and meter.val == 1


def test_adjust_learning_rate_multiplies_every_group():
    w = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam([{"params": w[:1], "lr": 1e-4}, {"params": w[1:], "lr": 4e-3}])
    adjust_learning_rate(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-5, 4e-4])


def draws():
    return random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))


def test_random_states_survive_a_checkpoint(tmp_path):
    seed_everything(5)
    draws()
    save_checkpoint(tmp_path / "a.pth", random_states())
    expected = draws()
    seed_everything(6)
    assert draws() != expected
    restore_random_states(load_checkpoint(tmp_path / "a.pth"))
    assert draws() == expected


def test_a_seed_sets_every_generator():
    seed_everything(1)
    first = draws()
    seed_everything(1)
    assert draws() == first
    seed_everything(2)
    assert not set(draws()) & set(first)


# ---------------------------------------------------------------- the signpost

OLD_SLIDES = """
    math random shutil sys time Path np torch Image ImageOps CheckpointError load_generator load_weights read_weights
    save_image LUMA fullest_boxes gradient_magnitude gradients psnr squared_error ssim three_channels IMAGENET_MEAN
    IMAGENET_STD SOURCES TARGETS convert_image to_uint8 to_float TooManyBits read_image open_image as_8_bit_array
    seed_everything random_states restore_random_states AverageMeter adjust_learning_rate in_notebook Line"""


def test_a_star_import_gives_all_that_slides_rely_on():
    names = {}
    exec("from utils import *", names)
    assert set(OLD_SLIDES.split()) <= set(names)
    assert names["psnr"] is psnr and names["np"] is np and callable(names["load_generator"])


@pytest.mark.slow
@pytest.mark.parametrize("start", ["inference", "solver", "models", "utils"])
def test_a_students_models_may_take_everything_from_utils(tmp_path, start):
    """inference imports models, and utils hands on inference: no order of imports may end in a circle."""
    (tmp_path / "models.py").write_text(f"from utils import *\n{(ROOT / 'models.py').read_text(encoding='utf-8')}",
                                        encoding="utf-8")
    code = (f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import {start}, models, utils; "
            "print(models.__file__, type(utils.load_generator('srresnet-small-x4')) is models.Generator)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path / "models.py"), "True"]


def test_the_lists_are_made_without_torch():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import create_data_lists; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr

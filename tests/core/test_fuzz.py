"""Random inputs against plain rules: 100 of each kind here, 2,500 of each in ``make test-long``."""

import csv
import io
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets import SRDataset, turned
from imresize import imresize
from models import Generator
from support.convert import convert_image, to_float, to_uint8
from support.enlarging import super_resolve
from support.layers import folded
from support.lists import leads_outside, read_rows
from tests.helpers import loop_resize, noise

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1 / 8, 1 / 4, 1 / 3, 1 / 2, 0.7, 1, 1.5, 2, 3, 4]),
       st.sampled_from(["symmetric", "replicate"]), st.booleans(), st.integers(0, 2**32 - 1))
def test_imresize_equals_plain_loops(height, width, scale, edges, eight_bits, seed):
    image = noise(height, width, seed, channels=1)
    image = image if eight_bits else image.astype(np.float64) / 255
    shape = [int(np.ceil(length * scale)) for length in image.shape]
    expected = loop_resize(image, shape, (scale, scale), edges=edges)
    result = imresize(image, scale, edges=edges)
    assert result.dtype == image.dtype and result.shape == expected.shape
    if eight_bits:
        assert np.array_equal(result, expected)
    else:
        assert np.allclose(result, expected, rtol=0, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_convert_image_comes_back(height, width, seed, n):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    zero_one = convert_image(picture, "pil", "[0, 1]")
    assert zero_one.shape == (3, height, width) and zero_one.min() >= 0 and zero_one.max() <= 1
    for target in ("[0, 1]", "[-1, 1]"):
        there = convert_image(picture, "pil", target)
        assert np.array_equal(np.array(convert_image(there, target, "pil")), pixels)
        back = convert_image(convert_image(there.repeat(n, 1, 1, 1), target, "[-1, 1]"), "[-1, 1]", "[0, 1]")
        assert torch.allclose(back, zero_one.expand_as(back), atol=1e-6)
    assert torch.equal(to_uint8(to_float(torch.from_numpy(pixels))), torch.from_numpy(pixels))
    y = convert_image(picture, "pil", "y-channel")
    assert torch.allclose(y, 16 + (zero_one * torch.tensor([65.481, 128.553, 24.966]).view(3, 1, 1)).sum(0), atol=1e-3)
    assert torch.allclose(convert_image(zero_one, "[0, 1]", "[0, 255]"), 255 * zero_one)


WORDS = st.one_of(st.text(max_size=12), st.sampled_from([
    "HR/a.png", "LR/ax4.png", "../a.png", "/etc/passwd", "C:\\a.png", "a/../../b.png", " ", "数据/图 1.png", "😀.png",
    'with "quotes".png', "two,names.png", "HR", "a\nb.png", "..", "~/a.png", "\\\\server\\a.png", "a\0b"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lists")


@given(st.lists(st.lists(WORDS, max_size=4), max_size=6), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_a_list_gives_each_row_back_or_says_what_is_wrong_with_it(folder, rows, mark, ending):
    text = io.StringIO()
    csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(rows)
    path = folder / "train_images.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig" if mark else "utf-8", errors="surrogatepass"))
    pairs, faults = read_rows(path, [folder, folder])
    for pair in pairs:
        names = rows[pair.row - 1]
        assert (pair.hr, pair.lr) == (folder / names[0], folder / names[1])
        for file in (pair.hr, pair.lr):
            assert file.resolve().is_relative_to(folder.resolve())
    known = {number for number, row in enumerate(rows, start=1) if row}
    if not any(row == 0 for row, _, _ in faults):
        assert sorted([pair.row for pair in pairs] + [row for row, _, _ in faults]) == sorted(known)
    assert all(problem and remedy for _, problem, remedy in faults)


@given(st.binary(max_size=80))
def test_any_bytes_as_a_list_raise_nothing(folder, content):
    path = folder / "valid_images.csv"
    path.write_bytes(content)
    pairs, faults = read_rows(path, [folder, folder])
    assert pairs or faults
    assert not any(leads_outside(file.relative_to(folder).as_posix(), folder) for pair in pairs
                   for file in (pair.hr, pair.lr) if file.is_relative_to(folder))


class Coordinates:
    """A store of one image whose every pixel says where it is: LR's (row, column), HR's at s times the size."""

    def __init__(self, h, w, scale):
        rows, columns = np.meshgrid(np.arange(h, dtype=np.uint8), np.arange(w, dtype=np.uint8), indexing="ij")
        self.lr = np.stack([rows, columns, rows ^ columns], axis=2)
        self.hr = self.lr.repeat(scale, axis=0).repeat(scale, axis=1)

    def get(self, path):
        return getattr(self, path)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.sampled_from([2, 4, 8]), st.integers(0, 2**63),
       st.integers(0, 10**6), st.integers(0, 10**9))
def test_crops_are_aligned_and_never_outside(h, w, side, scale, seed, epoch, index):
    side = min(side, h, w)
    dataset = SRDataset.__new__(SRDataset)
    dataset.store, dataset.pairs = Coordinates(h, w, scale), [types.SimpleNamespace(lr="lr", hr="hr")]
    dataset.seed, dataset.scale, dataset.crop, dataset.patch_num = seed, scale, side * scale, 10**9 + 1
    dataset.lr_sizes = np.array([(h, w)])
    lr, hr = (part[0].permute(1, 2, 0).numpy() for part in dataset.batch(epoch, [index]))
    assert lr.shape == (side, side, 3) and hr.shape == (side * scale, side * scale, 3)
    assert np.array_equal(hr, lr.repeat(scale, axis=0).repeat(scale, axis=1))
    unturned = [turned(lr, turn) for turn in (0, 1, 2, 3, 4, 5, 6, 7)]
    (image,), (top,), (left,), (turn,) = dataset.places(epoch, [index])
    assert 0 <= top <= h - side and 0 <= left <= w - side and 0 <= turn < 8
    assert any(np.array_equal(patch, dataset.store.lr[top:top + side, left:left + side]) for patch in unturned)


def generator(seed, n_blocks, scale, kernel):
    torch.manual_seed(seed)
    return Generator(large_kernel_size=kernel, small_kernel_size=3, n_channels=4, n_blocks=n_blocks,
                     scaling_factor=scale).eval()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2), st.sampled_from([2, 4]), st.sampled_from([3, 5, 9]),
       st.floats(0, 1), st.integers(0, 10**6))
@torch.inference_mode()
def test_tiles_equal_the_whole_picture(h, w, n_blocks, scale, kernel, tightness, seed):
    model = generator(seed, n_blocks, scale, kernel)
    lr = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    whole = folded(model)(to_float(torch.from_numpy(lr)).permute(2, 0, 1)[None])
    trunk_bytes, tail_bytes = folded(model).bytes_per_pixel()
    trunk_margin, tail_margin = folded(model).receptive_margin()
    least = max((8 + 2 * (trunk_margin + tail_margin))**2 * trunk_bytes, 8 * (8 + 2 * tail_margin)**2 * tail_bytes) + 1
    tiled = super_resolve(model, lr, memory=least * (1 + 3 * tightness))
    expected = (whole[0].permute(1, 2, 0).numpy() + 1) / 2 * 255
    # Both were rounded: values that differ in the sixth digit may fall on the two sides of a half.
    assert np.abs(tiled - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-3


def test_the_names_that_lead_outside(tmp_path):
    inside = ["a.png", "a/b.png", "./a.png", "a/../b.png", "..a.png", "a..png", "图 1.png"]
    outside = ["../a.png", "/a.png", "a/../../b.png", "C:/a.png", "C:a.png", "\\a.png", "..\\a.png", "", " ", ".."]
    assert not any(leads_outside(name, tmp_path) for name in inside) and all(map(leads_outside, outside))
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    try:
        Path(tmp_path, "data", "a.png").symlink_to(tmp_path / "secret.png")
    except OSError:
        pytest.skip("Windows makes links for administrators only")
    assert leads_outside("a.png", tmp_path / "data") and not leads_outside("data/a.png", tmp_path)

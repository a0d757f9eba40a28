"""imresize against MATLAB's own images and against plain loops written from MATLAB's rules."""

import math
import tracemalloc

import numpy as np
import pytest

from imresize import _exact_dtype, contributions, imresize
from tests.helpers import loop_resize, noise, photo, pixels


def tent(x):
    return max(0.0, 1 - abs(x))


# ---------------------------------------------------------------- golden arrays

# Worked out in exact fractions from MATLAB's rules (kernel, antialiasing, normalised weights, edges, rounding
# half up after each dimension), one pixel after the other, without this kit.
ODD = [[120, 155, 52, 202, 245, 79, 46], [34, 10, 205, 148, 30, 113, 184], [141, 88, 54, 134, 109, 13, 133],
       [139, 99, 84, 158, 148, 190, 44], [172, 198, 127, 91, 126, 242, 143]]
SMALL = [[200, 30, 90], [10, 250, 60], [5, 140, 128]]
ROW = [[45, 150, 3, 149]]
GOLDEN = {
    "odd sizes halved": (ODD, dict(scalar_scale=1 / 2),
                         [[88, 144, 122, 98], [110, 111, 116, 107], [175, 115, 178, 149]],
                         [[85, 144, 118, 109], [108, 111, 116, 105], [178, 114, 176, 145]]),
    "mirrored more than once": (ODD, dict(scalar_scale=1 / 4), [[116, 118], [129, 135]], [[116, 116], [148, 152]]),
    "enlarged": (SMALL, dict(scalar_scale=2),
                 [[238, 174, 46, 11, 71, 101], [170, 145, 94, 72, 79, 82], [34, 86, 190, 194, 96, 47],
                  [0, 53, 206, 225, 112, 56], [0, 37, 138, 169, 128, 108], [0, 30, 104, 140, 136, 134]],
                 [[227, 171, 50, 17, 72, 97], [168, 145, 94, 72, 79, 82], [37, 86, 190, 194, 96, 50],
                  [0, 53, 206, 225, 112, 60], [0, 37, 138, 169, 128, 109], [0, 31, 106, 141, 136, 133]]),
    "one row to 3 x 6": (ROW, dict(output_shape=(3, 6)), [[38, 107, 137, 13, 67, 159]] * 3,
                         [[39, 107, 137, 13, 67, 157]] * 3),
    "one column, narrower and wider": ([[250], [3], [128]], dict(output_shape=(2, 2)), [[173, 173], [81, 81]],
                                       [[163, 163], [75, 75]]),
    "one pixel enlarged": ([[77]], dict(scalar_scale=4), [[77] * 4] * 4, [[77] * 4] * 4),
    "one pixel made smaller": ([[77]], dict(scalar_scale=1 / 4), [[77]], [[77]]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_arrays(name):
    image, size, symmetric, replicate = GOLDEN[name]
    image = np.array(image, np.uint8)
    assert imresize(image, edges="symmetric", **size).tolist() == symmetric
    assert imresize(image, edges="replicate", **size).tolist() == replicate
    colour = np.stack([image, image, image], axis=2)
    assert imresize(colour, edges="replicate", **size)[..., 1].tolist() == replicate


def test_a_wide_image_is_made_strip_by_strip_without_a_seam():
    image = noise(4, 300_000, seed=6, channels=1)
    middle = np.s_[:, 100_000:140_000]
    assert np.array_equal(imresize(image, output_shape=(9, 300_000))[middle],
                          imresize(image[middle], output_shape=(9, 40_000)))


# ---------------------------------------------------------------- tests

def test_matlabs_lr_images_are_reproduced_byte_for_byte(benchmark):
    differing = {name: int((imresize(pixels(hr), 1 / 4, edges="replicate") != pixels(lr)).sum())
                 for pairs in benchmark.values() for name, hr, lr in pairs}
    assert len(differing) == 19
    assert not any(differing.values()), differing


def test_mirrored_edges_change_an_outer_ring_of_two_lr_pixels_only(benchmark):
    for name, hr, lr in benchmark["Set5"]:
        mirrored, matlab = imresize(pixels(hr), 1 / 4, edges="symmetric"), pixels(lr)
        assert np.array_equal(mirrored[2:-2, 2:-2], matlab[2:-2, 2:-2]), name
        assert not np.array_equal(mirrored, matlab), name


@pytest.mark.parametrize("edges", ["symmetric", "replicate"])
@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 2, 1 / 3, 0.7, 1.5, 2, 2.5, 3, 4, 8])
def test_scales_equal_plain_loops(scale, edges):
    image = noise(13, 22, seed=1, channels=1)
    shape = (math.ceil(13 * scale), math.ceil(22 * scale))
    got = imresize(image, scale, edges=edges)
    assert got.dtype == np.uint8 and got.shape == shape
    assert np.array_equal(got, loop_resize(image, shape, (scale, scale), edges=edges))
    as_float = imresize(image.astype(np.float64), scale, edges=edges)
    expected = loop_resize(image.astype(np.float64), shape, (scale, scale), edges=edges)
    assert np.abs(as_float - expected).max() < 1e-9


@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 3, 0.7, 2.5, 3, 4])
@pytest.mark.parametrize("size", [
    (1, 1), (2, 3), (1, 9), (7, 1), (3, 2), pytest.param((60, 41), marks=pytest.mark.slow)])
def test_tiny_images_and_colours_equal_plain_loops(size, scale):
    image = np.random.default_rng(8).integers(0, 256, (*size, 3), dtype=np.uint8)
    shape = [math.ceil(n * scale) for n in size]
    expected = np.stack([loop_resize(image[..., c], shape, (scale, scale)) for c in range(3)], axis=2)
    assert np.array_equal(imresize(image, scale), expected)
    assert np.array_equal(imresize(image[..., 0], scale), expected[..., 0])
    assert np.array_equal(imresize(image[..., :1], scale), expected[..., :1])
    as_float = imresize(image[..., 0].astype(np.float64), scale)
    assert np.abs(as_float - loop_resize(image[..., 0].astype(np.float64), shape, (scale, scale))).max() < 1e-9


@pytest.mark.parametrize("shape", [(5, 40), (26, 7), (3, 33), (13, 8), (30, 44)])
def test_an_output_shape_equals_plain_loops(shape):
    image = noise(13, 22, seed=2, channels=1)
    scales = (shape[0] / 13, shape[1] / 22)
    assert np.array_equal(imresize(image, output_shape=shape), loop_resize(image, shape, scales))


def test_the_smaller_scale_goes_first_and_eight_bits_are_rounded_in_between():
    image = noise(16, 16, seed=3, channels=1)
    expected = loop_resize(image, (32, 4), (2, 0.25), order=[1, 0])
    other_order = loop_resize(image, (32, 4), (2, 0.25), order=[0, 1])
    rounded_at_the_end = np.clip(np.floor(loop_resize(image.astype(float), (32, 4), (2, 0.25)) + 0.5), 0, 255)
    got = imresize(image, output_shape=(32, 4))
    assert np.array_equal(got, expected)
    assert (expected != other_order).any() and (expected != rounded_at_the_end).any()


def test_halves_are_rounded_up():
    # Bilinear halving of two equal pairs 0, 1: the weights are 1/8, 3/8, 3/8, 1/8.
    image = np.array([[0, 1, 0, 1, 0, 1, 0, 1]], np.uint8)
    assert imresize(image, output_shape=(1, 4), method="bilinear")[0, 1] == 1


@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 2, 2, 4, 8])
@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("edges", ["symmetric", "replicate"])
def test_powers_of_two_equal_whole_number_arithmetic_halves_included(scale, method, edges):
    image = noise(128, 700, seed=9, channels=1)
    weights, indices = contributions(128, int(128 * scale), scale, method, edges)
    whole = np.array(weights * 2**20, np.int64)
    assert np.array_equal(whole / 2**20, weights)                   # so nothing below is ever rounded
    sums = sum(whole[:, k, None] * image[indices[:, k]] for k in range(whole.shape[1]))
    assert method == "bicubic" or (sums % 2**20 == 2**19).any()     # there are exact halves
    expected = np.clip((sums + 2**19) >> 20, 0, 255)
    assert np.array_equal(imresize(image, None, (len(weights), 700), method, edges), expected)


@pytest.mark.parametrize("out", [24, 42, 150])
def test_at_other_scales_a_half_goes_by_the_order_of_the_taps(out):
    image = noise(60, 3000, seed=10, channels=1)
    weights, indices = contributions(60, out, out / 60)
    sums = np.zeros((out, 3000))
    for o in range(out):
        for k in range(weights.shape[1]):
            sums[o] += weights[o, k] * image[indices[o, k]]
    assert (np.abs(sums % 1 - 0.5) < 1e-9).any()                    # halves, but for what rounding has done to them
    assert np.array_equal(imresize(image, output_shape=(out, 3000)), np.clip(np.floor(sums + 0.5), 0, 255))


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("scale", [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16])
def test_sums_in_any_order_are_taken_only_where_they_are_exact(scale, method):
    weights, _ = contributions(96, int(96 * scale), scale, method)
    dtype = _exact_dtype(weights)
    unit = 2.0**(9 - np.finfo(dtype).nmant - 1)
    assert np.array_equal(weights, np.rint(weights / unit) * unit)
    assert 255 * np.abs(weights).sum(axis=1).max() < 2**9           # 2^9 / unit is what the type's bits can count
    for other in (1 / 3, 0.7, 3, scale + 0.01):
        assert _exact_dtype(contributions(96, math.ceil(96 * other), other, method)[0]) is None


@pytest.mark.parametrize("scale", [0.5, 3])
def test_bilinear_equals_plain_loops(scale):
    image = noise(9, 14, seed=4, channels=1).astype(np.float64)
    shape = (math.ceil(9 * scale), math.ceil(14 * scale))
    expected = loop_resize(image, shape, (scale, scale), tent, 1)
    assert np.abs(imresize(image, scale, method="bilinear") - expected).max() < 1e-9


def test_tiny_images_are_mirrored_more_than_once():
    image = noise(2, 3, seed=5, channels=1)
    assert np.array_equal(imresize(image, output_shape=(1, 1)), loop_resize(image, (1, 1), (1 / 2, 1 / 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1 / 4, 3])
def test_a_constant_image_stays_constant_and_its_dtype_is_kept(dtype, scale):
    out = imresize(np.full((12, 20, 3), 200, dtype), scale)
    assert out.dtype == dtype and out.shape == (round(12 * scale), round(20 * scale), 3)
    assert np.allclose(out.astype(float), 200, rtol=1e-6)


def test_channels_do_not_mix():
    image = photo("astronaut.png", 0, 0, 30, 41)
    apart = np.stack([imresize(image[..., c], 0.25) for c in range(3)], axis=2)
    assert np.array_equal(imresize(image, 0.25), apart)


def test_scale_one_changes_nothing():
    image = noise(7, 9, channels=1)
    assert np.array_equal(imresize(image, 1), image)


def test_a_large_image_takes_little_more_memory_than_its_result():
    image = noise(300, 400, channels=1).repeat(3, axis=1).reshape(300, 400, 3)
    imresize(image, 4)
    tracemalloc.start()
    result = imresize(image, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * result.nbytes + 2**24         # one dimension is a quarter; the strips take a few megabytes


def test_the_argument_is_not_changed_and_the_result_is_contiguous():
    image = noise(16, 12, channels=1)
    before = image.copy()
    out = imresize(image[::-1, ::2], 0.5)
    assert np.array_equal(image, before) and out.flags["C_CONTIGUOUS"] and out.shape == (8, 3)


def test_floats_are_not_clipped():
    step = np.repeat([[0.0, 1.0]], 8, axis=1).repeat(4, axis=0)
    assert imresize(step, 4).max() > 1.01 and imresize(step, 4).min() < -0.01
    assert imresize((255 * step).astype(np.uint8), 4).max() == 255


@pytest.mark.parametrize("error, image, arguments", [
    (TypeError, np.zeros((4, 4), np.uint16), dict(scalar_scale=2)),
    (TypeError, np.zeros((4, 4), bool), dict(scalar_scale=2)),
    (TypeError, np.zeros((4, 4), np.int64), dict(scalar_scale=2)),
    (ValueError, np.zeros(4), dict(scalar_scale=2)),
    (ValueError, np.zeros((1, 4, 4, 3)), dict(scalar_scale=2)),
    (ValueError, np.zeros((0, 4)), dict(scalar_scale=2)),
    (ValueError, np.zeros((4, 4)), dict()),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=2, output_shape=(8, 8))),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=0)),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=-1)),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=math.nan)),
    (ValueError, np.zeros((4, 4)), dict(output_shape=(0, 4))),
    (ValueError, np.zeros((4, 4)), dict(output_shape=(8,))),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=2, method="lanczos")),
    (ValueError, np.zeros((4, 4)), dict(scalar_scale=2, edges="wrap")),
])
def test_what_cannot_be_resized_is_refused(error, image, arguments):
    with pytest.raises(error):
        imresize(image, **arguments)

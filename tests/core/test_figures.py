"""The squares that are shown, tables as files, and plots of any image."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from imresize import imresize
from metrics import fullest_boxes, three_channels
from support import figures
from tests.helpers import photo


def test_fullest_boxes_are_the_largest_sums_that_do_not_overlap():
    values = np.zeros((20, 30))
    values[3:7, 5:9], values[4:8, 7:11], values[12, 20] = 1, 2, 9       # the second square overlaps the first
    (top, left, mean), second, third = fullest_boxes(values, 4, 3)
    assert (top, left) == (4, 7) and mean == pytest.approx(values[4:8, 7:11].sum() / 16)
    by_hand = {(t, x): values[t:t + 4, x:x + 4].sum() / 16 for t in range(17) for x in range(27)
               if abs(t - 4) >= 4 or abs(x - 7) >= 4}
    assert second[2] == pytest.approx(max(by_hand.values())) == pytest.approx(9 / 16)
    assert abs(third[0] - second[0]) >= 4 or abs(third[1] - second[1]) >= 4


def test_fullest_boxes_may_be_negative_lie_on_a_grid_and_be_fewer():
    values = -np.ones((8, 9))
    assert fullest_boxes(values, 8, 2) == [(0, 0, -1.0)]               # there is room for one
    assert fullest_boxes(values, 50, 2) == [(0, 0, -1.0)]              # and none larger than the image
    values[3:6, 5:8] = 1
    assert fullest_boxes(values, 3)[0] == (3, 5, 1.0)
    assert {n % 2 for n in fullest_boxes(values, 3, step=2)[0][:2]} == {0}


@pytest.mark.parametrize("height, width, with_hr", [(24, 24, True), (11, 60, True), (60, 11, False), (128, 96, False)])
def test_any_picture_is_compared(height, width, with_hr):
    hr = photo("astronaut.png", 0, 0, 4 * height, 4 * width)
    lr = imresize(hr, 1 / 4)
    figure = figures.comparison_figure("name", lr, {"bicubic": imresize(lr, 4)}, hr if with_hr else None)
    image = np.array(Image.open(io.BytesIO(figures.as_png(figure))).convert("L"))
    assert image.shape[1] > 400 and image.std() > 10


def test_the_squares_of_a_comparison_show_the_same_place():
    hr = photo("coffee.png", 0, 0, 200, 240)
    lr = imresize(hr, 1 / 4)
    figure = figures.comparison_figure("coffee", lr, {"bicubic": imresize(lr, 4)}, hr)
    axes = figure.subfigs[1].axes
    small, _, large = (np.asarray(a.images[0].get_array()) for a in axes[:3])
    assert small.shape == (24, 24, 3) and large.shape == (96, 96, 3)
    assert np.abs(imresize(large, 1 / 4)[2:-2, 2:-2].astype(int) - small[2:-2, 2:-2]).max() <= 1


def test_a_large_picture_is_reduced_before_it_is_drawn():
    image = three_channels(np.add.outer(np.arange(3000) % 256, np.arange(2100) % 256).astype(np.uint8))
    small = figures.thumbnail(image, 1000)
    assert small.shape == (1000, 700, 3)
    assert small[5, 6].tolist() == pytest.approx(image[15:18, 18:21].mean(axis=(0, 1)), abs=1)
    assert figures.thumbnail(small, 1000) is small


def test_a_table_is_shown_and_kept_as_a_file(tmp_path, capsys):
    path = tmp_path / "figures" / "means.csv"
    figures.show_table(["set", "PSNR, dB"], [["Set5", "28.43"], ["a set", "1"]], path)
    with open(path, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["set", "PSNR, dB"], ["Set5", "28.43"], ["a set", "1"]]
    assert "| a set | 1        |" in capsys.readouterr().out

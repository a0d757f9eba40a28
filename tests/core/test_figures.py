"""The squares that are shown, tables as files, and plots of any image."""

import csv
import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from imresize import imresize
from metrics import fullest_boxes, gain_boxes, three_channels
from support import figures, records, squares
from support.run import AverageMeter
from tests.helpers import noise, photo


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


@pytest.mark.parametrize("worst", [False, True])
def test_gain_boxes_rank_by_the_part_of_the_error_that_is_gone(worst):
    generator = np.random.default_rng(0)
    reference, detail = generator.random((24, 30)) + 0.1, generator.random((24, 30))
    error = reference * generator.random((24, 30)) * 1.5
    boxes = gain_boxes(error, reference, detail, 8, n=2, step=4, worst=worst)
    places = [(top, left) for top in range(0, 17, 4) for left in range(0, 23, 4)]
    sums = {place: [values[place[0]:place[0] + 8, place[1]:place[1] + 8].sum() for values in
                    (error, reference, detail)] for place in places}
    enough = np.quantile([of[2] for of in sums.values()], 2 / 3)
    gains = {place: 1 - of[0] / of[1] for place, of in sums.items() if of[2] >= enough}
    best = (min if worst else max)(gains, key=gains.get)
    assert boxes[0] == (*best, pytest.approx(gains[best]))
    rest = {place: gain for place, gain in gains.items()
            if abs(place[0] - best[0]) >= 8 or abs(place[1] - best[1]) >= 8}
    assert boxes[1][2] == pytest.approx((min if worst else max)(rest.values()))


def test_gain_boxes_leave_out_what_is_flat_and_what_has_no_error():
    reference, error, detail = np.ones((16, 32)), np.ones((16, 32)), np.zeros((16, 32))
    detail[:, 16:] = 5
    error[:8, :16] = 9                                     # much worse, in the flat part
    error[8:, 24:] = 2
    assert gain_boxes(error, reference, detail, 8, 9, step=8, worst=True)[0] == (8, 24, -1.0)
    assert gain_boxes(np.zeros((8, 8)), np.zeros((8, 8)), np.ones((8, 8)), 8) == []


@pytest.mark.parametrize("height, width, with_hr", [(24, 24, True), (11, 60, True), (60, 11, False), (128, 96, False)])
def test_any_picture_is_compared(height, width, with_hr):
    hr = photo("astronaut.png", 0, 0, 4 * height, 4 * width)
    lr = imresize(hr, 1 / 4)
    figure = figures.comparison_figure("name", lr, {"bicubic": imresize(lr, 4)}, hr if with_hr else None)
    image = np.array(Image.open(io.BytesIO(figures.as_png(figure))).convert("L"))
    assert image.shape[1] > 400 and image.std() > 10


def page_of(figure):
    """The PNG of a figure, read again: uint8 (H, W, 3)."""
    return np.array(Image.open(io.BytesIO(figures.as_png(figure))))


def find(page, image, zoom):
    """Where an image stands on a page, each pixel as zoom x zoom equal ones: list of (top, left)."""
    block = np.kron(three_channels(image), np.ones((zoom, zoom, 1), np.uint8))
    height, width = block.shape[:2]
    rows, columns = np.nonzero((page[:len(page) - height + 1, :page.shape[1] - width + 1] == block[0, 0]).all(2))
    for y, x in ((height - 1, width - 1), (height // 2, width // 2), (height // 3, width // 4)):
        same = (page[rows + y, columns + x] == block[y, x]).all(1)
        rows, columns = rows[same], columns[same]
    return [(top, left) for top, left in zip(rows, columns)
            if (page[top:top + height, left:left + width] == block).all()]


def words_of(figure):
    return [text.get_text() for text in figure.texts]


@pytest.fixture(scope="module")
def coffee():
    """A crop of a photograph, twice upscaled: (lr, versions, hr)."""
    hr = photo("coffee.png", 0, 0, 400, 400)
    lr = imresize(hr, 1 / 4)
    bicubic = imresize(lr, 4)
    ripple = (np.indices(hr.shape[:2]).sum(0) % 4 * 4).astype(np.uint8)[..., None]         # a pattern of period 4
    return lr, {"bicubic": bicubic, "first": bicubic // 2 + hr // 2, "second": np.minimum(bicubic, 240) + ripple}, hr


def test_every_square_is_in_the_png_pixel_for_pixel_at_a_whole_zoom(coffee):
    lr, versions, hr = coffee
    page = page_of(figures.comparison_figure("coffee", lr, versions, hr))
    assert page.shape[1] <= 1000
    for top, left, _ in squares.chosen_squares(lr, versions, hr):
        assert len(find(page, lr[top:top + 24, left:left + 24], 12)) == 1
        cut = np.s_[4 * top:4 * (top + 24), 4 * left:4 * (left + 24)]
        for image in (*versions.values(), hr):
            assert len(find(page, image[cut], 3)) == 1


def test_squares_lie_where_results_differ_and_hr_has_texture_and_one_is_flat():
    noisy, flat = noise(400, 400, channels=1), np.full((400, 400), 128, np.uint8)
    hr = flat.copy()
    hr[:200, :200] = noisy[:200, :200] // 4 + 100          # texture, at which both results are equally wrong
    hr[200:, :200] = noisy[200:, :200] // 4 + 100          # texture, at which they differ
    hr[:200, 296:304] = 0                                  # a strong edge, at which they differ too
    first = np.where(np.indices(hr.shape)[0] >= 200, hr, flat)
    second = flat.copy()
    first[:200, 290:310], second[:200, 290:310] = 0, 255
    versions = {"bicubic": three_channels(flat), "first": three_channels(first), "second": three_channels(second)}
    (top, left, is_flat), (flat_top, flat_left, last) = squares.chosen_squares(hr[::4, ::4], versions, hr, n=1)
    assert not is_flat and 50 <= top <= 76 and 0 <= left <= 26
    assert last and hr[4 * flat_top:4 * flat_top + 96, 4 * flat_left:4 * flat_left + 96].std() == 0


def test_black_and_white_places_are_not_taken_as_flat_where_there_are_others():
    hr = np.zeros((400, 400, 3), np.uint8)
    hr[:, 200:] = 120 + noise(400, 200) // 64
    (*_, (_, left, is_flat)) = squares.chosen_squares(hr[::4, ::4], {"bicubic": hr}, hr)
    assert is_flat and left >= 50


def test_below_a_flat_square_stand_its_grid_and_its_texture(coffee):
    lr, versions, hr = coffee
    figure = figures.comparison_figure("coffee", lr, versions, hr)
    top, left, _ = squares.chosen_squares(lr, versions, hr)[-1]
    for image in (*versions.values(), hr):
        square, own = (image_[4 * top:4 * top + 96, 4 * left:4 * left + 96].astype(float) for image_ in (image, hr))
        y, y_hr = ((16 + (65.481 * s[..., 0] + 128.553 * s[..., 1] + 24.966 * s[..., 2]) / 255) for s in (square, own))
        means = [y[a::4, b::4].mean() for a in range(4) for b in range(4)]
        slopes, slopes_hr = (np.hypot(*np.gradient(plane)).mean() for plane in (y, y_hr))
        assert f"grid {np.std(means):.2f}, texture {slopes / slopes_hr:.2f}" in words_of(figure)
    assert len([word for word in words_of(figure) if word.startswith("grid ")]) == 4


def test_without_hr_the_figure_says_so_and_gives_the_gradient_itself(coffee):
    lr, versions, _ = coffee
    words = words_of(figures.comparison_figure("coffee", lr, versions))
    assert "HR" not in words and any("there is no HR" in word.replace("\n", " ") for word in words)
    assert any("grey levels a pixel" in word.replace("\n", " ") for word in words)


def test_scores_and_long_titles_have_room(coffee):
    lr, versions, hr = coffee
    long = "a title that is as long as the square"
    figure = figures.comparison_figure("coffee", lr, {"bicubic": versions["bicubic"], long: versions["first"]}, hr,
                                       {"bicubic": "28.40 dB / 0.8111", long: "31.20 dB / 0.8800"})
    words = words_of(figure)
    assert "28.40 dB / 0.8111" in words and "31.20 dB / 0.8800" not in words
    assert any(word.startswith("31.20 dB / 0.8800; texture") for word in words)


def test_a_contact_sheet_shows_large_images_at_their_real_size_in_their_most_telling_part(coffee):
    lr, versions, hr = coffee
    images = {**versions, "HR": hr}
    figure = figures.contact_sheet([("coffee", {title: (image, title.upper()) for title, image in images.items()})])
    page, parts = page_of(figure), squares.part_to_judge(images)
    places = [find(page, part, 1) for part in parts.values()]
    assert [len(found) for found in places] == [1] * 4 and page.shape[1] <= 1000
    (a, b, c, d) = (found[0] for found in places)
    assert a[0] == b[0] < c[0] == d[0] and a[1] == c[1] < b[1] == d[1]                # two above two
    assert {"coffee", "bicubic", "BICUBIC", "HR"} <= set(words_of(figure))


def test_a_part_is_the_same_place_of_each_image_also_of_lr_and_a_copy():
    hr = noise(400, 360)
    hr[:60, :], hr[:, 340:] = 90, 90                       # nothing to see
    lr = np.ascontiguousarray(hr[::4, ::4])
    parts = squares.part_to_judge({"LR": lr, "SR": hr, "HR": hr}, side=120)
    assert parts["LR"].shape == (30, 30, 3) and parts["HR"].shape == parts["SR"].shape == (120, 120, 3)
    assert (parts["HR"][::4, ::4] == parts["LR"]).all() and not np.shares_memory(parts["HR"], hr)
    (top, left), = find(hr, parts["HR"], 1)
    assert top >= 60 and left <= 220
    strip = squares.part_to_judge({"SR": hr[:, :100], "HR": hr[:, :100]}, side=120)
    assert strip["HR"].shape == (120, 100, 3)


@pytest.mark.parametrize("side, zoom", [(96, 3), (128, 2), (200, 1), (32, 9)])
def test_small_images_are_shown_at_a_whole_zoom(side, zoom):
    rows = [("a", {name: (photo("coffee.png", k, k, side, side), "") for k, name in ((100, "first"), (120, "second"))})]
    page = page_of(figures.contact_sheet(rows))
    assert all(len(find(page, image, zoom)) == 1 for image, _ in rows[0][1].values())


def test_the_patches_shown_are_those_in_which_there_is_most_to_see():
    picture, grey = photo("coffee.png", 100, 200, 48, 48), photo("camera.png", 100, 200, 48, 48)
    letters = np.where(photo("page.png", 20, 20, 48, 48) > 128, 255, 0).astype(np.uint8)
    black = np.zeros((48, 48, 3), np.uint8)
    assert squares.variety(black) == 0 and squares.variety(np.tile([[[0] * 3, [255] * 3]], (4, 8, 1))) == 1
    batch = [black, three_channels(letters), picture, black, three_channels(grey), photo("coffee.png", 0, 0, 48, 48)]
    hr = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2) / 255
    page = page_of(figures.patches_figure(hr[:, :, ::4, ::4], hr, n=3))
    shown = [bool(find(page, image, 3)) and bool(find(page, image[::4, ::4], 12)) for image in batch]
    assert shown == [False, False, True, False, True, True]


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


# ---------------------------------------------------------------- titles and curves

@pytest.mark.parametrize("recipe, title", [
    ({}, "SRGAN"), (None, "SRGAN"), ({"content_loss": "mse", "vgg19_weights": "imagenet"}, "SRGAN (MSE)"),
    ({"content_loss": "vgg", "vgg19_weights": "imagenet", "vgg19_i": 5, "vgg19_j": 4}, "SRGAN (VGG 5,4)"),
    ({"content_loss": "vgg", "vgg19_weights": "a/file.pth", "vgg19_i": 2, "vgg19_j": 2}, "SRGAN (VGG 2,2)"),
    ({"content_loss": "vgg", "vgg19_weights": "random", "vgg19_i": 1, "vgg19_j": 1}, "SRGAN (random VGG 1,1)"),
    ({"content_loss": "vgg", "vgg19_weights": "vgg16", "vgg19_i": 5, "vgg19_j": 3}, "SRGAN (learned VGG16 5,3)"),
    ({"content_loss": "perceptual"}, "SRGAN (perceptual)"),
    ({"content_loss": "perceptual", "vgg19_weights": "vgg16"}, "SRGAN (learned VGG16)")])
def test_the_title_of_srgan_names_its_content_loss(recipe, title):
    assert figures.method_title("srgan", recipe) == title
    assert figures.method_title("pretrain", recipe) == "pre-trained"


def rows_of(stage, n, content=0.004):
    return [{"stage": stage, "epoch": k, "updates": 100 * k, "content": content / k, "adversarial": 0.0008,
             "d_real": 0.6, "d_sr": 0.4, "valid_psnr": 25 + k / 10} for k in range(1, n + 1)]


@pytest.mark.parametrize("stage, content", [("pretrain", 0.004), ("srgan", 0.004), ("srgan", 2.0)])
def test_the_curves_have_plain_ticks_also_on_logarithmic_axes(stage, content):
    figure = Figure(figsize=(10, 3))
    figures.draw_curves(figure, rows_of(stage, 3, content))
    figures.as_png(figure)                                  # ticks are made when the figure is drawn
    for axes in figure.axes:
        labels = [label.get_text() for label in (*axes.get_yticklabels(), *axes.get_yticklabels(minor=True))]
        assert len([label for label in labels if label]) >= 3
        assert all(str(float(label)) and "e" not in label and "$" not in label for label in labels if label)
        assert all(float(label.get_text()) % 1 == 0 for label in axes.get_xticklabels())


def test_between_the_epochs_the_curves_show_every_reading():
    readings = [{"updates": 10 * k, "content": 0.01} for k in range(1, 31)]
    figure = Figure()
    figures.draw_curves(figure, rows_of("pretrain", 3), readings)
    line, dots = figure.axes[0].lines
    assert len(line.get_xdata()) == 30 and list(dots.get_xdata()) == [100, 200, 300] and dots.get_linestyle() == "None"
    assert len(figure.axes[1].lines[0].get_xdata()) == 3           # PSNR is measured after an epoch


def test_the_middle_of_the_fixed_crop_is_the_same_in_lr_and_hr():
    hr = noise(128, 128)
    parts = dict(figures.inner_parts([("LR", hr[::4, ::4]), ("before", hr), ("HR", hr)]))
    assert parts["HR"].shape == (112, 112, 3) and (parts["HR"][::4, ::4] == parts["LR"]).all()
    small = [("LR", hr[:24, :24]), ("HR", hr[:96, :96])]
    assert all(a[1] is not None and np.array_equal(a[1], b[1]) for a, b in zip(figures.inner_parts(small), small))


def meters_of(values):
    """A meter that was given these losses, a batch of 4 each."""
    meter = AverageMeter()
    for value in values:
        meter.update(value, 4)
    return {"content": meter}


def test_readings_are_means_since_the_reading_before_and_begin_again_with_each_epoch():
    readings = []
    for epoch, updates, values in ((0, 2, [1, 3]), (0, 4, [1, 3, 5, 9]), (1, 6, [2, 4])):
        records.add_reading(readings, epoch, updates, meters_of(values))
    assert records.losses_between(readings) == [{"updates": 2, "content": 2}, {"updates": 4, "content": 7},
                                                {"updates": 6, "content": 3}]


def test_of_many_readings_every_second_one_is_kept_and_no_loss_is_lost(monkeypatch):
    monkeypatch.setattr(records, "MOST_READINGS", 10)
    readings, values = [], []
    for update in range(1, 42):
        values.append(update)
        records.add_reading(readings, 0, update, meters_of(values))
    rows = records.losses_between(readings)
    assert len(rows) <= 10 and rows[-1]["updates"] == 41
    counts = np.diff([0, *(row["updates"] for row in rows)])
    assert sum(counts * [row["content"] for row in rows]) == pytest.approx(sum(values))

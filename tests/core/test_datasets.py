"""Lists, pairs, the store, patches and the loader."""

import errno
import multiprocessing
import os
import pickle
import re
import sys
import time
import tracemalloc
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from easydict import EasyDict
from PIL import Image
from torch.utils.data import DataLoader

import datasets
from datasets import SRDataset, make_loader, turned
from imresize import imresize
from metrics import three_channels
from support import image_store
from support.convert import to_float
from support.image_store import ImageStore, StoreError
from support.images import read_image
from support.lists import DataError, Pair
from support.messages import megabytes
from tests.helpers import noise, photo, tiny_config, write_image, write_list, write_set


def as_bytes(tensor):
    """(3, h, w) in [0, 1] -> uint8 (h, w, 3)."""
    return (tensor * 255).round().byte().permute(1, 2, 0).numpy()


EIGHT = [lambda a: a, np.flipud, np.fliplr, lambda a: np.rot90(a, 2), lambda a: np.rot90(a, 1),
         lambda a: np.rot90(a, 3), lambda a: np.swapaxes(a, 0, 1), lambda a: np.swapaxes(np.rot90(a, 2), 0, 1)]


def coordinates(scale, h, w):
    """HR and LR whose colours are the LR coordinates of the pixel, so that a patch shows where it was cut."""
    y, x = np.mgrid[:h, :w].astype(np.uint8)
    lr = np.dstack([y, x, np.full_like(x, 7)])
    return np.repeat(np.repeat(lr, scale, 0), scale, 1), lr


# ---------------------------------------------------------------- patches

@pytest.mark.parametrize("scale, crop", [(4, 16), (2, 24), (8, 32)])
def test_patches_are_aligned_and_all_eight_turns_and_all_places_occur(tmp_path, scale, crop):
    size = crop // scale
    h, w = size + 1, size + 3
    hr, lr = coordinates(scale, h, w)
    write_image(tmp_path / "a.png", hr)
    write_image(tmp_path / "b.png", lr)
    write_list(tmp_path, "train", [("a.png", "b.png")])
    dataset = SRDataset("train", EasyDict(csv_folder=tmp_path, scaling_factor=scale, crop_size=crop, patch_num=400))
    places, turns = set(), np.zeros(8, int)
    for i in range(len(dataset)):
        lr_patch, hr_patch = dataset[i]
        assert lr_patch.shape == (3, size, size) and hr_patch.shape == (3, crop, crop)
        assert torch.equal(lr_patch, hr_patch[:, ::scale, ::scale])          # LR and HR: same place, same turn
        patch = as_bytes(lr_patch)
        top, left = int(patch[..., 0].min()), int(patch[..., 1].min())
        places.add((top, left))
        whole = lr[top:top + size, left:left + size]
        turn = [k for k, f in enumerate(EIGHT) if np.array_equal(f(whole), patch)]
        assert len(turn) == 1
        turns[turn] += 1
    assert places == {(top, left) for top in range(2) for left in range(4)}  # the last row and column too
    assert turns.min() > 400 / 8 / 2


def test_a_batch_is_bytes_in_channels_last_order(data):
    lr, hr = SRDataset("train", tiny_config(data)).batch(0, np.arange(7))
    for images, side in ((lr, 4), (hr, 16)):
        assert images.dtype == torch.uint8 and images.shape == (7, 3, side, side)
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("grey", [False, True])
def test_a_batch_is_what_cutting_and_turning_one_by_one_gives(tmp_path, grey):
    hr, lr = noise(72, 88, seed=1), noise(18, 22, seed=2)                   # noise: no two patches are alike
    if grey:
        hr, lr = hr[..., 0], lr[..., 0]
    write_image(tmp_path / "a.png", hr)
    write_image(tmp_path / "b.png", lr)
    write_list(tmp_path, "train", [("a.png", "b.png")])
    dataset = SRDataset("train", tiny_config(tmp_path, crop_size=32, patch_num=60))
    indices, epoch = np.arange(60)[::-1], 2
    places = list(zip(*dataset.places(epoch, indices)))
    assert {turn for _, _, _, turn in places} == set(range(8))
    lr_batch, hr_batch = (images.permute(0, 2, 3, 1).numpy() for images in dataset.batch(epoch, indices))
    dataset.set_epoch(epoch)
    for n, (_, top, left, turn) in enumerate(places):
        lr_patch = turned(three_channels(lr)[top:top + 8, left:left + 8], turn)
        hr_patch = turned(three_channels(hr)[4 * top:4 * top + 32, 4 * left:4 * left + 32], turn)
        assert np.array_equal(lr_batch[n], lr_patch) and np.array_equal(hr_batch[n], hr_patch)
        one_by_one = [as_bytes(patch) for patch in dataset[indices[n]]]
        assert np.array_equal(one_by_one[0], lr_patch) and np.array_equal(one_by_one[1], hr_patch)


def test_the_patches_of_a_seed_stay_those_of_earlier_versions():
    # Runs that were started continue with the same patches: these numbers were written down once.
    assert datasets.hash_numbers(3, 5, np.array([0, 17]), 1).tolist() == [5447637422686157114, 5433879736569893939]
    draws = datasets.hash_numbers(3, 5, np.arange(50), np.arange(3)[:, None])
    for draw in range(3):
        assert np.array_equal(draws[draw], datasets.hash_numbers(3, 5, np.arange(50), draw))


def test_patches_of_photographs_are_hr_and_its_bicubic(data):
    config = tiny_config(data, crop_size=48)
    dataset = SRDataset("train", config)
    hr_images = {name: read_image(data / "HR" / f"{name}.png")[0] for name in ("cat", "cup", "face")}
    checked = 0
    for i in range(len(dataset)):
        lr, hr = (as_bytes(patch) for patch in dataset[i])
        name = dataset.names[i // config.patch_num]
        if name == "man":
            continue
        windows = np.lib.stride_tricks.sliding_window_view(hr_images[name], (48, 48), axis=(0, 1))[::4, ::4]
        assert any((windows == np.moveaxis(f(hr), 2, 0)).all(axis=(2, 3, 4)).any() for f in EIGHT), name
        # Two LR pixels from the border the patch's own bicubic is the whole image's.
        assert np.abs(imresize(hr, 1 / 4).astype(int) - lr)[2:-2, 2:-2].max() <= 1
        checked += 1
    assert checked == 30


def test_an_index_is_of_the_same_image_in_every_epoch_and_all_images_get_equally_many(tmp_path):
    write_set(tmp_path, "train", {f"i{n}": np.full((20, 20, 3), 40 * n, np.uint8) for n in range(1, 5)})
    dataset = SRDataset("train", tiny_config(tmp_path, patch_num=6))
    assert len(dataset) == 24
    for epoch in (0, 5):
        dataset.set_epoch(epoch)
        assert [round(float(dataset[i][1].mean()) * 255) for i in range(24)] == (
            [40] * 6 + [80] * 6 + [120] * 6 + [160] * 6)


def epoch_of(dataset, epoch):
    dataset.set_epoch(epoch)
    return [dataset[i] for i in range(len(dataset))]


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for p, q in zip(a, b) for x, y in zip(p, q))


def test_a_patch_is_a_function_of_seed_epoch_and_index(data):
    config = tiny_config(data)
    first, again = SRDataset("train", config), SRDataset("train", config)
    reference = epoch_of(first, 4)
    epoch_of(again, 1)
    assert equal(epoch_of(again, 4), reference)
    backwards = [again[i] for i in reversed(range(len(again)))]
    assert equal(backwards[::-1], reference)
    torch.manual_seed(99), np.random.seed(99)
    assert equal(epoch_of(again, 4), reference)

    def share_of_equal(other):
        return np.mean([torch.equal(a[1], b[1]) for a, b in zip(reference, other)])
    assert share_of_equal(epoch_of(first, 5)) < 0.1
    assert share_of_equal(epoch_of(SRDataset("train", tiny_config(data, seed=4)), 4)) < 0.1


def test_two_epochs_draw_places_that_have_nothing_to_do_with_each_other():
    indices = np.arange(20000)
    a, b = (datasets.hash_numbers(0, epoch, indices, 0).astype(np.float64) / 2.0**64 for epoch in (0, 1))
    for other in (b, np.roll(a, 1), datasets.hash_numbers(0, 0, indices, 1).astype(np.float64),
                  datasets.hash_numbers(1, 0, indices, 0).astype(np.float64)):
        assert abs(np.corrcoef(a, other)[0, 1]) < 0.03          # four standard deviations
    assert np.histogram(a, 10, (0, 1))[0].min() > 1800


def test_grey_training_images_become_three_equal_channels(tmp_path):
    write_set(tmp_path, "train", {"grey": photo("camera.png", 100, 200, 40, 44)})
    dataset = SRDataset("train", tiny_config(tmp_path))
    for lr, hr in (dataset[i] for i in range(10)):
        for patch in (lr, hr):
            assert torch.equal(patch[0], patch[1]) and torch.equal(patch[0], patch[2]) and patch.std() > 0
    assert dataset.pair(0)[1].ndim == 2


def test_alpha_is_dropped_with_a_notice_that_names_the_file(tmp_path, capsys):
    rgba = np.dstack([noise(32, 32), np.full((32, 32), 9, np.uint8)])
    write_set(tmp_path, "train", {"a": rgba[..., :3]})
    write_image(tmp_path / "HR" / "a.png", rgba)
    dataset = SRDataset("train", tiny_config(tmp_path))
    assert dataset.pair(0)[1].shape == (32, 32, 3)
    assert "a.png" in (out := capsys.readouterr().out) and "alpha" in out


def test_indices_beyond_the_end_are_refused_so_that_loops_end(data):
    dataset = SRDataset("valid", tiny_config(data))
    assert len(list(dataset)) == len(dataset) == 2
    assert torch.equal(dataset[-1][0], dataset[1][0])
    for i in (2, -3):
        with pytest.raises(IndexError):
            dataset[i]


# ---------------------------------------------------------------- loaders

def batches(loader):
    return [(lr.clone(), hr.clone()) for lr, hr in loader]


@pytest.mark.slow
@pytest.mark.parametrize("context, workers", [
    pytest.param("fork", 2, marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")),
    ("spawn", 1)])                          # a spawned worker imports torch first: one is enough
def test_the_number_of_workers_changes_nothing(data, context, workers):
    dataset = SRDataset("train", tiny_config(data))
    alone, together = make_loader(dataset, 4, workers=0), make_loader(dataset, 4, workers=workers)
    together.multiprocessing_context = context
    for epoch in (0, 1):                    # the workers live across epochs
        for loader in (alone, together):
            loader.sampler.set_epoch(epoch)
        expected, got = batches(alone), batches(together)
        assert len(got) == 10 and got[0][1].shape == (4, 3, 16, 16) and got[0][1].dtype == torch.uint8
        assert got[0][1].is_contiguous(memory_format=torch.channels_last)
        assert equal(got, expected)


def test_the_order_is_a_function_of_seed_and_epoch_and_every_patch_comes_once(data):
    dataset = SRDataset("train", tiny_config(data))
    sampler = make_loader(dataset, 4).sampler

    def order(epoch, start_batch=0):
        sampler.set_epoch(epoch, start_batch)
        return [tuple(indices) for _, indices in sampler]
    zero, one = order(0), order(1)
    assert sorted(sum(zero, ())) == sorted(sum(one, ())) == list(range(40))
    assert zero != one and zero != [tuple(range(b, b + 4)) for b in range(0, 40, 4)]
    torch.manual_seed(123), np.random.seed(7)
    assert order(0) == zero
    assert order(1, start_batch=7) == one[7:]


def test_a_loader_that_goes_on_inside_an_epoch_gives_the_batches_that_are_left(data):
    dataset = SRDataset("train", tiny_config(data))
    loader = make_loader(dataset, 4)
    loader.sampler.set_epoch(3)
    whole = batches(loader)
    loader.sampler.set_epoch(3, start_batch=6)
    assert equal(batches(loader), whole[6:])
    assert len(loader) == 10               # of the epoch, not of what is left


def test_batches_are_the_items_of_the_dataset(data):
    dataset = SRDataset("train", tiny_config(data))
    loader = make_loader(dataset, 4)
    loader.sampler.set_epoch(2)
    dataset.set_epoch(2)
    for (_, indices), (lr, hr) in zip(loader.sampler, loader):
        assert torch.equal(to_float(lr), torch.stack([dataset[i][0] for i in indices]))
        assert torch.equal(to_float(hr), torch.stack([dataset[i][1] for i in indices]))


def test_incomplete_batches_are_left_out_and_n_batches_is_a_limit(data):
    dataset = SRDataset("train", tiny_config(data))
    assert [len(make_loader(dataset, 16, n_batches=n)) for n in (None, 1, 2, 3)] == [2, 1, 2, 2]
    assert len(batches(make_loader(dataset, 16, n_batches=1))) == 1
    with pytest.raises(DataError, match="batch_size"):
        make_loader(dataset, 41)


def test_a_plain_data_loader_with_workers_works_and_follows_set_epoch(data):
    dataset = SRDataset("train", tiny_config(data))
    loader = DataLoader(dataset, batch_size=16, shuffle=False, num_workers=2, persistent_workers=True)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        got = batches(loader)
        assert [len(lr) for lr, _ in got] == [16, 16, 8]
        assert torch.equal(torch.cat([hr for _, hr in got]), torch.stack([dataset[i][1] for i in range(40)]))
    lr, hr = next(iter(DataLoader(dataset, batch_size=16, shuffle=True, num_workers=2)))
    assert lr.shape == (16, 3, 4, 4) and hr.shape == (16, 3, 16, 16)
    assert lr.dtype == hr.dtype == torch.float32 and lr.min() >= 0 and lr.max() <= 1


# ---------------------------------------------------------------- the store

@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    names, real = [], image_store.read_image
    monkeypatch.setattr(image_store, "read_image", lambda path: (names.append(Path(path).name), real(path))[1])
    return names


@pytest.mark.parametrize("store", ["default", "own", None])
def test_every_image_is_decoded_once(own_data, tmp_path, decoded, store):
    config = tiny_config(own_data)
    if store != "default":
        config.store = store and str(tmp_path / "store")
    dataset = SRDataset("train", config)
    epoch_of(dataset, 0), epoch_of(dataset, 1)
    assert sorted(decoded) == sorted(f"{name}{end}.png" for name in ("face", "cup", "man", "cat") for end in ("", "x4"))
    reference = epoch_of(dataset, 0)
    del decoded[:]
    assert equal(epoch_of(SRDataset("train", config), 0), reference)
    assert len(decoded) == (8 if store is None else 0)         # memory ends with its process, the folder stays
    assert (tmp_path / "store").exists() == (store == "own")


def test_the_folder_of_the_store_and_memory_give_the_same_patches(own_data):
    in_memory = tiny_config(own_data)
    in_memory.store = None
    assert equal(epoch_of(SRDataset("train", in_memory), 0), epoch_of(SRDataset("train", tiny_config(own_data)), 0))
    assert batches(make_loader(SRDataset("train", in_memory), 4, workers=2))


def write_images(folder, n, height=40, width=52):
    """n images of noise; their paths, sorted."""
    return [write_image(Path(folder, f"{k:03}.png"), noise(height, width, seed=k)) for k in range(n)]


def stored_files(folder):
    return sorted(file.name for file in Path(folder).iterdir())


def assert_holds(store, paths):
    """The store holds exactly what the files do."""
    for path in paths:
        assert np.array_equal(store.get(path), read_image(path)[0])


def test_an_image_that_changed_is_read_again_and_its_old_bytes_are_deleted(own_data, decoded):
    config = tiny_config(own_data)
    before = SRDataset("train", config).pair(0)[1].copy()
    files = stored_files(own_data / ".store")
    write_image(own_data / "HR" / "cat.png", 255 - before)
    del decoded[:]
    assert np.array_equal(SRDataset("train", config).pair(0)[1], 255 - before)
    assert decoded == ["cat.png"]
    assert len(stored_files(own_data / ".store")) == len(files) and stored_files(own_data / ".store") != files


def test_an_image_replaced_with_the_same_size_and_date_is_noticed(tmp_path, decoded):
    """As ``cp -p`` of another photograph with as many bytes does, or a restored backup."""
    path = write_image(tmp_path / "a.bmp", noise(20, 30, seed=0))           # BMP: every image has the same size
    facts = path.stat()
    ImageStore(tmp_path / "store").prepare([path], "")
    write_image(path, noise(20, 30, seed=1))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert np.array_equal(ImageStore(tmp_path / "store").get(path), noise(20, 30, seed=1))
    os.utime(path)                                                          # the same content with another date
    del decoded[:]
    assert not ImageStore(tmp_path / "store").prepare([path], "") and not decoded


def test_an_image_that_is_replaced_while_it_is_decoded_is_not_stored(tmp_path, monkeypatch):
    path, real = write_image(tmp_path / "a.png", noise(20, 30)), image_store.read_image

    def replaced(path):
        write_image(path, noise(20, 30, seed=1))
        return real(path)
    with monkeypatch.context() as patch:
        patch.setattr(image_store, "read_image", replaced)
        with pytest.raises(StoreError, match="being replaced"):
            ImageStore(tmp_path / "store").get(path)
    assert np.array_equal(ImageStore(tmp_path / "store").get(path), noise(20, 30, seed=1))


def test_added_images_are_decoded_and_the_bytes_of_removed_ones_deleted(tmp_path, decoded):
    paths, folder = write_images(tmp_path / "images", 5), tmp_path / "store"
    ImageStore(folder).prepare(paths[:4], "")
    paths[0].unlink()
    ImageStore(folder).prepare(paths[1:4], "")                # nothing new: the folder is not searched
    assert len(stored_files(folder)) == 4
    del decoded[:]
    store = ImageStore(folder)
    assert not store.prepare(paths[1:], "") and decoded == ["004.png"]
    assert len(stored_files(folder)) == 4                     # one gone, one new
    assert_holds(store, paths[1:])


def test_only_the_stores_own_files_are_ever_deleted(tmp_path):
    folder, paths = tmp_path / "store", write_images(tmp_path / "images", 3)
    folder.mkdir()
    key = "0123456789abcdef01234567.npy"
    mine = ["mine.npy", "abcdef.npy", "notes.txt", "mine.npy.tmp", f"{key}.bak"]
    for name in [*mine, key, f"{key}.aa.tmp", f"{key}.bb.tmp"]:
        (folder / name).write_bytes(b"not of the store")
        os.utime(folder / name, (time.time() - 90_000,) * 2)  # older than a day
    os.utime(folder / f"{key}.bb.tmp")                        # another process may be writing it now
    ImageStore(folder).prepare(paths[:1], "")
    assert set(stored_files(folder)) > {*mine, f"{key}.bb.tmp"}
    assert len(stored_files(folder)) == len(mine) + 2


def test_a_file_that_cannot_be_deleted_is_left_for_the_next_time(tmp_path, monkeypatch):
    folder, paths = tmp_path / "store", write_images(tmp_path / "images", 3)
    ImageStore(folder).prepare(paths[:2], "")
    paths[0].unlink()

    def in_use(self, **_):
        raise PermissionError(errno.EACCES, "in use")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        assert not ImageStore(folder).prepare(paths[1:], "")
    assert len(stored_files(folder)) == 3
    write_image(paths[0], noise(9, 9))
    ImageStore(folder).prepare(paths, "")
    assert len(stored_files(folder)) == 3                     # again as many as there are images


@pytest.mark.parametrize("damage", ["in the header", "in the pixels", "in the last bytes", "no label", "bytes too many",
                                    "empty", "of another image"])
def test_a_damaged_file_of_the_store_is_built_again(tmp_path, decoded, damage):
    folder, paths = tmp_path / "store", write_images(tmp_path / "images", 2)
    ImageStore(folder).prepare(paths, "")
    files = [folder / image_store._file_name(image_store._label(path)) for path in paths]
    whole, label = files[0].read_bytes(), image_store._label(paths[0])
    files[0].write_bytes({"in the header": whole[:20], "in the pixels": whole[:2000], "in the last bytes": whole[:-1],
                          "no label": whole[:-len(label)], "bytes too many": whole + b"x", "empty": b"",
                          "of another image": files[1].read_bytes()}[damage])
    del decoded[:]
    store = ImageStore(folder)
    assert not store.prepare(paths, "") and decoded == ["000.png"]
    assert_holds(store, paths)
    assert files[0].read_bytes() == whole


def test_a_file_of_the_store_is_an_ordinary_npy_file_and_cannot_be_written_to(tmp_path):
    grey, colour = photo("camera.png", 0, 0, 30, 41), photo("coffee.png", 0, 0, 30, 41)
    name = "ü.png" if os.name == "nt" else "ü|.png"           # | separates the parts of the label
    paths = [write_image(tmp_path / name, grey), write_image(tmp_path / "colour.png", colour)]
    store = ImageStore(tmp_path / "store")
    for path, image in zip(paths, (grey, colour)):
        assert np.array_equal(store.get(path), image) and type(store.get(path)) is np.ndarray
        file = store.folder / image_store._file_name(image_store._label(path))
        assert np.array_equal(np.load(file), image) and np.array_equal(np.load(file, mmap_mode="r"), image)
        with pytest.raises(ValueError, match="read-only"):
            store.get(path)[0, 0] = 0


@pytest.mark.parametrize("system", ["nt", "posix"])
def test_both_ways_of_mapping_a_file_give_its_bytes(tmp_path, monkeypatch, system):
    content = np.random.default_rng(0).bytes(10_000)
    (tmp_path / "ü.bin").write_bytes(content)
    file = str(tmp_path / "ü.bin")
    monkeypatch.setattr("os.name", system)
    mapped = image_store._map_bytes(file, 9_000)
    monkeypatch.undo()
    assert mapped.tobytes() == content[:9_000]


def test_a_pickled_dataset_carries_no_pixels_and_reopens_the_store(tmp_path, decoded):
    write_set(tmp_path, "train", {f"large {k}": noise(600, 800, seed=k) for k in range(3)})       # 4.6 MB of pixels
    dataset = SRDataset("train", tiny_config(tmp_path))
    reference = epoch_of(dataset, 0)                          # in use: every image is open
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    del decoded[:]
    assert equal(epoch_of(pickle.loads(data), 0), reference) and not decoded


def test_the_pickle_of_div2ks_number_of_images_stays_under_a_megabyte(data):
    dataset = SRDataset("train", tiny_config(data))
    folder = Path("/home/somebody/with a long name/lectures/super-resolution/data")
    dataset.pairs = [Pair(folder / f"DIV2K_train_HR/{k:04}.png",
                          folder / f"DIV2K_train_LR_bicubic/X4/{k:04}x4.png", k) for k in range(1, 801)]
    assert len(pickle.dumps(dataset)) < 1_000_000


def test_building_holds_only_a_few_images_in_memory(tmp_path, monkeypatch):
    paths = [tmp_path / f"{k}.png" for k in range(60)]
    for path in paths:                                        # 60 MB of pixels
        Image.new("RGB", (700, 500)).save(path, compress_level=1)
    monkeypatch.setattr("os.cpu_count", lambda: 64)           # a large machine
    tracemalloc.start()
    try:
        ImageStore(tmp_path / "store").prepare(paths, "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * 3 * 700 * 500 / 2                      # at most eight, each as pixels and as the file's bytes


# ---------------------------------------------------------------- the store: builds that go wrong

def test_the_bytes_needed_are_told_without_decoding(tmp_path, decoded):
    rgb, grey = noise(30, 41), noise(30, 41)[..., 0]
    turned_upright = Image.Exif()
    turned_upright[0x0112] = 6
    alpha = np.dstack([grey, grey])
    images = {"rgb.png": (rgb, {}), "grey.png": (grey, {}), "alpha.png": (np.dstack([rgb, grey]), {}),
              "turned.jpg": (rgb, {"exif": turned_upright}), "cmyk.jpg": (Image.fromarray(rgb).convert("CMYK"), {}),
              "palette.png": (Image.fromarray(rgb).convert("P"), {}),
              "bits.png": (Image.fromarray(grey).convert("1"), {}),
              "grey alpha.png": (Image.merge("LA", [Image.fromarray(alpha[..., k]) for k in range(2)]), {})}
    for name, (image, options) in images.items():
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        computed = image_store.decoded_bytes(tmp_path / name)
        assert not decoded
        assert computed == ImageStore(None).get(tmp_path / name).nbytes, name
        del decoded[:]
    (tmp_path / "no image.png").write_bytes(b"<html>404</html>")
    assert image_store.decoded_bytes(tmp_path / "no image.png") == image_store.decoded_bytes(tmp_path / "no.png") == 0


Usage = namedtuple("Usage", "total used free")


def test_too_little_space_is_told_before_anything_is_decoded(tmp_path, decoded, monkeypatch):
    paths, folder = write_images(tmp_path, 30, 250, 300), tmp_path / "store"           # 6.75 MB and 30 blocks
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, 6_000_000))
    with pytest.raises(StoreError) as error:
        ImageStore(folder).prepare(paths, "")
    for text in ("30 images need 6.9 MB", "6.0 MB are free", str(folder), "config.store", "None"):
        assert text in str(error.value)
    assert not decoded and not stored_files(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, 7_000_000))
    ImageStore(folder).prepare(paths, "")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, 0))
    assert not ImageStore(folder).prepare(paths, "")           # all is there: no space is needed
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, 0))
    ImageStore(tmp_path / "a folder that does not say").prepare(paths, "")
    assert megabytes(6_712_345_678) == "6.71 GB"


def test_only_the_missing_images_count_and_what_is_stale_goes_first(tmp_path, monkeypatch):
    paths, folder = write_images(tmp_path / "images", 10, 250, 300), tmp_path / "store"
    ImageStore(folder).prepare(paths[:9], "")
    for path in paths[:5]:
        path.unlink()
    seen = []

    def usage(path):
        seen.append(len(stored_files(path)))
        return Usage(10**12, 0, 230_000)                       # one image has 225,000 bytes
    monkeypatch.setattr("shutil.disk_usage", usage)
    assert not ImageStore(folder).prepare(paths[5:], "")
    assert seen == [4]


def test_the_dataset_tells_about_a_full_disk_and_not_about_its_rows(own_data, monkeypatch):
    config = tiny_config(own_data)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, 10))
    with pytest.raises(StoreError, match="8 images need") as error:
        SRDataset("train", config)
    assert "row" not in str(error.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, None])
def test_a_disk_that_fills_during_the_build_ends_it_with_the_ways_out(tmp_path, decoded, monkeypatch, number):
    paths, folder = write_images(tmp_path / "images", 40), tmp_path / "store"
    real, written = image_store.write_atomically, []

    def fills_up(path, content):
        if len(written) == 3:
            time.sleep(0.05)                                            # the main thread learns of it in the meantime
            raise OSError(number, os.strerror(number)) if number else OSError("the disk was taken away")
        written.append(path)
        real(path, content)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with monkeypatch.context() as patch:
        patch.setattr(image_store, "write_atomically", fills_up)
        with pytest.raises(StoreError) as error:
            ImageStore(folder).prepare(paths, "")
    reason = os.strerror(number) if number else "the disk was taken away"
    for text in (reason, str(folder), "free there", "config.store", "None"):
        assert text in str(error.value)
    assert len(decoded) < 30 and len(stored_files(folder)) == 3         # the rest was not started
    del decoded[:]
    store = ImageStore(folder)
    store.prepare(paths, "")
    assert len(decoded) == 37                                           # what had been built is used
    assert_holds(store, paths)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_write_that_the_system_cuts_short_leaves_no_half_file(tmp_path):
    import resource
    small, large = write_images(tmp_path / "s", 3), write_images(tmp_path / "l", 3, 300, 400)      # 6 kB, 360 kB
    folder, limits = tmp_path / "store", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="(?s)File too large.*config.store"):
            ImageStore(folder).prepare([*small, *large], "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all(re.fullmatch("[0-9a-f]{24}[.]npy", name) for name in stored_files(folder))
    assert len(stored_files(folder)) <= 3
    store = ImageStore(folder)
    store.prepare([*small, *large], "")
    assert_holds(store, [*small, *large])


def test_a_folder_that_cannot_be_made_is_named(own_data, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        config = tiny_config(own_data)
        config.store = str(folder)
        with pytest.raises(StoreError, match=r"config\.store") as error:
            SRDataset("train", config)
        assert str(folder) in str(error.value)


def test_a_store_that_is_whole_is_never_written_to(own_data, decoded, monkeypatch):
    config = tiny_config(own_data)
    reference = epoch_of(SRDataset("train", config), 0)

    def read_only(*_, **__):
        raise PermissionError(errno.EACCES, "read-only")
    monkeypatch.setattr(image_store, "write_atomically", read_only)
    monkeypatch.setattr(Path, "mkdir", read_only)
    del decoded[:]
    assert equal(epoch_of(SRDataset("train", config), 0), reference) and not decoded


def test_a_file_that_another_process_wrote_meanwhile_will_do(tmp_path, monkeypatch):
    (path,), real = write_images(tmp_path, 1), image_store.write_atomically

    def in_use(file, content):                # Windows: the other process has it mapped already
        real(file, content)
        raise PermissionError(errno.EACCES, "in use")
    monkeypatch.setattr(image_store, "write_atomically", in_use)
    assert_holds(ImageStore(tmp_path / "store"), [path])


def build(folder, paths, start=None):
    """What a process of its own does."""
    if start is not None:
        start.wait()
    store = ImageStore(folder)
    faults = store.prepare(paths, "")
    assert not faults
    assert_holds(store, paths)


@pytest.mark.slow
def test_two_processes_may_build_at_once(tmp_path):
    paths, folder = write_images(tmp_path / "images", 24), tmp_path / "store"
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    builders = [context.Process(target=build, args=(folder, paths, start)) for _ in range(2)]
    for process in builders:
        process.start()
    for process in builders:
        process.join(timeout=120)
    assert [process.exitcode for process in builders] == [0, 0]
    assert len(stored_files(folder)) == 24
    assert_holds(ImageStore(folder), paths)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_build_that_is_killed_leaves_nothing_that_looks_whole(tmp_path, decoded):
    paths, folder = write_images(tmp_path / "images", 40, 150, 200), tmp_path / "store"
    folder.mkdir()
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    n_alive = 0
    for n_files in (1, 6, 14, 25):
        process = context.Process(target=build, args=(folder, paths))
        process.start()
        while len(os.listdir(folder)) < n_files and process.is_alive():
            pass
        n_alive += process.is_alive()
        process.kill()
        process.join()
    assert n_alive >= 2                                       # it was really killed while it worked
    there = {name for name in stored_files(folder) if name.endswith(".npy")}
    store = ImageStore(folder)
    assert not store.prepare(paths, "")
    assert len(decoded) == 40 - len(there)
    assert_holds(store, paths)
    for file in folder.glob("*.tmp"):
        os.utime(file, (time.time() - 2 * image_store.DAY,) * 2)
    ImageStore(folder).prepare(write_images(tmp_path / "more", 1), "")
    assert len(stored_files(folder)) == 41 and not list(folder.glob("*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_many_images_do_not_use_up_the_file_handles(tmp_path):
    # DIV2K's 800 pairs are 1600 files; a process may open 1024 on Linux and 256 on macOS unless told otherwise.
    import resource
    for folder, side in (("HR", 16), ("LR", 4)):
        for n in range(150):
            write_image(tmp_path / folder / f"{n:03}.png", np.full((side, side, 3), n, np.uint8))
    write_list(tmp_path, "train", [(f"HR/{n:03}.png", f"LR/{n:03}.png") for n in range(150)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        dataset = SRDataset("train", tiny_config(tmp_path, patch_num=1))
        assert [round(float(hr[0, 0, 0]) * 255) for _, hr in epoch_of(dataset, 0)] == list(range(150))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---------------------------------------------------------------- pairs

@pytest.mark.filterwarnings("error")
def test_whole_pairs_come_as_tensors_without_a_warning(data):
    torch.set_warn_always(True)            # torch warns only once that an array is read-only
    try:
        lr, _ = SRDataset("valid", tiny_config(data))[0]
    finally:
        torch.set_warn_always(False)
    assert lr.dtype == torch.float32


def test_whole_pairs_come_as_tensors_and_as_bytes(data):
    dataset = SRDataset("valid", tiny_config(data))
    assert dataset.names == ["rocket", "suit"]
    for i, name in enumerate(dataset.names):
        hr = read_image(data / "HR" / f"{name}.png")[0]
        lr = read_image(data / "LR" / f"{name}x4.png")[0]
        assert np.array_equal(dataset.pair(i)[0], lr) and np.array_equal(dataset.pair(i)[1], hr)
        assert np.array_equal(as_bytes(dataset[i][0]), lr) and np.array_equal(as_bytes(dataset[i][1]), hr)


@pytest.mark.parametrize("hr_size, lr_size, hr_used, lr_used", [
    ((32, 40), (8, 10), (32, 40), (8, 10)),
    ((33, 43), (8, 10), (32, 40), (8, 10)),          # floor: the rest of HR is cropped
    ((33, 43), (9, 11), (32, 40), (8, 10)),          # ceil: LR's last row and column are cropped as well
    ((33, 43), (8, 11), (32, 40), (8, 10)),
])
def test_pairs_are_cropped_to_a_common_part_at_the_top_left(tmp_path, hr_size, lr_size, hr_used, lr_used):
    hr, lr = noise(*hr_size, seed=1), noise(*lr_size, seed=2)
    write_image(tmp_path / "a.png", hr)
    write_image(tmp_path / "b.png", lr)
    write_list(tmp_path, "Set5", [("a.png", "b.png")])
    got_lr, got_hr = SRDataset("Set5", tiny_config(tmp_path)).pair(0)
    assert np.array_equal(got_hr, hr[:hr_used[0], :hr_used[1]]) and np.array_equal(got_lr, lr[:lr_used[0], :lr_used[1]])


@pytest.mark.parametrize("split", ["Set5", "train"])
@pytest.mark.parametrize("lr_size", [(7, 10), (10, 10), (8, 12), (10, 8), (32, 40), (16, 20)])
def test_sizes_that_do_not_match_are_refused_by_file_and_row(tmp_path, split, lr_size, capsys):
    write_set(tmp_path, split, {name: noise(32, 40) for name in ("a", "b", "c")})
    write_image(tmp_path / "LR" / "bx4.png", noise(*lr_size))
    dataset, out = SRDataset(split, tiny_config(tmp_path)), capsys.readouterr().out
    assert dataset.names == ["a", "c"]
    assert "1 of 3 pairs" in out and "row 2: bx4.png" in out and "row 1" not in out
    assert ("are not comparable with published" in out) == (split == "Set5")


def test_all_faulty_rows_are_named_at_once(tmp_path, capsys):
    write_set(tmp_path, "train", {name: noise(32, 40) for name in "abcd"})
    write_image(tmp_path / "LR" / "bx4.png", noise(9, 9))
    (tmp_path / "HR" / "c.png").write_bytes(b"<html>404</html>")
    (tmp_path / "LR" / "dx4.png").unlink()
    dataset, out = SRDataset("train", tiny_config(tmp_path)), capsys.readouterr().out
    assert dataset.names == ["a"] and len(epoch_of(dataset, 0)) == 10
    lines = {line.strip().split(":")[0]: line for line in out.splitlines() if "row" in line.split(":")[0]}
    assert "bx4.png" in lines["row 2"] and "c.png" in lines["row 3"] and "dx4.png" in lines["row 4"]
    assert "row 1" not in lines
    (tmp_path / "HR" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)cannot be used.*row 1.*row 4"):
        SRDataset("train", tiny_config(tmp_path))


def test_hr_smaller_than_the_scale_is_refused(tmp_path):
    write_image(tmp_path / "a.png", noise(3, 40))
    write_image(tmp_path / "b.png", noise(1, 10))
    write_list(tmp_path, "Set5", [("a.png", "b.png")])
    with pytest.raises(DataError, match="row 1: b.png"):
        SRDataset("Set5", tiny_config(tmp_path))


def test_images_smaller_than_a_crop_are_left_out_with_a_notice(tmp_path, capsys):
    write_set(tmp_path, "train", {"small": noise(16, 15), "fits": noise(16, 16), "large": noise(32, 32)})
    dataset = SRDataset("train", tiny_config(tmp_path))
    assert dataset.names == ["fits", "large"] and len(epoch_of(dataset, 0)) == 20
    assert "small.png" in (out := capsys.readouterr().out) and "fits" not in out
    with pytest.raises(DataError, match="crop_size"):
        SRDataset("train", tiny_config(tmp_path, crop_size=64))


def test_many_small_images_are_counted_and_the_crop_that_takes_them_in_is_named(tmp_path, capsys):
    write_set(tmp_path, "train", {"large": noise(32, 32), **{f"s{k}": noise(14, 20) for k in range(7)}})
    assert SRDataset("train", tiny_config(tmp_path)).names == ["large"]
    out = capsys.readouterr().out
    assert "7 of 8" in out and "s4.png" in out and "s5.png" not in out and "and 2 more" in out
    assert len(SRDataset("train", tiny_config(tmp_path, crop_size=12)).names) == 8 and "crop_size = 12" in out


def test_a_crop_size_that_the_scale_does_not_divide_is_refused(data):
    with pytest.raises(DataError, match="18.*4"):
        SRDataset("train", tiny_config(data, crop_size=18))


# ---------------------------------------------------------------- lists

def write_text(folder, text, split="Set5"):
    Path(folder, f"{split}_images.csv").write_bytes(text.encode("utf-8"))


@pytest.fixture
def two_pairs(tmp_path):
    return write_set(tmp_path, "Set5", {"a": noise(20, 20), "ü b": noise(20, 24)})


@pytest.mark.parametrize("text", [
    "HR/a.png,LR/ax4.png\nHR/ü b.png,LR/ü bx4.png\n",
    "\ufeffHR/a.png,LR/ax4.png\r\nHR/ü b.png,LR/ü bx4.png\r\n",
    "\nHR/a.png,LR/ax4.png\n\n\nHR/ü b.png,LR/ü bx4.png",
    '"HR/a.png","LR/ax4.png"\n./HR/ü b.png,HR/../LR/ü bx4.png\n',
], ids=["plain", "bom and crlf", "blank lines", "quotes and dots"])
def test_lists_of_many_hands_are_read(two_pairs, text):
    write_text(two_pairs, text)
    assert SRDataset("Set5", tiny_config(two_pairs)).names == ["a", "ü b"]


def test_bare_file_names_are_taken_from_the_data_folders(two_pairs, tmp_path_factory):
    lists = tmp_path_factory.mktemp("lists")
    write_text(lists, "a.png,ax4.png\nü b.png,ü bx4.png\n")
    config = EasyDict(csv_folder=str(lists), HR_data_folder=str(two_pairs / "HR"),
                      LR_data_folder=str(two_pairs / "LR") + "/", scaling_factor=4)
    dataset = SRDataset("Set5", config)
    assert dataset.names == ["a", "ü b"] and dataset.pair(1)[1].shape == (20, 24, 3)


@pytest.mark.parametrize("name", ["../a.png", "HR/../../a.png", "/etc/a.png", "C:\\pictures\\a.png", "C:/a.png",
                                  "..\\a.png", "\\a.png", "\\\\server\\share\\a.png", "//server/share/a.png", " ",
                                  ".."])
@pytest.mark.parametrize("column", [0, 1])
def test_a_row_never_leads_outside(two_pairs, name, column, capsys):
    row = ["HR/a.png", "LR/ax4.png"]
    row[column] = name
    write_list(two_pairs, "Set5", [("HR/a.png", "LR/ax4.png"), row])
    assert len(SRDataset("Set5", tiny_config(two_pairs)).pairs) == 1
    out = capsys.readouterr().out
    assert re.search(r"Set5_images\.csv(?s:.)*row 2: .*leads out", out) and "row 1" not in out


def test_wrong_columns_are_named_by_row_all_at_once(two_pairs, capsys):
    write_text(two_pairs, "HR/a.png,LR/ax4.png\na.png\nHR/a.png,LR/ax4.png,4\n../a.png,b.png\n")
    assert SRDataset("Set5", tiny_config(two_pairs)).names == ["a"]
    out = capsys.readouterr().out
    for text in ("3 of 4 pairs", "row 2: 1 column instead", "row 3: 3 columns", "row 4"):
        assert text in out


def test_a_missing_list_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"train_images\.csv.*create_data_lists\.py"):
        SRDataset("train", tiny_config(tmp_path))


def test_an_empty_list_is_refused(tmp_path):
    write_text(tmp_path, "\n\n")
    with pytest.raises(DataError, match="names no image"):
        SRDataset("Set5", tiny_config(tmp_path))

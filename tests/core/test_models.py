"""The networks against the paper's figure, torchvision's VGG19 and plain bicubic."""

import copy
import math

import numpy as np
import pytest
import torch
import torchvision
from easydict import EasyDict
from torch import nn
from torch.nn import functional

import models
from imresize import imresize
from metrics import psnr
from models import Discriminator, Generator, PatchDiscriminator, TruncatedVGG19
from support import enlarging
from support.checkpoints import CheckpointError
from support.enlarging import super_resolve
from support.layers import folded
from tests.helpers import photo, tiny_config


def count(network):
    return sum(p.numel() for p in network.parameters())


def conv(kernel, c_in, c_out, bias=True):
    return kernel * kernel * c_in * c_out + bias * c_out


# ---------------------------------------------------------------- generator

def test_the_generator_has_the_parameters_of_figure_4():
    batch_norm, prelu = 2 * 64, 1
    plain = conv(3, 64, 64, bias=False)          # no bias where BatchNorm follows
    block = plain + batch_norm + prelu + plain + batch_norm
    by_hand = (conv(9, 3, 64) + prelu + 16 * block + plain + batch_norm
               + 2 * (conv(3, 64, 256) + prelu) + conv(9, 64, 3))
    assert count(Generator()) == by_hand == 1_547_350


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_generator_upscales_by_its_scale(scale):
    network = Generator(5, 3, 4, 1, scale)
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)
    assert network.scaling_factor == scale and len(network.upsampling) == math.log2(scale)


def test_from_a_config_it_is_the_same_network():
    config = EasyDict(G=dict(large_kernel_size=7, small_kernel_size=5, n_channels=6, n_blocks=3), scaling_factor=2,
                      D=dict(kernel_size=5, n_channels=4, n_blocks=4, fc_size=9))
    assert count(Generator(config)) == count(Generator(7, 5, 6, 3, 2))
    assert Generator(config).settings == Generator(7, 5, 6, 3, 2).settings
    assert count(Discriminator(config)) == count(Discriminator(5, 4, 4, 9))
    config.pop("scaling_factor")
    assert Generator(config).scaling_factor == 4


def test_the_last_layer_is_linear():
    network = Generator(5, 3, 4, 1, 2)
    nn.init.constant_(network.last.bias, 7)
    assert network(torch.rand(1, 3, 4, 4)).mean() > 5      # no tanh


@pytest.mark.parametrize("arguments", [dict(scaling_factor=3), dict(scaling_factor=1), dict(large_kernel_size=8),
                                       dict(small_kernel_size=2)])
def test_a_generator_that_cannot_be_is_refused(arguments):
    with pytest.raises(ValueError):
        Generator(**arguments)


def test_a_residual_block_adds_its_input():
    block = models.ResidualBlock(4, 3)
    nn.init.zeros_(block.layers[-1].weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_the_long_skip_adds_the_first_features():
    network = Generator(5, 3, 4, 2, 2)
    nn.init.zeros_(network.after_blocks[1].weight)
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(network.trunk(x), network.first(x))


# ---------------------------------------------------------------- the interpolating start

@pytest.mark.parametrize("scale, settings", [
    (4, {}), (2, dict(large_kernel_size=5)), (4, dict(small_kernel_size=5)), (8, dict(large_kernel_size=3))])
def test_the_untrained_network_interpolates_about_as_well_as_bicubic(scale, settings):
    torch.manual_seed(0)
    network = Generator(**{**dict(n_channels=16, n_blocks=2, scaling_factor=scale), **settings})
    for name, place in (("astronaut.png", (0, 130)), ("chelsea.png", (60, 120))):
        hr = photo(name, *place, 128, 160)
        lr = imresize(hr, 1 / scale)
        bicubic = psnr(imresize(lr, scale), hr)
        before = psnr(super_resolve(network, lr), hr)
        after = psnr(super_resolve(copy.deepcopy(network).start_as_interpolation(), lr), hr)
        assert after > bicubic - (0.3 if scale < 8 else 0.5), name
        assert before < bicubic - 5, name


def test_the_interpolating_start_can_still_learn_in_every_layer():
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 1).start_as_interpolation()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    before = copy.deepcopy(network.state_dict())
    for _ in range(3):
        optimizer.zero_grad()
        ((network(torch.rand(2, 3, 8, 8)) - torch.rand(2, 3, 32, 32)) ** 2).mean().backward()
        optimizer.step()
    unchanged = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    assert not unchanged


# ---------------------------------------------------------------- receptive field, tiles

@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("large, small, blocks", [(5, 3, 1), (9, 3, 2), (3, 5, 1)])
def test_the_receptive_margin_covers_every_pixel_that_counts(scale, large, small, blocks):
    network = Generator(large, small, 4, blocks, scale).eval().double()
    in_trunk, in_tail = network.receptive_margin()
    side = 2 * max(in_trunk, in_tail) + 7
    middle = side // 2

    def widest(f, channels, per_pixel):
        x = torch.rand(1, channels, side, side, dtype=torch.float64, requires_grad=True)
        out = f(x)[..., per_pixel * middle:per_pixel * (middle + 1), per_pixel * middle:per_pixel * (middle + 1)]
        out.sum().backward()
        rows = x.grad.abs().amax(dim=(0, 1, 3)).nonzero()
        return int((rows - middle).abs().max())

    assert widest(network.trunk, 3, 1) == in_trunk         # as wide as it is, and no wider
    assert in_tail - 1 <= widest(network.tail, 4, scale) <= in_tail


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_give_the_pixels_of_the_whole(scale):
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 2, scale).start_as_interpolation()
    nn.init.normal_(network.after_blocks[1].weight)        # so that the blocks count
    lr, texts = photo("coffee.png", 100, 200, 83, 61), []
    whole = super_resolve(network, lr)
    tiled = super_resolve(network, lr, memory=8 * network.bytes_per_pixel()[1] * 20**2, progress=texts.append)
    difference = np.abs(whole.astype(int) - tiled)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    assert len(texts) >= 20 and texts[-1].endswith(" 100%")


def upscaled(network, lr, memory):
    """SR as floats, before rounding, and how many tiles of the trunk and of the tail it was made from."""
    network, counts = folded(network.double()), [0, 0]

    def count_calls(k, name):
        original = getattr(network, name)

        def counted(x):
            counts[k] += 1
            return original(x if x.is_floating_point() and x.dtype == torch.float64 else x.double())
        setattr(network, name, counted)

    count_calls(0, "trunk")
    count_calls(1, "tail")
    with torch.no_grad():
        return enlarging._upscale(network, torch.from_numpy(lr).permute(2, 0, 1)[None], memory, lambda n: None,
                                  torch.Tensor.cpu), counts


@pytest.mark.parametrize("shape", [(61, 83), (83, 9), (1, 120)])
def test_both_kinds_of_tiles_give_the_floats_of_the_whole(shape):
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 2).start_as_interpolation()
    nn.init.normal_(network.after_blocks[1].weight)
    lr = photo("coffee.png", 100, 200, *shape)
    whole, counts = upscaled(network, lr, 2**40)
    assert counts == [1, 1]
    trunk, tail = network.bytes_per_pixel()
    for memory in (8 * tail * 24**2, 8 * tail * 14**2):
        tiled, counts = upscaled(network, lr, memory)
        assert counts[1] > 1
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-9)
    assert counts[0] > 1 or memory > trunk * lr.shape[0] * lr.shape[1]


def test_too_little_memory_is_said():
    with pytest.raises(ValueError, match="memory is too small for this network"):
        super_resolve(Generator(5, 3, 8, 2), np.zeros((40, 40, 3), np.uint8), memory=1000)


def test_the_self_ensemble_is_the_mean_of_the_eight_turns():
    torch.manual_seed(0)
    network = Generator(5, 3, 8, 1).double()
    lr = photo("coffee.png", 100, 200, 14, 9)
    total = 0
    with torch.no_grad():
        for flip in (False, True):
            for quarter in range(4):
                image = np.rot90(lr[:, ::-1] if flip else lr, quarter)
                sr = network.eval()(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double() / 255)
                sr = np.rot90(sr[0].permute(1, 2, 0).numpy(), -quarter)
                total = total + (sr[:, ::-1] if flip else sr)
    expected = np.clip(np.round((total / 8 + 1) / 2 * 255), 0, 255)
    sr = super_resolve(network.float(), lr, self_ensemble=True)
    assert np.abs(sr - expected).max() <= 1 and (sr != expected).mean() < 1e-2
    assert (super_resolve(network, lr) != sr).mean() > 0.05


# ---------------------------------------------------------------- discriminator

def test_the_discriminator_has_the_parameters_of_figure_4():
    def block(c_in, c_out):
        return conv(3, c_in, c_out, bias=False) + 2 * c_out
    by_hand = (conv(3, 3, 64) + block(64, 64) + block(64, 128) + block(128, 128) + block(128, 256) + block(256, 256)
               + block(256, 512) + block(512, 512) + (6 * 6 * 512 * 1024 + 1024) + (1024 + 1))
    assert count(Discriminator()) == by_hand == 23_563_649


def test_the_random_vgg_is_always_the_same():
    torch.manual_seed(1)
    first = TruncatedVGG19(1, 2, weights="random")
    torch.manual_seed(2)
    second = TruncatedVGG19(1, 2, weights="random")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert 0.1 < first(x).std() < 10          # He: the features neither die out nor explode


@pytest.mark.parametrize("height, width", [(96, 96), (24, 24), (40, 72), (16, 16)])
def test_the_discriminator_takes_other_crop_sizes(height, width):
    network = Discriminator(3, 4, 8, 8)
    assert network(torch.rand(2, 3, height, width)).shape == (2, 1)


def test_96_crops_reach_the_dense_layer_unpooled():
    network = Discriminator(3, 2, 8, 4)
    features = network.blocks(torch.rand(1, 3, 96, 96))
    assert features.shape == (1, 16, 6, 6) and torch.equal(network.pool(features), features)


def test_the_discriminator_gives_logits():
    network = Discriminator(3, 4, 4, 8).eval()
    nn.init.constant_(network.decide[-1].bias, 30)
    assert network(torch.rand(2, 3, 16, 16)).min() > 20        # no sigmoid
    nn.init.constant_(network.decide[-1].bias, -30)
    assert network(torch.rand(2, 3, 16, 16)).max() < -20


def test_the_first_block_has_no_batch_norm_and_every_second_block_halves():
    layers = [m for m in Discriminator(3, 4, 8, 8).blocks if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    assert [isinstance(m, nn.BatchNorm2d) for m in layers] == [False] + [False, True] * 7
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [m.stride[0] for m in convolutions] == [1, 2] * 4
    assert [m.out_channels for m in convolutions] == [4, 4, 8, 8, 16, 16, 32, 32]


# ---------------------------------------------------------------- VGG19

def vgg19_until(i, j):
    """torchvision's VGG19 up to the ReLU of the j-th convolution before the i-th max-pool, without weights."""
    with torch.device("meta"):
        features = torchvision.models.vgg19().features
    pools = convolutions = 0
    for n, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            pools, convolutions = pools + 1, 0
        elif isinstance(layer, nn.Conv2d):
            convolutions += 1
            if (pools, convolutions) == (i - 1, j):
                assert isinstance(features[n + 1], nn.ReLU)
                return features[:n + 2]


@pytest.fixture
def vgg19(tmp_path):
    """(the first layers of a VGG19 with random weights, a file as torchvision's with these weights)."""
    torch.manual_seed(0)
    features = vgg19_until(2, 2).to_empty(device="cpu")
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.uniform_(layer.bias, -1, 1)
    path = tmp_path / "vgg19.pth"
    torch.save({**features.state_dict(prefix="features."), "classifier.0.weight": torch.ones(2, 2)}, path)
    return features, path


@pytest.mark.parametrize("i, j, n_layers", [(1, 1, 2), (1, 2, 4), (2, 1, 7), (2, 2, 9)])
def test_the_feature_map_is_that_of_torchvision_after_its_relu(vgg19, i, j, n_layers):
    features, path = vgg19
    images = torch.rand(2, 3, 20, 24)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = features[:n_layers](normalise(images))
    got = TruncatedVGG19(i, j, weights=path)(images)
    assert got.shape == expected.shape and torch.allclose(got, expected, atol=1e-5)
    assert got.min() == 0 and (got == 0).any()             # after the ReLU


def test_the_papers_vgg54_has_the_layers_and_names_of_torchvision():
    ours = TruncatedVGG19(5, 4, weights="random").features
    theirs = vgg19_until(5, 4)
    assert len(ours) == len(theirs) == 36
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs]
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_vgg_is_frozen_but_lets_gradients_through():
    network = TruncatedVGG19(1, 2, weights="random")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    network(images).sum().backward()
    assert images.grad.abs().sum() > 0 and all(p.grad is None for p in network.parameters())


def test_vgg_does_not_change_its_input(vgg19):
    images = torch.rand(1, 3, 8, 8)
    before = images.clone()
    TruncatedVGG19(1, 1, weights=vgg19[1])(images)
    assert torch.equal(images, before)


def test_features_are_multiplied_by_feature_scale(vgg19):
    images = torch.rand(1, 3, 8, 8)
    plain, scaled = (TruncatedVGG19(1, 2, weights=vgg19[1], feature_scale=s)(images) for s in (1, 1 / 12.75))
    assert torch.allclose(scaled * 12.75, plain, rtol=1e-5)


def test_safetensors_with_torchvisions_names_are_taken(vgg19, tmp_path):
    from safetensors.torch import save_file
    features, path = vgg19
    save_file(torch.load(path, weights_only=True), tmp_path / "vgg19.safetensors")
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(TruncatedVGG19(2, 2, weights=str(tmp_path / "vgg19.safetensors"))(images),
                       TruncatedVGG19(2, 2, weights=path)(images))


@pytest.mark.parametrize("i, j", [(0, 1), (6, 1), (1, 3), (2, 0), (5, 5)])
def test_a_layer_that_vgg19_has_not_is_refused(i, j):
    with pytest.raises(ValueError, match=f"i={i}, j={j}"):
        TruncatedVGG19(i, j, weights="random")


def test_a_file_that_lacks_layers_is_refused_and_they_are_named(vgg19):
    with pytest.raises(RuntimeError) as error:
        TruncatedVGG19(3, 1, weights=vgg19[1])
    assert "features.10.weight" in str(error.value) and "vgg19.pth" in str(error.value)
    assert "features.7.weight" not in str(error.value)


def test_a_weight_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "page.pth").write_text("<html>404</html>")
    for name in ("page.pth", "none.pth"):
        with pytest.raises(CheckpointError, match=name):
            TruncatedVGG19(1, 1, weights=tmp_path / name)


def put_into_torch_home(home, path):
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path.rename(folder / "vgg19-dcbb9e9d.pth")             # torchvision's name of the ImageNet weights


def test_imagenet_weights_come_from_torchs_cache(vgg19, tmp_path, monkeypatch):
    features, path = vgg19
    put_into_torch_home(tmp_path / "home", path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert torch.equal(TruncatedVGG19(1, 2).features[0].weight, features[0].weight)


# ---------------------------------------------------------------- the patch discriminator

def test_the_patch_discriminator_judges_every_patch():
    config = tiny_config("nowhere")
    config.discriminator = "patch"
    network = PatchDiscriminator(config).eval()
    images = torch.rand(2, 3, 48, 64)
    assert network(images).shape == (2, 1, 12, 16)
    # a pixel changes the logits of the 28 x 28 pixels around it, and no others
    changed = images.clone()
    changed[:, :, 24, 32] += 1
    rows, columns = torch.nonzero((network(changed) - network(images)).abs().amax(dim=(0, 1)) > 0, as_tuple=True)
    assert 4 <= rows.unique().numel() <= 8 and 4 <= columns.unique().numel() <= 8


def test_every_pixel_counts_equally_in_the_patch_discriminators_strided_layers():
    """With kernel 3 and stride 2, every second pixel would be in twice as many windows: stripes in the gradient."""
    network = PatchDiscriminator(4).eval()
    strided = [layer for layer in network.layers if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
    assert len(strided) == 2
    for layer in strided:
        x = torch.zeros(1, layer.in_channels, 16, 16, requires_grad=True)
        functional.conv2d(x, torch.ones_like(layer.weight), stride=2, padding=layer.padding).sum().backward()
        inside = x.grad[..., 2:-2, 2:-2]
        assert inside.min() == inside.max()


def test_a_grey_photograph_stays_grey():
    torch.manual_seed(0)
    generator = Generator(5, 3, 4, 1, 4).eval()
    lr = photo("camera.png", 0, 0, 20, 24)
    grey, colour = np.repeat(lr[..., None], 3, 2), photo("astronaut.png", 0, 0, 20, 24)
    for ensemble in (False, True):
        sr = super_resolve(generator, grey, self_ensemble=ensemble)
        assert (sr == sr[..., :1]).all()
        with torch.no_grad():
            plain = generator(torch.from_numpy(grey).permute(2, 0, 1)[None] / 255)[0].mean(0)
        if not ensemble:
            assert np.abs(sr[..., 0] - ((plain.clamp(-1, 1) + 1) * 127.5).numpy()).max() <= 0.51
    assert not (super_resolve(generator, colour) == super_resolve(generator, colour)[..., :1]).all()


def test_the_stages_of_vgg19_are_the_last_maps_before_its_max_pools():
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    stages = TruncatedVGG19(3, 4, weights="random").stages(images)
    for maps, (i, j) in zip(stages, ((1, 2), (2, 2), (3, 4)), strict=True):
        assert torch.equal(maps, TruncatedVGG19(i, j, weights="random")(images))

"""The networks of A2N, SRDiff and SR3 by counting, and the mathematics of diffusion by closed formulas."""

import math

import pytest
import torch
from torch import nn

from extensions import a2n, sr3, srdiff
from extensions.diffusion import Diffusion, cosine_betas, linear_betas
from support.checkpoints import CheckpointError


def count(network):
    return sum(p.numel() for p in network.parameters())


# ---------------------------------------------------------------- A2N

@pytest.mark.parametrize("scale, small, expected, tensors", [
    (4, False, 1_047_459, 178), (2, False, 1_036_443, 172), (3, False, 1_036_443, 172),
    (4, True, 842_659, 178), (2, True, 831_643, 172)])
def test_a2n_has_the_papers_parameters(scale, small, expected, tensors):
    network = a2n.A2N(scale, small=small)
    assert count(network) == expected and len(network.state_dict()) == tensors


def test_the_parts_of_a2n():
    network = a2n.A2N()
    assert count(network.first) == 1_120 and count(network.trunk_conv) == 14_440 and count(network.last) == 651
    assert count(network.blocks[0]) == 62_860 and count(a2n.A2N(small=True).blocks[0]) == 50_060
    assert count(network.stage1) == 8_664 + 600 + 5_208 and count(network.stage2) == 5_208 + 600 + 5_208


def test_a2n_adds_bilinear_interpolation_and_gives_the_generators_range():
    network, lr = a2n.A2N(4, 8, 8, 1), torch.rand(2, 3, 5, 7)
    nn.init.zeros_(network.last.weight), nn.init.zeros_(network.last.bias)
    upscaled = nn.functional.interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.allclose(network(lr), 2 * upscaled - 1)


def test_the_two_branches_are_weighted_by_a_softened_softmax():
    torch.manual_seed(0)
    block, x = a2n.AttentionInAttention(8, small=False), torch.randn(2, 8, 5, 6)
    h = nn.functional.leaky_relu(block.enter(x), 0.2)
    logits = block.weigh[2](torch.relu(block.weigh[0](h.mean(dim=(2, 3))))) / 30
    w = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    a = block.attention
    attention = a.leave(a.value(h) * torch.sigmoid(a.mask(nn.functional.leaky_relu(a.look(h), 0.2))))
    mixed = w[:, 0].view(-1, 1, 1, 1) * attention + w[:, 1].view(-1, 1, 1, 1) * block.plain(h)
    assert torch.allclose(block(x), x + block.leave(nn.functional.leaky_relu(mixed, 0.2)), atol=1e-6)


def test_charbonnier_is_a_mean_and_nearly_l1():
    sr, hr = torch.tensor([0.0, 3.0]), torch.tensor([0.0, -1.0])
    assert a2n.Charbonnier()(sr, hr).item() == pytest.approx((1e-3 + math.sqrt(16 + 1e-6)) / 2)


def test_weights_go_from_x2_to_x4_except_the_second_stage():
    torch.manual_seed(0)
    two, four = a2n.A2N(2), a2n.A2N(4)
    loaded, own = a2n.transfer(four, two.state_dict())
    assert len(loaded) == 172 and len(own) == 6 and all(name.startswith("stage2.") for name in own)
    assert torch.equal(four.blocks[3].enter.weight, two.blocks[3].enter.weight)
    with pytest.raises(CheckpointError, match="another shape"):
        a2n.transfer(a2n.A2N(4, n_channels=8), two.state_dict())
    with pytest.raises(CheckpointError, match="No tensor"):
        a2n.transfer(four, {"something": torch.zeros(1)})


def test_the_tutorials_windows_leave_out_one_that_ends_at_the_edge():
    assert len(a2n.windows(1356, 2040)) == 40
    assert a2n.windows(480, 680) == [] and a2n.windows(481, 681) == [(0, 0), (0, 200)]


# ---------------------------------------------------------------- SRDiff

@pytest.mark.parametrize("n_channels, n_blocks, condition, encoder, unet", [
    (32, 8, 96, 1_478_755, 11_755_267), (64, 17, 384, 12_381_443, 12_934_915)])
def test_srdiff_has_the_papers_parameters(n_channels, n_blocks, condition, encoder, unet):
    e = srdiff.Encoder(n_channels, n_blocks)
    u = srdiff.UNet(64, (1, 2, 3, 4), e.n_condition(), 4)
    assert (e.n_condition(), count(e), count(u)) == (condition, encoder, unet)
    assert count(e) + count(u) in (13_234_022, 25_316_358)


def test_the_parts_of_srdiffs_u_net():
    u = srdiff.UNet(64, (1, 2, 3, 4), 96, 4)
    assert [count(part) for part in (u.condition, u.time, u.down, u.middle, u.up, u.head)] == [
        393_280, 33_088, 4_741_760, 2 * 1_196_800, 4_156_416, 37_123]


def test_srdiff_for_faces_has_its_parameters():
    e = srdiff.Encoder(32, 8, 8)
    assert count(e) + count(srdiff.UNet(64, (1, 2, 2, 4), e.n_condition(), 8)) == 12_033_798


def test_srdiffs_networks_keep_the_sizes_that_they_should():
    e = srdiff.Encoder(8, 2)
    lr = torch.rand(2, 3, 6, 8)
    _, condition = e.features(lr)
    assert e(lr).shape == (2, 3, 24, 32) and condition.shape == (2, 8, 6, 8)
    u = srdiff.UNet(8, (1, 2, 2), e.n_condition(), 4)
    assert u(torch.randn(2, 3, 24, 32), condition, torch.tensor([3, 50])).shape == (2, 3, 24, 32)


# ---------------------------------------------------------------- SR3

@pytest.mark.parametrize("name, expected", [
    ("sr3_16_128", 97_807_491), ("sr3_64_512", 155_334_339), ("ddpm_16_128", 26_451_587), ("sr3_128", 97_805_763),
    ("ddpm_128", 26_449_859)])
def test_sr3_has_the_parameters_of_its_configurations(name, expected, monkeypatch):
    monkeypatch.setattr(sr3, "_orthogonal", lambda layer: None)      # on "meta" there is nothing to initialise
    with torch.device("meta"):
        assert count(sr3.UNet(**sr3.CONFIGURATIONS[name][0])) == expected


def test_the_parts_of_sr3(monkeypatch):
    monkeypatch.setattr(sr3, "_orthogonal", lambda layer: None)
    with torch.device("meta"):
        u = sr3.UNet()
    assert [count(part) for part in (u.level, nn.ModuleList([u.first, u.down]), u.middle, u.up, u.head)] == [
        33_088, 26_041_856, 10_560_000, 61_170_688, 1_859]


def test_attention_is_softmax_of_q_k_over_the_root_of_c():
    torch.manual_seed(0)
    layer, x = sr3.Attention(8, 4), torch.randn(2, 8, 3, 5)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)           # (N, C, hw)
    weights = torch.softmax(torch.einsum("nci,ncj->nij", q, k) / math.sqrt(8), dim=2)
    out = torch.einsum("nij,ncj->nci", weights, v).reshape(2, 8, 3, 5)
    assert torch.allclose(layer(x), x + layer.leave(out), atol=1e-5)


def test_a_small_sr3_runs():
    u = sr3.UNet(6, 8, (1, 2), (8,), 1, 0.0, 4, size=16)
    assert u(torch.randn(2, 6, 16, 16), torch.tensor([0.9, 0.1])).shape == (2, 3, 16, 16)


# ---------------------------------------------------------------- diffusion

def test_the_cosine_schedule_has_the_values_of_the_specification():
    betas = cosine_betas(100)
    alphabar = Diffusion(betas).alphabar
    for value, expected in ((betas[0], 6.3128e-4), (betas[98], 0.74994), (betas[99], 0.999), (alphabar[0], 0.999369),
                            (alphabar[99], 2.4286e-7)):
        assert value.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("schedule, expected", [
    ((2000, 1e-6, 1e-2), 4.386e-5), ((100, 1e-6, 1e-2), 0.605), ((100, 1e-6, 0.1), 0.0056)])
def test_linear_schedules_leave_what_they_should(schedule, expected):
    assert Diffusion(linear_betas(*schedule)).alphabar[-1].item() == pytest.approx(expected, rel=1e-2)


def diffusion():
    return Diffusion(cosine_betas(20))


def test_noise_is_added_by_the_closed_formula():
    torch.manual_seed(0)
    d, (x0, noise) = diffusion(), (torch.randn(3, 3, 4, 4, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([0, 7, 19])
    x = x0.clone()
    for k, step in enumerate(t):          # step by step: the product of the alphas
        keep = math.prod(1 - beta.item() for beta in d.betas[:step + 1])
        x[k] = math.sqrt(keep) * x0[k] + math.sqrt(1 - keep) * noise[k]
    assert torch.allclose(d.add_noise(x0, t, noise), x, atol=1e-12)
    assert torch.allclose(d.x0_of(x, t, noise), x0, atol=1e-8)
    assert torch.allclose(d.noise_of(x, t, x0), noise, atol=1e-10)


def test_the_posterior_is_bayes_rule():
    """q(x_(t-1) | x_t, x0) is proportional to q(x_t | x_(t-1)) q(x_(t-1) | x0): two Gaussians, multiplied by hand."""
    d, t = diffusion(), 11
    x0, x = torch.tensor([[[[0.3]]]], dtype=torch.float64), torch.tensor([[[[-0.8]]]], dtype=torch.float64)
    beta, before = d.betas[t].item(), d.alphabar[t - 1].item()
    precision = (1 - beta) / beta + 1 / (1 - before)
    mean = (math.sqrt(1 - beta) / beta * -0.8 + math.sqrt(before) / (1 - before) * 0.3) / precision
    found, variance = d.posterior(x0, x, torch.tensor([t]))
    assert found.item() == pytest.approx(mean, abs=1e-12) and variance.item() == pytest.approx(1 / precision, abs=1e-12)
    at_zero, variance = d.posterior(x0, x, torch.tensor([0]))
    assert at_zero.item() == pytest.approx(0.3, abs=1e-9) and variance.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("options", [{}, dict(n_steps=5), dict(ddim=True), dict(n_steps=5, ddim=True)])
def test_with_a_perfect_predictor_the_image_comes_back_exactly(options):
    torch.manual_seed(0)
    d, x0 = diffusion(), torch.rand(2, 3, 5, 5, dtype=torch.float64) * 2 - 1
    result = d.sample(lambda x, t: d.noise_of(x, torch.full((2,), t), x0), torch.randn(2, 3, 5, 5, dtype=torch.float64),
                      torch.Generator().manual_seed(1), **options)
    assert torch.allclose(result, x0, atol=1e-8)


def test_sampling_is_a_function_of_the_seed():
    d, x = diffusion(), torch.randn(1, 3, 4, 4)

    def sample(seed, **options):
        return d.sample(lambda x, t: 0.3 * x, x, torch.Generator().manual_seed(seed), **options)
    assert torch.equal(sample(1), sample(1)) and not torch.equal(sample(1), sample(2))
    assert torch.equal(sample(1, ddim=True), sample(2, ddim=True))


def test_a_step_over_others_is_the_posterior_of_what_lies_between():
    d, n = diffusion(), 200_000
    x0, x = (torch.full((1,), value, dtype=torch.float64) for value in (0.3, -0.8))
    mean, variance = d.posterior(x0, x, torch.tensor([12]), torch.tensor([4]))
    # Draw x_4 and then x_12 for this x0, and look at the x_4 of those that came near x.
    rng = torch.Generator().manual_seed(0)
    left, keep = d.alphabar[12] / d.alphabar[4], d.alphabar[4]
    earlier = keep.sqrt() * x0 + (1 - keep).sqrt() * torch.randn(n, generator=rng, dtype=torch.float64)
    later = left.sqrt() * earlier + (1 - left).sqrt() * torch.randn(n, generator=rng, dtype=torch.float64)
    near = earlier[(later - x).abs() < 0.05]
    assert len(near) > 2000
    assert near.mean().item() == pytest.approx(mean.item(), abs=0.02)
    assert near.var().item() == pytest.approx(variance.item(), rel=0.1)


def test_fewer_steps_are_the_middles_of_even_stretches():
    assert diffusion().steps() == diffusion().steps(20) == diffusion().steps(30) == list(range(19, -1, -1))
    assert diffusion().steps(5) == [18, 14, 10, 6, 2] and diffusion().steps(1) == [10]


def test_a_walk_from_a_given_step_begins_there():
    assert diffusion().steps(3, start=11) == [11, 7, 3] and diffusion().steps(None, start=2) == [2, 1, 0]
    assert diffusion().steps(9, start=2) == [2, 1, 0]

"""Weight files as the public SR3 code writes them: its names and shapes, written out from the specification."""

import math

import numpy as np
import torch

# (input channels, multipliers, sizes with attention, ResBlocks a level, size of the images); the same for our network.
TINY = (6, (1, 2), (4,), 1, 8)
TINY_UNET = dict(n_channels=8, multipliers=[1, 2], attention_at=[4], n_res_blocks=1, dropout=0.0, groups=4, size=8)
BETAS = np.linspace(1e-6, 1e-2, 2000)          # the schedule of the public configurations


def convolution(name, c_out, c_in, kernel, bias=True):
    return {f"{name}.weight": (c_out, c_in, kernel, kernel), **({f"{name}.bias": (c_out,)} if bias else {})}


def linear(name, c_out, c_in):
    return {f"{name}.weight": (c_out, c_in), f"{name}.bias": (c_out,)}


def norm(name, c):
    return {f"{name}.weight": (c,), f"{name}.bias": (c,)}


def block(name, c_in, c_out):
    return {**norm(f"{name}.block.0", c_in), **convolution(f"{name}.block.3", c_out, c_in, 3)}


def res_block(name, c_in, c_out, inner, ddpm, attention):
    level = f"{name}.res_block.mlp.1" if ddpm else f"{name}.res_block.noise_func.noise_func.0"
    shapes = {**linear(level, c_out, inner), **block(f"{name}.res_block.block1", c_in, c_out),
              **block(f"{name}.res_block.block2", c_out, c_out)}
    if c_in != c_out:
        shapes.update(convolution(f"{name}.res_block.res_conv", c_out, c_in, 1))
    if attention:
        shapes.update(norm(f"{name}.attn.norm", c_out))
        shapes.update(convolution(f"{name}.attn.qkv", 3 * c_out, c_out, 1, bias=False))
        shapes.update(convolution(f"{name}.attn.out", c_out, c_out, 1))
    return shapes


def public_shapes(c_in, multipliers, attention_at, n_blocks, size, ddpm, inner=64):
    """Name -> shape of the U-Net's tensors, as the public code names them (without "denoise_fn.")."""
    mlp = "time_mlp" if ddpm else "noise_level_mlp"
    shapes = {**linear(f"{mlp}.1", 4 * inner, inner), **linear(f"{mlp}.3", inner, 4 * inner),
              **({"time_mlp.0.inv_freq": (inner // 2,)} if ddpm else {}), **convolution("downs.0", inner, c_in, 3)}
    c, skips, place = inner, [inner], 1
    for level, multiplier in enumerate(multipliers):
        for _ in range(n_blocks):
            shapes.update(res_block(f"downs.{place}", c, inner * multiplier, inner, ddpm, size in attention_at))
            c, place = inner * multiplier, place + 1
            skips.append(c)
        if level + 1 < len(multipliers):
            shapes.update(convolution(f"downs.{place}.conv", c, c, 3))
            skips.append(c)
            place, size = place + 1, size // 2
    shapes.update({**res_block("mid.0", c, c, inner, ddpm, True), **res_block("mid.1", c, c, inner, ddpm, False)})
    place = 0
    for level in reversed(range(len(multipliers))):
        for _ in range(n_blocks + 1):
            c_out = inner * multipliers[level]
            shapes.update(res_block(f"ups.{place}", c + skips.pop(), c_out, inner, ddpm, size in attention_at))
            c, place = c_out, place + 1
        if level > 0:
            shapes.update(convolution(f"ups.{place}.conv", c, c, 3))
            place, size = place + 1, size * 2
    return {**shapes, **block("final_conv", c, 3)}


def tables(betas):
    """The schedule's buffers, float32, under their public names."""
    alphas = np.cumprod(1 - betas)
    before = np.append(1.0, alphas[:-1])
    variance = betas * (1 - before) / (1 - alphas)
    values = {"betas": betas, "alphas_cumprod": alphas, "alphas_cumprod_prev": before,
              "sqrt_alphas_cumprod": np.sqrt(alphas), "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - alphas),
              "log_one_minus_alphas_cumprod": np.log(1 - alphas), "sqrt_recip_alphas_cumprod": np.sqrt(1 / alphas),
              "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / alphas - 1), "posterior_variance": variance,
              "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
              "posterior_mean_coef1": betas * np.sqrt(before) / (1 - alphas),
              "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - alphas)}
    return {name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}


def write_public(path, shapes, betas=BETAS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {f"denoise_fn.{name}": 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if "denoise_fn.time_mlp.0.inv_freq" in state:
        half = shapes["time_mlp.0.inv_freq"][0]
        state["denoise_fn.time_mlp.0.inv_freq"] = torch.exp(-math.log(1e4) * torch.arange(half) / half)
    torch.save({**tables(betas), **state}, path)
    return state

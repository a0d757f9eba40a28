"""Weights of the public SR3 code (files such as I640000_E37_gen.pth): its names of the tensors, and this kit's.

    network = load_public("I640000_E37_gen.pth")

The file holds the U-Net under "denoise_fn." and the tables of the schedule (betas, alphas_cumprod, ...).
"""

import json
import math
import re

import torch

from extensions.diffusion import linear_betas
from extensions.sr3 import CONFIGURATIONS, SR3, UNet
from support.checkpoints import CheckpointError, load_weights, read_weights

U_NET = "denoise_fn."

# Pattern in the public code's names -> ours; all patterns are applied, one after the other.
NAMES = [(re.compile(pattern), ours) for pattern, ours in (
    (r"^(?:noise_level_mlp|time_mlp)\.1\.", "level.layers.0."),
    (r"^(?:noise_level_mlp|time_mlp)\.3\.", "level.layers.2."),
    (r"^downs\.0\.(weight|bias)$", r"first.\1"),
    (r"^downs\.(\d+)\.conv\.", lambda found: f"down.{int(found[1]) - 1}."),         # a downsampling
    (r"^downs\.(\d+)\.", lambda found: f"down.{int(found[1]) - 1}."),
    (r"^mid\.", "middle."),
    (r"^ups\.", "up."),
    (r"^final_conv\.block\.", "head."),
    (r"\.res_block\.block1\.block\.", ".first."),
    (r"\.res_block\.block2\.block\.", ".second."),
    (r"\.res_block\.(?:noise_func\.noise_func\.0|mlp\.1)\.", ".time.1."),
    (r"\.res_block\.res_conv\.", ".skip."),
    (r"\.attn\.out\.", ".attention.leave."),
    (r"\.attn\.", ".attention."))]


def our_name(name):
    """The public code's name of one of the U-Net's tensors, without "denoise_fn." -> the name in our UNet."""
    for pattern, ours in NAMES:
        name = pattern.sub(ours, name)
    return name


def read_public(path):
    """What a ``*_gen.pth`` holds.

    Returns:
        (state, variant, betas): a state_dict for UNet; "sr3" or "ddpm"; and (first, last, number of steps)
        of its linear schedule, or None if the file holds no schedule.

    Raises:
        CheckpointError: if the file is missing or damaged, could run code, holds another network, or a
            schedule that is not linear.
    """
    tensors = read_weights(path)
    state = {name.removeprefix(U_NET): value for name, value in tensors.items() if name.startswith(U_NET)}
    if not state:
        raise CheckpointError(f"{path} holds no tensor named {U_NET}...: it is not a *_gen.pth of the public SR3 code. "
                              "For weights of this kit use inference.load_generator.")
    variant = "ddpm" if any(name.startswith("time_mlp.") for name in state) else "sr3"
    state.pop("time_mlp.0.inv_freq", None)           # a table that our embedding computes
    return {our_name(name): value for name, value in state.items()}, variant, _schedule_of(path, tensors.get("betas"))


def _schedule_of(path, betas):
    if betas is None:
        return None
    first, last, n = float(betas[0]), float(betas[-1]), len(betas)
    if not torch.allclose(betas.double(), linear_betas(n, first, last), rtol=1e-4, atol=1e-9):
        raise CheckpointError(f"{path} was made with {n} betas that are not linear; the kit's SR3 has linear ones.")
    # The file has float32: 9.999999974752427e-07 was 1e-06.
    return tuple(float(f"{value:.6g}") for value in (first, last)) + (n,)


def _shapes_of(unet):
    """Name of each tensor of UNet(**unet) -> its shape."""
    with torch.device("meta"):
        own = UNet(**unet).state_dict()
    return {name: tensor.shape for name, tensor in own.items()}


def load_public(path, **options):
    """The network in a ``*_gen.pth``, in eval mode: one of the five CONFIGURATIONS, found by the shapes of its tensors.

    Args:
        options: of SR3, such as scaling_factor (default: 8, that of the public weights).

    Raises:
        CheckpointError: as ``read_public``, or if no configuration has these tensors.
    """
    state, variant, betas = read_public(path)
    shapes = {name: tensor.shape for name, tensor in state.items()}
    found = next((entry for entry in CONFIGURATIONS.values() if _shapes_of(entry[0]) == shapes), None)
    if found is None:
        raise CheckpointError(f"{path} has the tensors of none of the configurations {', '.join(CONFIGURATIONS)}. "
                              "Build the network that it was made with, and call take_public(network, path).")
    unet, default = found
    conditional = unet.get("c_in", 6) == 6
    network = SR3({key: value for key, value in unet.items() if key != "c_in"}, betas or default, variant=variant,
                  conditional=conditional, **{"scaling_factor": 8, **options})
    load_weights(network.unet, state, path)
    return network.eval()


# The settings of SR3 that change what weights of the same shapes mean, and their names in a configuration.
KINDS = {"variant": "model.which_model_G", "conditional": "model.diffusion.conditional",
         "target": "model.diffusion.target"}


def check_kind(network, settings, path):
    """Raise CheckpointError unless weights of an SR3 with these settings mean the same in ``network``.

    Shapes do not show it: a network that samples the residual has the same ones as one that samples the image.
    """
    kinds = dict(KINDS)
    # SR3 knows noise levels and may use another schedule; to DDPM, which knows step numbers, it would be another noise.
    same = all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(settings["betas"], network.settings["betas"]))
    if settings["variant"] == "ddpm" and not same:
        kinds["betas"] = "model.beta_schedule.train (linear_start, linear_end, n_timestep)"
    for name, key in kinds.items():
        theirs, own = (json.dumps(values[name]) for values in (settings, network.settings))
        if theirs != own:
            raise CheckpointError(f"{path} was trained with {key} = {theirs}, and the configuration has {own}. "
                                  f"Set {key} to {theirs} there, or name other weights in path.resume_state.")


def take_public(network, path):
    """Load a ``*_gen.pth`` into an SR3 that exists already, which keeps its own schedule.

    Raises:
        CheckpointError: as ``read_public``, or if it is of another kind or does not fit; the network
            is then unchanged.
    """
    state, variant, betas = read_public(path)
    c_in = state["first.weight"].shape[1] if "first.weight" in state else 6
    check_kind(network, {"variant": variant, "conditional": c_in == 6, "target": "image",
                         "betas": betas or network.settings["betas"]}, path)
    load_weights(network.unet, state, path)
    return network

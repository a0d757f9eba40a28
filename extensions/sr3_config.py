"""Configurations in the layout of the public SR3 code (JSON with comments) -> the kit's configuration.

A setting without a meaning here is named in a notice, and one that cannot be carried out is
refused: nothing is silently ignored.
"""

import json
import math
import re
from pathlib import Path

import torch

from config import get_config
from datasets import SRDataset, make_loader
from extensions.setting_descriptions import DESCRIBED
from extensions.sr3_data import write_lists
from support.lists import list_path
from support.messages import notice
from support.setting_rules import check_settings
from support.settings import BadSetting

HERE = Path(__file__).resolve().parent
STAGE = "sr3"

# The settings that are read below, as dotted names; any other one is named in a notice.
READ = {"name", "phase", "gpu_ids", "seed", "path.resume_state", "path.results", "path.tb_logger",
        *(f"datasets.{split}.{key}" for split in ("train", "val")
          for key in ("dataroot", "datatype", "l_resolution", "r_resolution", "data_len")),
        *(f"datasets.train.{key}" for key in ("batch_size", "num_workers", "use_shuffle")),
        "model.which_model_G", "model.finetune_norm",
        *(f"model.unet.{key}" for key in ("in_channel", "out_channel", "inner_channel", "norm_groups",
                                          "channel_multiplier", "attn_res", "res_blocks", "dropout")),
        *(f"model.beta_schedule.{split}.{key}" for split in ("train", "val")
          for key in ("schedule", "n_timestep", "linear_start", "linear_end")),
        *(f"model.diffusion.{key}" for key in ("image_size", "channels", "conditional", "target", "n_steps", "ddim")),
        *(f"train.{key}" for key in ("n_iter", "val_freq", "save_checkpoint_freq", "print_freq", "optimizer.type",
                                     "optimizer.lr", "ema_scheduler.ema_decay")),
        "wandb.project"}
# In every configuration of the public code, and without a meaning here: not worth a notice.
SILENT = re.compile(r"path\.(log|checkpoint)|datasets\.\w+\.(name|mode)|datasets\.val\.use_shuffle|"
                    r"train\.ema_scheduler\.(step_start_ema|update_ema_every)")


class ConfigError(ValueError):
    """A configuration that cannot be read or carried out; the message says where and what to do."""


def find(name):
    """The path of a configuration: as given, else below extensions/ or extensions/config/."""
    places = [Path(name), HERE / name, HERE / "config" / name]
    for path in places:
        if path.is_file():
            return path
    known = ", ".join(f"config/{path.name}" for path in sorted((HERE / "config").glob("*.json")))
    raise ConfigError(f"There is no configuration {name}. The kit has {known}.")


def read_config(name):
    """A configuration as a dict.  ``//`` begins a comment, except inside a string.

    Raises:
        ConfigError: if it is missing, or is not JSON; the message names the line.
    """
    path = find(name)
    text = path.read_text(encoding="utf-8")
    plain = re.sub(r'("(?:\\.|[^"\\\n])*")|//[^\n]*', lambda found: found[1] or "", text)
    try:
        return json.loads(plain)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}. This is JSON with // comments: a comma between "
                          "two entries, none after the last.") from None


def value(options, key, default=...):
    """options["a"]["b"] for the key "a.b"."""
    place = options
    for part in key.split("."):
        if not isinstance(place, dict) or part not in place:
            if default is ...:
                raise ConfigError(f"The configuration has no {key!r}; see extensions/config/sr_sr3.json.")
            return default
        place = place[part]
    return place


def names(options, prefix=""):
    """All settings of a configuration as dotted names."""
    for key, entry in options.items():
        if isinstance(entry, dict):
            yield from names(entry, f"{prefix}{key}.")
        else:
            yield prefix + key


def count(options, key):
    """A setting that counts something; the files also write whole numbers as 1e4.

    Raises:
        ConfigError: unless it is a whole number, 1 or more.
    """
    number = value(options, key)
    if not isinstance(number, (int, float)) or number < 1 or number % 1:
        raise ConfigError(f"{key} is {number!r}: it must be a whole number, 1 or more.")
    return int(number)


def kit_config(options):
    """The kit's configuration of the same run; a notice names what has no meaning here.

    Raises:
        ConfigError: for what cannot be carried out.
    """
    idle = [name for name in names(options) if name not in READ and not SILENT.fullmatch(name)]
    if idle:
        notice(f"these settings have no meaning here and change nothing: {', '.join(idle)}.")
    optimizer, scale = value(options, "train.optimizer.type", "adam"), scale_of(options)
    if optimizer.lower() != "adam":
        raise ConfigError(f"train.optimizer.type is {optimizer!r}: the kit trains with Adam.")
    if value(options, "model.finetune_norm", False):
        raise ConfigError("model.finetune_norm is true: the kit always trains all of the weights. Set it to false.")
    if not value(options, "datasets.train.use_shuffle", True):
        notice("datasets.train.use_shuffle is false, but the kit takes the images in a new order in every epoch.")
    n_iter = count(options, "train.n_iter")
    val_freq = min(count(options, "train.val_freq"), n_iter)        # every run ends with a validation, a short one too
    epochs, batch = math.ceil(n_iter / val_freq), count(options, "datasets.train.batch_size")
    if n_iter % val_freq:
        notice(f"train.n_iter {n_iter} is not a multiple of val_freq {val_freq}: {epochs * val_freq} updates are made.")
    config = get_config("course", value(options, "datasets.train.dataroot"), value(options, "name"),
                        value(options, "seed", 0))
    ours = dict(
        preset=None, method="sr3", stages=[STAGE], scaling_factor=scale,
        crop_size=value(options, "datasets.train.r_resolution"), batch_size=batch,
        workers=value(options, "datasets.train.num_workers", 0), print_freq=count(options, "train.print_freq"),
        checkpoint_every=count(options, "train.save_checkpoint_freq"), n_valid=data_len(options, "val"),
        averaging=value(options, "train.ema_scheduler.ema_decay", 0), device=device_of(options),
        sample_every=0,                       # up to 2,000 steps for a picture: only with val_freq
        # As in the public code: no image is turned upside down, and the learning rate is constant.
        sr3=dict(epochs=epochs, updates_per_epoch=val_freq, lr=value(options, "train.optimizer.lr"),
                 lr_schedule="steps", lr_milestones=[], warmup=0, network=network_settings(options)))
    try:
        config.add(**ours)
        config.close(DESCRIBED["sr3"])
        check_settings(config)
    except BadSetting as error:
        raise ConfigError(f"{error} (config. are the kit's names of the same settings.)") from None
    return config


def network_settings(options):
    """The arguments of SR3 except scaling_factor."""
    schedules = [_schedule(options, split) for split in ("train", "val")]
    conditional = value(options, "model.diffusion.conditional")
    for key, expected in (("model.unet.in_channel", 6 if conditional else 3), ("model.unet.out_channel", 3),
                          ("model.diffusion.channels", 3)):
        if value(options, key, expected) != expected:
            raise ConfigError(f"{key} is {value(options, key)}; with model.diffusion.conditional = {conditional} "
                              f"it must be {expected}.")
    unet = dict(n_channels=value(options, "model.unet.inner_channel"),
                multipliers=value(options, "model.unet.channel_multiplier"),
                attention_at=value(options, "model.unet.attn_res"),
                n_res_blocks=value(options, "model.unet.res_blocks"), dropout=value(options, "model.unet.dropout"),
                groups=value(options, "model.unet.norm_groups", 32), size=value(options, "model.diffusion.image_size"))
    return dict(unet=unet, betas=schedules[0], test_betas=schedules[1] if schedules[1] != schedules[0] else None,
                target=value(options, "model.diffusion.target", "image"), variant=value(options, "model.which_model_G"),
                conditional=conditional, n_steps=value(options, "model.diffusion.n_steps", None),
                ddim=value(options, "model.diffusion.ddim", False))


def _schedule(options, split):
    key = f"model.beta_schedule.{split}"
    kind = value(options, f"{key}.schedule")
    if kind != "linear":
        raise ConfigError(f"{key}.schedule is {kind!r}: the kit's SR3 has linear schedules.")
    return [value(options, f"{key}.{part}") for part in ("linear_start", "linear_end", "n_timestep")]


def scale_of(options):
    low, high = (count(options, f"datasets.train.{key}") for key in ("l_resolution", "r_resolution"))
    if high % low:
        raise ConfigError(f"r_resolution {high} is not a multiple of l_resolution {low}.")
    return high // low


def data_len(options, split):
    """How many images are used; None: all.

    Raises:
        ConfigError: if it leaves none.
    """
    n = value(options, f"datasets.{split}.data_len", -1)
    if n == 0:
        raise ConfigError(f"datasets.{split}.data_len is 0, which leaves no image. -1 means all of them.")
    return None if n < 0 else n


def device_of(options):
    """The first GPU of gpu_ids, or the CPU if that names none or there is none.

    Raises:
        ConfigError: if this machine has no GPU of this number.
    """
    ids = value(options, "gpu_ids", [0])
    if not ids or not torch.cuda.is_available():
        return "cpu"
    if ids[0] not in range(torch.cuda.device_count()):
        raise ConfigError(f"gpu_ids begins with {ids[0]!r}; the GPUs of this machine are "
                          f"{', '.join(map(str, range(torch.cuda.device_count())))}.")
    return f"cuda:{ids[0]}"


# ---------------------------------------------------------------- data

class Faces(SRDataset):
    """Patches that are only mirrored left to right: a face upside down is no face (the public code's flips).

    Args:
        n_images: only the first n; None: all.
    """

    def __init__(self, split, config, n_images=None):
        super().__init__(split, config)
        self.pairs, self.lr_sizes = self.pairs[:n_images], self.lr_sizes[:n_images]

    def places(self, epoch, indices):
        *places, turn = super().places(epoch, indices)
        return *places, [bits & 2 for bits in turn]            # datasets.turned: bit 2 mirrors the columns


def split_config(options, config, split):
    """The configuration with the data folder of "train" or "val"; lists are made if the folder has none.

    Raises:
        ConfigError: if there is no such folder, or it holds something else.
    """
    folder = Path(value(options, f"datasets.{split}.dataroot"))
    low, high = (value(options, f"datasets.{split}.{key}") for key in ("l_resolution", "r_resolution"))
    if value(options, f"datasets.{split}.datatype", "img") != "img":
        raise ConfigError(f"datasets.{split}.datatype: the kit reads folders of PNG ('img'), made by prepare_data.")
    if not (folder / f"hr_{high}").is_dir():
        raise ConfigError(f"{folder} has no folder hr_{high}. Make it (the size is appended to --out): python -m "
                          f"extensions.sr3_commands prepare_data --path PHOTOS "
                          f"--out {str(folder).removesuffix(f'_{low}_{high}')} --size {low},{high}")
    if not list_path(folder, "train").exists():
        write_lists(folder, low, high)
    return type(config)({**config, "csv_folder": str(folder)})


def train_loader(options, config):
    """The loader of ``val_freq`` updates an epoch, with each image equally often."""
    settings = split_config(options, config, "train")
    n_images = data_len(options, "train")
    n = len(Faces("valid", settings, n_images).pairs)
    settings.patch_num = math.ceil(config.sr3.updates_per_epoch * config.batch_size / n)
    return make_loader(Faces("train", settings, n_images), config.batch_size, config.workers,
                       config.sr3.updates_per_epoch, pin_memory=config.device.startswith("cuda"))


def valid_set(options, config):
    """The validation pairs."""
    return Faces("valid", split_config(options, config, "val"), data_len(options, "val"))

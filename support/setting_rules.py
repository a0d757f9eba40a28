"""Settings that are possible one by one and not together: found before a run begins, not after an evening."""

from pathlib import Path

from support.run import stage_config
from support.settings import BadSetting
from support.vgg16 import CONVOLUTIONS

CORE = ("pretrain", "srgan")          # the stages of solver.py, whose generator config.G describes
FEWEST_PIXELS = 4                     # side of what D sees: it halves the size at least twice
VGG19_CONVOLUTIONS = (2, 2, 4, 4, 4)  # before each of its five max-pools, as in models.VGG19_LAYERS


def setting_name(config, stage, key):
    """How a setting of a stage is written: "config.lr", or "config.pretrain.lr" where the stage has its own."""
    return f"config.{stage}.{key}" if key in config.get(stage, {}) else f"config.{key}"


def check_settings(config, stages=None):
    """Check that the settings of a run fit together.

    Args:
        stages: names of the stages that are to run (default: all of the configuration that have epochs).

    Raises:
        BadSetting: if they do not; a sentence for each fault, with what to change.
    """
    stages = stages or [stage for stage in config.get("stages", CORE) if stage_config(config, stage).epochs]
    faults = []
    for stage in stages:
        settings = stage_config(config, stage)

        def name(key, stage=stage):
            return setting_name(config, stage, key)
        found = [*any_stage(stage, settings, name)]
        if stage in CORE:
            found += generator_faults(stage, settings, name)
        if stage == "srgan":
            found += srgan_faults(settings)
        faults += [fault for fault in found if fault not in faults]
    if faults:
        raise BadSetting("\n".join(faults))


# Each gives sentences; settings: those of the stage, name: function key -> how the setting is written.

def any_stage(stage, settings, name):
    crop, scale = settings.crop_size, settings.scaling_factor
    if crop % scale:
        near = " or ".join(str(n) for n in (crop // scale * scale, -(-crop // scale) * scale) if n)
        yield (f"{name('crop_size')} = {crop} is not divisible by {name('scaling_factor')} = {scale}, so that it "
               f"covers no whole number of LR pixels; {near} would.")
    if not settings.start_epoch < settings.epochs:
        yield (f"{name('start_epoch')} is {settings.start_epoch}, but the stage {stage!r} has the epochs 0 to "
               f"{settings.epochs - 1}; it is 0 unless you want to leave epochs out.")


def generator_faults(stage, settings, name):
    scale = settings.scaling_factor
    if scale not in (2, 4, 8):
        yield f"{name('scaling_factor')} cannot be {scale} here: the generator doubles the size, so it is 2, 4 or 8."
    ### BEGIN SOLUTION
    if settings.start == "interpolation" and (settings.G.n_channels < 3 or min(
            settings.G.large_kernel_size, settings.G.small_kernel_size) < 3):
        yield (f"{name('start')} = 'interpolation' needs a generator of at least 3 channels, for red, green and blue, "
               "and kernels of at least 3; raise them in config.G, or set config.start = 'random'.")
    ### END SOLUTION
    if settings.batch_size == 1 and settings.crop_size <= scale:
        yield one_pixel(name, settings.crop_size, scale)


def srgan_faults(settings):
    seen = settings.crop_size - settings.d_shift
    if seen < FEWEST_PIXELS:
        yield (f"config.d_shift = {settings.d_shift} leaves the discriminator {max(seen, 0)} of the "
               f"{settings.crop_size} pixels of config.crop_size; at least {FEWEST_PIXELS} must be left.")
        return
    halvings = settings.D.n_blocks // 2
    ### BEGIN SOLUTION
    if settings.discriminator == "patch":
        halvings = 2
    ### END SOLUTION
    if settings.batch_size == 1 and seen <= 2**halvings:
        yield one_pixel("config.{}".format, seen, 2**halvings)
    if settings.content_loss != "mse":
        yield from feature_faults(settings, seen)


def feature_faults(settings, seen):
    """seen: side in pixels of what the discriminator sees."""
    i, j, weights = settings.vgg19_i, settings.vgg19_j, settings.vgg19_weights
    network, layers = ("VGG16", CONVOLUTIONS) if weights == "vgg16" else ("VGG19", VGG19_CONVOLUTIONS)
    if j > layers[i - 1]:
        yield (f"config.vgg19_i, config.vgg19_j = {i}, {j} is no layer of {network}: before its max-pool {i} there are "
               f"{layers[i - 1]} convolutions.")
    if weights not in ("imagenet", "vgg16", "random") and not Path(weights).is_file():
        yield (f"config.vgg19_weights = {str(weights)!r} is neither 'imagenet', 'vgg16' or 'random' nor a file that is "
               "there.")
    side = settings.crop_size
    ### BEGIN SOLUTION
    if settings.content_loss == "perceptual":
        side = seen                                              # it compares what D sees
        if settings.crop_size < 4 * settings.scaling_factor:     # solver.grid_loss: windows of 4 x 4 squares
            yield ("config.content_loss = 'perceptual' needs patches of at least "
                   f"{4 * settings.scaling_factor} pixels, and config.crop_size is {settings.crop_size}.")
    ### END SOLUTION
    if network == "VGG19" and side < 2**(i - 1):                 # VGG16's pools round up
        yield (f"config.vgg19_i = {i} halves the size {i - 1} times, so it needs patches of at least {2**(i - 1)} "
               f"pixels, not {side}; raise config.crop_size, or lower config.vgg19_i.")


def one_pixel(name, side, factor):
    return (f"{name('batch_size')} = 1 is too few for patches of {side} pixels: downscaled {factor} times, one patch "
            "is a single pixel, of which BatchNorm has no variance; set it to 2 or more, or raise "
            f"{name('crop_size')}.")

"""The presets: every number of a run, with its source.

``get_config("demo")`` gives an EasyDict; change it with plain ``config.lr = 2e-4``.  A setting that does not exist
is an error, and so is a value that it does not take; add one of your own with ``config.add(my_weight=0.1)``.
What each setting takes and means, in a table: docs/settings.md.
"Paper" is Ledig et al. 2017 (arXiv 1609.04802), section 3.2 unless another one is named.
"""

from pathlib import Path

import torch

from support.run import (  # noqa: F401  handed on: the notebooks take them from here
    has_trained,
    learning_rate,
    plain,
    run_folder,
    save_config,
    stage_config,
)
from support.setting_descriptions import SETTINGS
from support.setting_rules import check_settings  # noqa: F401  handed on too
from support.settings import Settings

### BEGIN SOLUTION
SHIPPED_RUN = "shipped"     # the run whose folder keeps the images that the kit's own weights make
### END SOLUTION
TEST_SETS = ["Set5", "Set14", "B100", "Urban100", "valid"]      # "valid" is DIV2K's validation set

# PSNR (Y, dB) and SSIM at x4.  The SSIM of the SRGAN paper comes from another tool and is not comparable.
# "grey": how Set14's grey image "bridge" was measured, see metrics.psnr; "colour" gives 0.09 dB more on Set14.
PUBLISHED = {
    "bicubic": {"grey": "values", "Set5": (28.42, 0.8104), "Set14": (26.00, 0.7027), "B100": (25.96, 0.6675),
                "Urban100": (23.14, 0.6577)},
    "VDSR (trained on the 291 images)": {"grey": "values", "Set5": (31.35, 0.8838), "Set14": (28.01, 0.7674),
                                         "B100": (27.29, 0.7251), "Urban100": (25.18, 0.7524)},
    "SRResNet (paper)": {"grey": "values", "Set5": (32.05, 0.9019), "Set14": (28.49, 0.8184),
                         "B100": (27.58, 0.7620)},
    "EDSR-baseline": {"grey": "colour", "Set5": (32.09, 0.8938), "Set14": (28.58, 0.7813), "B100": (27.57, 0.7357),
                      "Urban100": (26.04, 0.7849)},
    ### BEGIN SOLUTION
    "A2N": {"grey": "colour", "Set5": (32.269, 0.8959), "Set14": (28.750, 0.7868)},       # its tutorial's
    ### END SOLUTION
    "SRGAN-MSE (paper)": {"grey": "values", "Set5": (30.64, 0.8701), "Set14": (26.92, 0.7611)},
    "SRGAN-VGG54 (paper)": {"grey": "values", "Set5": (29.40, 0.8472), "Set14": (26.02, 0.7397),
                            "B100": (25.16, 0.6688)},
}

# What the presets share.  The keys are those of the course's handout; those of the top
# level belong to the SRGAN stage, and ``pretrain`` holds what differs in pre-training.
COMMON = dict(
    scaling_factor=4,
    HR_data_folder=None,        # None: paths in the lists are relative to the lists' own folder
    LR_data_folder=None,
    crop_size=96,               # paper: HR crops of 96 x 96
    patch_num=100,              # patches of each image per epoch (course handout)
    batch_size=16,              # paper
    workers=0,                  # the image store cuts patches faster than a CPU can train on them
    G=dict(large_kernel_size=9, small_kernel_size=3, n_channels=64, n_blocks=16),      # paper, figure 4
    D=dict(kernel_size=3, n_channels=64, n_blocks=8, fc_size=1024),                    # paper, figure 4
    ### BEGIN SOLUTION
    discriminator="srgan",      # the paper's, or "patch": models.PatchDiscriminator, which takes only D.n_channels
    start="interpolation",      # Generator.start_as_interpolation(), or "random"
    ### END SOLUTION
    checkpoint=None,            # weights to start from, such as a checkpoint of an earlier run (load_generator's path)
    start_epoch=0,
    epochs=40,                  # 0: this stage is skipped
    updates_per_epoch=None,     # at most this many updates per epoch; None: every patch once
    lr=1e-4,                    # paper
    lr_d=None,                  # the discriminator's; None: the same as the generator's
    lr_schedule="steps",        # "steps": times lr_factor at each milestone; "cosine": down to 0
    lr_factor=0.1,              # paper
    lr_milestones=[0.5],        # as fractions of the stage's updates
    warmup=0,                   # updates in which the learning rate rises from 0
    ### BEGIN SOLUTION
    content_loss="vgg",         # "vgg" (equation 5), "mse" (equation 4) or "perceptual" (solver.PerceptualLoss)
    pixel_weight=0.25,          # the three terms of "perceptual"
    feature_weight=0.01,
    grid_weight=0.02,
    ### REPLACED BY
    # content_loss="vgg",         # "vgg" (equation 5) or "mse" (equation 4)
    ### END SOLUTION
    freeze_tail=False,          # True: SRGAN does not train the generator's upsampling and last layers; the paper does
    vgg19_i=5, vgg19_j=4,       # VGG 5,4, the paper's sharpest
    vgg19_weights="imagenet",   # or "vgg16": a smaller learned network, see support/vgg16.py; "random"; a file
    feature_scale=1.0,          # the course's formula; the paper's 1 / 12.75 divides this loss by 163
    beta=1e-3,                  # paper, equation 3
    d_shift=0,                  # D sees windows of the crops this many pixels smaller, at a random place; the paper: 0
    averaging=0.999,            # decay of the averaged generator weights (0: no averaging)
    amp="auto",                 # mixed precision on CUDA, see Precision in support/precision.py
    channels_last=True,
    compile=False,              # torch.compile: a minute at the start, faster updates on CUDA
    on_trouble="continue",      # exploding gradients, a discriminator that has won: "continue" with a notice, or "stop"
    exploding_gradient=100,     # a gradient norm this many times the usual one
    d_has_won_loss=0.01, d_has_won_updates=200,     # the discriminator's loss below this for so many updates
    print_freq=50,              # updates between two readings of the losses
    checkpoint_every=500,       # updates between two checkpoints inside an epoch
    sample_every=500,           # updates between two pictures of a validation square inside an epoch (0: none)
    tracker=None,               # "tensorboard" or "wandb" (or a list of both), see support/trackers.py
    keep_every=1,               # keep the generator's weights of every n-th epoch (0: never)
    n_valid=10,                 # images of "valid" that are measured after each epoch
    test_sets=TEST_SETS,
    measures=["niqe", "vgg16", "texture", "grid"],      # beside PSNR and SSIM, see support/measures.py; also "lpips"
)

PRESETS = {
    # Small networks on small patches: the whole course in a few minutes on two CPU cores.
    "demo": dict(
        crop_size=48, patch_num=300,
        G=dict(large_kernel_size=9, small_kernel_size=3, n_channels=24, n_blocks=4),
        D=dict(kernel_size=3, n_channels=24, n_blocks=6, fc_size=64),
        ### BEGIN SOLUTION
        pretrain=dict(epochs=4, updates_per_epoch=None, batch_size=16, lr=2e-3, warmup=20, averaging=0.99),
        ### REPLACED BY
        # # Pre-training is yours to design.  It begins at random: what follows for SRGAN would be too slow for it.
        # pretrain=dict(epochs=0, updates_per_epoch=None, batch_size=8, lr=4e-3, warmup=100, averaging=0.99),
        ### END SOLUTION
        epochs=3, lr_schedule="cosine", averaging=0.97, print_freq=20, checkpoint_every=100,
        ### BEGIN SOLUTION
        # A minute of SRGAN on eleven images: the layers that upscale are frozen, or the images end in dots.
        updates_per_epoch=100, batch_size=8, lr=3e-4, lr_d=6e-4, beta=2.5e-3, d_shift=8, freeze_tail=True,
        content_loss="perceptual", vgg19_i=5, vgg19_j=3, vgg19_weights="vgg16",
        feature_weight=0.03, grid_weight=0.04, discriminator="patch",
        ### REPLACED BY
        # updates_per_epoch=85, lr=1e-4, lr_d=3e-4, vgg19_i=2, vgg19_j=2, vgg19_weights="vgg16",
        ### END SOLUTION
        test_sets=["demo", *TEST_SETS]),

    ### BEGIN SOLUTION
    # No GPU: both stages within 90 minutes of processor time (half an hour by the clock on two
    # cores), so an epoch is cut short.  A larger discriminator, or longer SRGAN training, ends in a grid.
    ### REPLACED BY
    # # No GPU: an epoch is cut short.  A larger discriminator, or longer SRGAN training, ends in a grid.
    ### END SOLUTION
    "laptop": dict(
        crop_size=64,
        G=dict(large_kernel_size=9, small_kernel_size=3, n_channels=32, n_blocks=8),
        D=dict(kernel_size=3, n_channels=32, n_blocks=6, fc_size=128),
        ### BEGIN SOLUTION
        pretrain=dict(epochs=18, updates_per_epoch=500, lr=1e-3, lr_schedule="cosine", warmup=100),
        ### REPLACED BY
        # pretrain=dict(epochs=0, updates_per_epoch=500, lr=1e-3),      # yours to design
        ### END SOLUTION
        epochs=2, updates_per_epoch=300, lr=5e-5, lr_d=1e-4, lr_schedule="cosine",
        content_loss="mse", n_valid=3),

    # Full size, one evening on one ordinary GPU.  With DIV2K's 800 images an epoch is 5,000 updates.
    ### BEGIN SOLUTION
    # Arithmetic, in floating-point operations, for 16 crops of 96 x 96, forward and backward:
    #   pre-training   G 7.7 x 16                              = 0.12 TFLOP an update, 100,000 updates
    #   SRGAN          (G 7.7 + D 13.0 + VGG 21.6) x 16        = 0.68 TFLOP an update,  50,000 updates
    # together 46,000 TFLOP: 1.6 hours at 8 TFLOP/s really reached, 3.2 hours at 4.
    ### END SOLUTION
    "course": dict(
        workers=2,
        ### BEGIN SOLUTION
        pretrain=dict(epochs=20, lr=4e-4, lr_schedule="cosine", warmup=500),
        ### REPLACED BY
        # pretrain=dict(epochs=0, lr=1e-4, lr_milestones=[]),      # yours to design; these two are the paper's
        ### END SOLUTION
        ### BEGIN SOLUTION
        # The recipe of srgan-x4 (weights/srgan-x4.md), which was measured with VGG16's features, not yet with VGG19's.
        # With beta 3e-3 and feature_weight 0.1 Set5 fell to 29.7 dB instead of 30.9.
        content_loss="perceptual", pixel_weight=1, feature_weight=0.2, grid_weight=0.1, beta=2e-3,
        discriminator="patch", d_shift=8,
        freeze_tail=True, warmup=100,       # D's first steps are the loudest
        ### END SOLUTION
        epochs=10, lr_milestones=[0.5]),

    # As published (with DIV2K's 800 images): 10^6 updates of pre-training, then 10^5 at 1e-4 and 10^5 at 1e-5.
    "paper": dict(
        workers=2, averaging=0, feature_scale=1 / 12.75,
        ### BEGIN SOLUTION
        start="random",
        pretrain=dict(epochs=200, lr_milestones=[]),
        ### REPLACED BY
        # pretrain=dict(epochs=0, lr=1e-4, lr_milestones=[]),      # yours to design; these two are the paper's
        ### END SOLUTION
        epochs=40, lr_milestones=[0.5]),
}


def get_config(preset="course", data_folder="data", name=None, seed=0):
    """The configuration of a run.

    Args:
        preset: "demo", "laptop", "course" or "paper".
        data_folder: where the lists are (config.csv_folder).
        name: of the run, kept in runs/<name>/ (default: the preset's).
        seed: of everything random.

    Returns:
        Settings: an EasyDict in which an unknown setting is an error (UnknownSetting), and a value that a setting does
        not take (BadSetting).

    Raises:
        ValueError: for an unknown preset, a name that is a path, or another seed than a whole number (BadSetting).
    """
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    name = name or preset
    if Path(name).name != name or name == "..":
        raise ValueError(f"The run's name becomes a folder in runs/: {name!r} is a path.")
    config = Settings({"pretrain": {}, **COMMON, **PRESETS[preset]})
    config.add(preset=preset, name=name, seed=seed, csv_folder=str(data_folder),
               device="cuda" if torch.cuda.is_available() else "cpu")
    # "store" has no value here: its default depends on csv_folder.  Pre-training may have its own value of any setting.
    config.close(SETTINGS)
    return config

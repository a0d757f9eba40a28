"""SRDiff: single image super-resolution with diffusion models (Li et al. 2021, arXiv 2104.14951).

It does not sample the image, but what interpolation misses: the residual 2 (HR - up(LR)).  An
encoder that has learnt super-resolution by itself tells the U-Net what is in LR.  Images inside
are in [-1, 1].

Two stages: ``python -m extensions srdiff`` trains the encoder ("srdiff_encoder"); then, with
the encoder frozen, the U-Net ("srdiff").  The networks are in srdiff_networks.py; what a trained
model can do besides upscaling is in srdiff_sampling.py.
"""

import torch
from torch import nn
from torch.nn import functional

from extensions.diffusion import Diffusion, cosine_betas, randn
from extensions.interpolation import bicubic
from extensions.srdiff_networks import Block, Encoder, UNet  # noqa: F401  the benchmark exchanges the Block
from extensions.srdiff_sampling import Tiles
from inference import load_generator, weights_to_show
from support.checkpoints import CheckpointError, register_method
from support.convert import convert_image
from support.run import run_folder


@register_method("srdiff", "SRDiff", "tab:red")
class SRDiff(nn.Module):
    """(N, 3, h, w) in [0, 1] -> (N, 3, s h, s w) in [-1, 1], sampled at random from the images that fit LR.

    ``seed``, ``n_steps`` and ``ddim`` are attributes that may be changed at any time; the result is a
    function of them and of LR.

    Args:
        encoder: dict, the arguments of Encoder.
        n_channels, multipliers: of the U-Net.
        scaling_factor: 4 or 8.
        n_train_steps: T, of the cosine schedule (100 in the paper).
        n_steps: of sampling (None: all T).
        ddim: sample without new noise.
    """

    def __init__(self, encoder=None, n_channels=64, multipliers=(1, 2, 3, 4), scaling_factor=4, n_train_steps=100,
                 n_steps=None, ddim=False):
        super().__init__()
        encoder = dict(encoder or {})
        self.settings = dict(encoder=encoder, n_channels=n_channels, multipliers=list(multipliers),
                             scaling_factor=scaling_factor, n_train_steps=n_train_steps, n_steps=n_steps, ddim=ddim)
        self.scaling_factor, self.n_steps, self.ddim, self.seed = scaling_factor, n_steps, ddim, 0
        self.memory = 2**31               # bytes for feature maps in sampling; larger images are processed tile by tile
        self.diffusion = Diffusion(cosine_betas(n_train_steps))
        self.encoder = Encoder(**encoder, scaling_factor=scaling_factor).requires_grad_(False)
        self.unet = UNet(n_channels, multipliers, self.encoder.n_condition(), scaling_factor)

    # ---- residuals

    def enlarged(self, lr):
        """up(LR): (N, 3, h, w) in [0, 1] -> (N, 3, s h, s w), about [-1, 1]."""
        # The bicubic kernel of our imresize, which is also the authors'; the same in training and in sampling.
        return convert_image(bicubic(lr, self.scaling_factor), "[0, 1]", "[-1, 1]")

    @staticmethod
    def residual_of(hr, up):
        """x0 = clamp(2 (HR - up(LR)), -1, 1): doubled, as residuals are small compared with noise of variance 1."""
        return (2 * (hr - up)).clamp(-1, 1)

    @staticmethod
    def picture_of(residual, up):
        """The image that has this residual."""
        return residual.clamp(-1, 1) / 2 + up

    # ---- training

    def loss(self, lr, hr):
        """E |noise - U-Net(x_t, features(LR), t)|, t and noise drawn again each time (the paper's algorithm 1).

        Args:
            lr: (N, 3, h, w) in [0, 1].
            hr: (N, 3, s h, s w) in [-1, 1]; s h and s w divisible by ``unet.cell``.
        """
        residual = self.residual_of(hr, self.enlarged(lr))
        with torch.no_grad():
            _, features = self.encoder.features(lr)
        t = torch.randint(self.diffusion.n_steps, (len(lr),))              # one for each image
        # Not randn_like: it fills memory in storage order, so that channels_last would get other noise from one seed.
        noise = torch.randn(residual.shape, device=residual.device)
        x = self.diffusion.add_noise(residual, t, noise)
        predicted = self.unet(x, features, t.to(x.device))
        return functional.l1_loss(predicted.float(), noise)

    # ---- sampling

    def forward(self, lr):
        return self.sample(lr)

    @torch.inference_mode()
    def sample(self, lr, x=None, start=None, on_step=None):
        """Sample an image, step by step from noise (the paper's algorithm 2).

        Images of any size: if ``memory`` is too little for the whole, the U-Net sees tiles in each
        step, with a margin as wide as its receptive field.  Noise is drawn for the whole image, so
        there are no seams.

        Args:
            lr: (N, 3, h, w) in [0, 1].
            x: residual with noise that sampling begins with, (N, 3, s h, s w) (default: pure noise).
            start: the step whose noise ``x`` has, from 0 (default: the last).
            on_step: function (step number, image that the U-Net now expects, x), called after each step.

        Returns:
            (N, 3, s h, s w) in [-1, 1] and a little beyond.
        """
        height, width = (self.scaling_factor * length for length in lr.shape[-2:])
        up, tiles = self.enlarged(lr), Tiles(self, lr)
        generator = torch.Generator().manual_seed(self.seed)
        # The tiles need divisible sides; the pixels beyond the image begin as noise and are cut off.
        blank = up.new_zeros(*up.shape[:2], *tiles.size)
        noisiest = torch.full((len(lr),), self.diffusion.n_steps - 1 if start is None else start)
        canvas = self.diffusion.add_noise(blank, noisiest, randn(blank, generator))
        if x is not None:
            canvas[..., :height, :width] = x

        def in_images(number, x0, x):
            on_step(number, self.picture_of(x0[..., :height, :width], up), x[..., :height, :width])

        residual = self.diffusion.sample(tiles.noise, canvas, generator, self.n_steps, self.ddim, start=start,
                                         on_step=on_step and in_images)
        return self.picture_of(residual[..., :height, :width], up)


# ---------------------------------------------------------------- training

# "Code" is the authors' public configuration for DIV2K + Flickr2K x4.  They also clip gradients longer than 10, which
# the kit does not do.
PRESETS = {
    # To see every line run, in seconds.
    "demo": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, crop_size=32, patch_num=40, batch_size=4, n_valid=1,
                 averaging=0.9, lr_schedule="cosine",
                 SRDiff=dict(encoder=dict(n_channels=8, n_blocks=2), n_channels=12, multipliers=(1, 2), n_steps=4,
                             ddim=True),
                 srdiff_encoder=dict(epochs=2, updates_per_epoch=10, lr=1e-3),
                 srdiff=dict(epochs=2, updates_per_epoch=10, lr=1e-3)),

    # Two CPU cores, ten minutes for both stages.  Patches of 48 pixels: in smaller ones the zeros around LR reach
    # every feature of the encoder, and the U-Net learns features that whole images do not have.
    "small": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, crop_size=48, n_valid=3, averaging=0.99,
                  lr_schedule="cosine", warmup=50,
                  SRDiff=dict(encoder=dict(n_channels=16, n_blocks=2), n_channels=24, multipliers=(1, 2, 2),
                              n_steps=10),
                  srdiff_encoder=dict(batch_size=16, epochs=2, updates_per_epoch=600, lr=2e-3),
                  srdiff=dict(batch_size=8, epochs=4, updates_per_epoch=500, lr=1e-3)),

    # Code, for a GPU: 13,234,022 parameters; 100,000 and 400,000 updates (with 800 images or more).
    "full": dict(stages=["srdiff_encoder", "srdiff"], encoder=None, workers=2, start="random",
                 crop_size=160,           # code: patch_size
                 batch_size=64,           # code
                 n_valid=2,               # 100 steps for a 2K image take long
                 keep_every=20,           # 53 MB each
                 averaging=0,             # code: no averaged weights
                 SRDiff=dict(encoder=dict(n_channels=32, n_blocks=8), n_channels=64, multipliers=(1, 2, 3, 4)),
                 srdiff_encoder=dict(epochs=100, updates_per_epoch=1000, lr=2e-4, lr_milestones=[]),
                 srdiff=dict(epochs=400, updates_per_epoch=1000, lr=2e-4, lr_milestones=[0.5], lr_factor=0.5)),
}
# With the larger encoder, 17 blocks of 64 channels (code): 25,316,358 parameters together.
PRESETS["large"] = {**PRESETS["full"], "SRDiff": {**PRESETS["full"]["SRDiff"], "encoder": dict(n_channels=64,
                                                                                              n_blocks=17)}}


def build(config, stage):
    """The network of a stage: "srdiff_encoder" with fresh weights, "srdiff" with a trained encoder.

    Fresh weights are random, or with ``config.start = "interpolation"`` those of start_as_interpolation.
    The encoder is ``config.encoder``, a file or a name in weights/; by default this run's
    srdiff_encoder_best.pth.

    Raises:
        CheckpointError: if there is none, or it is not of this size.
    """
    settings = {**config.SRDiff, "scaling_factor": config.scaling_factor}
    if stage == "srdiff_encoder":
        encoder = Encoder(**settings["encoder"], scaling_factor=config.scaling_factor)
        return encoder.start_as_interpolation() if config.start == "interpolation" else encoder
    path = config.encoder or run_folder(config) / "checkpoints" / "srdiff_encoder_best.pth"
    try:
        trained = load_generator(path)
    except CheckpointError as error:
        raise CheckpointError(f"SRDiff's U-Net is trained on the features of a trained encoder. {error} Train the "
                              "stage srdiff_encoder first (it is the first of config.stages), or set config.encoder "
                              "to a file that holds one.") from error
    trained = getattr(trained, "encoder", trained)                    # a whole SRDiff has one too
    network = SRDiff(**settings)
    if getattr(trained, "settings", None) != network.encoder.settings:
        raise CheckpointError(f"{path} holds {type(trained).__name__} with {getattr(trained, 'settings', {})}, but the "
                              f"configuration needs an encoder with {network.encoder.settings}. Change "
                              "config.SRDiff.encoder, or set config.encoder to another file.")
    network.encoder.load_state_dict(trained.state_dict())
    if config.start == "interpolation":
        network.unet.start_as_interpolation()
    return network


SHIPPED = "srdiff-small-x4"        # in weights/


def model_to_show(config):
    """The SRDiff that the notebook shows: the run's own, or the kit's if nothing has been trained.

    Returns:
        (model, note, run): in eval mode on config.device; and as ``inference.generators_of``.

    Raises:
        CheckpointError: if the run has trained something, but no SRDiff, or the file is damaged.
    """
    own = run_folder(config) / "checkpoints" / "srdiff_best.pth"
    weights, note, run = weights_to_show(config, {"srdiff": own}, {"srdiff": SHIPPED})
    model = load_generator(weights["srdiff"])
    return model.to(config.device, memory_format=torch.channels_last), note, run

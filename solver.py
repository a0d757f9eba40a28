"""Training: the losses, one epoch of pre-training, one epoch of SRGAN, and the fit loops.

Equations are those of Ledig et al. 2017 (arXiv 1609.04802).  All images of a batch are
(N, 3, H, W); SR and HR are compared in [-1, 1].
"""

import torch

from support.convert import convert_image
from support.enlarging import evaluate, mean_of, super_resolve  # noqa: F401  for the notebooks: solver.super_resolve
from support.networks import upsampling_and_last
from support.run import EpochProgress, stage_config
from support.stage import Stage

### BEGIN SOLUTION
from support.vgg16 import distance
### REPLACED BY
# from support.messages import NotWritten
### END SOLUTION

# ---------------------------------------------------------------- one epoch

def pretrain(train_loader, generator, content_loss_criterion, optimizer_g, epoch, device, print_freq, *, progress=None):
    """One epoch of pre-training: the generator alone, by the pixel loss (section 3.2, equation 4).

    Args:
        train_loader: gives (lr, hr) in [0, 1].
        generator: takes LR in [0, 1], gives SR in [-1, 1].
        content_loss_criterion: nn.MSELoss() in the paper.
        optimizer_g: of the generator's parameters.
        epoch: its number, from 0; it chooses the patches.
        device: where the networks are.
        print_freq: updates between two readings of the losses.
        progress: what surrounds the updates (EpochProgress): precision, a resumed epoch, checkpoints; None: float32,
            the whole epoch, no checkpoints.

    Returns:
        dict of AverageMeter: "content".

    Raises:
        TrainingDiverged: if the loss is no longer finite.
    """
    progress = progress or EpochProgress(device)
    meters = progress.meters_of("content")
    generator.train()
    for lr, hr in progress.batches(train_loader, "pretrain", epoch, print_freq):
        hr = convert_image(hr, "[0, 1]", "[-1, 1]")               # lr (N, 3, h, w), hr (N, 3, s h, s w)

        ### BEGIN SOLUTION
        # l_MSE = 1/(s^2 W H) sum (HR - G(LR))^2                                     (equation 4)
        with progress.precision.autocast():
            sr = generator(lr)
        loss = content_loss_criterion(sr.float(), hr)
        progress.step("generator", loss, optimizer_g)

        meters["content"].update(loss, len(lr))
        ### REPLACED BY
        # # Pre-training is yours to design: one update of the generator by the pixel loss (equation 4).
        # # meters["content"].update(loss, len(lr)) keeps the mean for the log.
        # raise NotWritten("solver.pretrain is yours to write: one update of the generator by the pixel loss")
        ### END SOLUTION
    return meters


def train(train_loader, generator, discriminator, truncated_vgg19, content_loss_criterion,
          adversarial_loss_criterion, optimizer_g, optimizer_d, epoch, device, beta, print_freq, *, progress=None):
    """One epoch of SRGAN: a generator update and a discriminator update for each batch (section 2.2).

    Generator:      L_G = L_X + beta * (-log D(G(lr)))                               (equations 3, 6)
    Discriminator:  L_D = -log D(hr) - log(1 - D(G(lr)))                             (equation 2)

    Args:
        truncated_vgg19: L_X is then the distance of its feature maps (equation 5);
            None: the distance of the pixels in [-1, 1] (SRGAN-MSE, equation 4).
        content_loss_criterion: nn.MSELoss() in the paper.
        adversarial_loss_criterion: nn.BCEWithLogitsLoss(): -log D where the target is 1.
        beta: weight of the adversarial loss, 1e-3 in the paper.
        The others are those of ``pretrain``.

    Returns:
        dict of AverageMeter: "content" and "adversarial" (as they enter L_G, so already
        multiplied by beta), "discriminator" (L_D), "d_real" and "d_sr" (mean probability "real"
        that D gives to HR and to SR).

    Raises:
        TrainingDiverged: if a loss is no longer finite.
    """
    progress = progress or EpochProgress(device)
    names = ("content", "adversarial", "discriminator", "d_real", "d_sr")
    meters = progress.meters_of(*names)
    generator.train()
    discriminator.train()
    for lr, hr in progress.batches(train_loader, "srgan", epoch, print_freq):
        hr = convert_image(hr, "[0, 1]", "[-1, 1]")               # lr (N, 3, h, w), hr (N, 3, s h, s w)

        ### BEGIN SOLUTION
        seen = random_window(hr, progress.d_shift)                # the part of HR and SR that D sees

        # ---- Generator
        with progress.precision.autocast():
            sr = generator(lr)                                    # (N, 3, s h, s w)
            fake = discriminator(sr[seen])                        # (N, 1) logits
            compared = (sr, hr) if truncated_vgg19 is None else features_of(sr, hr, truncated_vgg19)
        content = content_loss_criterion(*(x.float() for x in compared))
        # The generator's aim is that D calls SR real: target 1.
        fake = fake.float()
        adversarial = beta * adversarial_loss_criterion(fake, torch.ones_like(fake))
        # D is still the same in the second half, so its logits of SR serve both losses: the graph is kept.
        progress.step("generator", content + adversarial, optimizer_g, keep_graph=True)

        # ---- Discriminator.  HR is a batch of its own: BatchNorm over HR and SR mixed would tell D which is which.
        with progress.precision.autocast():
            real = discriminator(hr[seen]).float()
        loss_d = (adversarial_loss_criterion(real, torch.ones_like(real))
                  + adversarial_loss_criterion(fake, torch.zeros_like(fake)))
        progress.step("discriminator", loss_d, optimizer_d)
        progress.monitor.discriminator(loss_d)

        values = (content, adversarial, loss_d, real.detach().sigmoid().mean(), fake.detach().sigmoid().mean())
        for name, value in zip(names, values):
            meters[name].update(value, len(lr))
        ### REPLACED BY
        # # This works, and its results are poor: the generator starts from random weights and has to convince a
        # # discriminator before it can draw anything. Make it better (section 3.2).
        # # The settings amp, on_trouble and d_shift have an effect once your code uses progress.precision.autocast(),
        # # progress.step(name, loss, optimizer) instead of zero_grad, backward and step, and progress.d_shift.
        # # ---- Generator
        # sr = generator(lr)                                        # (N, 3, s h, s w) in [-1, 1]
        # if truncated_vgg19 is None:
        #     content = content_loss_criterion(sr, hr)
        # else:
        #     content = content_loss_criterion(truncated_vgg19((sr + 1) / 2), truncated_vgg19((hr + 1) / 2).detach())
        # judged = discriminator(sr)                                # (N, 1) logits
        # adversarial = beta * adversarial_loss_criterion(judged, torch.ones_like(judged))
        # optimizer_g.zero_grad()
        # (content + adversarial).backward()
        # optimizer_g.step()
        #
        # # ---- Discriminator
        # real, judged = discriminator(hr), discriminator(sr.detach())
        # loss_d = (adversarial_loss_criterion(real, torch.ones_like(real))
        #           + adversarial_loss_criterion(judged, torch.zeros_like(judged)))
        # optimizer_d.zero_grad()
        # loss_d.backward()
        # optimizer_d.step()
        #
        # for name, value in zip(names, (content, adversarial, loss_d, real.sigmoid().mean(), judged.sigmoid().mean())):
        #     meters[name].update(value, len(lr))
        ### END SOLUTION
    return meters


### BEGIN SOLUTION
def features_of(sr, hr, truncated_vgg19):
    """VGG's feature maps of SR and of HR (equation 5): images (N, 3, H, W) in [-1, 1] -> two tensors (N, C, H', W')."""
    with torch.no_grad():                                         # a target needs no graph
        target = truncated_vgg19(convert_image(hr, "[-1, 1]", "[0, 1]"))
    return truncated_vgg19(convert_image(sr, "[-1, 1]", "[0, 1]")), target


def random_window(images, shift):
    """The index of a window at a random place in images (N, C, H, W), ``shift`` pixels smaller than they are.

    Sub-pixel convolution writes squares of s x s pixels, and D's strides are in step with them: D can recognise a
    pixel by its place in the square, and so teaches the generator a grid.  At random places the grid is fainter and
    appears later; long training on few images still ends in one.  A ``shift`` of 0 gives the whole images.
    """
    top, left = torch.randint(shift + 1, (2,)).tolist() if shift else (0, 0)
    return ..., slice(top, top + images.shape[2] - shift), slice(left, left + images.shape[3] - shift)


class PerceptualLoss(torch.nn.Module):
    """A content loss closer to what people see than equation 5: pixels, learned features, and no grid.

        L_X = pixel_weight * MSE + feature_weight * distance of features + grid_weight * grid loss

    The features are those of all five stages of a learned VGG, each place's divided by their length: edges and
    textures of every size count, however strongly the network answers to them.

    Args:
        vgg: a TruncatedVGG19 (i, j = 5, 4) or a TruncatedVGG16 (5, 3); its ``stages`` are taken.
        config: pixel_weight, feature_weight, grid_weight, d_shift and scaling_factor are read.
        precision: a support.precision.Precision.
    """

    def __init__(self, vgg, config, precision):
        super().__init__()
        self.vgg, self.config, self.precision = vgg, config, precision

    def forward(self, sr, hr):
        """SR and HR (N, 3, H, W) in [-1, 1] -> the loss, a scalar."""
        # VGG halves the size four times, in step with the squares of sub-pixel convolution, as D does.
        seen = random_window(hr, self.config.d_shift)
        with self.precision.autocast():
            features = features_of(sr[seen], hr[seen], self.vgg.stages)
        return (self.config.pixel_weight * torch.nn.functional.mse_loss(sr, hr)
                + self.config.feature_weight * distance(*features)
                + self.config.grid_weight * grid_loss(sr, hr, self.config.scaling_factor))


def grid_loss(sr, hr, scale, n=4):
    """How much of the error repeats in step with the squares of sub-pixel convolution, 0 to 1, a scalar.

    The easiest way to look less smooth is to draw one pattern into every square of scale x scale pixels.  In windows of
    n x n squares: the variance of the mean errors at the scale x scale positions, as a share of the errors' variance.
    It is 1 for a pure grid, whatever its strength, and about 1 / n^2 for an error without any order, of a
    texture too: a share cannot be lowered by making everything weaker, as the energy of the pattern itself could.

    Args:
        sr, hr: (N, 3, H, W) in [-1, 1].

    Raises:
        ValueError: if not even one window fits.
    """
    channels, h, w = sr.shape[1:]
    tops, lefts = h // (n * scale), w // (n * scale)
    if not tops * lefts:
        raise ValueError(f"grid_loss needs crops of at least {n * scale} pixels, not {h} x {w}; raise crop_size.")
    errors = (sr - hr)[..., :tops * n * scale, :lefts * n * scale]
    errors = errors.reshape(-1, channels, tops, n, scale, lefts, n, scale)
    means = errors.mean((3, 6))                                                    # (N, 3, tops, s, lefts, s)
    pattern = means.var(dim=(3, 5), correction=0)                                  # (N, 3, tops, lefts)
    # Not as a share of the mean squared error: that can be lowered by a wrong brightness.
    # And an error of half a grey level, 1 / 255, is invisible and must not count as much as a strong one.
    return (pattern / (errors.var((3, 4, 6, 7), correction=0) + (1 / 255) ** 2)).mean()
### END SOLUTION


# ---------------------------------------------------------------- the fit loops

def fit_pretrain(config, generator, train_loader, valid_set, monitor=None):
    """Pre-train the generator as ``config.pretrain`` says; resumes where a stopped run was.

    Leaves ``checkpoints/pretrain_{last,best}.pth`` in the run folder.  With
    ``config.pretrain.epochs = 0`` there is no pre-training: SRGAN starts from the weights that ``generator`` has.

    Args:
        monitor: shows the progress (support.figures.LiveCurves); None shows nothing.

    Returns:
        the history: a list with a dict for each epoch.

    Raises:
        TrainingDiverged, CheckpointError, OutOfMemory
    """
    if stage_config(config, "pretrain").epochs == 0:
        return []
    if config.freeze_tail and config.epochs:          # what SRGAN needs is said before hours of pre-training
        upsampling_and_last(generator)
    stage = Stage("pretrain", config, generator, train_loader, valid_set, monitor=monitor)
    criterion = torch.nn.MSELoss()
    network = stage.compiled(generator, config.crop_size // config.scaling_factor)

    def one_epoch(loader, epoch, progress):
        return pretrain(loader, network, criterion, stage.optimizer_g, epoch, config.device,
                        stage.settings.print_freq, progress=progress)
    return stage.run(one_epoch)


def fit_srgan(config, generator, discriminator, truncated_vgg19, train_loader, valid_set, monitor=None):
    """The SRGAN stage; arguments and behaviour as ``fit_pretrain``.

    Starts from the weights that ``generator`` has: load the pre-trained ones first, as
    the paper does "to avoid undesired local optima" (section 3.2).
    Leaves ``checkpoints/srgan_{last,best}.pth``.  Results come from ``last``: "best" is by
    validation PSNR, which falls while texture comes back.  With ``config.epochs = 0`` there is no SRGAN stage;
    with ``config.freeze_tail`` the upsampling and last layers stay as the pre-training has left them.
    """
    if config.epochs == 0:
        return []
    # Trained, the sub-pixel layers soon write one pattern everywhere: the easiest way to look less smooth.
    # With these layers frozen, that happens later.
    frozen = upsampling_and_last(generator) if config.freeze_tail else ()
    for part in frozen:
        part.requires_grad_(False)
    stage = Stage("srgan", config, generator, train_loader, valid_set, discriminator, monitor)
    content, adversarial = torch.nn.MSELoss(), torch.nn.BCEWithLogitsLoss()
    network = stage.compiled(generator, config.crop_size // config.scaling_factor)
    # D is not compiled: each loss needs a different part of its gradients, and a compiled graph computes all of them.
    features = truncated_vgg19
    if features is not None:
        stage.precision.to_device(features)
    ### BEGIN SOLUTION
    if config.content_loss == "perceptual":          # it compares images, not one feature map
        content, features = PerceptualLoss(truncated_vgg19, config, stage.precision), None
    ### END SOLUTION
    if features is not None:
        features = stage.compiled(features, config.crop_size)

    def one_epoch(loader, epoch, progress):
        return train(loader, network, discriminator, features, content, adversarial,
                     stage.optimizer_g, stage.optimizer_d, epoch, config.device, config.beta,
                     stage.settings.print_freq, progress=progress)
    try:
        return stage.run(one_epoch)
    finally:
        for part in frozen:           # a later training of this generator may need them
            part.requires_grad_(True)

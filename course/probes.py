"""Runs a student's models.py and solver.py on given inputs.  This file runs in a jail, see sandbox.py.

It maps inputs to arrays and does nothing else: it knows no right answer and decides nothing, and nobody reads what
the student's code prints.  The arrays of each probe are sent as one message.
"""

import importlib
import shutil
import sys
import traceback
from functools import partial
from pathlib import Path

import numpy as np
from walk import Walk

SMALL_G = dict(large_kernel_size=5, small_kernel_size=3, n_channels=8, n_blocks=3)
SMALL_D = dict(kernel_size=3, n_channels=4, n_blocks=8, fc_size=16)
# Ranges in which code of this course and of its older handouts passes HR and SR: (of HR in a batch, of G's output).
RANGES = (("[0, 1]", "[-1, 1]"), ("[-1, 1]", "[-1, 1]"), ("[0, 1]", "[0, 1]"))
VGG19_LAYERS = (2, 2, 4, 4, 4)


# ---------------------------------------------------------------- making the student's networks

def config_of(scale=4, generator=SMALL_G, discriminator=SMALL_D):
    """The settings as the handouts of this course name them."""
    from easydict import EasyDict
    return EasyDict(G=dict(generator), D=dict(discriminator), scaling_factor=scale, crop_size=96, batch_size=4,
                    vgg19_i=5, vgg19_j=4, beta=1e-3, print_freq=100, lr=1e-4, epochs=1, start_epoch=0, workers=0,
                    checkpoint=None, device="cpu", csv_folder=".", HR_data_folder=".", LR_data_folder=".")


def first_that_works(*ways):
    """What the first of several calls returns that does not raise a TypeError or the like; the first error if none."""
    errors = []
    for way in ways:
        try:
            return way()
        except NotImplementedError:
            raise
        except Exception as error:
            errors.append(error)
    raise errors[0]


def make_generator(scale=4, seed=0, **settings):
    """The student's generator, by keywords or from a config, whichever models.py offers."""
    import torch

    from models import Generator
    settings = {**SMALL_G, **settings}
    torch.manual_seed(seed)
    network = first_that_works(lambda: Generator(**settings, scaling_factor=scale),
                               lambda: Generator(config_of(scale, settings)))
    return _with_sizes(network, torch.zeros(1, 3, 8, 8))


def make_discriminator(seed=0, **settings):
    import torch

    from models import Discriminator
    settings = {**SMALL_D, **settings}
    torch.manual_seed(seed)
    network = first_that_works(lambda: Discriminator(**settings),
                               lambda: Discriminator(config_of(discriminator=settings)))
    return _with_sizes(network, torch.zeros(1, 3, 96, 96))


def _with_sizes(network, images):
    """The network, in eval mode; lazy layers get their sizes from images."""
    import torch
    with torch.no_grad():
        network.eval()(images)
    return network


# ---------------------------------------------------------------- generator

def models_import(inputs):
    importlib.import_module("models")
    return {}


def generator_shapes(inputs):
    import torch
    shapes = [make_generator(scale).eval()(torch.rand(2, 3, 6, 9)).shape for scale in (2, 4, 8)]
    return {"shapes": np.array(shapes)}


def generator_settings(inputs):
    """How the numbers of layers and of parameters follow the settings; one by keywords, one from a config."""
    import torch

    from models import Generator
    networks = [make_generator(), make_generator(n_blocks=5), make_generator(n_channels=12)]
    try:
        from_config = [_count(_with_sizes(Generator(config_of()), torch.zeros(1, 3, 8, 8)))]
    except Exception:
        from_config = []
    return {"convolutions": np.array([_convolutions(network) for network in networks]),
            "channels": np.array([_widest(network) for network in networks]),
            "parameters": np.array([_count(network) for network in networks]), "from_config": np.array(from_config)}


def generator_walk(inputs):
    """What goes into each layer and comes out of it, with weights drawn anew; then with the blocks' weights zero."""
    import torch
    network = make_generator().eval()
    image, other = (torch.from_numpy(inputs[name])[..., :12, :12] for name in ("image", "other"))      # (1, 3, 12, 12)
    walk = Walk(network, image)
    walk.season(inputs["draws"])
    answer = walk.arrays(image)
    walk.silence_blocks()
    with torch.no_grad():
        answer["silent"], answer["silent_other"] = network(image).numpy(), network(other).numpy()
    answer |= {f"silent_{name}": value for name, value in walk.arrays(image).items() if name.startswith("x")}
    return answer


def generator_is_convolutional(inputs):
    """The middle of an image, and the middle of the same image shifted by some pixels."""
    import torch
    network = make_generator(2).eval()
    x = torch.from_numpy(inputs["image"])                            # (1, 3, 48, 48)
    with torch.no_grad():
        whole, moved = network(x), network(x[..., 3:, 5:])
    return {"whole": whole[..., 40:56, 40:56].numpy(), "moved": moved[..., 34:50, 30:46].numpy()}


def generator_in_eval_mode(inputs):
    """An image alone, and the same image in a batch: in eval mode BatchNorm must not use its neighbours."""
    import torch
    network = make_generator()
    x = torch.from_numpy(inputs["batch"])                            # (3, 3, 12, 12)
    network.train()
    for _ in range(3):
        network(x)
    network.eval()
    with torch.no_grad():
        return {"alone": network(x[:1]).numpy(), "in_batch": network(x)[:1].numpy()}


def generator_gradients(inputs):
    import torch
    network = make_generator().train()
    (network(torch.from_numpy(inputs["batch"])) ** 2).mean().backward()
    return _gradients(network)


def _count(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _convolutions(network):
    from torch import nn
    return sum(isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) for layer in network.modules())


def _widest(network):
    """The smallest number of channels that a convolution in the middle has."""
    from torch import nn
    channels = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return sorted(channels)[len(channels) // 2]


def _gradients(network):
    # A bias before BatchNorm is subtracted again: its gradient is zero, and that is no fault.
    from torch import nn
    biases = {id(layer.bias) for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None}
    grads = [p.grad for p in network.parameters() if p.requires_grad and id(p) not in biases]
    return {"without": np.array(sum(grad is None or not bool(grad.abs().max() > 0) for grad in grads)),
            "infinite": np.array(sum(grad is not None and not bool(grad.isfinite().all()) for grad in grads)),
            "all": np.array(len(grads))}


# ---------------------------------------------------------------- discriminator

def discriminator_walk(inputs):
    import torch
    network = make_discriminator()
    image = 2 * torch.from_numpy(inputs["patch"]) - 1                # (1, 3, 96, 96)
    walk = Walk(network, image)
    walk.season(inputs["draws"])
    return walk.arrays(image)


def discriminator_sizes(inputs):
    """Numbers for a batch of three at 96 x 96, then at 48 x 48 where it takes that."""
    import torch
    network = make_discriminator()
    elements = []
    for size in (96, 48):
        try:
            with torch.no_grad():
                elements.append(network(2 * torch.rand(3, 3, size, size) - 1).numel())
        except Exception:
            if size == 96:
                raise
    return {"elements": np.array(elements)}


def discriminator_gradients(inputs):
    import torch
    network = make_discriminator().train()
    patches = 2 * torch.from_numpy(inputs["patches"]) - 1            # (4, 3, 96, 96)
    (network(patches) ** 2).mean().backward()
    return _gradients(network)


# ---------------------------------------------------------------- VGG19

def _vgg19_state(inputs):
    """A whole VGG19's convolutions, torchvision's names: the given weights, and simple ones behind them."""
    import torch
    state, number, channels, draw = {}, 0, 3, torch.Generator().manual_seed(0)
    for block, n in enumerate(VGG19_LAYERS):
        width = min(64 * 2 ** block, 512)
        for _ in range(n):
            for part, shape in (("weight", (width, channels, 3, 3)), ("bias", (width,))):
                given = inputs.get(f"features/{number}/{part}")
                state[f"features.{number}.{part}"] = (
                    torch.from_numpy(given) if given is not None
                    else torch.randn(shape, generator=draw) * (2 / (9 * channels)) ** 0.5)
            number, channels = number + 2, width
        number += 1                                                  # the max-pool
    return state


def _make_vgg19(inputs):
    """A function (i, j) -> the student's truncated VGG19, whichever way it gets at the weights.

    There is no network here: where code asks torchvision for VGG19, it gets one with the given weights.
    """
    import torch
    import torchvision
    from torch import nn

    class VGG19(nn.Module):
        def __init__(self):
            super().__init__()
            layers, channels = [], 3
            for block, n in enumerate(VGG19_LAYERS):
                for _ in range(n):
                    width = min(64 * 2 ** block, 512)
                    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                    channels = width
                layers.append(nn.MaxPool2d(2, 2))
            self.features = nn.Sequential(*layers)
            self.avgpool, self.classifier = nn.AdaptiveAvgPool2d(7), nn.Sequential(nn.Linear(8, 8))
            self.load_state_dict(state, strict=False)

        def forward(self, x):
            return self.features(x)

    state = _vgg19_state(inputs)
    whole = VGG19()
    # half precision, which holds the given weights exactly: no file in the jail may have 64 MiB
    torch.save({name: value.half() for name, value in state.items()}, "vgg19.pth")

    def vgg19(*_, **__):
        network = VGG19()
        network.load_state_dict(whole.state_dict())
        return network
    for place in (torchvision.models, torchvision.models.vgg):
        place.vgg19 = vgg19
    import models
    if callable(getattr(models, "vgg19", None)):                     # from torchvision.models import vgg19
        models.vgg19 = vgg19
    network = models.TruncatedVGG19
    return lambda i, j: first_that_works(lambda: network(i, j, weights="vgg19.pth"), lambda: network(i, j),
                                         lambda: network(i=i, j=j))


def vgg_features(inputs):
    """Feature maps of a VGG19 whose weights are given."""
    import torch
    make, x = _make_vgg19(inputs), torch.from_numpy(inputs["patches"])[:2, :, :32, :32]
    with torch.no_grad():
        return {f"{i}{j}": make(i, j)(x.clone()).numpy() for i, j in ((1, 2), (2, 1), (2, 2))}


def vgg_passes_gradients(inputs):
    import torch
    network = _make_vgg19(inputs)(2, 2)
    x = torch.from_numpy(inputs["patches"])[:1, :, :32, :32].clone().requires_grad_(True)
    network(1 * x).mean().backward()
    return {"trainable": np.array(_count(network)), "reaches": x.grad.abs().max().numpy()}


# ---------------------------------------------------------------- one epoch

def solver_import(inputs):
    importlib.import_module("solver")
    return {}


class Trial:
    """Networks of one or two weights, on which ``solver.train`` and ``solver.pretrain`` are run.

    G gives gain * HR, whatever LR it is given: at a gain of 1, SR is HR.  D gives slope * mean brightness + offset.

    Args:
        hr: (4, 3, 16, 16) in [0, 1], bright.
        ranges: one of RANGES.
    """

    def __init__(self, hr, ranges, gain=0.5, slope=0.3, lr_g=0.0, lr_d=0.0):
        import torch
        from torch import nn
        of = {"[0, 1]": lambda x: x, "[-1, 1]": lambda x: 2 * x - 1}
        hr = torch.from_numpy(hr)
        self.hr, drawn = of[ranges[0]](hr), of[ranges[1]](hr)
        self.lr, trial = nn.functional.avg_pool2d(hr, 4), self
        self.seen, self.reached = [], 0.0

        class G(nn.Module):
            def __init__(self):
                super().__init__()
                self.gain = nn.Parameter(torch.tensor(float(gain)))

            def forward(self, lr):
                return self.gain * drawn

        class D(nn.Module):
            def __init__(self):
                super().__init__()
                self.slope, self.offset = nn.Parameter(torch.tensor(float(slope))), nn.Parameter(torch.tensor(-0.1))

            def forward(self, images):
                return self.slope * images.mean(dim=(1, 2, 3)).view(-1, 1) + self.offset

        class VGG(nn.Module):
            """Gives the pixels, and remembers what it was shown and whether a gradient came back."""
            def forward(self, images):
                features = images * 1.0
                if len(trial.seen) < 4:
                    trial.seen.append(images.detach().clone())
                if features.requires_grad:
                    features.register_hook(trial._note)
                return features
        self.g, self.d, self.vgg = G(), D(), VGG()
        self.optimizers = torch.optim.SGD(self.g.parameters(), lr_g), torch.optim.SGD(self.d.parameters(), lr_d)

    def _note(self, gradient):
        self.reached = max(self.reached, float(gradient.abs().max()))

    def loader(self, n):
        import torch
        return torch.utils.data.DataLoader(list(zip(self.lr, self.hr)) * n, batch_size=len(self.hr))

    def _moved(self, function, known):
        import inspect
        before = self.g.gain.item(), self.d.slope.item()
        taken = inspect.signature(function).parameters
        by_name = any(kind.kind is inspect.Parameter.VAR_KEYWORD for kind in taken.values())
        for name in set(known) - set(taken):                         # older code reads them as globals of its module
            if not by_name:
                function.__globals__.setdefault(name, known[name])
        function(**{name: value for name, value in known.items() if by_name or name in taken})
        return self.g.gain.item() - before[0], self.d.slope.item() - before[1]

    def train(self, n=2, beta=0.0):
        """(how far the gain, how far the slope) moved in an epoch of n equal batches."""
        import torch

        import solver
        return self._moved(solver.train, dict(
            train_loader=self.loader(n), generator=self.g, discriminator=self.d, truncated_vgg19=self.vgg,
            content_loss_criterion=torch.nn.MSELoss(), adversarial_loss_criterion=torch.nn.BCEWithLogitsLoss(),
            optimizer_g=self.optimizers[0], optimizer_d=self.optimizers[1], epoch=20, device=torch.device("cpu"),
            beta=beta, print_freq=1000))

    def pretrain(self, n):
        import torch

        import solver
        return self._moved(solver.pretrain, dict(
            train_loader=self.loader(n), generator=self.g, content_loss_criterion=torch.nn.MSELoss(),
            optimizer_g=self.optimizers[0], epoch=0, device=torch.device("cpu"), print_freq=1000))


def _each_range(inputs, ask):
    """The answers of ``ask(make)`` for each of RANGES, stacked; make(...) gives a Trial."""
    return np.array([ask(partial(Trial, inputs["bright"], ranges)) for ranges in RANGES])


def train_generator(inputs):
    """How far the generator moves."""
    def ask(make):
        def moved(n=2, beta=0.0, **settings):
            return make(lr_g=1e-3, **settings).train(n, beta)[0]
        # content: too dark, too bright, SR = HR.  adversarial, at SR = HR: D prefers bright, D prefers dark.
        # gradients: 8 batches against 2.
        return [moved(gain=0.5), moved(gain=1.5), moved(gain=1.0), moved(gain=1.0, slope=0.3, beta=1.0),
                moved(gain=1.0, slope=-0.3, beta=1.0), moved(gain=0.5, n=8)]
    return {"moved": _each_range(inputs, ask)}


def train_discriminator(inputs):
    """How far the discriminator moves."""
    def ask(make):
        def moved(n=2, beta=0.0, **settings):
            return make(lr_d=1e-3, **settings).train(n, beta)[1]
        # SR darker, SR brighter; then 8 batches against 2, and a heavy adversarial loss of the generator.
        return [moved(gain=0.5), moved(gain=1.5), moved(gain=0.5, n=8), moved(gain=0.5, beta=50.0)]
    return {"moved": _each_range(inputs, ask)}


def train_vgg(inputs):
    """What VGG is shown, and whether a gradient comes back through it."""
    trial = Trial(inputs["bright"], RANGES[0], lr_g=1e-3)
    trial.train()
    return {"reached": np.array(trial.reached), **{f"seen{k}": images.numpy() for k, images in enumerate(trial.seen)}}


def train_pretrain(inputs):
    """Where the gain is after thirty updates of pre-training, from 0.5; 1 is right."""
    import solver
    if not hasattr(solver, "pretrain"):
        source = Path(solver.__file__).read_text(encoding="utf-8", errors="replace")
        return {"absent": np.array(1), "of_this_edition": np.array("support" in source)}

    def ask(make):
        trial = make(gain=0.5, lr_g=0.2)
        trial.pretrain(30)
        return [trial.g.gain.item()]
    return {"gain": _each_range(inputs, ask)}


SUBJECTS = ("models", "solver", "generator", "discriminator", "vgg", "train")
PROBES = {name: value for name, value in list(globals().items())
          if callable(value) and name.partition("_")[0] in SUBJECTS}


def answer(channel, places, *names):
    """Answer the probes in their order: ``<probe>.arrays`` or ``<probe>.failure``, the last lines of the error."""
    code = Path(places["box"], "code")
    shutil.copytree(Path(places["given"], "code"), code)             # student code may write next to itself
    sys.path.insert(0, str(code))
    import torch
    torch.set_num_threads(1)
    with np.load(Path(places["given"], "inputs.npz"), allow_pickle=False) as file:
        inputs = {name: file[name] for name in file.files}
    for name in names:
        try:
            own = {key: array.copy() for key, array in inputs.items()}
            channel.arrays(f"{name}.arrays", PROBES[name](own))
        except Exception as error:
            channel(f"{name}.failure", last_lines(error, code))


def last_lines(error, code):
    """Where in the student's own code an error was raised, and the error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if Path(frame.filename).is_relative_to(code)][-2:]
    places = [f"{Path(frame.filename).name}, line {frame.lineno}: {frame.line}" for frame in frames]
    try:
        said = f"{type(error).__name__}: {error}"
    except Exception:                                                # an error whose text raises one
        said = "an error that cannot be told"
    return "\n".join([*places, said])[-2000:]

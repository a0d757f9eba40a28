"""Runs a student's models.py and solver.py on given inputs.  This file runs in a jail, see sandbox.py.

It maps inputs to arrays and does nothing else: it knows no expected value and decides nothing, and nobody
reads what the student's code prints.  The arrays of each probe are sent as one message.
"""

import shutil
import sys
import traceback
from pathlib import Path

import numpy as np

SMALL_G = dict(large_kernel_size=5, small_kernel_size=3, n_channels=8, n_blocks=2)
SMALL_D = dict(kernel_size=3, n_channels=8, n_blocks=4, fc_size=16)


def seeded(network, *arguments, **settings):
    import torch
    torch.manual_seed(0)
    return network(*arguments, **settings)


def count(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def layers(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


# ---------------------------------------------------------------- generator

def generator_shapes(inputs):
    import torch

    from models import Generator
    shapes = []
    for scale in (2, 4, 8):
        network = seeded(Generator, **SMALL_G, scaling_factor=scale).eval()
        shapes.append(network(torch.rand(2, 3, 6, 9)).shape)
    return {"shapes": np.array(shapes)}


def generator_parameters(inputs):
    from models import Generator
    return {"default": np.array(count(Generator())), "small": np.array(count(Generator(**SMALL_G))),
            "more_blocks": np.array(count(Generator(**{**SMALL_G, "n_blocks": 5})))}


def generator_from_config(inputs):
    from easydict import EasyDict

    from models import Generator
    config = EasyDict(G=SMALL_G, D=SMALL_D, scaling_factor=2)
    return {"counts": np.array([count(Generator(config)), count(Generator(**SMALL_G, scaling_factor=2))])}


def generator_layers(inputs):
    from torch import nn

    from models import Generator
    return {"counts": np.array([[len(layers(network, kind)) for kind in (nn.BatchNorm2d, nn.Conv2d, nn.ConvTranspose2d)]
                                for network in (Generator(**SMALL_G), Generator(**{**SMALL_G, "n_blocks": 5}))])}


def generator_last_layer(inputs):
    """The mean of the output when the last convolution's bias is 7: a tanh would keep it below 1."""
    import torch
    from torch import nn

    from models import Generator
    network = seeded(Generator, **SMALL_G).eval()
    nn.init.constant_(layers(network, nn.Conv2d)[-1].bias, 7)
    with torch.no_grad():
        return {"mean": network(torch.rand(1, 3, 8, 8)).mean().numpy()}


def generator_is_convolutional(inputs):
    """The middle of an image, and the middle of the same image shifted by some pixels."""
    import torch

    from models import Generator
    network = seeded(Generator, **SMALL_G, scaling_factor=2).eval()
    x = torch.from_numpy(inputs["image"])                            # (1, 3, 48, 48)
    with torch.no_grad():
        whole, moved = network(x), network(x[..., 3:, 5:])
    return {"whole": whole[..., 40:56, 40:56].numpy(), "moved": moved[..., 34:50, 30:46].numpy()}


def generator_in_eval_mode(inputs):
    """An image alone, and the same image in a batch: in eval mode BatchNorm must not use its neighbours."""
    import torch

    from models import Generator
    network = seeded(Generator, **SMALL_G)
    x = torch.from_numpy(inputs["batch"])                            # (3, 3, 12, 12)
    network.train()
    for _ in range(3):
        network(x)
    network.eval()
    with torch.no_grad():
        return {"alone": network(x[:1]).numpy(), "in_batch": network(x)[:1].numpy()}


def generator_gradients(inputs):
    import torch

    from models import Generator
    network = seeded(Generator, **SMALL_G).train()
    (network(torch.from_numpy(inputs["batch"])) ** 2).mean().backward()
    return _gradients(network)


def _gradients(network):
    grads = [p.grad for p in network.parameters() if p.requires_grad]
    return {"without": np.array(sum(grad is None or not bool(grad.abs().max() > 0) for grad in grads)),
            "infinite": np.array(sum(grad is not None and not bool(grad.isfinite().all()) for grad in grads)),
            "all": np.array(len(grads))}


# ---------------------------------------------------------------- discriminator

def discriminator_shapes(inputs):
    import torch

    from models import Discriminator
    network = seeded(Discriminator, **SMALL_D).eval()
    return {"elements": np.array([network(2 * torch.rand(3, 3, size, size) - 1).numel() for size in (96, 48)])}


def discriminator_parameters(inputs):
    from easydict import EasyDict

    from models import Discriminator
    config = EasyDict(G=SMALL_G, D=SMALL_D, scaling_factor=4)
    return {"default": np.array(count(Discriminator())),
            "small": np.array([count(Discriminator(**SMALL_D)), count(Discriminator(config))])}


def discriminator_logits(inputs):
    """The mean output when the last linear layer's bias is -7: a sigmoid would keep it above 0."""
    import torch
    from torch import nn

    from models import Discriminator
    network = seeded(Discriminator, **SMALL_D).eval()
    nn.init.constant_(layers(network, nn.Linear)[-1].bias, -7)
    with torch.no_grad():
        return {"mean": network(torch.rand(2, 3, 96, 96)).mean().numpy()}


def discriminator_layers(inputs):
    from torch import nn

    from models import Discriminator
    network = Discriminator()
    strides = [layer.stride[0] for layer in layers(network, nn.Conv2d)]
    slopes = [layer.negative_slope for layer in layers(network, nn.LeakyReLU)]
    return {"convolutions": np.array(len(strides)), "halvings": np.array(sum(stride == 2 for stride in strides)),
            "batch_norms": np.array(len(layers(network, nn.BatchNorm2d))),
            "channels": np.array([layer.out_channels for layer in layers(network, nn.Conv2d)]),
            "slopes": np.array(slopes, dtype=float)}


def discriminator_gradients(inputs):
    import torch

    from models import Discriminator
    network = seeded(Discriminator, **SMALL_D).train()
    (network(torch.from_numpy(inputs["patches"])) ** 2).mean().backward()
    return _gradients(network)


# ---------------------------------------------------------------- VGG19

def vgg_features(inputs):
    """Feature maps of a VGG19 whose weights are given."""
    import torch

    from models import TruncatedVGG19
    state = {name.replace("/", "."): torch.from_numpy(array) for name, array in inputs.items()
             if name.startswith("features")}
    torch.save(state, "vgg19.pth")
    x = torch.from_numpy(inputs["patches"]) / 2 + 0.5
    with torch.no_grad():
        return {f"{i}{j}": TruncatedVGG19(i, j, weights="vgg19.pth")(x).numpy() for i, j in ((1, 2), (2, 1), (2, 2))}


def vgg_is_frozen(inputs):
    import torch

    from models import TruncatedVGG19
    network = TruncatedVGG19(2, 2, weights="random")
    x = torch.from_numpy(inputs["patches"]).requires_grad_(True)
    network(x / 2 + 0.5).mean().backward()
    return {"trainable": np.array(count(network)), "reaches": x.grad.abs().max().numpy()}


# ---------------------------------------------------------------- one epoch of SRGAN

def _stub_networks():
    """Networks of one or two weights, whose updates can be worked out by hand."""
    import torch
    from torch import nn

    class G(nn.Module):
        """sr = gain * upscaled lr, [0, 1] -> [-1, 1]."""
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(0.5))

        def forward(self, lr):
            return self.gain * nn.functional.interpolate(2 * lr - 1, scale_factor=4)

    class D(nn.Module):
        """logit = slope * mean brightness + offset."""
        def __init__(self):
            super().__init__()
            self.slope, self.offset = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.1))

        def forward(self, images):
            return self.slope * images.mean(dim=(1, 2, 3)).view(-1, 1) + self.offset
    return G(), D()


def _epoch(inputs, content, lr_g, lr_d, beta, vgg=None):
    """One batch through ``solver.train``: (gain before, after; slope and offset before, after)."""
    import torch

    import solver
    generator, discriminator = _stub_networks()
    hr = torch.from_numpy(inputs["bright"])                          # (4, 3, 16, 16) in [0, 1]
    lr = 0.5 + 0.4 * torch.nn.functional.avg_pool2d(hr, 4)
    loader = torch.utils.data.DataLoader(list(zip(lr, hr)), batch_size=4)
    optimizers = (torch.optim.SGD(generator.parameters(), lr_g), torch.optim.SGD(discriminator.parameters(), lr_d))
    before = [float(p.detach()) for net in (generator, discriminator) for p in net.parameters()]
    solver.train(loader, generator, discriminator, vgg, content, torch.nn.BCEWithLogitsLoss(), *optimizers, 0,
                 torch.device("cpu"), beta, 100)
    after = [float(p.detach()) for net in (generator, discriminator) for p in net.parameters()]
    return {"before": np.array(before), "after": np.array(after)}


def _identity():
    """A "VGG" that gives the pixels: the feature loss is then the pixel loss, in [0, 1]."""
    from torch import nn
    return nn.Identity()


def train_content_only(inputs):
    from torch import nn
    return _epoch(inputs, nn.MSELoss(), lr_g=0.1, lr_d=0, beta=0, vgg=_identity())


def train_adversarial_only(inputs):
    return _epoch(inputs, lambda sr, hr: 0 * (sr - hr).sum(), lr_g=0.1, lr_d=0, beta=1, vgg=_identity())


def train_discriminator(inputs):
    from torch import nn
    return _epoch(inputs, nn.MSELoss(), lr_g=0, lr_d=0.1, beta=1e-3, vgg=_identity())


def train_through_vgg(inputs):
    """With features that are zero for every image, nothing except the adversarial term may move the generator."""
    from torch import nn

    class Blind(nn.Module):
        def forward(self, images):
            return 0 * images
    return _epoch(inputs, nn.MSELoss(), lr_g=0.1, lr_d=0, beta=0, vgg=Blind())


PROBES = {name: value for name, value in list(globals().items())
          if callable(value) and name.split("_")[0] in ("generator", "discriminator", "vgg", "train")}


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

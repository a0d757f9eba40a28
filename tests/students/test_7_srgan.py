"""Exercise 7: train in solver.py, handed out and yours to improve: does each loss move its own network, and rightly?"""

import torch
from torch import nn

import solver
from tests.students.tiny import Brightness, OneWeight, batches


def epoch(content, lr_g, lr_d, beta, vgg=None):
    """How far each weight moves in one SRGAN epoch of one batch: (gain, slope, offset)."""
    generator, discriminator = OneWeight(), Brightness()
    optimizers = torch.optim.SGD(generator.parameters(), lr_g), torch.optim.SGD(discriminator.parameters(), lr_d)
    adversarial = nn.BCEWithLogitsLoss()
    solver.train(batches(), generator, discriminator, vgg or nn.Identity(), content, adversarial, *optimizers,
                 0, torch.device("cpu"), beta, 100)
    return (generator.gain.item() - 0.5, discriminator.slope.item() - 0.3, discriminator.offset.item() + 0.1)


def test_the_content_loss_brings_sr_towards_hr():
    gain, slope, _ = epoch(nn.MSELoss(), 0.1, 0, beta=0)
    assert gain > 0, f"With the content loss alone the gain has to grow; it moved by {gain:.4f} (equations 4 and 5)."
    assert abs(slope) < 1e-6, "The discriminator moved although its learning rate is 0."


def test_the_content_loss_looks_through_vgg():
    class Blind(nn.Module):
        def forward(self, images):
            return 0 * images
    gain, _, _ = epoch(nn.MSELoss(), 0.1, 0, beta=0, vgg=Blind())
    assert abs(gain) < 1e-6, (
        "With features that are zero for every image the content loss is zero, so nothing may move; the gain moved by "
        f"{gain:.4f}. Equation 5 compares the features of SR and HR, not their pixels.")


def test_the_generator_wants_its_pictures_called_real():
    gain, _, _ = epoch(lambda sr, hr: 0 * (sr - hr).sum(), 0.1, 0, beta=1)
    assert gain > 0, (
        f"With the adversarial loss alone the gain has to grow (D likes bright images here); it moved by "
        f"{gain:.4f}. Equation 6: -log D(G(LR)), so the target for SR is 1 in this loss.")


def test_the_discriminator_tells_hr_from_sr():
    gain, slope, _ = epoch(nn.MSELoss(), 0, 0.1, beta=1e-3)
    assert abs(gain) < 1e-6, "The generator moved although its learning rate is 0."
    assert slope > 0, (f"HR is brighter than SR here: the slope has to grow; it moved by {slope:.4f}. Equation 2: the "
                       "target is 1 for HR and 0 for SR.")

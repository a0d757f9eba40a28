"""Exercise 6: pretrain in solver.py: the generator alone, by the pixel loss (section 3.2, equation 4)."""

import torch
from torch import nn

import solver
from tests.students.tiny import OneWeight, batches


def test_pre_training_brings_sr_towards_hr():
    generator = OneWeight()
    solver.pretrain(batches(), generator, nn.MSELoss(), torch.optim.SGD(generator.parameters(), 0.1), 0,
                    torch.device("cpu"), 100)
    assert generator.gain.item() > 0.5, (
        "One update of pre-training has to bring SR towards HR (equation 4): here the gain has to grow from 0.5, it is "
        f"{generator.gain.item():.4f}. Are both compared in [-1, 1]?")

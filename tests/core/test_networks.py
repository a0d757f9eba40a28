"""The summary of train.ipynb: a student's own layers are in it, whatever their names and however they are kept."""

import pytest
import torch
from torch import nn

from models import Discriminator, Generator
from support.networks import summary, upsampling_and_last


class Own(nn.Module):
    """Names that nobody foresaw, a list of layers, one that is used twice and one that is forgotten."""

    def __init__(self):
        super().__init__()
        self.anfang = nn.Conv2d(3, 8, 3, padding=1)                       # 3 * 8 * 9 + 8 = 224
        self.act = nn.PReLU()                                             # 1
        self.mitte = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(2))  # 72 each
        self.groesser = nn.Sequential(nn.Conv2d(8, 32, 1), nn.PixelShuffle(2))       # 288
        self.vergessen = nn.Linear(4, 4)                                  # 20

    def forward(self, x):
        x = self.act(self.anfang(x))
        for layer in self.mitte:
            x = self.act(layer(x))
        return self.groesser(x)


def test_own_names_lists_and_forgotten_layers_are_all_listed(capsys):
    summary(Own(), torch.zeros(1, 3, 5, 6))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Own:", "677", "parameters"]
    assert [line[0] for line in lines[1:]] == ["anfang", "act", "mitte.0", "mitte.1", "groesser", "vergessen"]
    assert [line[-2] for line in lines[1:]] == ["224", "1", "72", "72", "288", "20"]
    assert " ".join(lines[5]) == "groesser -> (1, 8, 10, 12) 288 parameters"
    assert " ".join(lines[6]) == "vergessen not used by forward() 20 parameters"


def test_a_network_that_is_one_sequence_is_shown_layer_by_layer(capsys):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())

        def forward(self, x):
            return self.net(x)

    summary(Net(), torch.zeros(1, 3, 4, 4))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["net.0", "net.1"]


@pytest.mark.parametrize("network, x, parts", [
    (Generator(n_channels=4, n_blocks=1), torch.zeros(1, 3, 4, 4),
     ["first", "blocks", "after_blocks", "upsampling", "last"]),
    (Discriminator(n_channels=4, n_blocks=2, fc_size=4), torch.zeros(1, 3, 16, 16), ["blocks", "pool", "decide"])])
def test_the_kits_own_parts_and_no_hook_is_left(capsys, network, x, parts):
    summary(network, x)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == parts
    assert not any(layer._forward_hooks for layer in network.modules()) and not network.training


def test_what_freeze_tail_freezes():
    network = Generator(n_channels=4, n_blocks=1)
    assert upsampling_and_last(network) == [network.upsampling, network.last]

"""SR3's plots, and the weights that its notebook shows."""

import numpy as np
import torch

from extensions import sr3, sr3_figures
from inference import load_generator
from support.checkpoints import WEIGHTS
from support.figures import as_png


def test_the_weights_of_the_notebook_come_with_the_kit_and_are_small():
    network = load_generator("sr3-small-x4")
    assert network.method == "sr3" and network.target == "residual"
    assert (WEIGHTS / "sr3-small-x4.safetensors").stat().st_size < 5e6


def test_the_plots_have_every_image():
    x = torch.rand(3, 8, 12) * 2 - 1
    figure = sr3_figures.strip_figure([("a", x), ("b", x), ("c", x)], columns=2)
    assert [axes.get_title() for axes in figure.axes][:3] == ["a", "b", "c"] and len(as_png(figure)) > 1000
    figure = sr3_figures.steps_figure([("DDIM", 10, 20.0, 1.0), ("DDIM", 2, 21.0, 1.0)], 19.0)
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [2, 10]
    assert len(as_png(sr3_figures.schedules_figure({"a": sr3.SR3(sr3.SMALL).diffusion}))) > 1000
    assert np.array(sr3_figures.as_array(torch.ones(3, 2, 2))).tolist() == [[[255] * 3] * 2] * 2

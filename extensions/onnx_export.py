"""A network without torch: one ONNX file, which onnxruntime runs on a phone, in a browser or in another program.

    path = export(load_generator("a2n-small-x4"), "a2n.onnx")
    sr = run(path, lr)

It needs packages that nothing else in the kit needs; they are in the last line of requirements.txt.
"""

import importlib.util
import warnings

import numpy as np
import torch
from torch import nn

from support.convert import convert_image

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class ZeroToOne(nn.Module):
    """A network from [0, 1] to [0, 1]: a user who has only the file need not know the kit's ranges."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, lr):
        return convert_image(self.network(lr), "[-1, 1]", "[0, 1]").clamp(0, 1)


def missing():
    """The packages that are not installed, as the arguments of pip install; "" if there is none."""
    return " ".join(name for name in PACKAGES if importlib.util.find_spec(name) is None)


def export(network, path):
    """Write a regression network (SRResNet, A2N) as ONNX, for images of any size.

    Input "lr": float32 (1, 3, h, w) in [0, 1]; output "sr": float32 (1, 3, s h, s w) in [0, 1].

    Returns:
        path.

    Raises:
        ModuleNotFoundError: if packages are missing; the message says how to install them.
    """
    if missing():
        raise ModuleNotFoundError(f"The ONNX export needs packages that are not installed: pip install {missing()}")
    example = torch.rand(1, 3, 24, 32)         # height and width differ, or the export would take them for one number
    with warnings.catch_warnings():            # each of torch's two exporters recommends the other's arguments
        warnings.simplefilter("ignore")
        torch.onnx.export(ZeroToOne(network).eval(), (example,), str(path), input_names=["lr"], output_names=["sr"],
                          dynamic_axes={"lr": {2: "height", 3: "width"}}, verbose=False)
    return path


def run(path, lr):
    """Upscale an image with an exported network: uint8 (h, w, 3) -> uint8 (s h, s w, 3).  No line of it needs torch."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = lr.astype(np.float32).transpose(2, 0, 1)[None] / 255                   # (1, 3, h, w)
    sr, = session.run(["sr"], {"lr": x})                                       # (1, 3, s h, s w)
    return np.round(255 * sr[0]).astype(np.uint8).transpose(1, 2, 0)

"""A network without torch: one ONNX file, which onnxruntime runs in a phone, a browser or another program.

    path = export(load_generator("a2n-small-x4"), "a2n.onnx")
    sr = run(path, lr)

It needs packages that nothing else in the kit needs; requirements.txt names them in its last line.
"""

import importlib.util
import warnings

import numpy as np
import torch
from torch import nn

from support.convert import convert_image

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class ZeroToOne(nn.Module):
    """A network from [0, 1] to [0, 1]: who has nothing but the file should not have to know its ranges."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, lr):
        return convert_image(self.network(lr), "[-1, 1]", "[0, 1]").clamp(0, 1)


def missing():
    """The packages that are not installed, as the arguments of pip install; "" if there is none."""
    return " ".join(name for name in PACKAGES if importlib.util.find_spec(name) is None)


def export(network, path):
    """Write a regression network (SRResNet, A2N) as ONNX, for pictures of any size.

    Input "lr": float32 (1, 3, h, w) in [0, 1]; output "sr": float32 (1, 3, s h, s w) in [0, 1].

    Returns:
        path.

    Raises:
        ModuleNotFoundError: if packages are missing; the message says how to install them.
    """
    if missing():
        raise ModuleNotFoundError(f"The ONNX export wants packages that are not installed: pip install {missing()}")
    example = torch.rand(1, 3, 24, 32)         # height and width differ, or they would be taken for one number
    with warnings.catch_warnings():            # torch's two exporters each advise the other's arguments
        warnings.simplefilter("ignore")
        torch.onnx.export(ZeroToOne(network).eval(), (example,), str(path), input_names=["lr"], output_names=["sr"],
                          dynamic_axes={"lr": {2: "height", 3: "width"}}, verbose=False)
    return path


def run(path, lr):
    """Enlarge a picture by an exported network: uint8 (h, w, 3) -> uint8 (s h, s w, 3).  No line of it needs torch."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = lr.astype(np.float32).transpose(2, 0, 1)[None] / 255                   # (1, 3, h, w)
    sr, = session.run(["sr"], {"lr": x})                                       # (1, 3, s h, s w)
    return np.round(255 * sr[0]).astype(np.uint8).transpose(1, 2, 0)

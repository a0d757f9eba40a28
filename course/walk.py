"""Follows an image through a student's network, whatever its layers are called.  Runs in the jail, see probes.py."""

import numpy as np

PARTS = ("weight", "bias", "running_mean", "running_var")
MOST = 28              # layers of which the arrays are sent


def drawn(draws, at, name, shape):
    """Values for one part of a layer, from uniform numbers in [-1, 1]: float32 of the shape; ``at`` counts on."""
    values = draws.take(np.arange(at, at + int(np.prod(shape))), mode="wrap").reshape(shape).astype(np.float32)
    if name == "weight" and len(shape) > 1:
        return values * np.float32(2 / np.prod(shape[1:]) ** 0.5)
    return values * np.float32(0.3) + np.float32(name == "running_var" or name == "weight")


class Walk:
    """The convolutions, BatchNorms and linear layers of a network, in the order in which an image meets them.

    Args:
        network: in eval mode.
        image: (1, 3, h, w).
    """

    def __init__(self, network, image):
        import torch
        from torch import nn
        self.network = network
        self.kinds = {nn.ConvTranspose2d: 3, nn.Conv2d: 0, nn.BatchNorm2d: 1, nn.Linear: 2}
        self.calls, self.recording = [], True                        # (kind, layer, x, y)
        for layer in network.modules():
            kind = next((number for of, number in self.kinds.items() if isinstance(layer, of)), None)
            if kind is not None:
                layer.register_forward_pre_hook(self._before(kind, layer))
                layer.register_forward_hook(self._after)
        with torch.no_grad():
            network(image)
        self.layers = list(dict.fromkeys(call[1] for call in self.calls))

    def _before(self, kind, layer):
        def note(_, arguments):
            # A copy: later layers may work in place.
            self.calls.append([kind, layer, arguments[0].detach().clone(), None])
        return note

    def _after(self, layer, _, output):
        next(call for call in reversed(self.calls) if call[1] is layer)[3] = output.detach().clone()

    def season(self, draws):
        """Draw all weights anew, layer by layer, from given numbers; the slopes of PReLU become a half."""
        import torch
        at = 0

        own, at = set(), 0
        with torch.no_grad():
            for layer in self.layers:
                for name in PARTS:
                    value = getattr(layer, name, None)
                    if value is not None:
                        value.copy_(torch.from_numpy(drawn(draws, at, name, value.shape)))
                        at += value.numel()
                        own.add(id(value))
            for value in slopes_of(self.network, own):
                value.fill_(0.5)

    def silence_blocks(self):
        """Set to zero all layers between the first convolution and the upsampling."""
        size = self.calls[0][2].shape[-2:]
        for kind, layer, x, _ in self.calls[1:]:
            channels = layer.weight.shape[:2]
            if x.shape[-2:] != size or kind > 1 or (kind == 0 and channels[0] != channels[1]):
                break                                  # the upsampling: other channels, or another size
            for name in ("weight", "bias", "running_mean"):
                value = getattr(layer, name, None)
                if value is not None:
                    value.data.zero_()

    def arrays(self, image):
        """dict: "kind", "layer" (which of the layers), "x0", "y0", ... of each call, "out" of the network."""
        import torch
        self.calls.clear()
        with torch.no_grad():
            out = self.network(image)
        answer = {"kind": np.array([call[0] for call in self.calls]),
                  "layer": np.array([self.layers.index(call[1]) for call in self.calls]),
                  "weights": np.array([list(call[1].weight.shape) + [1] * (4 - call[1].weight.dim())
                                       for call in self.calls]),
                  "bias": np.array([call[1].bias is not None for call in self.calls]), "out": out.numpy()}
        for k, (_, _, x, y) in enumerate(self.calls[:MOST]):
            answer[f"x{k}"], answer[f"y{k}"] = x.numpy(), y.numpy()
        return answer


def slopes_of(network, own):
    """The parameters that belong to no layer of the walk: slopes of activations."""
    return [value for value in network.parameters() if id(value) not in own]

"""A network's parts, whatever a student has called them: the summary of train.ipynb, the layers that are frozen."""

from functools import partial

import torch
from torch import nn

from support.messages import SaysItAll

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class LayersMissing(SaysItAll, TypeError):
    """A setting needs layers of certain names, which this network does not have."""


def summary(network, x):
    """Print a network's parts in the order in which forward() comes to them: the shape of the result, the parameters.

    Any names will do.  A list of layers that forward() goes through itself is shown layer by layer, a part that it
    never comes to is named as such.

    Args:
        network: it is left in eval mode.
        x: an input, such as (1, 3, h, w).
    """
    parts, shapes = parts_of(network), {}

    def note(_, __, out, name):                       # it returns nothing: that would take the place of the result
        shapes.setdefault(name, shape_of(out))

    hooks = [part.register_forward_hook(partial(note, name=name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            network.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
    print(f"{type(network).__name__}: {size_of(network):,} parameters")
    # Of a part that was used as a whole, what is inside it is not shown.
    whole = sorted((name for name in shapes if not any(name.startswith(f"{other}.") for other in shapes)),
                   key=list(shapes).index)
    unused = [name for name in parts if not any(
        name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.") for other in shapes)]
    unused = [name for name in unused if not any(name.startswith(f"{other}.") for other in unused)]
    width = max(13, *(len(name) for name in [*whole, *unused]), 0)
    for name in whole:
        print(f"  {name:{width}} -> {shapes[name]:20} {size_of(parts[name]):>10,} parameters")
    for name in unused:
        print(f"  {name:{width}}    {'not used by forward()':20} {size_of(parts[name]):>9,} parameters")


def parts_of(network, prefix=""):
    """dict name -> layer: those directly in a network, and those inside its lists and sequences of layers."""
    found, children = {}, dict(network.named_children())
    for name, part in children.items():
        is_container = isinstance(part, CONTAINERS)
        if not (is_container and len(children) == 1):        # a sequence that is the whole network says nothing
            found[prefix + name] = part
        if is_container:
            found |= parts_of(part, f"{prefix}{name}.")
    return found


def size_of(network):
    """How many parameters there are."""
    return sum(p.numel() for p in network.parameters())


def shape_of(out):
    """The shape of a layer's result as text; of several tensors, one after the other."""
    return str(tuple(out.shape)) if torch.is_tensor(out) else ", ".join(map(shape_of, out))


def upsampling_and_last(generator):
    """The layers that ``config.freeze_tail`` freezes.

    Raises:
        LayersMissing: if they have other names.
    """
    layers = [getattr(generator, name, None) for name in ("upsampling", "last")]
    if not all(isinstance(layer, nn.Module) for layer in layers):
        raise LayersMissing(
            f"config.freeze_tail = True needs to know which layers of this {type(generator).__name__} upscale and "
            "which one is the last: call them self.upsampling and self.last, or set config.freeze_tail = False.")
    return layers

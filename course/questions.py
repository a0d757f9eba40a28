"""What the hidden tests ask of the arrays that a student's networks gave; numpy only.

Each function takes ``got`` (dict of arrays, the answer of its probe) and ``ask`` (an Ask: all answers, the inputs) and
returns "" if all is right, a Note if there is something to know that costs nothing, or a sentence: what is wrong.
"""

from collections import namedtuple

import numpy as np

from course.walk import PARTS, drawn

CONV, NORM, LINEAR, TRANSPOSED = 0, 1, 2, 3
SCALE, LARGE, SMALL = 4, 5, 3                          # of the generator in probes.py
SLOPE = 0.5                                            # to which the walk sets every learned slope
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# answers: dict probe -> dict of arrays; inputs: those of the probes; counts: the kit's own numbers of parameters.
Ask = namedtuple("Ask", "answers inputs counts")
Step = namedtuple("Step", "kind x y weight")           # one layer of a walk; weight: the shape of its weight


class Note(str):
    """Something to know that costs no points."""


# ---------------------------------------------------------------- what happened between two layers

def steps_of(got, prefix=""):
    """The layers of a walk, in their order.

    Raises:
        ValueError: if there is none.
    """
    steps = [Step(int(kind), got[f"{prefix}x{k}"], got.get(f"y{k}"), tuple(weight))
            for k, (kind, weight) in enumerate(zip(got["kind"], got["weights"])) if f"{prefix}x{k}" in got]
    if not steps or not np.ptp(steps[0].x) > 0:
        raise ValueError("no layer was seen that an image goes through")
    return steps


def close(a, b, tolerance=1e-4):
    return a.shape == b.shape and float(np.abs(a - b).max(initial=0)) <= tolerance * max(1.0, float(np.abs(b).max()))


def pixel_shuffle(y, factor):
    n, channels, h, w = y.shape
    y = y.reshape(n, channels // factor**2, factor, factor, h, w)
    return y.transpose(0, 1, 4, 2, 5, 3).reshape(n, channels // factor**2, factor * h, factor * w)


def relation(step, following):
    """(how much larger, with which slope for negative values) what a layer gave goes into the next one, or None.

    A slope of 1 says that nothing lies between them.  None: something else happened, such as a sum.
    """
    y, x, factor = step.y, following.x, 1
    if y.ndim == 4 and x.ndim == 4 and y.shape != x.shape:
        factor = x.shape[2] // max(1, y.shape[2])
        if factor < 2 or y.shape[1] != factor**2 * x.shape[1] or x.shape[2:] != tuple(factor * n for n in y.shape[2:]):
            return None
        y = pixel_shuffle(y, factor)
    if y.shape != x.shape or not np.isfinite(x).all():
        return None
    negative = y < -1e-3 * max(1e-9, float(np.abs(y).max()))
    if not close(x[y >= 0], y[y >= 0]) or not negative.any():
        return None
    slopes = x[negative] / y[negative]
    return (factor, round(float(slopes.mean()), 3)) if np.ptp(slopes) < 0.02 else None


def pairs(steps):
    return list(zip(steps, steps[1:]))


def trunk(steps):
    """The layers between the first convolution and the upsampling: as many channels out as in, at the size of LR."""
    found = []
    for step in steps[1:]:
        if step.x.shape[2:] != steps[0].x.shape[2:] or step.kind > NORM:
            break
        if step.kind == CONV and step.weight[0] != step.weight[1]:
            break
        found.append(step)
    return found


def n_blocks(steps):
    return (sum(step.kind == CONV for step in trunk(steps)) - 1) // 2           # and one behind the blocks


# ---------------------------------------------------------------- generator

def generator_shapes(got, ask):
    wanted = [[2, 3, 6 * s, 9 * s] for s in (2, 4, 8)]
    return "" if got["shapes"].tolist() == wanted else f"shapes {got['shapes'].tolist()}, expected {wanted}"


def generator_settings(got, ask):
    convolutions, parameters = got["convolutions"], got["parameters"]
    if not parameters[0]:
        return "the network has no trainable parameter"
    if convolutions[1] - convolutions[0] != 4:
        return (f"two blocks more bring {convolutions[1] - convolutions[0]} convolutions, expected 4: is n_blocks "
                "used, and has a block two convolutions?")
    if got["channels"].tolist() != [8, 8, 12]:
        return "n_channels does not set the number of channels"
    if not got["from_config"].size:
        return "Generator(config) does not work; it reads config.G and config.scaling_factor"
    if got["from_config"][0] != parameters[0]:
        return "Generator(config) does not read config.G"
    return "" if parameters[0] == ask.counts["generator"] else Note(
        f"for information: {parameters[0]} parameters, with the layers of figure 4 and no bias before BatchNorm "
        f"{ask.counts['generator']}")


def generator_layers(got, ask):
    steps = steps_of(got)
    n, norms = (sum(step.kind == kind for step in trunk(steps)) for kind in (CONV, NORM))
    if n < 3 or n % 2 == 0 or norms != n:
        return (f"{n} convolutions and {norms} BatchNorms between the first convolution and the upsampling, expected "
                "two of each in a block, and one of each behind the blocks")
    kernels = [int(step.weight[2]) for step in steps if step.kind == CONV]
    wanted = [LARGE] + [SMALL] * (len(kernels) - 2) + [LARGE]
    return "" if kernels == wanted else f"kernels {kernels}, expected {wanted}"


def generator_long_skip(got, ask):
    difference = np.abs(got["silent"] - got["silent_other"]).max()
    return "" if difference > 1e-5 * np.abs(got["silent"]).max() else (
        "with the weights of all blocks at zero every image gives the same result: nothing leads past the blocks")


def generator_residual_skips(got, ask):
    layers = trunk(steps_of(got, "silent_"))
    convolutions = [step for step in layers if step.kind == CONV]
    if len(convolutions) < 2:
        return "no residual blocks were found"
    before, after = layers[0].x, convolutions[-1].x          # what goes into the blocks, and into what follows them
    return "" if close(after, before) and np.ptp(before) > 0 else (
        "with their weights at zero the residual blocks do not pass on what they got: x + F(x), and nothing behind it")


def generator_norm_order(got, ask):
    steps = steps_of(got)
    wrong = sum(step.kind != CONV or not close(following.x, step.y)
                for step, following in pairs(steps) if following.kind == NORM)
    wrong += bool(steps) and steps[0].kind == NORM
    return f"{wrong} BatchNorms do not follow a convolution directly" if wrong else ""


def generator_prelu(got, ask):
    steps = steps_of(got)
    found = [relation(*pair) for pair in pairs(steps)]
    slopes = [how[1] for how in found if how and abs(how[1] - 1) > 0.02]
    fixed = sorted({slope for slope in slopes if abs(slope - SLOPE) > 0.02})
    if fixed:
        kind = "ReLU" if abs(fixed[0]) < 0.02 else f"a fixed slope of {fixed[0]}"
        return f"{kind} where figure 4 has PReLU, whose slope is learned"
    # one behind the first convolution, one in each block; those of the upsampling need not be visible from here
    return "" if len(slopes) >= 1 + n_blocks(steps) else (
        f"a learned slope in {len(slopes)} places, expected one behind the first convolution and one in each block")


def generator_subpixel(got, ask):
    steps, factor = steps_of(got), 1
    if any(step.kind == TRANSPOSED for step in steps):
        return "there is a transposed convolution; the paper upscales by sub-pixel convolution (PixelShuffle)"
    for step, following in pairs(steps):
        if step.kind != CONV:
            continue
        how = relation(step, following)
        # a layer that holds both gives the larger image by itself
        factor *= max(how[0] if how else 1, step.y.shape[2] // step.x.shape[2])
    return "" if factor == SCALE else (
        f"the channels of convolutions become pixels {factor} times in a row and column, expected {SCALE}: "
        "convolution to 4 C channels, then PixelShuffle(2), twice")


def generator_end(got, ask):
    y, out = steps_of(got)[-1].y.astype(float), got["out"].astype(float)
    if close(out, y):
        return ""
    bounded = {"tanh": np.tanh(y), "a sigmoid": 1 / (1 + np.exp(-y)), "tanh, moved to [0, 1],": np.tanh(y) / 2 + 0.5}
    for name, values in bounded.items():
        if close(out, values):
            return Note(f"{name} at the end; figure 4 has nothing there")
    return "the result is not what the last convolution gives: figure 4 has nothing behind it, clamping included"


def alike(first, second):
    """Two arrays of the student's own that have to agree."""
    def judge(got, ask):
        difference = np.abs(got[first] - got[second]).max() if got[first].shape == got[second].shape else np.inf
        size = np.abs(got[first]).max()
        if not size > 0:
            return "the output is zero everywhere"
        return "" if difference <= 1e-3 * size else f"{first} and {second} differ by {difference:.3g}"
    return judge


def gradients(got, ask):
    if got["all"] == 0:
        return "the network has no trainable parameter"
    if got["without"]:
        return f"{int(got['without'])} of {int(got['all'])} parameters get no gradient"
    return f"{int(got['infinite'])} gradients are not finite" if got["infinite"] else ""


# ---------------------------------------------------------------- discriminator

def discriminator_sizes(got, ask):
    elements = got["elements"].tolist()
    if elements[0] != 3:
        return f"{elements[0]} numbers for three images"
    return "" if elements == [3, 3] else Note(
        "it takes 96 x 96 only, as in the paper; with AdaptiveAvgPool2d((6, 6)) other crops fit too")


def discriminator_layers(got, ask):
    steps = steps_of(got)
    convolutions = [step for step in steps if step.kind == CONV]
    channels, wanted = [step.weight[0] for step in convolutions], [4, 4, 8, 8, 16, 16, 32, 32]
    if channels != wanted:
        return f"channels {channels}, expected {wanted}: doubled after every second block"
    halved = [round(step.x.shape[2] / step.y.shape[2]) for step in convolutions]
    if halved != [1, 2] * 4:
        return f"strides {halved}, expected 1 and 2 in turn"
    widths = [step.weight[0] for step in steps if step.kind == LINEAR]
    return "" if widths == [16, 1] else f"linear layers of {widths} numbers, expected fc_size and 1: [16, 1]"


def discriminator_norms(got, ask):
    steps = steps_of(got)
    n = sum(step.kind == CONV for step in steps) - 1
    behind = [step.kind == CONV and close(following.x, step.y) for step, following in pairs(steps)
              if following.kind == NORM]
    if len(behind) != n or not all(behind):
        return f"{sum(behind)} BatchNorms directly behind a convolution, expected {n}: behind all but the first"
    return "" if steps[1].kind == CONV else "a BatchNorm in the first block; the paper has none there"


def discriminator_slopes(got, ask):
    slopes = [how[1] for pair in pairs(steps_of(got)) if pair[1].kind != NORM and (how := relation(*pair))]
    wrong = sorted({slope for slope in slopes if abs(slope - 0.2) > 0.005})
    if not slopes:
        return "no activation was found between the layers"
    return f"slopes {wrong} for negative values, expected LeakyReLU(0.2) everywhere" if wrong else ""


def discriminator_logits(got, ask):
    y, out = steps_of(got)[-1].y.ravel(), got["out"].ravel()
    return "" if close(out, y) else "the output is not what the last layer gives: BCEWithLogitsLoss wants no sigmoid"


# ---------------------------------------------------------------- VGG19

def vgg_features(got, ask):
    images, wanted = ask.inputs["patches"][:2, :, :32, :32], {}
    for normalised in (True, False):
        x = (images - IMAGENET[0].reshape(3, 1, 1)) / IMAGENET[1].reshape(3, 1, 1) if normalised else images
        wanted[normalised] = vgg19_maps(x.astype(np.float32), ask.inputs)
        if all(close(got[name], values) for name, values in wanted[normalised].items()):
            if normalised:
                return ""
            if gets_normalised(ask):
                return Note("it does not normalise its images; train does, so VGG gets what it was trained on")
            return "images in [0, 1] are not normalised as VGG19 was trained (mean and deviation of ImageNet)"
    for name, values in wanted[True].items():
        if got[name].shape != values.shape:
            return f"feature map {name}: shape {got[name].shape}, expected {values.shape}"
    return "the feature maps are not those after the ReLU of the j-th convolution before the i-th max-pool"


def vgg19_maps(x, inputs):
    """The maps "12", "21", "22" of VGG19 whose weights are given, for x (N, 3, H, W) float32."""
    maps = {}
    for number, name in ((0, "11"), (2, "12"), (5, "21"), (7, "22")):
        if number == 5:
            n, c, h, w = x.shape
            x = x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))
        weight, bias = inputs[f"features/{number}/weight"], inputs[f"features/{number}/bias"]
        x = maps[name] = np.maximum(convolved(x, weight) + bias.reshape(-1, 1, 1), 0)
    return {name: maps[name] for name in ("12", "21", "22")}


def convolved(x, weight):
    """x (N, C, H, W) with a k x k kernel (C', C, k, k), zeros around: (N, C', H, W)."""
    k, (h, w) = weight.shape[-1], x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    return sum(np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i:i + h, j:j + w], optimize=True)
               for i in range(k) for j in range(k))


def gets_normalised(ask):
    """Whether train gives VGG an HR that is normalised for ImageNet, in one of the ranges that HR may come in."""
    hr = ask.inputs["bright"]
    wanted = (hr - IMAGENET[0].reshape(3, 1, 1)) / IMAGENET[1].reshape(3, 1, 1)
    return any(close(images, wanted, 1e-3) for name, images in ask.answers.get("train_vgg", {}).items()
               if name.startswith("seen"))


def vgg_passes_gradients(got, ask):
    if not got["reaches"] > 0:
        return "no gradient reaches the image"
    return Note(f"for information: {int(got['trainable'])} of its parameters are trainable; requires_grad_(False) "
                "saves their gradients") if got["trainable"] else ""


# ---------------------------------------------------------------- one epoch

# What Trial in probes.py was asked, in this order.
Generator = namedtuple("Generator", "dark bright equal wants_bright wants_dark dark_8")
Discriminator = namedtuple("Discriminator", "dark bright dark_8 heavy")


def chosen(ask):
    """Which of the ranges in probes.py the code was written for: that in which most is right, the course's first."""
    right = [sum(not question(ask, number) for question in (_content, _adversarial, _discriminator))
             for number in range(3)]
    return int(np.argmax(right))


def _g(ask, number):
    return Generator(*ask.answers["train_generator"]["moved"][number])


def _d(ask, number):
    return Discriminator(*ask.answers["train_discriminator"]["moved"][number])


def _content(ask, number):
    moved = _g(ask, number)
    if not (np.isfinite(moved).all() and moved.dark > 0 > moved.bright):
        return (f"SR too dark moves the generator by {moved.dark:.3g}, SR too bright by {moved.bright:.3g}; expected "
                "up and down, towards HR")
    return "" if abs(moved.equal) <= 0.2 * abs(moved.dark) else (
        "even where SR equals HR the content loss moves the generator: are SR and HR compared in the same range, "
        "for VGG too?")


def _adversarial(ask, number):
    moved = _g(ask, number)
    towards = moved.wants_bright - moved.wants_dark
    if not abs(towards) > 1e-9:
        return "the adversarial loss does not move the generator"
    return "" if towards > 0 else "the generator learns to make D call SR false; it has to be judged real"


def _discriminator(ask, number):
    moved = _d(ask, number)
    if not (moved.dark or moved.bright):
        return "the discriminator does not move"
    return "" if moved.dark > 0 > moved.bright else (
        "the discriminator does not learn to call HR real (1) and SR not (0)")


def _both_swapped(ask):
    """Labels that are swapped everywhere: the same game under other names."""
    number = chosen(ask)
    g, d = _g(ask, number), _d(ask, number)
    return g.wants_bright - g.wants_dark < -1e-9 and d.dark < 0 < d.bright


SWAPPED = Note("real is 0 and generated is 1 here, in both losses: the same game, the other way round")
OTHER_RANGES = {1: Note("written for HR in [-1, 1], as an older handout had it"),
                2: Note("written for SR in [0, 1]")}


def train_content(got, ask):
    number = chosen(ask)
    return _content(ask, number) or OTHER_RANGES.get(number, "")


def train_adversarial(got, ask):
    return SWAPPED if _both_swapped(ask) else _adversarial(ask, chosen(ask))


def train_discriminator(got, ask):
    return SWAPPED if _both_swapped(ask) else _discriminator(ask, chosen(ask))


def train_vgg(got, ask):
    return "" if got["reached"] > 0 else (
        "no gradient comes back through the VGG that train is given: the content loss does not use its features")


def train_fresh_gradients(got, ask):
    number = chosen(ask)
    g, d = _g(ask, number), _d(ask, number)
    if not (g.dark or d.dark):
        return "neither network moves"
    # Four times the batches are about four times the way; with gradients that pile up they are more than ten times.
    for moved, name in ((g, "generator"), (d, "discriminator")):
        if abs(moved.dark_8) > 8 * abs(moved.dark) + 1e-12:
            return f"the {name}'s gradients pile up from batch to batch: zero_grad before each backward"
    if abs(d.heavy - d.dark) > 0.1 * abs(d.dark) + 1e-12:
        return "the discriminator's update holds gradients of the generator's loss: zero_grad before its own backward"
    return ""


def train_pretrain(got, ask):
    if "absent" in got:
        if got["of_this_edition"]:
            return "solver.py has no function pretrain"
        return Note("no function pretrain, written for an older handout: its pre-training is not tested")
    gain = got["gain"][np.abs(got["gain"] - 1).argmin()].item()
    return "" if abs(gain - 1) < 0.25 else (
        f"after thirty updates SR has {gain:.2f} times the values of HR, from 0.50 at the start; expected nearly 1")


# ---------------------------------------------------------------- do the answers fit together?

def recomputed(got, draws):
    """How many layers of a walk do not give what their weights, drawn for this hand-in, have to give.

    Who answers without a network has to compute one.  Only the middle of a map counts: its edges depend on the padding.
    """
    at, known, wrong = 0, {}, 0
    for k, (kind, layer, shape, bias) in enumerate(zip(got["kind"], got["layer"], got["weights"], got["bias"])):
        if f"y{k}" not in got:
            break
        x, y, shape = got[f"x{k}"], got[f"y{k}"], tuple(int(n) for n in shape)
        shape = shape[:{CONV: 4, TRANSPOSED: 4, NORM: 1, LINEAR: 2}[int(kind)]]
        if int(layer) not in known:
            values, n_parts = {}, 4 if kind == NORM else 2
            for name in PARTS[:n_parts]:
                if name == "bias" and not bias:
                    continue
                size = shape if name == "weight" else (shape[0],)
                values[name] = drawn(draws, at, name, size)
                at += int(np.prod(size))
            known[int(layer)] = values
        wrong += not _gives(int(kind), known[int(layer)], x, y)
    return wrong


def _gives(kind, parts, x, y):
    weight, bias = parts["weight"], parts.get("bias", np.float32(0))
    if kind == NORM:
        column = {name: value.reshape(-1, 1, 1) for name, value in parts.items()}
        values = (x - column["running_mean"]) / np.sqrt(column["running_var"] + 1e-5) * column["weight"]
        return close(y, values + column.get("bias", 0), 1e-3)
    if kind == LINEAR:
        return close(y, x @ weight.T + bias, 1e-3)
    if kind == TRANSPOSED:
        return True
    values = convolved(x, weight) + np.reshape(bias, (-1, 1, 1))
    if y.shape[2] > x.shape[2]:                        # a layer that also lays its channels out as pixels
        values = pixel_shuffle(values, y.shape[2] // x.shape[2])
    else:
        stride = round(x.shape[2] / y.shape[2])
        values = values[:, :, ::stride, ::stride]
    edge = min(2 * (weight.shape[-1] // 2), (y.shape[2] - 1) // 2)
    inner = np.s_[..., edge:y.shape[2] - edge, edge:y.shape[3] - edge]
    return values.shape == y.shape and close(y[inner], values[inner], 1e-3)

"""The hidden tests: what the arrays of each probe have to be, how many points they give, what the student reads.

``make_bundle`` runs the probes on the complete kit and stores inputs and expected arrays; ``judge``
compares a student's arrays with them.  The comparison takes place only in the grader's process.
"""

import io
import json
import math
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np

from support.files import write_atomically
from support.version import kit_version

# judge: function(expected, got) -> "" or what is wrong; expected and got are dicts of arrays.
Case = namedtuple("Case", "probe points en zh judge")
Verdict = namedtuple("Verdict", "probe points of en zh message")


def same(*names, tolerance=0.0):
    """Arrays that have to equal the expected ones, up to a share of the largest value."""
    def judge(expected, got):
        for name in names:
            wanted, found = expected[name], got[name]
            if wanted.shape != found.shape:
                return f"{name}: shape {found.shape}, expected {wanted.shape}"
            worst = np.abs(found.astype(float) - wanted).max()
            if not worst <= tolerance * max(1.0, np.abs(wanted).max()):
                shown = f"{found.tolist()}, expected {wanted.tolist()}" if wanted.size <= 12 else f"off by {worst:.3g}"
                return f"{name}: {shown}"
        return ""
    return judge


def near(*names, share):
    """Numbers within a share of the expected ones: one layer with or without a bias is no fault."""
    def judge(expected, got):
        for name in names:
            if not np.all(np.abs(got[name] - expected[name]) <= share * expected[name]):
                return f"{name}: {got[name].tolist()}, expected about {expected[name].tolist()}"
        return ""
    return judge


def alike(first, second):
    """Two arrays of the student's own that have to agree."""
    def judge(_, got):
        difference = np.abs(got[first] - got[second]).max() if got[first].shape == got[second].shape else math.inf
        size = np.abs(got[first]).max()
        if not size > 0:
            return "the output is zero everywhere"
        return "" if difference <= 1e-3 * size else f"{first} and {second} differ by {difference:.3g}"
    return judge


def gradients(_, got):
    if got["all"] == 0:
        return "the network has no trainable parameter"
    if got["without"]:
        return f"{int(got['without'])} of {int(got['all'])} parameters get no gradient"
    return f"{int(got['infinite'])} gradients are not finite" if got["infinite"] else ""


def _moves(got):
    return dict(zip(("gain", "slope", "offset"), got["after"] - got["before"]))


def content_only(expected, got):
    moved, wanted = _moves(got), _moves(expected)
    if moved["slope"] or moved["offset"]:
        return "the discriminator moved although its learning rate is 0"
    if not moved["gain"] > 0:
        return f"the generator moved by {moved['gain']:.4g}: away from HR, or not at all"
    return "" if abs(moved["gain"] / wanted["gain"] - 1) < 0.5 else (
        f"the generator moved by {moved['gain']:.4g}, expected {wanted['gain']:.4g}: are SR and HR in the same range?")


def adversarial_only(expected, got):
    moved, wanted = _moves(got), _moves(expected)
    return "" if moved["gain"] * wanted["gain"] > 0 else (
        f"the generator moved by {moved['gain']:.4g}, expected {wanted['gain']:.4g}: SR should be judged real")


def discriminator(expected, got):
    moved, wanted = _moves(got), _moves(expected)
    if moved["gain"]:
        return "the generator moved although its learning rate is 0"
    return "" if moved["slope"] * wanted["slope"] > 0 else (
        f"the slope moved by {moved['slope']:.4g}, expected {wanted['slope']:.4g}: HR is real (1), SR is not (0)")


def blind(_, got):
    moved = _moves(got)
    return "" if abs(moved["gain"]) < 1e-6 else (
        f"with features that are zero the generator moved by {moved['gain']:.4g}: the content loss does not use "
        "the features of the VGG that it is given")


def between(name, low, high):
    return lambda _, got: "" if low < float(got[name]) < high else (
        f"{name} is {float(got[name]):.3g}, expected between {low} and {high}")


def layer_counts(expected, got):
    norms, convolutions, transposed = got["counts"].T
    if np.any(transposed):
        return "there is a transposed convolution; the paper upscales by PixelShuffle"
    return same("counts")(expected, got)


CASES = (
    Case("generator_shapes", 8, "Generator: output shapes at x2, x4, x8 (figure 4)",
         "生成器：x2、x4、x8 的输出形状（图 4）", same("shapes")),
    Case("generator_parameters", 8, "Generator: number of parameters (figure 4)", "生成器：参数量（图 4）",
         near("default", "small", "more_blocks", share=0.02)),
    Case("generator_layers", 8, "Generator: convolutions and BatchNorms (section 2.1.1)",
         "生成器：卷积与 BatchNorm 的数目（2.1.1 节）", layer_counts),
    Case("generator_from_config", 3, "Generator(config) reads config.G and scaling_factor",
         "Generator(config) 读取 config.G 和 scaling_factor", same("counts")),
    Case("generator_last_layer", 5, "Generator: the last layer is linear (figure 4)",
         "生成器：最后一层是线性的（图 4）",
         between("mean", 5, 9)),
    Case("generator_is_convolutional", 5, "Generator: a shifted image gives the shifted result",
         "生成器：输入平移，输出随之平移", alike("whole", "moved")),
    Case("generator_in_eval_mode", 5, "Generator: in eval mode the result does not depend on the batch",
         "生成器：eval 模式下结果与同批图像无关", alike("alone", "in_batch")),
    Case("generator_gradients", 6, "Generator: every parameter gets a gradient", "生成器：每个参数都有梯度", gradients),
    Case("discriminator_shapes", 6, "Discriminator: one number per image, also for other crop sizes",
         "判别器：每张图输出一个数，其他裁剪尺寸也可以", same("elements")),
    Case("discriminator_parameters", 5, "Discriminator: number of parameters (figure 4)", "判别器：参数量（图 4）",
         near("default", "small", share=0.02)),
    Case("discriminator_layers", 6, "Discriminator: strides, channels, slopes (section 2.1.1)",
         "判别器：步长、通道数与斜率（2.1.1 节）",
         same("convolutions", "halvings", "batch_norms", "channels", "slopes", tolerance=1e-6)),
    Case("discriminator_logits", 4, "Discriminator: logits, no sigmoid", "判别器：输出 logit，不经 sigmoid",
         between("mean", -9, -5)),
    Case("discriminator_gradients", 4, "Discriminator: every parameter gets a gradient",
         "判别器：每个参数都有梯度", gradients),
    Case("vgg_features", 8, "TruncatedVGG19: the feature maps of given weights (equation 5)",
         "TruncatedVGG19：给定权重下的特征图（式 (5)）", same("12", "21", "22", tolerance=1e-4)),
    Case("vgg_is_frozen", 3, "TruncatedVGG19: frozen, but gradients pass through", "TruncatedVGG19：冻结，但能传回梯度",
         lambda _, got: (f"{int(got['trainable'])} of its parameters are trainable" if got["trainable"] else
                         "" if got["reaches"] > 0 else "no gradient reaches the image")),
    Case("train_content_only", 4, "train: the content loss moves SR towards HR (equations 4, 5)",
         "train：内容损失使 SR 靠近 HR（式 (4)、(5)）", content_only),
    Case("train_adversarial_only", 4, "train: the generator wants SR to be judged real (equation 6)",
         "train：生成器希望 SR 被判为真（式 (6)）", adversarial_only),
    Case("train_through_vgg", 4, "train: the content loss compares VGG features (equation 5)",
         "train：内容损失经由 VGG 特征计算（式 (5)）", blind),
    Case("train_discriminator", 4, "train: the discriminator tells HR from SR (equation 2)",
         "train：判别器区分 HR 与 SR（式 (2)）", discriminator),
)
TOTAL = sum(case.points for case in CASES)


def make_inputs(seed=0):
    """The inputs of all probes: random arrays, from which no expected value can be guessed."""
    rng = np.random.default_rng(seed)
    inputs = {"image": rng.random((1, 3, 48, 48), dtype=np.float32), "batch": rng.random((3, 3, 12, 12), np.float32),
              "patches": 2 * rng.random((2, 3, 48, 48), dtype=np.float32) - 1,
              "bright": 0.5 + 0.5 * rng.random((4, 3, 16, 16), dtype=np.float32)}
    for number, (c_in, c_out) in {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)}.items():
        std = math.sqrt(2 / (9 * c_in))
        inputs[f"features/{number}/weight"] = rng.normal(0, std, (c_out, c_in, 3, 3)).astype(np.float32)
        inputs[f"features/{number}/bias"] = rng.normal(0, 0.1, c_out).astype(np.float32)
    return inputs


def make_bundle(path, run_probes, seed=0, version=None):
    """Write the bundle (a zip file): inputs.npz, expected/<probe>.npz, points.json and the kit's version.

    Args:
        run_probes: function (inputs.npz, probes) -> dict probe -> dict of arrays, run on the complete kit.
        version: of that kit; it is named where the bundle does not fit.

    Raises:
        ValueError: if the complete kit itself does not get every point.
    """
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch, "inputs.npz")
        np.savez(inputs, **make_inputs(seed))
        expected = run_probes(inputs, [case.probe for case in CASES])
        missing = [case.probe for case in CASES if case.probe not in expected]
        if missing:
            raise ValueError(f"The complete kit fails its own hidden tests: {', '.join(missing)}.")
        verdicts = judge(expected, expected)
        wrong = [f"{verdict.probe}: {verdict.message}" for verdict in verdicts if verdict.points < verdict.of]
        if wrong:
            raise ValueError("The complete kit fails its own hidden tests: " + "; ".join(wrong))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inputs.npz", inputs.read_bytes())
            for name, arrays in expected.items():
                part = io.BytesIO()
                np.savez(part, **arrays)
                archive.writestr(f"expected/{name}.npz", part.getvalue())
            archive.writestr("points.json", json.dumps({case.probe: case.points for case in CASES}, indent=2))
            archive.writestr("kit.json", json.dumps({"version": version}))
    write_atomically(path, buffer.getvalue())


def read_bundle(path):
    """(bytes of inputs.npz, dict probe -> expected arrays) of a bundle.

    Raises:
        ValueError: if the file is not a bundle, or is one of another version of the kit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            points = json.loads(archive.read("points.json"))
            expected = {name: load_arrays(io.BytesIO(archive.read(f"expected/{name}.npz"))) for name in points}
            inputs = archive.read("inputs.npz")
            made_by = json.loads(archive.read("kit.json"))["version"] if "kit.json" in archive.namelist() else None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no bundle of hidden tests ({error}). "
                         "`python -m course release` writes one.") from error
    if points != {case.probe: case.points for case in CASES}:
        raise ValueError(f"{path} is a bundle of another version of the kit ({made_by or 'before 2.0.0'}; this is "
                         f"{kit_version()}). Make it again with `python -m course release`.")
    return inputs, expected


def load_arrays(file, most=64 * 2**20):
    """The arrays of an .npz file that may come from a stranger: no pickle, numbers only, not too many.

    Raises:
        ValueError: for anything else.
    """
    arrays, total = {}, 0
    try:
        with np.load(file, allow_pickle=False) as content:
            for info in content.zip.infolist():
                total += info.file_size
            if total > most:
                raise ValueError(f"{total} bytes of arrays")
            for name in content.files:
                arrays[name] = content[name]
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, AttributeError) as error:
        raise ValueError(f"no arrays: {error}") from error
    if any(array.dtype.kind not in "biuf" for array in arrays.values()):
        raise ValueError("arrays that hold no numbers")
    return arrays


def judge(expected, got, failures=None):
    """A Verdict for each case.

    Args:
        got: dict probe -> dict of arrays, of the student's code.
        failures: dict probe -> why there are no arrays.
    """
    verdicts = []
    for case in CASES:
        if case.probe in got:
            try:
                message = case.judge(expected[case.probe], got[case.probe])
            except Exception as error:          # arrays with other names or shapes
                message = f"the arrays cannot be compared: {type(error).__name__}: {error}"
        else:
            message = (failures or {}).get(case.probe, "not run")
        verdicts.append(Verdict(case.probe, 0 if message else case.points, case.points, case.en, case.zh, message))
    return verdicts

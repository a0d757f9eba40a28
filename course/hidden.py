"""The hidden tests: how many points each question gives, what the student reads, and the bundle that holds the points.

The questions are about behaviour and structure as the handout asks for them, with inputs and weights drawn anew for
each hand-in (``make_inputs``).  The answers are judged only in the grader's process (``judge``); nothing but a complete
answer that is right gives points.
"""

import io
import json
import math
import secrets
import zipfile
from collections import namedtuple

import numpy as np

from course import questions as q
from course.questions import Ask, Note
from support.files import write_atomically
from support.version import kit_version

# name: of the question; probe: whose arrays it looks at; judge: function of course/questions.py.
Case = namedtuple("Case", "name probe points en zh judge")
Verdict = namedtuple("Verdict", "name points of en zh message")
UNTOUCHED = ("this file is as it was handed out: nothing of yours is in it yet · "
             "这个文件与发下来的完全一样，还没有你自己写的代码")


def case(name, points, en, zh, probe=None, judge=None):
    return Case(name, probe or name, points, en, zh, judge or getattr(q, name))


CASES = (
    case("generator_shapes", 6, "Generator: output shapes at x2, x4, x8 (figure 4)",
         "生成器：x2、x4、x8 的输出形状（图 4）"),
    case("generator_settings", 4, "Generator: n_blocks, n_channels and Generator(config) have their effect",
         "生成器：n_blocks、n_channels 与 Generator(config) 都起作用"),
    case("generator_layers", 6, "Generator: two convolutions and two BatchNorms a block; kernel sizes (section 2.1.1)",
         "生成器：每个残差块两个卷积、两个 BatchNorm；卷积核大小（2.1.1 节）", "generator_walk"),
    case("generator_long_skip", 6, "Generator: a long skip leads past all blocks (figure 4)",
         "生成器：有一条跳过全部残差块的长跳接（图 4）", "generator_walk"),
    case("generator_residual_skips", 6, "Generator: each residual block is x + F(x) (figure 4)",
         "生成器：每个残差块都是 x + F(x)（图 4）", "generator_walk"),
    case("generator_norm_order", 4, "Generator: each BatchNorm follows a convolution (figure 4)",
         "生成器：每个 BatchNorm 都紧跟在卷积之后（图 4）", "generator_walk"),
    case("generator_prelu", 4, "Generator: PReLU, whose slope is learned (figure 4)",
         "生成器：激活函数是斜率可学习的 PReLU（图 4）", "generator_walk"),
    case("generator_subpixel", 5, "Generator: sub-pixel convolution makes pixels of channels (figure 4)",
         "生成器：用亚像素卷积把通道变成像素（图 4）", "generator_walk"),
    case("generator_end", 2, "Generator: nothing clamps the result (figure 4)", "生成器：输出没有被截断（图 4）",
         "generator_walk"),
    case("generator_is_convolutional", 2, "Generator: a shifted image gives the shifted result",
         "生成器：输入平移，输出随之平移", judge=q.alike("whole", "moved")),
    case("generator_in_eval_mode", 3, "Generator: in eval mode the result does not depend on the batch",
         "生成器：eval 模式下结果与同批图像无关", judge=q.alike("alone", "in_batch")),
    case("generator_gradients", 2, "Generator: every parameter gets a gradient", "生成器：每个参数都有梯度",
         judge=q.gradients),
    case("discriminator_sizes", 4, "Discriminator: one number per image", "判别器：每张图输出一个数"),
    case("discriminator_layers", 6, "Discriminator: channels, strides, linear layers (section 2.1.1)",
         "判别器：通道数、步长与全连接层（2.1.1 节）", "discriminator_walk"),
    case("discriminator_norms", 3, "Discriminator: BatchNorm behind every convolution but the first (figure 4)",
         "判别器：除第一个外，每个卷积之后都有 BatchNorm（图 4）", "discriminator_walk"),
    case("discriminator_slopes", 3, "Discriminator: LeakyReLU with slope 0.2 (section 2.1.1)",
         "判别器：斜率为 0.2 的 LeakyReLU（2.1.1 节）", "discriminator_walk"),
    case("discriminator_logits", 3, "Discriminator: logits, no sigmoid", "判别器：输出 logit，不经 sigmoid",
         "discriminator_walk"),
    case("discriminator_gradients", 2, "Discriminator: every parameter gets a gradient",
         "判别器：每个参数都有梯度", judge=q.gradients),
    case("vgg_features", 8, "TruncatedVGG19: the feature maps of given weights (equation 5)",
         "TruncatedVGG19：给定权重下的特征图（式 (5)）"),
    case("vgg_passes_gradients", 3, "TruncatedVGG19: gradients pass through", "TruncatedVGG19：能传回梯度"),
    case("train_content", 4, "train: the content loss moves SR towards HR, and only there (equations 4, 5)",
         "train：内容损失使 SR 靠近 HR，且仅此而已（式 (4)、(5)）", "train_generator"),
    case("train_adversarial", 3, "train: the generator wants SR to be judged real (equation 6)",
         "train：生成器希望 SR 被判为真（式 (6)）", "train_generator"),
    case("train_vgg", 2, "train: the content loss compares VGG features (equation 5)",
         "train：内容损失经由 VGG 特征计算（式 (5)）"),
    case("train_discriminator", 3, "train: the discriminator tells HR from SR (equation 2)",
         "train：判别器区分 HR 与 SR（式 (2)）"),
    case("train_fresh_gradients", 2, "train: each update uses its own gradients, and no others",
         "train：每次更新只用自己的梯度", "train_discriminator"),
    case("train_pretrain", 4, "pretrain: the loss falls (section 3.2)", "pretrain：损失确实下降（3.2 节）"),
)
# Each file is loaded once before anything else is asked of it: code that hangs there costs its own file's points.
PROBES = ("models_import", "solver_import", *dict.fromkeys(case.probe for case in CASES))
TOTAL = sum(case.points for case in CASES)


def file_of(probe):
    """Which of the student's files a probe is about."""
    return "solver.py" if probe.partition("_")[0] in ("train", "solver") else "models.py"


def make_inputs(seed=None):
    """The inputs of all probes, drawn anew: no answer can be prepared.

    Returns:
        dict name -> float32 array; images are in [0, 1].
    """
    rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
    inputs = {"image": rng.random((1, 3, 48, 48), dtype=np.float32), "other": rng.random((1, 3, 48, 48), np.float32),
              "batch": rng.random((3, 3, 12, 12), np.float32), "patch": rng.random((1, 3, 96, 96), np.float32),
              "patches": rng.random((4, 3, 96, 96), np.float32),
              "bright": 0.6 + 0.4 * rng.random((4, 3, 16, 16), dtype=np.float32),
              "draws": rng.uniform(-1, 1, 30_011).astype(np.float32)}
    for number, (c_in, c_out) in {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)}.items():
        std = math.sqrt(2 / (9 * c_in))
        # values that half precision holds
        inputs[f"features/{number}/weight"] = rng.normal(0, std, (c_out, c_in, 3, 3)).astype("f2").astype("f4")
        inputs[f"features/{number}/bias"] = rng.normal(0, 0.1, c_out).astype("f2").astype("f4")
    return inputs


def packed(inputs):
    """The inputs as the bytes of inputs.npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **inputs)
    return buffer.getvalue()


# ---------------------------------------------------------------- the bundle

def make_bundle(path, run_probes, version=None):
    """Write the bundle (a zip file): points.json, which a teacher may change, and the kit's version.

    Args:
        run_probes: function (bytes of inputs.npz, probes) -> sandbox.Outcome, run on the complete kit.
        version: of that kit; it is named where the bundle does not fit.

    Raises:
        ValueError: if the complete kit itself does not get every point.
    """
    inputs = make_inputs(seed=0)
    outcome = run_probes(packed(inputs), PROBES)
    wrong = [f"{verdict.name}: {verdict.message}" for verdict in judge(outcome.arrays, inputs, outcome.failures)
             if verdict.points < verdict.of]
    if wrong:
        raise ValueError("The complete kit fails its own hidden tests: " + "; ".join(wrong))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("points.json", json.dumps({case.name: case.points for case in CASES}, indent=2))
        archive.writestr("kit.json", json.dumps({"version": version}))
    write_atomically(path, buffer.getvalue())


def read_bundle(path):
    """dict name of a question -> points, of a bundle.

    Raises:
        ValueError: if the file is not a bundle, is one of another version of the kit, or its points are no hundred.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            points = json.loads(archive.read("points.json"))
            made_by = json.loads(archive.read("kit.json"))["version"] if "kit.json" in archive.namelist() else None
        names = set(points)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no bundle of hidden tests ({error}). "
                         "`python -m course release` writes one.") from error
    if names != {case.name for case in CASES}:
        raise ValueError(f"{path} is a bundle of another version of the kit ({made_by or 'before 2.0.0'}; this is "
                         f"{kit_version()}). Make it again with `python -m course release`.")
    if not all(type(value) is int and value >= 0 for value in points.values()) or sum(points.values()) != TOTAL:
        raise ValueError(f"{path}: the points in points.json have to be whole numbers that sum up to {TOTAL}.")
    return points


# ---------------------------------------------------------------- judging

def judge(arrays, inputs, failures=None, points=None, untouched=()):
    """A Verdict for each question.  One with all points and a message is right, and the message worth knowing.

    Args:
        arrays: dict probe -> dict of arrays, of the student's code.
        inputs: those from which it worked.
        failures: dict probe -> why there are no arrays.
        points: dict name -> points, of the bundle.
        untouched: the files that are as they were handed out.
    """
    ask, verdicts = Ask(arrays, inputs, {"generator": parameters_of_the_paper()}), []
    for case in CASES:
        of = (points or {}).get(case.name, case.points)
        message = _answer(case, ask, failures or {}, untouched)
        verdicts.append(Verdict(case.name, of if not message or isinstance(message, Note) else 0, of, case.en, case.zh,
                                str(message)))
    return verdicts


def _answer(case, ask, failures, untouched):
    file = file_of(case.probe)
    if file in untouched:
        return f"{file}: {UNTOUCHED}"
    loaded = f"{file.removesuffix('.py')}_import"
    if loaded not in ask.answers:
        return f"{file} cannot be loaded: {failures.get(loaded, 'not run')}"
    if case.probe not in ask.answers:
        return failures.get(case.probe, "not run")
    try:
        return case.judge(ask.answers[case.probe], ask)
    except Exception as error:          # arrays with other names or shapes, or another answer that is missing
        return f"the answer cannot be judged: {type(error).__name__}: {error}"


def parameters_of_the_paper(channels=8, blocks=3, large=5, small=3, doublings=2):
    """Parameters of the small generator in probes.py: figure 4, one slope a PReLU, no bias before BatchNorm."""
    inner = channels * channels * small * small
    block = 2 * (inner + 2 * channels) + 1
    ends = 3 * channels * large * large + channels + 1 + channels * 3 * large * large + 3
    return ends + blocks * block + inner + 2 * channels + doublings * (4 * inner + 4 * channels + 1)


def unfitting(arrays, inputs):
    """A flag if answers do not fit the weights that were drawn for this hand-in: a person has to look at the code."""
    wrong = 0
    for name in ("generator_walk", "discriminator_walk"):
        try:
            wrong += q.recomputed(arrays[name], inputs["draws"]) if name in arrays else 0
        except Exception:                # arrays with other names or shapes
            wrong += 1
    return [f"{wrong} layers do not give what their weights have to give: an unusual layer, or answers that were "
            "made up; look at the code"] if wrong else []

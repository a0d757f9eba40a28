"""Results that hold more of HR than an x4 network can know, and results of networks, which do not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

import extensions  # noqa: F401 - A2N registers itself
from course.check import same_picture
from course.reach import beyond_reach
from imresize import imresize
from inference import load_generator
from metrics import psnr
from support.checkpoints import shipped_names
from support.enlarging import super_resolve
from support.images import read_image
from tests.helpers import photo

KNOWN, ANOTHER = ("srresnet-small-x4", "a2n-small-x4"), "srgan-mse-x4"      # one that the grader does not know


def set_of(hr, lr, names=KNOWN):
    """The references of an image as ``with_shipped`` makes them."""
    made = {f"the kit's {name}": super_resolve(load_generator(name), lr) for name in names}
    return {"HR": hr, "bicubic": imresize(lr, 4), "LR": lr.repeat(4, axis=0).repeat(4, axis=1), **made}


@pytest.fixture(scope="module", params=[("astronaut.png", 20, 130), ("chelsea.png", 60, 120)])
def image(request):
    """(references, what another network makes of LR, the same by its self-ensemble)."""
    hr = photo(*request.param, 160, 192)
    lr, other = imresize(hr, 1 / 4), load_generator(ANOTHER)
    return set_of(hr, lr), super_resolve(other, lr), super_resolve(other, lr, self_ensemble=True)


def rounded(values):
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def noisy(picture, strength):
    return rounded(picture + np.random.default_rng(0).normal(0, strength, picture.shape))


def through(picture, change):
    return np.array(change(Image.fromarray(picture)))


def jpeg(picture, quality):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.array(image.convert("RGB"))


def blurred(picture, sigma):
    return through(picture, lambda image: image.filter(ImageFilter.GaussianBlur(sigma)))


# name -> function (HR, a network's result) -> what somebody might hand in
FAKES = {
    "noise that nobody sees": lambda hr, sr: noisy(hr, 1.2),
    "noise that is seen": lambda hr, sr: noisy(hr, 6),
    "JPEG": lambda hr, sr: jpeg(hr, 85),
    "blurred a little": lambda hr, sr: blurred(hr, 0.6),
    "blurred": lambda hr, sr: blurred(hr, 1.0),
    "brighter": lambda hr, sr: rounded(hr + 10.0),
    "other colours": lambda hr, sr: rounded(hr * [1.05, 0.97, 1.0] + [3, -2, 5]),
    "gamma": lambda hr, sr: rounded(255 * (hr / 255) ** 0.9),
    "moved by a pixel": lambda hr, sr: np.roll(hr, (1, 1), axis=(0, 1)),
    "half of it": lambda hr, sr: rounded(0.5 * hr + 0.5 * sr),
    "a third of it": lambda hr, sr: rounded(0.35 * hr + 0.65 * sr),
    "half of it, over bicubic": lambda hr, sr: rounded(0.5 * hr + 0.5 * imresize(imresize(hr, 1 / 4), 4)),
    "learnt by heart": lambda hr, sr: rounded(hr + 0.2 * (sr.astype(float) - hr)),
}


@pytest.mark.parametrize("name", list(FAKES))
def test_hr_in_disguise_is_found(image, name):
    references, network, _ = image
    fake = FAKES[name](references["HR"], network)
    # Where hardly a grey level differs, it is flagged as HR itself.
    assert same_picture(fake, references["HR"]) or "HR follows from it" in beyond_reach(fake, references)


@pytest.mark.parametrize("change", [lambda sr: sr, lambda sr: noisy(sr, 3), lambda sr: blurred(sr, 1), lambda sr: jpeg(
    sr, 60), lambda sr: through(sr, lambda image: image.filter(ImageFilter.UnsharpMask(2, 150, 0)))])
def test_what_a_network_makes_of_lr_is_never_flagged(image, change):
    references, network, ensemble = image
    for honest in (network, ensemble, *(references[kind] for kind in references if kind != "HR")):
        assert beyond_reach(change(honest), references) == ""


def test_where_no_network_is_known_nothing_is_said(image):
    references = {kind: picture for kind, picture in image[0].items() if not kind.startswith("the kit's")}
    assert beyond_reach(references["HR"], references) == ""


@pytest.mark.slow
def test_on_the_real_set5_the_limits_lie_far_above_every_published_result(benchmark):
    """The best published mean on Set5 is 33.4 dB; a network of that kind gains on ours what ours gain on bicubic."""
    names, limits = [name for name in shipped_names() if not hasattr(load_generator(name), "n_steps")], []
    for _, hr, lr in benchmark["Set5"]:
        hr, lr = read_image(hr)[0], read_image(lr)[0]
        hr = hr[:4 * lr.shape[0], :4 * lr.shape[1]]
        references = set_of(hr, lr, names)
        limits.append(float(beyond_reach(noisy(hr, 1.2), references).split("at most ")[1].split()[0]))
        assert limits[-1] > 3 + max(psnr(picture, hr) for kind, picture in references.items() if "kit's" in kind)
        for name in names:                     # each as if it were a student's, not known to the grader
            others = {kind: picture for kind, picture in references.items() if not kind.endswith(name)}
            assert beyond_reach(references[f"the kit's {name}"], others) == ""
        for share in (0.5, 0.35):
            mixed = rounded(share * hr + (1 - share) * noisy(references["the kit's srgan-mse-x4"], 2))
            assert beyond_reach(mixed, references)
    assert 36 < sum(limits) / 5 < 38

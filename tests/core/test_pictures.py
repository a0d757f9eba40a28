"""What people bring: transparency, grey, flat areas, colour profiles, EXIF, depth; each input is made here."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from create_data_lists import main as data_lists
from imresize import imresize
from metrics import three_channels
from support.image_store import ImageStore
from support.images import TooManyBits, read_image
from support.pictures import Picture, enlarge, read_picture, save_picture, settle
from tests.helpers import photo, write_image

MAGENTA = (255, 0, 255)


def bicubic(lr):
    return imresize(lr, 4)


def sharpening(lr):
    """A stand-in for a network: it looks 5 pixels far, exaggerates, tints, and makes a pattern of 4 x 4."""
    sr = imresize(lr, 4).astype(int)
    sr += (sr - np.roll(sr, (20, 20), axis=(0, 1))) // 8
    sr[::4, ::4] += (-2, -2, 2)
    return np.clip(sr, 0, 255).astype(np.uint8)


def disc(side=48, radius=16):
    y, x = np.mgrid[:side, :side]
    return np.hypot(y - side / 2 + 0.5, x - side / 2 + 0.5) < radius


def over(rgba, ground):
    """A picture on a ground of one grey level, as a viewer shows it: float (h, w, 3)."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + ground * (1 - alpha)


def saved(path, picture, upscale=bicubic):
    """What is written for a picture, opened by Pillow."""
    save_picture(path, enlarge(picture, upscale), picture)
    with Image.open(path) as image:
        image.load()
        return image


# ---------------------------------------------------------------- transparency

def hard_disc(hidden):
    rgb = np.full((48, 48, 3), hidden, np.uint8)
    rgb[disc()] = (232, 213, 89)
    return np.dstack([rgb, 255 * disc().astype(np.uint8)])


def hard_photo(hidden):
    rgb = photo("coffee.png", 100, 200, 48, 48)
    rgb[~disc()] = hidden
    return np.dstack([rgb, 255 * disc().astype(np.uint8)])


def soft_photo(hidden):
    y, x = np.mgrid[:48, :48]
    alpha = np.clip(20 * (20 - np.hypot(y - 23.5, x - 23.5)), 0, 255).astype(np.uint8)
    rgb = photo("coffee.png", 100, 200, 48, 48)
    rgb[alpha == 0] = hidden
    return np.dstack([rgb, alpha])


# At a hard edge, bicubic interpolation swings 7% over; a mask of 8 bits cannot, so there it is 30 and not 12.
@pytest.mark.parametrize("make, levels", [(hard_disc, 30), (hard_photo, 30), (soft_photo, 12)])
@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("hidden", [(0, 0, 0), MAGENTA])
def test_a_cut_out_picture_looks_as_if_it_had_been_upscaled_on_its_ground(tmp_path, make, levels, ground, hidden):
    rgba = make(hidden)
    sr = enlarge(read_picture(write_image(tmp_path / "a.png", rgba)), bicubic)
    expected = imresize((over(rgba, ground) + 0.5).astype(np.uint8), 4)
    assert np.abs(over(sr, ground) - expected)[sr[..., 3] > 0].max() <= levels


@pytest.mark.parametrize("make", [hard_disc, hard_photo, soft_photo])
def test_hidden_colours_change_nothing_at_all(tmp_path, make):
    results = [enlarge(read_picture(write_image(tmp_path / "a.png", make(hidden))), sharpening)
               for hidden in ((0, 0, 0), MAGENTA, (1, 254, 3))]
    assert all((results[0] == other).all() for other in results[1:])


def kinds_of_transparency(folder, hidden):
    """Files of a yellow disc, around it the hidden colour, in every kind of transparency."""
    rgba, mask, yellow = hard_disc(hidden), Image.fromarray(255 * disc().astype(np.uint8)), (232, 213, 89)
    rgb = Image.fromarray(np.ascontiguousarray(rgba[..., :3]))
    grey = Image.fromarray(np.where(disc(), 213, hidden[1]).astype(np.uint8))
    palette = Image.frombytes("P", (48, 48), disc().astype(np.uint8).tobytes())
    palette.putpalette([*hidden, *yellow])
    write_image(folder / "rgba.png", rgba)
    write_image(folder / "la.png", Image.merge("LA", [grey, mask]))
    write_image(folder / "keyed.png", rgb, transparency=hidden)
    write_image(folder / "keyed_grey.png", grey, transparency=hidden[1])
    write_image(folder / "palette.png", palette, transparency=0)
    write_image(folder / "palette_soft.png", palette, transparency=bytes([0, 255]))
    write_image(folder / "two_colours.gif", palette, transparency=0)
    write_image(folder / "one_bit.png", Image.fromarray(disc()), transparency=0)
    write_image(folder / "exact.webp", Image.fromarray(rgba), lossless=True, exact=True)
    write_image(folder / "rgba.tif", Image.fromarray(rgba))
    return sorted(folder.iterdir())


def test_in_every_kind_of_transparency_hidden_colours_do_not_reach_visible_ones(tmp_path):
    for path in kinds_of_transparency(tmp_path, MAGENTA):
        picture = read_picture(path)
        assert (picture.alpha == 255 * disc()).all(), path
        sr = enlarge(picture, sharpening)
        inside = sr[sr[..., 3] > 0][:, :3].astype(int)
        colour = picture.lr[24, 24].astype(int)
        assert np.abs(inside - colour).max() <= 1, path
        assert set(map(tuple, picture.lr.reshape(-1, 3))) == {tuple(colour)}, path


def test_colours_that_are_hardly_visible_do_not_reach_the_others(tmp_path):
    rgba = hard_disc((0, 0, 0))
    rgba[~disc()] = (*MAGENTA, 2)
    sr = enlarge(read_picture(write_image(tmp_path / "a.png", rgba)), sharpening)
    clean = enlarge(read_picture(write_image(tmp_path / "b.png", hard_disc((0, 0, 0)))), sharpening)
    assert (sr[..., :3] == clean[..., :3]).all()


def test_a_picture_that_is_wholly_hidden_has_no_colours(tmp_path):
    rgba = np.dstack([photo("coffee.png", 0, 0, 12, 16), np.zeros((12, 16), np.uint8)])
    sr = enlarge(read_picture(write_image(tmp_path / "a.png", rgba)), bicubic)
    assert not sr.any()


# ---------------------------------------------------------------- grey and flat

def test_grey_stays_grey_whatever_the_file_calls_it(tmp_path):
    grey = Image.fromarray(photo("camera.png", 100, 200, 32, 40))
    files = {"l.png": (grey, {}), "rgb.png": (grey.convert("RGB"), {}), "rgb.jpg": (grey.convert("RGB"), {}),
             "l.jpg": (grey, {}), "one_bit.png": (grey.convert("1"), {}), "palette.png": (grey.convert("P"), {}),
             "rgba.png": (grey.convert("RGBA"), {}), "la.png": (grey.convert("LA"), {}), "l.tif": (grey, {}),
             "16_levels.png": (grey.quantize(16).convert("L").convert("P"), {"bits": 4}), "l.gif": (grey, {})}
    for name, (image, options) in files.items():
        picture = read_picture(write_image(tmp_path / name, image, **options))
        result = saved(tmp_path / "sr" / f"{name}.png", picture, sharpening)
        assert result.mode == ("LA" if name in ("rgba.png", "la.png") else "L"), name
        assert result.size == (160, 128)


def test_grey_of_a_lossy_webp_is_grey_though_single_pixels_are_a_level_off(tmp_path):
    path = write_image(tmp_path / "a.webp", Image.fromarray(photo("camera.png", 100, 200, 128, 128)), quality=80)
    picture = read_picture(path)
    assert np.ptp(read_image(path)[0].astype(int), axis=2).max() == 1             # or this test shows nothing
    assert saved(tmp_path / "sr.png", picture, sharpening).mode == "L" and "became grey" in picture.notice


def test_a_coloured_picture_stays_coloured(tmp_path):
    lr = np.full((8, 8, 3), 100, np.uint8)
    lr[3, 3] = (100, 101, 100)
    picture = Picture(lr, None, None, "")
    assert saved(tmp_path / "a.png", picture, lambda lr: imresize(lr, 4) + np.uint8([0, 1, 0])).mode == "RGB"


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (30, 80, 200)])
def test_flat_areas_stay_flat_also_at_the_border(colour):
    lr = np.full((150, 40, 3), colour, np.uint8)
    lr[70:90, 10:30] = photo("coffee.png", 100, 200, 20, 20)
    sr = settle(lr, sharpening(lr))
    for flat in (sr[:4 * 64], sr[4 * 96:], sr[:, :4 * 4], sr[:, -4 * 4:]):
        assert np.abs(flat.astype(int) - colour).max() <= 1
    assert (sr[4 * 70:4 * 90, 4 * 10:4 * 30] == sharpening(lr)[4 * 70:4 * 90, 4 * 10:4 * 30]).all()


def test_a_photograph_without_flat_areas_is_the_networks_own():
    lr = photo("coffee.png", 100, 200, 80, 48)
    noisy = np.clip(lr + np.random.default_rng(0).integers(-9, 10, lr.shape), 0, 255).astype(np.uint8)
    sr = sharpening(noisy)
    assert settle(noisy, sr) is not sr and (settle(noisy, sr) == sr).all()


def test_bands_make_no_seam():
    lr = np.full((200, 24, 3), 200, np.uint8)
    lr[::37] = 90
    lr[:, 20:] += np.arange(200, dtype=np.uint8)[:, None, None] % 3
    whole, sr = settle(lr, sharpening(lr)), sharpening(lr)
    for top in (0, 30, 101):
        part = settle(lr[top:top + 90], sr[4 * top:4 * (top + 90)])
        assert (part[80:-80] == whole[4 * top + 80:4 * (top + 90) - 80]).all()


# ---------------------------------------------------------------- profiles, EXIF, resolution

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_for(space):
    """An ICC profile whose header says another colour space; only the header is looked at before Pillow's ImageCms."""
    return SRGB[:16] + space + SRGB[20:]


def test_a_profile_that_fits_is_kept(tmp_path):
    colour, grey = photo("coffee.png", 100, 200, 12, 16), photo("camera.png", 0, 0, 12, 16)
    palette = Image.fromarray(colour).quantize(16)
    for name, image, profile, mode in [
            ("rgb.png", Image.fromarray(colour), SRGB, "RGB"), ("rgb.jpg", Image.fromarray(colour), SRGB, "RGB"),
            ("rgba.png", Image.fromarray(colour).convert("RGBA"), SRGB, "RGBA"), ("palette.png", palette, SRGB, "RGB"),
            ("grey.png", Image.fromarray(grey), profile_for(b"GRAY"), "L"),
            ("grey.jpg", Image.fromarray(grey), profile_for(b"GRAY"), "L"),
            ("la.png", Image.fromarray(grey).convert("LA"), profile_for(b"GRAY"), "LA")]:
        picture = read_picture(write_image(tmp_path / name, image, icc_profile=profile))
        result = saved(tmp_path / "sr" / f"{name}.png", picture)
        assert result.info["icc_profile"] == profile and result.mode == mode, name
    palette.save(tmp_path / "p.png", icc_profile=SRGB, transparency=3)
    assert saved(tmp_path / "q.png", read_picture(tmp_path / "p.png")).info["icc_profile"] == SRGB


@pytest.mark.parametrize("name, mode, profile", [("a.jpg", "L", SRGB), ("a.png", "L", b"none at all"),
                                                 ("a.png", "RGB", profile_for(b"GRAY")),
                                                 ("a.png", "P", profile_for(b"CMYK"))])
def test_a_profile_that_does_not_fit_is_said_to_be_lost(tmp_path, name, mode, profile):
    image = Image.fromarray(photo("coffee.png", 100, 200, 12, 16)).convert(mode)
    picture = read_picture(write_image(tmp_path / name, image, icc_profile=profile))
    assert picture.profile is None and "its colour profile was left out" in picture.notice


def test_a_lab_tiff_is_converted_and_its_second_band_is_no_mask(tmp_path):
    colours = np.zeros((8, 24, 3), np.uint8)
    colours[:, :8], colours[:, 8:16], colours[:, 16:] = (200, 60, 60), (60, 140, 70), (128, 128, 128)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    write_image(tmp_path / "a.tif", ImageCms.applyTransform(Image.fromarray(colours), to_lab))
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is None and "LAB" in picture.notice
    assert np.abs(picture.lr.astype(int) - colours).max() <= 4          # LAB in 8 bits is coarse
    assert np.abs(read_image(tmp_path / "a.tif")[0].astype(int) - colours).max() <= 4


def test_cmyk_without_a_usable_profile_says_so(tmp_path):
    cyan = Image.new("CMYK", (16, 12), (255, 0, 0, 0))
    for profile, why in ((None, "no colour profile"), (b"of ink", "cannot be used"),
                         (profile_for(b"CMYK"), "cannot be used")):
        cyan.save(tmp_path / "a.jpg", **({"icc_profile": profile} if profile else {}))
        picture = read_picture(tmp_path / "a.jpg")
        assert picture.profile is None and why in picture.notice


def test_date_place_and_resolution_stay_and_orientation_does_not(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[306], exif[271], exif[40091] = 6, "2024:05:01 10:00:00", "A maker", b"t\0i\0"
    exif[0x8769] = {36867: "2024:05:01 09:59:58", 33434: 0.01, 0xA002: 36, 0xA003: 24, 0x927C: b"offsets"}
    exif[0x8825] = {1: "N", 2: (31.0, 14.0, 0.0)}
    lr = photo("coffee.png", 100, 200, 24, 36)
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        picture = read_picture(write_image(tmp_path / name, Image.fromarray(lr), exif=exif.tobytes(), dpi=(300, 300)))
        result = saved(tmp_path / "sr" / f"{name}.png", picture)
        kept = result.getexif()
        assert result.size == (96, 144) and kept.get(0x0112, 1) == 1 and kept[271] == "A maker", name
        assert kept[306] == "2024:05:01 10:00:00" and 256 not in kept and 273 not in kept, name
        assert kept.get_ifd(0x8769)[36867] == "2024:05:01 09:59:58" and float(kept.get_ifd(0x8769)[33434]) == 0.01
        assert not {0xA002, 0xA003, 0x927C} & set(kept.get_ifd(0x8769)), name
        assert kept.get_ifd(0x8825)[1] == "N", name
        if name != "a.webp":                                    # it has no place for the resolution
            assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1), name


def test_a_picture_without_exif_gets_none(tmp_path):
    picture = read_picture(write_image(tmp_path / "a.png", photo("coffee.png", 0, 0, 12, 16)))
    assert picture.kept == {} and not saved(tmp_path / "b.png", picture).getexif()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")           # pytest undoes the kit's own filters
def test_damaged_exif_is_said_and_ends_nothing(tmp_path):
    image = Image.fromarray(photo("coffee.png", 0, 0, 12, 16))
    damaged = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x12" * 9, b"Exif\0\0", b"Exif\0\0XX" + b"\1" * 40
    for n, exif in enumerate(damaged):
        picture = read_picture(write_image(tmp_path / f"{n}.jpg", image, exif=exif))
        assert saved(tmp_path / f"{n}.png", picture).size == (64, 48)
        assert "EXIF data" in picture.notice or n == 1


# ---------------------------------------------------------------- depth and layout

def tiff(path, bands, kind=1, planar=False, photometric=2, extra=None, bits=None):
    """An uncompressed TIFF of an array (H, W, C), from its tags: 258 bits, 339 kind of number, 284 planes, 338 more."""
    height, width, n = bands.shape
    data = (bands.transpose(2, 0, 1) if planar else bands).tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[256], tags[257], tags[258] = width, height, (bits or 8 * bands.itemsize,) * n
    tags[259], tags[262], tags[277], tags[278] = 1, photometric, n, height
    tags[284], tags[339] = 1 + planar, (kind,) * n
    if extra is not None:
        tags[338] = extra
    n_strips = n if planar else 1
    size = len(data) // n_strips
    tags[273] = tuple(size * k for k in range(n_strips))           # tobytes adds its own length
    tags[279] = (size,) * n_strips
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + data)
    return path


def sgi_16(path, image):
    h, w, n = image.shape
    planes = b"".join((image[::-1, :, k].astype(">u2") * 257).tobytes() for k in range(n))
    path.write_bytes(struct.pack(">HBBHHHH", 474, 0, 2, 3, w, h, n).ljust(512, b"\0") + planes)
    return path


def deep_files(folder):
    """(file, what has to be said about it) of every kind that is not plain 8 bits."""
    image = photo("coffee.png", 100, 200, 12, 16)
    deep, grey = image.astype("<u2") * 257, image[..., :1]
    yield tiff(folder / "planar16.tif", deep, planar=True), "16 bits a channel"
    yield tiff(folder / "rgb16.tif", deep), "16 bits a channel"
    yield tiff(folder / "grey16.tif", deep[..., :1], photometric=1), "16 bits a channel"
    yield tiff(folder / "float16.tif", grey.astype("<f2"), 3, photometric=1), "16 bits a channel, floating-point"
    yield tiff(folder / "float32.tif", image.astype("<f4"), 3), "32 bits a channel, floating-point"
    yield tiff(folder / "float64.tif", grey.astype("<f8"), 3, photometric=1), "64 bits a channel, floating-point"
    yield tiff(folder / "signed.tif", (grey // 2).astype("i1"), 2, photometric=1), "8 bits a channel, signed"
    yield tiff(folder / "five.tif", np.dstack([image, image[..., :2]]), extra=(0, 0)), "5 bands"
    yield tiff(folder / "infrared.tif", np.dstack([image, grey]), extra=0), "4 bands"
    yield tiff(folder / "two.tif", image[..., :2].copy(), photometric=1), "2 bands"
    yield sgi_16(folder / "deep.sgi", image), "16 bits a channel"
    (folder / "deep.ppm").write_bytes(b"P6\n# a comment\n16 12\n65535\n" + deep.astype(">u2").tobytes())
    yield folder / "deep.ppm", "16 bits a channel"
    (folder / "float.pfm").write_bytes(b"Pf\n16 12\n-1.0\n" + grey.astype("<f4").tobytes())
    yield folder / "float.pfm", "32 bits a channel"
    yield write_image(folder / "deep.png", Image.fromarray(deep[..., 0])), "16 bits a channel"
    Image.fromarray(image).save(folder / "deep.jpg")
    data = bytearray((folder / "deep.jpg").read_bytes())
    data[data.index(b"\xff\xc0") + 4] = 12                      # as cameras in medicine write them
    (folder / "deep.jpg").write_bytes(data)
    yield folder / "deep.jpg", "12 bits a channel"


def test_what_is_not_plain_8_bits_gets_one_refusal_everywhere(tmp_path):
    for path, said in deep_files(tmp_path):
        for read in (read_image, read_picture):
            with pytest.raises(TooManyBits, match=f"{path.name} has {said}.*: only 8 bits.*Convert it to 8-bit"):
                read(path)
        assert f"has {said}" in ImageStore(None).prepare([path], "")[path]


def test_8_bits_in_an_unusual_order_are_read_right(tmp_path):
    image = photo("coffee.png", 100, 200, 12, 16)
    alpha = np.dstack([image, image[..., :1]])
    for path, bands in ((tiff(tmp_path / "planar.tif", image, planar=True), image),
                        (tiff(tmp_path / "a.tif", image), image),
                        (tiff(tmp_path / "alpha.tif", alpha, extra=2, planar=True), alpha)):
        picture = read_picture(path)
        assert (picture.lr == bands[..., :3]).all() and (picture.alpha is None) == (bands is image)
    (tmp_path / "a.ppm").write_bytes(b"P6 16 12 255\n" + image.tobytes())
    assert (read_image(tmp_path / "a.ppm")[0] == image).all()


def test_check_refuses_deep_files_in_the_same_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    image, folder = photo("coffee.png", 100, 200, 48, 56), tmp_path / "data"
    for k in range(3):
        write_image(folder / "HR" / f"{k}.png", image)
        write_image(folder / "LR" / f"{k}x4.png", imresize(image, 0.25))
    tiff(folder / "HR/1.tif", image.astype("<u2") * 257, planar=True)
    rows = ["HR/0.png,LR/0x4.png", "HR/1.tif,LR/1x4.png"]
    (folder / "train_images.csv").write_text("\n".join(rows), encoding="utf-8")
    assert data_lists(["--root", str(folder), "--check"]) == 1
    assert "It has 16 bits a channel: only 8 bits a channel, grey or RGB, are read here." in capsys.readouterr().out


def test_a_raw_photograph_is_not_replaced_by_its_thumbnail(tmp_path):
    path = tiff(tmp_path / "a.tif", photo("coffee.png", 100, 200, 12, 16))
    (tmp_path / "a.nef").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="a.nef cannot be read.*Develop these raw photographs"):
        read_picture(tmp_path / "a.nef")


@pytest.mark.parametrize("content, said", [
    (b"\0\0\0\x18ftypheic\0\0\0\0", "it is HEIC.*Export them"), (b"\xff\x0a\0\0", "it is JPEG XL.*Export them"),
    (b"<!DOCTYPE html><html>404</html>", "it is a web page.*Fetch or copy it again"), (b"", "the file is empty"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*git lfs pull"), (b"%PDF-1.4", "a PDF"),
    (b"<svg xmlns='x'/>", "an SVG drawing"), (b"no picture", "cannot identify image file.*Fetch or copy it again")])
def test_what_is_called_jpg_and_is_something_else_is_said_by_its_content(tmp_path, content, said):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.jpg cannot be read as an image \\(.*{said}"):
        read_picture(tmp_path / "a.jpg")


def test_a_png_whose_gamma_is_unusual_says_so(tmp_path):
    for gamma, notice in ((45455, False), (100000, True)):
        data = write_image(tmp_path / "a.png", photo("coffee.png", 0, 0, 12, 16)).read_bytes()
        chunk = b"gAMA" + struct.pack(">I", gamma)
        (tmp_path / "a.png").write_bytes(data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
                                         + data[33:])
        assert ("its gamma of 1.000 is not kept" in read_picture(tmp_path / "a.png").notice) == notice


def test_a_decompression_bomb_warning_is_never_shown(tmp_path, monkeypatch, recwarn):
    path = write_image(tmp_path / "a.png", photo("coffee.png", 0, 0, 20, 20))
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 300)
    assert three_channels(read_image(path)[0]).shape == (20, 20, 3)


# ---------------------------------------------------------------- ink

INKS = np.array([(0, 150, 218), (226, 0, 122), (255, 236, 0), (30, 30, 30)])           # C, M, Y, K, as sRGB shows them


def ink_profile():
    """A small but whole CMYK profile: the inks lie over each other like filters, their 16 mixtures are its table."""
    corners = np.array([[(n >> bit) & 1 for bit in (3, 2, 1, 0)] for n in range(16)])             # K changes fastest
    rgb = 255 * np.prod(np.where(corners[..., None], INKS / 255, 1), axis=1)
    lab = ImageCms.profileToProfile(Image.fromarray(np.round(rgb).astype(np.uint8)[None]),
                                    ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    table = np.array(lab)[0] ^ np.uint8([0, 128, 128])             # Pillow's a and b have a sign
    identity = bytes(range(256))
    a2b0 = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel().tolist())
    a2b0 += 4 * identity + table.tobytes() + 3 * identity
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, at, data = [(b"A2B0", a2b0), (b"wtpt", white)], 128 + 4 + 24, b""
    directory = struct.pack(">I", 2)
    for name, content in tags:
        content += b"\0" * (-len(content) % 4)
        directory += name + struct.pack(">II", at + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s12s4s", at + len(data), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ",
                         b"\x07\xe8" + b"\0\1" * 5, b"acsp").ljust(68, b"\0")
    return (header + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + directory + data


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_converted_by_its_profile(tmp_path, name):
    inks = np.zeros((8, 32, 4), np.uint8)
    for n in range(4):
        inks[:, 8 * n:8 * n + 8, n] = 255
    write_image(tmp_path / name, Image.frombytes("CMYK", (32, 8), inks.tobytes()), icc_profile=ink_profile(),
                **({"quality": 100, "subsampling": 0} if name == "a.jpg" else {}))
    picture = read_picture(tmp_path / name)
    for n in range(4):
        assert np.abs(picture.lr[4, 8 * n + 4].astype(int) - INKS[n]).max() <= 12, n
    assert picture.profile is None and "by its profile" in picture.notice
    assert "icc_profile" not in saved(tmp_path / "sr.png", picture).info


# ---------------------------------------------------------------- more of the kind: said, and nothing made up

def test_a_damaged_profile_is_not_handed_on_as_if_it_were_one(tmp_path):
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey, colour = Image.new("L", (9, 9), 77), Image.new("RGB", (9, 9), (1, 99, 2))
    for name, profile in (("short", b"hello"), ("cut", whole[:200]), ("kind", whole[:16] + b"2CLR" + whole[20:])):
        for image in (grey, colour):
            picture = read_picture(write_image(tmp_path / f"{name}.png", image, icc_profile=profile))
            assert picture.profile is None and "damaged" in picture.notice, (name, image.mode)
    assert read_picture(write_image(tmp_path / "whole.png", colour, icc_profile=whole)).profile == whole


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "rotated.jpg", "a.png", "a.webp"])
def test_a_resolution_that_the_file_does_not_say_is_not_made_up(tmp_path, name):
    exif = Image.Exif()
    if "rotated" in name:                        # a JPEG with EXIF, of which Pillow says 72 dpi
        exif[0x0112] = 3
    image = Image.new("RGB", (8, 6), (1, 99, 2))
    path = write_image(tmp_path / name, image, **({"exif": exif} if len(exif) else {}))
    assert "dpi" not in read_picture(path).kept
    if not name.endswith("webp"):                # these keep none
        again = read_picture(write_image(tmp_path / "said" / name, image, dpi=(300, 300)))
        assert again.kept["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_a_text_in_exif_keeps_its_letters(tmp_path):
    exif = Image.Exif()
    texts = {270: "小明的猫", 315: "José", 33432: "© 王"}
    for tag, text in texts.items():              # as bytes: Pillow writes "?" for these letters
        exif[tag] = text.encode()
    path = write_image(tmp_path / "a.jpg", Image.new("RGB", (8, 6)), exif=exif)
    found = saved(tmp_path / "sr.png", read_picture(path)).getexif()
    assert {tag: found[tag].encode("latin-1").decode() for tag in texts} == texts


def test_a_tiff_that_was_turned_says_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (8, 6))
    for name in ("a.tif", "a.jpg", "a.png"):
        picture = read_picture(write_image(tmp_path / name, image, exif=exif))
        assert picture.lr.shape == (8, 6, 3) and "turned upright" in picture.notice, name


def tiff_of(path, n_bands, photometric, compression=1, cut=0):
    """An uncompressed TIFF of 8 x 6 pixels and 8 bits, as a program writes it that knows more kinds than Pillow."""
    pixels = bytes(48 * n_bands)
    tags = [(256, 8), (257, 6), (258, 8), (259, compression), (262, photometric), (273, 8), (277, n_bands), (278, 6),
            (279, len(pixels)), (284, 1), (338, 2)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(struct.pack("<4sI", b"II*\0", 8 + len(pixels)) + pixels
                     + struct.pack("<H", len(tags)) + entries + bytes(4))
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


@pytest.mark.parametrize("bands, photometric, compression", [(5, 5, 1), (3, 2, 34712), (3, 2, 50001), (4, 6, 1)])
def test_a_whole_tiff_that_pillow_does_not_know_is_not_to_be_fetched_again(tmp_path, bands, photometric, compression):
    with pytest.raises(ValueError, match="TIFF of an unusual kind .*Export"):
        read_image(tiff_of(tmp_path / "a.tif", bands, photometric, compression))
    with pytest.raises(ValueError, match="etch or copy it again"):
        read_image(tiff_of(tmp_path / "b.tif", bands, photometric, compression, cut=138))       # its tags, at the end


@pytest.mark.parametrize("content, name", [
    (b"P7\nWIDTH 2\n", "PAM"), (bytes(128) + b"DICM", "DICOM"), (b"SDPX" + bytes(99), "DPX"),
    (b"v/1\x01" + bytes(99), "OpenEXR"), (b"#?RADIANCE\n", "Radiance"), (b"<svg xmlns=''/>", "SVG")])
def test_other_kinds_of_pictures_are_named_whatever_the_file_is_called(tmp_path, content, name):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*Export"):
        read_image(path)

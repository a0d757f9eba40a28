"""Bad inputs, each with what the kit has to say about it: python tests/bad/corpus.py [FOLDER] writes them all.

A case is a small set of three good pairs and one thing that is wrong (or only looks wrong).
The function of a case changes the set; its decorator says what is expected:

    check    regular expression for what ``create_data_lists.py --check`` says about it ("": nothing)
    status   its exit status: 0, or 1 where something is a fault
    used     how many pairs SRDataset uses; the others are left out with a notice
    bad      the row that the messages have to name (0: the whole list; None: none)
    split    the list: train or Set5
"""

import csv
import os
import shutil
import struct
import sys
import zlib
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from imresize import imresize  # noqa: E402
from tests.helpers import photo  # noqa: E402

Case = namedtuple("Case", "name build check status used bad split")
CASES = []
GOOD = {"cup": ("coffee.png", 100, 200), "cat": ("chelsea.png", 100, 100), "face": ("astronaut.png", 40, 160)}


def case(check="", status=1, used=3, bad=4, split="train"):
    def register(build):
        CASES.append(Case(build.__name__, build, check, status, used, bad, split))
        return build
    return register


fine = case(status=0, used=4, bad=None)


class Set:
    """A list that is being made: ``rows``, and the folder of its images."""

    def __init__(self, folder, split):
        self.folder, self.split = Path(folder), split
        self.rows = [self.pair(name, *place) for name, place in GOOD.items()]

    def write(self, name, image, **options):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, **options)
        return file

    def pair(self, name, source="rocket.jpg", top=100, left=280, height=48, width=56, ending=".png"):
        """Write a good pair; returns its row."""
        hr = photo(source, top, left, height, width)
        row = [f"HR/{name}{ending}", f"LR/{name}x4{ending}"]
        self.write(row[0], hr)
        self.write(row[1], imresize(hr[:height // 4 * 4, :width // 4 * 4], 1 / 4))
        return row

    def add(self, name="odd", **place):
        """A fourth pair, good so far; returns its two files."""
        self.rows.append(self.pair(name, **place))
        return [self.folder / name for name in self.rows[-1]]

    def image(self, file):
        with Image.open(file) as image:
            return image.copy()

    def write_list(self, text=None, **options):
        file = self.folder / f"{self.split}_images.csv"
        if text is not None:
            file.write_bytes(text)
        elif not file.exists():
            with open(file, "w", encoding="utf-8", newline="") as out:
                csv.writer(out, lineterminator="\n").writerows(self.rows)

    def lines(self):
        return [",".join(row) for row in self.rows]


def make(case, folder):
    """Write a case into a folder."""
    made = Set(folder, case.split)
    case.build(made)
    made.write_list()
    return made


# ---------------------------------------------------------------- files that are no images

@case("HR/odd.png.*cannot be read, damaged or cut short.*Fetch or copy it again")
def half_of_a_png(it):
    hr, _ = it.add()
    hr.write_bytes(hr.read_bytes()[:len(hr.read_bytes()) // 2])


@case("HR/odd.png.*cannot be read, damaged or cut short")
def a_png_without_its_last_bytes(it):
    hr, _ = it.add()
    hr.write_bytes(hr.read_bytes()[:-12])


@case("LR/oddx4.png.*cannot be read, damaged or cut short")
def a_png_with_a_flipped_bit(it):
    _, lr = it.add()
    data = bytearray(lr.read_bytes())
    data[len(data) // 2] ^= 8
    lr.write_bytes(data)


@case("HR/odd.png.*The file is empty.*Fetch or copy it again")
def a_png_of_zero_bytes(it):
    it.add()[0].write_bytes(b"")


@case("LR/oddx4.png.*The file is empty")
def an_lr_of_zero_bytes(it):
    it.add()[1].write_bytes(b"")


@case("HR/odd.png.*cannot be read")
def a_text_called_png(it):
    it.add()[0].write_text("no image", encoding="utf-8")


@case("HR/odd.png.*cannot be read")
def a_web_page_called_png(it):
    it.add()[0].write_text("<!DOCTYPE html><html>404</html>", encoding="utf-8")


@case("HR/odd.png.*It is a folder, not an image")
def a_folder_instead_of_a_file(it):
    hr, _ = it.add()
    hr.unlink()
    hr.mkdir()


@case("HR/odd.png.*[Ll]ink|HR/odd.png.*cannot be read|HR/odd.png.*does not exist")
def a_link_to_nothing(it):
    hr, _ = it.add()
    hr.unlink()
    hr.symlink_to(hr.with_name("gone.png"))


@case("HR/odd.png.*exceeds limit|HR/odd.png.*cannot be read")
def a_decompression_bomb(it):
    it.add()[0].write_bytes(png(60000, 60000, 8, 2, b"\0" * 1000))


# ---------------------------------------------------------------- other kinds of images

@case("HR/odd.png.*A JPEG in a test set.*Fetch the lossless original", used=4, split="Set5")
def a_jpeg_in_a_test_set_called_png(it):
    hr, _ = it.add()
    it.image(hr).save(hr, format="JPEG", quality=95)


@case("HR/odd.jpg.*A JPEG in a test set", used=4, split="Set5")
def a_jpeg_in_a_test_set(it):
    it.add(ending=".jpg")


@case("HR/odd.png.*A JPEG that is called .png", status=0, used=4)
def a_jpeg_called_png_in_training(it):
    hr, _ = it.add()
    it.image(hr).save(hr, format="JPEG", quality=95)


@case("LR/oddx4.png.*A JPEG in a test set", used=4, split="Set5")
def an_lr_that_is_a_jpeg(it):
    _, lr = it.add()
    it.image(lr).save(lr, format="JPEG", quality=95)


@fine
def a_png_called_jpg(it):
    hr, _ = it.add()
    hr.rename(hr.with_suffix(".jpg"))
    it.rows[-1][0] = "HR/odd.jpg"


@case("HR/odd.png.*16 bits a channel.*Convert it to 8-bit")
def sixteen_bits_grey(it):
    hr, _ = it.add()
    Image.fromarray(np.array(it.image(hr).convert("L")).astype(np.uint16) * 257).save(hr)


@case("HR/odd.png.*16 bits a channel")
def sixteen_bits_colour(it):
    hr, _ = it.add()
    pixels = np.array(it.image(hr)).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    hr.write_bytes(png(pixels.shape[1], pixels.shape[0], 16, 2, rows))


@case("HR/odd.tif.*32 bits a channel")
def floating_point(it):
    hr, _ = it.add()
    it.image(hr).convert("F").save(hr.with_suffix(".tif"))
    it.rows[-1][0] = "HR/odd.tif"


@case("HR/odd.png.*1-bit.*Convert it", status=0, used=4)
def one_bit(it):
    hr, lr = it.add()
    image = it.image(hr).convert("1")
    image.save(hr)
    it.write("LR/oddx4.png", imresize(np.array(image.convert("L")), 1 / 4))


@case("HR/odd.png.*palette.*Fetch the original", used=4, split="Set5")
def a_palette_in_a_test_set(it):
    hr, _ = it.add()
    it.image(hr).quantize(256).save(hr)


@case("HR/odd.png.*alpha channel was dropped", status=0, used=4)
def a_palette_with_transparency(it):
    hr, _ = it.add()
    it.image(hr).quantize(255).save(hr, transparency=3)


@case("HR/odd.png.*alpha channel was dropped", status=0, used=4)
def an_alpha_channel(it):
    hr, _ = it.add()
    it.image(hr).convert("RGBA").save(hr)


@case("HR/odd.png.*alpha channel was dropped", used=4, split="Set5")
def an_alpha_channel_in_a_test_set(it):
    hr, _ = it.add()
    it.image(hr).convert("RGBA").save(hr)


@case("HR/odd.png.*alpha channel was dropped", status=0, used=4)
def grey_with_alpha(it):
    hr, lr = it.add()
    it.image(hr).convert("LA").save(hr)


@case("HR/odd.tif.*converted from CMYK to RGB", status=0, used=4)
def cmyk(it):
    hr, _ = it.add()
    it.image(hr).convert("CMYK").save(hr.with_suffix(".tif"))
    it.rows[-1][0] = "HR/odd.tif"


@fine
def greyscale(it):
    it.add(source="camera.png")


@case("HR/odd.png.*turned upright", status=0, used=4)
def turned_by_exif(it):
    hr, lr = it.add()
    image, exif = it.image(hr), Image.Exif()
    exif[0x0112] = 6                                             # show it turned by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(hr, exif=exif)


@case("HR/odd.gif.*palette", status=0, used=4)
def a_gif(it):
    hr, _ = it.add()
    it.image(hr).quantize(256).save(hr.with_suffix(".gif"))
    it.rows[-1][0] = "HR/odd.gif"


@fine
def webp(it):
    hr, _ = it.add()
    it.image(hr).save(hr.with_suffix(".webp"), lossless=True)
    it.rows[-1][0] = "HR/odd.webp"


# ---------------------------------------------------------------- sizes and partners

@case("LR/oddx4.png.*LR is 14 x 12, but HR of 1 x 1 needs")
def one_pixel(it):
    hr, _ = it.add()
    it.write("HR/odd.png", np.zeros((1, 1, 3), np.uint8))


@case("LR is 1 x 1, but HR of 1 x 1 needs")
def one_pixel_both(it):
    it.add()
    it.write("HR/odd.png", np.zeros((1, 1, 3), np.uint8))
    it.write("LR/oddx4.png", np.zeros((1, 1, 3), np.uint8))


@case("", status=0, used=3)
def smaller_than_a_patch(it):
    it.add(height=12, width=56)


@case("HR/odd.png.*HR is 56 x 16, too small to be measured.*need 20 x 20.*Take this row out", split="valid")
def too_small_to_be_validated(it):
    it.add(height=16, width=56)


@case("HR/odd.png.*HR is 19 x 56, too small to be measured", split="Set5")
def too_small_to_be_tested(it):
    it.add(height=56, width=19)


@case("", status=0, used=4, bad=None, split="valid")
def just_large_enough_to_be_validated(it):
    it.add(height=20, width=23)


@fine
def hr_not_divisible_by_four(it):
    it.add(height=51, width=59)


@fine
def hr_not_divisible_by_four_and_lr_rounded_up(it):
    it.add(height=51, width=59)
    hr = photo("rocket.jpg", 100, 280, 52, 60)
    it.write("LR/oddx4.png", imresize(hr, 1 / 4))


@case("LR/oddx4.png.*LR is 15 x 12, but HR of 56 x 48 needs 14 x 12.*Delete this LR file and run --make-lr")
def lr_one_pixel_too_wide(it):
    it.add()
    it.write("LR/oddx4.png", imresize(photo("rocket.jpg", 100, 280, 48, 60), 1 / 4))


@case("LR is 13 x 12, but HR of 56 x 48 needs 14 x 12")
def lr_one_pixel_too_narrow(it):
    it.add()
    it.write("LR/oddx4.png", imresize(photo("rocket.jpg", 100, 280, 48, 52), 1 / 4))


@case("LR is 14 x 13, but HR of 56 x 48 needs 14 x 12")
def lr_one_pixel_too_high(it):
    it.add()
    it.write("LR/oddx4.png", imresize(photo("rocket.jpg", 100, 280, 52, 56), 1 / 4))


@case("LR/oddx4.png.*LR is shifted 1 pixel to the left relative to HR", used=4)
def lr_moved_sideways(it):
    it.add(source="astronaut.png", top=40, left=160, height=96, width=96)
    it.write("LR/oddx4.png", imresize(photo("astronaut.png", 40, 164, 96, 96), 1 / 4))


@case("LR/oddx4.png.*LR is shifted 1 pixel up relative to HR", used=4)
def lr_moved_upwards(it):
    it.add(source="astronaut.png", top=40, left=160, height=96, width=96)
    it.write("LR/oddx4.png", imresize(photo("astronaut.png", 44, 160, 96, 96), 1 / 4))


@case("LR/oddx4.png.*The LR of another image", used=4)
def lr_of_another_image(it):
    it.add()
    it.write("LR/oddx4.png", imresize(photo("chelsea.png", 100, 200, 48, 56), 1 / 4))


@case("LR/oddx4.png.*The LR of another image", used=4)
def lr_upside_down(it):
    _, lr = it.add(source="astronaut.png", top=40, left=160)
    it.image(lr).transpose(Image.Transpose.ROTATE_180).save(lr)


@case("LR/oddx4.png.*not made by bicubic downscaling", status=0, used=4)
def lr_by_taking_every_fourth_pixel(it):
    it.add(source="astronaut.png", top=40, left=160, height=96, width=96)
    it.write("LR/oddx4.png", np.ascontiguousarray(photo("astronaut.png", 40, 160, 96, 96)[2::4, 2::4]))


@case("LR is 28 x 24, but HR of 56 x 48 needs 14 x 12")
def lr_of_another_scale(it):
    it.add()
    it.write("LR/oddx4.png", imresize(photo("rocket.jpg", 100, 280, 48, 56), 1 / 2))


@case("LR is 56 x 48, but HR of 56 x 48 needs")
def lr_that_is_a_copy_of_hr(it):
    hr, lr = it.add()
    shutil.copyfile(hr, lr)


@case("the columns are swapped.*exchange the two")
def swapped_columns(it):
    it.add()
    it.rows[-1].reverse()


@case("LR/oddx4.png.*The LR file does not exist.*Make it with --make-lr")
def a_missing_lr(it):
    it.add()[1].unlink()


@case("HR/odd.png.*The HR file does not exist.*Fetch or copy it again")
def a_missing_hr(it):
    it.add()[0].unlink()


@case("HR and LR are the same file")
def hr_and_lr_the_same_file(it):
    it.add()
    it.rows[-1][1] = it.rows[-1][0]


@case("The same HR file as row 1.*Delete one of the two rows", used=4)
def a_row_twice(it):
    it.rows.append(list(it.rows[0]))


@case("The same HR file as row 1", used=4)
def an_hr_twice(it):
    it.add()
    it.write("LR/again.png", it.image(it.folder / it.rows[0][1]))
    it.rows[-1] = [it.rows[0][0], "LR/again.png"]


@case("The same LR file as row 2", used=4)
def an_lr_twice(it):
    it.write("HR/again.png", it.image(it.folder / it.rows[1][0]))
    it.rows.append(["HR/again.png", it.rows[1][1]])


# ---------------------------------------------------------------- the list

@fine
def a_byte_order_mark(it):
    it.add()
    it.write_list("\n".join(it.lines()).encode("utf-8-sig"))


@fine
def windows_line_ends(it):
    it.add()
    it.write_list("\r\n".join(it.lines()).encode())


@case(status=0, used=4, bad=None)
def blank_lines(it):
    it.add()
    it.write_list(("\n\n".join(it.lines()) + "\n\n\n").encode())


@fine
def quotes(it):
    it.add()
    it.write_list("\n".join(f'"{hr}","{lr}"' for hr, lr in it.rows).encode())


@fine
def no_line_end_at_the_end(it):
    it.add()
    it.write_list("\n".join(it.lines()).encode())


@case("3 columns instead of two.*fix this row")
def three_columns(it):
    it.add()
    it.rows[-1].append("more")


@case("1 column instead of two")
def one_column(it):
    it.add()
    it.rows[-1].pop()


@case("1 column instead of two")
def semicolons_instead_of_commas(it):
    it.add()
    it.write_list("\n".join([*it.lines()[:3], ";".join(it.rows[3])]).encode())


@case("A header, where the first pair should be.*Delete this row", bad=1)
def a_header(it):
    it.rows.insert(0, ["HR", "LR"])


@case("not written in UTF-8.*save it as 'CSV UTF-8'")
def a_row_in_latin_1(it):
    it.add("Blüte")
    it.write_list("\n".join(it.lines()).encode("latin-1"))


@case("not written in UTF-8", used=0, bad=1)
def a_list_in_utf_16(it):
    it.write_list("\n".join(it.lines()).encode("utf-16"))


@case("The list names no image.*Make it again", used=0, bad=0)
def an_empty_list(it):
    it.write_list(b"")


@case("columns? instead of two|leads out|does not exist")
def an_open_quote(it):
    it.add()
    it.write_list(("\n".join(it.lines()[:3]) + '\n"HR/odd.png,LR/oddx4.png\n').encode())


@case("leads out of the data folder")
def an_empty_name(it):
    it.add()
    it.rows[-1][0] = ""


# ---------------------------------------------------------------- paths

@case("'/etc/odd.png' leads out of the data folder.*Copy the image into it")
def an_absolute_path(it):
    it.add()
    it.rows[-1][0] = "/etc/odd.png"


@case("leads out of the data folder")
def a_path_with_a_drive(it):
    it.add()
    it.rows[-1][0] = "C:\\images\\odd.png"


@case("leads out of the data folder")
def a_path_upwards(it):
    it.add()
    it.rows[-1][1] = "../odd.png"


@case("leads out of the data folder")
def a_path_upwards_in_the_middle(it):
    it.add()
    it.rows[-1][1] = "LR/../../odd.png"


@case("'HR/odd.png' leads out of the data folder")
def a_link_out_of_the_folder(it):
    hr, _ = it.add()
    away = it.folder.parent / f"{it.folder.name} away"
    away.mkdir()
    hr.rename(away / "odd.png")
    hr.symlink_to(away / "odd.png")


@case("leads out of the data folder")
def a_folder_that_is_a_link_out(it):
    it.add()
    away = it.folder.parent / f"{it.folder.name} away"
    it.write("there/odd.png", photo("rocket.jpg", 100, 280, 48, 56))
    (it.folder / "there").rename(away)
    (it.folder / "there").symlink_to(away, target_is_directory=True)
    it.rows[-1][0] = "there/odd.png"


@case("HR/CUP.png.*except for capital letters.*LR/CUPx4.png.*The file is empty", used=3)
def a_bad_file_whose_name_differs_in_capitals_only(it):
    it.rows.append(it.pair("CUP"))
    (it.folder / "LR/CUPx4.png").write_bytes(b"")


@fine
def almost_flat(it):
    it.add()
    noise = np.random.default_rng(0).integers(0, 2, (48, 56, 3), dtype=np.uint8)
    it.write("HR/odd.png", 100 + noise)
    it.write("LR/oddx4.png", imresize(100 + noise[::-1].copy(), 1 / 4))       # only rounding is left of it


@fine
def names_with_spaces(it):
    it.add("an odd name")


@fine
def names_with_commas_and_quotes(it):
    it.add("odd, very" if os.name == "nt" else 'odd, "very"')


@fine
def chinese_names(it):
    it.add("图像 一")


@fine
def emoji_in_names(it):
    it.add("😀")


@case("except for capital letters.*Rename one of the two", status=0, used=4, bad=4)
def names_that_differ_in_capitals_only(it):
    it.rows.append(it.pair("CUP"))


@fine
def a_space_after_the_name(it):
    it.add()
    it.rows[-1][0] += " "


# ---------------------------------------------------------------- PNG by hand

def png(width, height, bits, colour, rows):
    """The bytes of a PNG file, also of one that Pillow would not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("made"))
    for one in CASES:
        make(one, folder / one.name)
    print(f"{len(CASES)} bad inputs in {folder}")

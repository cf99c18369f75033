"""The image rules of `decode`, one by one, on pictures made here by Pillow."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from mtgen.decode import FACTS, decode
from mtgen.encoded import EXTENSIONS, extension_mismatch, format_of
from mtgen.errors import DecodeError, PlanError
from mtgen.recipe import FORMATS, Recipe, named_recipe
from tests.support.pictures import EIGHT, clean, encode, noise, oriented, photo, pixels, png, png_chunk

# --- the slot ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(("dtype", "scale"), [("uint8", None), ("float32", (2 / 255, -1.0))])
def test_neighbours_of_the_slot_keep_their_poison(data_format, fit, dtype, scale):
    recipe = named_recipe("clean", size=(6, 9), fit=fit, dtype=dtype, scale=scale, data_format=data_format)
    batch = recipe.spec.empty(3)
    batch[...] = 77
    decode(encode(noise(30, 20, 3)), recipe, batch[1])
    assert (batch[[0, 2]] == 77).all()
    assert not (batch[1] == 77).all()


def test_a_slot_of_any_strides_is_filled():
    recipe = named_recipe("clean", size=(6, 9))
    data = encode(noise(30, 20, 3))
    wide = np.full((6, 18, 3), 77, np.uint8)
    decode(data, recipe, wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], pixels(data, recipe))
    assert (wide[:, 1::2] == 77).all()


def test_a_slot_that_does_not_fit_is_refused():
    recipe = named_recipe("clean", size=(6, 9))
    with pytest.raises(PlanError, match=r"slot is \(9, 6, 3\) uint8, the recipe 'clean' delivers \(6, 9, 3\) uint8"):
        decode(encode(noise(8, 8, 3)), recipe, np.empty((9, 6, 3), np.uint8))
    with pytest.raises(PlanError, match="float32"):
        decode(encode(noise(8, 8, 3)), recipe, np.empty((6, 9, 3), np.float32))


def test_an_error_leaves_slot_and_facts_alone():
    recipe = named_recipe("clean", size=(6, 9))
    out, facts = np.full((6, 9, 3), 77, np.uint8), {"icc": 4}
    with pytest.raises(DecodeError):
        decode(encode(noise(90, 90, 4), icc_profile=b"x" * 200)[:-2000], recipe, out, facts)
    assert (out == 77).all()
    assert facts == {"icc": 4}


def test_threads_that_fill_one_batch_agree_with_one_thread():
    recipe = named_recipe("fast", size=(20, 20))
    pictures = [encode(photo(90 + 7 * row, 120), "JPEG") for row in range(12)]
    alone = np.stack([pixels(data, recipe) for data in pictures])
    batch, facts = recipe.spec.empty(12), [{} for _ in range(4)]

    def fill(worker: int) -> None:
        for row in range(worker, 12, 4):
            decode(pictures[row], recipe, batch[row], facts[worker])

    threads = [threading.Thread(target=fill, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(batch, alone)


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("picture_format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_upright_picture(orientation, picture_format, fit):
    picture = photo(40, 61)
    options = {"lossless": True} if picture_format == "WEBP" else {}
    facts: dict[str, int] = {}
    got = clean(oriented(picture, orientation, picture_format, **options), (13, 17), facts, fit=fit)
    np.testing.assert_array_equal(got, clean(encode(picture), (13, 17), fit=fit))
    assert facts == ({"oriented": 1} if orientation > 1 else {})


@pytest.mark.parametrize("recipe", ["clean", "fast", "fastest"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_oriented_jpeg_is_upright_in_every_recipe(orientation, fit, recipe):
    picture = photo(203, 317)  # odd sizes: a scaled decode ends in part of a pixel
    recipe = named_recipe(recipe, size=(20, 30), fit=fit)
    got = pixels(oriented(picture, orientation, "JPEG", quality=95), recipe).astype(int)
    upright = clean(encode(picture), (20, 30), fit=fit).astype(int)
    assert np.abs(got - upright).mean() < 1.0
    assert np.abs(got - upright).max() <= 12


def test_orientation_none_leaves_the_picture_as_stored():
    picture = photo(40, 61)
    facts: dict[str, int] = {}
    recipe = Recipe(size=(61, 40), orientation="none")
    np.testing.assert_array_equal(pixels(oriented(picture, 6), recipe, facts), EIGHT[6](picture))
    assert facts == {}


def test_tiff_counts_as_oriented_although_pillow_turns_it():
    facts: dict[str, int] = {}
    recipe = Recipe(size=(40, 61), orientation="none")
    picture = photo(40, 61)
    np.testing.assert_array_equal(pixels(oriented(picture, 6, "TIFF"), recipe, facts), picture)
    assert facts == {"oriented": 1}


def test_tiff_turned_by_xmp_has_its_final_size():
    picture = photo(20, 31)
    xmp = b'<x tiff:Orientation="6"/>'
    facts: dict[str, int] = {}
    data = encode(EIGHT[6](picture), "TIFF", tiffinfo={700: xmp})
    np.testing.assert_array_equal(clean(data, (20, 31), facts), picture)
    assert facts == {"oriented": 1}


def test_the_tag_of_a_tiff_goes_before_its_xmp():
    picture = photo(20, 31)
    facts: dict[str, int] = {}
    data = encode(picture, "TIFF", tiffinfo={700: b'<x tiff:Orientation="6"/>', 274: 1})
    np.testing.assert_array_equal(clean(data, (20, 31), facts), picture)
    assert facts == {}


@pytest.mark.parametrize("kind", ["xmp", "hex"])
def test_orientation_in_xmp_and_in_png_text_is_found(kind):
    picture = photo(20, 31)
    stored = EIGHT[8](picture)
    exif = Image.Exif()
    exif[0x0112] = 8
    if kind == "xmp":
        data = encode(stored, "WEBP", lossless=True, xmp=b'<x tiff:Orientation="8"/>')
    else:
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n")
        data = encode(stored, pnginfo=text)
    np.testing.assert_array_equal(clean(data, (20, 31)), picture)


@pytest.mark.parametrize("exif", [b"nonsense", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x05\x01\x12", b"II*\0"])
def test_unreadable_exif_is_counted_and_the_picture_taken_as_stored(exif):
    picture = photo(20, 31)
    facts: dict[str, int] = {}
    np.testing.assert_array_equal(clean(encode(picture, exif=b"Exif\0\0" + exif), (20, 31), facts), picture)
    assert facts == {"exif_unreadable": 1}


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_counted(value):
    exif = Image.Exif()
    exif[0x0112] = value
    facts: dict[str, int] = {}
    picture = photo(20, 31)
    np.testing.assert_array_equal(clean(encode(picture, exif=exif.tobytes()), (20, 31), facts), picture)
    assert facts == {"exif_unreadable": 1}


# --- colour modes -----------------------------------------------------------------------------------------------------


def test_transparent_red_does_not_become_red():
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[...] = (255, 0, 0, 0)
    facts: dict[str, int] = {}
    data = encode(picture)
    assert (clean(data, (4, 4), facts) == 255).all()
    assert (clean(data, (4, 4), alpha="black") == 0).all()
    assert (clean(data, (4, 4), alpha="drop") == (255, 0, 0)).all()
    assert (clean(data, (4, 4), color="grayscale") == 255).all()
    assert facts == {"alpha": 1}


def test_hidden_colours_do_not_bleed_into_visible_ones():
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, :8] = (0, 0, 255, 255)
    picture[:, 8:] = (255, 0, 0, 0)
    assert (clean(encode(picture), (5, 5), color="rgba")[..., 0] == 0).all()
    on_black = clean(encode(picture), (5, 5), alpha="black")
    assert (on_black[..., 0] == 0).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "P bytes"])
def test_a_transparent_colour_counts_as_alpha(mode):
    image = Image.new("L", (6, 6), 255)
    image.paste(0, (0, 0, 6, 3))
    image = image.convert(mode.split()[0])
    keys = {"L": 0, "RGB": (0, 0, 0), "1": 0, "P": image.convert("P").getpixel((0, 0)), "P bytes": b"\0" * 256}
    facts: dict[str, int] = {}
    white = clean(encode(image, transparency=keys[mode]), (6, 6), facts)
    assert (white[:3] == 255).all()
    assert facts["alpha"] == 1
    dropped = clean(encode(image, transparency=keys[mode]), (6, 6), alpha="drop")  # Pillow would warn here
    np.testing.assert_array_equal(dropped, clean(encode(image), (6, 6)))


@pytest.mark.parametrize("color", ["rgb", "grayscale", "rgba"])
@pytest.mark.parametrize("mode", ["P", "1"])
def test_palette_and_one_bit_pictures_are_never_resized_by_nearest(mode, color):
    stripes = np.zeros((16, 16), np.uint8)
    stripes[:, ::2] = 255
    image = Image.fromarray(stripes).convert(mode)
    facts: dict[str, int] = {}
    got = clean(encode(image), (4, 4), facts, color=color)
    shades = got[..., :3] if color == "rgba" else got
    assert ((shades > 90) & (shades < 165)).all()
    assert facts == ({"palette": 1} if mode == "P" else {})


def test_a_palette_picture_equals_its_colours():
    image = Image.fromarray(photo(40, 50)).quantize(64)
    np.testing.assert_array_equal(clean(encode(image), (11, 13)), clean(encode(image.convert("RGB")), (11, 13)))


def test_cmyk_is_converted_and_counted():
    facts: dict[str, int] = {}
    colour = clean(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), (4, 4), facts)
    assert np.abs(colour.astype(int) - (255, 0, 0)).max() <= 3
    assert facts == {"cmyk": 1}


def test_a_lab_picture_has_a_grey():
    image = Image.new("LAB", (8, 8), (128, 128, 128))
    rgb = clean(encode(image, "TIFF"), (4, 4)).astype(int)
    assert np.abs(clean(encode(image, "TIFF"), (4, 4), color="grayscale") - rgb).max() <= 2


def test_an_icc_profile_is_counted_and_not_applied():
    picture = photo(20, 20)
    facts: dict[str, int] = {}
    got = clean(encode(picture, icc_profile=b"a profile that nobody reads"), (20, 20), facts)
    np.testing.assert_array_equal(got, picture)
    assert facts == {"icc": 1}


# --- sixteen bits -----------------------------------------------------------------------------------------------------


def test_sixteen_bit_grey_is_scaled_not_clipped():
    wide = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    facts: dict[str, int] = {}
    got = clean(encode(wide), (64, 64), facts, color="grayscale")[..., 0]
    np.testing.assert_array_equal(got, np.rint(wide / 257).astype(np.uint8))
    assert facts == {"sixteen_bit": 1}
    np.testing.assert_array_equal(clean(encode(wide), (64, 64)), np.repeat(got[..., None], 3, 2))
    with_alpha = clean(encode(wide), (64, 64), color="rgba")
    np.testing.assert_array_equal(with_alpha[..., :3], np.repeat(got[..., None], 3, 2))
    assert (with_alpha[..., 3] == 255).all()


@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_uint16_keeps_every_value(picture_format):
    wide = np.random.default_rng(0).integers(0, 65536, (30, 20), dtype=np.uint16)
    got = clean(encode(wide, picture_format), (30, 20), color="grayscale", dtype="uint16")
    np.testing.assert_array_equal(got[..., 0], wide)
    turned = clean(oriented(wide, 6, picture_format), (30, 20), color="grayscale", dtype="uint16")
    np.testing.assert_array_equal(turned[..., 0], wide)


def test_a_big_endian_tiff_and_a_deep_pgm_are_sixteen_bit():
    wide = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    image = Image.frombytes("I;16B", (30, 20), wide.astype(">u2").tobytes())
    pgm = b"P5 30 20 65535\n" + wide.astype(">u2").tobytes()
    for data in (encode(image, "TIFF"), pgm):
        facts: dict[str, int] = {}
        got = clean(data, (20, 30), facts, color="grayscale", dtype="uint16")
        np.testing.assert_array_equal(got[..., 0], wide)
        assert facts == {"sixteen_bit": 1}


def test_eight_bit_pictures_fill_the_range_of_uint16():
    grey = noise(8, 8)
    got = clean(encode(grey), (8, 8), color="grayscale", dtype="uint16")
    np.testing.assert_array_equal(got[..., 0], grey.astype(np.uint16) * 257)


@pytest.mark.parametrize(("color_type", "num_channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_is_noticed(color_type, num_channels):
    data = png(2, 2, 16, color_type, (b"\0" + b"\x80\x10" * (2 * num_channels)) * 2)
    facts: dict[str, int] = {}
    assert abs(int(clean(data, (2, 2), facts, alpha="drop")[0, 0, 0]) - 128) <= 1
    assert facts["sixteen_bit"] == 1
    with pytest.raises(DecodeError, match="more than 8 bits"):
        clean(data, (2, 2), sixteen_bit="refuse")
    with pytest.raises(DecodeError, match="16-bit colour picture"):
        clean(data, (2, 2), color="grayscale", dtype="uint16")


def test_deep_colour_of_ppm_and_tiff_is_noticed():
    facts: dict[str, int] = {}
    clean(b"P6 2 2 65535\n" + b"\x80\x10" * 12, (2, 2), facts)
    assert facts == {"sixteen_bit": 1}


def test_sixteen_bit_refuse_refuses():
    wide = np.full((8, 8), 300, np.uint16)
    with pytest.raises(DecodeError, match="more than 8 bits per channel and the recipe has sixteen_bit='refuse'"):
        clean(encode(wide), (4, 4), sixteen_bit="refuse")
    assert clean(encode(noise(8, 8)), (4, 4), sixteen_bit="refuse").shape == (4, 4, 3)


@pytest.mark.parametrize("values", [np.full((8, 8), 1.5, np.float32), np.full((8, 8), -70000, np.int32)])
def test_values_without_a_range_are_refused(values):
    with pytest.raises(DecodeError, match="no agreed range"):
        clean(encode(values, "TIFF"), (4, 4))


def test_a_transparent_value_of_sixteen_bits_is_refused_unless_dropped():
    rows = (b"\0" + b"\x12\x34" * 2) * 2
    data = png(2, 2, 16, 0, rows, png_chunk(b"tRNS", b"\x12\x34"))
    with pytest.raises(DecodeError, match="transparent value"):
        clean(data, (2, 2))
    assert (clean(data, (2, 2), color="grayscale", dtype="uint16", alpha="drop") == 0x1234).all()


def test_the_keras_recipe_never_wraps_values():
    wide = np.full((8, 8), 300, np.uint16)
    with pytest.raises(DecodeError, match="values from 300 to 300, which dtype='uint8' cannot hold"):
        pixels(encode(wide), named_recipe("keras", size=(4, 4), color="grayscale"))


def test_the_keras_recipe_counts_as_clipped_what_lost_values():
    for highest, clipped in ((255, {}), (256, {"clipped": 1})):
        facts: dict[str, int] = {}
        got = pixels(encode(np.full((8, 8), highest, np.uint16)), named_recipe("keras", size=(4, 4)), facts)
        assert (got == 255).all()
        assert facts == {"sixteen_bit": 1} | clipped


# --- animation, formats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
def test_frame_zero_of_an_animation_counted_or_refused(picture_format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], picture_format, save_all=True, append_images=frames[1:])
    facts: dict[str, int] = {}
    got = clean(data, (8, 8), facts).astype(int)
    assert np.abs(got - (255, 0, 0)).max() <= 6
    assert facts["animated"] == 1
    with pytest.raises(DecodeError, match="several frames"):
        clean(data, (8, 8), strict_frames=True)


@pytest.mark.parametrize("picture_format", [name for name in FORMATS if name != "TIFF"])
def test_a_still_picture_is_no_animation(picture_format):
    facts: dict[str, int] = {}
    clean(encode(Image.new("RGB", (16, 16)), picture_format), (8, 8), facts, strict_frames=True)
    assert "animated" not in facts


@pytest.mark.parametrize("picture_format", FORMATS)
def test_formats_are_known_by_content(picture_format):
    data = encode(Image.new("RGB", (16, 16), "red"), picture_format)
    assert format_of(data) == picture_format
    assert format_of(data[:16]) == picture_format
    assert np.abs(clean(data, (8, 8)).astype(int) - (255, 0, 0)).max() <= 6
    others = tuple(name for name in FORMATS if name != picture_format)
    with pytest.raises(DecodeError, match=f"a {picture_format} picture by its content, but the recipe allows only"):
        clean(data, (8, 8), formats=others)
    for name, extensions in EXTENSIONS.items():
        assert extension_mismatch("a" + extensions[0].upper(), data) == (name != picture_format)
    assert not extension_mismatch("some.folder/name", data)


def test_formats_outside_the_list_never_reach_a_parser():
    eps = encode(Image.new("RGB", (8, 8)), "EPS")
    with pytest.raises(DecodeError, match="not a picture of a known format: they start with b'%!PS-Adobe"):
        clean(eps, (4, 4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", r"text, perhaps a saved error page"),
        (b"\0" * 100, "100 bytes that are not a picture"),
        (b"\x89PNG\r\n\x1a\n", "the PNG picture of 8 bytes cannot be decoded"),
        (b"\xff\xd8\xff", "the JPEG picture of 3 bytes cannot be decoded"),
        (b"RIFF\0\0\0\0WEBPVP8X", "the WEBP picture of 16 bytes cannot be decoded"),
    ],
)
def test_what_is_no_picture_says_so(data, message):
    with pytest.raises(DecodeError, match=message):
        clean(data, (4, 4))


# --- fit, filter, scale -----------------------------------------------------------------------------------------------


def test_bilinear_is_antialiased_like_pillow():
    picture = photo(200, 300)
    expected = Image.fromarray(picture).resize((30, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(clean(encode(picture), (20, 30)), np.asarray(expected))


def test_pad_shows_the_whole_picture_between_bars():
    picture = np.full((40, 80, 3), 200, np.uint8)
    got = clean(encode(picture), (32, 32), fit="pad", fill=9)
    assert (got[8:24] == 200).all()
    assert (got[:8] == 9).all()
    assert (got[24:] == 9).all()
    transparent = clean(encode(picture), (32, 32), fit="pad", fill=9, color="rgba")
    assert (transparent[8:24, :, 3] == 255).all()
    assert (transparent[:8] == (9, 9, 9, 0)).all()


def test_crop_takes_the_centre():
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60] = 255
    got = clean(encode(picture), (10, 10), fit="crop")
    assert (got[:, 1:-1] == 255).all()
    assert (got > 200).all()  # the antialiasing filter of an edge pixel reaches over the edge of the crop
    assert (clean(encode(picture), (10, 10), fit="crop", filter="box") == 255).all()


def test_scale_is_factor_then_offset():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    got = clean(encode(grey), (16, 16), color="grayscale", dtype="float32", scale=(2 / 255, -1.0))
    np.testing.assert_allclose(got[..., 0], 2 * (grey / 255 - 0.5), atol=1e-6)
    assert got.min() == -1.0
    assert got.max() == 1.0


@pytest.mark.parametrize(("recipe", "mean", "highest"), [("fast", 0.3, 4), ("fastest", 0.8, 10)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_scaled_decode_stays_within_the_stated_tolerance(recipe, mean, highest, fit, color):
    data = encode(photo(768, 1025), "JPEG", quality=92)
    full = clean(data, (150, 113), fit=fit, color=color).astype(int)
    scaled = pixels(data, named_recipe(recipe, size=(150, 113), fit=fit, color=color)).astype(int)
    difference = np.abs(full - scaled)
    assert 0 < difference.mean() < mean
    assert difference.max() <= highest


@pytest.mark.parametrize("recipe", ["fast", "fastest"])
def test_scaled_decode_does_nothing_where_the_picture_is_not_large(recipe):
    data = encode(photo(150, 130), "JPEG")
    np.testing.assert_array_equal(pixels(data, named_recipe(recipe, size=(100, 90))), clean(data, (100, 90)))


def test_facts_are_named():
    assert list(FACTS) == sorted(FACTS)

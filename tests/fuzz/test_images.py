"""Starting images and pictures to verify, from strangers: bombs, other formats, damage, and what metadata
they carry."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from mfgviz import provenance
from mfgviz.errors import ImageUnreadableError, NotOursError

SIZE = (48, 32)
WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01")


def picture(mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right, green in the lower left corner."""
    image = Image.new("RGB", SIZE, "blue")
    image.paste((255, 0, 0), (0, 0, 24, 32))
    image.paste((0, 255, 0), (0, 24, 12, 32))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


GOOD = [
    saved(picture(), "PNG"), saved(picture("P"), "PNG"), saved(picture("1"), "PNG"), saved(picture("LA"),
    "PNG"),
    saved(picture(), "JPEG"), saved(picture(), "JPEG", progressive=True), saved(picture("CMYK"), "JPEG"),
    saved(picture(), "WEBP"), saved(picture(), "WEBP", lossless=True),
    saved(picture(), "PNG", save_all=True, append_images=[picture("L").convert("RGB")]),
    saved(picture(), "WEBP", save_all=True, append_images=[picture("L").convert("RGB")]),
]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_a_damaged_image_is_refused_by_name_or_read(seed: int) -> None:
    rng = random.Random(seed)
    content = bytearray(rng.choice(GOOD))
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(content))
        what = rng.randrange(4)
        if what == 0:
            content[place] = rng.randrange(256)
        elif what == 1:
            content[place : place + 4] = rng.choice(WORDS)
        elif what == 2:
            content[place:place] = content[rng.randrange(len(content)) :][: rng.randrange(200)]
        else:
            del content[place : place + rng.randrange(1, 30)]
        content = content or bytearray(b"x")
    refusal = None
    try:
        image = provenance.starting_image(bytes(content), "The image", 1_000_000)
    except ImageUnreadableError as error:
        refusal = error
    if refusal is not None:
        assert refusal.remedy
        assert "\n" not in refusal.message
        return
    assert image.mode == "RGB"
    assert not image.info
    assert image.width * image.height <= 1_000_000


def bombs() -> dict[str, bytes]:
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    text = zlib.compress(b"a" * 80_000_000, 9)
    jpeg = bytearray(saved(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    progressive = saved(picture(), "JPEG", progressive=True)
    scan = progressive.rindex(b"\xff\xda")
    return {
        "100,000 by 100,000": png(100_000, 100_000, chunk(b"IDAT", rows)),
        "65,535 by 65,535": bytes(jpeg),
        "a text of 80 MB": png(8, 8, chunk(b"zTXt", b"a\0\0" + text), chunk(b"IDAT", rows)),
        "an international text of 80 MB": png(
            8, 8, chunk(b"iTXt", b"mfgviz\0\1\0\0\0" + text), chunk(b"IDAT", rows)
        ),
        "a profile of 80 MB": png(8, 8, chunk(b"iCCP", b"a\0\0" + text), chunk(b"IDAT", rows)),
        "10,000 passes": progressive[:scan] + progressive[scan:-2] * 10_000 + b"\xff\xd9",
        "16384 by 16384 WebP": b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f" + b"\0" * 5,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_before_it_is_unpacked(name: str) -> None:
    with pytest.raises(ImageUnreadableError):
        provenance.starting_image(bombs()[name], "The image", 4096 * 4096)


FOREIGN = {
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PDF": b"%PDF-1.7\n1 0 obj << >> endobj\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "PSD": b"8BPS\0\1" + b"\0" * 40,
    "HTML": b"<html></html>",
    **{kind: saved(picture(), kind) for kind in ("GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "PCX")},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_never_given_to_their_decoders(kind: str) -> None:
    with pytest.raises(ImageUnreadableError, match="no PNG, JPEG or WebP"):
        provenance.open_image(FOREIGN[kind], "The image")


def with_place(**more: object) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "Hall 7, secret"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    for tag, value in more.items():
        exif[int(tag.removeprefix("t"))] = value
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return saved(picture(), "JPEG", exif=exif.tobytes(), icc_profile=profile, comment=b"made by Ann")


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_nothing_of_a_photo_but_its_pixels_goes_on(kind: provenance.ImageFormat) -> None:
    content, size = provenance.starting_png(with_place(), "The photo")
    assert size == SIZE
    # The same where a picture that carries metadata is itself exported.
    foreign = provenance.open_image(with_place(), "The photo")
    for made in (content, provenance.encode(foreign, {}, kind), provenance.thumbnail(foreign)):
        again = Image.open(io.BytesIO(made))
        assert not dict(again.getexif())
        assert "icc_profile" not in again.info
        assert not any(word in made for word in (b"secret", b"Ann", b"ICC_PROFILE", b"iCCP"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_seen_upright(orientation: int) -> None:
    from PIL import ImageOps

    content = with_place(t274=orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert provenance.starting_image(content, "The photo").tobytes() == expected.tobytes()


def test_a_profile_does_not_turn_red_to_blue() -> None:
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"rXYZ", b"tXYZ")
    swapped = swapped.replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    content = saved(picture(), "PNG", icc_profile=swapped)
    assert provenance.starting_image(content, "The image").getpixel((2, 2)) == (255, 0, 0)


def test_what_is_transparent_is_white_and_16_bits_are_grey() -> None:
    clear = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    assert provenance.starting_image(saved(clear, "PNG"), "x").getpixel((0, 0)) == (255, 255, 255)
    deep = Image.new("I;16", SIZE, 32896)
    assert provenance.starting_image(saved(deep, "PNG"), "x").getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize(
    "record", ["[" * 100_000, "{", "[1]", '{"version": 1e999}', json.dumps({"version": 2}), "\0" * 9]
)
def test_a_record_that_is_none_is_named(record: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("mfgviz", record)
    image = provenance.open_image(saved(picture(), "PNG", pnginfo=info), "The image")
    with pytest.raises(NotOursError):
        provenance.read_record(image, "The image")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "pipe.png", tmp_path / "folder.png", Path("/dev/zero"), tmp_path / "none.png"):
        with pytest.raises(ImageUnreadableError):
            provenance.read_file(path)
    with (tmp_path / "large.png").open("wb") as sparse:
        sparse.truncate(provenance.MOST_BYTES + 1)
    with pytest.raises(ImageUnreadableError, match="are allowed"):
        provenance.read_file(tmp_path / "large.png")

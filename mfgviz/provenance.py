"""What an image carries of its own making: a record for machines, and the mark that it is synthetic.

Every image that leaves mfgviz holds, as XMP (ISO 16684-1), the IPTC digital source type
`trainedAlgorithmicMedia` (https://cv.iptc.org/newscodes/digitalsourcetype/), which is the machine-readable
marking that Art. 50(2) of the EU AI Act asks for, and the record: part, revision, geometry digest, the
whole request, model and weights hashes, software versions, and a digest of the pixels themselves. PNG
files carry the record as an iTXt chunk named `mfgviz` too.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo

from mfgviz.errors import ImageUnreadableError, NotOursError

ImageFormat = Literal["png", "jpeg", "webp"]

RECORD_KEY = "mfgviz"
RECORD_VERSION = 1
TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
JPEG_QUALITY = 92
THUMBNAIL_PX = 256
# What is decoded at most where no setting says less, and the largest file that is looked at: both are
# several times what any model here makes.
MOST_PIXELS, MOST_BYTES = 8192 * 8192, 256 * 2**20
# A progressive JPEG has ten passes or so. Each goes over the whole picture: of a few bytes each they take
# minutes.
MOST_SCANS = 200
EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "https://mfgviz.org/ns/1.0/"
_META = "adobe:ns:meta/"
for _prefix, _uri in (("rdf", _RDF), ("Iptc4xmpExt", _IPTC_EXT), ("mfgviz", _OURS), ("x", _META)):
    register_namespace(_prefix, _uri)

Record = dict[str, Any]


def pixel_digest(image: Image.Image) -> str:
    """Hex SHA-256 of size and RGB bytes: of what is seen, whatever file holds it."""
    rgb = image.convert("RGB")
    head = f"{rgb.width}x{rgb.height}:RGB:".encode()
    return hashlib.sha256(head + rgb.tobytes()).hexdigest()


def encode(image: Image.Image, record: Record, image_format: ImageFormat = "png") -> bytes:
    """The image as a file of that format, with the record and the synthetic-media mark inside."""
    xmp = _xmp(record)
    out = io.BytesIO()
    rgb = bare(image)
    if image_format == "png":
        info = PngInfo()
        info.add_itxt(RECORD_KEY, _dumps(record))
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        info.add_text("Software", f"mfgviz {record.get('software', {}).get('mfgviz', '')}".strip())
        rgb.save(out, "PNG", pnginfo=info, compress_level=6)
    elif image_format == "jpeg":
        rgb.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0, xmp=xmp)
    else:
        rgb.save(out, "WEBP", lossless=True, quality=60, xmp=xmp)
    return out.getvalue()


def thumbnail(image: Image.Image) -> bytes:
    """A small JPEG, at most 256 px a side, marked as synthetic."""
    small = bare(image)
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85, xmp=synthetic_mark())
    return out.getvalue()


def bare(image: Image.Image) -> Image.Image:
    """Its pixels in RGB and nothing else: no colour profile, place or comment of its maker goes into another
    file."""
    rgb = image.convert("RGB")
    return Image.frombytes("RGB", rgb.size, rgb.tobytes())


def read_file(path: Path) -> bytes:
    """An image file's content.

    Raises:
        ImageUnreadableError: it cannot be read, is no regular file (a pipe would never end), or is far too
        large.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageUnreadableError(f"{path} is no regular file.")
        if facts.st_size > MOST_BYTES:
            raise ImageUnreadableError(f"{path} has {facts.st_size:,} bytes; {MOST_BYTES:,} are allowed.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageUnreadableError(f"The image {path} cannot be read: {error}.") from error


def starting_image(content: bytes, what: str, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """A picture of a stranger as people see it, RGB: upright, on white where it is transparent, its first
    frame.

    Colour profiles are not applied, and nothing but the pixels is kept. Raises ImageUnreadableError.
    """
    image = open_image(content, what, max_pixels)
    try:
        turn = _UPRIGHT.get(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises whatever it likes, and is not worth a refusal
        turn = None
    if image.mode.startswith("I"):  # 16 bits, of which a plain conversion cuts off all but the darkest
        image = image.convert("I").point(lambda level: level / 257).convert("L")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return bare(image if turn is None else image.transpose(turn))


def starting_png(content: bytes, what: str, max_pixels: int = MOST_PIXELS) -> tuple[bytes, tuple[int, int]]:
    """The same as a PNG file, and its size in pixels. Raises ImageUnreadableError."""
    image = starting_image(content, what, max_pixels)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue(), image.size


def open_image(content: bytes, what: str, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decode an image, its pixels loaded; one of more than `max_pixels` is refused before that.

    Only three decoders are ever asked, whatever the content says that it is.

    Raises:
        ImageUnreadableError: it is damaged, of another format, or unreasonably large.
    """
    if content[:2] == b"\xff\xd8" and content.count(b"\xff\xda") > MOST_SCANS:
        raise ImageUnreadableError(f"{what} is a JPEG of more than {MOST_SCANS} passes.")
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        fits = image.width * image.height <= max_pixels
        if fits:
            image.load()
    except UnidentifiedImageError as error:
        raise ImageUnreadableError(f"{what} is no PNG, JPEG or WebP image.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageUnreadableError(f"{what} is too large: {error}") from error
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise ImageUnreadableError(f"{what} is no image that can be read: {str(error)[:200]}.") from error
    if not fits:
        raise ImageUnreadableError(
            f"{what} has {image.width}x{image.height} px; {max_pixels:,} pixels are allowed.",
            remedy="Make it smaller, or raise MFGVIZ_IMAGE_MAX_PIXELS.",
        )
    return image


def read_record(image: Image.Image, what: str) -> Record:
    """The record that an image carries.

    Raises:
        NotOursError: it carries none, or one that cannot be read.
    """
    text: str | None = None
    if isinstance(image, PngImageFile):
        with suppress(Exception):  # of an animation its other frames are read for it, and may be damaged
            text = image.text.get(RECORD_KEY)
    if text is None:
        text = _record_in_xmp(image.info.get("xmp"))
    if text is None:
        raise NotOursError(
            f"{what} carries no mfgviz record.", remedy="It was not made here, or its metadata was removed."
        )
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotOursError(f"{what} carries a record that cannot be read: {error}.") from error
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
        raise NotOursError(f"{what} carries a record of another version of mfgviz.")
    return record


def is_marked_synthetic(image: Image.Image) -> bool:
    """Whether the image's XMP says that a trained algorithm made it."""
    xmp: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    content = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    return TRAINED_ALGORITHMIC_MEDIA.encode() in content


def synthetic_mark() -> bytes:
    """An XMP packet that says that a trained algorithm made the image, and nothing else."""
    return _xmp(None)


def _dumps(record: Record) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _xmp(record: Record | None) -> bytes:
    meta = Element(f"{{{_META}}}xmpmeta")
    rdf = SubElement(meta, f"{{{_RDF}}}RDF")
    description = SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    SubElement(description, f"{{{_IPTC_EXT}}}DigitalSourceType").text = TRAINED_ALGORITHMIC_MEDIA
    if record is not None:
        # JSON escapes keep the packet plain ASCII, whatever the prompt holds.
        SubElement(description, f"{{{_OURS}}}record").text = json.dumps(
            record, sort_keys=True, separators=(",", ":")
        )
    packet: bytes = tostring(meta, encoding="us-ascii", xml_declaration=False)
    return b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>' + packet + b'<?xpacket end="r"?>'


def _record_in_xmp(xmp: Any) -> str | None:
    """The record's text. A pattern and not an XML parser: the file may be hostile."""
    if not xmp:
        return None
    text = xmp if isinstance(xmp, str) else bytes(xmp).decode("utf-8", "replace")
    found = re.search(r"<mfgviz:record>([^<]*)</mfgviz:record>", text)
    if found is None:
        return None
    return found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

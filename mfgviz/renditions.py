"""The images of revisions: store, look up, export, verify, compare with a replay."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageStat
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from mfgviz import __version__, provenance
from mfgviz.errors import (
    AlteredImageError,
    ImageUnreadableError,
    InputFileNotFoundError,
    InvalidInputError,
    NotOursError,
    RenditionNotFoundError,
    StorageUnavailableError,
)
from mfgviz.jobs import NewRendition
from mfgviz.provenance import ImageFormat, Record
from mfgviz.records import PartRevision, RenderJob, Rendition
from mfgviz.requests import RenderRequest
from mfgviz.storage import BlobStore
from mfgviz.vocabulary import FidelityVerdict, Mode, ReviewState

FORMATS: dict[str, ImageFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
# How far two JPEG decoders' roundings may lie apart, in levels of 255.
DECODERS_APART_LEVELS = 4
# How many renditions of the same pixels are looked through for the one that a record names.
SAME_PIXELS = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture shows, for its record: which part and revision, by which request."""

    part_number: str
    revision_label: str
    request: RenderRequest
    fingerprint: str


@dataclass(frozen=True, slots=True)
class RenditionFilter:
    """Which renditions to list; newest first, before that id."""

    revision_id: int | None = None
    job_id: int | None = None
    review_state: ReviewState | None = None
    before: int | None = None
    limit: int = 200
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """How one picture of a request came out: its number, the seed and strength that made it, and how well it
    shows the part (`records.Rendition`)."""

    index: int
    seed: int
    control_scale: float | None = None
    fidelity: float | None = None
    fidelity_verdict: FidelityVerdict = FidelityVerdict.NOT_JUDGED
    fidelity_details: dict[str, Any] | None = None

    def as_json(self) -> Record:
        """For the picture's record."""
        judged = {"probability": self.fidelity, "verdict": self.fidelity_verdict.value}
        return {
            "index": self.index,
            "seed": self.seed,
            "control_scale": self.control_scale,
            "fidelity": judged | (self.fidelity_details or {}),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: the rendition, and how near the file's pixels are to it."""

    rendition_id: int
    reference: str
    identical: bool
    marked_synthetic: bool
    record: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pictures: bit-equal or not, and how far apart (PSNR in dB, infinite when equal)."""

    identical: bool
    psnr_db: float
    max_levels: int


def store(
    blobs: BlobStore, image: Image.Image, shown: Shown, made: Made, software: Mapping[str, str]
) -> NewRendition:
    """Put a finished picture and its thumbnail into the blob store, ready to be attached.

    Raises:
        StorageUnavailableError: it cannot be written.
    """
    digest = provenance.pixel_digest(image)
    versions = {"mfgviz": __version__, **software}
    record = {
        "version": provenance.RECORD_VERSION,
        "part": shown.part_number,
        "revision": shown.revision_label,
        "geometry_digest": shown.request.geometry_digest,
        "fingerprint": shown.fingerprint,
        "request": shown.request.as_json(),
        "pixel_digest": digest,
        "software": versions,
        **made.as_json(),
    }
    return NewRendition(
        index=made.index,
        seed=made.seed,
        size_px=image.size,
        blob_digest=blobs.put(provenance.encode(image, record)),
        thumbnail_digest=blobs.put(provenance.thumbnail(image)),
        pixel_digest=digest,
        software=dict(versions),
        fidelity=made.fidelity,
        fidelity_verdict=made.fidelity_verdict,
        fidelity_details=made.fidelity_details,
        control_scale=made.control_scale,
    )


def get(session: Session, rendition_id: int) -> Rendition:
    """The rendition, its job, revision and part loaded. Raises RenditionNotFoundError."""
    query = select(Rendition).where(Rendition.id == rendition_id).options(*_LOADED)
    rendition = session.scalar(query)
    if rendition is None:
        raise RenditionNotFoundError(f"There is no render {rendition_id}.")
    return rendition


def list_renditions(session: Session, revision: PartRevision, limit: int = 200) -> list[Rendition]:
    """The renditions of a revision, newest first."""
    return find(session, RenditionFilter(revision_id=revision.id, limit=limit))


def find(session: Session, wanted: RenditionFilter) -> list[Rendition]:
    """The renditions that fit the filter, newest first."""
    return list(session.scalars(find_query(wanted)))


def find_query(wanted: RenditionFilter) -> Select[Rendition]:
    """The production query of a page of renditions."""
    query = select(Rendition).order_by(Rendition.id.desc()).limit(wanted.limit)
    for column, value in (
        (Rendition.revision_id, wanted.revision_id),
        (Rendition.job_id, wanted.job_id),
        (Rendition.review_state, wanted.review_state),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.before is not None:
        query = query.where(Rendition.id < wanted.before)
    if wanted.stale:
        query = query.where(Rendition.stale_at.is_not(None))
    return query.options(*_LOADED)


def of_job(session: Session, job_id: int) -> list[Rendition]:
    """The renditions of a job, in their order."""
    query = select(Rendition).where(Rendition.job_id == job_id).order_by(Rendition.index)
    return list(session.scalars(query.options(*_LOADED)))


def export(blobs: BlobStore, rendition: Rendition, target: Path) -> Path:
    """Write the rendition as PNG, JPEG or WebP, by the target's extension, its record and mark kept.

    Raises:
        InvalidInputError: the extension is none of these.
        StorageUnavailableError: the target cannot be written; no half file is left.
    """
    return write_file(target, encoded(blobs, rendition, format_of(target)))


def format_of(target: Path) -> ImageFormat:
    """The format that a file's extension names. Raises InvalidInputError."""
    image_format = FORMATS.get(target.suffix.lower())
    if image_format is None:
        raise InvalidInputError(
            f"{target} has the extension {target.suffix!r}.", remedy=f"Use one of {', '.join(FORMATS)}."
        )
    return image_format


def write_file(target: Path, content: bytes) -> Path:
    """Write a picture, whole or not at all. Raises StorageUnavailableError."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StorageUnavailableError(
            f"{target} cannot be written: {error.strerror}.", remedy="Choose another folder, or make room."
        ) from error
    return target


def encoded(blobs: BlobStore, rendition: Rendition, image_format: ImageFormat) -> bytes:
    """The rendition as a file of that format, its record and mark kept. Errors as `BlobStore.get`."""
    content = blobs.get(rendition.blob_digest)
    if image_format == "png":
        return content
    image = provenance.open_image(content, f"The blob of render {rendition.id}")
    return provenance.encode(image, provenance.read_record(image, "The blob"), image_format)


def verify(session: Session, blobs: BlobStore, path: Path) -> Verdict:
    """Whether the file is a picture of ours, unchanged, and which revision it shows.

    The pixels decide: a file that lost its record but not its pixels is still known, and a file
    with a copied record and other pixels is not ours. A JPEG must be the one that our export makes.

    Raises:
        InputFileNotFoundError, ImageUnreadableError: the file is not there or no image.
        NotOursError: neither its pixels nor its record are known.
        AlteredImageError: it carries the record of a picture of ours, but shows another one.
    """
    if not path.exists():
        raise InputFileNotFoundError(f"There is no file {path}.")
    image = provenance.open_image(provenance.read_file(path), str(path))
    marked = provenance.is_marked_synthetic(image)
    record, unread = None, None
    try:
        record = provenance.read_record(image, str(path))
    except NotOursError as error:
        unread = error
    known = _by_pixels(session, provenance.pixel_digest(image), record)
    if known is not None:
        return Verdict(known.id, known.revision.reference, True, marked, record)
    if record is None:
        raise NotOursError(f"{unread} Its pixels are not known here either.")
    told = str(record.get("pixel_digest"))
    known = _by_pixels(session, told, record) if re.fullmatch("[0-9a-f]{64}", told) else None
    if known is None:
        raise NotOursError(f"{path} carries a record that this database does not know.")
    original = provenance.open_image(blobs.get(known.blob_digest), "The blob")
    if not _is_our_jpeg(image, original):
        raise AlteredImageError(
            f"{path} carries the record of render {known.id} ({known.revision.reference}), but other pixels.",
            remedy=f"`mfgviz renders export {known.id} FILE` writes the original.",
        )
    return Verdict(known.id, known.revision.reference, False, marked, record)


def compare(blobs: BlobStore, first: Rendition, second: Rendition) -> Comparison:
    """How far two renditions are apart. Raises ImageUnreadableError where their sizes differ."""
    one, two = (provenance.open_image(blobs.get(r.blob_digest), f"Render {r.id}") for r in (first, second))
    if one.size != two.size:
        raise ImageUnreadableError(f"Render {first.id} is {one.size} px, render {second.id} {two.size}.")
    difference = ImageChops.difference(one.convert("RGB"), two.convert("RGB"))
    stat = ImageStat.Stat(difference)
    mean_square = sum(rms * rms for rms in stat.rms) / len(stat.rms)
    psnr_db = math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)
    most = max(high for _, high in stat.extrema)
    return Comparison(first.pixel_digest == second.pixel_digest, psnr_db, int(most))


def replay_request(rendition: Rendition) -> RenderRequest:
    """The request that makes this one picture again: the job's, for its seed alone, with the geometry
    strength
    that the picture was made with in the end."""
    request = RenderRequest.from_json(rendition.job.request)
    request = replace(request, sampling=replace(request.sampling, seed=rendition.seed, count=1))
    if rendition.control_scale is None or request.conditioning.mode is Mode.TEXT:
        return request
    held = replace(request.conditioning, control_scale=rendition.control_scale)
    return replace(request, conditioning=held)


_LOADED = (
    joinedload(Rendition.revision).joinedload(PartRevision.part),
    joinedload(Rendition.revision).joinedload(PartRevision.geometry),
    joinedload(Rendition.job).joinedload(RenderJob.revision),
)


def _by_pixels(session: Session, digest: str, record: Mapping[str, Any] | None) -> Rendition | None:
    """The rendition of those pixels. Several may have them, for revisions of one file share their pictures:
    the one that the file's record names is meant, else the first."""
    query = select(Rendition).where(Rendition.pixel_digest == digest).order_by(Rendition.id)
    found = list(session.scalars(query.limit(SAME_PIXELS).options(*_LOADED)))
    told = record or {}
    for one in found:
        same = (one.revision.part.number, one.revision.label, one.job.fingerprint, one.index)
        if same == tuple(told.get(key) for key in ("part", "revision", "fingerprint", "index")):
            return one
    return found[0] if found else None


def _is_our_jpeg(image: Image.Image, original: Image.Image) -> bool:
    """Whether the image is what our JPEG export makes of the original: no pixel of it may differ by more than
    decoders do among themselves, so that not even a small retouch hides behind the compression."""
    if image.format != "JPEG" or image.size != original.size:
        return False
    ours = provenance.open_image(provenance.encode(original, {}, "jpeg"), "The export")
    difference = ImageChops.difference(image.convert("RGB"), ours.convert("RGB"))
    return max(int(high) for _, high in ImageStat.Stat(difference).extrema) <= DECODERS_APART_LEVELS

"""What pictures carry, and whether a file is one of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from sqlalchemy.orm import Session

from mfgviz import catalog, jobs, provenance, renditions
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.errors import (
    AlteredImageError,
    ImageUnreadableError,
    InputFileNotFoundError,
    InvalidInputError,
    NotOursError,
    RenditionNotFoundError,
    StorageUnavailableError,
)
from mfgviz.jobs import Claimant, Submission
from mfgviz.records import Rendition
from mfgviz.renditions import Made, Shown
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.storage import BlobStore

REQUEST = RenderRequest(
    "a" * 64,
    "brass & <steel> ü 零件",
    ModelChoice("studio", "b" * 64, "studio"),
    SamplingSettings("ddim", 8, 2.0, seed=7, width=96, height=64, count=2),
)


def picture(shift: int = 0) -> Image.Image:
    image = Image.new("RGB", (96, 64), (230, 230, 235))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20 + shift, 10, 70 + shift, 55), fill=(180, 150, 60))
    draw.rectangle((40 + shift, 25, 50 + shift, 35), fill=(20, 20, 30))
    return image


def store(blobs: BlobStore, shown: Shown, index: int) -> jobs.NewRendition:
    return renditions.store(blobs, picture(index), shown, Made(index, 7 + index), {"torch": "2"})


@pytest.fixture
def attached(database: Database, blobs: BlobStore) -> Rendition:
    with database.begin() as session:
        catalog.add_part(session, NewPart("BRK-1"), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
        jobs.submit(session, [Submission(revision.id, REQUEST)], "ann")
    claim = jobs.claim(database, Claimant("host:1"))
    assert claim is not None
    shown = Shown("BRK-1", "A", REQUEST, REQUEST.fingerprint())
    made = [store(blobs, shown, index) for index in range(2)]
    ids = jobs.complete(database, claim, claim.jobs[0].id, made)
    with database.read() as session:
        return renditions.get(session, ids[0])


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_every_format_keeps_the_record_and_the_mark(
    database: Database, blobs: BlobStore, attached: Rendition, tmp_path: Path, name: str
) -> None:
    path = renditions.export(blobs, attached, tmp_path / name)
    image = provenance.open_image(path.read_bytes(), name)
    record = provenance.read_record(image, name)
    assert (record["part"], record["revision"], record["seed"]) == ("BRK-1", "A", 7)
    assert RenderRequest.from_json(record["request"]) == REQUEST
    assert provenance.is_marked_synthetic(image)
    with database.read() as session:
        verdict = renditions.verify(session, blobs, path)
    assert (verdict.rendition_id, verdict.reference) == (attached.id, "BRK-1@A")
    assert verdict.identical == (name != "out.jpg")
    assert verdict.marked_synthetic


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_of_revisions_that_share_a_picture_the_one_in_the_record_is_named(
    database: Database, blobs: BlobStore, attached: Rendition, tmp_path: Path, name: str
) -> None:
    with database.begin() as session:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
        jobs.submit(session, [Submission(revision.id, REQUEST)], "ann")
    claim = jobs.claim(database, Claimant("host:1"))
    assert claim is not None
    shown = Shown("BRK-1", "B", REQUEST, REQUEST.fingerprint())
    same = [store(blobs, shown, index) for index in range(2)]
    jobs.complete(database, claim, claim.jobs[0].id, same)
    with database.read() as session:
        twin = renditions.list_renditions(session, catalog.get_revision(session, "BRK-1@B"))[-1]
        assert twin.pixel_digest == attached.pixel_digest
        for one, reference in ((attached, "BRK-1@A"), (twin, "BRK-1@B")):
            path = renditions.export(blobs, one, tmp_path / f"{one.id}{Path(name).suffix}")
            verdict = renditions.verify(session, blobs, path)
            assert (verdict.rendition_id, verdict.reference) == (one.id, reference)


def test_a_picture_that_lost_its_record_is_known_by_its_pixels(
    database: Database, blobs: BlobStore, attached: Rendition, tmp_path: Path
) -> None:
    path = renditions.export(blobs, attached, tmp_path / "out.png")
    bare = tmp_path / "bare.png"
    clean = Image.open(path).convert("RGB")
    clean.info.clear()
    clean.save(bare)
    with database.read() as session:
        verdict = renditions.verify(session, blobs, bare)
    assert verdict.identical
    assert not verdict.marked_synthetic


def _bolt(image: Image.Image) -> None:
    ImageDraw.Draw(image).rectangle((40, 25, 50, 35), fill=(180, 150, 60))


def _hole(image: Image.Image) -> None:
    ImageDraw.Draw(image).rectangle((30, 30, 32, 32), fill=(0, 0, 0))


def _scratch(image: Image.Image) -> None:
    ImageDraw.Draw(image).line((10, 12, 60, 12), fill=(255, 255, 255))


def _tint(image: Image.Image) -> None:
    red, green, blue = image.crop((8, 8, 40, 40)).split()
    image.paste(Image.merge("RGB", (red, green, blue.point(lambda level: max(0, level - 60)))), (8, 8))


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
@pytest.mark.parametrize("retouch", [_bolt, _hole, _scratch, _tint])
def test_a_retouched_picture_is_found_out(
    database: Database,
    blobs: BlobStore,
    attached: Rendition,
    tmp_path: Path,
    name: str,
    retouch: Callable[[Image.Image], None],
) -> None:
    image = provenance.open_image(blobs.get(attached.blob_digest), "blob")
    record = provenance.read_record(image, "blob")
    touched = image.convert("RGB")
    retouch(touched)
    path = tmp_path / name
    path.write_bytes(provenance.encode(touched, record, renditions.FORMATS[path.suffix]))
    with database.read() as session, pytest.raises(AlteredImageError, match="other pixels"):
        renditions.verify(session, blobs, path)


def test_foreign_broken_and_missing_files_are_named(
    database: Database, blobs: BlobStore, attached: Rendition, tmp_path: Path
) -> None:
    def verify(session: Session, path: Path) -> None:
        renditions.verify(session, blobs, path)

    foreign, broken = tmp_path / "foreign.png", tmp_path / "broken.png"
    picture(9).save(foreign)
    whole = renditions.export(blobs, attached, tmp_path / "x.png").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with database.read() as session:
        with pytest.raises(NotOursError, match=r"foreign\.png"):
            verify(session, foreign)
        with pytest.raises(ImageUnreadableError, match=r"broken\.png"):
            verify(session, broken)
        with pytest.raises(InputFileNotFoundError, match=r"none\.png"):
            verify(session, tmp_path / "none.png")
        with pytest.raises(RenditionNotFoundError):
            renditions.get(session, 999)


def test_an_export_that_cannot_be_written_leaves_nothing(
    blobs: BlobStore, attached: Rendition, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=r"\.bmp"):
        renditions.export(blobs, attached, tmp_path / "out.bmp")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageUnavailableError):
        renditions.export(blobs, attached, tmp_path / "file" / "out.png")
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".png", ".partial")] == []


def test_comparison_tells_equal_from_near(database: Database, blobs: BlobStore, attached: Rendition) -> None:
    with database.read() as session:
        first, second = renditions.of_job(session, attached.job_id)
    same, other = renditions.compare(blobs, first, first), renditions.compare(blobs, first, second)
    assert (same.identical, same.max_levels) == (True, 0)
    assert not other.identical
    assert 10 < other.psnr_db < 40


def test_a_replay_asks_for_that_one_picture(database: Database, attached: Rendition) -> None:
    with database.read() as session:
        second = renditions.of_job(session, attached.job_id)[1]
    request = renditions.replay_request(second)
    assert (request.sampling.seed, request.sampling.count, request.prompt) == (8, 1, REQUEST.prompt)

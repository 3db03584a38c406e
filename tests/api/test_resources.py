"""Parts, revisions, jobs and renders over HTTP, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from PIL import Image
from sqlalchemy import func, select, update

from mfgviz import catalog, jobs, renditions
from mfgviz.client import Client
from mfgviz.errors import (
    ApprovalRequiredError,
    DuplicatePartError,
    GeometryError,
    IdempotencyKeyReusedError,
    IllegalMoveError,
    ImageUnreadableError,
    InvalidInputError,
    MissingFieldError,
    NoApprovedImageError,
    PartNotFoundError,
    QueueFullError,
    RenditionNotFoundError,
    RevisionFrozenError,
    RevisionNotFoundError,
    TemplateNotFoundError,
)
from mfgviz.jobs import Claimant, ClaimedJob, NewRendition
from mfgviz.records import Geometry, IdempotencyKey, RenderJob, utcnow
from mfgviz.renditions import Made, Shown
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.vocabulary import FidelityVerdict
from mfgviz.wire import (
    JobBody,
    NewPart,
    NewRevision,
    PartChange,
    PreviewBody,
    ReviewBody,
    RevisionChange,
    StateChange,
    TemplateBody,
)
from tests.api.conftest import SAMPLE, ClientOf
from tests.support.http import HttpServer, client_of, make_token

PROMPT = "brushed aluminium, studio light"


def render_one(runtime: Runtime, count: int = 1) -> list[int]:
    """What a worker does with the next job: claim, pictures, attach; the renders' ids."""
    claim = jobs.claim(runtime.db, Claimant("host:1", max_images=1))
    assert claim is not None
    job = claim.jobs[0]
    return jobs.complete(runtime.db, claim, job.id, pictures(runtime, job, count))


def pictures(runtime: Runtime, job: ClaimedJob, count: int = 1) -> list[NewRendition]:
    """Stored pictures of a job, the second judged not to show its part."""
    shown = Shown("BRK-1", "A", job.request, job.request.fingerprint())
    verdicts = (
        Made(0, job.request.sampling.seed, 1.0, 0.97, FidelityVerdict.PASSED, {"complaints": []}),
        Made(1, 1, 1.0, 0.02, FidelityVerdict.MARKED, {"complaints": ["The hole at (3, 4) is missing."]}),
    )
    return [
        renditions.store(
            runtime.blobs, Image.new("RGB", (64, 64), (10 * made.index, 80, 90)), shown, made, {"torch": "1"}
        )
        for made in verdicts[:count]
    ]


# -- parts and revisions ------------------------------------------------------------------------------
def test_parts_are_added_changed_searched_and_paged(engineer: Client) -> None:
    for number in range(5):
        engineer.add_part(NewPart(number=f"P-{number}", name="Flange", attributes={"material": "brass"}))
    with pytest.raises(DuplicatePartError):
        engineer.add_part(NewPart(number="P-1"))
    first = engineer.parts(search="flange", limit=2)
    second = engineer.parts(search="flange", cursor=first.next_cursor, limit=2)
    last = engineer.parts(search="flange", cursor=second.next_cursor, limit=2)
    numbers = [part.number for page in (first, second, last) for part in page.items]
    assert numbers == [f"P-{number}" for number in range(5)]
    assert last.next_cursor is None
    changed = engineer.change_part("P-1", PartChange(name="Disc", attributes={"mass_kg": 2.5}))
    assert (changed.name, changed.attributes) == ("Disc", {"material": "brass", "mass_kg": 2.5})
    with pytest.raises(PartNotFoundError) as caught:
        engineer.part("P-77")
    assert "parts list" in caught.value.remedy


@pytest.mark.parametrize("number", ["Ä-1 ü", "50%", "a?b#c", "A&B=C", "部件-7", "x;y", "+1"])
def test_odd_part_numbers_come_back_as_they_went_in(number: str, engineer: Client) -> None:
    assert engineer.add_part(NewPart(number=number)).number == number
    engineer.add_revision(number, NewRevision(label="Á 1"))
    assert engineer.revision(f"{number}@Á 1").part == number
    assert number in [part.number for part in engineer.parts(search=number).items]


@pytest.mark.parametrize("number", ["a/b", "..\\x", "a@b", " x", "a\x00b", "a\u202eb", "\ud800"])
def test_part_numbers_that_could_do_harm_are_refused(number: str, raw: httpx.Client) -> None:
    import json

    body = json.dumps({"number": number}).encode("utf-8")
    answer = raw.post("/parts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_revision_is_put_as_it_shall_be(engineer: Client, client_for: ClientOf) -> None:
    change = RevisionChange(name="Lever", part_attributes={"material": "steel"}, attributes={"finish": "raw"})
    made, was_made = engineer.put_revision("LEV-1@A", change)
    again, again_made = engineer.put_revision("LEV-1@A", change)
    assert (was_made, again_made) == (True, False)
    assert made.fields | {"x": 1} == again.fields | {"x": 1}
    assert made.fields == {
        "number": "LEV-1",
        "name": "Lever",
        "revision": "A",
        "material": "steel",
        "finish": "raw",
    }
    changed, _ = engineer.put_revision("LEV-1@A", RevisionChange(attributes={"finish": "polished"}))
    assert (changed.attributes, changed.name) == ({"finish": "polished"}, "Lever")
    client_for("approver").set_state("LEV-1@A", StateChange(state="released", source_state="Freigegeben"))
    with pytest.raises(RevisionFrozenError):
        engineer.put_revision("LEV-1@A", RevisionChange(attributes={"finish": "none"}))
    with pytest.raises(RevisionNotFoundError, match="names no revision"):
        engineer.put_revision("LEV-1", RevisionChange())
    with pytest.raises(IllegalMoveError):
        client_for("approver").set_state("LEV-1@A", StateChange(state="in_work"))
    assert [one.label for one in engineer.revisions("LEV-1")] == ["A"]


# -- CAD files ----------------------------------------------------------------------------------------
def test_a_cad_file_goes_up_and_comes_down(engineer: Client, runtime: Runtime, tmp_path: Path) -> None:
    engineer.put_revision("NEW-1@A", RevisionChange())
    shown = engineer.attach("NEW-1@A", SAMPLE)
    assert shown.geometry is not None
    assert (shown.geometry.state, shown.geometry.format, shown.geometry.file_name) == (
        "read",
        "step",
        SAMPLE.name,
    )
    assert shown.facts["extent_x_mm"] > 0
    assert engineer.attach("NEW-1@A", SAMPLE).iteration == 1  # the same file is the same iteration
    content, told = engineer.geometry("NEW-1@A")
    assert (content, told.digest) == (SAMPLE.read_bytes(), shown.geometry.digest)
    known = engineer._http.get("/revisions/NEW-1@A/geometry", headers={"If-None-Match": f'"{told.digest}"'})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("part.step", b"", 422, "empty-geometry"),
        ("part.step", b"ISO-10303-21;\nHEADER;\ngarbage", 422, "unreadable-geometry"),
        ("part.xyz", b"hello world, this is no CAD file", 422, "unknown-format"),
        ("part.stl", b"ISO-10303-21;\nHEADER;\n", 422, "format-mismatch"),
        ("a\x07b.step", b"x", 422, "invalid-input"),
        ("../../../etc/passwd", b"root:x:0:0", 422, "unknown-format"),
    ],
)
def test_a_bad_file_leaves_nothing_behind(
    name: str, content: bytes, status: int, code: str, raw: httpx.Client, runtime: Runtime
) -> None:
    before = sorted(runtime.blobs.digests())
    raw.put("/revisions/BAD-1@A", json={}).raise_for_status()
    answer = raw.put("/revisions/BAD-1@A/geometry", params={"file_name": name}, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"]
    assert "/tmp" not in answer.text
    assert sorted(runtime.blobs.digests()) == before
    with runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Geometry)) == 1
        assert catalog.get_revision(session, "BAD-1@A").geometry is None


def test_a_file_name_is_only_its_last_part(raw: httpx.Client) -> None:
    raw.put("/revisions/NAM-1@A", json={}).raise_for_status()
    for given in ("../../x/bracket.step", "C:\\cad\\bracket.step"):
        answer = raw.put(
            "/revisions/NAM-1@A/geometry", params={"file_name": given}, content=SAMPLE.read_bytes()
        )
        assert answer.json()["geometry"]["file_name"] == "bracket.step", answer.text


def test_a_released_revision_takes_no_file(engineer: Client, client_for: ClientOf, runtime: Runtime) -> None:
    engineer.put_revision("FRZ-1@A", RevisionChange())
    client_for("approver").set_state("FRZ-1@A", StateChange(state="released"))
    with pytest.raises(RevisionFrozenError):
        engineer.attach("FRZ-1@A", SAMPLE)
    with pytest.raises(GeometryError, match="no geometry"):
        engineer.geometry("FRZ-1@A")


# -- jobs ---------------------------------------------------------------------------------------------
def test_a_job_from_submit_to_its_render(engineer: Client, client_for: ClientOf, runtime: Runtime) -> None:
    answer = engineer.submit(
        JobBody(revision="BRK-1@A", prompt="{material}, {soft light|dramatic light}", seed=5)
    )
    assert [one.how for one in answer.items] == ["new", "new"]
    first, second = (engineer.job(one.job) for one in answer.items)
    assert (first.position, second.position, first.prompt) == (1, 2, "steel, soft light")
    assert "No worker" in (first.told or "")
    (render_id,) = render_one(runtime)
    done = engineer.job(first.id)
    assert (done.state, done.renders, done.position) == ("succeeded", [render_id], None)
    assert [one.outcome for one in done.attempts or ()] == ["succeeded"]
    assert [one.id for one in engineer.jobs(state="queued").items] == [second.id]
    assert engineer.cancel(second.id).state == "cancelled"
    with pytest.raises(IllegalMoveError):
        engineer.cancel(first.id)
    shown = engineer.render(render_id)
    assert (shown.revision, shown.seed, shown.is_current, shown.prompt) == (
        "BRK-1@A",
        5,
        True,
        "steel, soft light",
    )
    again = engineer.submit(JobBody(revision="BRK-1@A", prompt="steel, soft light", seed=5))
    assert again.items[0].how == "reused"
    page = client_for("viewer").renders(revision="BRK-1@A")
    assert [one.id for one in page.items] == [render_id]


def test_a_custom_camera_comes_to_the_request(engineer: Client) -> None:
    camera = {
        "name": "custom", "projection": "orthographic", "eye_mm": [0, -300, 20], "forward": [0, 1, 0],
        "up": [0, 0, 1], "height_mm": 120,
    }  # fmt: skip
    body = JobBody.model_validate({"revision": "BRK-1@A", "prompt": "steel", "views": [camera, "front"]})
    ids = [one.job for one in engineer.submit(body).items]
    views = [(engineer.job(job_id).request or {})["view"] for job_id in ids]
    assert (views[0]["eye_mm"], views[0]["height_mm"]) == ([0.0, -300.0, 20.0], 120.0)
    assert views[1]["name"] == "front"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "x"}, "body.revision"),
        ({"revision": "BRK-1@A", "prompt": "x", "width": 513}, "body.width"),
        ({"revision": "BRK-1@A", "prompt": "x", "width": "512"}, "body.width"),
        ({"revision": "BRK-1@A", "prompt": "x", "count": 0}, "body.count"),
        ({"revision": "BRK-1@A", "prompt": "x", "seed": -1}, "body.seed"),
        ({"revision": "BRK-1@A", "prompt": "x", "control_scale": 1.5}, "body.control_scale"),
        ({"revision": "BRK-1@A", "prompt": "x", "colour": "red"}, "body.colour"),
        ({"revision": "BRK-1@A", "prompt": "x", "views": []}, "body.views"),
        ({"revision": "BRK-1@A", "prompt": "x", "views": ["sideways"]}, "body.views"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(body: dict[str, object], field: str, raw: httpx.Client) -> None:
    answer = raw.post("/jobs", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid-request")
    assert any(one["field"].startswith(field) for one in problem["errors"]), problem


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompt": "x", "revision": "NOPE@A"}, 404, "part-not-found"),
        ({"prompt": "x", "revision": "BRK-1@Z"}, 404, "revision-not-found"),
        ({"prompt": "{finish}", "revision": "BRK-1@A"}, 422, "missing-field"),
        ({"prompt": "x", "revision": "BRK-1@A", "model": "none"}, 404, "model-not-found"),
        ({"prompt": "x", "revision": "BRK-1@A", "sampler": "magic"}, 422, "unknown-sampler"),
        ({"prompt": "x", "revision": "BRK-1@A", "width": 2048, "height": 2048}, 422, "out-of-bounds-size"),
        ({"prompt": " ", "revision": "BRK-1@A"}, 422, "invalid-request"),
        ({"template": "none", "revision": "BRK-1@A"}, 404, "template-not-found"),
    ],
)
def test_a_wish_that_cannot_be_had_says_why(
    body: dict[str, object], status: int, code: str, raw: httpx.Client
) -> None:
    answer = raw.post("/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["remedy"]
    assert raw.get("/jobs").json()["items"] == []


def test_the_same_key_is_the_same_answer(engineer: Client, client_for: ClientOf, runtime: Runtime) -> None:
    body = JobBody(revision="BRK-1@A", prompt=PROMPT, force=True)
    first = engineer.submit(body, "key-1")
    assert engineer.submit(body, "key-1") == first
    assert engineer.submit(body, "key-2") != first
    assert client_for("approver").submit(body, "key-1") != first  # keys are each requester's own
    with pytest.raises(IdempotencyKeyReusedError):
        engineer.submit(JobBody(revision="BRK-1@A", prompt="another"), "key-1")
    assert len(engineer.jobs().items) == 3
    with runtime.db.begin() as session:
        session.execute(update(IdempotencyKey).values(created_at=utcnow(-25 * 3600)))
    assert Service(runtime, "ann").forget_old_keys() == 3


def test_one_key_from_many_sides_at_once_queues_once(engineer: Client) -> None:
    body = JobBody(revision="BRK-1@A", prompt=PROMPT, force=True)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(engineer.submit(body, "same"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.items[0].job for one in answers}) == 1
    assert len(answers) == 8
    assert len(engineer.jobs().items) == 1


def test_a_refused_submit_leaves_its_key_free(engineer: Client) -> None:
    with pytest.raises(PartNotFoundError):
        engineer.submit(JobBody(revision="NOT-YET@A", prompt="steel"), "early")
    engineer.put_revision("NOT-YET@A", RevisionChange())
    engineer.attach("NOT-YET@A", SAMPLE)
    assert engineer.submit(JobBody(revision="NOT-YET@A", prompt="steel"), "early").items[0].how == "new"


def test_a_full_queue_says_so_and_takes_nothing(
    settings: Settings, runtime: Runtime, engineer: Client
) -> None:
    service = Service(runtime, "bob")
    for seed in range(3):
        service.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, seed=seed), None, 3)
    with pytest.raises(QueueFullError, match="bob has 3 unfinished jobs") as caught:
        service.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, seed=9), "k", 3)
    assert caught.value.retry_after_s > 0
    assert engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, seed=9)).items[0].how == "new"
    with runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(RenderJob)) == 4
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1  # the client's own


def test_pages_of_jobs_follow_one_another_while_new_ones_come(engineer: Client) -> None:
    for seed in range(5):
        engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, seed=seed))
    first = engineer.jobs(limit=2)
    engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, seed=99))
    second = engineer.jobs(limit=2, cursor=first.next_cursor)
    third = engineer.jobs(limit=2, cursor=second.next_cursor)
    assert [job.id for page in (first, second, third) for job in page.items] == [5, 4, 3, 2, 1]
    assert third.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "LTE", "9" * 400, "MA", "e30"])
def test_a_cursor_that_is_none_is_refused(cursor: str, raw: httpx.Client) -> None:
    answer = raw.get("/jobs", params={"cursor": cursor})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid-input"


# -- renders ------------------------------------------------------------------------------------------
def test_pictures_are_fetched_once(engineer: Client, runtime: Runtime) -> None:
    engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT))
    (render_id,) = render_one(runtime)
    for path in (f"/renders/{render_id}/image", f"/renders/{render_id}/thumbnail"):
        answer = engineer._http.get(path)
        assert "immutable" in answer.headers["cache-control"]
        assert "private" in answer.headers["cache-control"]
        again = engineer._http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    kinds = {kind: engineer.image(render_id, kind)[:4] for kind in ("png", "jpeg", "webp")}  # type: ignore[arg-type]
    assert kinds == {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff\xe0", "webp": b"RIFF"}
    with pytest.raises(RenditionNotFoundError):
        engineer.image(render_id + 1)


def test_a_render_is_reviewed_and_stands_for_its_revision(
    engineer: Client, client_for: ClientOf, runtime: Runtime
) -> None:
    approver = client_for("approver")
    engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, count=2))
    one, other = render_one(runtime, 2)
    approved = approver.review(one, ReviewBody(state="approved", comment="As it is."))
    assert (approved.review_state, approved.reviewed_by, approved.review_comment) == (
        "approved", "approver", "As it is.",
    )  # fmt: skip
    assert approved.is_primary  # nothing stood for its revision before
    with pytest.raises(ApprovalRequiredError, match=f"Render {other} is proposed") as refused:
        engineer.set_primary("BRK-1@A", other)
    assert refused.value.remedy.endswith(f"mfgviz renders approve {other}")
    assert engineer.revision("BRK-1@A").primary_render == one
    assert approver.set_primary("BRK-1@A", other).primary_render == other  # which approves it
    assert engineer.render(other).review_state == "approved"
    assert engineer.set_primary("BRK-1@A", one).primary_render == one  # an approved one is anybody's choice
    assert engineer.set_primary("BRK-1@A", other).primary_render == other
    assert [one.is_primary for one in engineer.renders(revision="BRK-1@A").items] == [True, False]
    rejected = approver.review(other, ReviewBody(state="rejected"))
    assert (rejected.fidelity, rejected.fidelity_passed) == (0.02, False)
    assert rejected.fidelity_notes == ["The hole at (3, 4) is missing."]
    assert (approved.fidelity_verdict, approved.fidelity_passed) == ("passed", True)
    assert not rejected.is_primary  # a rejected one stands for nothing
    assert engineer.revision("BRK-1@A").primary_render is None
    with pytest.raises(IllegalMoveError, match="rejected"):
        engineer.set_primary("BRK-1@A", other)
    with pytest.raises(IllegalMoveError):
        approver.review(other, ReviewBody(state="rejected"))
    assert engineer.clear_primary("BRK-1@A").primary_render is None
    engineer.put_revision("BRK-1@B", RevisionChange())
    with pytest.raises(RenditionNotFoundError, match="none of BRK-1@B"):
        engineer.set_primary("BRK-1@B", one)
    assert [row.id for row in engineer.renders(review_state="approved").items] == [one]


def test_where_another_must_approve_and_releases_need_an_approved_image(
    settings: Settings, runtime: Runtime
) -> None:
    strict = replace(settings, approval="other", release_needs_approved_image=True)
    server = HttpServer(strict).start()
    ann, bob = (client_of(server, make_token(runtime, "approver", name)) for name in ("ann", "bob"))
    try:
        ann.submit(JobBody(revision="BRK-1@A", prompt=PROMPT))
        (one,) = render_one(runtime)
        for refused in (
            lambda: ann.review(one, ReviewBody(state="approved")),
            lambda: ann.set_primary("BRK-1@A", one),
        ):
            with pytest.raises(ApprovalRequiredError, match=f"Render {one} was made for ann"):
                refused()
        with pytest.raises(NoApprovedImageError, match="BRK-1@A has no approved image"):
            ann.set_state("BRK-1@A", StateChange(state="released"))
        with pytest.raises(NoApprovedImageError):
            ann.add_revision("BRK-1", NewRevision(label="Z", state="released"))
        assert [one.label for one in ann.revisions("BRK-1")] == ["A"]
        told = [event.payload["subject"] for event in bob.event_log(kind="release.refused").items]
        assert told == ["BRK-1@Z", "BRK-1@A"]
        assert bob.set_primary("BRK-1@A", one).primary_render == one
        assert ann.set_state("BRK-1@A", StateChange(state="released")).state == "released"
    finally:
        ann.close()
        bob.close()
        server.stop()


def test_a_starting_image_is_checked_before_it_is_kept(
    engineer: Client, raw: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (80, 40), "red").save(path)
    stored = engineer.store_image(path.read_bytes())
    assert (stored.width, stored.height, len(stored.digest)) == (80, 40, 64)
    body = JobBody(revision="BRK-1@A", prompt=PROMPT, mode="image", image=stored.digest)
    assert engineer.submit(body).items[0].how == "new"
    with pytest.raises(ImageUnreadableError):
        engineer.store_image(b"GIF89a not here")
    Image.new("1", (9000, 9000)).save(path)  # 81 megapixels in a few kilobytes
    answer = raw.post("/images", content=path.read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (422, "image-unreadable")
    assert "16,777,216 pixels are allowed" in answer.json()["detail"]


# -- templates ----------------------------------------------------------------------------------------
def test_templates_have_versions_and_fill_what_a_job_leaves_open(
    engineer: Client, admin: Client, runtime: Runtime
) -> None:
    assert {"hero", "catalog"} <= {one.name for one in engineer.templates() if one.built_in}
    body = TemplateBody(prompt="{material} on {ground}", views=["front", "top"], sampling={"count": 2})
    first = admin.save_template("shop", body)
    assert (first.version, first.fields, first.built_in) == (1, ["material", "ground"], False)
    assert admin.save_template("shop", body).version == 1
    assert admin.save_template("shop", body.model_copy(update={"title": "Shop"})).version == 2
    assert engineer.template("shop", 1).title == ""
    wish = JobBody(revision="BRK-1@A", template="shop", fields={"ground": "oak"})
    found = [engineer.job(one.job) for one in engineer.submit(wish).items]
    assert [(job.prompt, job.count) for job in found] == [("steel on oak", 2)] * 2
    assert {(job.request or {})["view"]["name"] for job in found} == {"front", "top"}
    own = wish.model_copy(update={"views": ["iso"], "count": 1, "prompt": "brass"})
    (job,) = (engineer.job(one.job) for one in engineer.submit(own).items)
    assert (job.prompt, job.count) == ("brass", 1)
    admin.retire_template("shop")
    with pytest.raises(TemplateNotFoundError):
        engineer.template("shop")
    assert admin.save_template("shop", body).version == 3
    assert admin.save_template("hero", TemplateBody(prompt="ours")).version == 2
    with pytest.raises(TemplateNotFoundError, match="of your own"):
        admin.retire_template("bench")
    for bad in ({"prompt": "{x"}, {"prompt": "x", "sampling": {"seed": 3}}):
        with pytest.raises(InvalidInputError):
            admin.save_template("bad", TemplateBody.model_validate(bad))
    with pytest.raises(InvalidInputError):
        admin.save_template("Bad Name", TemplateBody(prompt="x"))


def test_a_template_is_tried_on_a_revision_before_anything_is_submitted(
    engineer: Client, admin: Client
) -> None:
    prompt = "{brushed|anodised {black|{tint}}} {material} on {ground}"
    sampling = {"count": 2, "num_inference_steps": 6}
    admin.save_template("shop", TemplateBody(prompt=prompt, views=["front", "top"], sampling=sampling))
    wanted = PreviewBody(revision="BRK-1", fields={"ground": "oak", "tint": "blue"})
    told = engineer.preview_template("shop", wanted)
    assert (told.revision, told.version, told.model, told.jobs, told.images) == (
        "BRK-1@A",
        1,
        "studio",
        6,
        12,
    )
    assert [(one.view, one.prompt) for one in told.items[:3]] == [
        ("front", "brushed steel on oak"),
        ("front", "anodised black steel on oak"),
        ("front", "anodised blue steel on oak"),
    ]
    assert (told.sampling["num_inference_steps"], told.sampling["sampler"]) == (6, "ddim")
    submitted = engineer.submit(
        JobBody(revision="BRK-1@A", template="shop", fields={"ground": "oak", "tint": "blue"})
    )
    assert [engineer.job(one.job).prompt for one in submitted.items] == [one.prompt for one in told.items]
    for ask in (
        lambda: engineer.preview_template("shop", PreviewBody(revision="BRK-1@A")),
        lambda: engineer.submit(JobBody(revision="BRK-1@A", template="shop")),
    ):
        with pytest.raises(MissingFieldError) as refused:
            ask()
        assert refused.value.message == (
            "The prompt's field {tint} has no value for BRK-1@A, which the template shop (version 1) needs."
        )
        assert "material" in refused.value.remedy
    with pytest.raises(TemplateNotFoundError, match="'shopp'"):
        engineer.preview_template("shopp", wanted)
    admin.save_template("shop", TemplateBody(prompt="{material}"))
    admin.retire_template("shop")
    versions = engineer.template_versions("shop")
    assert [(one.version, one.retired, one.created_by) for one in versions] == [
        (2, True, "admin"), (1, True, "admin"),
    ]  # fmt: skip
    assert [one.version for one in engineer.template_versions("hero")] == [1]


def test_a_template_that_cannot_be_saved_is_noted(admin: Client) -> None:
    with pytest.raises(InvalidInputError):
        admin.save_template("bad", TemplateBody(prompt="{brushed|"))
    (told,) = admin.event_log(kind="template.refused").items
    assert (told.payload["subject"], told.payload["code"]) == ("template bad", "prompt-template")


# -- the rest -----------------------------------------------------------------------------------------
def test_what_a_client_needs_to_know_at_first(engineer: Client, server: HttpServer) -> None:
    me = engineer.me()
    assert (me.requester, me.role, me.scopes) == ("engineer", "engineer", ["read", "submit"])
    assert me.limits.geometry_max_bytes == 256 * 2**20
    assert [view.name for view in engineer.views()][:2] == ["iso", "front"]
    (model,) = engineer.models()
    assert (model.name, model.is_default, model.source) == ("studio", True, "studio")
    assert engineer.model("studio").capabilities["native_size_px"] == 512
    assert engineer.queue().workers == 0
    assert engineer.workers() == []
    assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
    assert httpx.get(f"{server.url}/readyz").json()["checks"] == {"database": "ok"}


def test_of_many_who_choose_at_once_the_last_has_chosen(
    engineer: Client, client_for: ClientOf, runtime: Runtime
) -> None:
    engineer.submit(JobBody(revision="BRK-1@A", prompt=PROMPT, count=2))
    one, other = render_one(runtime, 2)
    for render_id in (one, other):
        client_for("approver").review(render_id, ReviewBody(state="approved"))
    answers: list[int | None] = []

    def choose(render_id: int) -> None:
        answers.append(engineer.set_primary("BRK-1@A", render_id).primary_render)

    threads = [threading.Thread(target=choose, args=[one if n % 2 else other]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, filter(None, answers))) == [one] * 4 + [other] * 4
    assert len([row for row in engineer.renders(revision="BRK-1@A").items if row.is_primary]) == 1

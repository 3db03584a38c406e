"""Records as resources, and pages of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from mfgviz import (
    catalog,
    intake,
    jobs,
    reviews,
    rule_runs,
    templates,
    wire,
)
from mfgviz.catalog import check_text
from mfgviz.errors import (
    InvalidInputError,
)
from mfgviz.records import (
    AccessToken,
    Attempt,
    Geometry,
    Part,
    PartRevision,
    RenderJob,
    Rendition,
)
from mfgviz.vocabulary import (
    FidelityVerdict,
    JobState,
    Priority,
)

API = "/api/v1"
VIEW_TITLES = {
    "iso": "Isometric", "front": "Front", "back": "Back", "left": "Left", "right": "Right", "top": "Top",
    "bottom": "Bottom",
}  # fmt: skip

Found = TypeVar("Found")
Shown = TypeVar("Shown")


# -- records as resources ---------------------------------------------------------------------------------
def part_of(part: Part, labels: list[str] | None = None) -> wire.Part:
    """A part's record as a resource."""
    return wire.Part(
        number=part.number,
        name=part.name,
        attributes=part.attributes,
        created_at=part.created_at,
        created_by=part.created_by,
        revisions=labels,
    )


def geometry_of(geometry: Geometry) -> wire.Geometry:
    """A CAD file's record as a resource."""
    return wire.Geometry(
        digest=geometry.digest,
        file_name=geometry.file_name,
        size_bytes=geometry.size_bytes,
        state=geometry.state,  # type: ignore[arg-type] # the database's own constraint
        format=geometry.format,
        shape_digest=geometry.shape_digest,
        error=cause(geometry.error_code, geometry.error_message),
    )


def revision_of(revision: PartRevision, primary: int | None, warnings: tuple[str, ...] = ()) -> wire.Revision:
    """A revision's record as a resource."""
    fields = intake.template_fields(revision)
    return wire.Revision(
        revision=revision.reference,
        part=revision.part.number,
        label=revision.label,
        name=revision.part.name,
        state=revision.state,  # type: ignore[arg-type]
        source_state=revision.source_state,
        iteration=revision.iteration,
        attributes=revision.attributes,
        part_attributes=revision.part.attributes,
        fields={key: value for key, value in fields.items() if value not in ("", None)},
        facts=revision.geometry.facts if revision.geometry else {},
        geometry=geometry_of(revision.geometry) if revision.geometry else None,
        primary_render=primary,
        warnings=list(warnings),
        created_at=revision.created_at,
        created_by=revision.created_by,
    )


def job_of(job: RenderJob) -> wire.Job:
    """A job's record as a resource of a list."""
    return wire.Job(
        id=job.id,
        revision=job.revision.reference,
        state=job.state,  # type: ignore[arg-type]
        step=job.step,
        total_steps=job.total_steps,
        model=job.model_name,
        requester=job.requester,
        priority=Priority(job.priority).name.lower(),  # type: ignore[arg-type]
        prompt=str(job.request.get("prompt", "")),
        count=job.images,
        attempts_made=job.attempts_made,
        max_attempts=job.max_attempts,
        fidelity_policy=job.fidelity_policy,  # type: ignore[arg-type]
        fidelity_retries=job.fidelity_retries,
        cancel_requested=job.cancel_requested,
        held=job.held and job.state == JobState.QUEUED,
        batch=job.batch_id,
        error=cause(job.error_code, job.error_message),
        notes=job.notes,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def attempt_of(attempt: Attempt) -> wire.Attempt:
    """An attempt's record as a resource."""
    return wire.Attempt(
        number=attempt.number,
        worker=attempt.worker,
        outcome=attempt.outcome,  # type: ignore[arg-type]
        error=cause(attempt.error_code, attempt.error_message),
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
    )


def render_of(rendition: Rendition) -> wire.Render:
    """A rendition's record as a resource."""
    request = rendition.job.request
    return wire.Render(
        id=rendition.id,
        revision=rendition.revision.reference,
        job=rendition.job_id,
        index=rendition.index,
        seed=rendition.seed,
        width=rendition.width,
        height=rendition.height,
        view=str(request["view"]["name"]),
        model=str(request["model"]["name"]),
        prompt=str(request["prompt"]),
        is_current=reviews.is_current(rendition),
        is_primary=rendition.is_primary,
        stale_since=rendition.stale_at,
        stale_reason=rendition.stale_reason,
        linked_from=rendition.origin_id,
        review_state=rendition.review_state,  # type: ignore[arg-type]
        reviewed_by=rendition.reviewed_by,
        reviewed_at=rendition.reviewed_at,
        review_comment=rendition.review_comment,
        fidelity=rendition.fidelity,
        fidelity_verdict=rendition.fidelity_verdict,  # type: ignore[arg-type]
        fidelity_passed=_passed(rendition),
        fidelity_notes=list((rendition.fidelity_details or {}).get("complaints", ())),
        fidelity_details=rendition.fidelity_details,
        control_scale=rendition.control_scale,
        fingerprint=rendition.job.fingerprint,
        blob_digest=rendition.blob_digest,
        pixel_digest=rendition.pixel_digest,
        software=rendition.software,
        request=request,
        created_at=rendition.created_at,
        image_url=f"{API}/renders/{rendition.id}/image",
        thumbnail_url=f"{API}/renders/{rendition.id}/thumbnail",
    )


def template_of(template: templates.Template) -> wire.Template:
    """A template as a resource."""
    return wire.Template(
        name=template.name,
        version=template.version,
        title=template.title,
        prompt=template.prompt,
        negative_prompt=template.negative_prompt,
        views=list(template.views),
        sampling=template.sampling,
        fields=template.fields,
        built_in=template.built_in,
        retired=template.retired,
        created_at=template.created_at,
        created_by=template.created_by,
    )


def token_of(token: AccessToken) -> wire.TokenInfo:
    """A token's record as a resource, without its hash."""
    return wire.TokenInfo(
        name=token.name,
        requester=token.requester,
        role=token.role,  # type: ignore[arg-type]
        scopes=token.scopes,  # type: ignore[arg-type]
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        used_at=token.used_at,
    )


def check_file_name(name: str) -> str:
    """The last part of a file's name as a client gave it, which only tells the format and is shown to people.

    Raises:
        InvalidInputError: it is empty, too long, or holds control characters.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    catalog.check_word("file name", last, 255)
    return last


def _passed(rendition: Rendition) -> bool | None:
    """Whether the picture shows its part well enough; None where nobody could say."""
    verdict = FidelityVerdict(rendition.fidelity_verdict)
    return None if verdict is FidelityVerdict.NOT_JUDGED else verdict is FidelityVerdict.PASSED


def cause(code: str | None, message: str | None) -> wire.Cause | None:
    return wire.Cause(code=code, message=message or "") if code else None


def shown(session: Session, revision: PartRevision, warnings: tuple[str, ...] = ()) -> wire.Revision:
    session.flush()
    return revision_of(revision, reviews.primary_of(session, revision.id), warnings)


def primaries(session: Session, revision_ids: list[int]) -> Mapping[int, int]:
    query = select(Rendition.revision_id, Rendition.id)
    rows = session.execute(query.where(Rendition.revision_id.in_(revision_ids), Rendition.is_primary))
    return {row.revision_id: row.id for row in rows}


def whole_job(session: Session, job_id: int) -> wire.Job:
    job = jobs.get(session, job_id)
    report = jobs.why_of(session, job)
    whole = {
        "position": report.position,
        "told": report.told,
        "renders": [one.id for one in job.renditions],
        "attempts": [attempt_of(one) for one in job.attempts],
        "request": job.request,
        "rules": rule_runs.rules_of_job(session, job_id),
    }
    return job_of(job).model_copy(update=whole)


def page(
    rows: Sequence[Found], limit: int, convert: Callable[[Found], Shown], key: Callable[[Found], str]
) -> wire.Page[Shown]:
    """The first `limit` of rows that are one more where there are more."""
    shown = rows[:limit]
    following = wire.cursor_after(key(shown[-1])) if len(rows) > limit else None
    return wire.Page(items=[convert(row) for row in shown], next_cursor=following)


def uncursor(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8")
        check_text("cursor", text)
    except (ValueError, binascii.Error) as error:
        raise InvalidInputError(
            f"The cursor {cursor[:80]!r} cannot be used.", remedy="Give the next_cursor of the page before."
        ) from error
    return text


def id_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    text = uncursor(cursor)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**63:
        raise InvalidInputError(
            f"The cursor {cursor[:80]!r} cannot be used.", remedy="Give the next_cursor of the page before."
        )
    return int(text)

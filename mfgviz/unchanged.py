"""Pictures that exist already: of an earlier revision of the same part, of the same shape and recipe.

The recipe is the whole request but its CAD file, so that an attribute which the prompt uses counts as a
change, and so does another model. A custom view is in the file's own coordinates, which the shape digest does
not hold: it is the same of the same file only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from mfgviz import jobs
from mfgviz.jobs import Submission
from mfgviz.jobs.submission import ASKED_AT_ONCE
from mfgviz.records import Geometry, Part, PartRevision, RenderJob
from mfgviz.vocabulary import CUSTOM_VIEW, JobState


@dataclass(frozen=True, slots=True)
class Origin:
    """A succeeded job whose pictures may be taken over, and the revision that it is of."""

    job_id: int
    reference: str

    @property
    def note(self) -> str:
        """What the job that takes them over says."""
        return f"{jobs.UNCHANGED}: taken over from {self.reference}"


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier revision of the same shape: its id, its reference, its file."""

    revision_id: int
    reference: str
    geometry_digest: str


def find_origins(session: Session, submissions: Sequence[Submission]) -> dict[int, Origin]:
    """For each submission, by its place, the newest job whose pictures it may have instead of rendering."""
    wanted = {place: one for place, one in enumerate(submissions) if not one.forced}
    earlier = _earlier(session, {one.revision_id for one in wanted.values()})
    asked: dict[tuple[int, str, int], list[tuple[int, str]]] = {}
    for place, one in wanted.items():
        for before in earlier.get(one.revision_id, ()):
            if one.request.view.name == CUSTOM_VIEW and before.geometry_digest != one.request.geometry_digest:
                continue
            twin = replace(one.request, geometry_digest=before.geometry_digest).fingerprint()
            key = (before.revision_id, twin, one.fidelity_retries)
            asked.setdefault(key, []).append((place, before.reference))
    found: dict[int, Origin] = {}
    for job_id, key in _succeeded(session, asked):
        for place, reference in asked[key]:
            # The newest revision's newest job wins: they come in that order.
            found.setdefault(place, Origin(job_id, reference))
    return found


def _earlier(session: Session, revision_ids: set[int]) -> Mapping[int, list[Earlier]]:
    """Earlier revisions of the same part and shape, the newest first, by revision."""
    other, geometry, shape = aliased(PartRevision), aliased(Geometry), aliased(Geometry)
    rows = session.execute(
        select(PartRevision.id, other.id, Part.number, other.label, shape.digest)
        .join(geometry, geometry.id == PartRevision.geometry_id)
        .join(Part, Part.id == PartRevision.part_id)
        .join(other, (other.part_id == PartRevision.part_id) & (other.id < PartRevision.id))
        .join(shape, (shape.id == other.geometry_id) & (shape.shape_digest == geometry.shape_digest))
        .where(PartRevision.id.in_(revision_ids))
        .order_by(PartRevision.id, other.id.desc())
    )
    found: dict[int, list[Earlier]] = {}
    for revision_id, other_id, number, label, digest in rows:
        found.setdefault(revision_id, []).append(Earlier(other_id, f"{number}@{label}", digest))
    return found


def _succeeded(
    session: Session, asked: Mapping[tuple[int, str, int], object]
) -> list[tuple[int, tuple[int, str, int]]]:
    """Jobs of those revisions, fingerprints and retries that have pictures to take over, the newest first."""
    keys, found = list(asked), []
    for at in range(0, len(keys), ASKED_AT_ONCE):
        some = keys[at : at + ASKED_AT_ONCE]
        rows = session.execute(
            select(
                RenderJob.id, RenderJob.revision_id, RenderJob.fingerprint, RenderJob.fidelity_retries
            ).where(
                RenderJob.revision_id.in_({key[0] for key in some}),
                RenderJob.fingerprint.in_({key[1] for key in some}),
                RenderJob.state == JobState.SUCCEEDED,
            )
        )
        known = [(row.id, (row.revision_id, row.fingerprint, row.fidelity_retries)) for row in rows]
        asked_for = [(job_id, key) for job_id, key in known if key in asked]
        usable = jobs.usable_origins(session, [job_id for job_id, _ in asked_for])
        found += [(job_id, key) for job_id, key in asked_for if job_id in usable]
    return sorted(found, key=lambda one: (one[1][0], one[0]), reverse=True)

"""Bills of material, where parts are used, and batches, as they go over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mfgviz.wire.core import Answer, AskBody, Body, Moment

BatchWord = Literal["open", "paused", "cancelled"]


class BomImport(Answer):
    """What an import of bills of material did."""

    lines: int = Field(description="Lines in the file.")
    parents: int = Field(description="Revisions that they are of.")
    changed_parents: int = Field(description="Those of them that had other lines before.")
    added: int = Field(description="Lines that are new.")
    removed: int = Field(description="Lines that are no more.")


class BomRow(Answer):
    """A line of a bill of material, or of one below it."""

    level: int = Field(description="1 for what the revision itself lists.")
    child: str = Field(description="`NUMBER@LABEL` that the line means now; `NUMBER` where that has none.")
    state: str | None = Field(description="Where that revision stands; null where there is none.")
    pinned: bool = Field(description="Whether the line names the revision, or means the current one.")
    quantity: float = Field(description="So many are in one of what lists it.")
    total: float = Field(description="So many are in the whole, at this place.")
    position: str = Field(description="Its position in the list, where it has one.")


class Bom(Answer):
    """What a revision is made of, line below line."""

    revision: str = Field(description="`NUMBER@LABEL`.")
    rows: list[BomRow] = Field(description="Each line before those below it.")
    more: bool = Field(description="Whether there are more lines than are shown.")


class Use(Answer):
    """A revision that something is in."""

    revision: str = Field(description="`NUMBER@LABEL`.")
    state: str = Field(description="Where it stands.")
    level: int = Field(description="1 where it lists it itself, else how many lines are between, at least.")
    total: float = Field(description="So many are in one of it, over all ways.")


class WhereUsed(Answer):
    """Where a part, or a revision of it, is used."""

    of: str = Field(description="`NUMBER`, or `NUMBER@LABEL`.")
    uses: list[Use] = Field(description="The nearest first.")
    more: bool = Field(description="Whether there are more than are shown.")


class RerenderBody(Body):
    """Which stale renders shall be made again."""

    revision: str | None = Field(
        None, min_length=1, max_length=256, description="Those of that revision alone: `NUMBER@LABEL`."
    )


class BatchBody(AskBody):
    """Renders of everything in a bill of material, or of all that a query finds."""

    bom: str | None = Field(
        None, min_length=1, max_length=256, description="A revision: it and all that is in it."
    )
    query: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="A filter over the current revisions of all parts, such as "
        "`part.attributes.category == 'bracket'`.",
    )
    everything: bool = Field(False, description="That a query without a field is meant.")


class BatchProgress(Answer):
    """Where the pictures of a batch stand; each revision and picture counts once."""

    items: int = Field(description="All of them.")
    done: int = Field(description="Rendered, or there before.")
    linked: int = Field(description="Taken over from another revision of the same shape.")
    running: int = Field(description="Being sampled.")
    queued: int = Field(description="Waiting: for a worker, or for the picture that they take over.")
    failed: int = Field(description="Failed, or to be taken over from one that failed.")
    cancelled: int = Field(description="Cancelled.")
    jobs: int = Field(description="Jobs that were made for the batch.")
    worker_s: float = Field(description="Seconds that workers spent on them.")
    eta_s: float | None = Field(
        None, description="Seconds until the rest is there, at the pace so far; null while nobody can say."
    )


class Skipped(Answer):
    """A revision that a batch left out."""

    revision: str = Field(description="`NUMBER@LABEL`, or `NUMBER` where it has none.")
    code: str = Field(description="The error's stable name.")
    reason: str = Field(description="Why.")


class Batch(Answer):
    """Jobs that were asked for at once, and are held and ended at once."""

    id: int = Field(description="Its number.")
    state: BatchWord = Field(description="Whether its jobs may be served.")
    source: dict[str, Any] = Field(description="Over what it goes: `bom` or `query`.")
    requester: str = Field(description="Who asked for it.")
    ask: dict[str, Any] = Field(description="What the pictures shall be, as it was asked.")
    progress: BatchProgress = Field(description="Where its pictures stand.")
    skipped: list[Skipped] | None = Field(None, description="What it left out; only where one is shown.")
    skipped_count: int = Field(description="How many revisions it left out.")
    created_at: Moment = Field(description="When it was asked for.")

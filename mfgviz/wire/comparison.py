"""What lies between two revisions, as it goes over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mfgviz.wire.core import Answer, LifecycleWord, Vector

ShapeWord = Literal["same", "changed", "unknown"]


class DiffSide(Answer):
    """One of the two revisions."""

    revision: str = Field(description="`NUMBER@LABEL`.")
    state: LifecycleWord = Field(description="Where it stands in its life.")
    iteration: int = Field(description="Counts the CAD files that it has shown.")
    file_name: str | None = Field(description="Of its CAD file, as it came in.")
    format: str | None = Field(description="What the file was read as.")
    geometry_digest: str | None = Field(description="Hex SHA-256 of the file's bytes.")
    shape_digest: str | None = Field(description="Of the shape, not of the file.")
    hole_count: int | None = Field(description="Round holes; null where nobody has looked for them.")


class ValueChange(Answer):
    """A value that is another one now."""

    name: str = Field(description="Such as volume_mm3, extent_x_mm, colours or file_name.")
    before: Any = Field(description="In the first revision.")
    after: Any = Field(description="In the second one.")


class AttributeChange(Answer):
    """An attribute that was added, removed or changed."""

    of: Literal["part", "revision"] = Field(description="Whose attribute it is.")
    name: str = Field(description="The attribute's name.")
    change: Literal["added", "removed", "changed"] = Field(description="What happened to it.")
    before: Any = Field(description="Null where it was added.")
    after: Any = Field(description="Null where it was removed.")


class Hole(Answer):
    """A round hole: a concave cylinder that goes most of the way round."""

    position_mm: Vector = Field(description="The middle of its axis, in part coordinates.")
    axis: Vector = Field(description="Its direction, a unit vector.")
    diameter_mm: float = Field(description="How wide it is.")
    depth_mm: float = Field(description="How long its cylinder is.")


class HoleChange(Answer):
    """A hole that was added, removed, moved, or made wider or deeper."""

    change: Literal["added", "removed", "moved", "resized"] = Field(description="What happened to it.")
    before: Hole | None = Field(description="Null where it was added.")
    after: Hole | None = Field(description="Null where it was removed.")
    moved_by_mm: Vector | None = Field(None, description="Where it was moved: from there to here.")
    distance_mm: float | None = Field(None, description="How far that is.")


class RevisionDiff(Answer):
    """What changed from one revision to another."""

    before: DiffSide = Field(description="The first revision.")
    after: DiffSide = Field(description="The second one.")
    shape: ShapeWord = Field(
        description="Whether both show the same shape, by their shape digests; saving a file again keeps it."
    )
    facts: list[ValueChange] = Field(description="What was read from the CAD files, where it differs.")
    holes: list[HoleChange] = Field(description="Holes that differ, the widest first.")
    attributes: list[AttributeChange] = Field(description="Attributes that differ.")
    files: list[ValueChange] = Field(description="Name, format and digest of the CAD files.")
    notes: list[str] = Field(description="What could not be compared, and why.")

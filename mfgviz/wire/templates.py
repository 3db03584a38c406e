"""What a prompt template would make of a revision, as it goes over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mfgviz.wire.core import Answer, Body


class PreviewBody(Body):
    """What a template shall be tried on."""

    revision: str = Field(
        min_length=1, max_length=256, description="`NUMBER@LABEL`; `NUMBER` alone is the newest."
    )
    model: str | None = Field(None, min_length=1, max_length=64, description="The default one if left out.")
    fields: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=1000)]],
        Field(max_length=64),
    ] = Field(default_factory=dict, description="Values for the prompt's fields, before the revision's own.")


class PreviewItem(Answer):
    """One job that the template would make."""

    view: str = Field(description="Name of the view.")
    prompt: str = Field(description="After filling in fields and choices.")


class TemplatePreview(Answer):
    """The jobs that a template would make of a revision."""

    template: str = Field(description="Its name.")
    version: int = Field(description="Its version.")
    revision: str = Field(description="`NUMBER@LABEL`.")
    model: str = Field(description="The model's name.")
    negative_prompt: str = Field(description="What the pictures shall not show.")
    sampling: dict[str, Any] = Field(description="Sampler, steps, size and count of each job.")
    jobs: int = Field(description="How many jobs that is.")
    images: int = Field(description="How many images they make.")
    items: list[PreviewItem] = Field(description="The jobs, in the order of views and prompts.")

"""Prompt templates by name: what a company says again and again of its pictures.

Some come with mfgviz and are always there; a template of the same name in the database takes their place.
A template never changes: what is saved under its name again is its next version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.catalog import check_text, check_word
from mfgviz.errors import ConflictError, InvalidInputError, TemplateNotFoundError
from mfgviz.journal import audit
from mfgviz.prompts import field_names
from mfgviz.records import PromptTemplate
from mfgviz.vocabulary import STANDARD_VIEWS

SAMPLING_FIELDS = (
    "model", "sampler", "num_inference_steps", "guidance_scale", "width", "height", "count", "control_scale",
)  # fmt: skip
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Template:
    """A named prompt. `sampling` holds defaults of an ask by its own names, such as `count`."""

    name: str
    prompt: str
    title: str = ""
    negative_prompt: str = ""
    views: tuple[str, ...] = ("iso",)
    sampling: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    built_in: bool = False
    retired: bool = False
    created_at: datetime | None = None
    created_by: str | None = None

    @property
    def fields(self) -> list[str]:
        """The fields that the prompt needs, in the order of their first use."""
        return field_names(self.prompt)


def _built_in(name: str, title: str, prompt: str, views: tuple[str, ...] = ("iso",)) -> Template:
    return Template(name, prompt, title, views=views, built_in=True)


BUILT_IN = {
    one.name: one
    for one in (
        _built_in("hero", "Hero picture, white", "{material}, studio light, white background"),
        _built_in(
            "catalog",
            "Catalogue, four views",
            "{material}, soft light, light grey background",
            ("iso", "front", "top", "right"),
        ),
        _built_in("dramatic", "Dramatic, dark", "{material}, dramatic light, dark grey background"),
        _built_in("bench", "On the workbench", "{material}, warm light, on a wooden bench"),
        _built_in("brushed", "Brushed aluminium", "brushed aluminium, studio light, white background"),
        _built_in("steel", "Polished steel", "polished steel, studio light, dark grey background"),
        _built_in("safety", "Safety yellow", "yellow powder coat, studio light, light grey background"),
    )
}


def list_templates(session: Session) -> list[Template]:
    """Every template's newest version, by name; those that come with mfgviz among them."""
    newest = (
        select(PromptTemplate.name, func.max(PromptTemplate.version).label("version"))
        .group_by(PromptTemplate.name)
        .subquery()
    )
    query = select(PromptTemplate).join(
        newest, (PromptTemplate.name == newest.c.name) & (PromptTemplate.version == newest.c.version)
    )
    own = {row.name: row for row in session.scalars(query)}
    found = {**BUILT_IN, **{name: _of(row) for name, row in own.items() if not row.retired}}
    return [found[name] for name in sorted(found)]


def get_template(session: Session, name: str, version: int | None = None) -> Template:
    """The template of that name, its newest version or that one. Raises TemplateNotFoundError."""
    query = select(PromptTemplate).where(PromptTemplate.name == name).order_by(PromptTemplate.version.desc())
    if version is not None:
        query = query.where(PromptTemplate.version == version)
    row = session.scalars(query.limit(1)).first()
    if row is not None and (version is not None or not row.retired):
        return _of(row)
    if name in BUILT_IN and version in (None, 1):
        return BUILT_IN[name]
    which = f"{name!r}" + (f" of version {version}" if version is not None else "")
    known = ", ".join(one.name for one in list_templates(session))
    raise TemplateNotFoundError(f"There is no template {which}.", remedy=f"Templates there are: {known}.")


def list_versions(session: Session, name: str) -> list[Template]:
    """All versions of a template, the newest first, retired ones too. Raises TemplateNotFoundError."""
    query = select(PromptTemplate).where(PromptTemplate.name == name).order_by(PromptTemplate.version.desc())
    found = [_of(row) for row in session.scalars(query)]
    built_in = [BUILT_IN[name]] if name in BUILT_IN else []
    return [*found, *built_in] or [get_template(session, name)]


def save_template(session: Session, template: Template, actor: str) -> Template:
    """Save a template as the next version of its name; unchanged, it stays the version it is.

    Raises:
        InvalidInputError: name, prompt, views or sampling cannot be used.
        ConflictError: somebody else saved the same name at the same moment.
    """
    _check(template)
    last = session.scalar(
        select(PromptTemplate)
        .where(PromptTemplate.name == template.name)
        .order_by(PromptTemplate.version.desc())
        .limit(1)
    )
    if last is not None and not last.retired and _same(_of(last), template):
        return _of(last)
    # What comes with mfgviz is version 1 of its name.
    before = last.version if last is not None else int(template.name in BUILT_IN)
    row = PromptTemplate(
        name=template.name,
        version=before + 1,
        title=template.title,
        prompt=template.prompt.strip(),
        negative_prompt=template.negative_prompt.strip(),
        views=list(template.views),
        sampling=dict(template.sampling),
        created_by=actor,
    )
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
            session.refresh(row, ["created_at"])
    except IntegrityError as error:
        raise ConflictError(
            f"The template {template.name} was saved by somebody else just now.",
            remedy="Look at theirs first.",
        ) from error
    audit(session, actor, "template.saved", template.name, {"version": row.version})
    return _of(row)


def retire_template(session: Session, name: str, actor: str) -> None:
    """Offer a template no more; its versions stay, for the jobs that were made from them.

    Raises:
        TemplateNotFoundError: there is none of that name in the database.
    """
    versions = session.scalars(
        update(PromptTemplate)
        .where(PromptTemplate.name == name, PromptTemplate.retired.is_(False))
        .values(retired=True)
        .returning(PromptTemplate.version)
        .execution_options(synchronize_session=False)
    ).all()
    if not versions:
        remedy = "Those that come with mfgviz stay." if name in BUILT_IN else None
        raise TemplateNotFoundError(f"There is no template {name!r} of your own.", remedy=remedy)
    audit(session, actor, "template.retired", name)


def _check(template: Template) -> None:
    check_word("template name", template.name, 64)
    if not NAME.fullmatch(template.name):
        raise InvalidInputError(
            f"The template name {template.name!r} cannot be used.",
            remedy="Small letters, digits, dots, dashes and _.",
        )
    for what, text, longest in (
        ("prompt", template.prompt, 4000),
        ("negative_prompt", template.negative_prompt, 4000),
        ("title", template.title, 200),
    ):
        check_text(f"template's {what}", text)
        if len(text) > longest:
            raise InvalidInputError(f"The template's {what} has {len(text)} characters; {longest} fit.")
    if not template.prompt.strip():
        raise InvalidInputError("The template's prompt is empty.", remedy="Say what the part looks like.")
    field_names(template.prompt)  # refuses a brace that stands alone
    unknown = [view for view in template.views if view not in STANDARD_VIEWS]
    if unknown or not template.views:
        told = f"There is no view {unknown[0]!r}." if unknown else "The template has no view."
        raise InvalidInputError(told, remedy=f"Choose among {', '.join(STANDARD_VIEWS)}.")
    if strange := sorted(set(template.sampling) - set(SAMPLING_FIELDS)):
        raise InvalidInputError(
            f"A template does not set {strange[0]!r}.", remedy=f"It may set {', '.join(SAMPLING_FIELDS)}."
        )


def _same(one: Template, other: Template) -> bool:
    return (one.prompt, one.title, one.negative_prompt, one.views, one.sampling) == (
        other.prompt.strip(), other.title, other.negative_prompt.strip(), other.views, other.sampling,
    )  # fmt: skip


def _of(row: PromptTemplate) -> Template:
    return Template(
        name=row.name,
        prompt=row.prompt,
        title=row.title,
        negative_prompt=row.negative_prompt,
        views=tuple(row.views),
        sampling=dict(row.sampling),
        version=row.version,
        retired=row.retired,
        created_at=row.created_at,
        created_by=row.created_by,
    )

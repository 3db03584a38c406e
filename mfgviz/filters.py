"""Conditions on part revisions and events, as people write them: `part.attributes.category == 'bracket'`.

    expression = or ; or = and {"or" and} ; and = not {"and" not} ; not = "not" not | comparison
    comparison = value [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") value]
    value      = text | number | true | false | null | field | "[" [value {"," value}] "]"
               | function "(" value {"," value} ")" | "(" expression ")"
    field      = name {"." name | "[" text "]"}
    function   = "startswith" | "endswith" | "contains" | "like" | "lower" | "has"

Python's own parser reads it; of its tree only what stands above is taken, and turned into closures over plain
lookups. Nothing is evaluated as Python, no attribute of an object is ever read, and length, depth and lists
are bounded. A field that a revision does not have is null. Values of different kinds are never equal, and
none is above the other.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from mfgviz.errors import InvalidFilterError, UnknownFieldError

MAX_LENGTH, MAX_DEPTH, MAX_LIST = 2000, 40, 200

Context = Mapping[str, Any]
Evaluate = Callable[[Context], Any]

# Fields by their whole name; those in OPEN have any field below them.
REVISION_FIELDS = (
    "part.number", "part.name", "part.created_by", "revision.reference", "revision.label", "revision.state",
    "revision.source_state", "revision.iteration", "revision.created_by", "geometry.format",
    "geometry.file_name", "geometry.size_bytes",
)  # fmt: skip
EVENT_FIELDS = ("event.kind", "event.actor")
OPEN_FIELDS = ("part.attributes", "revision.attributes", "geometry.facts")
OPEN_EVENT_FIELDS = ("event.payload",)


@dataclass(frozen=True, slots=True)
class Equality:
    """A field that must equal a value wherever the filter matches."""

    field: str
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, ready to be tried. `fields` are those that it names; without any it is a constant."""

    text: str
    fields: frozenset[str]
    equalities: tuple[Equality, ...]
    evaluate: Evaluate

    def matches(self, context: Context) -> bool:
        """Whether it holds in a context of `mfgviz.contexts`."""
        return self.evaluate(context) is True


@lru_cache(maxsize=4096)
def compile_filter(text: str, *, with_event: bool = False) -> Filter:
    """Read a filter; `with_event` lets it name fields of an event, too.

    Raises:
        InvalidFilterError: it cannot be read, or uses what the language does not have.
        UnknownFieldError: it names a field that nothing has.
    """
    if not text.strip():
        raise InvalidFilterError("The filter is empty.")
    if len(text) > MAX_LENGTH:
        raise InvalidFilterError(f"The filter has {len(text)} characters; {MAX_LENGTH} are read.")
    if "\\" in text:
        raise InvalidFilterError(
            f"The filter has a backslash at character {text.index(chr(92)) + 1}.",
            remedy="Texts have no escapes; a text with ' in it stands between \".",
        )
    try:
        return _compiled(text, with_event=with_event)
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise InvalidFilterError(f"The filter {text!r} cannot be read{where}: {error.msg}.") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise InvalidFilterError("The filter cannot be read: it is nested too deeply.") from error


def _compiled(text: str, *, with_event: bool) -> Filter:
    tree = ast.parse(text.strip(), mode="eval")
    compiler = _Compiler(text, with_event=with_event)
    evaluate = compiler.truth(tree.body, 0)
    return Filter(text, frozenset(compiler.fields), tuple(_equalities(tree.body, compiler)), evaluate)


class _Compiler:
    """Turns a tree into closures, and collects the fields that it names."""

    def __init__(self, text: str, *, with_event: bool) -> None:
        self.text = text
        self.fields: set[str] = set()
        self.closed = REVISION_FIELDS + (EVENT_FIELDS if with_event else ())
        self.open = OPEN_FIELDS + (OPEN_EVENT_FIELDS if with_event else ())

    def truth(self, node: ast.expr, depth: int) -> Evaluate:
        """The closure of what is true or not."""
        self._check_depth(node, depth)
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(one, depth + 1) for one in node.values]
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand, depth + 1)
            return lambda context: inner(context) is not True
        if isinstance(node, ast.Compare):
            return self._comparison(node, depth)
        may_be_true = isinstance(node, _NAMES) and _dotted(node) not in self.closed
        if may_be_true or _calls(node, *_TELLS_TRUTH) or _is_truth(node):
            return self.value(node, depth)
        raise self._refusal(node, "a condition is expected there, such as part.name == 'Bracket'")

    def value(self, node: ast.expr, depth: int) -> Evaluate:
        """The closure of a value."""
        self._check_depth(node, depth)
        if isinstance(node, ast.BoolOp | ast.Compare) or _is_not(node):
            return self.truth(node, depth)
        if isinstance(node, _NAMES):
            name = _dotted(node)
            if name in _WORDS:
                word = _WORDS[name]
                return lambda _: word
            return self._field(name, node)
        if isinstance(node, ast.List):
            return self._list(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        constant = self.constant(node)
        return lambda _: constant

    def constant(self, node: ast.expr) -> Any:
        """A text, number, truth or null. Raises InvalidFilterError for anything else."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = self.constant(node.operand)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool | None):
            return node.value
        raise self._refusal(node, f"{ast.unparse(node)[:60]!r} is no part of the language")

    def _comparison(self, node: ast.Compare, depth: int) -> Evaluate:
        if len(node.ops) > 1:
            raise self._refusal(node, "comparisons stand alone: join them with `and`")
        kind = type(node.ops[0])
        if kind not in _COMPARISONS:
            raise self._refusal(node, "that comparison is no part of the language")
        compare = _COMPARISONS[kind]
        left, right = self.value(node.left, depth + 1), self.value(node.comparators[0], depth + 1)
        return lambda context: compare(left(context), right(context))

    def _list(self, node: ast.List, depth: int) -> Evaluate:
        if len(node.elts) > MAX_LIST:
            raise self._refusal(node, f"a list has {len(node.elts)} values; {MAX_LIST} are read")
        parts = [self.value(one, depth + 1) for one in node.elts]
        return lambda context: [part(context) for part in parts]

    def _call(self, node: ast.Call, depth: int) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS or node.keywords:
            raise self._refusal(node, f"functions are {', '.join(sorted(_FUNCTIONS))}")
        function, count = _FUNCTIONS[name]
        if len(node.args) != count:
            raise self._refusal(node, f"{name} takes {count} value{'s' * (count > 1)}")
        given = [self.value(one, depth + 1) for one in node.args]
        if count == 1:
            (only,) = given
            return lambda context: function(only(context))
        first, second = given
        return lambda context: function(first(context), second(context))

    def _field(self, name: str, node: ast.expr) -> Evaluate:
        stem, _, leaf = name.rpartition(".")
        if name in self.closed:
            self.fields.add(name)
            return lambda context: context.get(name)
        if stem in self.open and leaf.isidentifier():
            self.fields.add(name)

            def below(context: Context) -> Any:
                held = context.get(stem)
                return held.get(leaf) if held else None

            return below
        known = [*self.closed, *(f"{one}.NAME" for one in self.open)]
        near = difflib.get_close_matches(name, self.closed, 1, 0.8)
        if stem in ("part", "revision") and leaf != "attributes" and not near:
            near = [f"{stem}.attributes.{leaf}"]
        meant = f"Did you mean {near[0]}? " if near else ""
        raise UnknownFieldError(
            f"The filter names {name!r} at character {node.col_offset + 1}, which nothing has.",
            remedy=f"{meant}Fields are {', '.join(known)}; texts stand in quotes.",
        )

    def _check_depth(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._refusal(node, "it is nested too deeply")

    def _refusal(self, node: ast.expr, told: str) -> InvalidFilterError:
        where = f"The filter {self.text[:120]!r} cannot be used at character {node.col_offset + 1}"
        return InvalidFilterError(f"{where}: {told}.")


def _equalities(node: ast.expr, compiler: _Compiler) -> list[Equality]:
    """The equalities that must hold wherever the expression does: one that stands alone, or `and` joins."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [one for part in node.values for one in _equalities(part, compiler)]
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq):
        return []
    for field, other in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
        name = _dotted(field)
        if name in compiler.fields and isinstance(other, ast.Constant) and other.value is not None:
            return [Equality(name, compiler.constant(other))]
    return []


def value_of(context: Context, field: str) -> Any:
    """What a context holds for a field by its whole name; None where it has none."""
    if field in context:
        return context[field]
    stem, _, leaf = field.rpartition(".")
    held = context.get(stem)
    return held.get(leaf) if held else None


def _dotted(node: ast.expr) -> str:
    """`a.b.c` as a text; empty where it is none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        parts.append(node.attr if isinstance(node, ast.Attribute) else _key(node))
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _key(node: ast.Subscript) -> str:
    """The name between brackets; one that nothing can have where there is none."""
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return key if isinstance(key, str) and key.isidentifier() else "?"


def _calls(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _is_truth(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _all(parts: Sequence[Evaluate]) -> Evaluate:
    def every(context: Context) -> bool:
        return all(part(context) is True for part in parts)

    return every


def _any(parts: Sequence[Evaluate]) -> Evaluate:
    def some(context: Context) -> bool:
        return any(part(context) is True for part in parts)

    return some


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


def _equal(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and bool(one == other)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(one: Any, other: Any) -> bool:
        kind = _kind(one)
        return kind in ("number", "str") and kind == _kind(other) and compare(one, other)

    return ordered


def _within(one: Any, other: Any) -> bool:
    if isinstance(other, list):
        return any(_equal(one, each) for each in other)
    return isinstance(one, str) and isinstance(other, str) and one in other


def _of_texts(function: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: isinstance(one, str) and isinstance(other, str) and function(one, other)


_NAMES = (ast.Attribute, ast.Name, ast.Subscript)
_TELLS_TRUTH = ("startswith", "endswith", "contains", "like", "has")
_WORDS = {"true": True, "false": False, "null": None}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda one, other: not _equal(one, other),
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _within,
    ast.NotIn: lambda one, other: not _within(one, other),
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "startswith": (_of_texts(str.startswith), 2),
    "endswith": (_of_texts(str.endswith), 2),
    "contains": (lambda one, other: _within(other, one), 2),
    "like": (_of_texts(fnmatchcase), 2),
    "lower": (lambda one: one.lower() if isinstance(one, str) else one, 1),
    "has": (lambda one: one not in (None, ""), 1),
}

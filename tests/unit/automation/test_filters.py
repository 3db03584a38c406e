"""The filter language: what it says, what it refuses, and that nothing hostile gets through."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz.errors import InvalidFilterError, UnknownFieldError
from mfgviz.filters import compile_filter

CONTEXT = {
    "part.number": "BRK-1",
    "part.name": "Bracket",
    "part.attributes": {"category": "bracket", "width_mm": 40, "shiny": True, "class": "A"},
    "revision.state": "released",
    "revision.attributes": {},
    "geometry.facts": {"body_names": ["Body", "Pin"], "extent_x_mm": 12.5},
    "event.payload": {"render": 7},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("part.attributes.category == 'bracket'", True),
        ("part.attributes.category != 'bracket'", False),
        ("part.attributes['class'] == \"A\" and revision.state == 'released'", True),
        ("part.attributes.width_mm > 30 and geometry.facts.extent_x_mm <= 12.5", True),
        ("part.attributes.width_mm < '50'", False),
        ("part.attributes.width_mm == true", False),
        ("part.attributes.nowhere == null and not has(part.attributes.nowhere)", True),
        ("part.attributes.nowhere < 3 or part.attributes.nowhere >= 3", False),
        ("part.attributes.shiny", True),
        ("not part.attributes.shiny", False),
        ("not part.attributes.nowhere", True),
        ("part.number in ['BRK-1', 'BRK-2']", True),
        ("part.number not in ['BRK-2']", True),
        ("'Pin' in geometry.facts.body_names", True),
        ("contains(geometry.facts.body_names, 'Nut')", False),
        ("contains(lower(part.name), 'rack')", True),
        ("like(part.number, 'BRK-*') and startswith(part.name, 'Br') and endswith(part.name, 'et')", True),
        ("(false or true) and not (true and false)", True),
        ("-1 < 0 and 1 == 1.0", True),
        ("event.payload.render == 7", True),
    ],
)
def test_what_a_filter_says(text: str, expected: bool) -> None:
    assert compile_filter(text, with_event=True).matches(CONTEXT) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("part.number ==", "cannot be read"),
        ("part.number", "a condition is expected"),
        ("'released'", "a condition is expected"),
        ("part.name == 'a' == 'b'", "join them with `and`"),
        ("part.name is null", "no part of the language"),
        ("part.name + 'x' == 'y'", "no part of the language"),
        ("part.name == f'{1}'", "no part of the language"),
        ("__import__('os').system('true')", "a condition is expected"),
        ("open('/etc/passwd') == 'x'", "functions are"),
        ("(lambda: true)()", "a condition is expected"),
        ("[x for x in 'ab'] == 'a'", "no part of the language"),
        ("like(part.name)", "takes 2 values"),
        ("like(part.name, pattern='x')", "functions are"),
        ("part.name == 'a\\'b'", "backslash at character 16"),
        ("x := true", "cannot be read"),
        ("a\x00b", "cannot be read"),
        ("not " * 450 + "true", "nested too deeply"),
        ("-" * 1900 + "1 == 1", "nested too deeply"),
        ("(" * 400 + "true" + ")" * 400, "cannot be read"),
        ("part.name == 'x'" + " or part.name == 'x'" * 200, "2000 are read"),
        (f"part.name in [{','.join('1' * 300)}]", "200 are read"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        compile_filter(text)
    assert told in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("part.numbr == 'a'", "Did you mean part.number?"),
        ("part.category == 'a'", "Did you mean part.attributes.category?"),
        ("number == 'a'", "Fields are part.number"),
        ("part.__class__ == 'a'", "Fields are"),
        ("part.attributes.__class__.__mro__ == 'a'", "Fields are"),
        ("part.attributes['a b'] == 'a'", "Fields are"),
        ("part.attributes[0] == 'a'", "Fields are"),
        ("part.number == released", "texts stand in quotes"),
        ("event.kind == 'x'", "Fields are"),
    ],
)
def test_a_field_that_nothing_has_is_named(text: str, meant: str) -> None:
    with pytest.raises(UnknownFieldError) as caught:
        compile_filter(text)
    assert meant in caught.value.remedy


def test_what_must_be_equal_is_known_for_the_index() -> None:
    read = compile_filter("part.attributes.category == 'bracket' and 3 == part.attributes.width_mm and true")
    assert {(one.field, one.value) for one in read.equalities} == {
        ("part.attributes.category", "bracket"),
        ("part.attributes.width_mm", 3),
    }
    assert compile_filter("part.number == 'a' or part.number == 'b'").equalities == ()
    assert compile_filter("not part.number == 'a'").equalities == ()
    assert compile_filter("true").fields == frozenset()


WORDS = st.sampled_from(
    ["part.attributes.a", "part.number", "'x'", "1", "true", "null", "and", "or", "not", "==", "<", "in", "(",
     ")", "[", "]", ",", ".", "has", "like", "lower", "lambda", "__import__", "**", "if", "else", "for", "@"]
)  # fmt: skip


@given(st.one_of(st.text(string.printable, max_size=80), st.lists(WORDS, max_size=25).map(" ".join)))
def test_whatever_comes_is_a_filter_or_a_named_error(text: str) -> None:
    try:
        read = compile_filter(text, with_event=True)
    except InvalidFilterError:
        return
    assert read.matches(CONTEXT) in (True, False)
    assert all(field.split(".")[0] in ("part", "revision", "geometry", "event") for field in read.fields)

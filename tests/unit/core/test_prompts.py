"""Prompt templates."""

from __future__ import annotations

import pytest

from mfgviz.errors import PromptTemplateError
from mfgviz.prompts import expand_prompt

FIELDS = {"material": "aluminium 6082", "finish": "brushed", "colour": ""}


def test_fields_are_filled_in() -> None:
    assert expand_prompt("{material}, {finish}, studio light", FIELDS) == [
        "aluminium 6082, brushed, studio light"
    ]


def test_choices_make_one_prompt_each_in_order() -> None:
    assert expand_prompt("{brushed|black anodised} {material}, {day|night}", FIELDS) == [
        "brushed aluminium 6082, day",
        "brushed aluminium 6082, night",
        "black anodised aluminium 6082, day",
        "black anodised aluminium 6082, night",
    ]


def test_an_empty_choice_leaves_no_gap() -> None:
    assert expand_prompt("a {|very} shiny part", {}) == ["a shiny part", "a very shiny part"]


def test_doubled_braces_are_braces() -> None:
    assert expand_prompt("{{x}} {finish}", FIELDS) == ["{x} brushed"]


@pytest.mark.parametrize("template", ["{colour}", "{nothing}"])
def test_a_field_without_a_value_names_those_that_have_one(template: str) -> None:
    with pytest.raises(PromptTemplateError) as caught:
        expand_prompt(template, FIELDS)
    assert caught.value.remedy == "Fields with one: finish, material."


@pytest.mark.parametrize("template", ["a { b", "a } b", "{a{b}}"])
def test_a_single_brace_is_refused(template: str) -> None:
    with pytest.raises(PromptTemplateError):
        expand_prompt(template, {"b": "x"})


def test_too_many_choices_are_refused_before_they_are_made() -> None:
    with pytest.raises(PromptTemplateError, match="1000000 prompts"):
        expand_prompt("{0|1|2|3|4|5|6|7|8|9}" * 6, {})

"""Prompt templates."""

from __future__ import annotations

import pytest

from mfgviz.errors import MissingFieldError, PromptTemplateError
from mfgviz.prompts import expand_prompt, field_names

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


def test_choices_hold_fields_and_choices() -> None:
    template = "{ brushed {material} | {matt|glossy} {finish}|}, studio"
    assert expand_prompt(template, FIELDS) == [
        "brushed aluminium 6082, studio",
        "matt brushed, studio",
        "glossy brushed, studio",
        ", studio",
    ]
    assert field_names(template) == ["material", "finish"]


def test_spaces_of_choices_keep_words_apart_and_commas_close() -> None:
    assert expand_prompt("{|very }soft {red | green }, {a|b} .", {}) == [
        "soft red, a.", "soft red, b.", "soft green, a.", "soft green, b.",
        "very soft red, a.", "very soft red, b.", "very soft green, a.", "very soft green, b.",
    ]  # fmt: skip
    assert expand_prompt("plain , as  ever", {}) == ["plain , as ever"]


def test_the_same_prompt_is_made_once() -> None:
    assert expand_prompt("{a|a| a}  {|} b".replace("{|}", "{|x}"), {}) == ["a b", "a x b"]


def test_values_with_braces_stay_as_they_are() -> None:
    assert expand_prompt("{x} {{|}}", {"x": "{a|b} }"}) == ["{a|b} } {|}"]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("a {|} b", "choices at character 3 are all empty"),
        ("a {} b", "empty braces at character 3"),
        ("a {  } b", "empty braces"),
        ("{a|{b}", "single '{' at character 1"),
        ("{a|b}}", "single '}' at character 6"),
        ("{a|" * 9 + "}" * 9, "more than 8 deep"),
        ("{a|" * 1300, "more than 8 deep"),
        ("{{a}|b}", "single '}'"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(template: str, told: str) -> None:
    for read in (lambda: expand_prompt(template, {"a": "x", "b": "y"}), lambda: field_names(template)):
        with pytest.raises(PromptTemplateError) as caught:
            read()
        assert told in caught.value.message
        assert caught.value.remedy


def test_a_missing_field_inside_a_choice_is_found_and_says_of_what() -> None:
    with pytest.raises(MissingFieldError, match=r"\{ground\} has no value for BRK-1@A"):
        expand_prompt("{oak|{ground}}", FIELDS, "BRK-1@A")

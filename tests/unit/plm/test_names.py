"""Names of dropped files: read or refused, whatever they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz import catalog, vocabulary
from mfgviz.errors import InvalidFileNameError, InvalidSidecarError
from plugins.plm import dropped
from plugins.plm.dropped import ERROR, STATUS, base_of, is_cad_name, parse_name, shown, unique_base
from plugins.plm.sidecar import Sidecar, Wish, read_sidecar
from workers.geometry import formats

# What a directory entry may be on Linux: any bytes but / and NUL, 255 at most.
FILE_NAMES = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .map(os.fsdecode)
)
TEXTS = st.text(max_size=80) | FILE_NAMES
ENDINGS = st.sampled_from(["", ".step", ".STP", ".stl", ".json", ".status.json"])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("BRK-0042_A.step", "BRK-0042@A"),
        ("a_b_c_01.STP", "a_b_c@01"),
        ("Träger Ø12_Rev B.stl", "Träger Ø12@Rev B"),
        ("x.y_A.1.iges", "x.y@A.1"),
        ("__A.step", "_@A"),
    ],
)
def test_the_last_line_stands_between_number_and_revision(name: str, reference: str) -> None:
    assert parse_name(name).reference == reference
    assert base_of(name) == Path(name).stem


@pytest.mark.parametrize(
    "name",
    [
        "BRK.step", "_A.step", "BRK_.step", " _A.step", "BRK _A.step", "BRK_ A.step", "a@b_A.step",
        "a_A@B.step", "..\\x_A.step", "a\x07_A.step", "a\u202e_A.step", "\udcff_A.step",
        "._A.step", ".._A.step", "X_...step",
        "x" * 129 + "_A.step", "X_" + "A" * 65 + ".step", "X_A.status.step", "X_A.error.step",
    ],
)  # fmt: skip
def test_what_names_no_revision_is_refused(name: str) -> None:
    with pytest.raises(InvalidFileNameError) as refusal:
        parse_name(name)
    assert refusal.value.message.isprintable()
    assert refusal.value.remedy


@given(TEXTS, ENDINGS)
def test_a_name_is_read_or_refused_and_what_is_written_stays_in_the_folder(text: str, ending: str) -> None:
    name = (text + ending).replace("/", "_").replace("\0", "_") or "x"
    is_cad_name(name)
    assert shown(name).isprintable()
    shown(name).encode()
    for base in (base_of(name), unique_base(name)):
        for beside in (base + STATUS, base + ERROR, f"{base}.bottom.200.png"):
            assert Path("/drop", beside).parent == Path("/drop")
            assert beside not in (".", "..")
            if len(os.fsencode(name)) <= 255:
                assert len(os.fsencode(beside)) <= 255
    try:
        named = parse_name(name)
    except InvalidFileNameError:
        return
    catalog.check_word("part number", named.number, 128)
    catalog.check_word("revision label", named.label, 64)
    assert Path(name).stem == f"{named.number}_{named.label}"


def test_hidden_and_temporary_names_are_none_of_ours() -> None:
    others = [".x_A.step", "~x_A.step", "~$x_A.step", "x_A.step.part", "x_A.step~", "x_A.step.tmp", "x_A.png"]
    assert [name for name in others if is_cad_name(name)] == []
    assert all(is_cad_name(f"x_A{ending}") for ending in vocabulary.CAD_FORMATS)
    assert set(vocabulary.CAD_FORMATS.values()) >= {"step", "stl", "iges"}
    assert formats.CAD_FORMATS is vocabulary.CAD_FORMATS


# -- sidecars --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'{"nome": 1}', b'{"attributes": {"x": [1]}}',
        b'{"attributes": {"x": NaN}}', b'{"state": "done"}', b'{"views": ["inside"]}',
        b'{"views": []}', b'{"count": 99}', b'{"count": "2"}',
        b"\xff\xfe", b"[" * 100_000, b'{"name": "' + b"x" * 300_000 + b'"}', b'{"name": "\\ud800"}',
        b'{"attributes": {"x": ' + b"1" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_a_sidecar_that_cannot_be_used_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x_A.json"
    path.write_bytes(content)
    with pytest.raises(InvalidSidecarError) as refusal:
        read_sidecar(path)
    assert "x_A.json" in refusal.value.message
    assert refusal.value.remedy or len(content) > dropped.SIDECAR_MAX_BYTES


def test_a_sidecar_says_more_than_an_option() -> None:
    option = Wish("hero", None, ("iso", "front"))
    assert option.with_sidecar(Sidecar()) == {"template": "hero", "views": ["iso", "front"]}
    assert option.with_sidecar(Sidecar(views=["top"], count=2)) == {
        "template": "hero", "views": ["top"], "count": 2,
    }  # fmt: skip
    assert option.with_sidecar(Sidecar(prompt="brass")) == {"prompt": "brass"}
    nothing = Wish(None, None, None)
    assert nothing.with_sidecar(Sidecar(name="Bracket")) == {}
    with pytest.raises(InvalidSidecarError, match="neither template nor prompt"):
        nothing.with_sidecar(Sidecar(count=2))

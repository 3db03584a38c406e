"""The add-on's plain Python, without Qt and without FreeCAD."""

from __future__ import annotations

import hashlib
import json
import math
import stat
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz.requests import View
from plugins.freecad.mfgviz_freecad.core import camera, colours, prompts, stepfile, tokens
from plugins.freecad.mfgviz_freecad.core.connect import ConnectStringError, Server, parse_connect_string
from plugins.freecad.mfgviz_freecad.core.preferences import Preferences, PreferencesFile
from plugins.freecad.mfgviz_freecad.core.problems import Kind, problem_of
from plugins.freecad.mfgviz_freecad.core.sse import Backoff, EventParser
from plugins.freecad.mfgviz_freecad.core.state import AskedJob, Origin, PendingRequest, StateFile
from plugins.freecad.mfgviz_freecad.core.wishes import (
    Identity,
    Wishes,
    fingerprint,
    job_body,
    settings_of,
    variation_of,
)

SERVER = "http://127.0.0.1:8737"


# -- the connect string ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "url", "token"),
    [
        ("http://127.0.0.1:8737/#token=mfgv_abc", SERVER, "mfgv_abc"),
        ("  http://127.0.0.1:8737/#token=mfgv_abc\n", SERVER, "mfgv_abc"),
        ("127.0.0.1:8737", SERVER, ""),
        ("http://127.0.0.1:8737/api/v1/", SERVER, ""),
        ("https://renders.example/mfgviz/", "https://renders.example/mfgviz", ""),
        ("http://[::1]:8737/#token=t", "http://[::1]:8737", "t"),
    ],
)
def test_connect_strings(text: str, url: str, token: str) -> None:
    server = parse_connect_string(text)
    assert (server.url, server.token) == (url, token)
    assert "mfgv_abc" not in repr(server)


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "file:///etc/passwd", "http://", "http://a b/", "http://me:secret@host/", "http://x:99999/",
     "http://x/#token=a%0Ab"],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConnectStringError, match=r"[.]$"):
        parse_connect_string(text)


def test_a_token_in_the_clear_is_noticed() -> None:
    assert Server("http://renders.example", "t").sends_token_in_the_clear
    assert not Server("https://renders.example", "t").sends_token_in_the_clear
    assert not Server("http://localhost:1", "t").sends_token_in_the_clear


# -- events ------------------------------------------------------------------------------------------------
STREAM = (
    "\ufeff: keep-alive\n\n"
    'id: 7\nevent: job\ndata: {"job":1,\ndata: "state":"running"}\n\n'
    "retry: 2500\r\nevent: preview\r\ndata:x\r\n\r\n"
    "data: ä\r\rid: 9\n\ndata: unfinished"
).encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_in_pieces_of_any_size(cuts: list[int]) -> None:
    parser = EventParser()
    ends = [0, *sorted(cuts), len(STREAM)]
    found = [event for a, b in pairwise(ends) for event in parser.feed(STREAM[a:b])]
    assert [(event.name, event.data, event.id) for event in found] == [
        ("job", '{"job":1,\n"state":"running"}', "7"),
        ("preview", "x", "7"),
        ("message", "ä", "7"),
    ]
    assert (parser.last_event_id, parser.retry_s) == ("9", 2.5)


def test_half_an_event_does_not_outlive_its_connection() -> None:
    parser = EventParser()
    parser.feed(b"id: 3\ndata: a\n\ndata: half")
    parser.restart()
    assert [event.data for event in parser.feed(b"data: whole\n\n")] == ["whole"]
    assert parser.last_event_id == "3"


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(ValueError, match="million"):
        EventParser().feed(b"data: " + b"x" * 1_000_001)


def test_waits_grow_and_begin_again() -> None:
    backoff = Backoff(1.0, 8.0, jitter=lambda: 0.5)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    backoff.succeeded()
    assert backoff.next_s() == 1.0


# -- STEP files --------------------------------------------------------------------------------------------
def step(time: str, uses: tuple[int, int], name: str = "Open CASCADE Shape Model") -> bytes:
    return (
        "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION(('FreeCAD Model'),'2;1');\n"
        f"FILE_NAME('{name}','{time}',('It''s me'),(\n    ''),'Open CASCADE 7.6','FreeCAD','');\n"
        "ENDSEC;\nDATA;\n"
        "#1 = PRODUCT('FILE_NAME(''x'',''2020'')','a','',(#8));\n"
        f"#2 = NEXT_ASSEMBLY_USAGE_OCCURRENCE('{uses[0]}','Body','',#5,#31,$);\n"
        f"#3 = NEXT_ASSEMBLY_USAGE_OCCURRENCE('{uses[1]}','Box','',#5,#31,$);\nENDSEC;\nEND-ISO-10303-21;\n"
    ).encode()


def test_the_same_shape_is_the_same_bytes(tmp_path: Path) -> None:
    one = step("2026-11-24T23:40:57", (16, 17))
    other = step("2026-11-25T08:00:00", (18, 19))
    assert stepfile.normalise(one) == stepfile.normalise(other)
    assert stepfile.normalise(one) != stepfile.normalise(one.replace(b"'Box'", b"'Bix'"))
    assert stepfile.normalise(stepfile.normalise(one)) == stepfile.normalise(one)
    path = tmp_path / "part.step"
    path.write_bytes(other)
    assert stepfile.normalise_file(path) == hashlib.sha256(stepfile.normalise(one)).hexdigest()
    assert b"'FILE_NAME(''x'',''2020'')'" in path.read_bytes()


def test_a_path_in_the_header_does_not_travel() -> None:
    assert b"secret" not in stepfile.normalise(step("x", (1, 2), "/home/ann/secret/part.step"))


def test_what_is_no_step_file_is_refused() -> None:
    with pytest.raises(ValueError, match="STEP"):
        stepfile.normalise(b"solid x")


# -- the camera --------------------------------------------------------------------------------------------
def test_a_camera_in_the_coordinates_of_a_part_that_was_moved() -> None:
    quarter = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))  # 90° about z
    pose = camera.Pose((10.0, 0.0, 5.0), (0.0, 0.0, 0.0, 1.0), height_mm=20.0)
    view = camera.custom_view(pose, camera.Frame((10.0, 0.0, 0.0), quarter))
    assert np.allclose(view["eye_mm"], [0, 0, 5])  # type: ignore[arg-type]
    assert np.allclose(view["forward"], [0, 0, -1])  # type: ignore[arg-type]
    assert np.allclose(view["up"], [1, 0, 0])  # type: ignore[arg-type]
    assert (view["projection"], view["height_mm"]) == ("orthographic", 20.0)
    View(**{key: tuple(value) if isinstance(value, list) else value for key, value in view.items()})  # type: ignore[arg-type]


def test_a_perspective_camera_says_its_angle() -> None:
    pose = camera.Pose((0.0, 0.0, 9.0), (0.0, 0.0, 0.0, 1.0), height_angle_rad=math.pi / 4)
    assert camera.custom_view(pose, camera.Frame())["field_of_view_deg"] == pytest.approx(45)


@given(st.floats(0.05, 20), st.sampled_from([256, 512, 1024, 2048]), st.sampled_from([8, 16, 64]))
def test_sizes_are_what_the_model_makes(aspect: float, side: int, multiple: int) -> None:
    most = 1024 * 1024
    width, height = camera.picture_size(aspect, side, multiple=multiple, max_pixels=most)
    assert width % multiple == height % multiple == 0
    assert 64 <= min(width, height) <= max(width, height) <= 4096
    assert width * height <= most
    if 0.3 < aspect < 3:
        assert width / height == pytest.approx(aspect, rel=0.3)


# -- prompts and colours -----------------------------------------------------------------------------------
def test_fields_of_a_prompt() -> None:
    assert prompts.fields_in("{material}, {a|b}, {{x}}, {appearance} {material}") == [
        "material",
        "appearance",
    ]
    assert prompts.missing("{material} {colour}", {"material": ""}, {"colour": "red"}) == ["material"]


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("{material}, {appearance}, studio light", "{material}, studio light"),
        ("{appearance}, {material}", "{material}"),
        ("{material}, {appearance}", "{material}"),
        ("{appearance} paint, dark", "paint, dark"),
    ],
)
def test_an_optional_field_without_a_value_leaves_no_comma(prompt: str, plain: str) -> None:
    assert prompts.without_empty(prompt, {}) == plain
    assert prompts.without_empty(prompt, {"appearance": "red"}) == prompt


def test_recent_prompts_are_each_once() -> None:
    recent: list[str] = []
    for one in ["a", "b", "a"]:
        recent = prompts.with_recent(recent, one)
    assert recent == ["a", "b"]


def test_colours_that_nobody_chose_are_no_appearance() -> None:
    assert colours.appearance([(0.8, 0.8, 0.8)] * 6) == ""
    assert colours.appearance([(1.0, 0.0, 0.0), (1.0, 0.02, 0.0), (0.0, 0.0, 0.9)]) == "red and blue"


# -- wishes and jobs ---------------------------------------------------------------------------------------
WISHES = Wishes("{material}, {appearance}", fields={"material": "steel", "appearance": ""}, count=2)
RENDER = {
    "id": 5, "revision": "BRK-1@A", "seed": 12, "width": 640, "height": 384, "model": "studio",
    "prompt": "a {b}",
    "request": {
        "prompt": "a {b}", "negative_prompt": "rust", "model": {"name": "studio"},
        "sampling": {"sampler": "ddim", "num_inference_steps": 8, "guidance_scale": 2.0, "seed": 11},
        "conditioning": {"mode": "control", "control_scale": 0.5, "image": None, "strength": 0.7},
        "view": {"name": "custom", "projection": "orthographic", "eye_mm": [0, 0, 9], "forward": [0, 0, -1],
                 "up": [0, 1, 0], "height_mm": 3.0, "field_of_view_deg": 30.0, "margin": 0.08},
    },
}  # fmt: skip


def test_the_body_of_a_job() -> None:
    body = job_body(Identity("BRK-1", "A"), replace(WISHES, seed=7), "iso", (512, 512))
    assert body == {
        "revision": "BRK-1@A", "prompt": "{material}", "views": ["iso"], "seed": 7, "width": 512,
        "height": 512, "count": 2, "control_scale": 1.0, "fields": {"material": "steel"},
    }  # fmt: skip


def test_unlocked_seeds_differ() -> None:
    bodies = [job_body(Identity("BRK-1", "A"), WISHES, "iso", (512, 512)) for _ in range(4)]
    assert len({body["seed"] for body in bodies}) == 4
    assert len({fingerprint("digest", body) for body in bodies}) == 1
    assert fingerprint("digest", bodies[0]) != fingerprint("other", bodies[0])


def test_settings_of_a_render_ask_for_that_very_picture() -> None:
    wishes = settings_of(RENDER, WISHES)
    assert (wishes.seed, wishes.count, wishes.control_scale, wishes.negative_prompt) == (12, 1, 0.5, "rust")
    assert wishes.prompt == "a {{b}}"


def test_a_variation_keeps_all_but_the_seed() -> None:
    body = variation_of(RENDER, 3)
    assert body["views"] == [
        {"name": "custom", "projection": "orthographic", "eye_mm": [0, 0, 9], "forward": [0, 0, -1],
         "up": [0, 1, 0], "height_mm": 3.0}
    ]  # fmt: skip
    assert (body["sampler"], body["num_inference_steps"], body["count"]) == ("ddim", 8, 3)
    assert "image" not in body
    assert "strength" not in body


@pytest.mark.parametrize("number", ["", " x", "a@b", "a/b", "a\\b", "a\nb", "x" * 129, "..", "a\u200bb"])
def test_part_numbers_that_no_reference_holds(number: str) -> None:
    assert Identity(number, "A").objection() == "part number"
    assert Identity("BRK-1", number).objection() == "revision"
    assert Identity("Träger 1", "A.2").objection() == ""


# -- problems ----------------------------------------------------------------------------------------------
def test_a_problem_document_in_words() -> None:
    body = {
        "title": "t", "detail": "The width is 3.", "code": "out-of-bounds-size", "remedy": "Take 64.",
        "errors": [{"field": "body.width", "message": "too small"}],
    }  # fmt: skip
    problem = problem_of(422, json.dumps(body).encode())
    assert problem.sentences() == "The width is 3. body.width: too small Take 64."
    assert (problem.kind, problem.may_pass) == (Kind.REFUSED, False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Kind.UNAUTHENTICATED), (403, Kind.FORBIDDEN), (409, Kind.CONFLICT), (429, Kind.BUSY),
     (502, Kind.UNREACHABLE), (500, Kind.SERVER), (418, Kind.REFUSED)],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": 3, "detail": "x"}', b"\xff"])
def test_any_answer_with_an_error_status_is_a_problem(status: int, kind: Kind, body: bytes) -> None:
    problem = problem_of(status, body, "30")
    assert problem.kind is kind
    assert problem.told


# -- what is kept ------------------------------------------------------------------------------------------
def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_jobs_and_requests_outlive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "mfgviz" / "state.json"
    exported = tmp_path / "x.step"
    exported.write_bytes(b"x")
    origin = Origin("/a.FCStd", "uid", "a", "Body")
    state = StateFile(path, clock=lambda: 5.0)
    state.remember_job(AskedJob(SERVER, 3, "BRK-1@A", origin=origin))
    state.remember_job(AskedJob("http://other", 3, "BRK-1@A"))
    state.keep_pending(
        PendingRequest("key", "BRK-1@A", {"prompt": "x"}, geometry=str(exported), origin=origin)
    )
    again = StateFile(path)
    assert again.has_unfinished
    assert again.jobs(SERVER) == [AskedJob(SERVER, 3, "BRK-1@A", origin=origin)]
    (pending,) = again.pending()
    assert (pending.key, pending.asked_at, pending.origin) == ("key", 5.0, origin)
    again.note_state(SERVER, 3, "succeeded")
    again.drop_pending("key")
    assert not exported.exists()
    assert [job.state for job in StateFile(path).jobs(SERVER)] == ["succeeded"]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"jobs": 3}', b'{"jobs": [1, {"job": 2}], "pending": [{"nonsense": 1}]}']
)
def test_a_damaged_state_is_no_reason_to_stop(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    state = StateFile(path)
    assert state.jobs(SERVER) == []
    assert state.pending() == []
    state.note_prompt("x")
    assert state.recent_prompts() == ["x"]


def test_preferences_of_the_wrong_kind_fall_back(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    file = PreferencesFile(path)
    file.save(Preferences(count=4, control_scale=0.5))
    assert file.load() == Preferences(count=4, control_scale=0.5)
    path.write_text('{"count": "four", "side_px": true, "control_scale": 1, "unknown": 2}')
    assert file.load() == Preferences()


# -- tokens ------------------------------------------------------------------------------------------------
class BrokenKeyring:
    title = "a keyring"

    def get(self, url: str) -> str:
        raise tokens.KeyringError("locked")

    def put(self, url: str, token: str) -> None:
        raise tokens.KeyringError("locked")

    def drop(self, url: str) -> None:
        raise tokens.KeyringError("locked")


def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "mfgviz" / "tokens.json"
    kept = tokens.Tokens(tokens.TokenFile(path), BrokenKeyring())
    assert kept.put(SERVER, "mfgv_a") == "a file that only you can read"
    assert mode(path) == 0o600
    path.chmod(0o644)
    assert kept.get(SERVER) == "mfgv_a"
    assert mode(path) == 0o600
    kept.put(SERVER, "")
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for secret-tool")
def test_secret_tool_gets_the_token_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "secret-tool"
    tool.parent.mkdir()
    # Keeps what comes through the pipe under the URL, and every argument it was given.
    tool.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/arguments
for last in "$@"; do :; done
held="{tmp_path}/$(echo "$last" | tr -c 'a-z0-9\\n' _)"
case $1 in
  store) cat > "$held" ;;
  lookup) cat "$held" 2>/dev/null || exit 1 ;;
  clear) rm -f "$held" ;;
esac
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    keyring = tokens.find_keyring()
    assert isinstance(keyring, tokens.SecretTool)
    kept = tokens.Tokens(tokens.TokenFile(tmp_path / "tokens.json"), keyring)
    assert kept.put(SERVER, "mfgv_secret") == "the system's keyring"
    assert kept.get(SERVER) == "mfgv_secret"
    assert not (tmp_path / "tokens.json").exists()
    kept.put(SERVER, "")
    assert kept.get(SERVER) == ""
    assert "mfgv_secret" not in (tmp_path / "arguments").read_text()

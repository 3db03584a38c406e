"""What becomes of pictures that do not show their part: marked, accepted, or tried again, by a real engine.

A tiny model with random weights makes noise, which shows no part at all: every picture fails. What passes is
set by the threshold.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mfgviz import jobs, renditions
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState, Mode
from tests.integration.conftest import RenderNow, notes_of
from workers import lease
from workers.devices import ModelPool
from workers.engine import Engine

ASK = Ask(
    revision="BRK-1@A",
    prompt="steel",
    mode=Mode.IMAGE,
    image="clay",
    width=64,
    height=64,
    num_inference_steps=2,
    sampler="ddim",
    control_scale=0.4,
    seed=5,
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_noise_is_marked_and_the_job_and_the_file_say_so(
    runtime: Runtime, render_now: RenderNow, tmp_path: Path
) -> None:
    job_id, (made,) = render_now(ASK)
    assert made.fidelity is not None
    assert made.fidelity < 0.5
    assert made.fidelity_verdict == "marked"
    assert made.control_scale == 0.4
    details = made.fidelity_details
    assert details is not None
    assert details["complaints"]
    assert details["tried"] == [{"seed": 5, "control_scale": 0.4, "fidelity": round(made.fidelity, 4)}]
    assert any("may not show the part" in note for note in notes_of(runtime, job_id))
    path = renditions.export(runtime.blobs, made, tmp_path / "out.png")
    with runtime.db.read() as session:
        record = renditions.verify(session, runtime.blobs, path).record
    assert record is not None
    assert record["fidelity"]["verdict"] == "marked"
    assert record["fidelity"]["probability"] == made.fidelity


def test_what_passes_is_set_by_the_threshold(runtime: Runtime, render_now: RenderNow) -> None:
    job_id, (made,) = render_now(ASK, fidelity_threshold=0.0)
    assert made.fidelity_verdict == "passed"
    assert notes_of(runtime, job_id) == []


def test_accepted_pictures_are_scored_and_not_marked(runtime: Runtime, render_now: RenderNow) -> None:
    job_id, (made,) = render_now(replace(ASK, fidelity_policy="accept"))
    assert made.fidelity_verdict == "accepted"
    assert notes_of(runtime, job_id) == []


def test_a_retry_takes_more_strength_each_time_and_keeps_the_best(render_now: RenderNow) -> None:
    ask = replace(ASK, fidelity_policy="retry", fidelity_retries=2, count=2)
    _, made = render_now(ask, fidelity_threshold=1.0)
    assert [one.index for one in made] == [0, 1]
    for one in made:
        assert one.fidelity_details is not None
        tried = one.fidelity_details["tried"]
        assert [t["control_scale"] for t in tried] == [0.4, 0.7, 1.0]
        assert {t["seed"] for t in tried} == {5 + one.index}
        best = max(tried, key=lambda t: t["fidelity"])
        assert one.control_scale == best["control_scale"]


def test_at_full_strength_other_seeds_are_drawn_and_replayed_bit_for_bit(
    runtime: Runtime, render_now: RenderNow, settings: Settings, pool: ModelPool
) -> None:
    ask = replace(ASK, control_scale=1.0, fidelity_policy="retry", fidelity_retries=2, count=2)
    _, made = render_now(ask, fidelity_threshold=1.0)
    for one in made:
        assert one.fidelity_details is not None
        seeds = [t["seed"] for t in one.fidelity_details["tried"]]
        assert seeds == [5 + one.index, 7 + one.index, 9 + one.index]
        assert one.seed in seeds
    again = jobs.Submission(made[1].revision_id, renditions.replay_request(made[1]), forced=True)
    with runtime.db.begin() as session:
        (answer,) = jobs.submit(session, [again], "ann")
    assert Engine(runtime, "host:1", pool).render_next() is not None
    with runtime.db.read() as session:
        (replayed,) = renditions.of_job(session, answer.job_id)
    assert renditions.compare(runtime.blobs, made[1], replayed).identical


def test_a_replay_uses_the_strength_that_made_the_picture(runtime: Runtime, render_now: RenderNow) -> None:
    _, (made,) = render_now(replace(ASK, fidelity_policy="retry", fidelity_retries=1), fidelity_threshold=1.0)
    request = renditions.replay_request(made)
    assert request.conditioning.control_scale == made.control_scale
    assert (request.sampling.seed, request.sampling.count) == (made.seed, 1)


def test_words_alone_are_not_judged_and_the_reason_is_told(render_now: RenderNow) -> None:
    _, (made,) = render_now(replace(ASK, mode=Mode.TEXT, image=None))
    assert (made.fidelity, made.fidelity_verdict) == (None, "not_judged")
    assert made.fidelity_details is not None
    assert "words alone" in made.fidelity_details["reason"]


def test_a_cancel_between_tries_ends_the_job_without_a_picture(
    runtime: Runtime, settings: Settings, pool: ModelPool
) -> None:
    ask = replace(ASK, fidelity_policy="retry", fidelity_retries=10, num_inference_steps=40)
    with runtime.db.begin() as session:
        (answer,) = jobs.submit(session, prepare(Lookup(session, "tiny"), ask), "ann")
    used = Runtime(replace(settings, fidelity_threshold=1.0))
    engine = Engine(used, "host:1", pool)

    class Cancelling:
        """A step counter: cancels the job in the middle of its second try."""

        steps = 0

        def __call__(self, *arguments: object) -> object:
            self.steps += 1
            if self.steps == 40:
                with runtime.db.begin() as session:
                    jobs.cancel(session, answer.job_id, "bob")
            return look(*arguments)  # type: ignore[arg-type]

    look, counting = jobs.look, Cancelling()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "RENEWED_EVERY_S", 1e9)
        patch.setattr(jobs, "look", counting)
        engine.render_next()
    used.close()
    with runtime.db.read() as session:
        job = jobs.get(session, answer.job_id)
        assert (job.state, job.renditions) == (JobState.CANCELLED, [])
    assert counting.steps < 45

"""What workers tell of a sampling, and what previews may cost."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from mfgviz.jobs import ClaimedJob
from mfgviz.live import STREAM, Live, Told
from mfgviz.provenance import is_marked_synthetic, open_image
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.settings import Settings
from tests.support.servers import Redis
from workers.families.protocol import StepInfo
from workers.telling import PREVIEW_SHARE, Teller

REQUEST = RenderRequest("a" * 64, "x", ModelChoice("m", "b" * 64, "studio"), SamplingSettings("ddim", 4, 2.0))


class Sampling:
    """A sampling whose steps and previews take as long as is said, by a clock of its own."""

    def __init__(self, live: Live, step_s: float, preview_s: float, steps: int) -> None:
        self.now, self.shown = 0.0, 0
        self._step_s, self._preview_s, self._steps = step_s, preview_s, steps
        jobs = [ClaimedJob(number, 1, 1, REQUEST, "ann") for number in (7, 8)]
        self.teller = Teller(live, jobs, lambda: self.now)

    def _preview(self) -> np.ndarray:
        self.now += self._preview_s
        self.shown += 1
        return np.full((32, 48, 3), self.shown, np.uint8)

    def run(self) -> float:
        """The share of the time that previews took."""
        for step in range(1, self._steps + 1):
            self.now += self._step_s
            self.teller.step(step, self._steps, StepInfo(step, self._steps, self._preview))
        return self.shown * self._preview_s / (self._steps * self._step_s)


@pytest.fixture
def live(redis_server: Redis) -> Live:
    return Live(Settings(broker_url=redis_server.url))


@pytest.mark.parametrize(
    ("step_s", "preview_s", "steps", "least", "most"),
    [
        (0.12, 0.03, 4, 0, 0),  # the bundled model: the picture is there before a preview would be
        (1.0, 0.1, 50, 10, 16),
        (1.0, 0.4, 50, 2, 4),
        (0.2, 0.002, 50, 15, 25),  # however cheap, not more often than eyes follow
        (1.0, 5.0, 20, 0, 1),
    ],
)
def test_previews_stay_within_their_budget(
    step_s: float, preview_s: float, steps: int, least: int, most: int, live: Live
) -> None:
    sampling = Sampling(live, step_s, preview_s, steps)
    share = sampling.run()
    assert least <= sampling.shown <= most
    # One that costs more than anybody could know before it was made is the last.
    assert share <= PREVIEW_SHARE or sampling.shown == 1


def test_steps_and_previews_come_through_redis(live: Live, redis_server: Redis) -> None:
    import redis

    Sampling(live, 1.0, 0.02, 10).run()
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        told = [Told.read(fields) for _, fields in client.xrange(STREAM)]
        assert 0 < client.ttl("mfgviz:preview:7") <= 300
    assert [one.step for one in told if one and one.job == 7] == list(range(1, 11))
    assert [one.step for one in told if one and one.job == 8] == list(range(1, 11))
    assert {one.job for one in told if one and one.preview} == {7}  # it shows the first picture alone
    found = live.preview(7)
    assert found is not None
    image = open_image(found[1], "The preview")
    assert (image.size, image.format, is_marked_synthetic(image)) == ((48, 32), "JPEG", True)
    assert live.preview(8) is None


@pytest.mark.parametrize("url", ["redis+socket:///nowhere/r.sock", "amqp://nowhere.invalid//"])
def test_nobody_is_told_where_nobody_listens(url: str, tmp_path: Path) -> None:
    live = Live(Settings(broker_url=url))
    assert Sampling(live, 1.0, 0.02, 10).run() <= PREVIEW_SHARE
    assert live.preview(7) is None
    live.close()


def test_a_preview_is_the_picture_itself(live: Live) -> None:
    live.put_preview(3, 4, b"jpeg")
    assert live.preview(3) == (4, b"jpeg")
    live.drop_preview([3])
    assert live.preview(3) is None


def test_a_server_that_is_not_there_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever submits waits for no second try: those who look on ask the database then."""
    asked: list[object] = []
    connect = socket.socket.connect

    def counted(self: socket.socket, address: object) -> None:
        asked.append(address)
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", counted)
    live = Live(Settings(data_dir=tmp_path, broker_url=f"redis+socket://{tmp_path}/nobody.sock"))
    for _ in range(3):
        live.tell([Told(1, "ann")])
    live.close()
    assert asked == [f"{tmp_path}/nobody.sock"]

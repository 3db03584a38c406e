"""What the judge learns from: crops and whole pictures beside maps that tell of the same shape or another.

A sample's answer is where the edges and surfaces of two control maps differ and, where both versions are
pictured in one look, their pictures do so too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from workers.judge.lighting import ASKED_PX, colours_by_facing, unexplained
from workers.judge.network import STRIDE
from workers.studio.training.config import TrainingConfig
from workers.studio.training.differences import only_visible, targets
from workers.studio.training.maps import from_bytes, maps_name
from workers.studio.training.pack import load_pack, read_control, read_pixels, training_rows
from workers.studio.training.pairs import looks_of, picture_name

Batch = tuple[torch.Tensor, torch.Tensor]

CROP_PX = 96
# Of a larger picture a window of this size is taken for the whole.
WINDOW_PX = 256
# Of the pairs: how many are genuine twice, and how many are beside a foreign part's maps.
ANYWHERE, FOREIGN = 0.3, 0.04
GENUINE = 0.3  # of the pairs of whole pictures
# How far from the part a genuine crop may lie (its shadow is no edge of the part), in steps of so many.
AROUND_PX, AROUND_STEP = 24, 4
WHOLE = 0.12


@dataclass(frozen=True, slots=True)
class Picture:
    """What shows a version of a case: pixels (H, W, 3), and whose picture in which look it is."""

    version: int
    pixels: NDArray[np.uint8]
    source: str
    look: int


class PairsData:
    """The cases in memory, as bytes; those of different sizes may be mixed."""

    def __init__(self, cases: list[dict[str, Any]]) -> None:
        self.maps: list[NDArray[np.uint8]] = []
        self.kinds = [[version["kind"] for version in case["versions"]] for case in cases]
        self.pictures: list[list[Picture]] = []
        for case in cases:
            with np.load(case["folder"] / "maps.npz") as archive:
                self.maps.append(archive["maps"])
            self.pictures.append(_pictures_of(case))
        self.of_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, maps in enumerate(self.maps):
            self.of_size[maps[0].shape].append(place)
        self._answers: dict[tuple[int, int, int], NDArray[np.uint8]] = {}

    def answer(self, place: int, number: int, told: int) -> NDArray[np.float32]:
        """`targets` of what a picture of a case, by its number, shows beside a version; kept, as bits."""
        picture = self.pictures[place][number]
        own = self.maps[place][picture.version]
        shape = (3, own.shape[1] // STRIDE, own.shape[2] // STRIDE)
        key = (place, number, told)
        if key not in self._answers:
            answers = targets(own, self.maps[place][told])
            for other in self.pictures[place]:
                if (other.source, other.look, other.version) == (picture.source, picture.look, told):
                    answers = only_visible(answers, picture.pixels, other.pixels)
            self._answers[key] = np.packbits(answers.astype(bool))
        bits = np.unpackbits(self._answers[key], count=int(np.prod(shape)))
        return bits.reshape(shape).astype(np.float32)

    def __len__(self) -> int:
        return len(self.maps)


def _pictures_of(case: dict[str, Any]) -> list[Picture]:
    """Those of the path tracer first."""
    found = []
    for source in ("picture", "studio"):
        for look in range(len(looks_of(case))):
            for version, row in enumerate(case["versions"]):
                path: Path = case["folder"] / picture_name(source, version, look)
                if row["pictured"] and path.exists():
                    found.append(Picture(version, np.array(Image.open(path).convert("RGB")), source, look))
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture (H, W, 3) beside maps (8, H, W), the answer (3, H/2, W/2), and what the whole picture's
    colours are by facing (3, FACINGS, FACINGS)."""

    picture: NDArray[np.uint8]
    maps: NDArray[np.uint8]
    answer: NDArray[np.float32]
    by_facing: torch.Tensor

    @classmethod
    def of(cls, picture: NDArray[np.uint8], maps: NDArray[np.uint8], answer: NDArray[np.float32]) -> Sample:
        """A whole picture."""
        step = max(1, min(picture.shape[:2]) // ASKED_PX)
        colours = torch.from_numpy(np.ascontiguousarray(picture[::step, ::step])).permute(2, 0, 1)[None]
        control = from_bytes(torch.from_numpy(np.ascontiguousarray(maps[:, ::step, ::step]))[None])
        return cls(picture, maps, answer, colours_by_facing(colours.float() / 255, control)[0])

    def cut(self, middle: NDArray[Any], rng: np.random.Generator, size_px: int = CROP_PX) -> Sample:
        """A crop around a place, which lies anywhere within its inner half; all of a smaller picture."""
        size_px = min(size_px, *self.picture.shape[:2])
        moved = middle + rng.integers(-size_px // 4, size_px // 4 + 1, 2) - size_px // 2
        row, column = (
            int(np.clip(m, 0, side - size_px)) // STRIDE * STRIDE
            for m, side in zip(moved, self.picture.shape[:2], strict=True)
        )
        large = (slice(row, row + size_px), slice(column, column + size_px))
        few = tuple(slice(one.start // STRIDE, one.stop // STRIDE) for one in large)
        answer = self.answer[:, few[0], few[1]]
        return Sample(self.picture[large], self.maps[:, large[0], large[1]], answer, self.by_facing)


def draw_pair(data: PairsData, rng: np.random.Generator) -> list[Sample]:
    """Two crops of one place of one picture: beside its own maps, and beside those of another version of
    the part.

    Around something that differs; else, of genuine pictures alone, anywhere on the part and around it, so
    that no reflection, no pattern and no shadow is taken for a defect.
    """
    place = int(rng.integers(len(data)))
    kinds, number = data.kinds[place], int(rng.integers(len(data.pictures[place])))
    shown, picture = data.pictures[place][number].version, data.pictures[place][number].pixels
    own = data.maps[place][shown]
    nothing = np.zeros((3, own.shape[1] // STRIDE, own.shape[2] // STRIDE), np.float32)
    genuine = Sample.of(picture, own, nothing)
    share = rng.random()
    if share < ANYWHERE:
        return [genuine.cut(_on_part(own, rng), rng) for _ in range(2)]
    if share > 1 - FOREIGN:
        others = data.of_size[own.shape]
        told = data.maps[others[int(rng.integers(len(others)))]][0]
        answer = targets(own, told)
    else:
        version = _other(kinds, shown, rng)
        told, answer = data.maps[place][version], data.answer(place, number, version)
    middle, at = _differing(answer, own, rng), rng.integers(1 << 30)
    both = (genuine, Sample.of(picture, told, answer))
    return [one.cut(middle, np.random.default_rng(at)) for one in both]


def _on_part(maps: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[Any]:
    """A place in pixels on the part of maps (8, H, W), or near it."""
    few = maps[4, ::AROUND_STEP, ::AROUND_STEP]
    on = np.argwhere(ndimage.maximum_filter(few, 2 * AROUND_PX // AROUND_STEP + 1) > 127)
    return np.asarray(on[int(rng.integers(len(on)))] * AROUND_STEP)


def _differing(answer: NDArray[np.float32], own: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[Any]:
    """A place in pixels of one of the differences, small ones as likely as large ones; else on the part."""
    areas, count = ndimage.label(answer.max(0) > 0, np.ones((3, 3)))
    among = areas == rng.integers(1, count + 1) if count else own[4, ::STRIDE, ::STRIDE] > 127
    places = np.argwhere(among) * STRIDE
    return np.asarray(places[int(rng.integers(len(places)))])


def _other(kinds: list[str], number: int, rng: np.random.Generator) -> int:
    """Another version of the same part."""
    others = [n for n in range(len(kinds)) if n != number]
    weights = np.array([_weight(kinds[number], kinds[n]) for n in others])
    return others[int(rng.choice(len(others), p=weights / weights.sum()))]


def _weight(shown: str, told: str) -> float:
    """Small defects are drawn more often than whole other parts, which are soon learnt."""
    return WHOLE if {shown, told} & {"wrong part", "mirrored part"} else 1.0


def draw_batch(data: PairsData, rng: np.random.Generator, size: int) -> Batch:
    """Inputs (B, 14, H, W) and answers, with other colours, blur, noise and the mirror image mixed in."""
    drawn: list[Sample] = []
    while len(drawn) < size:
        drawn += draw_pair(data, rng)
    return _as_batch(drawn, rng)


class Genuine:
    """Path-traced training pictures beside their own maps: of more parts and looks than the pairs have."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._entries: list[dict[str, Any]] = []
        if (config.folder / "pack.pt").exists():
            pack = load_pack(config)
            entries = [pack.entries[row] for row in training_rows(pack).tolist()]
            self._entries = [entry for entry in entries if entry["size_px"] >= WINDOW_PX]

    def __len__(self) -> int:
        return len(self._entries)

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[Sample]:
        """Windows of so many pictures, whose answer is that nothing differs."""
        for place in rng.integers(len(self), size=count):
            entry = self._entries[int(place)]
            pixels = read_pixels(self._config, entry).permute(1, 2, 0)
            picture = ((pixels + 1) * 127.5).round().to(torch.uint8).numpy()
            control = read_control(self._config, maps_name(entry))
            if control.shape[-1] > len(picture):
                control = functional.avg_pool2d(control.float(), 2).round().to(torch.uint8)
            height, width = (side // STRIDE for side in picture.shape[:2])
            whole = Sample.of(picture, control.numpy(), np.zeros((3, height, width), np.float32))
            yield whole.cut(_on_part(whole.maps, rng), rng, WINDOW_PX)


def draw_whole(data: PairsData, genuine: Genuine, rng: np.random.Generator, size: int) -> Batch:
    """Windows as `draw_batch` gives crops: two of each picture, beside its own maps and beside those of
    another version of the part, or two genuine ones of the training pictures."""
    drawn: list[Sample] = []
    while len(drawn) < size:
        if rng.random() < GENUINE and len(genuine):
            drawn += genuine.draw(2, rng)
        else:
            drawn += _whole_pair(data, rng)
    return _as_batch(drawn, rng)


def _whole_pair(data: PairsData, rng: np.random.Generator) -> list[Sample]:
    place = int(rng.integers(len(data)))
    number = int(rng.integers(len(data.pictures[place])))
    shown, picture = data.pictures[place][number].version, data.pictures[place][number].pixels
    version = _other(data.kinds[place], shown, rng)
    answer, own = data.answer(place, number, version), data.maps[place][shown]
    both = (
        Sample.of(picture, own, np.zeros_like(answer)),
        Sample.of(picture, data.maps[place][version], answer),
    )
    middle, at = _differing(answer, own, rng), rng.integers(1 << 30)
    return [one.cut(middle, np.random.default_rng(at), WINDOW_PX) for one in both]


def _as_batch(drawn: list[Sample], rng: np.random.Generator) -> Batch:
    looks, tables = [], []
    for pair in zip(drawn[::2], drawn[1::2], strict=True):
        tone, at = _Tone.draw(rng), rng.integers(1 << 30)  # both of a pair look the same
        for one in pair:
            colours = torch.from_numpy(np.ascontiguousarray(one.picture)).permute(2, 0, 1).float() / 255
            looks.append(_as_seen(tone(colours), np.random.default_rng(at)))
            tables.append(tone(one.by_facing))
    colours, table = torch.stack(looks), torch.stack(tables)
    control = from_bytes(torch.from_numpy(np.stack([one.maps for one in drawn])))
    inputs = torch.cat([colours, control, unexplained(colours, control, table)], 1)
    answers = torch.from_numpy(np.stack([one.answer for one in drawn]))
    for row in range(0, len(drawn), 2):
        if rng.random() < 0.5:
            inputs[row : row + 2] = inputs[row : row + 2].flip(-1)
            inputs[row : row + 2, 3] *= -1
            answers[row : row + 2] = answers[row : row + 2].flip(-1)
    return inputs, answers


@dataclass(frozen=True, slots=True)
class _Tone:
    """Other colours: channels changed about, grey, gamma and gain."""

    order: list[int]
    grey: bool
    gamma: float
    gain: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Tone:
        order = [int(n) for n in rng.permutation(3)] if rng.random() < 0.6 else [0, 1, 2]
        return cls(order, bool(rng.random() < 0.15), rng.uniform(0.75, 1.35), rng.uniform(0.85, 1.1))

    def __call__(self, colours: torch.Tensor) -> torch.Tensor:
        """(3, H, W) in 0 to 1 to the same."""
        made = colours[self.order]
        if self.grey:
            made = made.mean(0, keepdim=True).expand(3, -1, -1)
        return (made**self.gamma * self.gain).clamp(0, 1)


def _as_seen(colours: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Some pictures blurred, some with noise."""
    made = colours.numpy()
    if rng.random() < 0.3:
        made = ndimage.gaussian_filter(made, (0, *[rng.uniform(0.3, 0.8)] * 2))
    if rng.random() < 0.3:
        made = made + rng.normal(0, rng.uniform(0.004, 0.02), made.shape)
    return torch.from_numpy(np.clip(made, 0, 1).astype(np.float32))

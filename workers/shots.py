"""One image to be made, what was tried for it, and whether it may be tried once more.

A try keeps its seed and takes more geometry strength, in equal steps up to 1. Where the strength is 1
already, another seed is drawn instead: the job's seeds lie side by side, and tries go on behind the last of
them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mfgviz import scenes
from mfgviz.errors import MfgvizError
from mfgviz.jobs import ClaimedJob
from mfgviz.requests import MAX_SEED
from mfgviz.vocabulary import FidelityPolicy, FidelityVerdict, Mode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.families.protocol import Maps, SampleBatch
    from workers.fidelity import Fidelity

log = logging.getLogger(__name__)

NO_MAPS = "The picture was made from words alone: there is no geometry to judge it by."


@dataclass(frozen=True, slots=True)
class Try:
    """One picture that was made for a shot, and how well it shows the part; None where nobody could say."""

    image: NDArray[np.uint8]
    seed: int
    control_scale: float | None
    fidelity: Fidelity | None
    reason: str = ""

    @property
    def probability(self) -> float | None:
        """Its fidelity."""
        return None if self.fidelity is None else self.fidelity.probability

    def as_json(self) -> dict[str, Any]:
        """For the rendition's details."""
        probability = self.probability
        told = None if probability is None else round(probability, 4)
        return {"seed": self.seed, "control_scale": self.control_scale, "fidelity": told}


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to be made: of which job, with which seed and strength, held by which maps."""

    job: ClaimedJob
    index: int
    seed: int
    control_scale: float | None
    maps: Maps | None
    start: NDArray[np.uint8] | None
    tried: tuple[Try, ...] = field(default=(), repr=False)

    @classmethod
    def first(cls, job: ClaimedJob, index: int, maps: Maps | None, start: NDArray[np.uint8] | None) -> Shot:
        """As the request says."""
        conditioning = job.request.conditioning
        scale = None if conditioning.mode is Mode.TEXT else conditioning.control_scale
        return cls(job, index, job.request.sampling.seed + index, scale, maps, start)

    def judged(self, image: NDArray[np.uint8]) -> Shot:
        """The shot with that picture among its tries."""
        fidelity, reason = judge_picture(image, self.maps)
        return replace(self, tried=(*self.tried, Try(image, self.seed, self.control_scale, fidelity, reason)))

    @property
    def best(self) -> Try:
        """The try that shows the part best; of equal ones the first, which is nearest to what was asked."""
        return max(self.tried, key=lambda one: -1.0 if one.probability is None else one.probability)

    def again(self, threshold: float) -> Shot | None:
        """The next try; None where the picture is good enough, or the job's policy allows no more."""
        probability, job = self.best.probability, self.job
        if probability is None or probability >= threshold or len(self.tried) > job.fidelity_retries:
            return None
        asked = job.request.conditioning.control_scale
        if asked < 1:
            share = len(self.tried) / job.fidelity_retries
            return replace(self, control_scale=round(asked + (1 - asked) * share, 6))
        sampling = job.request.sampling
        seed = (sampling.seed + self.index + sampling.count * len(self.tried)) % MAX_SEED
        return replace(self, seed=seed)

    def verdict(self, threshold: float) -> FidelityVerdict:
        """What is to be thought of the best try."""
        probability = self.best.probability
        if probability is None:
            return FidelityVerdict.NOT_JUDGED
        if probability >= threshold:
            return FidelityVerdict.PASSED
        accepted = self.job.fidelity_policy is FidelityPolicy.ACCEPT
        return FidelityVerdict.ACCEPTED if accepted else FidelityVerdict.MARKED

    def details(self, threshold: float) -> dict[str, Any]:
        """What the rendition keeps of how it was judged."""
        best = self.best
        if best.fidelity is None:
            return {"reason": best.reason}
        told = best.fidelity.as_json()
        known = {"scores": told["scores"], "complaints": told["complaints"], "threshold": threshold}
        return known | {"tried": [one.as_json() for one in self.tried]}


def judge_picture(image: NDArray[np.uint8], maps: Maps | None) -> tuple[Fidelity | None, str]:
    """How well an image shows the part, or why nobody can say. A picture is never lost over its judge."""
    if maps is None:
        return None, NO_MAPS
    from workers.fidelity import judge

    try:
        return judge(image, maps), ""
    except (MfgvizError, ValueError, RuntimeError, OSError) as error:
        log.warning("a picture could not be judged", exc_info=error)
        return None, f"The picture could not be judged: {error}"


def in_chunks(shots: Sequence[Shot], most: int) -> list[list[Shot]]:
    """Batches of at most so many shots, each of one geometry strength, in order."""
    chunks: list[list[Shot]] = []
    for scale in dict.fromkeys(shot.control_scale for shot in shots):
        alike = [shot for shot in shots if shot.control_scale == scale]
        chunks += [alike[at : at + most] for at in range(0, len(alike), most)]
    return chunks


def make_batch(chunk: Sequence[Shot]) -> SampleBatch:
    """The shots, all of one strength, as one batch for a family."""
    from workers.families.protocol import SampleBatch

    first, scale = chunk[0].job.request, chunk[0].control_scale
    sampling, conditioning = first.sampling, first.conditioning
    maps = [shot.maps for shot in chunk if shot.maps is not None]
    starts = [shot.start for shot in chunk if shot.start is not None]
    return SampleBatch(
        prompts=[scenes.spoken(shot.job.request.prompt, shot.seed) for shot in chunk],
        negative_prompts=[shot.job.request.negative_prompt for shot in chunk],
        seeds=[shot.seed for shot in chunk],
        width=sampling.width,
        height=sampling.height,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        sampler=sampling.sampler,
        mode=conditioning.mode,
        control=maps if len(maps) == len(chunk) else None,
        control_scale=conditioning.control_scale if scale is None else scale,
        images=starts if len(starts) == len(chunk) else None,
        strength=conditioning.strength,
    )

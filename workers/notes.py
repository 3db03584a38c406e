"""What people should know of a job's pictures: sentences for its notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfgviz import scenes

if TYPE_CHECKING:
    from mfgviz.jobs import NewRendition
    from mfgviz.renditions import Made
    from workers.families.protocol import LoadedModel
    from workers.shots import Shot


def of_cuts(model: LoadedModel, shot: Shot) -> list[str]:
    """What of a shot's texts is longer than the model reads."""
    request = shot.job.request
    texts = {"prompt": scenes.spoken(request.prompt, shot.seed), "negative prompt": request.negative_prompt}
    cuts = {what: model.cut_prompt(text) for what, text in texts.items()}
    return [
        f"The {what} is longer than the model reads; not read: {cut!r}." for what, cut in cuts.items() if cut
    ]


def of_mark(made: Made) -> str:
    """Of a picture that may not show its part."""
    complaints = (made.fidelity_details or {}).get("complaints", [])
    told = f": {complaints[0]}" if complaints else "."
    return f"Image {made.index} may not show the part (fidelity {made.fidelity:.2f}){told}"


def of_scenes(prompt: str, made: Sequence[NewRendition]) -> list[str]:
    """Which light and background the seed of each picture said, where the prompt leaves them to it."""
    words = {one.index: scenes.drawn(prompt, one.seed) for one in sorted(made, key=lambda one: one.index)}
    return [f"Image {index}: {', '.join(said)}." for index, said in words.items() if said]

"""Contact sheets of an evaluation, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mfgviz.errors import StorageUnavailableError
from workers.evaluation.subjects import as_bytes, small
from workers.fidelity import local_answers

if TYPE_CHECKING:
    from workers.evaluation.drawn import Drawn

MOST_ROWS = 12


def write(folder: Path, drawn: Mapping[str, Sequence[Drawn]]) -> dict[str, Path]:
    """Write the sheets; the files by their names. Raises StorageUnavailableError."""
    step = max(1, len(drawn["model"]) // MOST_ROWS)
    rows = range(0, len(drawn["model"]), step)[:MOST_ROWS]
    sheets = {"subjects": _subjects(drawn, rows), "judged": _judged(drawn["model"], rows)}
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, sheet in sheets.items():
            written[name] = folder / f"{name}.png"
            Image.fromarray(sheet).save(written[name])
    except OSError as error:
        raise StorageUnavailableError.of_folder(folder, error) from error
    return written


def _subjects(drawn: Mapping[str, Sequence[Drawn]], rows: Sequence[int]) -> NDArray[np.uint8]:
    """One row a part: the path tracer, plain shading, the model, and the model in red and in blue."""
    made = []
    for number in rows:
        ours = drawn["model"][number]
        shown = [drawn["path_traced"][number].words, drawn["rasterised"][number].words, ours.words]
        shown += [one for one in (ours.red, ours.blue) if one is not None]
        made.append(np.concatenate([as_bytes(small(one)) for one in shown], 1))
    return np.concatenate(made, 0)


def _judged(drawn: Sequence[Drawn], rows: Sequence[int]) -> NDArray[np.uint8]:
    """One row a part: its picture, its normals, and what the judge says of the picture: missing edges red,
    invented ones green, other surfaces blue."""
    made = []
    for number in rows:
        one = drawn[number]
        picture = as_bytes(small(one.words))
        normals = as_bytes(one.maps.normal * 0.5 + 0.5)
        made.append(np.concatenate([picture, normals, over(picture, local_answers(picture, one.maps))], 1))
    return np.concatenate(made, 0)


def over(picture: NDArray[np.uint8], answers: NDArray[Any]) -> NDArray[np.uint8]:
    """The judge's local answers (3, h, w) in colours over the darkened picture."""
    large = answers.repeat(2, 1).repeat(2, 2)[:, : picture.shape[0], : picture.shape[1]]
    grey = picture.astype(float).mean(-1, keepdims=True) * 0.35
    return np.clip(grey + np.moveaxis(large, 0, -1) * 255, 0, 255).astype(np.uint8)

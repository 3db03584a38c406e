"""The worker side's tools as a program: `python -m workers NAME`, JSON in on stdin, JSON out on stdout.

The core's commands use it (`mfgviz.toolbox`), so that they need not import geometry code or torch. An
error of ours comes out as {"error": {code, message, remedy}} and exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from mfgviz.errors import InvalidInputError, MfgvizError
from mfgviz.requests import View
from mfgviz.settings import load_settings

Answer = dict[str, Any]


def read_geometry(arguments: dict[str, Any]) -> Answer:
    """`path`, and how many `holes` are to be named at most → format, shape_digest, facts, warnings."""
    from workers.geometry.facts import HOLES_NAMED
    from workers.maps import read_geometry

    holes = int(arguments.get("holes", HOLES_NAMED))
    facts, warnings = read_geometry(Path(arguments["path"]), load_settings(), holes)
    return {
        "format": facts.format,
        "shape_digest": facts.shape_digest,
        "facts": facts.facts,
        "warnings": warnings,
    }


def maps(arguments: dict[str, Any]) -> Answer:
    """`path`, `view`, `width`, `height`, `out_dir` → the files written, by map."""
    from workers.maps import draw_maps

    view = msgspec.convert(arguments["view"], View)
    size = (int(arguments["width"]), int(arguments["height"]))
    files = draw_maps(Path(arguments["path"]), view, size, Path(arguments["out_dir"]), load_settings())
    return {"files": {name: str(path) for name, path in files.items()}}


def silhouettes(arguments: dict[str, Any]) -> Answer:
    """`before`, `after` (each `path`, `digest`, `name`), `holes`, `out` → the file written."""
    from workers.geometry import FolderCache, cached_mesh
    from workers.maps import limits_of
    from workers.silhouettes import Pair, marks_of, sheet

    settings = load_settings()
    cache = FolderCache(settings.cache_dir, settings.cache_max_bytes)
    sides = [arguments["before"], arguments["after"]]
    meshes = [cached_mesh(cache, one["digest"], Path(one["path"]), limits_of(settings)) for one in sides]
    names = (str(sides[0]["name"]), str(sides[1]["name"]))
    Path(arguments["out"]).write_bytes(sheet(Pair(meshes[0], meshes[1], names, marks_of(arguments["holes"]))))
    return {"file": arguments["out"]}


def inspect_model(arguments: dict[str, Any]) -> Answer:
    """`spec` → the spec with its weights' digest, and what the model can do."""
    from dataclasses import replace

    from mfgviz.models_folder import ModelSpec, spec_digest
    from workers.families.protocol import get_family

    spec = ModelSpec.from_json(arguments["spec"])
    capabilities = get_family(spec.family).inspect(spec)
    spec = replace(spec, weights_digest=spec_digest(spec))
    return {"spec": spec.as_json(), "capabilities": capabilities.as_json()}


def evaluate_model(arguments: dict[str, Any]) -> Answer:
    """`spec`, `quick`, `cases`, `out_dir`, `inception` → figures, bars, baselines, reasons, sheets."""
    from mfgviz.models_folder import ModelSpec
    from workers.evaluation.run import Options, evaluate

    folder, inception = (
        Path(given) if given else None for given in map(arguments.get, ("out_dir", "inception"))
    )
    options = Options(bool(arguments["quick"]), arguments.get("cases"), folder, inception)
    return evaluate(ModelSpec.from_json(arguments["spec"]), options)


def device(_arguments: dict[str, Any]) -> Answer:
    """Nothing → what sampling would run on, and its memory."""
    from workers.devices import choose_device

    chosen = choose_device(load_settings().device)
    return {
        "name": chosen.name,
        "device": str(chosen.torch_device),
        "dtype": str(chosen.dtype).removeprefix("torch."),
        "total_memory_bytes": chosen.total_memory_bytes,
        "free_memory_bytes": chosen.free_memory_bytes(),
    }


TOOLS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "read-geometry": read_geometry,
    "maps": maps,
    "silhouettes": silhouettes,
    "inspect-model": inspect_model,
    "evaluate-model": evaluate_model,
    "device": device,
}


def main(names: list[str], answers: TextIO) -> int:
    """Run the tool of that name, write what it answers; the exit code."""
    try:
        if len(names) != 1 or names[0] not in TOOLS:
            raise InvalidInputError(f"Name one tool: {', '.join(TOOLS)}.")
        answer = TOOLS[names[0]](json.load(sys.stdin))
    except MfgvizError as error:
        json.dump({"error": error.as_json()}, answers)
        return 1
    json.dump(answer, answers)
    return 0


if __name__ == "__main__":
    # What libraries print (OpenCASCADE does, to the console) is no part of the answer.
    with os.fdopen(os.dup(1), "w") as answers_:
        os.dup2(2, 1)
        sys.exit(main(sys.argv[1:], answers_))

"""Stage `evaluation-set`: the set that `models evaluate` ships with, out of the pairs.

Always the same cases in the same order: the first of the held-out families, and of the training families
those that nothing was calibrated on. A defect that changes too little to be seen is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.evaluation.cases import SET, camera_as_json
from workers.evaluation.packing import pack
from workers.studio.training.cameras import camera_from_json
from workers.studio.training.captions import COATS, LIGHTS, material_phrase
from workers.studio.training.captions import FLOORS as FLOOR_WORDS
from workers.studio.training.differences import LEAST_CHANGED_PX, changed, visible_px
from workers.studio.training.maps import product_camera
from workers.studio.training.pairs import PairsConfig, read_cases

HELD_OUT, SEEN = 66, 14
# Of how many cases one has the defects whose STEP files are whole other parts.
WRONG_PART_EVERY = 2
# Lossless pictures of this size take several times as much.
WEBP_QUALITY = 98
# Kinds whose own pictures ship: the others are shown by the genuine part's picture beside their maps.
PICTURED = ("extra bolt",)


def make_evaluation_set(pairs: PairsConfig, folder: Path = SET) -> int:
    """Write the set; its size in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    chosen = [(case, True) for case in read_cases(pairs, held_out=True)[:HELD_OUT]]
    chosen += [(case, False) for case in read_cases(pairs, held_out=False)[::8][:SEEN]]
    rows: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, (case, held_out) in enumerate(chosen):
        row, parts = _case(case, number, folder, held_out=held_out)
        rows.append(row)
        files |= parts
        _copy(case["folder"] / "picture-0.png", folder / f"{row['name']}.webp")
    (folder / "index.json").write_text(json.dumps({"cases": rows}, separators=(",", ":")) + "\n")
    (folder / "parts.tar.xz").write_bytes(pack(files))
    return sum(path.stat().st_size for path in folder.iterdir())


def plain_caption(words: dict[str, Any]) -> str:
    """A look in its plainest words."""
    plain = np.random.default_rng(0)
    coat = words["kind"] in COATS
    material = COATS[words["kind"]][0].format(words["colour"]) if coat else material_phrase(words, plain)
    if coat and words["finish"]:
        material = f"{words['finish']} {material}"
    return f"{material}, {LIGHTS[words['light']][0]}, {FLOOR_WORDS[words['floor']][0]}"


def _case(
    case: dict[str, Any], number: int, to: Path, *, held_out: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    name = f"{number:02d}-{case['family']}"
    folder: Path = case["folder"]
    files = {f"{name}.step": (folder / "part.step").read_bytes()}
    own = camera_as_json(product_camera(camera_from_json(case["versions"][0]["camera"])))
    defects = []
    for place, version in enumerate(case["versions"] if held_out else []):
        kind = version["kind"]
        if kind == "genuine":
            continue
        if version["changed_px"] < LEAST_CHANGED_PX or (kind == "wrong part" and number % WRONG_PART_EVERY):
            continue
        part = None
        if kind != "mirrored part":
            part = f"{name}-{kind.replace(' ', '-')}.step"
            files[part] = (folder / f"{kind.replace(' ', '-')}.step").read_bytes()
        camera = camera_as_json(product_camera(camera_from_json(version["camera"])))
        picture = None
        if kind in PICTURED and (folder / f"picture-{place}.png").exists() and _is_visible(folder, place):
            picture = f"{name}-{kind.replace(' ', '-')}.webp"
            _copy(folder / f"picture-{place}.png", to / picture)
        told = {"kind": kind, "part": part, "picture": picture}
        defects.append(told | ({"camera": camera} if camera != own else {}))
    row = {
        "name": name,
        "family": case["family"],
        "held_out": held_out,
        "words": case["words"],
        "caption": plain_caption(case["words"]),
        "camera": own,
        "defects": defects,
    }
    return row, files


def _copy(picture: Path, target: Path) -> None:
    with Image.open(picture) as image:
        image.save(target, quality=WEBP_QUALITY, method=6)


def _is_visible(folder: Path, place: int) -> bool:
    one, other = (np.array(Image.open(folder / f"picture-{n}.png")) for n in (0, place))
    with np.load(folder / "maps.npz") as archive:
        differs = changed(*archive["maps"][[0, place]])
    return visible_px(one, other, differs) >= LEAST_CHANGED_PX

"""Stage `pairs`: parts and what they become with a planted defect, their control maps and pictures.

A case is one part seen by one camera, beside its versions with one defect each, or, where the judge of
`workers.fidelity` learns from it, with several. Each version's picture is genuine for its own maps, and shows
a defect for the maps of the others: so a picture serves both ways, and the judge learns to see the difference
and nothing else of the picture. What is there is not made again. `workers.studio.training.pair_looks` makes
further pictures of what is here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.evaluation.cases import mirrored
from workers.geometry.maps import control_maps
from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh
from workers.studio.control import control_tensor
from workers.studio.training.cameras import PictureCamera, draw_camera
from workers.studio.training.config import TrainingConfig
from workers.studio.training.differences import LEAST_CHANGED_PX, changed, counted
from workers.studio.training.maps import product_camera, to_bytes
from workers.studio.training.nouns import HELD_OUT, NOUNS

if TYPE_CHECKING:
    from workers.studio.training.solids import Shape

PAIRS_PX = 512
PART = "part.step"  # the part as it should be
# Versions with several defects of a case that is learnt from.
LEARNT_VERSIONS = 4
# A case is begun so often; what is not finished then crashes the kernel.
MOST_BEGUN = 2
# A missing library, a full disk, a mistake in this code: no part is at fault, and none is left out for it.
NOT_THE_PARTS = (ImportError, MemoryError, OSError, AttributeError, NameError, TypeError)
SEED = 7301


@dataclass(slots=True)
class Version:
    """A part, as it should be or with a defect; `file` is its own STEP file, if it has one."""

    kind: str
    mesh: Mesh
    camera: PictureCamera
    file: str | None


@dataclass(frozen=True, slots=True)
class PairsConfig:
    """How many cases of how many pictures. Held-out families are for measuring."""

    folder: Path
    cases: int = 830
    held_out_cases: int = 72
    looks: int = 4  # further ones of each version of what is learnt from
    samples_per_pixel: int = 4

    @classmethod
    def of(cls, config: TrainingConfig, **changes: int) -> PairsConfig:
        """In the training run's folder."""
        return cls(config.folder / "pairs", **changes)


def make_pairs(config: PairsConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9) -> int:
    """Make the cases that this process owes and nobody has; how many it made."""
    if processes > 1:
        from workers.studio.training.scene import use_threads

        use_threads(1)
    started, made = time.monotonic(), 0
    for number, (name, family) in enumerate(_owed(config)):
        folder = config.folder / name
        if number % processes != process or (folder / "case.json").exists():
            continue
        if time.monotonic() - started > minutes * 60:
            break
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _begin(folder)
            _make_case(config, folder, family)
        except NOT_THE_PARTS:
            raise
        except Exception as error:  # noqa: BLE001 - the kernel and the mesher raise kinds of their own
            print(f"{name} left out: {type(error).__name__}: {error}", flush=True)
            (folder / "case.json").write_text(json.dumps({"family": family, "versions": []}))
            continue
        finally:
            (folder / "begun").unlink(
                missing_ok=True
            )  # what stays was left by a process that the kernel ended
        made += 1
        if made % 5 == 0:
            pace = (time.monotonic() - started) / made
            print(f"process {process}: {made} cases, {pace:.1f} s each", flush=True)
    return made


def read_cases(config: PairsConfig, *, held_out: bool) -> list[dict[str, Any]]:
    """The finished cases; `folder` is added."""
    found = []
    for path in sorted(config.folder.glob("held-*/case.json" if held_out else "train-*/case.json")):
        case = json.loads(path.read_text()) | {"folder": path.parent}
        if case["versions"]:
            found.append(case)
    return found


def looks_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The words of a case's looks: the first one's, then those of the further ones that are finished."""
    found = [case["words"]]
    while (path := words_path(case["folder"], len(found))).exists():
        found.append(json.loads(path.read_text()))
    return found


def words_path(folder: Path, look: int) -> Path:
    """The file of a further look's words; where it is, the look's pictures are."""
    return folder / f"look-{look}.json"


def picture_name(source: str, number: int, look: int = 0) -> str:
    """The file of a version's picture by the path tracer (`picture`) or the studio model (`studio`)."""
    return f"{source}-{number}-{look}.png" if look else f"{source}-{number}.png"


def is_kept_back(name: str) -> bool:
    """Whether a case of that name is for calibrating alone: every fifth of the training families."""
    return int(name.rpartition("-")[2]) % 5 == 4


def is_learnt(name: str) -> bool:
    """Whether the judge learns from a case of that name."""
    return name.startswith("train") and not is_kept_back(name)


def _owed(config: PairsConfig) -> list[tuple[str, str]]:
    """Names and families, training and held-out ones mixed so that both are there whenever it stops."""
    kept, held = sorted(set(NOUNS) - HELD_OUT), sorted(HELD_OUT)
    train = [(f"train-{n:04d}", kept[n % len(kept)]) for n in range(config.cases)]
    test = [(f"held-{n:04d}", held[n % len(held)]) for n in range(config.held_out_cases)]
    every = max(1, round(len(train) / max(1, len(test))))
    mixed: list[tuple[str, str]] = []
    while train or test:
        mixed += train[:every] + test[:1]
        train, test = train[every:], test[1:]
    return mixed


def _begin(folder: Path) -> None:
    """Refuse what was begun twice and never finished: the kernel may end the whole process."""
    with (folder / "begun").open("a+") as begun:
        if begun.tell() >= MOST_BEGUN:
            raise RuntimeError(f"begun {MOST_BEGUN} times and never finished")
        begun.write(".")


def _make_case(config: PairsConfig, folder: Path, family: str) -> None:
    from workers.studio.training.defects import KINDS, SEVERAL, plant, plant_several, scene_of
    from workers.studio.training.families import FAMILIES

    seed = [SEED, *folder.name.encode()]
    shape = FAMILIES[family](np.random.default_rng(seed))
    mesh = _meshed(shape, folder / PART)

    def camera_for(seen: Mesh) -> PictureCamera:
        return draw_camera(np.random.default_rng([*seed, 1]), seen.vertices)

    camera = camera_for(mesh)
    versions = [Version("genuine", mesh, camera, PART)]
    maps = [_packed(mesh, camera)]
    scene = scene_of(shape, mesh, product_camera(camera))
    learnt = is_learnt(folder.name)
    kinds = (*KINDS[:2], *[SEVERAL] * LEARNT_VERSIONS) if learnt else KINDS
    for number, kind in enumerate(kinds):
        name = f"{kind} {number}" if kind == SEVERAL else kind
        path = folder / f"{name.replace(' ', '-')}.step"
        seen_by = camera
        for attempt in range(3):
            rng = np.random.default_rng([*seed, 2, number, attempt])
            if kind == "mirrored part":
                other: Mesh | None = mirrored(mesh)
            elif kind == "wrong part":
                other = _meshed(FAMILIES[family](rng), path)
                seen_by = camera_for(other)
            else:
                defective = plant_several(scene, rng) if kind == SEVERAL else plant(kind, scene, rng)
                other = None if defective is None else _meshed(defective, path)
            if other is None:
                continue
            packed = _packed(other, seen_by)
            if counted(changed(maps[0], packed)) >= LEAST_CHANGED_PX:
                file = None if kind == "mirrored part" else path.name
                versions.append(Version(kind, other, seen_by, file))
                maps.append(packed)
                break
            if kind == "mirrored part":
                break
    # Another part is soon told: where the judge learns, pictures of small defects are worth their time.
    shown = [n for n, version in enumerate(versions) if not learnt or version.kind not in KINDS]
    _render_case(config, folder, (versions, maps, shown), seed, family)


def _render_case(
    config: PairsConfig,
    folder: Path,
    made: tuple[list[Version], list[NDArray[np.uint8]], list[int]],
    seed: list[int],
    family: str,
) -> None:
    from workers.studio.training.meshes import scene_mesh
    from workers.studio.training.render import draw_look
    from workers.studio.training.scene import Quality, path_trace

    versions, maps, shown = made
    rng = np.random.default_rng([*seed, 3])
    look = draw_look(rng, versions[0].camera)
    quality = Quality(PAIRS_PX, config.samples_per_pixel, int(rng.integers(1 << 30)))
    rows = []
    for number, version in enumerate(versions):
        if number in shown:
            picture = path_trace(scene_mesh(version.mesh), version.camera, look, quality)
            Image.fromarray(picture).save(folder / picture_name("picture", number), compress_level=1)
        rows.append(
            {
                "kind": version.kind,
                "file": version.file,
                "camera": version.camera.as_json(),
                "pictured": number in shown,
                "changed_px": counted(changed(maps[0], maps[number])),
            }
        )
    np.savez_compressed(folder / "maps.npz", maps=np.stack(maps))
    case = {"family": family, "versions": rows, "words": look.words}
    (folder / "case.json").write_text(json.dumps(case))


def _meshed(shape: Shape, path: Path) -> Mesh:
    from workers.studio.training.solids import write_step

    write_step(shape, path)
    return read_mesh(path, "step")


def _packed(mesh: Mesh, camera: PictureCamera) -> NDArray[np.uint8]:
    maps = control_maps(mesh, product_camera(camera), PAIRS_PX, PAIRS_PX)
    return to_bytes(control_tensor(maps)[0])

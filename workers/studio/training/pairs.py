"""Stage `pairs`: parts and what they become with a planted defect, their control maps and pictures.

A case is one part seen by one camera, beside its versions with one defect each, or, where the judge of
`workers.fidelity` learns from it, with several. Each version's picture is genuine for its own maps, and shows
a defect for the maps of the others: so a picture serves both ways, and the judge learns to see the difference
and nothing else of the picture. What is there is not made again.
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
from scipy import ndimage

from workers.evaluation.cases import mirrored
from workers.geometry.maps import control_maps
from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh
from workers.studio.control import control_tensor
from workers.studio.training.cameras import PictureCamera, draw_camera
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import product_camera, to_bytes
from workers.studio.training.nouns import HELD_OUT, NOUNS

if TYPE_CHECKING:
    from workers.studio.training.solids import Shape

PAIRS_PX = 256
# A defect that changes fewer pixels of the maps than this is not planted: nobody would see it.
LEAST_CHANGED_PX = 12
# Versions with several defects of a case that is learnt from.
LEARNT_VERSIONS = 4
# A case is begun so often; what is not finished then crashes the kernel.
MOST_BEGUN = 2
SEED = 7301


@dataclass(slots=True)
class Version:
    """A part, as it should be or with one defect."""

    kind: str
    mesh: Mesh
    camera: PictureCamera


@dataclass(frozen=True, slots=True)
class PairsConfig:
    """How many cases of how many pictures. Held-out families are for measuring."""

    folder: Path
    cases: int = 640
    held_out_cases: int = 72
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
        except (ImportError, MemoryError, OSError):
            raise  # not this part's fault: nothing is left out for it
        except Exception as error:  # noqa: BLE001 - the kernel and the mesher raise kinds of their own
            print(f"{name} left out: {type(error).__name__}: {error}", flush=True)
            (folder / "case.json").write_text(json.dumps({"family": family, "versions": []}))
            continue
        finally:
            (folder / "begun").unlink()  # what stays was left by a process that the kernel ended
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


def is_kept_back(name: str) -> bool:
    """Whether a case of that name is for calibrating alone: every fifth of the training families."""
    return int(name.rpartition("-")[2]) % 5 == 4


def changed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where two packed control maps (8, H, W) show another surface: turned, nearer or farther, or none.

    Pieces of fewer than LEAST_CHANGED_PX pixels are left out: two meshes of one curved face differ by such.
    """
    a, b = first.astype(np.float32) / 255, second.astype(np.float32) / 255
    turned = np.abs(a[:3] - b[:3]).max(0) > 0.1
    apart = turned | (np.abs(a[3] - b[3]) > 0.03) | (np.abs(a[4] - b[4]) > 0.4)
    pieces, _ = ndimage.label(apart, np.ones((3, 3)))
    large = np.bincount(pieces.ravel()) >= LEAST_CHANGED_PX
    large[0] = False
    return np.asarray(large[pieces])


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
    mesh = _meshed(shape, folder / "part.step")

    def camera_for(seen: Mesh) -> PictureCamera:
        return draw_camera(np.random.default_rng([*seed, 1]), seen.vertices)

    camera = camera_for(mesh)
    versions = [Version("genuine", mesh, camera)]
    maps = [_packed(mesh, camera)]
    scene = scene_of(shape, mesh, product_camera(camera))
    learnt = folder.name.startswith("train") and not is_kept_back(folder.name)
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
            if changed(maps[0], packed).sum() >= LEAST_CHANGED_PX:
                versions.append(Version(kind, other, seen_by))
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
            Image.fromarray(picture).save(folder / f"picture-{number}.png", compress_level=1)
        rows.append(
            {
                "kind": version.kind,
                "camera": version.camera.as_json(),
                "pictured": number in shown,
                "changed_px": int(changed(maps[0], maps[number]).sum()),
            }
        )
    np.savez_compressed(folder / "maps.npz", maps=np.stack(maps))
    words = {"light": look.light.name, "floor": look.floor.name, **look.surface.names}
    case = {"family": family, "versions": rows, "words": words}
    (folder / "case.json").write_text(json.dumps(case))


def _meshed(shape: Shape, path: Path) -> Mesh:
    from workers.studio.training.solids import write_step

    write_step(shape, path)
    return read_mesh(path, "step")


def _packed(mesh: Mesh, camera: PictureCamera) -> NDArray[np.uint8]:
    maps = control_maps(mesh, product_camera(camera), PAIRS_PX, PAIRS_PX)
    return to_bytes(control_tensor(maps)[0])


def make_studio_pictures(
    config: PairsConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9
) -> int:
    """Pictures of the same maps and words by the studio model that ships; how many this process made."""
    import torch

    from workers.studio.pipeline import StudioPipeline
    from workers.studio.training.captions import caption
    from workers.studio.training.export import WEIGHTS
    from workers.studio.training.maps import from_bytes

    pipeline = StudioPipeline.from_pretrained(WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    started, made = time.monotonic(), 0
    cases = [*read_cases(config, held_out=False), *read_cases(config, held_out=True)]
    for case in cases[process::processes]:
        folder: Path = case["folder"]
        shown = [number for number, version in enumerate(case["versions"]) if version["pictured"]]
        owed = [number for number in shown if not (folder / f"studio-{number}.png").exists()]
        if not owed:
            continue
        if time.monotonic() - started > minutes * 60:
            break
        with np.load(folder / "maps.npz") as archive:
            control = from_bytes(torch.from_numpy(archive["maps"][owed]))
        rng = np.random.default_rng([SEED, *folder.name.encode(), 4])
        seed = int(rng.integers(1 << 30))
        pictures = pipeline(
            [caption(case, rng)] * len(owed),
            control_image=control,
            generator=[torch.Generator().manual_seed(seed) for _ in owed],
            output_type="pil",
            return_dict=False,
        )[0]
        for number, picture in zip(owed, pictures, strict=True):
            picture.save(folder / f"studio-{number}.png", compress_level=1)
            made += 1
    return made

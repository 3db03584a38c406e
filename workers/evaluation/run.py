"""The evaluation itself: pictures first, then figures of each subject, then the bars.

Every figure is a mean over the cases unless its name says otherwise; what does not apply to a subject is
None, with the reason beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfgviz.models_folder import ModelSpec, find_source
from workers.devices import choose_device
from workers.evaluation import bars, planted, sheets
from workers.evaluation.cases import TRUTH_PX, Case, EvaluationSet
from workers.evaluation.classes import of_inception, of_materials
from workers.evaluation.colour import PAINTS, delta_e_2000, lab, obeys_colour
from workers.evaluation.drawn import Drawn, Tally
from workers.evaluation.inception import InceptionV3, load_inception
from workers.evaluation.materials import GROUP_OF, MaterialClassifier, load_classifier
from workers.evaluation.samplers import against_steps
from workers.evaluation.shapes import boundary_f1, differing, iou, open_holes
from workers.evaluation.speed import speed
from workers.evaluation.subjects import Painter, base_colour, rasterised, small, small_map
from workers.families.protocol import get_family
from workers.fidelity import judge
from workers.geometry.camera import make_camera
from workers.geometry.maps import ControlMaps, control_maps
from workers.geometry.reading import read_mesh
from workers.judge.measures import around_part, edge_scores, explained_edges, ssim
from workers.judge.regions import EDGE
from workers.studio.control import control_tensor

SCENE = "studio light, white background"
QUICK_CASES = 24  # `quick` measures some of these; whoever fits anything looks at others
THREADS = 2
# Where Debian's packages put STEP files of real parts.
REAL_FILES = (Path("/usr/share/opencascade/data"), Path("/usr/share/freecad"), Path("/usr/share/occt"))
MOST_REAL = 8
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured, where the contact sheets go, and where Inception V3 is, if anywhere."""

    quick: bool = False
    cases: int | None = None
    out_dir: Path | None = None
    inception: Path | None = None


def evaluate(spec: ModelSpec, options: Options) -> Figures:
    """All figures of a model. Raises what loading and sampling it raise."""
    torch.set_num_threads(THREADS)
    started = time.monotonic()
    inception = load_inception(options.inception) if options.inception else None
    having = EvaluationSet()
    cases = _chosen(having, options)
    device = choose_device("auto")
    model = get_family(spec.family).load(spec, device)
    painter = Painter.of(model)
    told = _Progress()
    # 1. Pictures
    drawn: dict[str, list[Drawn]] = {"model": [], "path_traced": [], "rasterised": []}
    first_maps: list[ControlMaps] = []
    for number, case in enumerate(cases):
        told(f"pictures {number + 1}/{len(cases)}")
        large, maps = having.maps(case, painter.size_px), having.maps(case, TRUTH_PX)
        first_maps.append(large)
        prompts = [case.caption, *(f"{name} paint, {SCENE}" for name in ("red", "blue"))]
        drawn["model"].append(Drawn(case, maps, *painter.paint_all(prompts, large, [1000 + number] * 3)))
        drawn["path_traced"].append(Drawn(case, maps, case.truth))
        plain = [rasterised(maps, PAINTS[name]) for name in ("red", "blue")]
        drawn["rasterised"].append(Drawn(case, maps, rasterised(maps, base_colour(case.words)), *plain))
    # 2. Figures that every subject has
    classifier = load_classifier()
    told("classes")
    found = {name: _figures(pictures, classifier, inception) for name, pictures in drawn.items()}
    ours = found["model"]
    # 3. Figures of the model alone
    told("colours")
    ours["colour_obedience"] = _colours(painter, first_maps, options)
    found["rasterised"]["colour_obedience"] = _plain_colours(first_maps)
    ours |= _variety(painter, having, cases, first_maps)
    ours |= speed(painter, having, cases[0], device.torch_device)
    ours["folder_mb"] = _folder_mb(spec)
    told("fidelity")
    ours |= planted.figures(having, drawn, first_maps, every=3 if options.quick and not options.cases else 1)
    ours["real_parts"] = _real(painter, options, told)
    ours["samplers"] = [] if options.quick else against_steps(painter, drawn["model"], first_maps, told)
    sheet_files = sheets.write(options.out_dir, drawn) if options.out_dir else {}
    model.unload()
    told("")
    return bars.answer(
        found, images=len(cases), model=spec.name, seconds=time.monotonic() - started, classifier=classifier
    ) | {"sheets": {name: str(path) for name, path in sheet_files.items()}}


def _chosen(having: EvaluationSet, options: Options) -> list[Case]:
    if options.quick and not options.cases:
        some = enumerate(having.some(QUICK_CASES))
        return [case for number, case in some if number % 3 < 2 or not case.held_out]
    return having.some(options.cases)


class _Progress:
    """Tells a person on a terminal what is being done, on stderr."""

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text:<40}" if text else "\r" + " " * 40 + "\r")
            sys.stderr.flush()


# Materials without a pattern and without clear reflections: nothing but shape and shadow draws edges on them.
EVEN = frozenset({"paint", "powder", "plastic", "translucent", "rubber", "ceramic"})


# -- figures of a set of pictures
# -----------------------------------------------------------------------------
def _figures(
    drawn: Sequence[Drawn], classifier: MaterialClassifier, inception: InceptionV3 | None
) -> Figures:
    tally, by_material, holes = Tally(), Tally(), [0, 0]
    for one in drawn:
        truth, made, mask = small(one.case.truth), small(one.words), one.maps.mask
        where = "" if one.case.held_out else "seen_"
        precision, recall, f1 = edge_scores(made, one.maps.edges > EDGE, around_part(mask))
        tally.add(f"{where}edge_f1", f1)
        if not one.case.held_out:
            continue
        tally.add("edge_precision", precision)
        group = GROUP_OF[str(one.case.words["kind"])]
        by_material.add(group, precision)
        if one.case.words["kind"] in EVEN:
            tally.add("edge_precision_even", precision)
        tally.add("edge_recall", recall)
        edges = one.maps.edges > EDGE
        tally.add("edges_explained", explained_edges(made, edges, truth, around_part(mask)))
        tally.add("ssim", ssim(made, truth))
        apart = delta_e_2000(lab(made), lab(truth))
        tally.add("delta_e_part", apart[mask > 0.9].mean() if (mask > 0.9).any() else None)
        tally.add("delta_e_floor", apart[mask < 0.1].mean() if (mask < 0.1).any() else None)
        if one.case.words["kind"] in ("paint", "powder", "plastic"):
            colour = str(one.case.words["colour"])
            tally.add("colour_obedience_captions", obeys_colour(made, mask > 0.9, colour))
        if one.red is not None and one.blue is not None:
            shown = differing(small(one.red), small(one.blue))
            tally.add("silhouette_iou", iou(shown, mask > 0.5))
            tally.add("boundary_f1", boundary_f1(shown, mask > 0.5))
            open_, every = open_holes(shown, mask)
            holes = [holes[0] + open_, holes[1] + every]
    names = (
        "silhouette_iou", "boundary_f1", "edge_f1", "edge_precision", "edge_precision_even",
        "edges_explained", "edge_recall", "ssim", "delta_e_part", "delta_e_floor",
        "colour_obedience_captions",
    )  # fmt: skip
    seen, unseen = tally.mean("seen_edge_f1"), tally.mean("edge_f1")
    gap = None if seen is None or unseen is None else round(unseen - seen, 4)
    return {
        **{name: tally.mean(name) for name in names},
        "edge_precision_by_material": {group: by_material.mean(group) for group in by_material.values},
        "materials": {group: len(values) for group, values in by_material.values.items()},
        "hole_recall": round(holes[0] / holes[1], 4) if holes[1] else None,
        "holes": holes[1],
        "family_gap": gap,
        **_classes(drawn, classifier, inception),
    }


def _classes(
    drawn: Sequence[Drawn], classifier: MaterialClassifier, inception: InceptionV3 | None
) -> Figures:
    held = [one for one in drawn if one.case.held_out]
    pictures, truths = (
        torch.from_numpy(np.stack([small(one) for one in some]).astype(np.float32)).permute(0, 3, 1, 2)
        for some in ([one.words for one in held], [one.case.truth for one in held])
    )
    kinds = [str(one.case.words["kind"]) for one in held]
    control = control_tensor([one.maps for one in held])
    made_of = of_materials(pictures, truths, control, kinds, classifier)
    return made_of | of_inception(pictures, truths, inception)


# -- figures of the model alone
# -------------------------------------------------------------------------------
def _colours(painter: Painter, maps: Sequence[ControlMaps], options: Options) -> float:
    """Every named paint on a few parts."""
    few = maps[:: max(1, len(maps) // 4)][: 1 if options.quick else 4]
    right = []
    for number, one in enumerate(few):
        part, prompts = small_map(one.mask) > 0.9, [f"{name} paint, {SCENE}" for name in PAINTS]
        pictures = painter.paint_all(prompts, one, [500 + number] * len(prompts))
        right += [obeys_colour(small(made), part, name) for name, made in zip(PAINTS, pictures, strict=True)]
    return round(float(np.mean(right)), 4)


def _plain_colours(maps: Sequence[ControlMaps]) -> float:
    few = maps[:: max(1, len(maps) // 4)][:4]
    right = [
        obeys_colour(small(rasterised(one, PAINTS[name])), small_map(one.mask) > 0.9, name)
        for one in few
        for name in PAINTS
    ]
    return round(float(np.mean(right)), 4)


def _variety(
    painter: Painter, having: EvaluationSet, cases: Sequence[Case], maps: Sequence[ControlMaps]
) -> Figures:
    """How far seeds differ, and how little the part's colour does from view to view, both in ΔE2000."""
    prompt = f"red powder coat, {SCENE}"
    of_seeds = [small(one) for one in painter.paint_all([prompt] * 3, maps[0], [70, 71, 72])]
    pairs = [(0, 1), (0, 2), (1, 2)]
    apart = [float(delta_e_2000(lab(of_seeds[a]), lab(of_seeds[b])).mean()) for a, b in pairs]
    mesh, colours = having.mesh(cases[0]), []
    from mfgviz.requests import View

    for view in ("iso", "front", "top"):
        size = painter.size_px
        seen = control_maps(mesh, make_camera(View(view), mesh.vertices, size, size), size, size)
        picture = small(painter.paint(prompt, seen, 70))
        part = small_map(seen.mask) > 0.9
        colours.append(lab(np.median(picture[part], axis=0)) if part.any() else np.zeros(3))
    between = [float(delta_e_2000(colours[a], colours[b])) for a, b in pairs]
    return {
        "diversity_over_seeds": round(float(np.mean(apart)), 3),
        "difference_over_views": round(float(np.mean(between)), 3),
    }


def _folder_mb(spec: ModelSpec) -> float | None:
    folder = Path(find_source(spec.source))
    if not folder.is_dir():
        return None
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def _real(painter: Painter, options: Options, told: Callable[[str], None]) -> list[Figures]:
    """Outlines, edges and fidelity on real STEP files: those of installed packages, and the samples."""
    from mfgviz.requests import View

    samples = sorted((Path(__file__).parents[2] / "mfgviz" / "samples").glob("*.step"))
    found = [path for folder in REAL_FILES for path in sorted(folder.rglob("*")) if _is_step(path)]
    chosen = samples[:1] if options.cases else [*samples, *found[: 2 if options.quick else MOST_REAL]]
    rows: list[Figures] = []
    for number, path in enumerate(chosen):
        told(f"real parts {number + 1}/{len(chosen)}")
        try:
            mesh = read_mesh(path, "step")
        except Exception as error:  # noqa: BLE001 - files of others: what cannot be read is said
            rows.append({"file": path.name, "reason": str(error)})
            continue
        size = painter.size_px
        maps = control_maps(mesh, make_camera(View("iso"), mesh.vertices, size, size), size, size)
        red, blue = painter.paint_all([f"{name} paint, {SCENE}" for name in ("red", "blue")], maps, [9, 9])
        shown, mask = differing(small(red), small(blue)), small_map(maps.mask) > 0.5
        edges = small_map(maps.edges, largest=True) > EDGE
        rows.append(
            {
                "file": path.name,
                "silhouette_iou": round(iou(shown, mask), 4),
                "boundary_f1": round(boundary_f1(shown, mask), 4),
                "edge_f1": round(edge_scores(small(red), edges, around_part(small_map(maps.mask)))[2], 4),
                "fidelity": round(judge(red, maps).probability, 4),
            }
        )
    return rows


def _is_step(path: Path) -> bool:
    return path.suffix.lower() in (".step", ".stp") and path.stat().st_size < 4_000_000

"""Stage `evaluate`: figures on part families that were never trained on, beside the path-traced truth."""

from __future__ import annotations

import colorsys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from workers.studio.control import MASK
from workers.studio.pipeline import StudioPipeline
from workers.studio.training.captions import COATS, LIGHTS, material_phrase
from workers.studio.training.captions import FLOORS as FLOOR_WORDS
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import from_bytes, maps_name
from workers.studio.training.pack import half_size, read_control
from workers.studio.training.render import read_renders

Image = NDArray[Any]  # (H, W, 3), sRGB 0..1

SCENE = "studio light, white background"
HUES = {
    "red": 0.0,
    "orange": 22.0,
    "yellow": 45.0,
    "green": 145.0,
    "turquoise": 180.0,
    "blue": 224.0,
    "purple": 274.0,
}
DARKEST = 0.15  # sum of two pictures' channels below which a difference is only noise
HUE_TOLERANCE_DEG, LEAST_SATURATION = 25.0, 0.4


def evaluate(
    config: TrainingConfig, pipeline: StudioPipeline, folder: Path, count: int = 12
) -> dict[str, float]:
    """Figures over `count` cameras of held-out families. Sizes are compared at half the training size.

    silhouette_iou, boundary_f1 (1 px): of the mask found where a red and a blue picture of one seed differ
    (`differing`).
    ssim, psnr: to the path-traced picture of the same words. colour_obedience: share of paints whose lit
    hue is within 25° of the name's. seconds: one picture at full size. folder_mb.
    """
    entries = [
        e
        for e in read_renders(config)
        if e["held_out"] and (config.folder / "maps" / f"{maps_name(e)}.npy").exists()
    ]
    entries = entries[:: max(1, len(entries) // count)][:count]
    scores: dict[str, list[float]] = {"silhouette_iou": [], "boundary_f1": [], "ssim": [], "psnr": []}
    hits: list[bool] = []
    for number, entry in enumerate(entries):
        control = from_bytes(read_control(config, maps_name(entry))[None])
        truth = half_size(config, entry)[0].permute(1, 2, 0).numpy() / 2 + 0.5
        made = _half(pipeline, control, [_words(entry)], number)[0]
        scores["ssim"].append(ssim(made, truth))
        scores["psnr"].append(float(-10 * np.log10(np.mean((made - truth) ** 2))))
        painted = _half(pipeline, control, [f"{colour} paint, {SCENE}" for colour in HUES], number)
        mask = functional.avg_pool2d(control[:, MASK : MASK + 1], 2)[0, 0].numpy()
        found = differing(painted[0], painted[list(HUES).index("blue")])
        scores["silhouette_iou"].append(
            float((found & (mask > 0.5)).sum() / max(1, (found | (mask > 0.5)).sum()))
        )
        scores["boundary_f1"].append(boundary_f1(found, mask > 0.5))
        hits += [is_hue(one, mask > 0.9, hue) for one, hue in zip(painted, HUES.values(), strict=True)]
    figures = {name: float(np.mean(values)) for name, values in scores.items()}
    figures["colour_obedience"] = float(np.mean(hits))
    figures["images"] = float(len(entries))
    figures["seconds"] = _seconds(pipeline, from_bytes(read_control(config, maps_name(entries[0]))[None]))
    figures["folder_mb"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    return figures


def ssim(a: Image, b: Image) -> float:
    """Structural similarity of the grey pictures (Wang et al. 2004), Gaussian window of 1.5 px."""
    x, y = a.mean(-1), b.mean(-1)

    def blur(one: NDArray[Any]) -> NDArray[Any]:
        return ndimage.gaussian_filter(one, 1.5)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + 1e-4) * (2 * cov + 9e-4)
    return float((top / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))).mean())


def differing(first: Image, second: Image) -> NDArray[np.bool_]:
    """Where two pictures that differ in one part's colour show that part.

    The difference is taken relative to the brightness, so that a face in shadow counts as a lit one does, and
    split where it splits best (Otsu 1979): the coloured light that a part throws on the ground is no part.
    """
    share = np.abs(first - second).sum(-1) / np.maximum((first + second).sum(-1), DARKEST)
    counts, borders = np.histogram(share, 256)
    middles = (borders[1:] + borders[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    between = below * above * (means[0] - means[1]) ** 2
    return np.asarray(share > borders[1 + int(between.argmax())])


def boundary_f1(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """How well two masks' outlines meet, within 1 px."""
    outline = [mask & ~ndimage.binary_erosion(mask) for mask in (found, true)]
    near = [ndimage.binary_dilation(one, np.ones((3, 3))) for one in outline]
    precision = (outline[0] & near[1]).sum() / max(1, outline[0].sum())
    recall = (outline[1] & near[0]).sum() / max(1, outline[1].sum())
    return float(2 * precision * recall / max(1e-9, precision + recall))


def is_hue(image: Image, part: NDArray[np.bool_], hue_deg: float) -> bool:
    """Whether the median of the part's pixels has that hue, saturated enough."""
    r, g, b = np.median(image[part], axis=0) if part.any() else (0.5, 0.5, 0.5)
    hue, saturation, _ = colorsys.rgb_to_hsv(float(r), float(g), float(b))
    turn = abs((hue * 360 - hue_deg + 180) % 360 - 180)
    return bool(turn <= HUE_TOLERANCE_DEG and saturation >= LEAST_SATURATION)


def _words(entry: dict[str, Any]) -> str:
    """The picture's caption in its plainest form."""
    words = entry["words"]
    plain = np.random.default_rng(0)
    material = (
        COATS[words["kind"]][0].format(words["colour"])
        if words["kind"] in COATS
        else material_phrase(words, plain)
    )
    return f"{material}, {LIGHTS[words['light']][0]}, {FLOOR_WORDS[words['floor']][0]}"


def _half(pipeline: StudioPipeline, control: torch.Tensor, prompts: list[str], seed: int) -> Image:
    generators = [torch.Generator().manual_seed(seed) for _ in prompts]
    images = pipeline(
        prompts, control_image=control, generator=generators, output_type="np", return_dict=False
    )[0]
    small = functional.avg_pool2d(torch.from_numpy(images).permute(0, 3, 1, 2), 2)
    return small.permute(0, 2, 3, 1).numpy()


def _seconds(pipeline: StudioPipeline, control: torch.Tensor) -> float:
    """The best of three single pictures."""
    taken = []
    for _ in range(3):
        started = time.monotonic()
        pipeline([f"brass, {SCENE}"], control_image=control, output_type="np")
        taken.append(time.monotonic() - started)
    return min(taken)

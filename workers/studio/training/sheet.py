"""Stage `sheet`: a contact sheet of parts against prompts, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from mfgviz.requests import View
from workers.geometry.camera import make_camera
from workers.geometry.maps import control_maps
from workers.geometry.reading import read_mesh
from workers.studio.control import control_tensor
from workers.studio.pipeline import StudioPipeline
from workers.studio.training.config import TrainingConfig
from workers.studio.training.parts import read_parts

PROMPTS = (
    "brushed aluminium, studio light, white background",
    "polished brass, studio light, dark grey background",
    "polished steel, dramatic light, black background",
    "copper, warm light, on a concrete floor",
    "red powder coat, studio light, white background",
    "black anodised aluminium, soft light, light grey background",
    "rusted steel, warm light, on a wooden bench",
    "blue plastic, hard sunlight, white background",
    "oak wood, window light, on marble",
    "carbon fibre, studio light, white background",
)
SAMPLES = Path(__file__).parents[3] / "mfgviz" / "samples"
SHOWN_FAMILIES = ("impeller", "spider", "handwheel", "connecting_rod", "fan")  # never trained on


def shown_parts(config: TrainingConfig) -> list[Path]:
    """STEP files of the fixed sheet: the shipped samples, and one part of each family in SHOWN_FAMILIES."""
    made = {str(part["family"]): config.folder / "parts" / str(part["file"]) for part in read_parts(config)}
    return [*sorted(SAMPLES.glob("*.step")), *(made[family] for family in SHOWN_FAMILIES)]


def view_control(path: Path, view: str = "iso", size_px: int = 512) -> torch.Tensor:
    """The control tensor (1, 8, size, size) of a STEP file in a standard view."""
    mesh = read_mesh(path, "step")
    camera = make_camera(View(view), mesh.vertices, size_px, size_px)
    return control_tensor(control_maps(mesh, camera, size_px, size_px))


def contact_sheet(
    pipeline: StudioPipeline,
    controls: Sequence[torch.Tensor],
    prompts: Sequence[str] = PROMPTS,
    *,
    seed: int = 7,
    cell_px: int = 256,
) -> Image.Image:
    """One row a part, one column a prompt; all pictures begin from the same seed, and shrink to a cell."""
    size = (cell_px * len(prompts), cell_px * len(controls))
    sheet = Image.new("RGB", size)
    for row, control in enumerate(controls):
        for column, prompt in enumerate(prompts):
            generator = torch.Generator().manual_seed(seed)
            made = pipeline(prompt, control_image=control, generator=generator, return_dict=False)[0][0]
            cell = made.resize((cell_px, cell_px), Image.Resampling.BOX)
            sheet.paste(cell, (column * cell_px, row * cell_px))
    return sheet

"""Stage `sheet`: a contact sheet of parts against prompts, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mfgviz.requests import View
from workers.geometry.camera import make_camera
from workers.geometry.maps import control_maps
from workers.geometry.reading import read_mesh
from workers.studio.control import control_tensor
from workers.studio.pipeline import StudioPipeline

PROMPTS = (
    "brushed aluminium, studio light, white background",
    "polished brass, studio light, dark grey background",
    "red powder coat, studio light, white background",
    "black anodised, soft light, light grey background",
    "rusted steel, warm light, on a wooden bench",
    "blue plastic, studio light, white background",
    "polished steel, dramatic light, black background",
    "copper, studio light, on a concrete floor",
)


def view_control(path: Path, view: str = "iso", size_px: int = 512) -> torch.Tensor:
    """The control tensor (1, 8, size, size) of a STEP file in a standard view."""
    mesh = read_mesh(path, "step")
    camera = make_camera(View(view), mesh.vertices, size_px, size_px)
    return control_tensor(control_maps(mesh, camera, size_px, size_px))


def contact_sheet(
    pipeline: StudioPipeline,
    controls: Sequence[torch.Tensor],
    prompts: Sequence[str] = PROMPTS,
    seed: int = 7,
) -> Image.Image:
    """One row a part, one column a prompt; every picture begins from the same seed."""
    rows = []
    for control in controls:
        made = pipeline(
            list(prompts),
            control_image=control.expand(len(prompts), -1, -1, -1),
            generator=[torch.Generator().manual_seed(seed) for _ in prompts],
            output_type="np",
            return_dict=False,
        )[0]
        rows.append(np.concatenate(list(made), 1))
    return Image.fromarray((np.concatenate(rows, 0) * 255 + 0.5).astype(np.uint8))

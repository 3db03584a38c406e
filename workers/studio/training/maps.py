"""Stage `maps`: the control maps of every rendered camera, made by the product's own geometry code."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfgviz.vocabulary import Projection
from workers.geometry.camera import Camera
from workers.geometry.maps import control_maps
from workers.studio.control import control_tensor
from workers.studio.training.cameras import PictureCamera, camera_from_json
from workers.studio.training.config import TrainingConfig
from workers.studio.training.render import read_renders
from workers.studio.training.tessellation import training_mesh


def make_maps(config: TrainingConfig, process: int = 0, processes: int = 1) -> int:
    """Make what maps are missing for the pictures that are there; return how many were made.

    They are as large as the camera's first picture: half the size takes a third of the time, and is all that
    the denoiser sees. Those of held-out parts are large, for evaluating.
    """
    folder = config.folder / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    made, started = 0, time.monotonic()
    for entry in read_renders(config):
        path = folder / f"{maps_name(entry)}.npy"
        if entry["part"] % processes != process or path.exists():
            continue
        mesh = training_mesh(config, entry)
        camera = product_camera(camera_from_json(entry["camera"]))
        size_px = config.image_px if entry["held_out"] else int(entry["size_px"])
        maps = control_maps(mesh, camera, size_px, size_px)
        partial = path.with_suffix(".part.npy")
        np.save(partial, to_bytes(control_tensor(maps)[0]))
        partial.rename(path)
        made += 1
        if made % 50 == 0:
            print(f"{made} maps, {(time.monotonic() - started) / made:.2f} s each", flush=True)
    return made


def maps_name(entry: dict[str, Any]) -> str:
    """Pictures of one part and camera share their maps."""
    return f"{entry['part']:05d}-{entry['camera_number']}"


def product_camera(camera: PictureCamera) -> Camera:
    """The same camera as the product's geometry code describes it."""
    orthographic = camera.projection == "orthographic"
    half = camera.height / 2 if orthographic else float(np.tan(camera.height / 2))
    return Camera(
        eye_mm=np.array(camera.eye),
        right=np.array(camera.right),
        up=np.array(camera.up),
        back=-np.array(camera.forward),
        projection=Projection.ORTHOGRAPHIC if orthographic else Projection.PERSPECTIVE,
        half_width=half,
        half_height=half,
    )


def to_bytes(control: torch.Tensor) -> NDArray[np.uint8]:
    """A control tensor (8, H, W) in bytes: normals from -1..1, the rest from 0..1."""
    whole = control.clone()
    whole[:3] = whole[:3] * 0.5 + 0.5
    return (whole.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def from_bytes(stored: torch.Tensor) -> torch.Tensor:
    """The control tensor (B, 8, H, W) of stored bytes. Normals off the part are zero again."""
    control = stored.float() / 255
    on_part = (control[:, 4:5] > 0).float()
    return torch.cat([(control[:, :3] * 2 - 1) * on_part, control[:, 3:]], 1)

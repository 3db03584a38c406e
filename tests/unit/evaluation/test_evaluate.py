"""`mfgviz models evaluate` as a program, on the bundled model, with as few parts as can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfgviz import models, schema, toolbox
from mfgviz.cli.evaluation import defects, figures, materials
from mfgviz.errors import InvalidModelError
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from workers.devices import choose_device
from workers.evaluation import samplers
from workers.evaluation.bars import BARS
from workers.evaluation.cases import SET, TRUTH_PX, EvaluationSet, camera_as_json, camera_of
from workers.evaluation.drawn import Drawn
from workers.evaluation.subjects import Painter, rasterised
from workers.families.protocol import get_family
from workers.families.testing import TinyMaps

KEYS = (
    "silhouette_iou", "boundary_f1", "edge_f1", "edge_precision", "hole_recall", "ssim", "colour_obedience",
    "material_obedience", "delta_e_part", "delta_e_floor", "family_gap", "seconds_512", "folder_mb",
    "fidelity_auc", "fidelity_false_reject",
)  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the worker side answers for two parts."""
    folder = tmp_path_factory.mktemp("sheets")
    spec = models.bundled_spec()
    asked = {"spec": spec.as_json(), "quick": True, "cases": 2, "out_dir": str(folder)}
    return toolbox.run_tool("evaluate-model", asked)


def test_every_figure_is_there_or_has_a_reason(found: dict[str, Any]) -> None:
    assert found["images"] == 2
    for key in KEYS:
        assert found[key] is not None or found["reasons"][key], key
    for key in BARS:
        assert found["bars"][key]["met"] in (True, False, None)
    assert json.loads(json.dumps(found)) == found


def test_the_baselines_stand_beside(found: dict[str, Any]) -> None:
    assert found["baselines"]["path_traced"]["ssim"] == 1
    assert found["baselines"]["path_traced"]["delta_e_part"] == 0
    assert found["baselines"]["path_traced"]["edges_explained"] == 1
    assert 0 < found["edge_precision"] <= found["edges_explained"] <= 1
    assert found["baselines"]["rasterised"]["silhouette_iou"] > 0.99


def test_the_shipped_model_draws_the_outline(found: dict[str, Any]) -> None:
    assert found["silhouette_iou"] > 0.9
    assert found["folder_mb"] < 90


def test_contact_sheets_are_pictures(found: dict[str, Any]) -> None:
    assert set(found["sheets"]) == {"subjects", "judged"}
    for path in found["sheets"].values():
        with Image.open(path) as sheet:
            assert sheet.width >= 3 * 256
            assert np.asarray(sheet).std() > 10


def test_tables_have_a_row_for_each_figure_and_each_defect(found: dict[str, Any]) -> None:
    rows = {row["figure"]: row for row in figures(found)}
    assert rows["ssim"]["bar"] == 0.88
    assert rows["ssim"]["path_traced"] == 1
    assert {row["defect"] for row in defects(found)} == set(found["fidelity_auc"])
    of_materials = materials(found)
    assert sum(row["pictures"] for row in of_materials) == 1  # the one of a held-out family
    assert [row["model"] for row in of_materials] == [found["edge_precision"]]


def test_outer_and_inner_edges_are_told_apart_and_together(found: dict[str, Any]) -> None:
    count = found["more"]["fidelity_count"]
    sorts = [count.get(f"melted edge: {sort}", 0) for sort in ("outer", "inner")]
    assert sum(sorts) == count["melted edge"] > 0


def test_inception_s_weights_are_looked_at_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "inception.safetensors"
    path.write_bytes(b"no weights")
    asked = {"spec": models.bundled_spec().as_json(), "quick": True, "cases": 1, "inception": str(path)}
    with pytest.raises(InvalidModelError, match="cannot be read as safetensors"):
        toolbox.run_tool("evaluate-model", asked)


def test_what_libraries_print_is_no_part_of_a_tool_s_answer() -> None:
    printing = """
import os, runpy, sys
from workers import devices
choose = devices.choose_device
devices.choose_device = lambda wanted: (os.write(1, b"** WorkSession **"), choose(wanted))[1]
sys.argv = ["workers", "device"]
runpy.run_module("workers", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", printing], input="{}", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["dtype"]
    assert "WorkSession" in done.stderr


def test_a_model_that_is_not_recorded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from mfgviz.cli.models import evaluate
    from mfgviz.errors import ModelNotFoundError

    monkeypatch.setenv("MFGVIZ_DATA_DIR", str(tmp_path))
    runtime = Runtime(Settings(data_dir=tmp_path))
    schema.upgrade(runtime.db)
    runtime.close()
    result = CliRunner().invoke(evaluate, ["nonesuch", "--quick"])
    assert isinstance(result.exception, ModelNotFoundError)


# -- the set ----------------------------------------------------------------------------------------------
def test_the_set_is_what_it_says() -> None:
    having = EvaluationSet()
    held = [case for case in having.cases if case.held_out]
    assert len({case.family for case in held}) == 6
    assert len(held) >= 40
    assert all(case.truth.shape == (512, 512, 3) for case in having.cases)
    assert sum(path.stat().st_size for path in SET.iterdir()) < 8e6
    some = having.some(12)
    assert (len(some), sum(not case.held_out for case in some)) == (12, 2)


def test_cameras_survive_json() -> None:
    case = EvaluationSet().cases[0]
    again = camera_of(json.loads(json.dumps(camera_as_json(case.camera))))
    assert camera_as_json(again) == camera_as_json(case.camera)


def test_plain_shading_has_the_colour_it_is_given() -> None:
    picture = rasterised(TinyMaps.of_sphere(64, 64), (200, 20, 20))  # type: ignore[arg-type]
    assert picture[32, 32, 0] > 3 * picture[32, 32, 2]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
def test_every_sampler_is_measured_and_the_model_s_own_without_guidance_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samplers, "STEPS", (1,))
    spec = models.bundled_spec()
    model = get_family(spec.family).load(spec, choose_device("auto"))
    painter, having = Painter.of(model), EvaluationSet()
    case = next(one for one in having.cases if one.held_out)
    drawn = Drawn(case, having.maps(case, TRUTH_PX), case.truth)
    rows = samplers.against_steps(painter, [drawn], [having.maps(case, painter.size_px)], print)
    asked = [(row["sampler"], row["guidance_scale"]) for row in rows]
    own = painter.guidance_scale
    assert asked == [*((name, own) for name in model.capabilities.samplers), (painter.sampler, 1.0)]
    assert all(0 < row["ssim"] < 1 and 0 < row["edge_f1"] < 1 and row["seconds"] > 0 for row in rows)

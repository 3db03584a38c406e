"""Assemblies of the training data: bodies of their own, of which the fittings are known when read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh
from workers.studio.training.assembled import ASSEMBLIES, fitting_corners
from workers.studio.training.nouns import ASSEMBLY_NOUNS, NOUNS
from workers.studio.training.solids import box, compound, cylinder, write_step


def test_assemblies_have_nouns_and_are_no_families() -> None:
    assert set(ASSEMBLIES) == set(ASSEMBLY_NOUNS)
    assert not set(ASSEMBLIES) & set(NOUNS)


def test_all_bodies_but_the_first_are_fittings(tmp_path: Path) -> None:
    write_step(
        compound(box(40, 40, 5), cylinder(3, 9, (0, 0, 5)), cylinder(3, 9, (15, 0, 5))), tmp_path / "a.step"
    )
    mesh = read_mesh(tmp_path / "a.step", "step")
    corners = mesh.vertices[mesh.faces].reshape(-1, 3)
    fitted = fitting_corners(mesh)
    assert corners[~fitted, 2].max() == pytest.approx(5)
    assert np.ptp(corners[~fitted, 0]) == pytest.approx(40)
    assert corners[fitted, 2].min() == pytest.approx(5)
    assert corners[fitted, 0].max() == pytest.approx(18, abs=0.1)


@pytest.mark.parametrize("name", sorted(ASSEMBLIES))
@pytest.mark.parametrize("seed", range(3))
def test_assemblies_are_sound_solids_and_their_body_is_the_broadest(
    name: str, seed: int, tmp_path: Path
) -> None:
    write_step(ASSEMBLIES[name](np.random.default_rng(seed)), tmp_path / "a.step")
    mesh = read_mesh(tmp_path / "a.step", "step")
    assert not mesh.warnings
    corners, fitted = mesh.vertices[mesh.faces].reshape(-1, 3), fitting_corners(mesh)
    breadths = [
        np.prod(np.sort(np.ptp(corners[some], axis=0))[1:]) for some in (~fitted, *_each(mesh, fitted))
    ]
    assert len(breadths) > 1
    assert max(breadths) == breadths[0]


def _each(mesh: Mesh, fitted: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    bodies = np.repeat(mesh.body_ids, 3)
    return [bodies == number for number in np.unique(bodies[fitted])]

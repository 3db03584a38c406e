"""Tiny models, made once for the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.families.testing import save_tiny_sd15


@pytest.fixture(scope="session")
def tiny_sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion 1.x folder; read only."""
    return save_tiny_sd15(tmp_path_factory.mktemp("models") / "sd15")

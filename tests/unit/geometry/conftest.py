"""Fixtures of the geometry tests."""

from __future__ import annotations

from tests.unit.geometry.blocks import write_step

__all__ = ["write_step"]

"""What model families of the tests share."""

from __future__ import annotations

from pathlib import Path


class BareModel:
    """A model with nothing in memory, that reads all of a prompt."""

    def cut_prompt(self, prompt: str) -> str:
        """Nothing of it is cut."""
        del prompt
        return ""

    def tile_vae(self, *, enabled: bool) -> bool:
        """It has none."""
        del enabled
        return False

    def unload(self) -> None:
        """There is nothing to give back."""


def install_family(folder: Path, name: str, module: str) -> None:
    """Make `module`'s FAMILY known to whatever has `folder` in its PYTHONPATH, as a package would."""
    told = folder / f"mfgviz_{name}-1.dist-info"
    told.mkdir(parents=True, exist_ok=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mfgviz-{name}\nVersion: 1\n")
    (told / "entry_points.txt").write_text(f"[mfgviz.families]\n{name} = {module}:FAMILY\n")

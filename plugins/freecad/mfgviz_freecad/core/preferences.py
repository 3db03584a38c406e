"""What a person set in the settings dialog: everything but the token."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .files import read_json, write_json

DEFAULT_URL = "http://127.0.0.1:8737"


@dataclass(frozen=True)
class Preferences:
    """Server, defaults of the dock, and habits. Values of a damaged file fall back to these."""

    server_url: str = DEFAULT_URL
    model: str = ""  # the server's own choice
    view: str = "iso"
    side_px: int = 512
    count: int = 1
    control_scale: float = 1.0
    seed_locked: bool = False
    seed: int = 0
    prompt: str = "{material}, {appearance}, studio light, white background"
    negative_prompt: str = ""
    render_on_save: bool = False
    embed_when_done: bool = False
    shows_options: bool = False

    def with_changes(self, **changed: Any) -> Preferences:
        """These, with some changed."""
        return replace(self, **changed)


class PreferencesFile:
    """`settings.json` in FreeCAD's user folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Preferences:
        """What was saved, as far as it is of use."""
        held = read_json(self._path)
        plain = Preferences()
        known = {one.name: type(getattr(plain, one.name)) for one in fields(plain)}
        fitting = {
            key: known[key](value)
            for key, value in held.items()
            if key in known
            and isinstance(value, (int, float) if known[key] is float else known[key])
            and (known[key] is bool or not isinstance(value, bool))
        }
        return replace(plain, **fitting)

    def save(self, preferences: Preferences) -> None:
        """Keep them."""
        write_json(self._path, asdict(preferences))

"""Writes the reference pages that the code itself knows best: `python docs/build.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from mfgviz import errors
from mfgviz.api.problems import status_of
from mfgviz.cli import reference
from mfgviz.errors import MfgvizError
from mfgviz.settings import ENV_PREFIX, explain_settings

HERE = Path(__file__).parent


def settings_page() -> str:
    """Every setting with its default and meaning."""
    lines = [
        "# Settings",
        "",
        "Each is read from the environment variable, else from the TOML file that `MFGVIZ_CONFIG` names,",
        "else from `mfgviz.toml` in the working folder or the user's config folder (the key there is the",
        "variable's name without its prefix, in lower case). `mfgviz config show` prints what is in force.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    machine_made = {"data_dir": "the user's data folder", "requester": "the user's name"}
    for row in explain_settings({}):
        shown = machine_made.get(row.name, f"`{row.value}`")
        lines.append(f"| `{ENV_PREFIX}{row.name.upper()}` | {shown} | {row.doc} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every error with its code, exit code and whether a job is tried again after it."""
    lines = [
        "# Errors",
        "",
        "The code is what `--json`, the job table and HTTP answers carry, and what never changes.",
        "",
        "| code | means | exit code | HTTP status | tried again | what to do |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in sorted(_all_errors(), key=lambda kind: kind.code):
        told = (kind.__doc__ or "").strip().splitlines()[0]
        again = "yes" if kind.retryable else "no"
        status = status_of(kind())
        lines.append(
            f"| `{kind.code}` | {told} | {kind.exit_code} | {status} | {again} | {kind.default_remedy} |"
        )
    return "\n".join(lines) + "\n"


def _all_errors() -> list[type[MfgvizError]]:
    return [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MfgvizError)
    ]


PAGES = {"settings.md": settings_page, "errors.md": errors_page, "cli.md": reference.page}


def main(arguments: list[str]) -> int:
    """Write the pages; with --check only say which are out of date."""
    stale = [name for name, page in PAGES.items() if _read(HERE / name) != page()]
    if "--check" in arguments:
        print("\n".join(f"docs/{name} is out of date: run make docs" for name in stale) or "up to date")
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

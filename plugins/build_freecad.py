"""Builds the FreeCAD add-on: `python -m plugins.build_freecad` writes dist/mfgviz-freecad-VERSION.zip.

`--pictures` takes the guide's pictures from the tests' screenshots.
`--texts` brings the translations' source files (`*.ts`) up to date with the texts in the code; texts
that went away go, translations stay. The compiled `*.qm` are made by Qt's `lrelease` where it is
installed, and are kept in the repository for where it is not.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent / "freecad"
PACKAGE = ROOT / "mfgviz_freecad"
TRANSLATIONS = PACKAGE / "resources" / "translations"
SCREENSHOTS = Path("var") / "freecad-screenshots"
PICTURES = {
    "window.jpg": "render/window.png",
    "dock.png": "render/dock.png",
    "viewer.jpg": "render/viewer.png",
    "settings.png": "actions/settings.png",
}
LANGUAGES = {"en": "en_US", "zh-CN": "zh_CN"}
CONTEXT = "mfgviz"
# Functions and classes whose first argument is a text that is shown.
SHOWN = ("tr", "ConnectStringError", "Preset")
# Zip files know no time before this; the same files then make the same archive.
EPOCH = (1980, 1, 1, 0, 0, 0)


def texts() -> dict[str, list[str]]:
    """Every text that is shown → the places of it, in the order of the files."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for text, line in _texts_of(path):
            found.setdefault(text, []).append(f"{path.relative_to(PACKAGE.parent).as_posix()}:{line}")
    return found


def _texts_of(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            first = node.args[0]
            if name in SHOWN and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, node.lineno


def translated(path: Path) -> dict[str, str]:
    """Source text → translation, of a `.ts` file."""
    if not path.exists():
        return {}
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    return {
        message.findtext("source") or "": message.findtext("translation") or ""
        for message in root.iter("message")
    }


def write_texts() -> None:
    """Bring the `.ts` files up to date."""
    found = texts()
    for name, language in LANGUAGES.items():
        path = TRANSLATIONS / f"mfgviz_{name}.ts"
        held = translated(path)
        root = ElementTree.Element("TS", version="2.1", language=language, sourcelanguage="en_US")
        context = ElementTree.SubElement(root, "context")
        ElementTree.SubElement(context, "name").text = CONTEXT
        for text in sorted(found):
            message = ElementTree.SubElement(context, "message")
            ElementTree.SubElement(message, "source").text = text
            translation = ElementTree.SubElement(message, "translation")
            translation.text = text if name == "en" else held.get(text, "")
            if not translation.text:
                translation.set("type", "unfinished")
        ElementTree.indent(root)
        content = ElementTree.tostring(root, encoding="unicode")
        path.write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{content}\n', encoding="utf-8"
        )


def release_texts() -> bool:
    """Compile the translations, if `lrelease` is there; whether it is."""
    tool = next(
        filter(None, map(shutil.which, ("lrelease", "lrelease-qt5", "lrelease6", "pyside6-lrelease"))), None
    )
    for source in sorted(TRANSLATIONS.glob("*.ts")) if tool else ():
        subprocess.run([str(tool), "-silent", str(source), "-qm", str(source.with_suffix(".qm"))], check=True)
    return tool is not None


def version() -> str:
    """As package.xml says it."""
    found = re.search(r"<version>([^<]+)</version>", (ROOT / "package.xml").read_text(encoding="utf-8"))
    assert found is not None
    return found.group(1)


def files() -> list[Path]:
    """What goes into the archive."""
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path != ROOT / "__init__.py"
    ]


def build(target: Path) -> Path:
    """Write the archive; its path."""
    target.mkdir(parents=True, exist_ok=True)
    archive = target / f"mfgviz-freecad-{version()}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files():
            entry = zipfile.ZipInfo(f"mfgviz/{path.relative_to(ROOT).as_posix()}", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes())
    return archive


def write_pictures() -> None:
    """The guide's pictures, from the screenshots that `make test-freecad` left."""
    from PIL import Image

    for name, source in PICTURES.items():
        with Image.open(SCREENSHOTS / source) as shot:
            shot.convert("RGB").save(ROOT / "pictures" / name, quality=88, optimize=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", action="store_true", help="bring the .ts files up to date, build nothing")
    parser.add_argument("--pictures", action="store_true", help="take the guide's pictures from the tests")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    options = parser.parse_args()
    if options.texts or options.pictures:
        (write_texts if options.texts else write_pictures)()
        return 0
    if not release_texts():
        print("lrelease is not installed: the translations in the repository are packed.", file=sys.stderr)
    print(build(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

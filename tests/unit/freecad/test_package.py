"""The add-on as it is packed: versions, icons, texts in both languages, the oldest Python it meets."""

from __future__ import annotations

import ast
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import mfgviz
from plugins import build_freecad
from plugins.freecad import mfgviz_freecad

ICONS = sorted((build_freecad.PACKAGE / "resources" / "icons").glob("*.svg"))
SOURCES = sorted(path for path in build_freecad.ROOT.rglob("*.py"))


def test_all_say_the_same_version() -> None:
    assert build_freecad.version() == mfgviz_freecad.__version__ == mfgviz.__version__


def test_the_archive_is_a_folder_of_the_mod_folder(tmp_path: Path) -> None:
    first = build_freecad.build(tmp_path / "a").read_bytes()
    archive = build_freecad.build(tmp_path / "b")
    assert archive.read_bytes() == first
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        root = ElementTree.fromstring(packed.read("mfgviz/package.xml"))
    assert {name.partition("/")[0] for name in names} == {"mfgviz"}
    assert {"mfgviz/InitGui.py", "mfgviz/Init.py", "mfgviz/LICENSE", "mfgviz/README.md"} <= set(names)
    assert "mfgviz/mfgviz_freecad/resources/translations/mfgviz_zh-CN.qm" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    named = [one.text for one in root.iter() if one.tag.endswith("}icon")]
    assert all(f"mfgviz/{name}" in names for name in named)


@pytest.mark.parametrize("path", ICONS, ids=lambda path: path.stem)
def test_icons_are_drawings_in_words(path: Path) -> None:
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox") in ("0 0 64 64", "0 0 16 16")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_text_is_translated_with_its_fields(language: str) -> None:
    held = build_freecad.translated(build_freecad.TRANSLATIONS / f"mfgviz_{language}.ts")
    assert held.keys() == build_freecad.texts().keys(), "run python -m plugins.build_freecad --texts"
    for text, translation in held.items():
        assert translation, text
        fields = re.compile(r"\{+\w+\}+|`[^`]+`")
        assert sorted(fields.findall(text)) == sorted(fields.findall(translation)), text


def test_compiled_texts_are_not_older_than_their_source() -> None:
    for source in build_freecad.TRANSLATIONS.glob("*.ts"):
        compiled = source.with_suffix(".qm").read_bytes()
        for translation in build_freecad.translated(source).values():
            assert translation.encode("utf-16-be") in compiled, f"{translation}: run make freecad-addon"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_oldest_python_reads_it(path: Path) -> None:
    # FreeCAD 0.20 on Windows comes with Python 3.8.
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))

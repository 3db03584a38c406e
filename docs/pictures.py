"""Makes the pictures of the docs, through the product itself: `make pictures`.

Three sample parts are taken in, rendered by a worker in five materials and one of them in five scenes, and
laid side by side.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mfgviz import catalog, comparison, jobs, provenance, renditions, samples, scenes, toolbox, wire
from mfgviz.catalog import NewPart
from mfgviz.cli.output import Output
from mfgviz.cli.waiting import watch
from mfgviz.geometry_intake import take_file
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.local import LocalStack
from mfgviz.part_search import list_parts
from mfgviz.queue import TASK_RENDER
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings

HERE = Path(__file__).parent
IMAGES = HERE / "images"
DATA_DIR = HERE.parent / "var" / "pictures"
PARTS = ("bracket", "flange", "heatsink")
PROMPTS = (
    "brushed aluminium, studio light, white background",
    "polished brass, studio light, dark grey background",
    "red powder coat, soft light, light grey background",
    "black anodised aluminium, studio light, white background",
    "copper, warm light, wood",
)
SEED = 7
OPEN_PROMPT = "brushed aluminium, any light, any background"
CAPTION_PX, MAPS_PX = 34, 512


def main() -> int:
    """Render, and write `docs/images`."""
    settings = Settings(data_dir=DATA_DIR, requester="docs")
    IMAGES.mkdir(exist_ok=True)
    with LocalStack(settings, print):
        runtime = Runtime(settings)
        rows = [
            _rendered(
                runtime, part, [Ask(revision=reference(part), prompt=one, seed=SEED) for one in PROMPTS]
            )
            for part in PARTS
        ]
        _save(_sheet(rows, [prompt.split(",")[0] for prompt in PROMPTS]), IMAGES / "samples.jpg")
        open_ask = Ask(revision=reference(PARTS[1]), prompt=OPEN_PROMPT, seed=SEED, count=5)
        row = _rendered(runtime, PARTS[1], [open_ask])
        drawn = [", ".join(scenes.drawn(OPEN_PROMPT, SEED + number)) for number in range(5)]
        _save(_sheet([row], drawn), IMAGES / "scenes.jpg")
        runtime.close()
    _draw_maps()
    _draw_diff()
    print(f"wrote {IMAGES}")
    return 0


def reference(part: str) -> str:
    """The revision of a sample part."""
    return f"{part.upper()}@A"


def _rendered(runtime: Runtime, part: str, asks: list[Ask]) -> list[Image.Image]:
    """All pictures of the part that are asked for, from its STEP file."""
    with runtime.db.read() as session:
        known = bool(list_parts(session, search=part.upper()))
    if not known:
        taken = take_file(runtime, Path(samples.__path__[0]) / f"{part}.step")
        with runtime.db.begin() as session:
            catalog.add_part(session, NewPart(part.upper()), "docs")
            revision = catalog.add_revision(session, part.upper(), "A", "docs")
            taken.attach(session, revision, "docs", runtime.doorbell)
    with runtime.db.begin() as session:
        lookup = Lookup(session, runtime.settings.default_model)
        wanted = [submission for ask in asks for submission in prepare(lookup, ask)]
        ids = [answer.job_id for answer in jobs.submit(session, wanted, "docs")]
    runtime.doorbell.ring(TASK_RENDER, ids)
    watch(Output(_runtime=runtime), ids)
    with runtime.db.read() as session:
        made = [one for job_id in ids for one in renditions.of_job(session, job_id)]
    return [provenance.open_image(runtime.blobs.get(one.blob_digest), f"render {one.id}") for one in made]


def _sheet(rows: list[list[Image.Image]], captions: list[str]) -> Image.Image:
    """One row a part, one column a caption, the captions above."""
    side = 360
    sheet = Image.new("RGB", (side * len(captions), CAPTION_PX + side * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for column, words in enumerate(captions):
        draw.text((column * side + side / 2, CAPTION_PX / 2), words, "black", font, anchor="mm")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            small = image.resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * side, CAPTION_PX + row * side))
    return sheet


def _draw_maps() -> None:
    """The control maps of the first part, as `revisions maps` draws them."""
    folder = DATA_DIR / "maps"
    asked = {"view": {"name": "iso"}, "width": MAPS_PX, "height": MAPS_PX, "out_dir": str(folder)}
    step = Path(samples.__path__[0]) / f"{PARTS[0]}.step"
    written = toolbox.run_tool("maps", {**asked, "path": str(step)})
    with Image.open(written["files"]["sheet"]) as sheet:
        sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS).save(
            IMAGES / "maps.png", optimize=True
        )


def _draw_diff() -> None:
    """Two revisions of a part, as `revisions diff --image` draws both."""
    folder = DATA_DIR / "diff"
    folder.mkdir(parents=True, exist_ok=True)
    before, after = (write_angle(folder / f"{later}.step", later=later) for later in (False, True))
    read = [
        toolbox.run_tool("read-geometry", {"path": str(path)})["facts"]["holes"] for path in (before, after)
    ]
    holes = comparison.compare_holes(*([wire.Hole.model_validate(one) for one in some] for some in read))
    sides = [
        {
            "name": f"BRK-0042@{label}",
            "path": str(path),
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for label, path in (("A", before), ("B", after))
    ]
    asked = {"before": sides[0], "after": sides[1], "holes": [one.model_dump() for one in holes]}
    toolbox.run_tool("silhouettes", {**asked, "out": str(IMAGES / "diff.png")})


def write_angle(target: Path, *, later: bool) -> Path:
    """An angle bracket as STEP. The later one has a wider bore, a hole moved by 4 mm, another gone, and it is
    4 mm taller."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut, BRepAlgoAPI_Fuse
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder, BRepPrimAPI_MakeWedge
    from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    def rod(x: float, y: float, z: float, radius: float, way: tuple[float, float, float]) -> Any:
        place = gp_Ax2(gp_Pnt(x, y, z), gp_Dir(*way))
        return BRepPrimAPI_MakeCylinder(place, radius, 30).Shape()

    body = BRepPrimAPI_MakeBox(gp_Pnt(0, 0, 0), 70, 60, 8).Shape()
    upright = BRepPrimAPI_MakeBox(gp_Pnt(0, 0, 0), 8, 60, 68 if later else 64).Shape()
    body = BRepAlgoAPI_Fuse(body, upright).Shape()
    for y in (6, 60):
        place = gp_Ax2(gp_Pnt(8, y, 8), gp_Dir(0, -1, 0), gp_Dir(1, 0, 0))
        web = BRepPrimAPI_MakeWedge(place, 40, 44, 6, 0)
        body = BRepAlgoAPI_Fuse(body, web.Shape()).Shape()
    holes = [rod(-5, 30, 38, 17 if later else 15, (1, 0, 0))]
    holes += [
        rod(-5, y, z, 2.75, (1, 0, 0)) for y in (13, 47) for z in (20, 56) if not later or (y, z) != (47, 20)
    ]
    holes += [rod(56, y, -5, 3.5, (0, 0, 1)) for y in (20, 44 if later else 40)]
    for hole in holes:
        body = BRepAlgoAPI_Cut(body, hole).Shape()
    writer = STEPControl_Writer()
    writer.Transfer(body, STEPControl_AsIs)
    writer.Write(str(target))
    return target


def _save(sheet: Image.Image, path: Path) -> None:
    """Composed of synthetic pictures, so marked as they are."""
    sheet.save(path, quality=88, xmp=provenance.synthetic_mark())


if __name__ == "__main__":
    sys.exit(main())

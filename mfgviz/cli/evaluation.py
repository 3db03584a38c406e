"""How `mfgviz models evaluate` shows its figures."""

from __future__ import annotations

from typing import Any

import click

from mfgviz.cli.output import Output, Row

BASELINES = ("path_traced", "rasterised")
COLUMNS = ["figure", "model", "path_traced", "rasterised", "bar", "aim", "met"]


def show(out: Output, found: dict[str, Any]) -> None:
    """Tables on a terminal, tab-separated lines in a pipe; what is missing is told below."""
    out.rows(figures(found), COLUMNS)
    _section(out, "Does the judge tell defects? ROC AUC of fidelity, SSIM and edge overlap", defects(found))
    _section(out, "Edge precision by material", materials(found))
    _section(out, "Real parts", found["more"]["real_parts"])
    _section(out, "Quality against steps", found["more"]["samplers"])
    classifier = found["classifier"]
    out.note(
        f"{found['images']} parts, {found['took_s']:.0f} s. The classifier of materials is right for "
        f"{classifier['accuracy_group']:.0%} of true pictures, {classifier['accuracy_kind']:.0%} to the kind."
    )
    for name, reason in found["reasons"].items():
        out.note(f"{name} is missing: {reason}.")
    for path in found["sheets"].values():
        out.note(f"Wrote {path}")


def figures(found: dict[str, Any]) -> list[Row]:
    """One row a figure: the model's, the baselines', the bar."""
    rows = []
    for name, value in found.items():
        if name in ("model", "images", "took_s") or not isinstance(value, int | float | None):
            continue
        baselines = {key: found["baselines"][key].get(name) for key in BASELINES}
        bar = found["bars"].get(name, {})
        rows.append({"figure": name, "model": value, **baselines, **bar})
    return rows


def defects(found: dict[str, Any]) -> list[Row]:
    """One row a kind of planted defect."""
    more = found["more"]
    return [
        {
            "defect": kind,
            "pictures": more["fidelity_count"][kind],
            "fidelity": value,
            "ssim": more["fidelity_auc_of_ssim"][kind],
            "edges": more["fidelity_auc_of_edges"][kind],
            "met": found["bars"][f"fidelity_auc: {kind}"]["met"],
        }
        for kind, value in (found["fidelity_auc"] or {}).items()
    ]


def materials(found: dict[str, Any]) -> list[Row]:
    """One row a group of materials: the edge precision of the model and of the baselines."""
    ours = found["more"]["edge_precision_by_material"]
    beside = {name: found["baselines"][name]["edge_precision_by_material"] for name in BASELINES}
    return [
        {
            "material": group,
            "pictures": found["more"]["materials"][group],
            "model": value,
            **{name: of[group] for name, of in beside.items()},
        }
        for group, value in sorted(ours.items())
    ]


def _section(out: Output, title: str, rows: list[Row]) -> None:
    if not rows:
        return
    if out.is_terminal:
        click.echo(f"\n{title}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out.rows(rows, columns)

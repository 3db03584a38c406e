"""`python -m supply.sbom`: writes dist/mfgviz-VERSION.cdx.json, a CycloneDX bill of what mfgviz is made of.

It lists what is installed of mfgviz[worker,local] and all that these need, with versions, licences and who
needs whom, and the weights that come with mfgviz, by their hashes. The same environment makes the same file:
it has no time, no serial number and no paths.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import Distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from mfgviz import __version__
from supply.closure import ROOT, closure

SOURCE = Path(__file__).resolve().parent.parent


def bill() -> Bom:
    """The bill, as cyclonedx-python-lib holds it."""
    parts = closure()
    components = {key: component_of(one, is_root=key == ROOT) for key, (one, _) in parts.items()}
    bom = Bom()
    bom.metadata.component = components[ROOT]
    for key, made in components.items():
        if key != ROOT:
            bom.components.add(made)
    weights = [weights_of(path) for path in sorted(SOURCE.glob("workers/**/weights/**/*.safetensors"))]
    bom.components.update(weights)
    for key, (_, wants) in parts.items():
        extra = weights if key == ROOT else []
        bom.register_dependency(components[key], [*(components[one] for one in wants), *extra])
    return bom


def written() -> str:
    """The bill as JSON, without what differs from one run to the next."""
    told = json.loads(JsonV1Dot6(bill()).output_as_string())
    del told["serialNumber"], told["metadata"]["timestamp"]
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def component_of(one: Distribution, *, is_root: bool) -> Component:
    """A distribution of Python's."""
    name = str(one.metadata["Name"])
    licence = license_of(one)
    return Component(
        type=ComponentType.APPLICATION if is_root else ComponentType.LIBRARY,
        name=name,
        version=one.version,
        bom_ref=f"{name}=={one.version}",
        purl=PackageURL("pypi", name=name, version=one.version),
        licenses=[licence] if licence else [],
        description=str(one.metadata.json.get("summary") or "") or None,
    )


def license_of(one: Distribution) -> License | None:
    """Its licence, as an SPDX expression or as it calls it itself."""
    told = one.metadata.json
    word = str(told.get("license_expression") or told.get("license") or "").strip().partition("\n")[0]
    classes = [str(line) for line in told.get("classifier", ()) if str(line).startswith("License ::")]
    word = word or "; ".join(sorted(line.rpartition(" :: ")[2] for line in classes))
    return LicenseFactory().make_from_string(word[:200]) if word else None


def weights_of(path: Path) -> Component:
    """A network's weights that come with mfgviz."""
    place = path.relative_to(SOURCE).as_posix()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=place,
        version=__version__,
        bom_ref=place,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def main() -> None:
    """Write the file."""
    target = SOURCE / "dist" / f"mfgviz-{__version__}.cdx.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(written(), encoding="utf-8")
    print(f"wrote dist/{target.name}")


if __name__ == "__main__":
    main()

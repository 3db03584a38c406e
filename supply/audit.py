"""`python -m supply.audit`: is what is installed what was pinned, and is anything known against it?

1. Each distribution of the environment is pinned in constraints.txt, at the version that is installed.
2. Each installed file has the hash that its distribution's RECORD gives, and the hashes of a RECORD,
   together, have the one in supply/contents.txt. So a package that was altered, here or on its way here, is
   seen without a network. RECORDs differ between platforms: what contents.txt does not know is counted, not
   refused.
3. pip-audit asks the package index about known vulnerabilities. Where it does not answer, that is said, and
   with `--strict` it is a failure: without a network nobody can say that nothing is known.

`--record` writes contents.txt anew from what is installed: after constraints.txt was changed, and to be read.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from supply.closure import ROOT, key_of

SOURCE = Path(__file__).resolve().parent.parent
CONTENTS = Path(__file__).resolve().parent / "contents.txt"
# They come with Python's venv, and are no part of what is shipped.
INSTALLERS = {"pip", "setuptools", "wheel"}
# What pip writes beside what the package brings.
_PIPS = re.compile(r"\.dist-info/(INSTALLER|REQUESTED|direct_url\.json|RECORD)$|\.pyc$|^\.\./")


def installed() -> dict[str, Distribution]:
    """All distributions of this environment but ourselves and the installers, by key."""
    found = {key_of(one.metadata["Name"]): one for one in distributions()}
    return {key: found[key] for key in sorted(found) if key != ROOT and key not in INSTALLERS}


def pins(text: str) -> dict[str, str]:
    """The versions of a constraints file, by key."""
    lines = (line.split(";")[0].split("#")[0].strip() for line in text.splitlines())
    return {key_of(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def unpinned(found: dict[str, Distribution], pinned: dict[str, str]) -> Iterator[str]:
    """What is not installed as it is pinned."""
    for key, one in found.items():
        if key not in pinned:
            yield f"{key} {one.version} is not pinned in constraints.txt"
        elif one.version.split("+")[0] != pinned[key].split("+")[0]:
            yield f"{key} is pinned at {pinned[key]}, but {one.version} is installed"


def altered(one: Distribution) -> Iterator[str]:
    """Files of it that are gone or have another content than its RECORD says."""
    for path in one.files or ():
        if path.hash is None or path.suffix == ".pyc":
            continue
        try:
            content = Path(str(path.locate())).read_bytes()
        except OSError:
            yield f"{one.metadata['Name']}: {path} is gone"
            continue
        digest = base64.urlsafe_b64encode(hashlib.new(path.hash.mode, content).digest()).rstrip(b"=").decode()
        if digest != path.hash.value:
            yield f"{one.metadata['Name']}: {path} was altered"


def contents_of(one: Distribution) -> str:
    """A hash of the names and hashes of all files that the distribution brought."""
    lines = sorted(
        f"{path} {path.hash.value}" for path in one.files or () if path.hash and not _PIPS.search(str(path))
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def line_of(key: str, one: Distribution) -> str:
    """Name, version and platform, as contents.txt has them before the hash."""
    wheel = one.read_text("WHEEL") or ""
    tags = sorted(line.partition(": ")[2] for line in wheel.splitlines() if line.startswith("Tag: "))
    return f"{key}=={one.version} {tags[0] if tags else 'no-wheel'}"


def known(text: str) -> dict[str, str]:
    """The hashes of contents.txt, by name, version and platform."""
    lines = (line.rpartition(" ")[::2] for line in text.splitlines() if line and not line.startswith("#"))
    return dict(lines)


def vulnerabilities(constraints: Path) -> tuple[list[str], int, int]:
    """What pip-audit knows of, how many it was asked about, and how many it got no answer for."""
    asked = len(pins(constraints.read_text(encoding="utf-8")))
    command = [sys.executable, "-m", "pip_audit", "-r", str(constraints), "--no-deps", "--disable-pip"]
    quiet = [*command, "--format=json", "--progress-spinner=off"]
    done = subprocess.run(quiet, capture_output=True, text=True, check=False)
    found, answered = answer_of(done.stdout)
    return found, asked, asked - answered


def answer_of(told: str) -> tuple[list[str], int]:
    """The vulnerabilities in pip-audit's JSON, and how many packages it could say something about: a package
    that it skipped, because the index does not know it or is not there, is none of these."""
    try:
        packages = json.loads(told)["dependencies"]
    except (ValueError, KeyError):
        return [], 0
    found = [
        f"{one['name']} {one['version']}: {bad['id']}, mended in {bad['fix_versions'] or 'no version yet'}"
        for one in packages
        for bad in one.get("vulns", ())
    ]
    return found, sum("skip_reason" not in one for one in packages)


def record(found: dict[str, Distribution]) -> None:
    """Write contents.txt for what is installed."""
    here = sysconfig.get_platform()
    lines = {line_of(key, one): contents_of(one) for key, one in found.items()}
    head = f"# Hashes of the contents of packages, by `python -m supply.audit --record`; last on {here}.\n"
    told = "".join(f"{what} {digest}\n" for what, digest in sorted(lines.items()))
    CONTENTS.write_text(head + told, encoding="utf-8")
    print(f"wrote {CONTENTS.relative_to(SOURCE)}: {len(lines)} packages")


def main() -> int:
    """Print what was found; 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m supply.audit", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--strict", action="store_true", help="fail where the index does not answer")
    parser.add_argument("--record", action="store_true", help="write contents.txt anew")
    wish = parser.parse_args()
    found, constraints = installed(), SOURCE / "constraints.txt"
    wrong = list(unpinned(found, pins(constraints.read_text(encoding="utf-8"))))
    wrong += [told for one in found.values() for told in altered(one)]
    if wish.record and not wrong:
        record(found)
        return 0
    hashes = known(CONTENTS.read_text(encoding="utf-8"))
    seen = {line_of(key, one): contents_of(one) for key, one in found.items()}
    differ = [what for what in seen if hashes.get(what, seen[what]) != seen[what]]
    wrong += [f"{what} has another content than was recorded" for what in differ]
    recorded = sum(what in hashes for what in seen)
    bad, asked, unanswered = vulnerabilities(constraints)
    for line in [*wrong, *bad]:
        print(f"FAIL  {line}")
    print(f"{len(found)} packages installed, {recorded} with a recorded hash; {len(wrong)} complaints.")
    print(f"{asked} pins; {len(bad)} known vulnerabilities; no answer about {unanswered} of them.")
    if unanswered:
        print("The package index gave no answer: what is known against these was NOT looked up.")
    return int(bool(wrong or bad or (wish.strict and unanswered)))


if __name__ == "__main__":
    sys.exit(main())

"""How torch's threads share a CPU with what else runs on the host."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is what torch's wheels for Linux bring")
@pytest.mark.parametrize(("policy", "spins"), [(None, "0"), ("ACTIVE", "30000000000")])
def test_idle_threads_of_a_worker_sleep_unless_the_environment_says_otherwise(
    policy: str | None, spins: str
) -> None:
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    asked = own | {"OMP_DISPLAY_ENV": "VERBOSE"} | ({"OMP_WAIT_POLICY": policy} if policy else {})
    done = subprocess.run(
        [sys.executable, "-c", "import workers.devices, torch"],
        env=asked, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr

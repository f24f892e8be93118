"""Runtimes of other languages, for what the pages show in them.

They are no Python packages. Where one is missing a test says that it was not run; `OVO_RUNTIMES`
names those that must be there, as in `.ci/run`: without one of these the test fails.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def runtime(name: str, *, needs: str = "") -> str:
    """Return where a runtime is; `needs` is an extension that PHP must have."""
    found = shutil.which(name)
    if found is not None and needs:
        listed = subprocess.run([found, "-m"], capture_output=True, text=True, check=False)
        found = found if needs in listed.stdout.split() else None
    if found is None:
        missing = f"not run: {name} is not installed" + (f", or lacks {needs}" if needs else "")
        if name in os.environ.get("OVO_RUNTIMES", "").split():
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a program: it writes its caches into `home`, and loads nothing."""
    kept = {"HOME": str(home), "GOTOOLCHAIN": "local", "GOPROXY": "off", "GO111MODULE": "off"}
    return {"PATH": os.environ["PATH"], **kept, **more}

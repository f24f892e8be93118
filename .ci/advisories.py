"""Ask the package index whether a pinned version has known holes, and say whether it answered.

pip-audit passes over what it cannot find and ends with 0; an index that answers nothing would look
like one that knows of nothing. Exit 0: every pin was looked up and none is known to be bad; 1: one
is; 2: it cannot be said. Run by `make advisories` in an environment that has pip-audit.
"""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
ASK = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")


def pins(lock: str) -> set[str]:
    """The names that a lock pins on every platform."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==[^\s;]+ *(;?)", lock, re.MULTILINE)
    return {_name(name) for name, condition in lines if not condition}


def verdict(answer: Mapping[str, Any], pinned: Collection[str]) -> tuple[int, list[str]]:
    """What the answer means: an exit status, and lines for a person."""
    known = {_name(one["name"]): one for one in answer.get("dependencies", [])}
    skipped = [name for name, one in known.items() if "skip_reason" in one]
    unasked = sorted({*skipped, *(set(pinned) - known.keys())})
    lines = [
        f"{name} {one['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or '–'}"
        for name, one in sorted(known.items())
        for hole in one.get("vulns", [])
    ]
    bad = bool(lines)
    if unasked:
        many, first = len(unasked), unasked[0]
        why = known[first]["skip_reason"] if first in skipped else "it was not looked up"
        lines.append(f"advisories: cannot say: {many} of {len(pinned)} not audited; {first}: {why}")
    elif not known:
        lines.append("advisories: cannot say: nothing was audited")
    elif not bad:
        lines.append(f"advisories: {len(known)} packages looked up, none is known to have a hole")
    return (1 if bad else 2 if unasked or not known else 0), lines


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(words: Sequence[str]) -> int:
    """Audit the lock, or the file that is named."""
    lock = Path(words[0]) if words else LOCK
    asked = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--requirement", str(lock), *ASK],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        status, lines = verdict(json.loads(asked.stdout), pins(lock.read_text()))
    except (ValueError, KeyError, TypeError):
        said = asked.stderr.strip().splitlines() or ["no answer"]
        status, lines = 2, [f"advisories: cannot say: {said[-1]}"]
    sys.stderr.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

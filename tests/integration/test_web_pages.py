"""What docs/integrate.md shows works as it stands, with curl."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from billing.services.wallets import linking
from tests.integration.engine import Engine
from tests.integration.web import Web

PAGE = Path(__file__).parents[2] / "docs" / "integrate.md"
JQ = f"""#!{sys.executable}
import json, sys
found = json.load(sys.stdin)
for name in sys.argv[-1].strip(".").split("."):
    found = found[name]
print(found)
"""
"""Enough of `jq -r .name` for the page: the machine of the tests may not have it."""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the programs that the page uses and a machine may lack."""
    program = tmp_path / "bin" / "jq"
    program.parent.mkdir()
    program.write_text(JQ)
    program.chmod(0o755)
    return program.parent


def test_the_first_integration_works_as_it_is_shown(engine: Engine, web: Web, tools: Path) -> None:
    """The block runs in bash; afterwards the customer's yes is all that the charge waits for."""
    [block] = re.findall(r"<!-- story -->\n```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    key = web.client("write").key
    engine.gateway.control("PUT", "wallets/cust-1", {"cash": 1_000_000})

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, timeout=50,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "API": web.url, "KEY": str(key)},
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    *_, url, subscription = done.stdout.split()
    assert url.startswith("http")
    engine.gateway.control("POST", "wallets/cust-1/confirm")
    linking.refresh(engine.context, "cust-1")
    engine.run()
    found = web.client("read").ok("GET", f"/v1/subscriptions/{subscription}")
    assert [invoice["status"] for invoice in found["invoices"]] == ["paid"]

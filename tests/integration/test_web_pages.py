"""What docs/integrate.md shows works as it stands, with curl."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from billing.services.wallets import linking
from tests.integration.engine import Engine
from tests.integration.web import Web

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "integrate.md", ROOT / "README.md"
STORY = re.compile(r"<!-- story -->\n```bash\n(.*?)```", re.DOTALL)
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


def run(block: str, web: Web, tools: Path) -> list[str]:
    """Run a block of a page in bash; its words."""
    key = web.client("write", "refund").key
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, timeout=50,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "API": web.url, "KEY": str(key)},
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def confirmed(engine: Engine, customer: str) -> None:
    """Let the customer say yes, and the engine work."""
    engine.gateway.control("POST", f"wallets/{customer}/confirm")
    linking.refresh(engine.context, customer)
    engine.run()


def test_the_first_integration_works_as_it_is_shown(engine: Engine, web: Web, tools: Path) -> None:
    """The block runs in bash; afterwards the customer's yes is all that the charge waits for."""
    [block] = STORY.findall(PAGE.read_text())
    engine.gateway.control("PUT", "wallets/cust-1", {"cash": 1_000_000})

    *_, url, subscription = run(block, web, tools)

    assert url.startswith("http")
    confirmed(engine, "cust-1")
    found = web.client("read").ok("GET", f"/v1/subscriptions/{subscription}")
    assert [invoice["status"] for invoice in found["invoices"]] == ["paid"]


def test_the_readme_s_integration_works_as_it_is_shown(
    engine: Engine, web: Web, tools: Path
) -> None:
    """Ten lines: with the customer's yes between them, the cancellation refunds what it said."""
    [block] = STORY.findall(README.read_text())
    before, after = block.split('call POST "/subscriptions/$ID/preview')
    engine.gateway.control("PUT", "wallets/shop-1", {"cash": 1_000_000})

    words = run(before + "echo $ID", web, tools)
    confirmed(engine, "shop-1")
    engine.advance(timedelta(days=10))
    head = before[: before.index("call PUT")]
    rest = f'{head}ID={words[-1]}\ncall POST "/subscriptions/$ID/preview{after}'
    refunded, status = run(rest, web, tools)

    assert status == "canceled"
    engine.run()
    [refund] = web.client("read").ok("GET", "/v1/refunds?customer=shop-1")["data"]
    assert (refund["amount"], refund["status"]) == (int(refunded), "succeeded")

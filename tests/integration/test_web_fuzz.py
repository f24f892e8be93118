"""Hostile requests over the whole interface: no server error, and every answer as documented.

`make fuzz` runs the same with many more examples.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.engine import Engine
from tests.integration.web import Web

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SECONDS = 100 + 20 * int(EXAMPLES)
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance",
)  # fmt: skip
CONFIGURATION = """
[parameters]
"path.customer_id" = ["{customer}", "nobody"]
"path.code" = ["P", "none"]
"path.subscription_id" = ["{subscription}", "00000000-0000-4000-8000-000000000000"]
"path.invoice_id" = ["{invoice}", "00000000-0000-4000-8000-000000000000"]
"path.charge_id" = ["{charge}", "none"]
"path.refund_id" = ["{refund}"]
"""


def configuration(engine: Engine, web: Web) -> str:
    """Give the fuzzer ids that exist, so that it reaches the services."""
    engine.plan(every="1 day")
    customer = engine.customer()
    subscription = engine.subscribe(customer)
    engine.run()
    [invoice] = engine.invoices(subscription)
    [charge] = engine.charges(subscription)
    path = f"/v1/invoices/{invoice['id']}/refunds"
    refund = web.client().ok("POST", path, {"amount": 1, "reason": "asked"})
    return CONFIGURATION.format(
        customer=customer, subscription=subscription, invoice=invoice["id"], charge=charge["id"],
        refund=refund["id"],
    )  # fmt: skip


@pytest.mark.timeout(SECONDS)
def test_no_request_breaks_the_interface(engine: Engine, web: Web, tmp_path: Path) -> None:
    """Schemathesis, with examples, edge cases, random values and sequences of calls."""
    file = tmp_path / "schemathesis.toml"
    file.write_text(configuration(engine, web))
    program = str(Path(sys.executable).with_name("schemathesis"))
    done = subprocess.run(
        [program, "--config-file", str(file), "run", f"{web.url}/v1/openapi.json",
         "--header", f"Authorization: Bearer {web.client().key}", "--max-examples", EXAMPLES,
         "--checks", ",".join(CHECKS), "--no-color", "--request-timeout", "20", "--seed", "1"],
        capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]

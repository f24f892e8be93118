"""What a person reads: how refusals, warnings and lists are worded."""

import os
import subprocess
import sys

import pytest

from billing import cli
from tests.integration.command import Billing, environment
from tests.integration.engine import Engine

NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"


def test_a_worker_warns_of_a_misspelled_setting_when_it_starts() -> None:
    """The same line as the doctor's, before anything else is said."""
    settings = {
        "BILLING_DATABASE_URL": NOWHERE, "BILLING_REDIS_URL": "redis://127.0.0.1:9/0",
        "BILLING_DOKU_CLIENT_ID": "c", "BILLING_DOKU_SECRET_KEY": "s",
        "BILLING_TOKEN_KEY": "A" * 43 + "=", "BILLING_TICK_SECOND": "5",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "from workers import app; app._check_or_exit()"],
        env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    first, *_ = done.stderr.splitlines()
    assert first == (
        "billing: warning: BILLING_TICK_SECOND is no setting; did you mean BILLING_TICK_SECONDS?"
    )
    assert done.returncode == 1


@pytest.mark.parametrize("count", ["-1", "0", "1.5"])
def test_a_number_of_wallets_that_is_none_is_told_as_such(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not looked for as a file."""
    assert cli.run(["simulate", "dunning", "--wallets", count]) == 1
    err = capsys.readouterr().err
    assert "--wallets must be a whole number" in err
    assert err.count("\n") == 1


def test_a_balance_that_was_not_told_in_time_says_to_try_again(
    billing: Billing, engine: Engine
) -> None:
    """The transport's own code is not shown."""
    customer, _ = engine.begun()
    engine.script("drop_after", customer, "balance")
    told = billing("wallet", "balance", customer, code=1)
    assert "try again" in told
    assert "connection_lost" not in told
    assert "read_timeout" not in told


def test_a_refund_that_succeeded_has_nothing_to_retry(billing: Billing, engine: Engine) -> None:
    """And a charge that succeeded cannot be resolved."""
    customer, subscription = engine.begun()
    engine.run()
    [charge] = engine.charges(subscription)
    told = billing("charge", "resolve", charge["id"], "--as", "declined", "--reason", "x", code=1)
    assert "has already succeeded; only an open charge can be resolved" in told
    billing("refund", engine.invoices(subscription)[0]["id"], "--reason", "x")
    engine.run()
    [refund] = engine.refunds(customer)
    told = billing("refunds", "retry", refund["id"], code=1)
    assert "has already succeeded; there is nothing to retry" in told
    assert environment(engine)["BILLING_TOKEN_KEY"] not in told


def test_instants_in_refusals_and_lists_are_local(billing: Billing, engine: Engine) -> None:
    """An event's data, the audit and a refusal show no UTC and no microseconds."""
    _, subscription = engine.begun()
    engine.run()
    billing("subscription", "cancel", subscription, "--at", "period-end")
    listed = billing("event", "list", "--subscription", subscription, people=True)
    assert "cancel_at=2026-02-28 09:00:00+07:00" in listed
    assert "+00:00" not in listed
    engine.audited = False
    engine.execute("UPDATE subscriptions SET next_due_at = '2026-01-01T02:00Z'")
    told = billing("audit", code=1)
    details = " ".join(each["detail"] for each in told["findings"])
    assert "is due since 2026-01-01 09:00:00+07:00" in details
    assert "+00" not in details


def test_the_actor_is_the_user_or_who_is_named(engine: Engine, billing: Billing) -> None:
    """Who did it is a name: the user's at the terminal, or that of `--by`."""
    billing("customer", "create", "c1", "--name", "Ani")
    billing("customer", "create", "c2", "--name", "Budi", "--by", "Siti of support")
    assert [row["actor"] for row in engine.told("customer.created")] == [
        "operator", "Siti of support",
    ]  # fmt: skip
    assert "--by" in billing("customer", "create", "c3", "--name", "Cici", "--by", " ", code=1)


def test_a_user_without_a_name_is_the_operator(
    engine: Engine, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run under a number that no user has."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nameless)
    billing("customer", "create", "c1", "--name", "Ani")
    assert engine.told("customer.created")[0]["actor"] == "operator"

"""Hourly upkeep: what its checks found is recorded for the metrics."""

from dataclasses import replace
from datetime import UTC, datetime
from ssl import SSLCertVerificationError

import pytest
from cryptography.fernet import Fernet

from billing.gateway import certificates
from billing.services.operating import metrics, upkeep
from billing.store.vault import Vault
from tests.integration.engine import Engine


def gauges(engine: Engine) -> dict[str, float]:
    """What the last upkeep found."""
    return metrics.read(engine.context).gauges


def test_a_sound_engine_has_no_findings(engine: Engine) -> None:
    """Plain http to the simulated gateway has no certificate, so there is no figure of it."""
    engine.begun()
    engine.run()

    upkeep.hourly(engine.context)

    assert gauges(engine) == {"audit_findings": 0, "token_key_failures": 0}


def test_a_lost_key_and_a_broken_invariant_are_counted(engine: Engine) -> None:
    """A later upkeep replaces what an earlier one found."""
    engine.begun()
    engine.run()
    engine.execute("UPDATE charges SET first_payment = NOT first_payment")
    engine.audited = False
    stranger = replace(engine.context, vault=Vault([Fernet.generate_key().decode()]))

    upkeep.hourly(stranger)
    wrong = gauges(engine)
    upkeep.hourly(engine.context)

    assert wrong["audit_findings"] >= 1
    assert wrong["token_key_failures"] >= 1
    assert gauges(engine)["token_key_failures"] == 0


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC).timestamp()),
        (SSLCertVerificationError("expired"), 0.0),
        (ConnectionRefusedError(), None),
    ],
)
def test_the_end_of_the_certificate_is_recorded(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    answer: datetime | Exception,
    found: float | None,
) -> None:
    """Zero for one that is refused; a gateway that cannot be reached shows elsewhere."""

    def shake(_url: str) -> datetime:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(certificates, "valid_until", shake)

    upkeep.hourly(engine.context)

    assert gauges(engine).get("gateway_certificate_expiry") == found

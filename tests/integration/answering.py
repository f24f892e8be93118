"""A gateway some of whose answers are replaced, and pages that proxies send in its place."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from billing.domain.outcomes import Outcome, SealedPayment, StatusOutcome
from billing.gateway import answers, statuses
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust
from tests.integration.engine import Engine

FAULTS = Faults({})


class Answering:
    """The real client, with some calls answered by test functions; `calls` are their names."""

    def __init__(self, inner: Any, **others: Callable[..., Any]) -> None:
        self.inner = inner
        self.others = others
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = self.others.get(name) or getattr(self.inner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            return found(*arguments, **options)

        return call if callable(found) else found


def answer_with(engine: Engine, **others: Callable[..., Any]) -> Answering:
    """Replace the answers of the named gateway calls."""
    made = Answering(engine.context.gateway, **others)
    engine.context = replace(engine.context, gateway=made)
    return made


def answer_as_before(engine: Engine, answering: Answering) -> None:
    """Restore the original gateway."""
    engine.context = replace(engine.context, gateway=answering.inner)


def paid_with(http_status: int, body: bytes) -> Callable[[SealedPayment], Outcome]:
    """Answer a payment with an unsigned page."""
    answer = Answer(http_status, body, Trust.MISSING)
    return lambda p: answers.payment(answer, p.number, p.amount, FAULTS)


def status_with(http_status: int, body: bytes) -> Callable[[str, str, int], StatusOutcome]:
    """Answer a status query with an unsigned page."""
    answer = Answer(http_status, body, Trust.MISSING)
    return lambda identifier, number, amount: statuses.status(answer, identifier, number, amount)

"""The queue of calls between the thread that claims and the one that settles."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.domain.outcomes import Outcome, SealedPayment, Succeeded, Unknown
from billing.services.collecting.dispatch import Wire
from billing.services.collecting.settling import News

SECONDS = 10.0
"""So long a test waits for what comes at once, unless something is broken."""


class Wallets:
    """A gateway whose wallets wait until the test releases them."""

    def __init__(self) -> None:
        self.asleep: set[str] = set()
        self.broken: set[str] = set()
        self.ends: set[str] = set()
        self.awake = Event()

    def pay(self, payment: SealedPayment) -> Outcome:
        """Answer, or fail, after a while or at once."""
        if payment.request_id in self.asleep:
            self.awake.wait(SECONDS)
        if payment.request_id in self.broken:
            raise ZeroDivisionError
        if payment.request_id in self.ends:
            raise SystemExit
        return Succeeded()


@pytest.fixture
def wallets() -> Iterator[Wallets]:
    given = Wallets()
    yield given
    given.awake.set()


@pytest.fixture
def wire(wallets: Wallets) -> Iterator[Wire]:
    with ThreadPoolExecutor(4) as pool:
        context: Any = SimpleNamespace(
            gateway=wallets, pool=pool, settings=SimpleNamespace(batch_threads=4)
        )
        yield Wire(context)
        wallets.awake.set()


def payments(count: int) -> list[SealedPayment]:
    return [SealedPayment(str(uuid4()), "A" * 24, 50_000, b"{}") for _ in range(count)]


def test_every_payment_is_answered_once(wire: Wire) -> None:
    """More than there are threads, in two portions: each has its own answer, and none two."""
    sent = payments(50)
    wire.put(sent[:20])
    wire.put(sent[20:])

    assert wire.unsettled == 50
    assert wire.wait(50, SECONDS) == 50
    assert wire.unanswered == 0
    news = wire.take()
    assert sorted(item.charge_id for item in news) == sorted(UUID(s.request_id) for s in sent)
    assert {item.outcome for item in news} == {Succeeded()}
    assert (wire.unsettled, wire.take()) == (0, [])


def test_a_slow_wallet_keeps_no_other_answer(wire: Wire, wallets: Wallets) -> None:
    """One call is slow: the others are answered, and it counts until its answer is taken."""
    sent = payments(9)
    wallets.asleep.add(sent[0].request_id)
    wire.put(sent)

    assert wire.wait(8, SECONDS) == 8
    assert (len(wire.take()), wire.unsettled, wire.unanswered) == (8, 1, 1)
    assert wire.wait(1, 0.01) == 0
    wallets.awake.set()
    assert wire.wait(1, SECONDS) == 1
    assert wire.take() == [News(UUID(sent[0].request_id), Succeeded())]


def test_no_more_is_waited_for_than_there_is(wire: Wire) -> None:
    """Waiting for a hundred answers of three calls ends after three."""
    wire.put(payments(3))

    assert wire.wait(100, SECONDS) == 3


def test_a_client_that_fails_leaves_an_unknown(wire: Wire, wallets: Wallets) -> None:
    """Our own error proves nothing about the money: it is queried, and other calls continue."""
    sent = payments(5)
    wallets.broken.add(sent[2].request_id)
    wire.put(sent)
    wire.wait(5, SECONDS)

    outcomes = {item.charge_id: item.outcome for item in wire.take()}
    assert outcomes.pop(UUID(sent[2].request_id)) == Unknown("the client failed: ZeroDivisionError")
    assert set(outcomes.values()) == {Succeeded()}


def test_a_thread_that_waits_for_answers_learns_that_the_process_ends(
    wire: Wire, wallets: Wallets
) -> None:
    """SystemExit in a thread ends the wait, although its answer never comes."""
    sent = payments(1)
    wallets.ends.add(sent[0].request_id)
    wire.put(sent)

    with pytest.raises(SystemExit):
        wire.wait(1, SECONDS)

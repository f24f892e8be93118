"""A signal ends the local stack, wherever it arrives."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from billing.local.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Handlers that are installed, and restored afterwards."""
    made = Signals()
    made.listen()
    yield made
    made.leave()


def test_a_signal_in_a_destructor_is_not_lost(
    signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops an exception there; the next step of the stack raises it again."""

    class Struck:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    signals.check()
    struck = Struck()
    del struck

    assert len(dropped) == 1
    with pytest.raises(KeyboardInterrupt):
        signals.check()


def test_a_signal_during_the_end_only_hurries(signals: Signals) -> None:
    """The shutdown itself is not interrupted."""
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    signals.end_begins()

    os.kill(os.getpid(), signal.SIGTERM)
    signals.check()

    assert signals.hurry.is_set()

"""Refusals: say in one line why the gateway returned no link or no balance, and whose fault it is.

A decline with a known code is for the caller to correct. A technical one, such as a merchant's
account that is not active, and an unclear answer are not. This module knows no rows.
"""

from billing.domain.errors import GatewayDeclined, GatewayRefused
from billing.domain.outcomes import BalanceOutcome, BindOutcome, Declined, Fault

_NO_BALANCE = {
    "read_timeout": "did not answer in time; try again",
    "connection_lost": "closed the connection; try again",
}
"""How an unanswered balance query is reported, by the transport's reason."""


def no_link(outcome: BindOutcome) -> GatewayRefused:
    """Return the error for an answer that has no registration link."""
    return _error(outcome, f"returned no registration link: {cause(outcome)}")


def no_balance(outcome: BalanceOutcome) -> GatewayRefused:
    """Return the error for an answer that has no balance."""
    code = _code(outcome)
    return _error(outcome, _NO_BALANCE.get(code, f"returned no balance: {code}"))


def cause(outcome: BindOutcome) -> str:
    """Return the code of a refusal, with the gateway's message if there is one."""
    message = getattr(outcome, "message", "")
    return f"{_code(outcome)} ({message})" if message else _code(outcome)


def _code(outcome: BindOutcome | BalanceOutcome) -> str:
    return getattr(outcome, "code", "") or getattr(outcome, "reason", "")


def _error(outcome: BindOutcome | BalanceOutcome, said: str) -> GatewayRefused:
    is_definite = isinstance(outcome, Declined) and outcome.fault is not Fault.TECHNICAL
    return (GatewayDeclined if is_definite else GatewayRefused)(f"the gateway {said}")

"""The policies to compare, and their text form."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from billing.domain import dunning
from billing.domain.dunning import CLIMBING, Policy, RetryTerms
from billing.domain.errors import InvalidValue
from schedules.walltime import quoted

BLIND = "blind"
CAPS = ("max-declines", "max-attempts", "max-days")
DEFAULT = (
    f"balance-aware: {dunning.DEFAULT_RETRIES}",
    f"fixed: {dunning.DEFAULT_RETRIES} | {BLIND}",
)
"""The engine's default, and the same days without balance checks."""
NAME_MAX, CONTENDERS_MAX = 40, 8
FORM = '"NAME: STEPS | blind | limit=STEPS | max-days=N"'


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy with a name; without balance checks it charges on each date."""

    name: str
    policy: Policy
    is_aware: bool


def read(texts: Sequence[str]) -> list[Contender]:
    """Read policies such as "payday: 2d; 0 10 25 * * | limit=1d 1d | max-days=30".

    The name and the steps come first; then, between bars, `blind`, steps for fault classes, and
    caps. Raises InvalidValue.
    """
    if len(texts) > CONTENDERS_MAX:
        raise InvalidValue(f"at most {CONTENDERS_MAX} policies can be compared")
    found = [_one(text) for text in texts]
    names = [contender.name for contender in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValue(f"two policies are called {quoted(name)}")
    return found


def _one(text: str) -> Contender:
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if not (name and colon and len(name) <= NAME_MAX and name.isprintable()):
        raise InvalidValue(f"a policy must be {FORM}, not {quoted(text)}")
    steps, *parts = (part.strip() for part in rest.split("|"))
    ladders, caps, is_aware = dict[str, str](), dict[str, int](), True
    for part in parts:
        key, sign, value = (word.strip() for word in part.partition("="))
        if part == BLIND:
            is_aware = False
        elif sign and key in CAPS:
            caps[key] = _cap(key, value)
        elif sign and key in CLIMBING:
            ladders[key] = value
        else:
            raise InvalidValue(f"policy {quoted(name)}: {_unknown(key)}")
    declines, attempts, days = (caps.get(key) for key in CAPS)
    terms = RetryTerms(steps, ladders, declines, attempts, days)
    try:
        return Contender(name, dunning.policy_of(terms), is_aware)
    except InvalidValue as wrong:
        raise InvalidValue(f"policy {quoted(name)}: {wrong}") from None


def _cap(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise InvalidValue(f"{key} must be a whole number, not {quoted(value)}")
    return int(value)


def _unknown(key: str) -> str:
    known = (BLIND, *CLIMBING, *CAPS)
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {quoted(near[0])}?" if near else f"write one of: {', '.join(known)}"
    return f"{quoted(key)} is no part of a policy; {hint}"

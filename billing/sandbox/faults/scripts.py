"""Misfortunes to come: which requests they meet, and how often.

Two of them may meet in one request: one that changes what the gateway decides (an ordeal) and one
that changes what goes over the wire (a mishap). How they are carried out is not known here.
"""

from dataclasses import dataclass
from itertools import count

from billing.sandbox.faults.kinds import (
    ORDEALS,
    Action,
    ScriptRefused,
    is_count,
    read_action,
    refuse_unknown,
)
from billing.sandbox.protocol.answers import Json


@dataclass(slots=True)
class Script:
    """One misfortune: it passes over `skip` matching requests, then meets `times` of them."""

    id: int
    match: dict[str, str]
    skip: int
    times: int | None
    action: Action
    passed: int = 0
    met: int = 0

    @property
    def is_ordeal(self) -> bool:
        """Whether it changes what is decided, rather than what goes over the wire."""
        return self.action.kind in ORDEALS

    @property
    def is_over(self) -> bool:
        """Whether it has met all the requests it was for."""
        return self.times is not None and self.met >= self.times

    def meets(self, subject: dict[str, str]) -> bool:
        """Whether this request is the one; counts the requests it has passed over or met."""
        if self.is_over or subject["call"] not in self.action.calls:
            return False
        if any(subject.get(key) != value for key, value in self.match.items()):
            return False
        if self.passed < self.skip:
            self.passed += 1
            return False
        self.met += 1
        return True

    def told(self) -> Json:
        """The script as it is listed."""
        return {
            "id": self.id,
            "match": self.match,
            "skip": self.skip,
            "times": self.times,
            "met": self.met,
            "action": self.action.told(),
        }


class Scripts:
    """All misfortunes of one sandbox, in the order in which they were added."""

    def __init__(self) -> None:
        self.all: list[Script] = []
        self._live: list[Script] = []
        self._ids = count(1)

    def add(self, given: Json) -> Script:
        """Take a described misfortune on; raises ScriptRefused."""
        refuse_unknown(given, {"match", "skip", "times", "action"}, "a script")
        match, skip, times = given.get("match") or {}, given.get("skip", 0), given.get("times", 1)
        if not isinstance(match, dict) or not all(isinstance(v, str) for v in match.values()):
            raise ScriptRefused("match must be an object of texts")
        refuse_unknown(match, {"call", "customer_id", "number"}, "match")
        if not is_count(skip) or not (times is None or is_count(times)):
            raise ScriptRefused("skip must be a whole number, times a whole number or null")
        action = read_action(given.get("action"))
        if match.get("call", action.calls[0]) not in action.calls:
            raise ScriptRefused(f"{action.kind} can happen to: {', '.join(action.calls)}")
        script = Script(next(self._ids), match, skip, times, action)
        self.all.append(script)
        self._live.append(script)
        return script

    @property
    def is_calm(self) -> bool:
        """Whether nothing at all is going to happen."""
        return not self._live

    def clear(self) -> None:
        """Forget all of them."""
        self.all.clear()
        self._live.clear()

    def take(self, subject: dict[str, str], *, repeated: bool) -> tuple[Action | None, ...]:
        """The first ordeal and the first mishap that meet this request; ordeals meet new ones."""
        ordeal = mishap = None
        for script in self._live:
            if script.is_ordeal:
                if ordeal is None and not repeated and script.meets(subject):
                    ordeal = script.action
            elif mishap is None and script.meets(subject):
                mishap = script.action
        self._live = [script for script in self._live if not script.is_over]
        return ordeal, mishap

    def take_refusal(self, call: str) -> bool:
        """Whether a `refuse` that looks at nothing but the call meets a request's first lines."""
        for script in self._live:
            by_call = script.action.kind == "refuse" and script.match.keys() <= {"call"}
            if by_call and script.meets({"call": call}):
                return True
        return False

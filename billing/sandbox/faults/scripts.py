"""The scripted faults of a sandbox: which requests they apply to, and how often.

Two of them may apply to one request: one that changes the gateway's decision and one that changes
what goes over the wire. How they are applied is not known here.
"""

from dataclasses import dataclass
from itertools import count

from billing.sandbox.faults.kinds import (
    DECISION_FAULTS,
    NOTICES,
    Action,
    ScriptRefused,
    is_count,
    read_action,
    refuse_unknown,
)
from billing.sandbox.protocol.answers import Json


@dataclass(slots=True)
class Script:
    """One scripted fault: it skips `skip` matching requests, then applies to the next `times`."""

    id: int
    match: dict[str, str]
    skip: int
    times: int | None
    action: Action
    passed: int = 0
    met: int = 0

    @property
    def changes_decision(self) -> bool:
        """Whether it changes the gateway's decision, and not what goes over the wire."""
        return self.action.kind in DECISION_FAULTS

    @property
    def is_notice(self) -> bool:
        """Whether it sends a message to the merchant, and changes no request."""
        return self.action.kind in NOTICES

    @property
    def is_over(self) -> bool:
        """Whether it has applied to all its requests."""
        return self.times is not None and self.met >= self.times

    def meets(self, subject: dict[str, str]) -> bool:
        """Whether it applies to this request; counts the requests it skipped or applied to."""
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
        """Return the script as it is listed."""
        return {
            "id": self.id,
            "match": self.match,
            "skip": self.skip,
            "times": self.times,
            "met": self.met,
            "action": self.action.told(),
        }


class Scripts:
    """All scripted faults of one sandbox, in the order in which they were added."""

    def __init__(self) -> None:
        self.all: list[Script] = []
        self._live: list[Script] = []
        self._ids = count(1)

    def add(self, given: Json) -> Script:
        """Add a described fault; raises ScriptRefused."""
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
    def is_empty(self) -> bool:
        """Whether there is no script."""
        return not self._live

    def clear(self) -> None:
        """Forget all of them."""
        self.all.clear()
        self._live.clear()

    def take(self, subject: dict[str, str], *, repeated: bool) -> tuple[Action | None, ...]:
        """Return the first fault of each group that applies; a repeated request has no decision."""
        scripted = wire_fault = None
        for script in self._live:
            if script.is_notice:
                continue
            if script.changes_decision:
                if scripted is None and not repeated and script.meets(subject):
                    scripted = script.action
            elif wire_fault is None and script.meets(subject):
                wire_fault = script.action
        self._live = [script for script in self._live if not script.is_over]
        return scripted, wire_fault

    def take_notice(self, subject: dict[str, str]) -> Action | None:
        """Return the first notice about a payment that has ended."""
        found = (s.action for s in self._live if s.is_notice and s.meets(subject))
        notice = next(found, None)
        self._live = [script for script in self._live if not script.is_over]
        return notice

    def take_refusal(self, call: str) -> bool:
        """Whether a `refuse` that matches on the call alone applies to a request's first lines."""
        for script in self._live:
            by_call = script.action.kind == "refuse" and script.match.keys() <= {"call"}
            if by_call and script.meets({"call": call}):
                return True
        return False

"""The kinds of scripted faults: the calls of each, its options, and reading a description.

It does not know how often a fault happens, nor how it is applied.
"""

from dataclasses import asdict, dataclass, fields

from billing.sandbox.protocol.answers import Json

CALLS = ("bind", "tokens", "balance", "pay", "refund", "unbind", "status")
ENDS = ("SUCCESS", "FAILED", "EXPIRED")

DECISION_FAULTS: dict[str, tuple[str, ...]] = {
    "decline": CALLS,
    "failed": ("pay", "refund", "unbind"),
    "pending": ("pay",),
    "token_expired": ("pay",),
    "status_says": ("status",),
}
"""Kinds that change the gateway's decision, and the calls they can apply to."""

WIRE_FAULTS: dict[str, tuple[str, ...]] = {
    "refuse": CALLS,
    "turn_away": CALLS,
    "drop_before": CALLS,
    "drop_after": CALLS,
    "hold": CALLS,
    "http_500": CALLS,
    "html": CALLS,
    "garbage": CALLS,
    "empty": CALLS,
    "wrong_signature": CALLS,
    "no_signature": CALLS,
    "wrong_amount": ("pay", "refund", "status"),
    "conflict": CALLS,
    "rate_limited": CALLS,
}
"""Kinds that change what goes over the wire; they apply to repeated requests too."""

NOTICES: dict[str, tuple[str, ...]] = {"notify": ("pay",)}
"""Kinds that send a message to the merchant when a payment has ended."""

KINDS = DECISION_FAULTS | WIRE_FAULTS | NOTICES

_OPTIONS: dict[str, Json] = {
    "decline": {
        "http_status": 400,
        "code": "insufficient_funds",
        "message": "Insufficient OVO balance",
    },
    "failed": {"message": "DECLINED"},
    "pending": {"end": None, "after_queries": None, "after_seconds": None},
    "token_expired": {"end": None, "after_queries": None, "after_seconds": None},
    "status_says": {"status": "PENDING"},
    "turn_away": {"code": "invalid_signature"},
    "hold": {"seconds": 1.0, "work": "done"},
    "http_500": {"work": "none"},
    "html": {"work": "none"},
    "garbage": {"work": "done"},
    "empty": {"work": "done"},
    "conflict": {"code": "idempotent_request", "work": "none"},
    "rate_limited": {"retry_after": 1, "work": "none"},
    "notify": {
        "url": "",
        "copies": 1,
        "seconds": 0.0,
        "says": "",
        "signature": "right",
        "amount": "right",
    },
}
"""The options of each kind that has any, with their defaults."""

_CHOICES: dict[tuple[str, str], tuple[str | None, ...]] = {
    ("pending", "end"): (None, *ENDS),
    ("token_expired", "end"): (None, *ENDS),
    ("conflict", "code"): ("idempotent_request", "invoice_already_used"),
    ("turn_away", "code"): (
        "invalid_signature",
        "invalid_client_id",
        "request_time_out_of_range",
        "invalid_header_request",
    ),
    ("hold", "work"): ("done", "later"),
    ("notify", "signature"): ("right", "forged"),
    ("notify", "amount"): ("right", "wrong"),
} | {
    (kind, "work"): ("done", "none")
    for kind in ("http_500", "html", "garbage", "empty", "conflict", "rate_limited")
}


class ScriptRefused(ValueError):
    """A fault that cannot happen as it was described; the text says why."""


@dataclass(slots=True)
class Action:
    """A fault with its options; only the options of its kind are used."""

    kind: str
    http_status: int = 400
    code: str = ""
    message: str = ""
    end: str | None = None
    after_queries: int | None = None
    after_seconds: int | None = None
    status: str = ""
    seconds: float = 0.0
    work: str = "done"
    retry_after: int = 1
    url: str = ""
    copies: int = 1
    says: str = ""
    signature: str = "right"
    amount: str = "right"

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls that this kind can apply to."""
        return KINDS[self.kind]

    def told(self) -> Json:
        """Return the action as it is listed, with the options of its kind only."""
        options = asdict(self)
        own = {name: options[name] for name in _OPTIONS.get(self.kind, {})}
        return {"kind": self.kind, **own}


def read_action(given: object) -> Action:
    """Read a described action, with the defaults of its kind; raises ScriptRefused."""
    if not isinstance(given, dict) or given.get("kind") not in list(KINDS):
        raise ScriptRefused("action.kind must be one of: " + ", ".join(KINDS))
    kind = given["kind"]
    defaults = _OPTIONS.get(kind, {})
    refuse_unknown(given, {"kind", *defaults}, f"a {kind}")
    action = Action(kind, **defaults)
    wanted = {field.name: field.type for field in fields(Action)}
    for name, value in given.items():
        choices = _CHOICES.get((kind, name))
        if choices is not None and value not in choices:
            raise ScriptRefused(f"{kind}: {name} must be one of: {', '.join(map(str, choices))}")
        if choices is None and not _fits(value, wanted[name]):
            raise ScriptRefused(f"{kind}: {name} has the wrong type")
        setattr(action, name, value)
    if not 200 <= action.http_status <= 599:
        raise ScriptRefused(f"{kind}: http_status must be from 200 to 599")
    if kind == "notify" and not action.url.startswith("http://"):
        raise ScriptRefused("notify: url must begin with http://")
    moments = (action.after_queries, action.after_seconds)
    if len(moments) - moments.count(None) != (0 if action.end is None else 1):
        raise ScriptRefused(f"{kind}: an end needs one of after_queries and after_seconds")
    return action


def _fits(value: object, wanted: object) -> bool:
    if wanted is str:
        return isinstance(value, str) and value != ""
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return is_count(value) or (value is None and wanted is not int)


def is_count(value: object) -> bool:
    """Whether this is a JSON whole number, 0 or more."""
    return type(value) is int and value >= 0


def refuse_unknown(given: Json, names: set[str], what: str) -> None:
    """Name the first unknown word, and the known ones."""
    unknown = sorted(given.keys() - names)
    if unknown:
        raise ScriptRefused(f"{what} has no {unknown[0]}; it has: {', '.join(sorted(names))}")

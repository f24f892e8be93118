"""The unsigned control API under `/_sandbox/`: ledger, wallets, clock, scripted faults.

The package's docstring lists its calls. It is not part of DOKU's API and shares none of its checks.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote

import orjson

from billing.sandbox.faults.kinds import ScriptRefused, read_action
from billing.sandbox.faults.scripts import Scripts
from billing.sandbox.notices import Notices
from billing.sandbox.protocol import wallet_calls
from billing.sandbox.protocol.answers import Answer, Json
from billing.sandbox.protocol.wire import Request
from billing.sandbox.state import reports
from billing.sandbox.state.book import Book
from billing.sandbox.state.clock import stamp
from billing.sandbox.state.events import ClockSet, WalletSet
from billing.sandbox.webhooks import NotAccepted, Receiver


class Refused(Exception):
    """The control API was asked for something that it cannot do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """Answers to the person, or the test, that runs the sandbox."""

    def __init__(
        self,
        book: Book,
        scripts: Scripts,
        tally: Counter[str],
        busy: Collection[str],
        notices: Notices,
    ) -> None:
        self._book = book
        self._scripts = scripts
        self._tally = tally
        self._notices = notices
        self._receiver = Receiver()
        self._routes: dict[tuple[str, str], Callable[[Request], object]] = {
            ("GET", "health"): lambda _: {
                "status": "ok",
                "seq": len(book.rows),
                "busy": len(busy),
            },
            ("GET", "ledger"): lambda request: reports.ledger(book, _query(request)),
            ("GET", "totals"): lambda _: reports.totals(book) | {"answers": dict(tally)},
            ("GET", "defaults"): lambda _: book.defaults,
            ("PUT", "defaults"): self._set_defaults,
            ("GET", "clock"): lambda _: self._clock(),
            ("PUT", "clock"): self._set_clock,
            ("GET", "scripts"): lambda _: {"scripts": [script.told() for script in scripts.all]},
            ("POST", "scripts"): self._add_scripts,
            ("DELETE", "scripts"): self._clear_scripts,
            ("GET", "notices"): lambda _: {"notices": list(notices.sent)},
            ("POST", "notices"): self._send_notice,
            ("GET", "webhooks"): lambda _: self._webhooks(),
            ("PUT", "webhooks"): self._use_secret,
            ("POST", "webhooks"): self._receive,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one control request; `message` says what is wrong with it."""
        name = request.path.removeprefix("/_sandbox/")
        try:
            route = self._routes.get((request.method, name))
            if route is not None:
                return _told(200, route(request))
            if name.startswith("wallets/"):
                customer_id, _, verb = name.removeprefix("wallets/").partition("/")
                return _told(200, self._wallet(request, unquote(customer_id), verb))
            return _told(404, {"message": f"no {request.method} {request.path} here"})
        except (Refused, ScriptRefused, reports.BadQuery) as refused:
            status = refused.status if isinstance(refused, Refused) else 400
            return _told(status, {"message": str(refused)})

    def _wallet(self, request: Request, customer_id: str, verb: str) -> Json:
        book = self._book
        wallet = book.wallets.get(customer_id)
        match request.method, verb:
            case "GET", "" if wallet is not None:
                pass
            case "PUT", "":
                given = _object(request)
                phone = given.pop("phone", None)
                _counts(given, {"cash", "points"})
                new = {"cash": book.defaults.cash, "points": book.defaults.points}
                if wallet is not None:
                    new = {"cash": wallet.cash, "points": wallet.points}
                if phone is not None:
                    self._link(customer_id, phone)
                book.record(WalletSet(customer_id, **(new | given)))
            case "POST", "top-up" if wallet is not None:
                given = _object(request)
                _counts(given, {"amount"}, mandatory=True)
                cash = wallet.cash + given["amount"]
                book.record(WalletSet(customer_id, cash, wallet.points))
            case "POST", "confirm" if wallet is not None:
                if wallet.binding is None:
                    raise Refused(409, "no registration waits for this customer")
                reason = wallet_calls.confirm(book, wallet.binding)
                if reason is not None:
                    raise Refused(409, reason)
            case _:
                raise Refused(404, f"no {request.method} {request.path} here")
        return reports.wallet(book, book.wallets[customer_id])

    def _link(self, customer_id: str, phone: object) -> None:
        """Link a wallet at once, as if its customer had confirmed a registration."""
        if not isinstance(phone, str) or not re.fullmatch("62[0-9]{8,13}", phone):
            raise Refused(400, "phone must be digits: 10 to 15 that begin with 62")
        urls = dict.fromkeys(("success_registration_url", "failed_registration_url"), "")
        account = {"account_mobile_phone": phone, **urls}
        body = {"customer": {"id": customer_id}, "ovo_account": account}
        answer = wallet_calls.bind(self._book, f"control-{customer_id}", body, "")
        binding = self._book.wallets[customer_id].binding
        if answer.status != 201 or binding is None:
            raise Refused(409, "the customer has a live token, or another customer this phone")
        if binding.state == "waiting":
            wallet_calls.confirm(self._book, binding)

    def _set_defaults(self, request: Request) -> object:
        given = _object(request)
        known = asdict(self._book.defaults)
        flags = {"sign_errors": (True, False), "repeat_answer": ("original", "idempotent_request")}
        for name, choices in flags.items():
            if name in given and given[name] not in choices:
                raise Refused(400, f"{name} must be one of {choices}")
        counts = {name: value for name, value in given.items() if name not in flags}
        if counts.get("auto_confirm_seconds", 0) is None:
            del counts["auto_confirm_seconds"]
        _counts(counts, known.keys() - flags)
        self._book.record(replace(self._book.defaults, **given))
        return self._book.defaults

    def _clock(self) -> Json:
        clock = self._book.clock
        return {"now": clock.now(), "frozen": clock.frozen_at is not None}

    def _set_clock(self, request: Request) -> object:
        given = _object(request)
        if given.keys() != {"now"}:
            raise Refused(400, 'send {"now": an instant with its offset, or null}')
        now = given["now"]
        if now is not None:
            try:
                moment = datetime.fromisoformat(now)
            except (TypeError, ValueError):
                raise Refused(400, f"{now!r} is not an ISO 8601 instant") from None
            if moment.tzinfo is None:
                raise Refused(400, "an instant needs its offset: +07:00, or Z")
            now = stamp(moment.astimezone(UTC))
        self._book.record(ClockSet(now))
        return self._clock()

    def _add_scripts(self, request: Request) -> object:
        given = _json(request)
        listed = given if isinstance(given, list) else [given]
        scripts = [script for script in listed if isinstance(script, dict)]
        if len(scripts) < len(listed):
            raise Refused(400, "a script is an object")
        return {"scripts": [self._scripts.add(script).told() for script in scripts]}

    def _send_notice(self, request: Request) -> object:
        given = _object(request)
        row = self._book.payments.get(str(given.pop("number", "")))
        if row is None:
            raise Refused(404, "no payment has this number")
        self._notices.send(row, read_action({"kind": "notify"} | given))
        return {}

    def _webhooks(self) -> Json:
        return {"count": self._receiver.count, "webhooks": list(self._receiver.kept)}

    def _use_secret(self, request: Request) -> object:
        given = _object(request)
        try:
            self._receiver.use(str(given.get("secret", "")))
        except ValueError as wrong:
            raise Refused(400, str(wrong)) from None
        return {}

    def _receive(self, request: Request) -> object:
        try:
            self._receiver.receive(request.headers, request.body)
        except NotAccepted as wrong:
            raise Refused(401, str(wrong)) from None
        return {}

    def _clear_scripts(self, _request: Request) -> object:
        self._scripts.clear()
        return {"scripts": []}


def _told(status: int, body: object) -> Answer:
    return Answer(status, orjson.dumps(body), signed=False)


def _query(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.query or "").items()}


def _json(request: Request) -> object:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise Refused(400, "the body is not JSON") from None


def _object(request: Request) -> Json:
    given = _json(request)
    if not isinstance(given, dict):
        raise Refused(400, "the body must be an object")
    return given


def _counts(given: Json, names: set[str], *, mandatory: bool = False) -> None:
    unknown = sorted(given.keys() - names)
    if unknown or (mandatory and given.keys() != names):
        raise Refused(400, f"expected: {', '.join(sorted(names))}")
    for name, value in given.items():
        if type(value) is not int or value < 0:
            raise Refused(400, f"{name} must be a whole number, 0 or more")

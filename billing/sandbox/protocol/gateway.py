"""The sandbox as DOKU: checks a request, its Request-Id and its body, makes the call and answers.

The only module that combines the others. It knows no socket, and nothing of the engine.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial

from billing.sandbox.control import Control
from billing.sandbox.faults import effects
from billing.sandbox.faults.kinds import Action
from billing.sandbox.faults.scripts import Scripts
from billing.sandbox.notices import Notices
from billing.sandbox.protocol import checks, money_calls, registration, routes, wallet_calls
from billing.sandbox.protocol.answers import Answer, Json, error, unhandled
from billing.sandbox.protocol.signatures import Credentials, digest
from billing.sandbox.protocol.wire import Reply, Request
from billing.sandbox.state.book import Book
from billing.sandbox.state.clock import real_now, stamp
from billing.sandbox.state.events import Answered

CONTROL_PATH = "/_sandbox/"

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function after some seconds of real time without blocking."""


class Gateway:
    """One sandbox without its connections."""

    def __init__(
        self, book: Book, credentials: Credentials, later: Later, *, has_control: bool
    ) -> None:
        self.book = book
        self.credentials = credentials
        self.later = later
        self.busy: set[str] = set()
        self.tally: Counter[str] = Counter()
        self.scripts = Scripts()
        self._notices = Notices(book, self.scripts, credentials, later)
        self._control = None
        if has_control:
            self._control = Control(book, self.scripts, self.tally, self.busy, self._notices)

    def refuses(self, method: str, path: str) -> bool:
        """Whether a `refuse` that needs no body applies to this request."""
        if self.scripts.is_empty:
            return False
        call = routes.route(method, path)
        return isinstance(call, str) and self.scripts.take_refusal(call)

    def receive(self, request: Request, reply: Reply) -> None:
        """Answer a request; an error of the sandbox itself is a 500, with a traceback on stderr."""
        try:
            self._ring_alarms()
            if request.path.startswith(CONTROL_PATH) and self._control is not None:
                self._show(reply, self._control.answer(request))
            elif request.path.startswith(wallet_calls.REGISTRATION_PATH):
                self._show(reply, registration.answer(self.book, request))
            else:
                self._exchange(request, reply)
        except Exception:  # noqa: BLE001  one bad request must not end the process
            traceback.print_exc(file=sys.stderr)
            self._show(
                reply, unhandled(500, "Internal Server Error", request.path, stamp(real_now()))
            )
        finally:
            self.book.commit()
            self._notices.send_new()

    def _show(self, reply: Reply, answer: Answer) -> None:
        self.book.commit()
        reply.send(answer.status, answer.body, answer.content_type, list(answer.headers))

    def _ring_alarms(self) -> None:
        while self.book.alarms and self.book.alarms[0][0] <= self.book.clock.now():
            _, kind, name = self.book.take_alarm()
            if kind == "end" and name in self.book.open:
                money_calls.end_payment(self.book, name)
            elif kind == "confirm":
                wallet_calls.confirm(self.book, self.book.bindings[name])

    def _exchange(self, request: Request, reply: Reply) -> None:
        call = routes.route(request.method, request.path)
        exchange = _Exchange(self, request, reply, call if isinstance(call, str) else "unrouted")
        if isinstance(call, Answer):
            exchange.send(call)
            return
        turned_away = checks.refusal(request, self.credentials)
        if turned_away is not None:
            exchange.send(turned_away)
            return
        body, fault = routes.read(call, request)
        scripted = wire_fault = None
        if fault is None and not self.scripts.is_empty:
            request_id = request.headers["request-id"]
            repeated = request_id in self.book.answers or request_id in self.busy
            scripted, wire_fault = self.scripts.take(
                self._subject(call, request, body), repeated=repeated
            )
        work = partial(self._work, call, request, body, fault, scripted)
        effects.play(wire_fault, work, exchange)

    def _subject(self, call: str, request: Request, body: Json) -> dict[str, str]:
        """Return what a script can match on."""
        if call not in {"pay", "refund", "status"}:
            return {"call": call, "customer_id": body["customer"]["id"]}
        if call == "pay":
            number = body["order"]["invoice_number"]
            return {"call": call, "customer_id": body["customer"]["id"], "number": number}
        number = body["order"]["invoice_number"] if call == "refund" else routes.identifier(request)
        row = money_calls.find(self.book, number)
        if row is None:
            return {"call": call, "number": number}
        return {"call": call, "customer_id": row.customer_id, "number": row.number or number}

    def _work(
        self, call: str, request: Request, body: Json, fault: str | None, scripted: Action | None
    ) -> Answer:
        """Do the request's work once for each Request-Id, and write it to disk."""
        request_id = request.headers["request-id"]
        earlier = self.book.answers.get(request_id)
        if earlier is not None or request_id in self.busy:
            return self._repeat(earlier, request)
        if fault is not None:
            answer = error(400, "invalid_parameter", fault)
        else:
            answer = self._decide(call, request, body, scripted)
        is_get = request.method == "GET"
        self.book.record(
            Answered(
                request_id,
                request.path,
                None if is_get else digest(request.body),
                answer.status,
                "" if is_get else answer.body.decode(),
            )
        )
        self.book.commit()
        return answer

    def _repeat(self, earlier: Answered | None, request: Request) -> Answer:
        """
        Answer a used Request-Id: the original body with 409 if the request is the same.

        A GET, another body, or a request that is still being worked on gets `idempotent_request`,
        and so does everything if the defaults say so.
        """
        original = self.book.defaults.repeat_answer == "original" and request.method == "POST"
        if earlier is not None and original:
            same = (request.path, digest(request.body)) == (earlier.target, earlier.digest)
            if same:
                return Answer(409, earlier.body.encode())
        return error(409, "idempotent_request", "Request-Id has been used already")

    def _decide(self, call: str, request: Request, body: Json, scripted: Action | None) -> Answer:
        request_id = request.headers["request-id"]
        match call:
            case "pay":
                return money_calls.pay(self.book, request_id, body, scripted)
            case "refund":
                return money_calls.refund(self.book, request_id, body, scripted)
            case "status":
                identifier = routes.identifier(request)
                return money_calls.status(self.book, identifier, scripted)
            case _ if scripted is not None and scripted.kind == "decline":
                return error(scripted.http_status, scripted.code, scripted.message)
            case "bind":
                return wallet_calls.bind(self.book, request_id, body, routes.base_url(request))
            case "unbind":
                return wallet_calls.unbind(self.book, request_id, body, scripted)
            case "balance":
                return wallet_calls.balance(self.book, body)
            case _:
                return wallet_calls.list_tokens(self.book, body)


class _Exchange:
    """One request of the API and the place of its answer."""

    def __init__(self, gateway: Gateway, request: Request, reply: Reply, call: str) -> None:
        self._gateway = gateway
        self._request = request
        self._reply = reply
        self._call = call

    @property
    def path(self) -> str:
        return self._request.path

    def send(self, answer: Answer, secret: bytes | None = None) -> None:
        gateway = self._gateway
        gateway.tally[f"{self._call} {answer.status}"] += 1
        headers = list(answer.headers)
        if answer.signed or (gateway.book.defaults.sign_errors and answer.status >= 400):
            credentials = gateway.credentials
            if secret is not None:
                credentials = Credentials(credentials.client_id, secret)
            headers += checks.signed_headers(self._request, answer.body, credentials)
        write = partial(self._reply.send, answer.status, answer.body, answer.content_type, headers)
        if gateway.book.defaults.delay_ms:
            gateway.later(gateway.book.defaults.delay_ms / 1000, write)
        else:
            write()

    def drop(self) -> None:
        self._gateway.tally[f"{self._call} dropped"] += 1
        self._reply.drop()

    def abort(self) -> None:
        self._gateway.tally[f"{self._call} reset"] += 1
        self._reply.abort()

    def hold(self, seconds: float, then: Callable[[], None], *, busy: bool) -> None:
        request_id = self._request.headers["request-id"]
        if busy:
            self._gateway.busy.add(request_id)

        def go_on() -> None:
            if busy:
                self._gateway.busy.discard(request_id)
            then()

        self._gateway.later(seconds, go_on)

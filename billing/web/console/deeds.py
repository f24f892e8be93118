"""Deeds: an action in three steps: its form, a preview of the money, and the action itself.

A form without fields begins with the preview. The preview's form carries an idempotency key, so
that a double click or a reload acts once, and the newest event that the preview knows, so that no
action is based on what has changed since.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID, uuid4

from starlette.responses import Response

from billing.domain.approvals import Approvable
from billing.domain.errors import BillingError, InvalidValue
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.services.context import Context, Request
from billing.services.operating import approvals, confirming
from billing.services.operating.approvals import AboveLimit
from billing.services.operating.confirming import Act, Basis, Changed
from billing.services.reading import effects
from billing.services.reading.effects import Effect
from billing.web.console.forms import Form, Values
from billing.web.console.visits import PREFIX, Visit, redirect

KEY = re.compile(r"[0-9a-f-]{36}", re.ASCII)
SEEN = re.compile(r"\d{1,18}", re.ASCII)


class Subject(NamedTuple):
    """What an action is about: its address, how it is called, and its page with a refusal."""

    path: str
    title: str
    subscription_id: UUID
    refused: Callable[[Visit, str], Response]


class Line(NamedTuple):
    """A line of a preview, in rupiah: an amount, and what it is afterwards if it changes."""

    label: str
    amount: int
    after: int | None = None


def _no_lines(_effect: Effect | None) -> tuple[Line, ...]:
    return ()


class Deed(NamedTuple):
    """An action with its values: what it does, and a preview of it.

    `says` is a text for the preview, marked for translation. `approvable` says as what a second
    person can approve it.
    """

    arguments: Json
    act: Act
    preview: "Preview"
    run: Callable[[Context, UUID, Basis, Request, Act], None] = confirming.act_once
    lines: Callable[[Effect | None], tuple[Line, ...]] = _no_lines
    says: str = ""
    approvable: Approvable | None = None


Preview = Callable[[], Effect | None]
Read = Callable[[Values, Actor], Deed]


def answer(visit: Visit, form: Form, subject: Subject, read: Read) -> Response:
    """Answer a visit of an action's address: with GET its form, with POST what follows."""
    step = send if visit.request.method == "POST" else show
    return step(visit, form, subject, read)


def previewed(visit: Visit, subject: Subject, act: Act) -> Callable[[], Effect]:
    """Return the preview of an action that runs in a transaction: it is run and undone."""

    def preview() -> Effect:
        return effects.preview(
            visit.context, subject.subscription_id, lambda inside: act(inside, None)
        )

    return preview


def show(visit: Visit, form: Form, subject: Subject, read: Read) -> Response:
    """Show the form, or the preview of an action without fields."""
    if form.fields:
        return _form(visit, form, subject)
    return _guarded(visit, subject, lambda: _ask(visit, form, subject, read))


def send(visit: Visit, form: Form, subject: Subject, read: Read) -> Response:
    """Show the preview of what was written into a form, or act when it was confirmed."""
    return _guarded(visit, subject, lambda: _sent(visit, form, subject, read))


def _guarded(visit: Visit, subject: Subject, answer: Callable[[], Response]) -> Response:
    """Answer; a refusal is the page of the subject as it is now, with one line."""
    try:
        return answer()
    except BillingError as refused:
        return subject.refused(visit, str(refused))


def _sent(visit: Visit, form: Form, subject: Subject, read: Read) -> Response:
    key = visit.form.get("key", "")
    if not form.fields and not key:
        return _ask(visit, form, subject, read)
    try:
        by = visit.actor
        deed = read(Values(visit.form, visit.display), by)
        if not key:
            return _preview(visit, form, subject, deed)
        done = _do(visit, form, subject, deed, key)
    except Changed:
        return _ask(visit, form, subject, read, status=409)
    except BillingError as refused:
        named = {each.field for each in refused.faults}
        known = {"reason", *(each.name for each in form.fields)}
        if not isinstance(refused, InvalidValue) and not named & known:
            raise
        fault = {each.field: each.said for each in refused.faults} or {"": str(refused)}
        if form.fields:
            return _form(visit, form, subject, fault)
        return _ask(visit, form, subject, read, fault=fault, status=422)
    return redirect(f"{PREFIX}{done}")


def _form(
    visit: Visit, form: Form, subject: Subject, fault: dict[str, str] | None = None
) -> Response:
    return visit.page(
        "deed.html", 422 if fault else 200, form=form, subject=subject, fault=fault or {},
        values=visit.form, here=f"{PREFIX}{subject.path}",
    )  # fmt: skip


def _ask(
    visit: Visit,
    form: Form,
    subject: Subject,
    read: Read,
    *,
    status: int = 200,
    fault: dict[str, str] | None = None,
) -> Response:
    """Show the preview as it is now."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    by = Actor(visit.person.name, visit.form.get("reason") or None)
    deed = read(Values(visit.form, visit.display), by)
    return _preview(visit, form, subject, deed, status=status, fault=fault)


def _preview(
    visit: Visit,
    form: Form,
    subject: Subject,
    deed: Deed,
    *,
    status: int = 200,
    fault: dict[str, str] | None = None,
) -> Response:
    seen = effects.newest_event(visit.context, subject.subscription_id)
    effect, second = deed.preview(), False
    if effect is not None:
        seen, amount = effect.seen, effect.amount_refunded
        second = approvals.needs_second(visit.context, subject.subscription_id, amount)
    return visit.page(
        "confirm.html", status, form=form, subject=subject, deed=deed, effect=effect, seen=seen,
        basis=confirming.digest(deed.arguments, effect),
        lines=deed.lines(effect), key=str(uuid4()), values=visit.form, has_changed=status == 409,
        fault=fault or {}, now=visit.context.clock.now(), here=f"{PREFIX}{subject.path}",
        needs_second=second, limit=visit.context.settings.approval_refund_above,
    )  # fmt: skip


def _do(visit: Visit, form: Form, subject: Subject, deed: Deed, key: str) -> str:
    """Act, at most once for the key, and return where that is seen.

    Above a limit it becomes a request to a second person. Raises Changed, or a refusal of the
    service.
    """
    assert visit.person is not None  # noqa: S101 - the route needs an action
    seen = visit.form.get("seen", "")
    if not KEY.fullmatch(key) or not SEEN.fullmatch(seen):
        raise Changed("this form was not made by this console")
    by, shown = visit.actor, visit.form.get("basis", "")
    subject_id = subject.path.rpartition("/")[2]  # a bare id, which an erasure finds
    arguments = {**deed.arguments, "subject": subject_id, "reason": by.reason}
    request = Request(f"api:console:{visit.person.id}:{key}", f"console.{form.name}", arguments)
    basis = Basis(
        int(seen), lambda effect: confirming.digest(deed.arguments, effect) == shown,
        approvals.limit_of(visit.context, subject.subscription_id),
    )  # fmt: skip
    try:
        deed.run(visit.context, subject.subscription_id, basis, request, deed.act)
    except AboveLimit as above:
        if deed.approvable is None:
            raise
        order = approvals.Order(
            deed.approvable, subject_id, subject.subscription_id, deed.arguments, request.key
        )
        wanted = approvals.Shown(above.amount, seen=int(seen), basis=shown, effect=above.effect)
        asked = approvals.ask(visit.context, order, wanted, visit.person, by.reason or "")
        return f"/approvals/{asked}?done=asked"
    return f"{subject.path}?done={form.name}"

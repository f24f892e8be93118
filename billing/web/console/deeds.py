"""Deeds: an action in three steps: its form, a preview of the money, and the action itself.

A form without fields begins with the preview. The preview's form carries an idempotency key, so
that a double click or a reload acts once, and the newest event that the preview knows, so that no
action is based on what has changed since.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid4

import orjson
from starlette.responses import Response

from billing.domain.errors import BillingError, InvalidValue
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.services.context import Context, Request
from billing.services.operating import confirming
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

    `says` is a text for the preview, marked for translation.
    """

    arguments: Json
    act: Act
    preview: "Preview"
    run: Callable[[Context, UUID, Basis, Request, Act], None] = confirming.act_once
    lines: Callable[[Effect | None], tuple[Line, ...]] = _no_lines
    says: str = ""


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
        _do(visit, form, subject, deed, key)
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
    return redirect(f"{PREFIX}{subject.path}?done={form.name}")


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
    effect = deed.preview()
    if effect is not None:
        seen = effect.seen
    return visit.page(
        "confirm.html", status, form=form, subject=subject, deed=deed, effect=effect, seen=seen,
        basis=_digest(deed.arguments, effect),
        lines=deed.lines(effect), key=str(uuid4()), values=visit.form, has_changed=status == 409,
        fault=fault or {}, now=visit.context.clock.now(), here=f"{PREFIX}{subject.path}",
    )  # fmt: skip


def _do(visit: Visit, form: Form, subject: Subject, deed: Deed, key: str) -> None:
    """Act, at most once for the key. Raises Changed, or a refusal of the service."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    seen = visit.form.get("seen", "")
    if not KEY.fullmatch(key) or not SEEN.fullmatch(seen):
        raise Changed("this form was not made by this console")
    by, shown = visit.actor, visit.form.get("basis", "")
    subject_id = subject.path.rpartition("/")[2]  # a bare id, which an erasure finds
    arguments = {**deed.arguments, "subject": subject_id, "reason": by.reason}
    request = Request(f"api:console:{visit.person.id}:{key}", f"console.{form.name}", arguments)
    basis = Basis(int(seen), lambda effect: _digest(deed.arguments, effect) == shown)
    deed.run(visit.context, subject.subscription_id, basis, request, deed.act)


def _digest(arguments: Json, effect: Effect | None) -> str:
    """Return one value for what a preview shows: values of the form, rupiah, and days.

    Days and not instants: what happens now happens some seconds later than in the preview.
    """
    shown: list[object] = [arguments]
    if effect is not None:
        effect = effect.measured or effect
        after = effect.after
        row, coming = after.row, after.next_invoice
        days = (row.ended_at, row.cancel_at, row.pause_at, row.resume_at, row.change_at,
                row.paid_through_at, None if coming is None else coming.due_at)  # fmt: skip
        shown += [
            effect.amount_charged, effect.amount_refunded, effect.amount_credited,
            effect.invoices_voided_count, effect.amount_voided, after.credit_balance,
            row.status, row.plan, row.quantity, row.amount, row.coupon, row.next_plan,
            row.next_quantity, [at and at.date().isoformat() for at in days],
            coming and [coming.amount, coming.amount_from_credit],
        ]  # fmt: skip
    return sha256(orjson.dumps(shown, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()

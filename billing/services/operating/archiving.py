"""Archiving: take a plan or a coupon out of the offer, once, from a preview that was read."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from billing.domain.errors import IllegalMove
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.services.context import Context, Request, once
from billing.services.money import coupons
from billing.services.reading import catalog
from billing.services.subscriptions import subscribing


class What(StrEnum):
    """What can be archived."""

    PLAN = "plan"
    COUPON = "coupon"


_ARCHIVE = {What.PLAN: subscribing.archive_plan, What.COUPON: coupons.archive}


def archived_at(context: Context, what: What, code: str) -> datetime | None:
    """Return when it was archived; None while it is on offer. Raises NotKnown."""
    read = catalog.plan if what is What.PLAN else catalog.coupon
    return read(context.database, code).archived_at


def archive(context: Context, what: What, code: str, by: Actor, key: str) -> Mapping[str, object]:
    """Archive it, once for the key. Raises NotKnown, or IllegalMove when it is archived already."""

    def act(connection: Connection, _now: datetime) -> Json:
        inside = context.joined(connection)
        if archived_at(inside, what, code) is not None:
            raise IllegalMove(f"{what} {code!r} is archived already")
        _ARCHIVE[what](inside, code, by)
        return {}

    arguments = {"what": what.value, "code": code, "reason": by.reason}
    return once(context, Request(key, "console.archive", arguments), act)

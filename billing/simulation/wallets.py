"""Simulated wallets: paydays, top-ups, spending, and days at a limit.

This is a model, and its numbers are guesses; none comes from DOKU or OVO. Money comes in on a
payday and by top-ups on days that do not depend on the charge, and goes out every day; a purchase
that the wallet cannot pay is not made. No customer tops up because a charge failed, although a shop
that passes on "12,500 short" hopes for that. Each wallet is drawn from its own seed, independent of
the policy, so that every policy has the same wallets.
"""

import csv
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from billing.domain.errors import InvalidValue
from billing.domain.money import MAX_AMOUNT
from billing.domain.outcomes import Declined, Fault, Succeeded
from schedules.walltime import quoted

ZONE = ZoneInfo("Asia/Jakarta")
BEGIN = datetime(2026, 1, 1, tzinfo=ZONE)
DAY_MINUTES = 24 * 60
ONE_DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a wallet is used, in whole rupiah. The columns of a file of wallets, in any order."""

    amount: int  # charged each month
    due_day: int  # on this day of the month, or the last one it has
    opening: int  # in the wallet at first
    payday: int  # the day of the month on which income comes; 0 for none
    income: int
    top_ups: int  # in a month, on average, on any day
    top_up: int  # of each, on average
    spending: int  # in a day, on average
    limited: int  # percent of the days on which every charge meets a limit of the account's


COLUMNS = tuple(column.name for column in fields(Profile))
BOUNDS = {
    "amount": (1, MAX_AMOUNT),
    "due_day": (1, 31),
    "payday": (0, 31),
    "top_ups": (0, 30),
    "limited": (0, 100),
}


def read(lines: Iterable[str]) -> list[Profile]:
    """Read a CSV of profiles; raises InvalidValue with the line that is wrong."""
    rows = csv.DictReader(lines)
    header = [name.strip() for name in rows.fieldnames or ()]
    if sorted(header) != sorted(COLUMNS):
        raise InvalidValue(f"the header must have the columns {','.join(COLUMNS)}")
    profiles = []
    for row in rows:
        cells = {str(name).strip(): value for name, value in row.items()}
        if len(cells) != len(COLUMNS):
            raise InvalidValue(f"line {rows.line_num}: more cells than columns")
        values = {name: _read(name, cells[name], rows.line_num) for name in COLUMNS}
        profiles.append(Profile(**values))
    if not profiles:
        raise InvalidValue("the file has no wallets")
    return profiles


def _read(name: str, text: str | None, line: int) -> int:
    least, most = BOUNDS.get(name, (0, MAX_AMOUNT))
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit() and least <= int(digits[:18]) <= most):
        raise InvalidValue(
            f"line {line}: {name} must be a whole number from {least} to {most}, not"
            f" {quoted(text or '')}"
        )
    return int(digits)


def drawn(rng: Random) -> Profile:
    """Draw a wallet: half are filled on payday, 35 % by top-ups, and 15 % are hardly used."""
    amount = rng.choice((29_000, 49_000, 54_990, 99_000, 150_000))
    payday = income = top_ups = top_up = 0
    kind = rng.randrange(100)
    if kind < 50:
        payday = rng.choice((1, 5, 25, 25, 27, 28))
        income = amount * rng.randrange(2, 13)
        top_ups, top_up = rng.randrange(2), amount
        spending = income // rng.randrange(18, 36)
    elif kind < 85:
        top_ups, top_up = rng.randrange(2, 9), rng.randrange(20, 151) * 1_000
        spending = top_ups * top_up // rng.randrange(27, 40)
    else:
        top_ups, top_up = rng.randrange(2), amount * 2
        spending = amount // 60
    return Profile(
        amount=amount,
        due_day=rng.randrange(1, 32),
        opening=rng.randrange(amount * 3),
        payday=payday,
        income=income,
        top_ups=top_ups,
        top_up=top_up,
        spending=spending,
        limited=rng.choice((0, 0, 0, 1, 3)),
    )


class Life:
    """The movements of one wallet, drawn day by day as far as they are read.

    `movements` are minutes since BEGIN with rupiah in or out, in order; `limited` has for each
    day whether the account is at a limit.
    """

    def __init__(self, profile: Profile, rng: Random) -> None:
        self.profile = profile
        self.movements: list[tuple[int, int]] = []
        self.limited: list[bool] = []
        self._draw = rng.random
        self._wall = BEGIN.date()

    def reach(self, minute: int) -> None:
        """Draw every day up to this minute."""
        while len(self.limited) * DAY_MINUTES <= minute:
            self._live_a_day(len(self.limited) * DAY_MINUTES)

    def _live_a_day(self, midnight: int) -> None:
        known, draw, wall = self.profile, self._draw, self._wall
        moves = []
        if known.spending:
            at = midnight + 8 * 60 + int(draw() * 14 * 60)
            moves.append((at, -int(draw() * (2 * known.spending + 1))))
        if known.payday and wall.day == _in_month(wall, known.payday):
            at = midnight + 6 * 60 + int(draw() * 6 * 60)
            moves.append((at, self._about(known.income)))
        if draw() * 30 < known.top_ups:
            at = midnight + 7 * 60 + int(draw() * 15 * 60)
            moves.append((at, self._about(known.top_up)))
        moves.sort()
        self.movements += moves
        self.limited.append(draw() * 100 < known.limited)
        self._wall = wall + ONE_DAY

    def _about(self, amount: int) -> int:
        """Half of it to half as much again."""
        return amount // 2 + int(self._draw() * (amount + 1))


def _in_month(wall: date, day: int) -> int:
    """This day of the month, or the last one it has."""
    return day if day <= 28 else min(day, monthrange(wall.year, wall.month)[1])


class SimulatedWallet:
    """A wallet under one policy: charges that it paid reduce its balance."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._minute = self._next = 0
        self.cash = life.profile.opening

    def live_until(self, instant: datetime) -> None:
        """Apply the movements up to an instant, which must not be earlier than the last one."""
        minute = (instant - BEGIN) // MINUTE
        self._life.reach(minute)
        moves, index, cash = self._life.movements, self._next, self.cash
        while index < len(moves) and moves[index][0] <= minute:
            left = cash + moves[index][1]
            cash = left if left >= 0 else cash
            index += 1
        self._minute, self._next, self.cash = minute, index, cash

    def pay(self, amount: int) -> Succeeded | Declined:
        """Pay a charge, or decline it."""
        if self._life.limited[self._minute // DAY_MINUTES]:
            return Declined(Fault.LIMIT, "limit")
        if self.cash < amount:
            return Declined(Fault.INSUFFICIENT_FUNDS, "insufficient_funds")
        self.cash -= amount
        return Succeeded()

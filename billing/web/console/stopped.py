"""Stopped: the refusal of a visit, before or by its page."""


class Stopped(Exception):
    """A visit that gets a page with a message instead of what it asked for.

    `action` is what the person's role does not allow.
    """

    def __init__(self, status: int, kind: str, action: str = "") -> None:
        super().__init__(kind)
        self.status, self.kind, self.action = status, kind, action

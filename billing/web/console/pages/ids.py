"""Ids in addresses."""

from uuid import UUID

from billing.domain.errors import NotKnown
from billing.web.console.visits import Visit


def id_of(visit: Visit, name: str) -> UUID:
    """Return the id of the address. Raises NotKnown for what is no id."""
    written = str(visit.request.path_params[name])
    try:
        return UUID(written)
    except ValueError:
        raise NotKnown(f"no {name.removesuffix('_id')} has the id {written[:60]!r}") from None

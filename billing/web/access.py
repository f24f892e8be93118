"""Access: which key is calling, whether its scope allows the call, and how often it may call.

The scope belongs to a handler, never to a path: a path can be written in many ways.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis import Redis
from redis.exceptions import RedisError

from billing.clock import real_now
from billing.domain.api_keys import ApiKey, Scope
from billing.domain.events import Actor
from billing.logs import Logger
from billing.services.context import Context
from billing.services.operating import api_keys
from billing.web.problems import Refused

log = Logger(__name__)

_BEARER = HTTPBearer(
    auto_error=False, description="An API key, made by the command that creates keys"
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid key that may make this call."""

    context: Context
    key: ApiKey

    def actor(self, reason: str | None = None) -> Actor:
        """Return the actor of the events that this call causes."""
        return Actor(self.key.name, reason)


class Limiter:
    """Counts the requests of each key in each second, in Redis.

    Without Redis every request is allowed: a limit that fails must not stop a merchant's shop.
    """

    def __init__(self, redis_url: str, most: int) -> None:
        self._most = most
        self._client = Redis.from_url(redis_url, socket_timeout=0.2, socket_connect_timeout=0.2)

    def allows(self, key: ApiKey) -> bool:
        """Count one request, and return whether the key may make it."""
        if not self._most:
            return True
        name = f"billing:requests:{key.id}:{int(real_now().timestamp())}"
        try:
            pipe = self._client.pipeline(transaction=False)
            pipe.incr(name)
            pipe.expire(name, 5)
            return bool(pipe.execute()[0] <= self._most)
        except RedisError as error:
            log.warning("web.no_limit", error=type(error).__name__)
            return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def context_of(request: Request) -> Context:
    """Return the engine of this application."""
    found = request.app.state.context
    assert isinstance(found, Context)  # noqa: S101 - set when the application was created
    return found


class Needs:
    """The dependency of handlers that need a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(self, request: Request, credentials: Credentials) -> Caller:
        """Return the caller. Raises Refused: 401, 403 or 429."""
        context = context_of(request)
        key = None if credentials is None else api_keys.recognize(context, credentials.credentials)
        if key is None:
            raise Refused(
                401, "unauthorized", "send a valid key as `Authorization: Bearer obk_live_…`",
                WWW_Authenticate="Bearer",
            )  # fmt: skip
        if not request.app.state.limiter.allows(key):
            raise Refused(
                429, "too_many_requests", "this key made too many requests in this second",
                Retry_After="1",
            )  # fmt: skip
        if not key.allows(self.scope):
            raise Refused(403, "forbidden", f"this key has no scope {self.scope.value}")
        return Caller(context, key)


Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
Writer = Annotated[Caller, Depends(Needs(Scope.WRITE))]
Refunder = Annotated[Caller, Depends(Needs(Scope.REFUND))]
Administrator = Annotated[Caller, Depends(Needs(Scope.ADMIN))]

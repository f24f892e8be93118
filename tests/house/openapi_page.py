"""The OpenAPI document of the HTTP interface, as it is committed: docs/openapi.json.

To renew it: `python -m tests.house.openapi_page > docs/openapi.json`.
"""

import json
from functools import cache
from typing import Any

from pydantic import SecretStr

from billing import bootstrap
from billing.config import Settings
from billing.web import app

MADE_UP = {
    "database_url": SecretStr("postgresql://user@127.0.0.1/none"),
    "redis_url": SecretStr("redis://127.0.0.1:1/0"), "doku_client_id": "MCH-DOCUMENT",
    "doku_secret_key": SecretStr("SK-document"), "doku_base_url": "http://127.0.0.1:1",
    "token_key": SecretStr("A" * 43 + "="),
}  # fmt: skip
"""Settings with which the application can be built; nothing is connected."""


@cache
def document() -> dict[str, Any]:
    """The document that the running application serves."""
    settings = Settings().model_copy(update=MADE_UP)
    return app.create(bootstrap.build(settings)).openapi()


def written() -> str:
    """The document as text."""
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(written(), end="")  # noqa: T201 - a page

"""Checks of settings: what the value of each must look like; `billing.config` has the fields.

Each check raises ValueError with the end of a sentence that begins with the setting's name.
"""

import json
from re import fullmatch

from pydantic import BaseModel, SecretStr, field_validator

from billing import config_urls

DOKU_SANDBOX = "https://api-sandbox.doku.com"
USED_HEADERS = frozenset(
    {
        "accept", "accept-language", "authorization", "connection", "content-length",
        "content-type", "cookie", "host", "origin", "referer", "sec-fetch-site", "user-agent",
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
    }
)  # fmt: skip
"""Headers with another meaning, which browsers or other proxies set."""


class Checks(BaseModel):
    """The checks of single settings."""

    @field_validator("database_url", check_fields=False)
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        return SecretStr(config_urls.postgresql(value.get_secret_value()))

    @field_validator("redis_url", check_fields=False)
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(config_urls.redis(value.get_secret_value()))

    @field_validator("doku_base_url", check_fields=False)
    @classmethod
    def _https(cls, value: str) -> str:
        return config_urls.bare(value, DOKU_SANDBOX)

    @field_validator("doku_notification_path", check_fields=False)
    @classmethod
    def _path(cls, value: str) -> str:
        if not fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value) or "/." in value:
            raise ValueError("must be a path such as /doku/notifications, without a query")
        return value

    @field_validator("doku_proxy", check_fields=False)
    @classmethod
    def _proxy(cls, value: str) -> str:
        return config_urls.proxy(value)

    @field_validator("link_success_url", "link_failure_url", check_fields=False)
    @classmethod
    def _web(cls, value: str) -> str:
        parts = config_urls.split(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("must be a URL with http:// or https://")
        return value

    @field_validator("metrics_token", check_fields=False)
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not fullmatch(r"[!-~]{16,256}", value.get_secret_value()):
            raise ValueError("must be 16 to 256 printable characters without a blank")
        return value

    @field_validator("doku_plain_host", check_fields=False)
    @classmethod
    def _name(cls, value: str) -> str:
        return config_urls.plain_host(value)

    @field_validator("flower_hosts", "webhook_allowed_hosts", check_fields=False)
    @classmethod
    def _names(cls, value: str) -> str:
        return config_urls.host_names(value)

    @field_validator("trusted_proxies", "sso_proxies", check_fields=False)
    @classmethod
    def _networks(cls, value: str) -> str:
        return config_urls.networks(value)

    @field_validator("faults", mode="before", check_fields=False)
    @classmethod
    def _json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            raise ValueError('must be JSON such as {"E123": "limit"}') from None

    @field_validator("token_key", check_fields=False)
    @classmethod
    def _fernet(cls, value: SecretStr) -> SecretStr:
        keys = [key for key in value.get_secret_value().split(",") if key]
        if not keys:
            return value
        from cryptography.fernet import Fernet

        for key in keys:
            try:
                Fernet(key.strip())
            except ValueError:
                raise ValueError(
                    "must be Fernet keys (32 bytes, url-safe base64), comma-separated"
                ) from None
        return value

    @field_validator("sso_header", check_fields=False)
    @classmethod
    def _header(cls, value: str) -> str:
        if value and not fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,60}[A-Za-z0-9]", value):
            raise ValueError("must be the name of a header such as X-Remote-User, without _")
        if value.lower() in USED_HEADERS:
            raise ValueError("must be a header of its own, such as X-Remote-User")
        return value

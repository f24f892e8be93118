"""Statements that sample encrypted values, to test a key; this module knows no key."""

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED
from billing.store.expressions import listed
from billing.store.statements import text

SECRETS = "webhook secrets"
FACTORS = "second factors"
# Ids of wallets are random, so a walk along the key from a random place is a random sample. Both
# ends of the index of expiry, which is nearly the order of age, add old rows to it.
_TOKENS = text("""
    WITH place AS MATERIALIZED (SELECT gen_random_uuid() AS id),
    oldest AS (SELECT id, token_sealed, phone_sealed FROM wallets WHERE status = 'active'
               ORDER BY expires_at LIMIT :part),
    newest AS (SELECT id, token_sealed, phone_sealed FROM wallets WHERE status = 'active'
               ORDER BY expires_at DESC LIMIT :part),
    behind AS (SELECT w.id, w.token_sealed, w.phone_sealed FROM wallets w
               WHERE w.id >= (SELECT id FROM place) AND w.status IN ('active', 'unlinking')
               ORDER BY w.id LIMIT :part),
    before AS (SELECT w.id, w.token_sealed, w.phone_sealed FROM wallets w
               WHERE w.id < (SELECT id FROM place) AND w.status IN ('active', 'unlinking')
               ORDER BY w.id DESC LIMIT :part)
    SELECT token_sealed, phone_sealed FROM (
        SELECT * FROM oldest UNION SELECT * FROM newest
        UNION SELECT * FROM behind UNION SELECT * FROM before) AS tokens
""")
_BODIES = text(f"""
    SELECT body_sealed FROM charges WHERE {listed("status", UNRESOLVED)}
        AND body_sealed IS NOT NULL LIMIT :most
""")  # noqa: S608 - a constant of ours
_SECRETS = text("""
    SELECT secret_sealed FROM (
        SELECT secret_sealed, id FROM webhook_endpoints WHERE deleted_at IS NULL
        UNION ALL SELECT previous_secret_sealed, id FROM webhook_endpoints
        WHERE deleted_at IS NULL AND previous_secret_until > now()) AS secrets
    ORDER BY id LIMIT :most
""")

_FACTORS = text("""
    SELECT factor_sealed FROM people WHERE factor_sealed IS NOT NULL AND disabled_at IS NULL
    ORDER BY id LIMIT :most
""")


def samples(connection: Connection, most: int) -> dict[str, list[bytes]]:
    """Read a limited sample of each kind of encrypted value that is still needed.

    Samples are tokens of linked wallets with their phones, bodies of charges that may be resent,
    secrets of webhook endpoints, and second factors of people.
    """
    wallets = connection.execute(_TOKENS, {"part": most // 4}).all()
    secrets = connection.execute(_SECRETS, {"most": most}).scalars()
    factors = connection.execute(_FACTORS, {"most": most}).scalars()
    bodies = connection.execute(_BODIES, {"most": most}).scalars()
    return {
        "tokens": [bytes(row[0]) for row in wallets],
        "phones": [bytes(row[1]) for row in wallets],
        "bodies": [bytes(body) for body in bodies],
        SECRETS: [bytes(secret) for secret in secrets],
        FACTORS: [bytes(factor) for factor in factors],
    }

"""Upkeep: what runs once an hour: the audit, checks of keys and certificate, ending old rows."""

from ssl import SSLCertVerificationError

from billing.clock import real_now
from billing.gateway import certificates
from billing.logs import Logger
from billing.services.context import Context
from billing.services.operating import approval_ends, token_keys, used_keys
from billing.services.reading import auditing
from billing.store.queries import metrics

log = Logger(__name__)

AUDIT_FINDINGS = "audit_findings"
KEY_FAILURES = "token_key_failures"
CERTIFICATE_ENDS = "gateway_certificate_expiry"


def hourly(context: Context) -> None:
    """Check every invariant, the keys and the certificate, record the results, end old rows.

    Each broken invariant is logged as an alarm.
    """
    findings = auditing.audit(context)
    for finding in findings:
        log.error("audit.failed", invariant=finding.name, detail=finding.detail)
    tried = token_keys.try_all(context.database, context.vault)
    found = {
        AUDIT_FINDINGS: float(len(findings)),
        KEY_FAILURES: float(sum(each.shut for each in tried)),
    }
    ends = _certificate_ends(context)
    if ends is not None:
        found[CERTIFICATE_ENDS] = ends
    with context.database.transaction() as connection:
        metrics.record_gauges(connection, found, real_now())
    used_keys.remove_old(context)
    approval_ends.expire(context)


def _certificate_ends(context: Context) -> float | None:
    """Return the end of the gateway's certificate in Unix time; 0 when none is valid.

    None for plain http, and behind a proxy, whose way to the gateway is not known here.
    """
    settings = context.settings
    if settings.doku_proxy:
        return None
    try:
        ends = certificates.valid_until(settings.doku_base_url)
    except SSLCertVerificationError as error:
        log.warning("gateway.certificate_refused", why=type(error).__name__)
        return 0.0
    except OSError as error:
        log.warning("gateway.certificate_unknown", why=type(error).__name__)
        return None
    return None if ends is None else ends.timestamp()

"""Pages of proxies and firewalls in front of the gateway settle no call."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from billing.domain.outcomes import RefundOrder, Unknown, Unsent
from billing.gateway import answers
from billing.gateway.faults import Faults
from billing.gateway.refusals import Answer, Trust
from billing.gateway.statuses import status

FAULTS = Faults({})
ORDER = RefundOrder("refund-1", "82014", "INV-1", 1000, "why")
Read = Callable[[Answer], object]

CALLS: dict[str, Read] = {
    "pay": lambda answer: answers.payment(answer, "INV-1", 1000, FAULTS),
    "refund": lambda answer: answers.refund(answer, ORDER, FAULTS),
    "status": lambda answer: status(answer, "INV-1", "INV-1", 1000),
    "tokens": lambda answer: answers.tokens(answer, "c1", FAULTS),
    "unbind": lambda answer: answers.unbinding(answer, "token-1", FAULTS),
    "balance": lambda answer: answers.balance(answer, FAULTS),
    "bind": lambda answer: answers.binding(answer, FAULTS),
}


def page(*words: str) -> bytes:
    """Write a page for a person."""
    text = " ".join(words)
    return f"<html><head><title>{words[0]}</title></head><body>{text}</body></html>".encode()


def message(text: str, **more: Any) -> bytes:
    """Write what many gateways answer: an object with a message."""
    return json.dumps({"message": text, **more}).encode()


def error(code: str, text: str, **more: Any) -> bytes:
    """Write the envelope that Azure and others use: DOKU's without a type."""
    return json.dumps({"error": {"code": code, "message": text, **more}}).encode()


def apigee(text: str, code: str) -> bytes:
    """Write Apigee's fault."""
    return json.dumps({"fault": {"faultstring": text, "detail": {"errorcode": code}}}).encode()


PAGES: list[tuple[str, int, bytes]] = [
    ("nginx", 400, page("400 The plain HTTP request was sent to HTTPS port", "nginx")),
    ("nginx", 401, page("401 Authorization Required", "nginx")),
    ("nginx", 403, page("403 Forbidden", "nginx/1.25")),
    ("nginx", 404, page("404 Not Found", "nginx")),
    ("nginx", 405, page("405 Not Allowed", "nginx")),
    ("nginx", 413, page("413 Request Entity Too Large", "nginx")),
    ("nginx", 499, b""),
    ("nginx", 502, page("502 Bad Gateway", "nginx")),
    ("nginx", 503, page("503 Service Temporarily Unavailable", "nginx")),
    ("nginx", 504, page("504 Gateway Time-out", "nginx")),
    ("AWS API Gateway", 403, message("Missing Authentication Token")),
    ("AWS API Gateway", 403, message("Forbidden")),
    ("AWS API Gateway", 401, message("Unauthorized")),
    ("AWS API Gateway", 404, message("Not Found")),
    ("AWS API Gateway", 413, message("Request Too Long")),
    ("AWS API Gateway", 429, message("Too Many Requests")),
    ("AWS API Gateway", 429, message("Limit Exceeded")),
    ("AWS API Gateway", 403, message("The security token included in the request is expired")),
    ("AWS API Gateway", 504, message("Endpoint request timed out")),
    ("AWS API Gateway", 502, message("Internal server error")),
    ("AWS API Gateway", 403, b'{"Message":"User is not authorized to access this resource"}'),
    ("AWS WAF", 403, page("403 Forbidden", "Request blocked.")),
    ("AWS WAF", 403, b'{"message":"Forbidden","reason":"blocked"}'),
    ("AWS CloudFront", 403, page("ERROR: The request could not be satisfied", "Request blocked")),
    ("Cloudflare", 403, page("Attention Required! | Cloudflare", "you have been blocked")),
    ("Cloudflare", 403, page("Access denied", "error code: 1020")),
    ("Cloudflare", 403, b"error code: 1020"),
    ("Cloudflare", 403, b'{"error":"Forbidden"}'),
    ("Cloudflare", 403, b'{"error":"blocked","error_code":1020}'),
    ("Cloudflare", 429, b"error code: 1015"),
    ("Cloudflare", 522, page("522: Connection timed out")),
    ("Cloudflare", 403, b'{"success":false,"errors":[{"code":10000,"message":"Auth error"}]}'),
    ("Kong", 404, message("no Route matched with those values")),
    ("Kong", 401, message("No API key found in request")),
    ("Kong", 401, message("Invalid authentication credentials")),
    ("Kong", 403, message("Your IP address is not allowed")),
    ("Kong", 403, message("Your IP address is blocked")),
    ("Kong", 429, message("API rate limit exceeded")),
    ("Kong", 413, message("Request size limit exceeded")),
    ("Kong", 401, message("invalid_token", error="invalid_token")),
    ("Kong", 401, b'{"error":"invalid_token","error_description":"The access token is expired"}'),
    ("Apigee", 401, apigee("Invalid access token", "keymanagement.service.invalid_access_token")),
    ("Apigee", 401, apigee("Access Token expired", "keymanagement.service.access_token_expired")),
    ("Apigee", 403, apigee("Access Denied for client ip", "accesscontrol.IPDeniedAccess")),
    ("Apigee", 404, apigee("Unable to identify proxy", "messaging.adaptors.http.flow.NotFound")),
    ("Apigee", 429, apigee("Rate limit quota violation", "policies.ratelimit.QuotaViolation")),
    ("Apigee", 400, b'{"error":"invalid_request","error_description":"token not found"}'),
    ("Akamai", 403, page("Access Denied", "Reference #18.2d351ab8.1557333295.a4e16ab")),
    ("Akamai", 400, page("Invalid URL", "The requested URL is invalid. Reference #9")),
    ("Azure API Management", 401, b'{"statusCode":401,"message":"Access denied: invalid key"}'),
    ("Azure API Management", 404, b'{"statusCode":404,"message":"Resource not found"}'),
    ("Azure API Management", 429, b'{"statusCode":429,"message":"Rate limit is exceeded"}'),
    ("Azure API Management", 403, b'{"statusCode":403,"message":"Out of call volume quota"}'),
    ("Azure", 403, error("Forbidden", "Access is denied due to IP restriction")),
    ("Azure", 404, error("not_found", "Resource not found")),
    ("Azure", 404, error("NotFound", "Resource not found")),
    ("Azure", 401, error("invalid_token", "The access token has expired")),
    ("Azure", 400, error("insufficient_funds", "without a type it is not the gateway's")),
    ("Azure", 401, error("InvalidAuthenticationToken", "The token is expired")),
    ("Azure Front Door", 403, page("403 Forbidden", "Microsoft-Azure-Application-Gateway/v2")),
    ("Azure Front Door", 404, page("Page not found", "Our services aren't available right now")),
    ("F5 BIG-IP", 200, page("Request Rejected", "Your support ID is: 1234567890123456789")),
    ("F5 BIG-IP", 403, page("Request Rejected", "The requested URL was rejected.")),
    ("F5 BIG-IP", 403, b'{"supportID":"1234567890123456789","error":"blocked"}'),
    ("Imperva", 403, page("Incapsula incident ID: 443000270-198", "Request unsuccessful.")),
    ("Imperva", 200, page("Pardon Our Interruption", "_Incapsula_Resource")),
    ("Imperva", 503, page("Error code 20", "the proxy failed to connect to the web server")),
    ("ModSecurity", 403, page("403 Forbidden", "You don't have permission to access this.")),
    ("ModSecurity", 406, page("Not Acceptable!", "An appropriate representation was not found")),
    ("Squid", 403, page("ERROR: The requested URL could not be retrieved", "Access Denied.")),
    ("Squid", 407, page("ERROR: Cache Access Denied")),
    ("Squid", 503, page("ERROR: The requested URL could not be retrieved", "Connection refused")),
    ("HAProxy", 403, page("403 Forbidden", "Request forbidden by administrative rules.")),
    ("Envoy", 403, b"RBAC: access denied"),
    ("Envoy", 401, b"Jwt is expired"),
    ("Envoy", 429, b"local_rate_limited"),
    ("Spring", 404, b'{"timestamp":1,"status":404,"error":"Not Found","path":"/x"}'),
    ("Spring", 403, b'{"timestamp":1,"status":403,"error":"Forbidden","path":"/x"}'),
    (
        "Spring",
        400,
        b'{"timestamp":1,"status":400,"error":"Bad Request","message":"x","path":"/x"}',
    ),
    ("Spring", 404, b'{"type":"about:blank","title":"Not Found","status":404,"detail":"x"}'),
    ("an OpenAI-like gateway", 401, error("invalid_api_key", "no", type="invalid_request_error")),
    ("a login page", 200, page("Sign in", "Wi-Fi terms")),
    ("a login page", 302, b""),
    ("a health page", 200, b'{"status":"ok"}'),
    ("a health page", 200, b"{}"),
    ("a health page", 201, b'{"data":null}'),
    ("a health page", 200, b'{"message":"success"}'),
    ("nobody", 400, b""),
    ("nobody", 404, b"null"),
]


@pytest.mark.parametrize(("who", "http_status", "body"), PAGES, ids=[p[0] for p in PAGES])
@pytest.mark.parametrize("trust", [Trust.MISSING, Trust.WRONG])
def test_no_page_of_a_proxy_ends_anything(
    who: str, http_status: int, body: bytes, trust: Trust
) -> None:
    """
    After every page and every call the outcome stays unknown, and is queried.

    A 429 alone says that this sending was not read: it is sent again under the same Request-Id.
    """
    for call, read in CALLS.items():
        outcome = read(Answer(http_status, body, trust))

        may_wait = http_status == 429 and call != "status" and trust is Trust.MISSING
        assert isinstance(outcome, Unsent if may_wait else Unknown), (who, call)
        assert not isinstance(outcome, Unsent) or outcome.by_answer, (who, call)


@pytest.mark.parametrize(
    ("http_status", "body"), [(s, b) for _, s, b in PAGES if 200 <= s < 500 and s not in {408, 429}]
)
def test_a_page_in_the_gateways_place_counts_as_unrecognised(http_status: int, body: bytes) -> None:
    """So many of them stop charging, where a gateway that is down only rests."""
    outcome = CALLS["pay"](Answer(http_status, body, Trust.MISSING))

    assert isinstance(outcome, Unknown)
    assert outcome.unrecognised


@pytest.mark.parametrize("http_status", [500, 502, 503, 504, 408])
def test_a_gateway_that_is_down_is_no_strange_one(http_status: int) -> None:
    """A 5xx makes all workers rest; it is no sign of a proxy in between."""
    outcome = CALLS["pay"](Answer(http_status, b"", Trust.MISSING))

    assert isinstance(outcome, Unknown)
    assert not outcome.unrecognised

"""The page behind `registration_url`, where a customer would type OTP and PIN.

Opening or posting it confirms the link. The page follows no link and loads nothing.
"""

from html import escape

from billing.sandbox.protocol import wallet_calls
from billing.sandbox.protocol.answers import Answer, page
from billing.sandbox.protocol.wire import Request
from billing.sandbox.state.book import Book


def answer(book: Book, request: Request) -> Answer:
    """Confirm a registration and show the URL that the customer would be sent to."""
    binding = book.bindings.get(request.path.removeprefix(wallet_calls.REGISTRATION_PATH))
    if binding is None:
        return page(404, "<h1>No such registration</h1>")
    if request.method not in {"GET", "POST"}:
        return page(405, "<h1>Only GET and POST</h1>")
    if binding.state == "confirmed" and request.method == "GET":
        return _outcome(200, "This OVO account is linked", binding.success_url)
    reason = wallet_calls.confirm(book, binding)
    if reason is not None:
        return _outcome(409, f"Not linked: {reason}", binding.failed_url)
    return _outcome(200, "This OVO account is linked", binding.success_url)


def _outcome(status: int, headline: str, url: str) -> Answer:
    link = f'<p><a href="{escape(url)}">Back to the merchant</a></p>'
    return page(status, f"<h1>{escape(headline)}</h1>{link}")

"""`python -m billing.web`: the HTTP interface, as the local stack starts it."""

import argparse
import gc
import sys


def main() -> None:
    """Parse host and port, and serve; one line when a setting is missing."""
    gc.disable()  # imported objects stay; the server collects as soon as it serves
    from billing.domain.errors import BillingError
    from billing.domain.escaping import escape
    from billing.web import server

    parser = argparse.ArgumentParser("python -m billing.web")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    try:
        server.run(given.host, given.port)
    except BillingError as mistake:
        sys.exit(f"billing: {escape(str(mistake))}")


if __name__ == "__main__":
    main()

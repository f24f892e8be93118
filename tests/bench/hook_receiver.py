"""A receiver of webhooks that answers after 5 ms and keeps its connections; it prints its port."""

import asyncio
import sys
from contextlib import suppress

ANSWER_SECONDS = 0.005
_LENGTH = b"content-length:"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            [length] = [int(line[len(_LENGTH) :]) for line in head if line.startswith(_LENGTH)]
            await reader.readexactly(length)
            await asyncio.sleep(ANSWER_SECONDS)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
    writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=500)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())

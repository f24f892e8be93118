"""Start, control and stop a sandbox as its own process, from a test or the local stack.

It uses the sandbox's command line and HTTP only, and imports nothing of its inside.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

CLIENT_ID = "MCH-SANDBOX-0001"
SECRET_KEY = "sandbox-secret-key"
START_SECONDS = 20.0


class SandboxFailed(Exception):
    """The process did not start; the text is its output."""


class SandboxProcess:
    """One running sandbox."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        port: int,
        client_id: str,
        secret_key: str,
        folder: tempfile.TemporaryDirectory[str],
    ) -> None:
        self._process = process
        self._folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client_id = client_id
        self.secret_key = secret_key

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call `/_sandbox/{path}` and return its JSON; ValueError with its message if refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/_sandbox/{path.lstrip('/')}", payload)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(answer["message"])
        return answer

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code; safe to call twice."""
        self._process.terminate()
        return self._wait()

    def kill(self) -> int:
        """End it as a crash would."""
        self._process.kill()
        return self._wait()

    def errors(self) -> str:
        """Return its stderr so far."""
        return _errors(self._folder.name)

    def _wait(self) -> int:
        return self._process.wait(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()


def start(
    state: Path | None = None,
    *,
    port: int = 0,
    client_id: str = CLIENT_ID,
    secret_key: str = SECRET_KEY,
) -> SandboxProcess:
    """Start a sandbox on 127.0.0.1 and return when it listens; raises SandboxFailed."""
    folder = tempfile.TemporaryDirectory(prefix="sandbox-")
    port_file = Path(folder.name) / "port"
    command = [sys.executable, "-m", "billing.sandbox", "--port", str(port)]
    command += ["--port-file", str(port_file)]
    if state is not None:
        command += ["--state", str(state)]
    environment = os.environ | {"SANDBOX_CLIENT_ID": client_id, "SANDBOX_SECRET_KEY": secret_key}
    with (Path(folder.name) / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
    pause, deadline = threading.Event(), time.monotonic() + START_SECONDS
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = _errors(folder.name).strip()
            folder.cleanup()
            raise SandboxFailed(said or "the sandbox did not start in time")
        pause.wait(0.01)
    return SandboxProcess(process, int(port_file.read_text()), client_id, secret_key, folder)


def _errors(folder: str) -> str:
    return (Path(folder) / "stderr").read_text(errors="replace")

"""Static files: style sheet, script and icon, under names that contain a hash of their content.

A browser always keeps such a file: another content has another name.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


class File(NamedTuple):
    """A file as it is sent."""

    content: bytes
    media_type: str


def _named(path: Path) -> str:
    return f"{path.stem}.{sha256(path.read_bytes()).hexdigest()[:12]}{path.suffix}"


_PATHS = sorted(path for path in FOLDER.iterdir() if path.suffix in TYPES)
NAMES = {path.name: _named(path) for path in _PATHS}
"""The name under which each file is served."""
FILES = {NAMES[path.name]: File(path.read_bytes(), TYPES[path.suffix]) for path in _PATHS}


def send(name: str) -> Response | None:
    """Answer with a file; None when there is none of this name."""
    found = FILES.get(name)
    if found is None:
        return None
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": FOREVER})

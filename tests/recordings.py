"""Recorded answers of real servers: the files under `fixtures/wire/`, one a case, with an index beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

WIRE: Final = Path(__file__).resolve().parent.parent / "fixtures" / "wire"
TRANSLATION: Final = WIRE / "translation"
SERVERS: Final = tuple(sorted(folder.name for folder in WIRE.iterdir() if folder.is_dir() and folder != TRANSLATION))


@dataclass(frozen=True, slots=True)
class Recording:
    """One exchange: what was asked, and the status, the headers that matter and the exact bytes of the answer."""

    name: str
    method: str
    path: str
    request: Any
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        """Whether the answer came as events."""
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)

    @property
    def events(self) -> tuple[bytes, ...]:
        """A stream's events, each with the blank line that ends it."""
        return tuple(event + b"\n\n" for event in self.body.removesuffix(b"\n\n").split(b"\n\n"))


def recordings(server: str) -> dict[str, Recording]:
    """Return the recordings of a server (the name of its folder) by the names of their cases."""
    folder = WIRE / server
    cases: dict[str, dict[str, Any]] = orjson.loads((folder / "index.json").read_bytes())["cases"]
    return {
        name: Recording(
            name,
            case["method"],
            case["path"],
            case["request"],
            case["status"],
            case["headers"],
            (folder / case["file"]).read_bytes(),
        )
        for name, case in cases.items()
    }

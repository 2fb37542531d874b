"""Cases of translation: the files under `fixtures/wire/translation/`, one for each feature and each pair of formats."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.recordings import TRANSLATION

PAIRS: Final = tuple(sorted(folder.name for folder in TRANSLATION.iterdir()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a caller asks, what the provider is asked then, what that answers, and what the caller is told.

    A side that a feature does not touch is left out. `sent` is None where no other format can say what is asked, whose
    place is then `untranslatable`. Events are the data of a stream, `[DONE]` among them as a text.
    """

    feature: str
    pair: str
    about: str
    asked: Mapping[str, Any] | None = None
    sent: Mapping[str, Any] | None = None
    dropped: Sequence[str] = ()
    untranslatable: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    """What the provider's model is like: `native_json`, or the field in which it takes its `limit`."""
    answer: Mapping[str, Any] | None = None
    events: Sequence[Any] = ()
    told: Mapping[str, Any] | None = None
    told_events: Sequence[Any] = ()

    @property
    def caller(self) -> str:
        """The caller's format."""
        return self.pair.partition("-to-")[0]

    @property
    def provider(self) -> str:
        """The provider's format."""
        return self.pair.partition("-to-")[2]

    @property
    def stream(self) -> tuple[bytes, ...]:
        """The events of the provider's stream, as it sends them."""
        return tuple(_event(event) for event in self.events)

    def __str__(self) -> str:
        return f"{self.pair}: {self.feature}: {self.about}"


def exchanges() -> Iterator[Exchange]:
    """Yield the exchanges of all cases."""
    for pair in PAIRS:
        for file in sorted((TRANSLATION / pair).iterdir()):
            case = orjson.loads(file.read_bytes())
            assert file.name == f"{case['feature'].replace(' ', '-')}.json"
            for exchange in case["exchanges"]:
                yield Exchange(feature=case["feature"], pair=pair, **exchange)


def _event(event: Any) -> bytes:
    name = b"" if "type" not in event else f"event: {event['type']}\n".encode()
    return name + b"data: " + (event.encode() if isinstance(event, str) else orjson.dumps(event)) + b"\n\n"

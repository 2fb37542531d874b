"""Records how a real OpenAI-compatible server answers, into a folder under `fixtures/wire/`: see the README there."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import requests

_HELLO: Final = [{"role": "user", "content": "Say hello."}]
_SWITCH: Final = {
    "messages": [{"role": "user", "content": "Switch on the light."}],
    "max_tokens": 64,  # in fewer than about 50 the call does not come to its end
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "switch",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"on": {"type": "boolean"}},
                    "required": ["on"],
                    "additionalProperties": False,
                },
            },
        }
    ],
}
_THIS_ONE: Final = {"type": "function", "function": {"name": "switch"}}
_TOO_LONG: Final = [{"role": "user", "content": "a " * 520}]
_WITH_USAGE: Final = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Case:
    """A request whose answer is worth keeping; bytes are sent as they are, an object with `model` and `seed` added."""

    name: str
    path: str
    request: dict[str, Any] | bytes | None = None


_CHAT: Final = "/v1/chat/completions"
CASES: Final = (
    Case("models", "/v1/models"),
    Case("chat", _CHAT, {"messages": _HELLO, "max_tokens": 8}),
    Case("chat_stop", _CHAT, {"messages": _HELLO, "max_tokens": 8, "structured_outputs": {"choice": ["Hello."]}}),
    Case("chat_tools", _CHAT, {**_SWITCH, "tool_choice": _THIS_ONE}),
    Case("chat_tools_required", _CHAT, {**_SWITCH, "tool_choice": "required", "seed": 30}),
    Case("chat_stream", _CHAT, {"messages": _HELLO, "max_tokens": 8, "stream": True}),
    Case("chat_stream_usage", _CHAT, {"messages": _HELLO, "max_tokens": 8, **_WITH_USAGE}),
    Case("chat_stream_tools", _CHAT, {**_SWITCH, "tool_choice": _THIS_ONE, **_WITH_USAGE}),
    Case("completion", "/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8}),
    Case("completion_stream", "/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8, **_WITH_USAGE}),
    Case("messages", "/v1/messages", {"messages": _HELLO, "max_tokens": 8}),
    Case("messages_stream", "/v1/messages", {"messages": _HELLO, "max_tokens": 8, "stream": True}),
    Case("overflow", _CHAT, {"messages": _TOO_LONG, "max_tokens": 8}),
    Case("overflow_stream", _CHAT, {"messages": _TOO_LONG, "max_tokens": 8, "stream": True}),
    Case("overflow_messages", "/v1/messages", {"messages": _TOO_LONG, "max_tokens": 8}),
    Case("max_tokens_too_large", _CHAT, {"messages": _HELLO, "max_tokens": 100_000}),
    Case("model_not_found", _CHAT, {"model": "no-such-model", "messages": _HELLO, "max_tokens": 8}),
    Case("model_not_found_messages", "/v1/messages", {"model": "no-such-model", "messages": _HELLO, "max_tokens": 8}),
    Case("bad_request", _CHAT, {"messages": _HELLO, "max_tokens": 8, "temperature": -1}),
    Case("bad_request_field", _CHAT, {"max_tokens": 8}),
    Case("bad_json", _CHAT, b'{"messages": ['),
    Case(
        "no_images",
        _CHAT,
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
            ],
            "max_tokens": 8,
        },
    ),
    Case("not_found", "/v1/embeddings", {"input": "hello"}),
    Case("method_not_allowed", _CHAT),
)
# What only a server that was started with a key answers; everything else is recorded without one.
KEYED_CASES: Final = (Case("unauthorized", _CHAT, {"messages": _HELLO, "max_tokens": 8}),)


def record(case: Case, url: str, model: str, folder: Path) -> dict[str, Any]:
    """Ask the server, keep its body in the folder and return the case's entry in the index."""
    request = {"model": model, "seed": 26, **case.request} if isinstance(case.request, dict) else case.request
    answer = requests.request(
        "GET" if request is None else "POST",
        f"{url}{case.path}",
        data=orjson.dumps(request) if isinstance(request, dict) else request,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    is_stream = answer.headers["content-type"].startswith("text/event-stream")
    file = f"{case.name}.{'sse' if is_stream else 'json'}"
    # where a server keeps its files is nobody's business, and not the protocol's
    body = re.sub(rb'"root":"/[^"]*"', b'"root":"%b"' % model.encode(), answer.content)
    (folder / file).write_bytes(body)
    return {
        "file": file,
        "method": answer.request.method,
        "path": case.path,
        "request": request.decode() if isinstance(request, bytes) else request,
        "status": answer.status_code,
        "headers": {name: value for name, value in answer.headers.items() if name in {"content-type", "allow"}},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Record all cases of a server without a key, or those of a server with one."""
    parser = argparse.ArgumentParser(prog="python -m tests.record_wire", description=__doc__)
    parser.add_argument("url", help="the server's address without /v1")
    parser.add_argument("model", help="the name of a model there with a window of 512 tokens")
    parser.add_argument("folder", type=Path, help="where the files go, such as fixtures/wire/vllm")
    parser.add_argument("--server", required=True, help="the server's name and version, for the index")
    parser.add_argument("--keyed", action="store_true", help="the server asks for a key: record what it says without")
    given = parser.parse_args(argv)
    index_file: Path = given.folder / "index.json"
    known = orjson.loads(index_file.read_bytes())["cases"] if index_file.exists() else {}
    cases = KEYED_CASES if given.keyed else CASES
    taken = {case.name: record(case, given.url, given.model, given.folder) for case in cases}
    index = {"server": given.server, "cases": {**known, **taken}}
    index_file.write_bytes(orjson.dumps(index, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()

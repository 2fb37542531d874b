"""Entries of calls for tests."""

from typing import Any

from accounts.entries import AttemptEntry, CallEntry


def an_attempt(**fields: Any) -> AttemptEntry:
    """An attempt that answered with 10 + 5 tokens for 30 micro-dollars."""
    whole: dict[str, Any] = {
        "model": "small",
        "provider": "echo",
        "phase": "",
        "status": 200,
        "error": "",
        "ms": 12.5,
        "ttft_ms": 3.5,
        "reason": "stop",
        "uncached": 10,
        "cache_read": 0,
        "cache_write": 0,
        "cache_write_1h": 0,
        "output": 5,
        "reasoning": 0,
        "estimated": False,
        "cost_micro": 30,
        "prices": (2_000_000,) * 5,
        "dropped": (),
    }
    return AttemptEntry(**whole | fields)


def a_call(call_id: str = "req_1", *attempts: AttemptEntry, **fields: Any) -> CallEntry:
    """A call that one attempt answered, unless others are given."""
    whole: dict[str, Any] = {
        "id": call_id,
        "at": 1_795_600_000.5,
        "endpoint": "POST /v1/chat/completions",
        "status": 200,
        "error": "",
        "stream": False,
        "key": None,
        "team": None,
        "asked": "auto",
        "session": "",
        "user": "",
        "ms": 20.0,
        "attempts": attempts or (an_attempt(),),
        "decisions": (),
    }
    return CallEntry(**whole | fields)

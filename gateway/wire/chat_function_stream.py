"""Answers of chat completions that call a function where others call tools, written from pieces.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from typing import Any

from gateway.conversation import CallArguments, CallBegins, Piece
from gateway.wire import chat_stream
from gateway.wire.fields import as_objects


class StreamWriter(chat_stream.StreamWriter):
    """Writes the events of a stream whose only call is that of a function."""

    reasons = {**chat_stream.REASONS, "tool_calls": "function_call"}

    def delta(self, piece: Piece) -> dict[str, Any]:
        """Return what a chunk says of a piece."""
        match piece:
            case CallBegins(0, _, name):
                return {"function_call": {"name": name, "arguments": ""}}
            case CallArguments(0, text):
                return {"function_call": {"arguments": text}} if text else {}
            case CallBegins() | CallArguments():
                return {}
        return super().delta(piece)


class WholeWriter(chat_stream.WholeWriter):
    """Writes one chat completion whose only call is that of a function."""

    reasons = {**chat_stream.REASONS, "tool_calls": "function_call"}

    def calls(self, reason: str) -> dict[str, Any]:
        """Return the first call of the answer."""
        told = as_objects(super().calls(reason).get("tool_calls"))
        return {"function_call": told[0]["function"]} if told else {}

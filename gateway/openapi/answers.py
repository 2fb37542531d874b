"""What the endpoints answer, described: whole answers and the data of events, as the writers in `wire` write them.

A relayed answer is its provider's own, and may have further fields.
"""

from collections.abc import Mapping
from typing import Final

from gateway.openapi.schemas import (
    ANYTHING,
    Schema,
    among,
    constant,
    either,
    listed,
    mapped,
    number,
    or_null,
    ref,
    switch,
    text,
    thing,
    whole,
)

_COUNT: Final = whole(minimum=0)
_DECISION: Final = {"tokenhub": ref("Decision")}
_DETAILS: Final = {
    "prompt_tokens_details": thing({"cached_tokens": _COUNT, "cache_write_tokens": _COUNT}),
    "completion_tokens_details": thing({"reasoning_tokens": _COUNT}),
}
_COUNTS: Final = {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT, **_DETAILS}
_CALL: Final = {
    "id": text(),
    "type": constant("function"),
    "function": thing({"name": text(), "arguments": text("JSON of an object.")}),
}
_SAID: Final = {
    "content": or_null(text()),
    "refusal": or_null(text()),
    "reasoning_content": text("What the model thought, as far as it shows that."),
    "thinking_blocks": listed(mapped(ANYTHING), "The same for the next turn, by which the model knows it again."),
}
_CALLED: Final = thing({"name": text(), "arguments": text()}, about="Of callers who offer `functions`.")
_HEAD: Final = {"id": text(), "created": whole("Unix seconds."), "model": text("The id of the model that answered.")}


def _choice(said: Mapping[str, Schema], reasons: tuple[str, ...], *, ended: bool) -> Schema:
    reason = among(reasons)
    fields = {"index": _COUNT, **said, "logprobs": ANYTHING, "finish_reason": reason if ended else or_null(reason)}
    return thing(fields, optional=("logprobs",))


_CHAT_REASONS: Final = ("stop", "length", "tool_calls", "content_filter", "function_call")
_TEXT_REASONS: Final = ("stop", "length", "content_filter")
_ROLE: Final = constant("assistant")
_MESSAGE: Final = thing(
    {"role": _ROLE, **_SAID, "tool_calls": listed(thing(_CALL)), "function_call": _CALLED},
    optional=("refusal", "reasoning_content", "thinking_blocks", "tool_calls", "function_call"),
)
_CALL_DELTA: Final = thing(
    {
        "index": _COUNT,
        **_CALL,
        "function": thing({"name": text(), "arguments": text()}, optional=("name", "arguments")),
    },
    optional=("id", "type", "function"),
)
_DELTA: Final = thing(
    {"role": _ROLE, **_SAID, "tool_calls": listed(_CALL_DELTA), "function_call": mapped(text())},
    optional=("role", *_SAID, "tool_calls", "function_call"),
)
_WORDS: Final = {"text": text()}
_OPENAI: Final[Mapping[str, Schema]] = {
    "Usage": thing(_COUNTS, about="Tokens; the prompt counts the cached ones as well.", optional=tuple(_DETAILS)),
    "ChatCompletion": thing(
        {
            **_HEAD,
            "object": constant("chat.completion"),
            "choices": listed(_choice({"message": _MESSAGE}, _CHAT_REASONS, ended=True), minItems=1),
            "usage": ref("Usage"),
            **_DECISION,
        },
        optional=("usage", *_DECISION),
    ),
    "ChatCompletionChunk": thing(
        {
            **_HEAD,
            "object": constant("chat.completion.chunk"),
            "choices": listed(_choice({"delta": _DELTA}, _CHAT_REASONS, ended=False)),
            "usage": either(ref("Usage"), {"type": "null"}),
        },
        optional=("usage",),
    ),
    "TextCompletion": thing(
        {
            **_HEAD,
            "object": constant("text_completion"),
            "choices": listed(_choice(_WORDS, _TEXT_REASONS, ended=True), minItems=1),
            "usage": ref("Usage"),
            **_DECISION,
        },
        optional=("usage", *_DECISION),
    ),
    "TextCompletionChunk": thing(
        {
            **_HEAD,
            "object": constant("text_completion"),
            "choices": listed(_choice(_WORDS, _TEXT_REASONS, ended=False)),
            "usage": either(ref("Usage"), {"type": "null"}),
        },
        optional=("usage",),
    ),
    "Embeddings": thing(
        {
            "object": constant("list"),
            "data": listed(
                thing(
                    {
                        "object": constant("embedding"),
                        "index": _COUNT,
                        "embedding": either(listed(number()), text("The numbers as 32-bit floats, in base64.")),
                    }
                )
            ),
            "model": text(),
            "usage": thing({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
            **_DECISION,
        },
        optional=tuple(_DECISION),
    ),
}

_RESPONSES: Final[Mapping[str, Schema]] = {
    "Response": thing(
        {
            "id": text(),
            "object": constant("response"),
            "created_at": number("Unix seconds."),
            "status": among(("in_progress", "completed", "incomplete", "failed")),
            "model": text(),
            "output": listed(
                thing({"type": text(examples=["message", "reasoning", "function_call"])}),
                "Messages, reasoning and calls, in their order.",
            ),
            "usage": either(
                thing({"input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT}), {"type": "null"}
            ),
            "error": or_null(thing({"code": text(), "message": text()})),
            "incomplete_details": or_null(thing({"reason": text()})),
            **_DECISION,
        },
        optional=("usage", "error", "incomplete_details", *_DECISION),
    ),
    "ResponseEvent": thing(
        {
            "type": text("The name of the event.", pattern=r"^response\."),
            "sequence_number": _COUNT,
            "response": ref("Response"),
        },
        optional=("response",),
    ),
}

_BLOCK: Final = thing({"type": text(examples=["text", "thinking", "tool_use"])})
_ANTHROPIC_USAGE: Final = thing(
    {
        "input_tokens": whole("Without those that were cached.", minimum=0),
        "cache_creation_input_tokens": or_null(_COUNT),
        "cache_read_input_tokens": or_null(_COUNT),
        "output_tokens": _COUNT,
    },
    optional=("cache_creation_input_tokens", "cache_read_input_tokens"),
)
_ANTHROPIC: Final[Mapping[str, Schema]] = {
    "MessageAnswer": thing(
        {
            "id": text(),
            "type": constant("message"),
            "role": _ROLE,
            "model": text(),
            "content": listed(_BLOCK),
            "stop_reason": or_null(text(examples=["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"])),
            "stop_sequence": or_null(text()),
            "usage": _ANTHROPIC_USAGE,
            **_DECISION,
        },
        optional=tuple(_DECISION),
    ),
    "MessageEvent": thing(
        {
            "type": text(
                "The name of the event.",
                examples=["message_start", "content_block_delta", "message_delta", "message_stop", "ping", "error"],
            ),
            "index": whole("The block's.", minimum=0),
            "message": ref("MessageAnswer"),
            "content_block": _BLOCK,
            "delta": mapped(ANYTHING),
            "usage": mapped(ANYTHING),
        },
        optional=("index", "message", "content_block", "delta", "usage"),
    ),
    "TokenCount": thing({"input_tokens": _COUNT, **_DECISION}, optional=tuple(_DECISION)),
}

_PLAN: Final = or_null(text())
_PHASE_USAGE: Final = thing({**_COUNTS, "estimated": switch()}, optional=tuple(_DETAILS))
_PAID: Final = {
    "total_tokens": _COUNT,
    "usage": mapped(_PHASE_USAGE, "By phase, of all rounds together."),
    "cost_usd": mapped(number(minimum=0), "US dollars by phase, and their `total`."),
}
_PLANNED: Final = {
    "original_prompt": text(),
    "initial_plan": _PLAN,
    "critique": _PLAN,
    "refined_plan": _PLAN,
    "models": thing({"planner": _PLAN, "critic": _PLAN}),
    "rounds": listed(thing({"round": whole(minimum=1), "critique": _PLAN, "refined_plan": _PLAN})),
    "degraded": switch("Whether a model criticised its own plan."),
}
_PLACE: Final = {"phase": among(("plan", "critique", "refine")), "round": whole(minimum=1)}
_FLOWS: Final[Mapping[str, Schema]] = {
    "AdversarialAnswer": thing({**_PLANNED, **_PAID, "request_id": text(), **_DECISION}, optional=tuple(_DECISION)),
    "PhaseStarted": thing(_PLACE),
    "PhaseDelta": thing({**_PLACE, "delta": text()}),
    "PhaseCompleted": thing(
        {
            **_PLACE,
            "text": text(),
            "finish_reason": text(),
            "model": text(),
            "provider": text(),
            "usage": _PHASE_USAGE,
            "cost_usd": number(minimum=0),
        }
    ),
}

_OPENAI_MODEL: Final = thing(
    {"id": text(), "object": constant("model"), "created": whole("Unix seconds."), "owned_by": text("The provider.")}
)
_ANTHROPIC_MODEL: Final = thing(
    {
        "type": constant("model"),
        "id": text(),
        "display_name": text(),
        "created_at": text(format="date-time"),
        "lifecycle": constant("active"),
        "max_input_tokens": or_null(whole()),
        "max_tokens": or_null(whole()),
    }
)
_HEALTH: Final = {"status": among(("ready", "degraded", "unavailable")), "reasons": listed(text())}
_OTHERS: Final[Mapping[str, Schema]] = {
    "Model": either(_OPENAI_MODEL, _ANTHROPIC_MODEL, about="In Anthropic's shape where `anthropic-version` is sent."),
    "Models": either(
        thing({"object": constant("list"), "data": listed(_OPENAI_MODEL)}),
        thing(
            {
                "data": listed(_ANTHROPIC_MODEL),
                "has_more": switch(),
                "first_id": or_null(text()),
                "last_id": or_null(text()),
            }
        ),
        about="In Anthropic's shape where `anthropic-version` is sent.",
    ),
    "Healthy": thing({"status": constant("healthy")}),
    "Readiness": thing(_HEALTH),
    "Document": thing({"openapi": text(), "info": mapped(ANYTHING), "paths": mapped(ANYTHING)}, about="This document."),
    "BookedCall": thing(
        {
            "request_id": text(),
            "at": text("When it began.", format="date-time"),
            "endpoint": text(),
            "status": whole(minimum=0),
            "error": or_null(text()),
            "stream": switch(),
            "asked": or_null(text("What was named as the model.")),
            "model": or_null(text("Which answered, or was the last not to.")),
            "provider": or_null(text()),
            "session": or_null(text()),
            "user": or_null(text()),
            "ms": number(minimum=0),
            "ttft_ms": or_null(number(minimum=0)),
            "usage": ref("BookedUsage"),
            "cost_usd": or_null(number("Null where nobody said what a model costs.", minimum=0)),
            "attempts": listed(mapped(ANYTHING), "What was tried, each with its usage and what it cost."),
            "decisions": listed(mapped(ANYTHING), "For each model that was looked for: who can serve, and who not."),
        }
    ),
    "KeyUsage": thing(
        {
            "object": constant("usage"),
            "from": text(format="date"),
            "to": text(format="date"),
            "data": listed(ref("UsageLine")),
            "total": ref("UsageLine"),
            "budgets": listed(
                mapped(ANYTHING), "Each with its period, its limit, and what is spent and reserved of it."
            ),
            "limits": mapped(or_null(number()), "Of the key and its team, the smaller ones."),
        }
    ),
    "UsageLine": thing(
        {
            **{name: text() for name in ("day", "model", "provider")},
            **dict.fromkeys(
                ("attempts", "failed", "unpriced", "input", "cache_read", "cache_write", "output", "reasoning"), _COUNT
            ),
            "cost_usd": number("Without the attempts that are `unpriced`.", minimum=0),
        },
        optional=("day", "model", "provider"),
    ),
    "BookedUsage": thing(
        dict.fromkeys(("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning"), _COUNT)
        | {"estimated": switch("Whether a provider told none of it.")}
    ),
    "Decision": thing(
        {
            "request_id": text(),
            "decisions": listed(mapped(ANYTHING), "For each model that was looked for: who can serve, and who not."),
            "attempts": listed(mapped(ANYTHING), "What was tried."),
            "cost_micro": whole("Millionths of a US dollar.", minimum=0),
        },
        about="Why the request went where it went, for those who ask it to `explain`.",
    ),
}

SCHEMAS: Final[Mapping[str, Schema]] = {**_OPENAI, **_RESPONSES, **_ANTHROPIC, **_FLOWS, **_OTHERS}

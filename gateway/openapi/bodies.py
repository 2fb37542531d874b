"""What a caller sends to each endpoint, described: the fields that the gateway reads; all others are passed on.

A field has the type and the bounds that its reader in `gateway.wire` checks, some of them only where the model that
answers speaks another format.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.exchange import LONGEST_NAME
from gateway.flows import FLOWS, PREFIX
from gateway.flows.base import MOST_ROUNDS
from gateway.lineup import AUTO
from gateway.openapi import routing
from gateway.openapi.schemas import (
    ANYTHING,
    Schema,
    among,
    asked,
    constant,
    either,
    listed,
    mapped,
    number,
    ref,
    switch,
    text,
    whole,
)
from gateway.wire.embeddings import ENCODINGS

_VIRTUAL: Final = ", ".join(f"`{PREFIX}{name}`" for name in FLOWS)
_OPTIONS: Final = sorted({*(option for flow in FLOWS.values() for option in flow.options), "max_total_cost_usd"})
_MODEL: Final = text(
    f"An id, an alias, `{AUTO}` or a flow ({_VIRTUAL}); the best there is where it is left out.", maxLength=LONGEST_NAME
)
_STREAM: Final = switch("Whether the answer comes as a stream of events.", default=False)
_TOKENS: Final = whole("The most tokens of the answer.", minimum=1)
_STOP: Final = either(text(), listed(text()), about="Texts before which the answer ends.")
_SAMPLING: Final = {"temperature": number(minimum=0), "top_p": number(minimum=0)}
_TOP_K: Final = {"top_k": whole(minimum=1)}
_USER: Final = {"user": text("Who asks, in the caller's own words.")}
_STREAM_OPTIONS: Final = {
    "stream_options": asked({"include_usage": switch("Whether a stream ends with the usage.")}),
}
_PROMPTS: Final = either(
    text(minLength=1),
    listed(text(minLength=1), minItems=1),
    listed(whole(), "The numbers of tokens.", minItems=1),
    listed(listed(whole(), minItems=1), minItems=1),
    about="A text, or a list of them; also as numbers of tokens, where the model takes them.",
)
# A flow's own options are checked only where a flow is asked.
_OF_FLOWS: Final = {
    name: {"description": f"Of the virtual models ({_VIRTUAL}): see `/v1/adversarial`."} for name in _OPTIONS
}

_FORM: Final = asked({"schema": mapped(ANYTHING), "name": text(), "description": text(), "strict": switch()})
_CHAT_SETTINGS: Final = {
    "stream": _STREAM,
    **_STREAM_OPTIONS,
    "max_completion_tokens": _TOKENS,
    "max_tokens": whole("The older name of the same.", minimum=1),
    **_SAMPLING,
    **_TOP_K,
    "stop": _STOP,
    "tools": listed(ref("ChatTool")),
    "tool_choice": either(
        among(("auto", "none", "required")),
        mapped(ANYTHING, 'A function, as `{"type": "function", "function": {"name": …}}`.'),
    ),
    "parallel_tool_calls": switch(),
    "response_format": either(
        asked({"type": constant("text")}, required=("type",)),
        asked({"type": constant("json_object"), "schema": mapped(ANYTHING)}, required=("type",)),
        asked({"type": constant("json_schema"), "json_schema": _FORM}, required=("type", "json_schema")),
        about="The form of the answer.",
    ),
    "reasoning_effort": {"description": "How much the model is to think, such as `low`."},
    **_USER,
}
_CHAT: Final = {
    "messages": listed(ref("ChatMessage"), "What was said so far.", minItems=1),
    "model": _MODEL,
    **_CHAT_SETTINGS,
}
_COMPLETION: Final = {
    "prompt": _PROMPTS,
    "model": _MODEL,
    "stream": _STREAM,
    **_STREAM_OPTIONS,
    "max_tokens": whole("The most tokens of the answer; 0, with `echo`, at models for completions only.", minimum=0),
    **_SAMPLING,
    **_TOP_K,
    "stop": _STOP,
    **_USER,
}
_RESPONSE: Final = {
    "input": either(
        text(minLength=1), listed(ref("ResponseItem"), minItems=1), about="All that was said so far: no state is kept."
    ),
    "model": _MODEL,
    "instructions": text("What the system says."),
    "stream": _STREAM,
    "max_output_tokens": _TOKENS,
    **_SAMPLING,
    "tools": listed(ref("ResponseTool")),
    "tool_choice": either(among(("auto", "none", "required")), mapped(ANYTHING, "A tool, with its `name`.")),
    "parallel_tool_calls": switch(),
    "text": asked({"format": mapped(ANYTHING, "The form of the answer: `text`, `json_object` or `json_schema`.")}),
    "reasoning": asked({"effort": {"description": "How much the model is to think, such as `low`."}}),
    "include": listed(text()),
    **_USER,
}
_EMBEDDING: Final = {
    "input": _PROMPTS,
    "model": text("An id or an alias; needed, unless `models` names some.", maxLength=LONGEST_NAME),
    "dimensions": whole("How long the vectors are to be.", minimum=1),
    "encoding_format": among(ENCODINGS, "Numbers, or their bytes in base64."),
}
_ALONE: Final = {"disable_parallel_tool_use": switch()}
_MESSAGE: Final = {
    "messages": listed(ref("Message"), "What was said so far.", minItems=1),
    "model": _MODEL,
    "max_tokens": whole(
        "The most tokens of the answer; as many as there is room for by default, 0 to fill a cache.",
        minimum=0,
    ),
    "system": either(text(), listed(ref("MessageText")), about="What the system says."),
    "stream": _STREAM,
    **_SAMPLING,
    **_TOP_K,
    "stop_sequences": listed(text(), "Texts before which the answer ends."),
    "tools": listed(ref("MessageTool")),
    "tool_choice": either(
        asked({"type": among(("auto", "any", "none")), **_ALONE}, required=("type",)),
        asked({"type": constant("tool"), "name": text(), **_ALONE}, required=("type", "name")),
    ),
    "thinking": asked(
        {"type": text(examples=["enabled", "disabled", "adaptive"]), "budget_tokens": whole(minimum=1)},
        required=("type",),
    ),
    "output_config": asked({"effort": text(), "format": mapped(ANYTHING, "The form of the answer.")}),
    "metadata": asked({"user_id": text("Who asks, in the caller's own words.")}),
}
_NAMED: Final = text("An id or an alias; the router chooses where it is left out.", maxLength=LONGEST_NAME)
_ADVERSARIAL: Final = {
    "prompt": text("What is to be planned; or else `messages`.", minLength=1),
    "messages": listed(ref("ChatMessage"), "The same as a conversation.", minItems=1),
    "system": text("What the system says."),
    "planner": _NAMED,
    "critic": _NAMED,
    "rounds": whole("How often the plan is criticised and refined.", minimum=1, maximum=MOST_ROUNDS, default=1),
    "max_total_cost_usd": number("US dollars that all phases may cost together.", minimum=0),
    "stream": _STREAM,
    "max_completion_tokens": _TOKENS,
    "max_tokens": whole("The older name of the same.", minimum=1),
    "temperature": number(minimum=0),
}


def _body(fields: Mapping[str, Schema], *required: str, about: str) -> Schema:
    return asked({**fields, **routing.FIELDS}, required=required, about=about)


def _given(name: str, kind: str) -> Schema:
    """Return an object in which a field is there and is not null."""
    return {"required": [name], "properties": {name: {"type": kind}}}


SCHEMAS: Final[Mapping[str, Schema]] = {
    "ChatRequest": _body({**_CHAT, **_OF_FLOWS}, "messages", about="A chat in OpenAI's format."),
    "CompletionRequest": _body({**_COMPLETION, **_OF_FLOWS}, "prompt", about="A text completion in OpenAI's format."),
    "ResponseRequest": _body({**_RESPONSE, **_OF_FLOWS}, "input", about="A response in OpenAI's newer format."),
    "EmbeddingRequest": _body(_EMBEDDING, "input", about="Embeddings in OpenAI's format."),
    "MessageRequest": _body({**_MESSAGE, **_OF_FLOWS}, "messages", about="A message in Anthropic's format."),
    "CountRequest": _body(_MESSAGE, "messages", about="The message whose tokens are to be counted."),
    "AdversarialRequest": {
        **_body(_ADVERSARIAL, about="A plan that is to be criticised and refined."),
        "oneOf": [_given("prompt", "string"), _given("messages", "array")],
    },
}

_HELLO: Final = {"messages": [{"role": "user", "content": "Hello, hub"}]}
EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ChatRequest": _HELLO,
    "CompletionRequest": {"prompt": "Hello, hub", "max_tokens": 50},
    "ResponseRequest": {"input": "Hello, hub"},
    "EmbeddingRequest": {"model": "echo-embedding", "input": "Hello, hub"},
    "MessageRequest": {"max_tokens": 50, **_HELLO},
    "CountRequest": _HELLO,
    "AdversarialRequest": {"prompt": "Plan the move of a database without downtime.", "rounds": 1},
}
"""A body for each, which the models of the demo configuration answer."""

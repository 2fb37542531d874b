"""The endpoints, one row each: what is asked, what is answered, and how it is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway import errors
from gateway.openapi import refusals
from gateway.openapi.refusals import Kinds
from gateway.openapi.schemas import Schema, constant, ref, text, whole
from gateway.wire.anthropic import MOST_MODELS

OPENAI: Final = "OpenAIError"
ANTHROPIC: Final = "AnthropicError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address with the one method that it has, besides HEAD where that is GET, and OPTIONS."""

    path: str
    name: str
    """Its name among the addresses, and the id of the operation."""
    tag: str
    summary: str
    about: str = ""
    body: str = ""
    """The schema of its body; empty for a GET."""
    answer: str
    """The schema of a whole answer, or the type of an answer that is no JSON."""
    events: Sequence[tuple[str, Schema]] = ()
    """The events of a stream: their names, empty where they have none, and their data."""
    headers: Sequence[Mapping[str, Any]] = ()
    """What may be sent beside the headers for the router, which every endpoint with models takes."""
    path_parameters: Mapping[str, Schema] | None = None
    shapes: Sequence[str] = (OPENAI,)
    """The shapes of its refusals."""
    refusals: Kinds = ()
    """Beside what any endpoint may answer."""
    relayed: bool = False
    """Whether a provider's own refusals and headers may be part of the answer."""
    also: Mapping[int, tuple[str, str]] | None = None
    """Further statuses that are no refusals: the schema and what they mean."""
    is_public: bool = False
    """Whether it needs no key even where others do."""
    is_plain: bool = False
    """Whether it stands outside the API: without a record of the call, and a wrong method is told without words."""

    @property
    def method(self) -> str:
        """POST where there is a body."""
        return "post" if self.body else "get"


_DONE: Final = ("", constant("[DONE]"))
_MODELS: Final = (*refusals.BODY, *refusals.ROUTE, *refusals.PROVIDERS)
_BY_FLOWS_AS_WELL: Final = (*_MODELS, *refusals.FLOW)
_VERSION: Final = {
    "name": "anthropic-version",
    "in": "header",
    "required": False,
    "schema": text(examples=["2023-06-01"]),
}
_BETA: Final = {"name": "anthropic-beta", "in": "header", "required": False, "schema": text()}
_OF_ANTHROPIC: Final = (
    _VERSION | {"description": "Goes to Anthropic's models as it came, like all headers of this kind."},
    _BETA | {"description": "Goes to Anthropic's models as it came, beside the betas of the provider's row."},
)
_CHOOSES_SHAPE: Final = (_VERSION | {"description": "Any value asks for Anthropic's shape."},)
_PAGES: Final = tuple(
    {"name": name, "in": "query", "required": False, "schema": schema, "description": f"In Anthropic's shape: {told}"}
    for name, schema, told in (
        ("limit", whole(minimum=1, maximum=MOST_MODELS), "how many at most; all, where it is left out."),
        ("after_id", text(), "only those that come after this id."),
        ("before_id", text(), "only those that come before this id."),
    )
)
_SPAN: Final = (
    *(
        {"name": name, "in": "query", "required": False, "schema": text(format="date"), "description": about}
        for name, about in (
            ("from", "The first day, in UTC; of this month unless given."),
            ("to", "The last day; today unless given. At most 366 days are told."),
        )
    ),
    {
        "name": "group_by",
        "in": "query",
        "required": False,
        "schema": text(examples=["day,model"]),
        "description": "What the lines are of: some of `day`, `model`, `provider`, between commas; all unless given.",
    },
)
_EXCLUDES: Final = (
    {
        "name": "exclude",
        "in": "query",
        "required": False,
        "schema": text(examples=["database"]),
        "description": "`database`: only degraded while the database is away, which it is for all gateways at once.",
    },
)
_MESSAGE_EVENTS: Final = tuple(
    (name, ref("MessageEvent"))
    for name in (
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "ping"),
    )
)
_RESPONSE_EVENTS: Final = tuple(
    f"response.{name}"
    for name in (
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
        *("content_part.done", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "function_call_arguments.delta"),
        *("function_call_arguments.done", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("output_item.done", "completed", "incomplete", "failed"),
    )
)
_GENERATION, _REGISTRY = "Models at work", "What there is"
_ACCOUNT, _SERVER = "What it cost", "The server"

ENDPOINTS: Final[Sequence[Endpoint]] = (
    Endpoint(
        path="/v1/chat/completions",
        name="chat-completions",
        tag=_GENERATION,
        summary="Chat in OpenAI's format",
        body="ChatRequest",
        answer="ChatCompletion",
        events=(("", ref("ChatCompletionChunk")), ("", ref(OPENAI)), _DONE),
        refusals=_BY_FLOWS_AS_WELL,
        relayed=True,
    ),
    Endpoint(
        path="/v1/completions",
        name="completions",
        tag=_GENERATION,
        summary="Text that goes on from a prompt, in OpenAI's format",
        about="Models for chat answer as well: the prompt is what the user says.",
        body="CompletionRequest",
        answer="TextCompletion",
        events=(("", ref("TextCompletionChunk")), ("", ref(OPENAI)), _DONE),
        refusals=_BY_FLOWS_AS_WELL,
        relayed=True,
    ),
    Endpoint(
        path="/v1/responses",
        name="responses",
        tag=_GENERATION,
        summary="A response in OpenAI's newer format",
        about="No state is kept: what refers to an earlier response is refused, and earlier items stand in `input`.",
        body="ResponseRequest",
        answer="Response",
        events=tuple((name, ref("ResponseEvent")) for name in _RESPONSE_EVENTS),
        refusals=_BY_FLOWS_AS_WELL,
        relayed=True,
    ),
    Endpoint(
        path="/v1/embeddings",
        name="embeddings",
        tag=_GENERATION,
        summary="Vectors of texts, in OpenAI's format",
        about="By the model that is named and no other: vectors of different models cannot be compared.",
        body="EmbeddingRequest",
        answer="Embeddings",
        refusals=_MODELS,
        relayed=True,
    ),
    Endpoint(
        path="/v1/messages",
        name="messages",
        tag=_GENERATION,
        summary="A message in Anthropic's format",
        body="MessageRequest",
        answer="MessageAnswer",
        events=(*_MESSAGE_EVENTS, ("error", ref(ANTHROPIC))),
        headers=_OF_ANTHROPIC,
        shapes=(ANTHROPIC,),
        refusals=_BY_FLOWS_AS_WELL,
        relayed=True,
    ),
    Endpoint(
        path="/v1/messages/count_tokens",
        name="count-tokens",
        tag=_GENERATION,
        summary="How many tokens a message would take",
        about="As the provider counts them that would answer, where it does so in time; else an estimate.",
        body="CountRequest",
        answer="TokenCount",
        headers=_OF_ANTHROPIC,
        shapes=(ANTHROPIC,),
        refusals=(*refusals.BODY, *refusals.CHOICE, *refusals.KEYS, errors.NotAllowed),
        relayed=True,
    ),
    Endpoint(
        path="/v1/adversarial",
        name="adversarial",
        tag=_GENERATION,
        summary="One model plans, another criticises, the first refines",
        body="AdversarialRequest",
        answer="AdversarialAnswer",
        events=(
            ("phase.started", ref("PhaseStarted")),
            ("phase.delta", ref("PhaseDelta")),
            ("phase.completed", ref("PhaseCompleted")),
            ("result", ref("AdversarialAnswer")),
            ("error", ref(OPENAI)),
        ),
        refusals=_BY_FLOWS_AS_WELL,
        relayed=True,
    ),
    Endpoint(
        path="/v1/models",
        name="models",
        tag=_REGISTRY,
        summary="The models that can be called, the aliases of several, and the virtual models",
        answer="Models",
        headers=(*_CHOOSES_SHAPE, *_PAGES),
        shapes=(OPENAI, ANTHROPIC),
        refusals=(errors.InvalidRequest, *refusals.KEYS),
    ),
    Endpoint(
        path="/v1/models/{name}",
        name="model",
        tag=_REGISTRY,
        summary="One model",
        answer="Model",
        headers=_CHOOSES_SHAPE,
        path_parameters={"name": text("An id or an alias; it may contain slashes.", examples=["echo-1"], minLength=1)},
        shapes=(OPENAI, ANTHROPIC),
        refusals=(errors.ModelNotFound, errors.NotFound, *refusals.KEYS),
    ),
    Endpoint(
        path="/v1/decisions/{request_id}",
        name="decision",
        tag=_ACCOUNT,
        summary="Why a call of yours went where it went, and what it cost",
        about="For the key that made the call, a moment after it ended.",
        answer="BookedCall",
        path_parameters={"request_id": text("As `x-tokenhub-request-id` told it.", examples=["req_0"], minLength=1)},
        refusals=(errors.NotFound, *refusals.KEYS),
    ),
    Endpoint(
        path="/v1/usage",
        name="usage",
        tag=_ACCOUNT,
        summary="What your key has used and spent, and what is left of its budgets",
        answer="KeyUsage",
        headers=_SPAN,
        refusals=(errors.InvalidRequest, *refusals.KEYS),
    ),
    Endpoint(
        path="/v1/openapi.json",
        name="openapi",
        tag=_REGISTRY,
        summary="This document",
        answer="Document",
        is_public=True,
    ),
    Endpoint(
        path="/v1/docs",
        name="docs",
        tag=_REGISTRY,
        summary="This document as a page to read",
        answer="text/html; charset=utf-8",
        is_public=True,
    ),
    Endpoint(
        path="/health",
        name="health",
        tag=_SERVER,
        summary="Whether the process answers",
        answer="Healthy",
        is_plain=True,
    ),
    Endpoint(
        path="/health/live",
        name="live",
        tag=_SERVER,
        summary="Whether the process answers, under the name that orchestrators ask for",
        answer="Healthy",
        is_plain=True,
    ),
    Endpoint(
        path="/health/ready",
        name="ready",
        tag=_SERVER,
        summary="Whether requests may be sent here",
        answer="Readiness",
        headers=_EXCLUDES,
        also={503: ("Readiness", "No requests may be sent here, for the reasons that are told.")},
        is_plain=True,
    ),
)

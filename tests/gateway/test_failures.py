"""What a provider's refusal is taken for, by status, code and words."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from gateway import errors
from gateway.wire import failures
from tests.recordings import SERVERS, recordings


def classify(status: int, body: Any, **headers: str) -> errors.ProviderFailure:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return failures.classify(status, headers, raw, provider="p", secret="sk-canary-123")


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


def test_it_works() -> None:
    failure = classify(400, said("Unknown parameter: 'foo'."))
    assert isinstance(failure, errors.Rejected)
    assert failure.status == failure.upstream_status == 400
    assert failure.body == said("Unknown parameter: 'foo'.")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, said("Incorrect API key provided"), errors.CredentialsRefused),
        (403, {"error": "Unauthorized"}, errors.PermissionRefused),
        (402, said("Payment required"), errors.QuotaSpent),
        (429, said("You exceeded your current quota", code="insufficient_quota"), errors.QuotaSpent),
        (429, said("Rate limit reached: maximum context length is not it"), errors.RateLimited),
        (403, said("Your input was flagged by moderation"), errors.Rejected),
        (404, {"detail": "Not Found"}, errors.UnknownThere),
        (404, b"<html>404</html>", errors.UnknownThere),
        (404, said("File Not Found"), errors.UnknownThere),
        (404, said("No endpoints found for x/y."), errors.UnknownThere),
        (404, said("No endpoints found that support tool use."), errors.Doubtful),
        (404, said("Invalid URL (POST /v1/v1/chat/completions)"), errors.Doubtful),
        (404, said("Requested entity was not found."), errors.Doubtful),
        (404, {"detail": "Image img_1 not found"}, errors.Rejected),
        (403, said("Your account was flagged for breaking our usage policies"), errors.PermissionRefused),
        (400, said("Invalid value: 'credit balance is too low'. Supported values are: 'low'."), errors.Rejected),
        (400, said("Invalid value: 'unknown model'."), errors.Rejected),
        (400, said("Your credit balance is too low to access the API."), errors.QuotaSpent),
        (400, said("API key not valid. Please pass a valid API key."), errors.CredentialsRefused),
        (400, said("Model Not Exist"), errors.UnknownThere),
        (413, said("Request too large: tokens per minute (TPM)", code="rate_limit_exceeded"), errors.RateLimited),
        (404, said("The API deployment for this resource does not exist."), errors.UnknownThere),
        (404, said("No such File object: file-abc"), errors.Rejected),
        (404, said("Item with id 'rs_1' not found."), errors.Rejected),
        (400, said("`logprobs` is not supported with this model."), errors.Rejected),
        (404, said("The model `m` does not exist.", code="model_not_found"), errors.UnknownThere),
        (400, said("The model `m` does not exist."), errors.UnknownThere),
        (408, b"", errors.Overloaded),
        (500, b"Internal Server Error", errors.Broken),
        (502, b"<html>Bad gateway</html>", errors.Overloaded),
        (503, said("overloaded"), errors.Overloaded),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, errors.Overloaded),
        (301, b"", errors.Broken),
        (204, b"", errors.Broken),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, errors.Rejected),
        (413, said("Request too large"), errors.Rejected),
    ],
)
def test_the_kind_of_failure(status: int, body: Any, kind: type[errors.ProviderFailure]) -> None:
    failure = classify(status, body)
    assert type(failure) is kind
    assert failure.upstream_status == status


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, said("…", code="context_length_exceeded")),
        (400, said("This model's maximum context length is 4096 tokens.")),
        (400, said("Your input exceeds the context window of this model.")),
        (
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
            },
        ),
        (400, said("input length and `max_tokens` exceed context limit: 3 + 2 > 2")),
        (400, said("The input (9 tokens) is longer than the model's context length (8 tokens).")),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            },
        ),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"}),
        (400, said("The input token count (9) exceeds the maximum number of tokens allowed (8).")),
        (400, {"message": "Input is too long for requested model."}),
        (413, {"message": "Too many input tokens"}),
        (400, said("The decoder prompt (length 9000) is longer than the maximum model length of 4096")),
        (400, said("This model's maximum prompt length is 131072 but the request contains 140000 tokens.")),
        (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}),
        (400, b"prompt too long"),
    ],
)
def test_an_overflow_in_every_dialect(status: int, body: Any) -> None:
    failure = classify(status, body)
    assert isinstance(failure, errors.Overflowed)
    assert failure.moves_on is errors.MovesOn.LARGER


def test_words_of_a_rate_limit_are_no_overflow() -> None:
    failure = classify(400, said("maximum context length: 90000 tokens per minute"))
    assert isinstance(failure, errors.Rejected)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert failures.read_retry_after(headers) == seconds
    assert classify(429, said("slow down"), **headers).retry_after == seconds


def test_retry_after_as_a_date_counts_by_the_providers_clock() -> None:
    there = datetime(2020, 1, 1, tzinfo=UTC)
    headers = {
        "date": format_datetime(there, usegmt=True),
        "retry-after": format_datetime(there + timedelta(seconds=30), usegmt=True),
    }
    assert failures.read_retry_after(headers) == 30.0


def test_the_key_is_never_repeated() -> None:
    failure = classify(400, said("Bad header Authorization: Bearer sk-canary-123"))
    assert "canary" not in failure.message
    assert isinstance(failure, errors.Rejected)
    assert b"canary" not in orjson.dumps(failure.body)


def test_a_date_without_the_providers_clock_counts_by_ours() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert failures.read_retry_after({"retry-after": soon}) == pytest.approx(60, abs=5)
    assert failures.read_retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


WRITTEN: dict[str, dict[str, type[errors.ProviderFailure]]] = {
    "openai": {
        "overflow": errors.Overflowed,
        "overflow_window": errors.Overflowed,
        "output_room": errors.OutputTooLong,
        "max_tokens_too_large": errors.OutputTooLong,
        "unauthorized": errors.CredentialsRefused,
        "model_not_found": errors.UnknownThere,
        "rate_limited": errors.RateLimited,
        "quota_spent": errors.QuotaSpent,
        "bad_request": errors.Rejected,
        "server_error": errors.Broken,
        "overloaded": errors.Overloaded,
    },
    "anthropic": {
        "overflow": errors.Overflowed,
        "output_room": errors.OutputTooLong,
        "max_tokens_too_large": errors.OutputTooLong,
        "bad_request": errors.Rejected,
        "temperature_and_top_p": errors.Rejected,
        "no_credit": errors.QuotaSpent,
        "unauthorized": errors.CredentialsRefused,
        "billing": errors.QuotaSpent,
        "forbidden": errors.PermissionRefused,
        "model_not_found": errors.UnknownThere,
        "request_too_large": errors.Rejected,
        "rate_limited": errors.RateLimited,
        "server_error": errors.Broken,
        "timeout": errors.Overloaded,
        "overloaded": errors.Overloaded,
    },
    "sglang": {"overflow": errors.Overflowed},
    "llamacpp": {
        "overflow": errors.Overflowed,
        "overflow_500": errors.Overflowed,
        "overflow_python": errors.Overflowed,
    },
    "tgi": {
        "overflow": errors.Overflowed,
        "overflow_inputs": errors.Overflowed,
        "output_room": errors.OutputTooLong,
        "max_tokens_too_large": errors.OutputTooLong,
        "overloaded": errors.RateLimited,
    },
    "gemini": {"overflow": errors.Overflowed, "rate_limited": errors.RateLimited},
    "bedrock": {
        "overflow": errors.Overflowed,
        "overflow_tokens": errors.Overflowed,
        "max_tokens_too_large": errors.OutputTooLong,
        "throttled": errors.RateLimited,
    },
}


@pytest.mark.parametrize("server", sorted(WRITTEN))
def test_the_refusals_of_each_provider(server: str) -> None:
    found = {name: type(classify(case.status, case.body)) for name, case in recordings(server).items()}
    assert found == WRITTEN[server]


def test_every_folder_is_in_a_table() -> None:
    assert set(SERVERS) == {"vllm", *WRITTEN}


@pytest.mark.parametrize(
    ("server", "name", "limit"),
    [
        ("openai", "output_room", 8192 - 64),
        ("openai", "max_tokens_too_large", 16384),
        ("anthropic", "output_room", 200000 - 178959),
        ("anthropic", "max_tokens_too_large", 64000),
        ("tgi", "output_room", 8192 - 6204),
        ("tgi", "max_tokens_too_large", 192),
        ("bedrock", "max_tokens_too_large", 2048),
        ("vllm", "max_tokens_too_large", None),
    ],
)
def test_the_room_for_output(server: str, name: str, limit: int | None) -> None:
    case = recordings(server)[name]
    failure = classify(case.status, case.body)
    assert isinstance(failure, errors.OutputTooLong)
    assert (failure.limit, failure.status, failure.upstream_status) == (limit, 400, case.status)


WINDOW = "This model's maximum context length is 512 tokens"


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            f"'max_tokens' or 'max_completion_tokens' is too large: 600. {WINDOW} and your request has 18 input tokens",
            494,
        ),
        (f"{WINDOW}. However, you requested 600 tokens (100 in the messages, 500 in the completion).", 412),
        (f"{WINDOW}, however you requested 600 tokens (100 in your prompt; 500 for the completion).", 412),
        # the prompt was counted only until it was clear that both do not fit
        (f"{WINDOW}. However, you requested 500 output tokens and your prompt contains at least 13 input tokens", None),
    ],
)
def test_the_room_in_other_words(message: str, limit: int | None) -> None:
    failure = classify(400, said(message))
    assert isinstance(failure, errors.OutputTooLong)
    assert failure.limit == limit


def test_the_window_is_told_where_the_room_is_not() -> None:
    failure = classify(400, said("max_tokens=900 cannot be greater than max_model_len=512. Please lower it."))
    assert isinstance(failure, errors.OutputTooLong)
    assert (failure.limit, failure.window) == (None, 512)


def test_a_refusal_in_band_is_handed_on_without_the_key() -> None:
    failure = failures.in_band({"message": "Bad key sk-canary-123", "type": "invalid_request_error", "code": 400})
    failure.hide("sk-canary-123")
    assert isinstance(failure, errors.Rejected)
    assert failure.body == {
        "error": {"message": "Bad key ••••", "type": "invalid_request_error", "code": None},
    }


@pytest.mark.parametrize("prompt", [512, 6012])
def test_no_room_is_an_overflow(prompt: int) -> None:
    failure = classify(400, said(f"{WINDOW}. However, you requested 9 tokens ({prompt} in the messages, 8 in"))
    assert isinstance(failure, errors.Overflowed)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, errors.Overloaded),
        ({"type": "rate_limit_error", "message": "slow"}, errors.RateLimited),
        ({"type": "tokens", "code": "rate_limit_exceeded", "message": "slow"}, errors.RateLimited),
        ({"type": "x", "code": "insufficient_quota", "message": "empty"}, errors.QuotaSpent),
        ({"type": "api_error", "message": "Internal server error"}, errors.Broken),
        ({"type": "BadRequestError", "code": 400, "message": f"{WINDOW}."}, errors.Overflowed),
        ({"code": "context_length_exceeded", "message": "too long"}, errors.Overflowed),
        ("it broke", errors.Broken),
        ({}, errors.Broken),
        ({"type": "BadRequestError", "code": 400, "message": "temperature must be positive"}, errors.Rejected),
        ({"type": "invalid_request_error", "code": None, "message": "no"}, errors.Doubtful),
        ({"type": "invalid_request_error", "code": "invalid_api_key", "message": "no"}, errors.CredentialsRefused),
        ({"type": "invalid_request_error", "code": "something_new", "message": "no"}, errors.Doubtful),
        ({"type": "x", "code": "429", "message": "slow"}, errors.RateLimited),
        ({"type": "NotFoundError", "code": 404, "message": "The model `m` does not exist."}, errors.UnknownThere),
        ({"type": "InternalServerError", "code": 500, "message": "it broke"}, errors.Broken),
        ({"type": "authentication_error", "message": "no key"}, errors.CredentialsRefused),
    ],
)
def test_an_error_told_in_band(error: Any, kind: type[errors.ProviderFailure]) -> None:
    failure = failures.in_band(error)
    assert type(failure) is kind
    assert failure.message.startswith("The provider broke off: ")


@pytest.mark.parametrize("key", ["null", "a", "e"])
def test_a_key_too_short_to_be_one_breaks_no_answer(key: str) -> None:
    told = said("a plain message")
    failure = failures.classify(400, {}, orjson.dumps(told), provider="p", secret=key)
    failure.hide(key)
    assert isinstance(failure, errors.Rejected)
    assert failure.body == told


def test_a_body_of_anthropic_is_kept_as_it_was() -> None:
    case = recordings("anthropic")["bad_request"]
    failure = classify(case.status, case.body)
    assert isinstance(failure, errors.Rejected)
    assert failure.body == case.json


def test_numbers_past_all_measure_are_not_read() -> None:
    nines = "9" * 10_000
    assert isinstance(classify(400, said(f"exceed context limit: {nines} + {nines} > {nines}")), errors.Overflowed)

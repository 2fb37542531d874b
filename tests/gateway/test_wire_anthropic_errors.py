"""Errors have Anthropic's shape for those who speak it, also those that a provider told in another."""

import pytest
from anthropic.types import ErrorResponse

from gateway import errors
from gateway.wire import anthropic, failures, openai
from tests.recordings import recordings


def test_it_works() -> None:
    error = anthropic.error_body(errors.ModelNotFound("There is no model `x`."), "req_1")["error"]
    assert error == {"type": "not_found_error", "message": "There is no model `x`."}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.InvalidRequest("x"), "invalid_request_error"),
        (errors.BodyTimeout("x"), "invalid_request_error"),
        (errors.NotFound("x"), "not_found_error"),
        (errors.BodyTooLarge("x"), "request_too_large"),
        (errors.RateLimited("x"), "rate_limit_error"),
        (errors.Unexpected("x"), "api_error"),
        (errors.Broken("x"), "api_error"),
        (errors.NoModelCanServe("x"), "overloaded_error"),
        (errors.TimedOut("x"), "timeout_error"),
    ],
)
def test_errors_have_anthropics_shape(error: errors.GatewayError, kind: str) -> None:
    body = anthropic.error_body(error, "req_1")
    assert body == {"type": "error", "error": {"type": kind, "message": "x"}, "request_id": "req_1"}
    if kind != "request_too_large":  # which the SDK has no type for
        ErrorResponse.model_validate(body, strict=True)


@pytest.mark.parametrize("error", [errors.PromptTooLong("9 tokens"), errors.Overflowed("9 tokens")])
def test_a_prompt_that_is_too_long_is_told_as_agents_know_it(error: errors.GatewayError) -> None:
    assert anthropic.error_body(error, "r")["error"]["message"] == "prompt is too long: 9 tokens"


def test_what_a_provider_said_is_handed_on_in_the_callers_shape() -> None:
    told = {
        name: failures.classify(case.status, {}, case.body, provider=name, secret="")
        for name, case in ((name, recordings(name)["bad_request"]) for name in ("openai", "anthropic"))
    }
    theirs = recordings("anthropic")["bad_request"].json
    assert anthropic.error_body(told["anthropic"], "r") == theirs
    assert openai.error_body(told["openai"]) == recordings("openai")["bad_request"].json
    message = "Unrecognized request argument supplied: top_k"
    assert anthropic.error_body(told["openai"], "r")["error"] == {"type": "invalid_request_error", "message": message}
    expected = {"message": theirs["error"]["message"], "type": "invalid_request_error", "param": None, "code": None}
    assert openai.error_body(told["anthropic"]) == {"error": expected}

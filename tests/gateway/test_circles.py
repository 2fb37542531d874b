"""A call leaves nothing behind that only the collector could take apart: its pauses hold up every stream."""

import gc
from collections.abc import Iterable
from typing import cast

import orjson
import pytest
from django.test import RequestFactory

from gateway.views.base import GatewayView
from gateway.views.chat import ChatCompletions
from registry.models import Model, Provider


def ask(**body: object) -> int:
    """Ask for a chat, read the answer to its end, and let go of everything; returns its status."""
    asked = {"messages": [{"role": "user", "content": "hello"}]} | body
    request = RequestFactory().post("/v1/chat/completions", orjson.dumps(asked), content_type="application/json")
    answer = ChatCompletions.as_view()(request)
    b"".join(cast("Iterable[bytes]", answer))
    answer.close()
    return answer.status_code


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 200), ({"stream": True}, 200), ({"model": "nobody"}, 404)],
    ids=["whole", "stream", "refused"],
)
def test_it_works(body: dict[str, object], status: int) -> None:
    echo = Provider.objects.create(name="echo", type="echo")
    Model.objects.create(public_id="m", name="m", provider=echo, context_size=1000)
    ask()
    gc.collect()
    gc.disable()
    try:
        assert ask(**body) == status
        assert [each for each in gc.get_objects() if isinstance(each, GatewayView)] == []
    finally:
        gc.enable()

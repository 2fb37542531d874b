"""The gateway's addresses, one line an endpoint."""

from django.urls import path, re_path

from gateway.views import health
from gateway.views.adversarial import Adversarial
from gateway.views.chat import ChatCompletions, Completions
from gateway.views.decisions import DecisionDetail
from gateway.views.docs import Docs, OpenApi
from gateway.views.embeddings import Embeddings
from gateway.views.messages import CountTokens, Messages
from gateway.views.metrics import metrics
from gateway.views.missing import Missing
from gateway.views.models import ModelDetail, ModelList
from gateway.views.probe import test_model
from gateway.views.responses import Responses
from gateway.views.usage import Usage

app_name = "gateway"

urlpatterns = [
    path("v1/chat/completions", ChatCompletions.as_view(), name="chat-completions"),
    path("v1/completions", Completions.as_view(), name="completions"),
    path("v1/responses", Responses.as_view(), name="responses"),
    path("v1/embeddings", Embeddings.as_view(), name="embeddings"),
    path("v1/messages", Messages.as_view(), name="messages"),
    path("v1/messages/count_tokens", CountTokens.as_view(), name="count-tokens"),
    path("v1/adversarial", Adversarial.as_view(), name="adversarial"),
    path("v1/decisions/<str:request_id>", DecisionDetail.as_view(), name="decision"),
    path("v1/usage", Usage.as_view(), name="usage"),
    path("v1/models", ModelList.as_view(), name="models"),
    path("v1/models/<path:name>", ModelDetail.as_view(), name="model"),
    path("v1/openapi.json", OpenApi.as_view(), name="openapi"),
    path("v1/docs", Docs.as_view(), name="docs"),
    re_path(r"^v1(?:/[\s\S]*)?$", Missing.as_view()),
    path("metrics", metrics),
    path("health", health.health, name="health"),
    path("health/live", health.health, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("admin/registry/model/<int:pk>/test/", test_model, name="test-model"),
]

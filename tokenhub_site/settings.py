"""Every setting of the project, read from the environment (and `.env`), with defaults for an empty machine."""

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ

from tokenhub_site.databases import database
from tokenhub_site.variables import address, choice, decimal, file, switch, token, webhook, whole
from vault.crypto import Hidden, KeyProblem, Ring, ring_from_environment

django_stubs_ext.monkeypatch()  # Django's generic classes take their parameters

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
_env_file = os.environ.get("TOKENHUB_ENV_FILE", str(BASE_DIR / ".env"))
if _env_file and Path(_env_file).is_file():
    env.read_env(_env_file)
env.ENVIRON = {name: value for name, value in os.environ.items() if value}  # an empty variable says nothing

# --- secrets -----------------------------------------------------------------------------------------------------
TOKENHUB_KEY_VARIABLE = env.str("TOKENHUB_KEY_VARIABLE", default="TOKENHUB_ENCRYPTION_KEY")
if TOKENHUB_KEY_VARIABLE != "TOKENHUB_ENCRYPTION_KEY":
    # the variable that was named and no other: under another key nothing may be sealed
    os.environ["TOKENHUB_ENCRYPTION_KEY"] = os.environ.get(TOKENHUB_KEY_VARIABLE, "")
    os.environ.pop("TOKENHUB_ENCRYPTION_KEY_FILE", None)
TOKENHUB_KEY_RING: Ring | None
try:
    TOKENHUB_KEY_RING = ring_from_environment(os.environ)
except KeyProblem:
    # the system check vault.E001 tells it in full; commands that need no key still work
    TOKENHUB_KEY_RING = None

SECRET_KEY = env.str("SECRET_KEY", default="")
SECRET_KEY_FALLBACKS: list[str] = []
if not SECRET_KEY and TOKENHUB_KEY_RING is not None:
    SECRET_KEY, *SECRET_KEY_FALLBACKS = (
        TOKENHUB_KEY_RING.derive("django-secret-key", key_id=key_id).hex() for key_id in TOKENHUB_KEY_RING.ids
    )

# --- the site ----------------------------------------------------------------------------------------------------
DEBUG = switch("DEBUG")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ROOT_URLCONF = "tokenhub_site.urls"
WSGI_APPLICATION = "tokenhub_site.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "simple_history",
    "vault",
    "registry",
    "accounts",
    "gateway",
    "tokenhub_site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "tokenhub_site.middleware.Doors",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step: what the apps ship is what is served

# --- storage -----------------------------------------------------------------------------------------------------
TOKENHUB_DATA_DIR = Path(env.str("TOKENHUB_DATA_DIR", default=str(BASE_DIR / "var")))
DATABASES = {
    "default": database(env.str("DATABASE_URL", default=f"sqlite:///{TOKENHUB_DATA_DIR / 'tokenhub.sqlite3'}"))
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # a writer waits at BEGIN instead of failing at its first write
        "timeout": decimal("TOKENHUB_SQLITE_BUSY_SECONDS"),
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # a database that is gone must be noticed: nothing waits for it longer than some seconds
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 3,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    } | DATABASES["default"].get("OPTIONS", {})
DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# --- transport security ------------------------------------------------------------------------------------------
TOKENHUB_BEHIND_TLS = switch("TOKENHUB_BEHIND_TLS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = TOKENHUB_BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TOKENHUB_BEHIND_TLS else None
SECURE_HSTS_SECONDS = whole("SECURE_HSTS_SECONDS", 31_536_000 if TOKENHUB_BEHIND_TLS else None)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = TOKENHUB_BEHIND_TLS
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics$"]  # probes and Prometheus speak plain HTTP to the pod
SESSION_COOKIE_HTTPONLY = True

# --- the gateway -------------------------------------------------------------------------------------------------
TOKENHUB_BUDGET_WEBHOOK = webhook("TOKENHUB_BUDGET_WEBHOOK")
TOKENHUB_BUDGET_WEBHOOK_SECRET = Hidden(env.str("TOKENHUB_BUDGET_WEBHOOK_SECRET", default=""))
TOKENHUB_KEEP_CALLS_DAYS = whole("TOKENHUB_KEEP_CALLS_DAYS")
TOKENHUB_KEEP_CONTENT_DAYS = whole("TOKENHUB_KEEP_CONTENT_DAYS")
TOKENHUB_CONTENT_MAX_BYTES = whole("TOKENHUB_CONTENT_MAX_BYTES")
TOKENHUB_LEDGER_SECONDS = decimal("TOKENHUB_LEDGER_SECONDS")
TOKENHUB_LIMITS_WHEN_AWAY = choice("TOKENHUB_LIMITS_WHEN_AWAY")
TOKENHUB_REQUIRE_KEY = choice("TOKENHUB_REQUIRE_KEY")
TOKENHUB_COOLDOWNS = switch("TOKENHUB_COOLDOWNS")
TOKENHUB_STRATEGY = choice("TOKENHUB_STRATEGY")
TOKENHUB_MAX_BODY_BYTES = whole("TOKENHUB_MAX_BODY_BYTES")
TOKENHUB_MAX_JSON_DEPTH = whole("TOKENHUB_MAX_JSON_DEPTH")
TOKENHUB_BODY_SECONDS = decimal("TOKENHUB_BODY_SECONDS")
TOKENHUB_WRITE_SECONDS = decimal("TOKENHUB_WRITE_SECONDS")
TOKENHUB_REQUEST_SECONDS = decimal("TOKENHUB_REQUEST_SECONDS")
TOKENHUB_PROBE_SECONDS = decimal("TOKENHUB_PROBE_SECONDS")
TOKENHUB_PING_SECONDS = decimal("TOKENHUB_PING_SECONDS")
TOKENHUB_PRIVATE_UPSTREAMS = env.list("TOKENHUB_PRIVATE_UPSTREAMS", default=[])
TOKENHUB_USE_ENV_PROXIES = switch("TOKENHUB_USE_ENV_PROXIES")
TOKENHUB_CA_BUNDLE = file("TOKENHUB_CA_BUNDLE")
TOKENHUB_REFRESH_SECONDS = decimal("TOKENHUB_REFRESH_SECONDS")

# --- observability -----------------------------------------------------------------------------------------------
TOKENHUB_METRICS_TOKEN = Hidden(token("TOKENHUB_METRICS_TOKEN"))
TOKENHUB_METRICS_BIND = address("TOKENHUB_METRICS_BIND")
TOKENHUB_METRICS = bool(TOKENHUB_METRICS_TOKEN or TOKENHUB_METRICS_BIND)
TOKENHUB_METRICS_PORT = int(TOKENHUB_METRICS_BIND.rpartition(":")[2] or 0)
TOKENHUB_HUB_LAG_SECONDS = decimal("TOKENHUB_HUB_LAG_SECONDS")
# all else of OTEL_* is for OpenTelemetry itself to read
TOKENHUB_TRACES = bool(webhook("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or webhook("OTEL_EXPORTER_OTLP_ENDPOINT"))

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

LOG_LEVEL = choice("TOKENHUB_LOG_LEVEL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "tokenhub_site.logs.JsonLines"}},
    "filters": {"no_calls": {"()": "tokenhub_site.logs.NoCalls"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        name: {"handlers": ["stderr"], "level": LOG_LEVEL, "propagate": False}
        for name in ("vault", "registry", "accounts", "gateway", "tokenhub_site")
    }
    | {"django.request": {"level": "ERROR", "filters": ["no_calls"]}},  # the gateway has its own line for every refusal
}

"""Two gateways in containers: what the Compose file says fits the image, the single gateway's file and the balancer."""

from __future__ import annotations

import re
from typing import Any

import yaml
from django.urls import resolve

from tests.server import ROOT
from tests.test_image import compose as single
from tests.test_image import dockerfile, shown_variables
from tokenhub_site.variables import DECIMAL, WHOLE

FOLDER = ROOT / "deploy" / "compose"
GATEWAYS = ("gateway1", "gateway2")
OF_A_WORKER = 10  # connections to PostgreSQL, as docs/operations.md says
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
ONLY_HERE = {"DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY", "TOKENHUB_LAME_DUCK_SECONDS"}


def text() -> str:
    """Return the file as it is written."""
    return (FOLDER / "compose.yml").read_text()


def services() -> dict[str, Any]:
    """Return its services."""
    found: dict[str, Any] = yaml.safe_load(text())["services"]
    return found


def haproxy() -> str:
    """Return the configuration of the balancer without its comments."""
    return re.sub(r"^\s*#.*\n", "", (FOLDER / "haproxy.cfg").read_text(), flags=re.MULTILINE)


def seconds(duration: str) -> int:
    """Return the seconds of a duration that is written in them."""
    return int(duration.removesuffix("s"))


def test_it_works() -> None:
    found = services()
    assert set(found) == {*GATEWAYS, "balancer", "postgres", "redis"}
    assert found["gateway1"] == found["gateway2"]
    assert all(name in found for service in found.values() for name in service.get("depends_on", ()))
    volumes = yaml.safe_load(text())["volumes"]
    named = [volume.split(":")[0] for service in found.values() for volume in service.get("volumes", ())]
    assert {name for name in named if not name.startswith("./")} == set(volumes)
    assert all((FOLDER / name).exists() for name in named if name.startswith("./"))


def test_a_gateway_is_the_one_of_the_single_file() -> None:
    """Beside its stores, and the port that the balancer has, it differs in nothing."""
    here, there = services()["gateway1"], single()["services"]["tokenhub"]
    same = set(there) - {"build", "environment", "ports"}
    assert {name: here[name] for name in same} == {name: there[name] for name in same}
    assert set(here) - set(there) == {"depends_on"}
    assert (FOLDER / here["build"]).resolve() == (ROOT / there["build"]).resolve()
    settings = {name: value for name, value in here["environment"].items() if name not in ONLY_HERE}
    assert settings == {name: value for name, value in there["environment"].items() if name not in ONLY_HERE}


def test_what_the_document_of_observability_sets_is_handed_on() -> None:
    named = set(re.findall(r"`((?:TOKENHUB|OTEL)_[A-Z_]*[A-Z])`", (ROOT / "docs" / "observability.md").read_text()))
    assert len(named) > 5
    assert named <= set(single()["services"]["tokenhub"]["environment"])


def test_images_have_a_version_and_containers_no_rights() -> None:
    found = services()
    for service in found.values():
        tag = service["image"].partition(":")[2]
        assert tag, service["image"]
        assert tag != "latest"
    for name in (*GATEWAYS, "balancer"):
        assert {key: found[name][key] for key in HARDENED} == HARDENED


def test_only_the_balancer_is_reached_from_outside() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert list(published) == ["balancer"]
    assert "bind :8080" in haproxy()
    assert published["balancer"][0].endswith(":8080")


def test_no_secret_is_in_it_and_each_one_is_asked_for() -> None:
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            assert "${" in str(value) or not re.search(r"KEY|PASSWORD|SECRET|DATABASE_URL", name), name
    asked = set(re.findall(r"\$\{(\w+)", text()))
    assert asked <= shown_variables()
    required = set(re.findall(r"\$\{(\w+):\?", text()))
    assert required == {"TOKENHUB_ENCRYPTION_KEY", "POSTGRES_PASSWORD"}


def test_who_starts_waits_for_what_it_needs() -> None:
    found = services()
    needs = {"gateway1": {"postgres", "redis"}, "gateway2": {"postgres", "redis"}, "balancer": set(GATEWAYS)}
    for name, others in needs.items():
        assert set(found[name]["depends_on"]) == others
        assert {each["condition"] for each in found[name]["depends_on"].values()} == {"service_healthy"}
    checked = {name for name, service in found.items() if service.get("healthcheck", {}).get("test", [""])[0] == "CMD"}
    assert {*checked, *GATEWAYS} == set(found)  # a gateway has the image's own
    assert dockerfile()[-1].all("HEALTHCHECK")


def test_a_stop_waits_longer_than_streams_may_take() -> None:
    found = services()
    for name in (*GATEWAYS, "balancer"):
        assert seconds(found[name]["stop_grace_period"]) > WHOLE["TOKENHUB_GRACEFUL_TIMEOUT"].default
    ends = re.search(r"hard-stop-after (\d+s)", haproxy())
    assert ends
    assert WHOLE["TOKENHUB_GRACEFUL_TIMEOUT"].default < seconds(ends[1])
    assert seconds(ends[1]) < seconds(found["balancer"]["stop_grace_period"])
    assert found["balancer"]["stop_signal"] == "SIGUSR1"


def test_the_workers_of_both_fit_into_postgresql() -> None:
    found = services()
    most = re.search(r"max_connections=(\d+)", " ".join(found["postgres"]["command"]))
    workers = re.search(r":-(\d+)\}", found["gateway1"]["environment"]["WEB_CONCURRENCY"])
    assert most
    assert workers
    assert len(GATEWAYS) * int(workers[1]) * OF_A_WORKER + 10 < int(most[1])


def test_the_balancer_knows_the_gateways_and_waits_for_their_answers() -> None:
    config = haproxy()
    port = dockerfile()[-1].all("EXPOSE")[0]
    for backend, view in (("ready", "gateway:ready"), ("living", "gateway:live")):
        part = config.split(f"\nbackend {backend}\n")[1].split("\n\n")[0]
        assert re.findall(r"server (\S+) (\S+)", part) == [(name, f"{name}:{port}") for name in GATEWAYS]
        path = re.search(r"uri (\S+)", part)
        assert path
        assert resolve(path[1]).view_name == view
    waits = dict(re.findall(r"timeout (\S+) (\d+)s", config))
    for side in ("client", "server"):
        assert int(waits[side]) > DECIMAL["TOKENHUB_REQUEST_SECONDS"].default
    assert int(waits["http-request"]) > DECIMAL["TOKENHUB_BODY_SECONDS"].default
    most = re.findall(r"maxconn (\d+)", config)
    assert 2 * int(most[0]) < services()["balancer"]["ulimits"]["nofile"]

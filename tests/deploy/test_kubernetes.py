"""The manifests for Kubernetes fit its schemas, the image, the server's own times, and what a restricted pod may do."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.urls import resolve

from tests.deploy.manifests import FOLDER, Manifest, of_kind, rendered
from tests.server import ROOT
from tests.test_image import dockerfile, shown_variables
from tokenhub_site.variables import WHOLE

OVERLAYS = {"base": "Deployment", "kept-spool": "StatefulSet"}
VERSIONS = ("1.30", "1.37")
OF_A_WORKER = 10  # connections to PostgreSQL, as docs/operations.md says

pytestmark = pytest.mark.parametrize("name", OVERLAYS)


def workload(name: str) -> Manifest:
    """Return what makes the pods."""
    return of_kind(rendered(FOLDER / name), OVERLAYS[name])


def pod(name: str) -> dict[str, Any]:
    """Return what a pod is made of."""
    found: dict[str, Any] = workload(name)["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    """Return the only container of a pod."""
    (found,) = pod(name)["containers"]
    return dict(found)


def settings(name: str) -> dict[str, str]:
    """Return what the ConfigMap sets."""
    found: dict[str, str] = of_kind(rendered(FOLDER / name), "ConfigMap")["data"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_it_works(name: str, version: str) -> None:
    manifests = rendered(FOLDER / name)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    named = [each["kind"] for each in manifests if each["metadata"]["name"] == "tokenhub"]
    assert len(named) == len(manifests)
    assert OVERLAYS[name] in named


def test_a_field_that_does_not_exist_is_noticed(name: str) -> None:
    wrong = workload(name)
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_taken_and_the_example_of_a_secret_is_not(name: str) -> None:
    told = yaml.safe_load((FOLDER / name / "kustomization.yaml").read_text())
    taken = {*told["resources"], *(patch["path"] for patch in told.get("patches", ()))}
    beside = {path.name for path in (FOLDER / name).glob("*.yaml")} - {"kustomization.yaml"}
    assert beside == {each for each in taken if each.endswith(".yaml")}
    assert "Secret" not in {each["kind"] for each in rendered(FOLDER / name)}


def test_no_secret_is_in_them(name: str) -> None:
    example = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
    kubernetes_validate.validate(example, VERSIONS[-1], strict=True)
    assert set(example["stringData"].values()) == {""}
    assert {each["metadata"]["name"] for each in (example, of_kind(rendered(FOLDER / name), "ConfigMap"))} == {
        next(iter(source.values()))["name"] for source in container(name)["envFrom"]
    }
    assert not [each for each in settings(name) if re.search(r"(API|ENCRYPTION)_KEY|PASSWORD|SECRET|_URL$", each)]
    assert {*example["stringData"], *settings(name)} <= shown_variables()


def test_probes_ask_what_the_gateway_answers(name: str) -> None:
    wanted = {
        "startupProbe": ("gateway:live", ""),
        "livenessProbe": ("gateway:live", ""),
        "readinessProbe": ("gateway:ready", "exclude=database"),
    }
    (port,) = container(name)["ports"]
    assert str(port["containerPort"]) in dockerfile()[-1].all("EXPOSE")
    for probe, (view, query) in wanted.items():
        asked = container(name)[probe]["httpGet"]
        path, _, found = asked["path"].partition("?")
        assert (resolve(path).view_name, found, asked["port"]) == (view, query, port["name"])
    assert container(name)["readinessProbe"]["timeoutSeconds"] > 4  # that a database which hangs is waited for
    service = of_kind(rendered(FOLDER / name), "Service")["spec"]
    assert service["ports"][0]["targetPort"] == port["name"]


def test_a_pod_ends_after_its_streams(name: str) -> None:
    command, pause = container(name)["lifecycle"]["preStop"]["exec"]["command"]
    ready = container(name)["readinessProbe"]
    assert command == "sleep"
    assert int(pause) >= ready["periodSeconds"]
    graceful = WHOLE["TOKENHUB_GRACEFUL_TIMEOUT"].default
    assert pod(name)["terminationGracePeriodSeconds"] > int(pause) + graceful


def test_it_has_no_rights_and_writes_where_the_image_says(name: str) -> None:
    uid, gid = map(int, dockerfile()[-1].all("USER")[-1].split(":"))
    told, inside = pod(name)["securityContext"], container(name)["securityContext"]
    assert (told["runAsUser"], told["runAsGroup"], told["fsGroup"]) == (uid, gid, gid)
    assert told["runAsNonRoot"] is True
    assert told["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False
    mounted = {each["mountPath"]: each["name"] for each in container(name)["volumeMounts"]}
    assert set(mounted) == {"/tmp", dockerfile()[-1].environment()["TOKENHUB_DATA_DIR"]}
    claims = [each["metadata"]["name"] for each in workload(name)["spec"].get("volumeClaimTemplates", ())]
    assert sorted([*claims, *(each["name"] for each in pod(name)["volumes"])]) == sorted(mounted.values())
    assert claims == (["data"] if name == "kept-spool" else [])


def test_all_choose_the_same_pods(name: str) -> None:
    manifests = rendered(FOLDER / name)
    labels = workload(name)["spec"]["template"]["metadata"]["labels"]
    chosen = [
        workload(name)["spec"]["selector"]["matchLabels"],
        of_kind(manifests, "Service")["spec"]["selector"],
        of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(name)["topologySpreadConstraints"]),
    ]
    assert chosen == [labels] * len(chosen)
    scaled = of_kind(manifests, "HorizontalPodAutoscaler")["spec"]
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": OVERLAYS[name], "name": "tokenhub"}
    assert "replicas" not in workload(name)["spec"]
    assert scaled["minReplicas"] > of_kind(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"]
    assert "cpu" in container(name)["resources"]["requests"]  # which the autoscaler reckons by


def test_what_the_documents_say_of_connections_is_what_an_update_may_open(name: str) -> None:
    most = of_kind(rendered(FOLDER / name), "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    opened = 2 * most * int(settings(name)["WEB_CONCURRENCY"]) * OF_A_WORKER
    assert f"(here {opened})" in (FOLDER / "base" / "autoscaling.yaml").read_text()
    assert str(opened) in (ROOT / "docs" / "scaling.md").read_text()

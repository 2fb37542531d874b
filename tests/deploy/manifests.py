"""The manifests for Kubernetes as kustomize makes them, as far as these kustomizations go; needs no binary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.server import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]
_CLUSTER_WIDE = {"Namespace"}


def rendered(folder: Path) -> list[Manifest]:
    """Return what the kustomization of a folder makes: its resources with its namespace and its patches."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found = [each for name in told["resources"] for each in _resources(folder / name)]
    for each in found:
        if "namespace" in told and each["kind"] not in _CLUSTER_WIDE:
            each["metadata"]["namespace"] = told["namespace"]
    for patch in told.get("patches", ()):
        (target,) = (each for each in found if _is_meant(each, patch["target"]))
        for operation in yaml.safe_load((folder / patch["path"]).read_text()):
            _apply(target, operation)
    return found


def of_kind(manifests: Sequence[Manifest], kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def _resources(path: Path) -> list[Manifest]:
    return rendered(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _is_meant(manifest: Manifest, target: dict[str, str]) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (target["kind"], target["name"])


def _apply(manifest: Manifest, operation: dict[str, Any]) -> None:
    """Do one operation of a JSON patch (RFC 6902) that adds to, replaces in or removes from a mapping or a list."""
    *parents, last = operation["path"].strip("/").split("/")
    place: Any = manifest
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    key = int(last) if isinstance(place, list) else last
    if operation["op"] != "add":
        del place[key]
    if operation["op"] != "remove":
        place[key] = operation["value"]

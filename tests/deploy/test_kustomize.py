"""Kustomize itself makes of the manifests what the other tests look at."""

import subprocess

import pytest
import yaml

from tests.deploy.manifests import FOLDER, Manifest, rendered


def in_order(manifests: list[Manifest]) -> list[Manifest]:
    """Sort manifests by their kinds, of which each has one."""
    return sorted(manifests, key=lambda each: str(each["kind"]))


def made_by_kustomize(name: str) -> list[Manifest]:
    """Return what the binary makes of a folder."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / name)], capture_output=True, text=True, check=True, timeout=60
    )
    return list(yaml.safe_load_all(made.stdout))


def test_it_works() -> None:
    assert in_order(made_by_kustomize("base")) == in_order(rendered(FOLDER / "base"))


@pytest.mark.parametrize("name", ["kept-spool"])
def test_an_overlay_is_patched_alike(name: str) -> None:
    assert in_order(made_by_kustomize(name)) == in_order(rendered(FOLDER / name))

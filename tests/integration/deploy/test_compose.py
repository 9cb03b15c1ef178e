"""The compose file: what it names is there, and agrees with the files beside it."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from tests.integration.deploy.conftest import DEPLOY

from tailrace.settings import Settings
from tailrace_services.settings import ServicesSettings

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if each.get("image") == "tailrace-services"}


def test_files_and_folders_are_there() -> None:
    """Whatever is mounted or built from."""
    named = [config["file"] for config in COMPOSE["configs"].values() if "file" in config]
    for service in SERVICES.values():
        if build := service.get("build"):
            named.append(str(Path(build["context"], build.get("dockerfile", "Dockerfile"))))
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                named.append(source)
            else:
                assert source in COMPOSE["volumes"]
        assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
    assert [name for name in named if not (DEPLOY / name).exists()] == []
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert copied
    assert [name for line in copied for name in line.split() if not (DEPLOY.parent / name).exists()] == []


def test_whoever_is_waited_for_is_there_and_can_say_that_it_is_ready() -> None:
    """A service that others wait for to be healthy has a check; one that ends is started once."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[name]["restart"] == "no"
        if (shared := service.get("pid", "")).startswith("service:"):
            assert shared.removeprefix("service:") in SERVICES


def test_variables_are_settings() -> None:
    """Each one that services are given is one that they read, and each secret is asked for where it is missing."""
    for service in OURS.values():
        for name in service["environment"]:
            own = name.removeprefix("TAILRACE_SERVICES_")
            if own != name:
                assert own.lower() in ServicesSettings.model_fields, name
                continue
            room, _, field = name.removeprefix("TAILRACE_").lower().partition("__")
            assert room in Settings.model_fields, name
            assert not field or field in type(getattr(Settings(), room)).model_fields, name
    text = (DEPLOY / "compose.yaml").read_text()
    for secret in set(re.findall(r"\$\{(\w+)", text)):
        assert f"${{{secret}:?" in text, f"{secret} may be empty"


def test_addresses_agree() -> None:
    """Names and ports are those that the others' files have."""
    environment, command = SERVICES["services"]["environment"], SERVICES["services"]["command"]
    pgbouncer = ConfigParser()
    pgbouncer.read(DEPLOY / "pgbouncer" / "pgbouncer.ini")
    pooled, direct = (urlsplit(environment[f"TAILRACE_DATABASE{name}"]) for name in ("_URL", "__DIRECT_URL"))
    assert (pooled.hostname, str(pooled.port)) == ("pgbouncer", pgbouncer["pgbouncer"]["listen_port"])
    assert pgbouncer["databases"]["*"] == f"host={direct.hostname} port={direct.port}"
    assert direct.hostname in SERVICES
    assert urlsplit(re.sub(r":\?[^}]*", "", environment["TAILRACE_VALKEY_URL"])).hostname in SERVICES
    port = command[command.index("--port") + 1]
    for target in json.loads((DEPLOY / "prometheus" / "targets.json").read_text()):
        assert target["targets"] == [f"services:{port}"]
    assert f":{port}/readyz" in SERVICES["services"]["healthcheck"]["test"][-1]
    provider = SERVICES["provider"]["command"]
    assert environment["TAILRACE_SERVICES_PROVIDER_URL"] == f"http://provider:{provider[-1]}"
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    dashboards = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tailrace.yml").read_text())
    assert dashboards["providers"][0]["options"]["path"] == mounted["./grafana/dashboards"]

"""A service's settings: made of those of all services."""

from __future__ import annotations

import pytest

from tailrace_services.settings import service_settings


def test_every_address_names_the_services_own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pooled one, the server's own and the replicas': elsewhere the service's tables are not."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "postgresql://u:p@pool:6432/tailrace")
    monkeypatch.setenv("TAILRACE_DATABASE__DIRECT_URL", "postgresql://u:p@server:5432/tailrace")
    monkeypatch.setenv("TAILRACE_DATABASE__REPLICA_URLS", '["postgresql://u:p@replica:5432/tailrace"]')
    settings = service_settings("trading-desk")
    assert settings.database_url is not None
    assert settings.database.direct_url is not None
    addresses = [settings.database_url, settings.database.direct_url, *settings.database.replica_urls]
    assert [address.get_secret_value() for address in addresses] == [
        f"postgresql://u:p@{host}/tailrace_trading_desk" for host in ("pool:6432", "server:5432", "replica:5432")
    ]


def test_service_has_one_name_in_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written, unless the settings name one."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "postgresql://u:p@server/tailrace")
    names = {service_settings(name).http.metrics_name for name in ("trading-desk", "trading_desk")}
    assert names == {"trading_desk"}
    monkeypatch.setenv("TAILRACE_HTTP__METRICS_NAME", "mine")
    assert service_settings("trading-desk").http.metrics_name == "mine"

"""deploy/redis.conf, as a real redis-server takes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hipopt.broker.findings import broker_findings
from hipopt.settings import Settings
from tests.integration.conftest import ROOT, RedisServer

CONF = ROOT / "deploy" / "redis.conf"


class ConfiguredServer(RedisServer):
    """A redis-server that reads a file first; port and folder are ours."""

    def start(self) -> None:
        self._command = [self._command[0], str(CONF), *self._command[1:]]
        self._command = [word for word in self._command if word not in ("--save", "")]
        super().start()


@pytest.fixture
def configured(redis_binary: Path, tmp_path: Path) -> Iterator[RedisServer]:
    server = ConfiguredServer(redis_binary, tmp_path)
    yield server
    server.kill()


def test_the_file_is_in_force(configured: RedisServer, tmp_path: Path) -> None:
    """Redis starts with it, each of its settings is what it says, and the doctor is content."""
    with configured.client() as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("maxmemory") == {"maxmemory": str(2 * 1024**3)}
        assert client.config_get("protected-mode") == {"protected-mode": "yes"}
        assert client.config_get("maxclients")
    assert (tmp_path / "appendonlydir").exists() or (tmp_path / "appendonly.aof").exists()
    findings = list(broker_findings(Settings(broker_url=configured.url)))
    assert [finding.health for finding in findings] == ["ok"], findings


def test_what_is_commented_out_is_known_too(redis_binary: Path, tmp_path: Path) -> None:
    """Every directive that the file only suggests is one that this Redis knows."""
    suggested = re.findall(r"^# ([a-z-]+) (?:\d+|yes|no|optional|/\S+)$", CONF.read_text(), re.M)
    assert {"aclfile", "tls-port", "tls-cert-file"} <= set(suggested)
    server = RedisServer(redis_binary, tmp_path)
    try:
        with server.client() as client:
            known = {name for pattern in suggested for name in client.config_get(pattern)}
    finally:
        server.kill()
    if "tls-port" not in known:  # built without TLS
        suggested = [name for name in suggested if not name.startswith("tls-")]
    assert known >= set(suggested)

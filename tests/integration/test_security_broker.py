"""Passwords, TLS and a user with the least rights: every part, on a real redis-server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import redis

from hipopt.broker.app import check_broker, connect, make_app
from hipopt.errors import BrokerError
from hipopt.flowerdoor import VARIABLE
from hipopt.settings import Settings
from hipopt.status import gather
from tests.integration.browsing import fetch, free_port
from tests.integration.conftest import (
    ROOT,
    Processes,
    RedisServer,
    kernels,
    wait_for,
    write_manifest,
)
from tests.integration.tls import Authority

SECRET = "p@ss:w/ö?#%&+ rd"
"""Everything that has to be written otherwise in a URL."""
HEX = "5ecret" + "0" * 26


class TlsServer(RedisServer):
    """A redis-server that speaks TLS and nothing else."""

    def start(self) -> None:
        self._command[1:3] = ["--port", "0", "--tls-port", str(self.port)]
        super().start()

    def answers(self) -> bool:
        """It speaks TLS, whatever it thinks of us."""
        try:
            with redis.Redis(port=self.port, ssl=True, ssl_cert_reqs="none") as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


def server_or_skip(binary: Path, folder: Path, *options: str) -> TlsServer:
    """A server with TLS; where it was built without, the test is skipped, but in CI."""
    probe = subprocess.run(
        [str(binary), "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nowhere"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    if "Bad directive" in probe.stdout + probe.stderr:
        message = f"{binary} was built without TLS"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return TlsServer(binary, folder, *options)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(
    redis_binary: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    """Wants TLS and a password; knows clients without a certificate too."""
    server = tls_server(redis_binary, authority, tmp_path_factory.mktemp("redis"), "server")
    yield server
    server.kill()


def tls_server(
    binary: Path, authority: Authority, folder: Path, name: str, *more: str, days: int = 2,
    host: str = "IP:127.0.0.1",
) -> TlsServer:  # fmt: skip
    certificate, key = authority.issue(name, host=host, days=days)
    return server_or_skip(
        binary, folder, "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "optional",
        "--requirepass", SECRET, *more,
    )  # fmt: skip


def secure_url(server: RedisServer, query: str = "", password: str = SECRET) -> str:
    return f"rediss://:{quote(password, safe='')}@127.0.0.1:{server.port}/0{query}"


PATIENCE_S = 30.0
"""On a busy machine a handshake takes its time; where it can't succeed, it ends by itself."""


def refused(settings: Settings, timeout_s: float = PATIENCE_S) -> str:
    """What `check_broker` says: a few lines, no secret, a setting to change."""
    with pytest.raises(BrokerError) as error:
        check_broker(settings, timeout_s=timeout_s)
    text = str(error.value)
    assert len(text.splitlines()) == 2
    for secret in (SECRET, quote(SECRET), quote(SECRET, safe=""), HEX):
        assert secret not in text
    assert "HIPOPT_BROKER_" in text
    assert text.startswith("broker redis")
    assert HEX not in repr(settings)
    assert quote(SECRET, safe="") not in repr(settings)
    return text


def run_through(settings: Settings, processes: Processes) -> None:
    """Dispatcher, a worker, the collector and status settle three kernels by this broker."""
    write_manifest(settings, kernels(3))
    environ = os.environ | settings.to_environ() | {"PYTHONPATH": str(ROOT)}
    worker = processes.worker(settings)
    collector = processes.collector(settings)
    done = subprocess.run(
        [*HIPOPT, "dispatch"], env=environ, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stderr + processes.logs()
    assert worker.poll() is None
    assert collector.poll() is None
    status = gather(settings)
    assert status.done == 3
    assert status.broker is not None, status.broker_error
    assert "Traceback" not in processes.logs()
    for text in (SECRET, quote(SECRET, safe=""), HEX):
        assert text not in processes.logs() + done.stderr + done.stdout + str(status)


HIPOPT = [sys.executable, "-m", "hipopt"]


def test_every_part_speaks_tls(
    settings: Settings, tls: TlsServer, authority: Authority, processes: Processes
) -> None:
    """A run over TLS with a password full of odd characters; the CA comes from a setting."""
    secure = msgspec.structs.replace(settings, broker_url=secure_url(tls), broker_ca=authority.ca)
    run_through(secure, processes)


def test_the_authority_may_stand_in_the_url(tls: TlsServer, authority: Authority) -> None:
    """`ssl_ca_certs` in the URL counts, for redis-py as for kombu, and no check is none."""
    for query in (f"?ssl_ca_certs={quote(str(authority.ca))}", "?ssl_cert_reqs=none"):
        found = Settings(broker_url=secure_url(tls, query))
        assert "appendonly" in check_broker(found, timeout_s=PATIENCE_S)[0]
        with make_app(found) as app, app.connection_for_write() as connection:
            assert connection.channel().client.ping()


def test_a_broker_may_want_a_certificate_of_ours(
    redis_binary: Path, authority: Authority, tmp_path: Path
) -> None:
    """With it we get in, through redis-py and through kombu; without it we are told what to set."""
    server = tls_server(redis_binary, authority, tmp_path, "strict")
    try:
        with connect(Settings(broker_url=secure_url(server), broker_ca=authority.ca)) as client:
            client.config_set("tls-auth-clients", "yes")
        certificate, key = authority.issue("client")
        bare = Settings(broker_url=secure_url(server), broker_ca=authority.ca)
        assert "HIPOPT_BROKER_CERT" in refused(bare)
        ours = msgspec.structs.replace(bare, broker_cert=certificate, broker_key=key)
        assert check_broker(ours, timeout_s=PATIENCE_S)
        with make_app(ours) as app, app.connection_for_write() as connection:
            assert connection.channel().client.ping()
    finally:
        server.kill()


def test_what_is_wrong_with_tls_is_told(
    tls: TlsServer, authority: Authority, shared_redis: RedisServer, tmp_path: Path
) -> None:
    """Unknown authority, wrong password, TLS on one side only: each names its own setting."""
    good = Settings(broker_url=secure_url(tls), broker_ca=authority.ca)
    assert check_broker(good, timeout_s=PATIENCE_S)
    replace = msgspec.structs.replace
    assert "HIPOPT_BROKER_CA" in refused(replace(good, broker_ca=None))
    other = Authority(tmp_path, "other").ca
    assert str(other) in refused(replace(good, broker_ca=other))
    assert "password" in refused(replace(good, broker_url=secure_url(tls, password=HEX)))
    plain = f"redis://:{HEX}@127.0.0.1:{tls.port}/0"
    assert "rediss://" in refused(replace(good, broker_url=plain))
    no_tls = secure_url(shared_redis, password=HEX)
    assert "begins with redis://" in refused(replace(good, broker_url=no_tls), 1.0)


@pytest.mark.parametrize(
    ("days", "host", "said"),
    [(-1, "IP:127.0.0.1", "not valid now"), (2, "DNS:elsewhere.invalid", "another host")],
    ids=["expired", "for another host"],
)
def test_a_certificate_that_is_not_good_is_told(
    redis_binary: Path, authority: Authority, tmp_path: Path, days: int, host: str, said: str
) -> None:
    """An expired certificate, and one for another host, are refused in words."""
    server = tls_server(redis_binary, authority, tmp_path, tmp_path.name, days=days, host=host)
    try:
        assert said in refused(Settings(broker_url=secure_url(server), broker_ca=authority.ca))
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("query", "ca", "said"),
    [
        ("?ssl_cert_reqs=maybe", None, "ssl_cert_reqs=required"),
        ("?ssl_ca_cert=x", None, "ssl_ca_cert"),
        ("?ssl_ca_certs=/nowhere/ca.pem", None, "ssl_ca_certs in the broker's URL"),
        ("", "/nowhere/ca.pem", "HIPOPT_BROKER_CA"),
    ],
)
def test_a_setting_that_can_not_be_is_told(query: str, ca: str | None, said: str) -> None:
    """A misspelt parameter and a file that isn't there are told before anything is connected."""
    url = f"rediss://:{HEX}@127.0.0.1:1/0{query}"
    with pytest.raises(BrokerError) as error:
        make_app(Settings(broker_url=url, broker_ca=Path(ca) if ca else None))
    assert said in str(error.value)
    assert HEX not in str(error.value)


@pytest.fixture
def guarded(redis_binary: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A server with the users of deploy/users.acl and passwords put in."""
    text = (ROOT / "deploy" / "users.acl").read_text()
    text = text.replace("CHANGE-ME-TOO", "operators").replace("CHANGE-ME", HEX)
    lines = [line for line in text.splitlines() if line.startswith("user ")]
    lines.append("user judge on >judge +@all ~* &*")
    (tmp_path / "users.acl").write_text("\n".join(lines) + "\n")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(redis_binary, folder, "--aclfile", str(tmp_path / "users.acl"))
    yield server
    server.kill()


def test_the_documented_rights_are_enough(
    settings: Settings, guarded: RedisServer, processes: Processes
) -> None:
    """A whole run as the user of deploy/users.acl: Redis refused nothing, nor can it do more."""
    url = f"redis://hipopt:{HEX}@127.0.0.1:{guarded.port}/0"
    limited = msgspec.structs.replace(settings, broker_url=url)
    environ = os.environ | limited.to_environ() | {"PYTHONPATH": str(ROOT)}
    port = free_port()
    flower = [*HIPOPT, "flower", "--port", str(port)]
    processes.start(flower, environ | {VARIABLE: "hipopt:pages"}, "flower")
    wait_for(lambda: fetch(f"http://127.0.0.1:{port}/workers")[0], "Flower answers", 60)
    run_through(limited, processes)

    def shown() -> int:
        tasks = fetch(f"http://127.0.0.1:{port}/api/tasks", "hipopt:pages")[2]
        return len(json.loads(tasks or "{}"))

    wait_for(lambda: shown() == 3, "Flower shows the tasks")
    with redis.Redis(port=guarded.port, username="judge", password="judge") as client:
        log: Any = client.acl_log()
    assert {entry["object"] for entry in log} == {"config|get"}, log
    operator = f"redis://operator:operators@127.0.0.1:{guarded.port}/0"
    assert "appendonly" in check_broker(Settings(broker_url=operator))[0]
    with connect(limited) as client:
        for command in ("CONFIG GET *", "FLUSHALL", "KEYS *", "SCAN 0", "ACL LIST", "SAVE",
                        "GET other.key", "LPUSH other.queue x", "PUBLISH /0.other.pidbox x",
                        "CLIENT LIST", "SHUTDOWN", "SCRIPT FLUSH", "REPLICAOF h 1"):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.parametrize(
    "taken",
    [
        "~hipopt.*",
        "&/0.hipopt.*",
        "&/0.hipopt.pidbox.pidbox",
        "+@write",
        "~_kombu.binding*",
        "~*.hipopt.pidbox*",
        "+@read",
        "+@transaction",
        "+eval",
        "+evalsha",
        "+script|load",
    ],
    ids=str,
)
def test_rights_that_lack_are_told(redis_binary: Path, tmp_path: Path, taken: str) -> None:
    """A user who may connect but not work is told at once, with what to give him."""
    lines = (ROOT / "deploy" / "users.acl").read_text().splitlines()
    line = next(line for line in lines if line.startswith("user hipopt "))
    (tmp_path / "users.acl").write_text(
        line.replace("CHANGE-ME", HEX).replace(f" {taken} ", " ") + "\n"
    )
    server = RedisServer(redis_binary, tmp_path, "--aclfile", str(tmp_path / "users.acl"))
    try:
        text = refused(Settings(broker_url=f"redis://hipopt:{HEX}@127.0.0.1:{server.port}/0"))
        assert "deploy/users.acl" in text
        assert "'hipopt'" in text
        assert re.search(r"HIPOPT_BROKER_URL", text)
    finally:
        server.kill()

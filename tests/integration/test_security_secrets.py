"""A secret is shown nowhere: not on a screen, in a file, in a log, in `ps`, nor by Flower."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hipopt.broker.app import connect, make_app
from hipopt.broker.findings import broker_findings
from hipopt.errors import UsageError
from hipopt.finding import Health
from hipopt.flowerdoor import VARIABLE, flower_environ, kept_login, login_file
from hipopt.settings import Settings
from tests.integration.browsing import fetch, free_port
from tests.integration.conftest import ROOT, Processes, RedisServer, wait_for
from tests.integration.test_spread_out import family

BROKER = "br0kerS3cret"
KEY = "sk-ap1keyS3cret"
FLOWER = "fl0werS3cret"
SECRETS = (BROKER, KEY, FLOWER)
MANIFEST = ROOT / "examples" / "manifest.json"
REPLIES = ROOT / "examples" / "replies.jsonl"


@pytest.fixture
def locked(redis_binary: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a password, which is not on its command line."""
    folder = tmp_path / "redis"
    folder.mkdir()
    conf = folder / "redis.conf"
    conf.write_text(f"requirepass {BROKER}\n")
    server = RedisServer(redis_binary, folder)
    server.kill()
    server._command.insert(1, str(conf))
    server.start()
    yield server
    server.kill()


def leaks(text: str) -> list[str]:
    return [line for line in text.splitlines() if any(secret in line for secret in SECRETS)]


def command_lines(processes: Iterator[int] | set[int]) -> str:
    """What `ps` shows of these processes."""
    found = []
    for pid in processes:
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended
            continue
    return "\n".join(found)


def test_no_output_holds_a_secret(
    locked: RedisServer, processes: Processes, tmp_path: Path
) -> None:
    """Every command runs with marked secrets: no output, file or command line shows one."""
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HIPOPT_", "FLOWER_"))} | {
        "HIPOPT_BROKER_URL": f"redis://:{BROKER}@127.0.0.1:{locked.port}/0",
        "HIPOPT_LOG": str(tmp_path / "results.jsonl"),
        "HIPOPT_REPLAY": str(REPLIES),
        "HIPOPT_CACHE_DIR": str(tmp_path / "cache"),
        "OPENAI_API_KEY": KEY,
        VARIABLE: f"hipopt:{FLOWER}",
        "PYTHONPATH": str(ROOT),
    }
    hipopt = [sys.executable, "-m", "hipopt"]
    started = [
        processes.start([*hipopt, *words], environ, words[0])
        for words in (
            ("worker", "--concurrency", "1", "--loglevel", "DEBUG"),
            ("collect",),
            ("flower", "--port", str(port)),
        )
    ]
    said = ""
    for words in (
        ("dispatch", str(MANIFEST), "--limit", "1", "--shards", "1"),
        ("status",), ("status", "--json"), ("doctor",),
    ):  # fmt: skip
        done = subprocess.run(
            [*hipopt, *words], env=environ, cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr, processes.logs())
        said += done.stdout + done.stderr
    settings = Settings(broker_url=environ["HIPOPT_BROKER_URL"])
    inspect = make_app(settings).control.inspect(timeout=10.0, limit=1)
    for question in ("conf", "stats", "active", "registered"):
        said += json.dumps(getattr(inspect, question)())
    login = f"hipopt:{FLOWER}"
    base = f"http://127.0.0.1:{port}"
    wait_for(lambda: fetch(f"{base}/workers", login)[0] == 200, "Flower answers")
    for page in (
        "/workers",
        "/tasks",
        "/broker",
        "/api/workers?refresh=1",
        "/api/tasks",
        "/api/queues/length",
    ):
        status, headers, text = fetch(base + page, login)
        assert status == 200, page
        said += headers + text
    assert all(process.poll() is None for process in started)
    assert leaks(said) == []
    assert "***" in said
    everyone = {pid for process in started for pid in family(process.pid)}
    assert leaks(command_lines(everyone)) == []
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != "redis"]
    assert {"results.jsonl", "results.jsonl.plan.json"} <= {p.name for p in files}
    assert {str(p): leaks(p.read_text(errors="replace")) for p in files} == {
        str(p): [] for p in files
    }


def test_flower_wants_a_password(settings: Settings, processes: Processes, tmp_path: Path) -> None:
    """On loopback too, pages and API; the password is made up, and kept where only we can read.

    With --no-password the pages are open, but the API, which stops workers, is not, and no other
    site's script may read an answer.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FLOWER_")}
    environ |= settings.to_environ() | {"PYTHONPATH": str(ROOT)}
    environ |= {"HIPOPT_CACHE_DIR": str(tmp_path), "FLOWER_UNAUTHENTICATED_API": "true"}
    shut, open_ = free_port(), free_port()
    flower = [sys.executable, "-m", "hipopt", "flower", "--port"]
    processes.start([*flower, str(shut)], environ, "shut")
    processes.start([*flower, str(open_), "--no-password"], environ, "open")
    wait_for(lambda: fetch(f"http://127.0.0.1:{shut}/workers")[0], "Flower answers", 60)
    wait_for(lambda: fetch(f"http://127.0.0.1:{open_}/workers")[0], "the other answers", 60)
    login = kept_login(tmp_path)
    assert login_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert login.split(":")[1] not in processes.logs()
    assert str(login_file(tmp_path)) in processes.logs()
    for page in ("/workers", "/tasks", "/api/tasks", "/api/workers"):
        url = f"http://127.0.0.1:{shut}{page}"
        assert fetch(url)[0] == 401
        assert fetch(url, "hipopt:wrong")[0] == 401
        status, headers, _ = fetch(url, login)
        assert status == 200
        assert "Access-Control-Allow-Origin" not in headers
    assert fetch(f"http://127.0.0.1:{open_}/workers")[0] == 200
    status, headers, _ = fetch(f"http://127.0.0.1:{open_}/api/workers")
    assert status == 401
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("given", ["hipopt", "hipopt:", ":secret", "a:b,c:d"])
def test_a_login_of_another_form_is_refused(given: str, tmp_path: Path) -> None:
    """FLOWER_BASIC_AUTH that Flower would take for something else is told, and not shown."""
    with pytest.raises(UsageError, match="USER:PASSWORD") as error:
        flower_environ({VARIABLE: given}, tmp_path, open_pages=False)
    assert "secret" not in str(error.value)


def test_a_kept_password_must_be_ours_alone(tmp_path: Path) -> None:
    """It stays the same; once others can read it, or it can't be kept, we are told what to do."""
    first = kept_login(tmp_path)
    assert kept_login(tmp_path) == first
    login_file(tmp_path).chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        kept_login(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=VARIABLE):
        kept_login(tmp_path / "file")


def test_a_password_on_the_command_line_is_warned_of(settings: Settings) -> None:
    """It can't be hidden from `ps` any more, so the better places are named."""
    url = f"redis://:{BROKER}@127.0.0.1:1/0"
    done = subprocess.run(
        [sys.executable, "-m", "hipopt", "status", "--log", str(settings.log), "--broker", url],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "HIPOPT_BROKER_URL" in done.stderr.splitlines()[0]
    assert leaks(done.stdout + done.stderr) == []


def warnings(url: str) -> str:
    found = list(broker_findings(Settings(broker_url=url)))
    assert found[0].health is Health.OK
    assert {finding.health for finding in found[1:]} <= {Health.WARN}
    text = "\n".join(finding.detail for finding in found)
    assert leaks(text) == []
    return text


def own_address() -> str:
    """An address of this machine that is not loopback; without one the test is skipped."""
    done = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    addresses = [word for word in done.stdout.split() if ":" not in word]
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    return addresses[0]


def test_the_doctor_warns_of_an_open_broker(redis_binary: Path, tmp_path: Path) -> None:
    """Open: no password, and reachable from elsewhere; closed by protected mode or a password."""
    server = RedisServer(redis_binary, tmp_path)
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        assert "appendonly" in warnings(url)
        assert "open" not in warnings(url)
        with connect(Settings(broker_url=url)) as client:
            client.config_set("bind", "0.0.0.0")  # noqa: S104
            client.config_set("appendonly", "yes")
            assert "appendonly" not in warnings(url)
            assert "open" not in warnings(url)
            client.config_set("protected-mode", "no")
            assert "it is open" in warnings(url)
            client.config_set("maxmemory", "100mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert "noeviction" in warnings(url)
            client.lpush("hipopt.rejected", "x")
            assert "lrange hipopt.rejected" in warnings(url)
            client.config_set("requirepass", BROKER)
        url = f"redis://:{BROKER}@{{}}:{server.port}/0"
        assert "open" not in warnings(url.format("127.0.0.1"))
        assert "in the clear" not in warnings(url.format("127.0.0.1"))
        assert "in the clear" in warnings(url.format(own_address()))
    finally:
        server.kill()


def test_a_worker_ignores_dangerous_commands(settings: Settings, processes: Processes) -> None:
    """Sent to a real worker, none has an effect, and the worker answers afterwards."""
    worker = processes.worker(settings)
    control = make_app(settings).control
    wait_for(lambda: control.ping(timeout=0.5), "the worker answers", 60)
    control.broadcast("pool_restart", {"modules": ["antigravity"], "reload": True})
    control.broadcast("add_consumer", {"queue": "elsewhere"})
    control.broadcast("pool_grow", {"n": 50})
    served: dict[str, list[dict[str, str]]] = {}

    def answers() -> bool:
        served.update(control.inspect(timeout=5.0, limit=1).active_queues() or {})
        return bool(served)

    wait_for(answers, "the worker tells its queues")
    names = [queue["name"] for queues in served.values() for queue in queues]
    assert "elsewhere" not in names
    for name in ("pool_restart", "add_consumer", "pool_grow"):
        assert f"KeyError: '{name}'" in processes.logs()
    assert worker.poll() is None
    with connect(settings) as client:
        assert client.exists("hipopt.rejected") == 0

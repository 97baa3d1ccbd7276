"""Whatever lies in a queue: kept with a warning, never run, never fatal, never in the way."""

from __future__ import annotations

import base64
import bz2
import json
import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from hipopt.broker import arrival, queues
from hipopt.broker.app import connect, make_app
from hipopt.broker.arrival import objection, rejected_key
from hipopt.broker.transport import KEPT_BYTES, KEPT_MESSAGES
from hipopt.messages import TASK_NAME, encode_task, shard_queue, task_id
from hipopt.records import KernelTask
from hipopt.settings import Settings
from tests.integration.conftest import Processes, wait_for

QUEUE = shard_queue("hipopt", 0)
Envelope = dict[str, Any]


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


def packed(body: bytes) -> str:
    return base64.b64encode(body).decode()


def send(app: Celery, kernel_id: int) -> None:
    """The kernel waits in its queue."""
    kernel = KernelTask(id=kernel_id, name="k", code_body="quick", shard=0)
    name = task_id("hipopt", kernel_id)
    app.send_task(TASK_NAME, args=(encode_task(kernel),), queue=QUEUE, task_id=name)


def good_message(settings: Settings, kernel_id: int) -> Envelope:
    """What the dispatcher would leave in a queue for this kernel; it is in none afterwards."""
    with make_app(settings) as app, connect(settings) as client:
        send(app, kernel_id)
        raw: Any = client.rpop(QUEUE)
    found: Envelope = json.loads(raw)
    return found


def with_(good: Envelope, part: str, **changes: Any) -> bytes:
    return json.dumps(good | {part: good[part] | changes}).encode()


def without(good: Envelope, part: str, name: str) -> bytes:
    return json.dumps(good | {part: {k: v for k, v in good[part].items() if k != name}}).encode()


def with_body(good: Envelope, call: object) -> bytes:
    return json.dumps(good | {"body": packed(json.dumps(call).encode())}).encode()


def garbage(good: Envelope, marker: Path) -> dict[str, bytes]:
    """Messages that no hipopt sends, by what is wrong with them."""
    args, kwargs, embed = json.loads(base64.b64decode(good["body"]))
    deep = "[" * 100_000
    signature = {"task": "celery.accumulate", "args": [], "kwargs": {}, "options": {}}
    bomb = zlib.compress(b"0" * 50_000_000)
    exploit = packed(pickle.dumps(Bomb(str(marker))))
    return {
        "not JSON": b"hello",
        "no text": b"\xff\xfe\x00\x01",
        "nothing": b" ",
        "a number": b"7",
        "a list": b"[1, 2]",
        "an empty object": b"{}",
        "nested deeply": deep.encode(),
        "nested deeply in the headers": json.dumps(good)
        .replace('"headers": {', f'"headers": {{"x": {deep + "]" * 100_000}, ')
        .encode(),
        "a type that kombu makes objects of": with_(
            good, "headers", x={"__type__": "datetime", "__value__": "never"}
        ),
        "no properties": json.dumps(good | {"properties": {}}).encode(),
        "no delivery tag": without(good, "properties", "delivery_tag"),
        "headers are a list": json.dumps(good | {"headers": [1]}).encode(),
        "no headers": json.dumps({k: v for k, v in good.items() if k != "headers"}).encode(),
        "no id": without(good, "headers", "id"),
        "no task": without(good, "headers", "task"),
        "another task": with_(good, "headers", task="os.system"),
        "a task of Celery's own": with_(good, "headers", task="celery.map"),
        "an id that is a list": with_(good, "headers", id=[1]),
        "a time limit that is a text": with_(good, "headers", timelimit="soon"),
        "never to be started": with_(good, "headers", eta="tomorrow"),
        "compressed": json.dumps(
            good | {"body": packed(bomb), "headers": good["headers"] | {"compression": "zlib"}}
        ).encode(),
        "compressed twice": json.dumps(
            good
            | {
                "body": packed(bz2.compress(bomb)),
                "headers": good["headers"] | {"compression": "application/x-bz2"},
            }
        ).encode(),
        "pickle": json.dumps(
            good | {"body": exploit, "content-type": "application/x-python-serialize"}
        ).encode(),
        "pickle that says it is JSON": json.dumps(good | {"body": exploit}).encode(),
        "yaml": json.dumps(good | {"content-type": "application/x-yaml"}).encode(),
        "no base64": json.dumps(good | {"body": "?" * 7}).encode(),
        "another encoding": with_(good, "properties", body_encoding="rot13"),
        "a body that is a number": json.dumps(good | {"body": 7}).encode(),
        "no arguments": with_body(good, [[], kwargs, embed]),
        "two arguments": with_body(good, [[*args, 1], kwargs, embed]),
        "keyword arguments": with_body(good, [args, {"x": 1}, embed]),
        "arguments alone": with_body(good, args),
        "a callback": with_body(good, [args, kwargs, embed | {"callbacks": [signature]}]),
        "an errback": with_body(good, [args, kwargs, embed | {"errbacks": [signature]}]),
        "a chain": with_body(good, [args, kwargs, embed | {"chain": [signature]}]),
        "a newer schema": with_body(good, [[args[0] | {"schema": 99}], kwargs, embed]),
        "no kernel": with_body(good, [[{"schema": 1}], kwargs, embed]),
        "protocol 1": json.dumps(
            good
            | {
                "headers": {},
                "body": packed(
                    json.dumps({"task": "celery.map", "id": "1", "args": [1, 2]}).encode()
                ),
            }
        ).encode(),
    }


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as found:
        yield found


def kept(client: redis.Redis) -> list[dict[str, Any]]:
    """What was set aside, the oldest first."""
    found: Any = client.lrange(rejected_key("hipopt"), 0, -1)
    return [json.loads(entry) for entry in reversed(found)]


def test_a_worker_survives_whatever_lies_in_its_queue(
    settings: Settings, processes: Processes, client: redis.Redis, tmp_path: Path
) -> None:
    """Some forty kinds of garbage, then a kernel: it is done, all else is kept, nothing was run.

    The same worker does it, every message was taken once, and none is held or waits any more.
    """
    good = good_message(settings, 7)
    marker = tmp_path / "executed"
    bad = garbage(good, marker)
    queues.register(client, "hipopt", [QUEUE])
    client.lpush(QUEUE, *bad.values())
    client.lpush(QUEUE, json.dumps(good))
    worker = processes.worker(settings)
    wait_for(lambda: client.llen("hipopt.results"), "the kernel's result", 60)
    wait_for(lambda: not queues.held_count(client, "hipopt"), "nothing is held")
    assert worker.poll() is None
    assert (tmp_path / "runs.txt").read_text().startswith("7 ")
    assert client.llen("hipopt.results") == 1
    assert client.llen(QUEUE) == 0
    found = kept(client)
    assert [entry["bytes"] for entry in found] == [len(raw) for raw in bad.values()]
    assert {entry["found_in"] for entry in found} == {QUEUE}
    assert all(entry["reason"] and len(entry["message"]) <= 4 * KEPT_BYTES for entry in found)
    assert not marker.exists()
    assert processes.logs().count("no message of hipopt") == len(bad)
    assert "Traceback" not in processes.logs()


def test_garbage_among_what_is_held_and_broadcast(
    settings: Settings, processes: Processes, client: redis.Redis
) -> None:
    """What nobody could give back is set aside; what nobody can read is passed over."""
    worker = processes.worker(settings)
    control = make_app(settings).control
    wait_for(lambda: control.ping(timeout=0.5), "the worker answers", 60)
    for number, raw in enumerate((b"x", b"[1]", b"[[[", b'[{}, "", "hipopt.shard.000"]')):
        client.hset("hipopt.unacked", f"tag{number}", raw)
        client.zadd("hipopt.unacked_index", {f"tag{number}": 1.0})
    for topic in ("/0.hipopt.pidbox.pidbox", "/0.hipopt.celeryev/worker.heartbeat"):
        for raw in (b"x", b"{}", b"[]", b"7", b"[" * 100_000, b'{"properties": {}}', b"\xff"):
            client.publish(topic, raw)
    wait_for(lambda: not client.zcard("hipopt.unacked_index"), "all was put back or aside")
    with make_app(settings) as app:
        send(app, 1)
    wait_for(lambda: client.llen("hipopt.results"), "the kernel's result")
    assert control.ping(timeout=5.0, limit=1)
    assert worker.poll() is None
    assert processes.logs().count("can't be read and is passed over") >= 3
    assert sorted(entry["found_in"] for entry in kept(client)) == [QUEUE] + 3 * ["hipopt.unacked"]


def test_what_is_kept_is_bounded(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much garbage comes and however large, the list of it stays small."""
    with make_app(settings) as app, app.connection_for_read() as connection:
        channel = connection.channel()
        channel.set_aside(QUEUE, b"\xff" * 10_000_000, "too much")
        for number in range(3):
            channel.set_aside(QUEUE, b"%d" % number, "r" * 10_000)
    assert [entry["bytes"] for entry in kept(client)] == [10_000_000, 1, 1, 1]
    assert client.memory_usage(rejected_key("hipopt")) < 200_000
    monkeypatch.setattr("hipopt.broker.transport.KEPT_MESSAGES", 2)
    with make_app(settings) as app, app.connection_for_read() as connection:
        connection.channel().set_aside(QUEUE, b"last", "it")
    assert [entry["message"] for entry in kept(client)] == ["2", "last"]
    assert KEPT_MESSAGES * KEPT_BYTES < 20_000_000


def test_a_huge_message_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit nothing is even parsed; what is sent lies below it."""
    raw = json.dumps(good_message(settings, 1)).encode()
    assert objection(raw, is_task=True) is None
    monkeypatch.setattr(arrival, "MAX_RAW_BYTES", len(raw) - 1)
    assert "allowed" in (objection(raw, is_task=True) or "")


def test_looking_at_a_message_is_cheap(settings: Settings) -> None:
    """A kernel's message of 5 KB is looked at in well under a millisecond of CPU time."""
    raw = json.dumps(good_message(settings, 1)).encode()
    good = json.loads(raw)
    args, kwargs, embed = json.loads(base64.b64decode(good["body"]))
    args[0]["kernel"]["code_body"] = "x" * 5000
    raw = with_body(good, [args, kwargs, embed])
    look: Callable[[], object] = lambda: objection(raw, is_task=True)  # noqa: E731
    costs = []
    for _ in range(5):
        began = time.process_time()
        assert not any(look() for _ in range(100))
        costs.append((time.process_time() - began) / 100)
    assert min(costs) < 0.001

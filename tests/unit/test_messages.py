import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt import messages
from hipopt.messages import (
    MessageError,
    RowLine,
    Trouble,
    decode_result,
    decode_task,
    encode_row,
    encode_task,
    encode_trouble,
    may_serve,
    queue_shard,
    result_queue,
    shard_queue,
    task_id,
    task_kernel,
)
from hipopt.records import KernelId, KernelTask, ResultRow, Workload

WORKLOAD = Workload.from_json(
    {
        "grid": 1,
        "block": 64,
        "args": [{"buffer": "float32", "length": 4}, {"scalar": "int32", "value": 4}],
    }
)
ids = st.one_of(st.integers(), st.text(max_size=300))


@given(id=ids, code=st.text(), source=st.one_of(st.none(), st.text()))
def test_a_task_survives_the_wire(id: KernelId, code: str, source: str | None) -> None:  # noqa: A002
    """What the worker decodes is what the dispatcher encoded, workloads included."""
    kernel = KernelTask(
        id=id, name="k", code_body=code, hip_source=source, workloads=(WORKLOAD,), shard=3
    )
    wire = json.loads(json.dumps(encode_task(kernel, 2)))
    decoded = decode_task(wire)
    assert (decoded.kernel, decoded.requeues) == (kernel, 2)


@given(first=ids, second=ids)
def test_a_kernel_has_a_task_id_of_its_own(first: KernelId, second: KernelId) -> None:
    """Different ids, 1 and "1" among them, never share a task id; long ones are bounded."""
    assert (task_id("n", first) == task_id("n", second)) == (
        (type(first), first) == (type(second), second)
    )
    assert len(task_id("n", first)) < 210


@given(id=ids, retry=st.integers(0, 9), other=st.integers(0, 9))
def test_a_retry_has_a_task_id_of_its_own(id: KernelId, retry: int, other: int) -> None:  # noqa: A002
    """Queued work of one retry is told from that of another; a first try's id is as it was."""
    assert (task_id("n", id, retry) == task_id("n", id, other)) == (retry == other)
    assert task_id("n", id, 0) == task_id("n", id)


def test_a_retry_travels_to_the_worker_and_back() -> None:
    """The worker learns which retry it is about; the collector learns it of the row."""
    kernel = KernelTask(id=1, name="k", code_body="", retry=2)
    assert decode_task(json.loads(json.dumps(encode_task(kernel)))).kernel.retry == 2
    found = decode_result(encode_row(ResultRow(id=1, status="success", name="k", retry=2)))
    assert isinstance(found, RowLine)
    assert found.retry == 2


def test_messages_of_the_first_version_are_read() -> None:
    """What was queued before a kernel had a `retry` is its first try."""
    wire = encode_task(KernelTask(id=1, name="k", code_body="")) | {"schema": 1}
    del wire["kernel"]["retry"]
    assert decode_task(wire).kernel.retry == 0
    row = b'{"schema":1,"type":"row","row":{"id":1,"status":"success","name":"k"}}'
    found = decode_result(row)
    assert isinstance(found, RowLine)
    assert found.retry == 0


def test_a_row_passes_through_whole() -> None:
    """A row that a newer worker sends keeps fields that this collector does not know, on a line."""
    row = json.loads(encode_row(ResultRow(id="a\nb", status="success", name="k")))
    row["row"]["from_the_future"] = {"x": [1]}
    found = decode_result(json.dumps(row, indent=2).encode())
    assert isinstance(found, RowLine)
    assert found.id == "a\nb"
    assert b"\n" not in found.line
    assert json.loads(found.line) == row["row"]


def test_trouble_survives_the_wire() -> None:
    """Trouble comes out as it went in, and is no row."""
    trouble = Trouble(kind="device", message="gone", worker="w@h", kernel_id=4)
    assert decode_result(encode_trouble(trouble)) == trouble


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b'{"schema":2,"type":"row","row":{}}',
        b'{"schema":3,"type":"row","row":{"id":1,"name":"k","status":"success"}}',
        b'{"schema":2,"type":"row","row":{"id":1,"name":"k","status":"success","retry":-1}}',
        b'{"schema":1,"type":"row"}', b'{"schema":1,"type":"row","row":7}',
        b'{"schema":1,"type":"row","row":{"id":1,"name":"k","status":"maybe"}}',
        b'{"schema":1,"type":"row","row":{"id":true,"name":"k","status":"success"}}',
        b'{"schema":1,"type":"trouble"}', b'{"schema":1,"type":"other"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(body: bytes) -> None:
    """Anything but a result is a MessageError, whatever it is."""
    with pytest.raises(MessageError):
        decode_result(body)


@given(st.binary(max_size=200))
def test_noise_is_refused(body: bytes) -> None:
    """Random bytes never raise anything but MessageError."""
    with pytest.raises(MessageError):
        decode_result(body)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        3,
        {},
        {"schema": 2},
        {"schema": [1]},
        {"schema": 1},
        {"schema": 1, "kernel": {}, "requeues": 0},
    ],
)
def test_what_is_no_task_is_refused(raw: object) -> None:
    """A task argument of another form or version is a MessageError."""
    with pytest.raises(MessageError):
        decode_task(raw)


def test_size_is_bounded_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages beyond the limit are refused where they are made and where they arrive."""
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 1000)
    with pytest.raises(MessageError, match="too many to send"):
        encode_task(KernelTask(id=1, name="k", code_body="x" * 1000))
    with pytest.raises(MessageError, match="1000 can be sent"):
        encode_row(ResultRow(id=1, status="success", name="k" * 1000))
    with pytest.raises(MessageError):
        decode_result(msgspec.json.encode({"x": "y" * 1000}))


@pytest.mark.parametrize("kernel_id", [1, -5, "1", "a#1", 'q"#2', "#", "é\n", 10**20])
@pytest.mark.parametrize("retry", [0, 1, 12])
def test_a_tasks_id_tells_its_kernel(kernel_id: int | str, retry: int) -> None:
    """Kernel and retry are read back from the id of the task."""
    name = task_id("ns", kernel_id, retry)
    assert task_kernel("ns", name) == (kernel_id, retry)
    assert task_kernel("ns", task_id("ns", "x" * 300)) is None


@pytest.mark.parametrize(
    ("queue", "served_by"),
    [
        (shard_queue("a.b", 7), {None, "gfx90a", "gfx942"}),
        (shard_queue("a.b", 1234, "gfx942"), {"gfx942"}),
        (shard_queue("a.shard.001.gfx90a", 7), {None, "gfx90a", "gfx942"}),
    ],
)
def test_who_may_serve_a_queue(queue: str, served_by: set[str | None]) -> None:
    """One for an arch: workers with such GPUs; any other: every worker, whatever the namespace."""
    assert {arch for arch in (None, "gfx90a", "gfx942") if may_serve(queue, arch)} == served_by


def test_a_queue_tells_its_shard() -> None:
    """And the arch that it is for; a queue of results is of no shard."""
    assert queue_shard(shard_queue("n", 12, "gfx942")) == (12, "gfx942")
    assert queue_shard(shard_queue("n", 1000)) == (1000, None)
    assert queue_shard(result_queue("n")) is None

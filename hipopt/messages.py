"""The wire format: what a task says, what comes back, and the names of the queues between.

Versions of the schema. 1: the first. 2: a kernel's `retry`. A reader refuses a version that it
doesn't know, so that an old worker or collector never half-understands a newer message.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from hipopt.errors import HipoptError, WorkloadError
from hipopt.records import KernelId, KernelTask, Record, ResultRow, Workload

SCHEMA = 2
READABLE = frozenset({1, SCHEMA})
TASK_NAME = "hipopt.optimize_kernel"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Messages beyond this are refused, whichever way they go. Redis's own limit is 512 MB."""
MAX_TASK_ID_CHARS = 200


class MessageError(HipoptError):
    """A message is too large, or not of the form that this version reads."""


_SHARD_QUEUE = re.compile(r".+\.shard\.(\d{3,})(?:\.(\w+))?")


def shard_queue(namespace: str, shard: int, arch: str | None = None) -> str:
    """Name of the queue that the tasks of a shard wait in; those for GPUs of one arch in another.

    Workers without such GPUs leave the latter alone.
    """
    name = f"{namespace}.shard.{shard:03d}"
    return f"{name}.{arch}" if arch else name


def queue_shard(queue: str) -> tuple[int, str | None] | None:
    """The shard that a queue is of, and the arch that it is for, if any; None: of no shard."""
    found = _SHARD_QUEUE.fullmatch(queue)
    return (int(found[1]), found[2]) if found else None


def may_serve(queue: str, arch: str | None) -> bool:
    """Whether a worker with GPUs of that arch (None: it has none) takes tasks from the queue."""
    found = queue_shard(queue)
    return found is None or found[1] in (None, arch)


def result_queue(namespace: str) -> str:
    """Name of the queue that results wait in for the collector."""
    return f"{namespace}.results"


def task_id(namespace: str, kernel_id: KernelId, retry: int = 0) -> str:
    """The Celery id of a kernel's task: the same whenever it is sent, so it is told when queued.

    1 and "1" are different kernels and get different ids, as do the retries of one; a very long id
    is hashed.
    """
    text = msgspec.json.encode(kernel_id).decode()
    if len(text) > MAX_TASK_ID_CHARS:
        text = "sha256-" + hashlib.sha256(text.encode()).hexdigest()
    return f"{namespace}:{text}#{retry}" if retry else f"{namespace}:{text}"


def task_kernel(namespace: str, name: str) -> tuple[KernelId, int] | None:
    """The kernel and its retry that a task's id stands for; None: it is hashed, or not ours."""
    text = name.removeprefix(f"{namespace}:")
    body, mark, retry = text.rpartition("#")
    if not mark or not retry.isdecimal():
        body, retry = text, "0"
    try:
        return _kernel_id.decode(body), int(retry)
    except ValueError:
        return None


_kernel_id: msgspec.json.Decoder[KernelId] = msgspec.json.Decoder(KernelId)


class TaskMessage(Record, frozen=True, kw_only=True):
    """The one argument of a task."""

    kernel: KernelTask
    requeues: int = 0
    """How often the task went back to its queue because of trouble on our side."""
    schema: int = SCHEMA


TroubleKind: TypeAlias = Literal["model_unavailable", "model_refused", "device", "internal"]


class Trouble(Record, frozen=True, kw_only=True):
    """Something on our side failed. Reported, never logged against a kernel."""

    kind: TroubleKind
    message: str
    worker: str
    """Celery's name of the worker: `name@host`."""
    kernel_id: KernelId | None = None
    """The kernel at hand, which goes back to its queue; None: none."""


class _RowMessage(msgspec.Struct, tag="row", tag_field="type"):
    schema: int
    row: ResultRow


class _TroubleMessage(msgspec.Struct, tag="trouble", tag_field="type"):
    schema: int
    trouble: Trouble


Retry: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class RowLine(msgspec.Struct, frozen=True):
    """A result as it goes into the log: checked, but not built."""

    id: KernelId
    line: bytes
    """The row as one line of JSON, without the newline and without a checksum."""
    retry: int = 0


class _WireRow(msgspec.Struct):
    """What a collector must know of a row. The rest passes through, even from a newer worker."""

    id: KernelId
    status: Literal["success", "failure"]
    name: str
    retry: Retry = 0


class _Wire(msgspec.Struct):
    schema: int
    type: Literal["row", "trouble"]
    row: msgspec.Raw = msgspec.Raw(b"")
    trouble: Trouble | None = None


_wire = msgspec.json.Decoder(_Wire)
_wire_row = msgspec.json.Decoder(_WireRow)


def encode_task(kernel: KernelTask, requeues: int = 0) -> dict[str, Any]:
    """The task's argument as plain JSON values.

    Raises:
        MessageError: the kernel with its file is too large to be sent.
    """
    _bounded_source(kernel)
    return TaskMessage(kernel=kernel, requeues=requeues).to_json()


def encode_task_json(kernel: KernelTask) -> bytes:
    """The argument of a task that is sent for the first time, as JSON.

    Raises:
        MessageError: the kernel with its file is too large to be sent.
    """
    _bounded_source(kernel)
    return msgspec.json.encode(TaskMessage(kernel=kernel))


def _bounded_source(kernel: KernelTask) -> None:
    size = len(kernel.code_body) + len(kernel.hip_source or "")
    if size > MAX_MESSAGE_BYTES // 4:  # four bytes a character, at worst
        raise MessageError(
            f"kernel {kernel.id!r} has {size} characters of source, too many to send"
        )


def decode_task(raw: object) -> TaskMessage:
    """The task's argument as a record, its workloads checked.

    Raises:
        MessageError: of another version, or not of the documented form.
    """
    found = raw.get("schema") if isinstance(raw, dict) else None
    if type(found) is not int or found not in READABLE:
        raise MessageError(f"task message has schema {found!r}, this hipopt reads {SCHEMA}")
    try:
        message = msgspec.convert(raw, _WireTask)
        workloads = tuple(Workload.from_json(w) for w in message.kernel.workloads)
    except (msgspec.ValidationError, WorkloadError) as error:
        raise MessageError(f"task message: {error}") from None
    kernel = KernelTask(**(msgspec.structs.asdict(message.kernel) | {"workloads": workloads}))
    return TaskMessage(kernel=kernel, requeues=message.requeues)


class _WireKernel(msgspec.Struct):
    """A `KernelTask` whose workloads are not checked yet."""

    id: KernelId
    name: str
    code_body: str
    hip_file: str | None
    hip_source: str | None
    workloads: list[Any]
    shard: int
    retry: Retry = 0


class _WireTask(msgspec.Struct):
    kernel: _WireKernel
    requeues: int


def encode_row(row: ResultRow) -> bytes:
    """The result message of a finished kernel."""
    return _bounded(msgspec.json.encode(_RowMessage(SCHEMA, row)))


def encode_trouble(trouble: Trouble) -> bytes:
    """The result message that reports trouble."""
    return _bounded(msgspec.json.encode(_TroubleMessage(SCHEMA, trouble)))


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_MESSAGE_BYTES:
        raise MessageError(f"a result of {len(body)} bytes; {MAX_MESSAGE_BYTES} can be sent")
    return body


class _RowKey(msgspec.Struct):
    id: KernelId
    retry: int = 0


class _Key(msgspec.Struct):
    row: _RowKey | None = None


_key = msgspec.json.Decoder(_Key)


def result_task_id(namespace: str, body: bytes) -> str | None:
    """The id of the task whose result this message holds; None: it holds none."""
    try:
        row = _key.decode(body).row
    except ValueError:
        return None
    return task_id(namespace, row.id, row.retry) if row is not None else None


def decode_result(body: bytes) -> RowLine | Trouble:
    """What a result message holds; a row keeps every field it came with.

    Raises:
        MessageError: too large, not JSON, of another version, or lacking what a row must have.
    """
    _bounded(body)
    try:
        message = _wire.decode(body)
        if message.schema not in READABLE:
            raise MessageError(f"schema {message.schema}, this hipopt reads {SCHEMA}")
        if message.trouble is not None:
            return message.trouble
        line = msgspec.json.format(bytes(message.row), indent=-1)
        row = _wire_row.decode(line)
        return RowLine(id=row.id, line=line, retry=row.retry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(str(error)) from None

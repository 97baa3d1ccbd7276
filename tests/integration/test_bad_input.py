"""The command line, called as a person calls it, with everything that can be wrong about its input.

Whatever it is, the command ends soon, with exit code 1 or 2 and at most five lines that name the
place and what to do.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hipopt.log.writer import ResultLog
from tests.integration.conftest import ROOT, RedisServer, wait_for
from tests.model_endpoint import Endpoint, error

KEY = "sk-very-secret-key"
MOST_LINES = 5
DEADLINE_S = 60.0
"""A command that can't succeed says so within this time, on a busy machine too."""

CLOSED = "redis://127.0.0.1:1/0"
"""Nothing listens on port 1."""
KERNEL = (
    "__global__ void k(const float* x, float* y, int n)"
    " { int i = threadIdx.x; if (i < n) y[i] = 2.0f * x[i]; }"
)
ROW = {"id": 1, "name": "k", "code_body": KERNEL}
REPLY = b'{"id": 1, "attempt": 1, "reply": "none"}\n'
SETTLED = b'{"id": 7, "status": "failure"}\n'
BUFFER = {"buffer": "float32", "length": 64, "fill": "normal"}
WORKLOAD = {"grid": [1, 1, 1], "block": [64, 1, 1], "args": [{"name": "x", **BUFFER}]}


def array(*rows: object) -> bytes:
    return json.dumps(rows).encode()


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def row(**changes: object) -> bytes:
    """A manifest whose second row is changed; None takes a field away."""
    changed = {**ROW, "id": 2, **changes}
    return array(ROW, {k: v for k, v in changed.items() if v is not None})


def kernel_row(name: str, content: bytes, *says: str) -> object:
    """A manifest whose row 2 is refused when it is to be sent."""
    return pytest.param(content, says, id=name)


GOOD = {"m.json": array(ROW), "r.jsonl": REPLY}
EVALUATE = {
    "a.hip": KERNEL.encode(), "b.hip": KERNEL.encode(),
}  # fmt: skip
JUDGE = "evaluate --reference a.hip --candidate b.hip --kernel k"
RUN = "run m.json --log l.jsonl --replay r.jsonl"
DISPATCH = f"dispatch m.json --log l.jsonl --broker {CLOSED}"
MIDDLE = SETTLED + b'{"id": 8, "sta\n' + SETTLED


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of compiled kernels for all."""
    return tmp_path_factory.mktemp("bad-input-cache")


class Shell:
    """A folder, and hipopt called in it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HIPOPT_", "OPENAI"))}
        self.environ = {**inherited, "PYTHONPATH": str(ROOT), "HIPOPT_CACHE_DIR": str(cache)}

    def write(self, files: Mapping[str, bytes]) -> None:
        """The files are there; a name that ends in a slash is a folder."""
        for name, content in files.items():
            path = self.folder / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.write_bytes(content)

    def hipopt(self, words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`hipopt WORDS` has ended, in time, with all that it started."""
        process = subprocess.Popen(
            [sys.executable, "-m", "hipopt", *shlex.split(words)],
            cwd=self.folder, env=self.environ | environ, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            pytest.fail(f"hipopt {words}: still running after {DEADLINE_S:g} s")
        wait_for(lambda: not _running_in(self.folder), f"hipopt {words} left no process", 5.0)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _running_in(folder: Path) -> list[str]:
    """The processes whose current folder is this one: what a command started there, and left."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder.resolve():
                found.append(link.parent.name)
        except OSError:  # ended meanwhile, or is not ours
            continue
    return found


@pytest.fixture
def shell(tmp_path: Path, cache: Path) -> Shell:
    return Shell(tmp_path, cache)


def assert_says(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with that code and a short message that holds every one of the words."""
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) <= MOST_LINES, done.stderr


def case(name: str, files: Mapping[str, bytes], words: str, *says: str, code: int = 2) -> object:
    return pytest.param(files, words, says, code, id=name)


def manifest(name: str, content: bytes, *says: str) -> object:
    """A manifest that is refused before anything is sent."""
    return case(name, {"m.json": content}, f"{DISPATCH} --dry-run", "m.json", *says)


MANIFESTS = [
    case("manifest-missing", {}, DISPATCH, "m.json: No such file", "manifest"),
    case("manifest-is-a-folder", {"m.json/": b""}, DISPATCH, "m.json: Is a directory"),
    case("manifest-not-given", {}, "dispatch --log l.jsonl", "no manifest", "HIPOPT_MANIFEST"),
    manifest("manifest-empty", b"", "is empty", "expected a JSON array"),
    manifest("manifest-without-rows", b"[]", "holds no kernel", "expected a JSON array"),
    manifest("manifest-array-truncated", array(ROW, {**ROW, "id": 2})[:-20], "row 2", "complete?"),
    manifest("manifest-line-broken", lines(ROW, {**ROW, "id": 2}) + b'{"id": 3, \n', "line 3"),
    manifest("manifest-gzip-cut-off", gzip.compress(lines(ROW) * 9, mtime=0)[:-12],
             "gzip", "copy the file again"),
    manifest("manifest-gzip-damaged", gzip.compress(b"")[:10] + b"\xff" * 20, "gzip", "copy"),
    manifest("manifest-utf16", array(ROW).decode().encode("utf-16"), "UTF-16", "save it as UTF-8"),
    manifest("manifest-not-utf8-line", lines(ROW) + b'{"id": 2, "name": "\xe4"}\n',
             "line 2", "UTF-8"),
    manifest("manifest-not-utf8-array", array(ROW)[:-1] + b', {"id": 2, "name": "\xe4"}]',
             "row 2", "UTF8"),
    manifest("manifest-object", json.dumps({"kernels": [ROW]}).encode(), "line 1", "'kernels'",
             "'id'"),
    manifest("manifest-number", b"42", "expected a JSON array"),
    manifest("row-not-an-object", array(ROW, 5), "row 2", "'id'"),
    manifest("row-without-id", row(id=None), "row 2", "'id'"),
    manifest("id-repeated", row(id=1), "row 2", "id 1 stands already in row 1"),
    manifest("id-bool", row(id=True), "row 2", "int"),
    manifest("id-float", row(id=2.5), "row 2", "int"),
]  # fmt: skip

ROWS = [
    kernel_row("name-missing", row(name=None), "'name'"),
    kernel_row("code-of-wrong-type", row(code_body=5), "code_body"),
    kernel_row("workloads-not-a-list", row(workloads="x"), "workloads"),
    kernel_row("workload-unknown-fill",
             row(workloads=[{**WORKLOAD, "args": [{"name": "x", **BUFFER, "fill": "magic"}]}]),
             "workloads", "magic"),
    kernel_row("workload-without-grid", row(workloads=[{"block": [1, 1, 1], "args": []}]),
             "workloads", "grid"),
]  # fmt: skip

LOGS = [
    case("log-not-given", GOOD, "dispatch m.json", "no log", "HIPOPT_LOG"),
    case("log-line-corrupt-run", GOOD | {"l.jsonl": MIDDLE}, RUN, "l.jsonl: line 2",
         "log repair", code=1),
    case("log-line-corrupt-dispatch", GOOD | {"l.jsonl": MIDDLE}, DISPATCH, "l.jsonl: line 2",
         "log repair", code=1),
    case("log-is-a-folder", GOOD | {"l.jsonl/": b""}, RUN, "l.jsonl", "directory", code=1),
    case("log-below-a-file", GOOD | {"f": b""}, "run m.json --log f/l.jsonl --replay r.jsonl",
         "f/l.jsonl", "Not a directory", code=1),
    case("log-in-proc", GOOD, "run m.json --log /proc/no/l.jsonl --replay r.jsonl",
         "/proc/no/l.jsonl", "No such file", code=1),
    case("dispatch-log-below-a-file", GOOD | {"f": b""},
         f"dispatch m.json --log f/l.jsonl --broker {CLOSED}", "f/l.jsonl", code=1),
]  # fmt: skip

SOURCES = [
    case("replies-missing", {"m.json": array(ROW)}, RUN,
         "r.jsonl: can't be read: No such file", '"reply"'),
    case("replies-line-broken", GOOD | {"r.jsonl": REPLY + b"{\n"}, RUN, "r.jsonl, line 2",
         '"reply"'),
    case("replies-a-folder", {"m.json": array(ROW), "r.jsonl/": b""}, RUN,
         "r.jsonl: can't be read: Is a dir"),
    case("candidates-line-broken", GOOD | {"c.jsonl": b'\n{"id": 1}\n'},
         "run m.json --log l.jsonl --candidates c.jsonl", "c.jsonl, line 2", "opt_kernel"),
    case("candidates-missing", GOOD, "run m.json --log l.jsonl --candidates c.jsonl",
         "c.jsonl: can't be read: No such file", "opt_kernel"),
    case("no-source", GOOD, "run m.json --log l.jsonl", "--model", "--replay", "--candidates"),
    case("two-sources", GOOD, f"{RUN} --model x", "model and replay", "unset one"),
    case("worker-no-source", {}, "worker", "--model", "--replay"),
]  # fmt: skip

SETTINGS = [
    case("shards-zero", GOOD, f"{DISPATCH} --shards 0", "--shards", "expected 1 or more"),
    case("shards-a-word", GOOD, f"{DISPATCH} --shards x", "--shards", "integer"),
    case("settings-unknown-key", GOOD | {"hipopt.toml": b"shrads = 3\n"}, DISPATCH, "hipopt.toml",
         "shrads"),
    case("settings-broken", GOOD | {"hipopt.toml": b"shards = \n"}, DISPATCH,
         "hipopt.toml", "line 1"),
    case("settings-wrong-type", GOOD | {"hipopt.toml": b'shards = "many"\n'}, DISPATCH,
         "hipopt.toml: 'shards'"),
    case("settings-missing", GOOD, f"{DISPATCH} --config no.toml", "no.toml", "--config"),
    case("device-amd", GOOD, f"{RUN} --device amd", "GPU", "--device cpu", code=1),
    case("evaluate-device-nvidia", EVALUATE, f"{JUDGE} --device nvidia", "--device cpu"),
    case("device-unknown", GOOD, f"{RUN} --device tpu", "--device", "tpu", "cpu"),
    case("command-unknown", {}, "optimise", "optimise"),
    case("option-unknown", GOOD, f"{DISPATCH} --fast", "--fast"),
    case("retry-unknown", GOOD, f"{DISPATCH} --retry slow", "--retry slow", "timeout", "all"),
    case("limit-zero", GOOD, f"{DISPATCH} --limit 0", "--limit"),
    case("shard-unknown", GOOD, f"{DISPATCH} --only-shard 99", "no shard 99", "0 to"),
    case("cache-below-a-file", EVALUATE | {"f": b""}, f"{JUDGE} --cache-dir f/c", "f/c", code=1),
]  # fmt: skip

BROKERS = [
    case("dispatch-no-broker", GOOD, DISPATCH, CLOSED, "refused", "--broker-url", code=1),
    case("worker-no-broker", GOOD, f"worker --replay r.jsonl --broker {CLOSED}", CLOSED,
         "--broker-url", code=1),
    case("collect-no-broker", {}, f"collect --log l.jsonl --broker {CLOSED}", CLOSED,
         "--broker-url", code=1),
    case("flower-no-broker", {}, f"flower --broker {CLOSED}", CLOSED, "--broker-url", code=1),
    case("broker-scheme", GOOD, "dispatch m.json --log l.jsonl --broker http://:pw@h/0",
         "http://:***@h/0", "redis://", code=1),
    case("broker-port", GOOD, "dispatch m.json --log l.jsonl --broker redis://:pw@h:99999/0",
         "redis://:***@h:99999/0", "the port must be", "redis://HOST:PORT", code=1),
    case("broker-db", GOOD, "dispatch m.json --log l.jsonl --broker redis://127.0.0.1:1/x",
         "redis://127.0.0.1:1/x", code=1),
    case("broker-no-host", GOOD,
         "dispatch m.json --log l.jsonl --broker redis://:pw@no-such-host.invalid/0",
         "redis://:***@no-such-host.invalid/0", "--broker-url", code=1),
    case("broker-socket-missing", GOOD,
         "dispatch m.json --log l.jsonl --broker redis+socket:///no/redis.sock",
         "redis+socket:///no/redis.sock", "--broker-url", code=1),
    case("broker-socket-db", GOOD,
         "dispatch m.json --log l.jsonl --broker redis+socket:///no/redis.sock?virtual_host=x",
         "redis+socket:///no/redis.sock?virtual_host=x", "virtual_host=DB", code=1),
]  # fmt: skip

EVALUATIONS = [
    case("reference-missing", {}, JUDGE, "a.hip: No such file", "HIP source"),
    case("candidate-missing", {"a.hip": KERNEL.encode()}, JUDGE, "b.hip: No such file"),
    case("candidate-a-folder", {"a.hip": KERNEL.encode(), "b.hip/": b""}, JUDGE, "b.hip: Is a dir"),
    case("kernel-unknown", EVALUATE, f"{JUDGE}kk", "a.hip", "kkk"),
    case("workload-missing", EVALUATE, f"{JUDGE} --workload w", "w: No such file", "workload"),
    case("workload-not-json", EVALUATE | {"w": b"{x"}, f"{JUDGE} --workload w", "w: not JSON"),
    case("workload-not-utf8", EVALUATE | {"w": b'{"grid": "\xe4"}'}, f"{JUDGE} --workload w",
         "w: not JSON"),
    case("workload-empty-list", EVALUATE | {"w": b"[]"}, f"{JUDGE} --workload w", "w:", "empty"),
    case("workload-number", EVALUATE | {"w": b"5"}, f"{JUDGE} --workload w", "w:", "object"),
    case("workload-unknown-field", EVALUATE | {"w": lines({**WORKLOAD, "gird": 1})},
         f"{JUDGE} --workload w", "w:", "gird"),
    case("workload-block-negative", EVALUATE | {"w": lines({**WORKLOAD, "block": [-1, 1, 1]})},
         f"{JUDGE} --workload w", "w:", "block"),
    case("seed-words", EVALUATE, f"{JUDGE} --seed a,b", "--seed a,b", "integers"),
    case("kernel-option-missing", EVALUATE, "evaluate --reference a.hip --candidate b.hip",
         "--kernel"),
]  # fmt: skip

EXTRACTIONS = [
    case("extract-no-kernel", {"a.cpp": b"int main() {}"}, "extract a.cpp -o o.json",
         "no HIP kernel", "a.cpp"),
    case("extract-path-missing", {}, "extract nope -o o.json", "nope doesn't exist"),
    case("extract-output-there", EVALUATE | {"o.json": b"mine"}, "extract a.hip -o o.json",
         "o.json", "--force"),
    case("extract-output-below-a-file", EVALUATE | {"f": b""}, "extract a.hip -o f/o.json",
         "f/o.json", "Not a directory", code=1),
    case("extract-output-a-folder", EVALUATE | {"o.json/": b""}, "extract a.hip -o o.json --force",
         "o.json", "directory", code=1),
    case("extract-output-not-given", EVALUATE, "extract a.hip", "--output"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "words", "says", "code"),
    [*MANIFESTS, *LOGS, *SOURCES, *SETTINGS, *BROKERS, *EVALUATIONS, *EXTRACTIONS],
)
def test_bad_input_is_named(
    shell: Shell, files: Mapping[str, bytes], words: str, says: tuple[str, ...], code: int
) -> None:
    """The place and the next step are said in a few lines, and no file of the caller changed."""
    shell.write(files)
    done = shell.hipopt(words)
    assert_says(done, code, *says)
    for name, content in files.items():
        path = shell.folder / name
        assert path.is_dir() if name.endswith("/") else path.read_bytes() == content


@pytest.mark.parametrize(("content", "says"), ROWS)
def test_a_bad_row_is_named(
    shell: Shell, shared_redis: RedisServer, content: bytes, says: tuple[str, ...]
) -> None:
    """A row that can't be judged is named with its id, by a dry run too; the others are sent."""
    shell.write({"m.json": content})
    words = "dispatch m.json --log l.jsonl --shards 1 --detach --namespace bad-rows"
    done = shell.hipopt(words, HIPOPT_BROKER_URL=shared_redis.url)
    assert_says(done, 1, "m.json", "row 2 (id 2)", "1 kernels on their way", *says)
    dry = shell.hipopt(f"{DISPATCH} --shards 1 --dry-run")
    assert_says(dry, 1, "row 2 (id 2)", "the broker does not answer", *says)
    assert "shard 0: 2 to send" in dry.stdout


def test_the_environment_is_named(shell: Shell) -> None:
    """A bad value from the environment is called by the variable's name."""
    shell.write(GOOD)
    assert_says(shell.hipopt(RUN, HIPOPT_SHARDS="x"), 2, "HIPOPT_SHARDS", "int")


def test_a_log_has_one_writer(shell: Shell, shared_redis: RedisServer) -> None:
    """A second run or collector on a log names the process that writes it, and leaves it alone."""
    shell.write(GOOD | {"l.jsonl": SETTLED})
    with ResultLog(shell.folder / "l.jsonl"):
        for words in (RUN, f"collect --log l.jsonl --broker {shared_redis.url}"):
            done = shell.hipopt(words)
            assert_says(done, 1, "l.jsonl", f"process {os.getpid()}", "is writing this log")
    assert (shell.folder / "l.jsonl").read_bytes() == SETTLED


def test_a_collector_refuses_a_corrupt_log(shell: Shell, shared_redis: RedisServer) -> None:
    """A line in the middle that is no row stops the collector, which names it and the way out."""
    shell.write({"l.jsonl": MIDDLE})
    done = shell.hipopt(f"collect --log l.jsonl --broker {shared_redis.url}")
    assert_says(done, 1, "l.jsonl: line 2", "--skip-bad-lines")
    assert (shell.folder / "l.jsonl").read_bytes() == MIDDLE


def test_a_wrong_password_is_not_shown(
    shell: Shell, redis_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A broker that refuses the password is named without it."""
    folder = tmp_path_factory.mktemp("locked-redis")
    server = RedisServer(redis_binary, folder, "--requirepass", "right")
    shell.write(GOOD)
    try:
        url = server.url.replace("//", "//:hunter2@")
        for words in ("dispatch m.json --log l.jsonl", "worker --replay r.jsonl"):
            done = shell.hipopt(words, HIPOPT_BROKER_URL=url)
            assert_says(done, 1, url.replace("hunter2", "***"), "password")
            assert "hunter2" not in done.stderr + done.stdout
    finally:
        server.kill()


def test_too_few_arguments_are_a_verdict(shell: Shell) -> None:
    """A workload that doesn't fit the kernel is no mistake of the call: exit 0, and it is said."""
    shell.write(EVALUATE | {"w": lines(WORKLOAD)})
    done = shell.hipopt(f"{JUDGE} --workload w --json")
    assert_says(done, 0)
    found = json.loads(done.stdout)
    assert found["verdict"] == "unverifiable"
    assert re.search(r"\b1\b.*\b3\b|\b3\b.*\b1\b", found["reason"])


def test_a_refusing_model_ends_the_run(shell: Shell) -> None:
    """A wrong key ends the run at once with one message; no kernel is blamed, no key is shown."""
    shell.write({"m.json": array(*({**ROW, "id": i} for i in range(8)))})
    with Endpoint(error(401, f"wrong key {KEY}")) as endpoint:
        words = f"run m.json --log l.jsonl --model m --base-url {endpoint.url} --concurrency 2"
        done = shell.hipopt(words, OPENAI_API_KEY=KEY)
    assert_says(done, 1, endpoint.url, "401", "check the key in")
    assert done.stderr.count(endpoint.url) == 1
    assert "waiting" not in done.stderr
    log = shell.folder / "l.jsonl"
    assert not log.exists() or log.read_bytes() == b""
    for path in shell.folder.iterdir():
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in done.stderr + done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB; skips where mounting is not permitted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk to fill: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(folder: Path) -> None:
    """The disk of the folder has no room left."""
    ballast = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT)
    room = os.fstatvfs(ballast)
    os.posix_fallocate(ballast, 0, room.f_bavail * room.f_frsize)
    os.close(ballast)


def test_a_full_disk_ends_the_run(shell: Shell, small_disk: Path) -> None:
    """A run whose disk is full says so, and the log holds whole rows only."""
    shell.write(GOOD)
    log = small_disk / "l.jsonl"
    log.write_bytes(SETTLED)
    fill_up(small_disk)
    done = shell.hipopt(f"run m.json --log {log} --replay r.jsonl")
    assert_says(done, 1, str(small_disk), "No space left")
    assert log.read_bytes() == SETTLED


def test_a_disk_that_fills_up_costs_no_row(shell: Shell, small_disk: Path) -> None:
    """A run that fills its disk ends and says so; the log holds whole rows only, each id once."""
    shell.write({"r.jsonl": REPLY})
    kernels = [{**ROW, "id": i, "name": "k" * 2000} for i in range(60)]
    shell.write({"m.json": array(*kernels)})
    log = small_disk / "l.jsonl"
    log.write_bytes(SETTLED)
    done = shell.hipopt(f"run m.json --log {log} --replay r.jsonl --concurrency 2")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    written = log.read_bytes()
    assert written.startswith(SETTLED)
    assert written.endswith(b"\n")
    ids = [json.loads(line)["id"] for line in written.splitlines()]
    assert len(set(ids)) == len(ids) < 60


def test_a_full_disk_leaves_the_manifest(shell: Shell, small_disk: Path) -> None:
    """`extract --force` to a full disk says so, and the manifest that was there stays whole."""
    output = small_disk / "o.json"
    output.write_bytes(b"[]")
    big = KERNEL.replace("{ int", "{ /*" + "x" * 70_000 + "*/ int")
    shell.write({"big.hip": big.encode()})
    done = shell.hipopt(f"extract big.hip -o {output} --force")
    assert_says(done, 1, str(small_disk), "No space left", "make room")
    assert output.read_bytes() == b"[]"
    assert sorted(p.name for p in small_disk.iterdir()) == ["o.json"]

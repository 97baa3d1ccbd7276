"""What one kernel costs on the CPU device, by stage, and how much of it is ours.

Runs every bundled kernel with its recorded replies through slicing, compiling (cold), checking and
timing in one process, and then measures what queueing and logging cost a kernel over a real Redis
with tasks that do nothing; and, where torch is installed, what its own builder takes for one
extension. Prints medians in milliseconds. All figures come from one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.builders import compared, judgement_seconds, torch_build
from hipopt.broker.app import connect, make_app
from hipopt.broker.embedded import EmbeddedBroker
from hipopt.collect import Collector
from hipopt.device.cpu.device import CpuDevice
from hipopt.dispatch.dispatcher import Dispatcher, DispatchOptions
from hipopt.judge.judge import Judge
from hipopt.judge.options import Prepared
from hipopt.llm.reply import Candidate, parse_reply
from hipopt.log.writer import ResultLog
from hipopt.manifest import Manifest
from hipopt.messages import encode_row, result_queue, shard_queue
from hipopt.records import KernelTask, ResultRow
from hipopt.settings import Settings
from hipopt.source.slice import slice_kernel
from hipopt.source.splice import SpliceFailure, splice

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=12, help="how many bundled kernels to judge")
    parser.add_argument("--rows", type=int, default=2000, help="how many tasks to queue and log")
    options = parser.parse_args()
    tasks = list(Manifest(EXAMPLES / "manifest.json").tasks())[: options.kernels]
    with tempfile.TemporaryDirectory(prefix="hipopt-bench-") as scratch:
        stages, per_kernel = judge_kernels(tasks, Path(scratch))
        orchestration = queue_and_log(tasks[0], options.rows, Path(scratch))
    report(stages, per_kernel, orchestration, len(tasks), options.rows)
    report_builder()


def judge_kernels(tasks: list[KernelTask], scratch: Path) -> tuple[dict[str, list[float]], float]:
    """Milliseconds by stage, one value a candidate; and wall milliseconds a candidate."""
    replies = defaultdict(list)
    for line in (EXAMPLES / "replies.jsonl").read_text().splitlines():
        row = json.loads(line)
        replies[row["id"]].append(row["reply"])
    judge = Judge(CpuDevice(scratch / "cache"))
    judge.device.describe()
    stages: dict[str, list[float]] = defaultdict(list)
    walls = []
    for task in tasks:
        started = time.perf_counter()
        reference = slice_kernel(task.hip_source, task.name, code_body=task.code_body)
        stages["slice"].append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        prepared = judge.prepare(reference, task.workloads)
        stages["prepare the original"].append(1000 * (time.perf_counter() - started))
        if not isinstance(prepared, Prepared):
            continue
        for reply in replies[task.id]:
            started = time.perf_counter()
            parsed = parse_reply(reply, task.name)
            if not isinstance(parsed, Candidate):
                continue
            candidate = splice(reference, parsed.code)
            stages["read and splice a reply"].append(1000 * (time.perf_counter() - started))
            if isinstance(candidate, SpliceFailure):
                continue
            judgement = judge.judge(prepared, candidate)
            if judgement.verdict.correct:
                for stage, seconds in judgement.stage_seconds.items():
                    stages[stage].append(1000 * seconds)
                walls.append(1000 * (time.perf_counter() - started))
    return stages, statistics.median(walls)


def queue_and_log(task: KernelTask, rows: int, scratch: Path) -> dict[str, float]:
    """CPU milliseconds a kernel of dispatching, and of collecting and logging."""
    plain = [{"id": i, "name": task.name, "code_body": task.code_body} for i in range(rows)]
    manifest, log_path = scratch / "manifest.json", scratch / "log.jsonl"
    manifest.write_text(json.dumps(plain))
    with EmbeddedBroker() as broker:
        settings = Settings(manifest=manifest, log=log_path, broker_url=broker.url)
        started = cpu_s()
        Dispatcher(settings, DispatchOptions(wait=False)).run(lambda _: None, threading.Event())
        dispatched = cpu_s() - started
        app = make_app(settings)
        queues = [shard_queue(settings.namespace, k) for k in range(settings.shards)]
        with connect(settings) as client:
            assert sum(map(client.llen, queues)) == rows
            client.delete(*queues)
        with app.producer_pool.acquire(block=True) as producer:
            for i in range(rows):
                row = ResultRow(id=i, status="success", name=task.name, opt_kernel=task.code_body)
                producer.publish(
                    encode_row(row), exchange="", routing_key=result_queue(settings.namespace),
                    content_type="application/json", content_encoding="utf-8",
                )  # fmt: skip
        started = cpu_s()
        with ResultLog(log_path) as log:
            Collector(settings, log).run(threading.Event(), until_rows=rows)
        collected = cpu_s() - started
    return {"dispatch": 1000 * dispatched / rows, "collect and log": 1000 * collected / rows}


def cpu_s() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(
    stages: dict[str, list[float]], per_kernel: float, orchestration: dict[str, float],
    kernels: int, rows: int,
) -> None:  # fmt: skip
    print(f"{kernels} kernels on the CPU device; medians, wall ms (emulator: no GPU's times)")
    for stage, values in stages.items():
        print(f"  {stage:26} {statistics.median(values):9.1f}   n={len(values)}")
    print(f"  {'a correct candidate, whole':26} {per_kernel:9.1f}")
    print(f"{rows} tasks that do nothing; CPU ms a kernel")
    for stage, value in orchestration.items():
        print(f"  {stage:26} {value:9.2f}")
    ours = sum(orchestration.values()) + statistics.median(stages["slice"])
    ours += statistics.median(stages["read and splice a reply"])
    print(f"our own share (slice, splice, queue, log): {100 * ours / (ours + per_kernel):.1f} %")


def report_builder() -> None:
    build = torch_build(builds=1)
    if isinstance(build, str):
        print(f"torch's own builder not measured: {build}")
        return
    print("\n".join(compared(build, judgement_seconds(times=5))))


if __name__ == "__main__":
    main()

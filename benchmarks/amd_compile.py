"""What compiling for AMD costs, beside full programs, beside the cache, and on two cores.

A full program is the file that a kernel comes from, through clang's device and host passes and the
bundler (Debian: clang-tools-19), as hipcc runs them, without its link. Compiles that are compared
alternate in random order, so that a busy machine slows both; waiting for a free core does not
count, but for the last figure.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from hipopt.device import process
from hipopt.device.amd.compiler import AmdCodeObject, AmdCompiler, unit_text
from hipopt.device.amd.toolchain import compiler_environ
from hipopt.source.capsule import Capsule
from hipopt.source.slice import slice_kernel

EXAMPLES = Path(__file__).parents[1] / "examples"
TIMEOUT_S = 300.0
WANTED = {"device": 0.6, "warm": 50.0, "cores": 1.8}

Job = tuple[Capsule, tuple[str, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="gfx90a")
    parser.add_argument("--files", type=int, default=12, help="how many of the bundled files")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is compiled")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hipopt-amd-compile-") as name:
        report(Path(name), options.arch, options.files, options.rounds)


def report(place: Path, arch: str, files: int, rounds: int) -> None:
    shared = AmdCompiler(place / "shared", arch)
    print(f"{shared.describe()}; {arch}")
    programs = list(islice(whole_programs(shared, place), files))
    print(f"{len(programs)} files that clang compiles whole")
    ratio, device_s, whole_s = beside_programs(shared, programs, rounds)
    say("device", ratio, "at most", f"of a full program: {device_s:.2f} s, {whole_s:.2f} s")
    jobs = [job for job, _ in programs]
    cold_s, warm_s = cold_and_warm(shared, jobs)
    text = f"times as fast from the cache: {cold_s:.2f} s, {warm_s * 1e3:.2f} ms"
    say("warm", cold_s / warm_s, "at least", text)
    ours, bare = two_cores(shared, longest_first(shared, jobs), rounds)
    text = f"times as fast on two cores; bare clang, at the same moments: {bare:.2f}"
    say("cores", ours, "at least", text)


def say(name: str, value: float, bound: str, text: str) -> None:
    print(f"{name:8}{value:8.2f} (wanted {bound} {WANTED[name]}) {text}")


def whole_programs(compiler: AmdCompiler, place: Path) -> Iterator[tuple[Job, Path]]:
    """Bundled kernels with the files that they come from, where clang compiles those whole."""
    for kernel in bundled():
        source = EXAMPLES / kernel["hip_file"]
        if whole(compiler, source, place) is not None:
            template = tuple(kernel["workloads"][0].get("template", ()))
            yield (slice_kernel(source.read_text(), kernel["name"]), template), source


def bundled() -> list[dict[str, Any]]:
    """The rows of the bundled manifest that come with workloads."""
    rows = json.loads((EXAMPLES / "manifest.json").read_text())
    return [row for row in rows if row.get("workloads")]


def whole(compiler: AmdCompiler, source: Path, place: Path) -> float | None:
    """Wall seconds of host and device passes into an object file; None where clang refuses."""
    kept = [f for f in compiler.toolchain.flags(compiler.arch) if f not in DEVICE_ONLY]
    output = str(place / "whole.o")
    command = [
        str(compiler.toolchain.installation.compiler),
        *kept,
        "-c",
        str(source),
        "-o",
        output,
    ]
    start = time.perf_counter()
    environ = compiler_environ(place)
    done = process.run(command, cwd=place, environ=environ, timeout_s=TIMEOUT_S)
    return time.perf_counter() - start if done.exit_code == 0 else None


DEVICE_ONLY = {"--cuda-device-only", "--no-gpu-bundle-output"}


def beside_programs(
    compiler: AmdCompiler, programs: Sequence[tuple[Job, Path]], rounds: int
) -> tuple[float, float, float]:
    """Median over kernels of device-only by whole time, and the medians of both."""
    ratios, devices, wholes = [], [], []
    for job, source in programs:

        def device(job: Job = job) -> float:
            code = compiler.compile(*fresh(job, random.randrange(10**12)), TIMEOUT_S)
            assert isinstance(code, AmdCodeObject)
            return code.compile_seconds

        def program(source: Path = source) -> float:
            seconds = whole(compiler, source, compiler.toolchain.directory)
            assert seconds is not None
            return seconds

        one, other = alternating((device, program), rounds)
        ratios.append(one / other)
        devices.append(one)
        wholes.append(other)
    return statistics.median(ratios), statistics.median(devices), statistics.median(wholes)


def alternating(
    tries: tuple[Callable[[], float], Callable[[], float]], rounds: int
) -> tuple[float, float]:
    """Medians of both, tried in random order round by round."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for index in random.sample((0, 1), 2):
            times[index].append(tries[index]())
    return statistics.median(times[0]), statistics.median(times[1])


def fresh(job: Job, number: int) -> Job:
    """The same kernel as a source that no cache has."""
    capsule, template = job
    source = f"{capsule.source}// {number}\n"
    renewed = Capsule(
        source=source,
        kernel=capsule.kernel,
        parameters=capsule.parameters,
        kernel_text=capsule.kernel_text,
    )
    return renewed, template


def cold(compiler: AmdCompiler, jobs: Sequence[Job], workers: int) -> float:
    """Wall seconds of compiling all the jobs, several at a time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        codes = list(pool.map(lambda job: compiler.compile(*job, TIMEOUT_S), jobs))
    assert all(isinstance(code, AmdCodeObject) for code in codes)
    return time.perf_counter() - start


def cold_and_warm(compiler: AmdCompiler, jobs: Sequence[Job]) -> tuple[float, float]:
    """Median seconds of a first compile and of a second one of the same source."""
    firsts, seconds = [], []
    for number, job in enumerate(jobs):
        renewed = fresh(job, -number)
        code = compiler.compile(*renewed, TIMEOUT_S)
        assert isinstance(code, AmdCodeObject)
        firsts.append(code.compile_seconds)
        start = time.perf_counter()
        compiler.compile(*renewed, TIMEOUT_S)
        seconds.append(time.perf_counter() - start)
    return statistics.median(firsts), statistics.median(seconds)


def longest_first(compiler: AmdCompiler, jobs: Sequence[Job]) -> list[Job]:
    """The jobs in the order in which two cores are done with them at about the same time."""
    seconds = {}
    for number, job in enumerate(jobs):
        code = compiler.compile(*fresh(job, number), TIMEOUT_S)
        assert isinstance(code, AmdCodeObject)
        seconds[number] = code.compile_seconds
    return [jobs[number] for number in sorted(seconds, key=lambda n: -seconds[n])]


def two_cores(compiler: AmdCompiler, jobs: Sequence[Job], rounds: int) -> tuple[float, float]:
    """How many times as fast all jobs are two at a time as one by one: by us, and by bare clang.

    The second is what this machine can give: it has neither cache nor sandbox nor readers.
    """

    def ours(workers: int) -> float:
        return cold(compiler, [fresh(job, random.randrange(10**12)) for job in jobs], workers)

    with tempfile.TemporaryDirectory() as name:
        commands = [bare_command(compiler, job, Path(name) / str(n)) for n, job in enumerate(jobs)]

        def bare(workers: int) -> float:
            start = time.perf_counter()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(partial(run_bare, place=Path(name)), commands))
            return time.perf_counter() - start

        times: dict[tuple[Callable[[int], float], int], list[float]] = {}
        for _ in range(rounds):
            for which in random.sample([(ours, 1), (ours, 2), (bare, 1), (bare, 2)], 4):
                times.setdefault(which, []).append(which[0](which[1]))
    middle = {which: statistics.median(found) for which, found in times.items()}
    return middle[ours, 1] / middle[ours, 2], middle[bare, 1] / middle[bare, 2]


def bare_command(compiler: AmdCompiler, job: Job, stem: Path) -> list[str]:
    """The compiler's own command line for the job, its unit written beside the output."""
    source = stem.with_suffix(".hip")
    source.write_text(unit_text(*job))
    header = ["-include-pch", str(compiler.header)]
    arguments = [*header, str(source), "-o", str(stem.with_suffix(".co"))]
    return compiler.toolchain.command(compiler.arch, *arguments)


def run_bare(command: Sequence[str], place: Path) -> None:
    """The command has ended well."""
    environ = compiler_environ(place)
    done = process.run(command, cwd=place, environ=environ, timeout_s=TIMEOUT_S)
    assert done.exit_code == 0, done.output


if __name__ == "__main__":
    main()

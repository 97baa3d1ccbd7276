"""Kernels that misbehave end in a verdict that says what they did, and nothing else happens."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipopt.device.interface import Fault, Launched
from hipopt.records import DType, Scalar, Verdict

PAGE = np.zeros(1024, np.float32)  # fills one page
PART = np.zeros(1025, np.float32)  # leaves slack in its pages
ONE = np.zeros(1, np.int32)


def touch(statement: str) -> str:
    """A kernel of which thread 3 alone does that."""
    return f"__global__ void k(float* x) {{ if (threadIdx.x == 3) {{ {statement}; }} }}"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("x[1024] = 1.0f", ("wrote 0 bytes behind the end", "element 1024 of 1024 float32")),
        ("x[0] = x[1024]", ("read 0 bytes behind the end", "argument 1")),
        ("x[-1] = 1.0f", ("wrote 4 bytes before the start", "element -1 of 1024")),
        ("x[0] = x[200000000]", ("behind the end", "element 200000000")),
        ("x[-200000000] = 0.0f", ("before the start", "element -200000000")),
    ],
)
def test_guards(cpu: Any, statement: str, words: tuple[str, ...]) -> None:
    """Reads and writes outside a buffer fault, with the thread, the argument and the distance."""
    fault = cpu.fault(touch(statement), [PAGE], grid=(1, 2, 1))
    assert fault.verdict == Verdict.OUT_OF_BOUNDS
    for word in (*words, "thread (3,0,0) of block (0,0,0)"):
        assert word in fault.reason


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("x[1025] = 1.0f", "0 bytes behind its end (1025 elements of float32)"),
        ("x[-1] = 1.0f", "before its start"),
    ],
)
def test_slack(cpu: Any, statement: str, words: str) -> None:
    """Writes that hit the rest of a buffer's own pages are found when it is read."""
    fault = cpu.fault(touch(statement), [PART])
    assert fault.verdict == Verdict.OUT_OF_BOUNDS
    assert words in fault.reason


def test_arguments_are_named(cpu: Any) -> None:
    """The buffer at fault is told from its neighbours, scalars before it notwithstanding."""
    source = "__global__ void k(int n, float* a, float* b) { b[1024] = a[0] + n; }"
    args = [Scalar(name="n", scalar="int32", value=1), PAGE, PAGE]
    assert "argument 3" in cpu.fault(source, args, block=(1, 1, 1)).reason


CRASHES = {
    "null": ("*(volatile int*)0 = 1", "null pointer (address 0)"),
    "wild": ("*(volatile int*)0x123456789000 = 1", "near none of its buffers"),
    "divide": ("volatile int zero = 0; *x = (7 + *x) / zero", "SIGFPE"),
    "abort": ("abort()", "SIGABRT"),
    "trap": ("__trap()", "SIGILL"),
    "assert": ("assert(x == nullptr)", "assertion failed in line 3"),
    "exit": ("_exit(0)", "ended its process with exit code 0"),
    "new": ("volatile char* p = new char[1ull << 40]; p[0] = 1", "out of memory"),
    "leak": ("for (;;) { volatile char* p = new char[1 << 20]; p[9] = 1; }", "out of memory"),
    "stack": ("volatile char big[1 << 20]; big[*x] = 1; *x = big[*x + 1]", "stack overflow"),
    "fork": ("fork()", "may not call"),
    "system": ('system("true")', "may not call"),
    "open": ('open("/etc/passwd", O_RDONLY)', "may not call (open"),
    "socket": ("socket(AF_INET, SOCK_STREAM, 0)", "may not call (socket"),
    "kill": ("kill(getppid(), SIGKILL)", "may not call"),
    "execve": ('execl("/bin/true", "true", nullptr)', "may not call (execve"),
    "ftruncate": ("for (int fd = 0; fd < 16; ++fd) ftruncate(fd, 0)", "may not call (ftruncate"),
    "code": ("mprotect((void*)0x400000, 4096, 7)", "may not call (mprotect"),
    "shared": ("mmap(0, 1 << 20, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0)", "may not call (mmap"),
    "handler": ("signal(SIGSEGV, SIG_IGN)", "may not call (rt_sigaction"),
}
HEADERS = """#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
"""


@pytest.mark.parametrize("name", CRASHES)
def test_crashes(cpu: Any, name: str) -> None:
    """Crashes and forbidden calls end the child alone, and the reason says which it was."""
    statement, words = CRASHES[name]
    headers = "" if name == "assert" else HEADERS
    fault = cpu.fault(f"{headers}\n__global__ void k(int* x) {{ {statement}; }}", [ONE])
    assert fault.verdict == Verdict.CRASHED
    assert words in fault.reason


def test_fault_names_the_line(cpu: Any) -> None:
    """A fault's reason names the line of the capsule, also where it lies in a helper."""
    if shutil.which("addr2line") is None:
        pytest.skip("addr2line (binutils) is not installed")
    source = """
    __device__ void put(float* x, int i) {
        x[i] = 1.0f;
    }
    __global__ void k(float* x) { put(x, 1024 + threadIdx.x); }
    """
    assert "line 4, thread (0,0,0)" in cpu.fault(source, [PAGE]).reason


def test_recursion(cpu: Any) -> None:
    """Endless recursion is a stack overflow, not a hang and not a stray write."""
    source = """
    __device__ int down(int n) { volatile int a[32]; a[n % 32] = n; return down(n + 1) + a[3]; }
    __global__ void k(int* x) { __syncthreads(); *x = down(0); }
    """
    fault = cpu.fault(source, [ONE])
    assert (fault.verdict, "stack overflow" in fault.reason) == (Verdict.CRASHED, True)


def test_endless_loop(cpu: Any) -> None:
    """A kernel that does not end is killed at its deadline, and the session stays dead."""
    code = cpu.compile("__global__ void k(volatile int* x) { while (*x == 0) {} }")
    with cpu.device.open(code) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
        fault = session.launch(0.2)
        assert isinstance(fault, Fault)
        assert fault.verdict == Verdict.TIMEOUT
        assert session.launch(0.2) == fault
        assert session.read() == fault
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) == fault


def test_waiting_for_a_core_is_no_timeout(cpu: Any) -> None:
    """What a launch may use up is CPU time: one that is kept off its core for longer ends well."""
    code = cpu.compile("__global__ void k(int* x) { *x = 5; }")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = set(children.read_text().split())
    with cpu.device.open(code) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
        (child,) = map(int, set(children.read_text().split()) - before)
        os.kill(child, signal.SIGSTOP)
        timer = threading.Timer(0.8, os.kill, (child, signal.SIGCONT))
        timer.start()
        launched = session.launch(0.5)
        timer.join()
        assert isinstance(launched, Launched)
        assert session.read()[0].tolist() == [5]


def test_printf_flood(cpu: Any) -> None:
    """A kernel that prints for ever costs its deadline and nothing else."""
    source = """__global__ void k(int* x) { for (;;) printf("%01000d", 1); }"""
    assert cpu.fault(source, [ONE], timeout_s=0.3).verdict == Verdict.TIMEOUT


def test_diverged_barrier(cpu: Any) -> None:
    """Lanes of one wave at different barriers are told, not left to hang."""
    source = """
    __global__ void k(int* x) {
        if (threadIdx.x < 32) {
            __syncthreads();
        } else {
            *x = 1;
            __syncthreads();
        }
    }
    """
    fault = cpu.fault(source, [ONE])
    assert fault.verdict == Verdict.CRASHED
    assert "different barriers, lines 5 and 8" in fault.reason


@pytest.mark.parametrize("index", [8, 1000, 60_000])
def test_dynamic_lds_overrun(cpu: Any, index: int) -> None:
    """Writes behind the dynamic LDS that the workload gives are found, near and far."""
    source = """
    __global__ void k(int* x, int i) { extern __shared__ float s[]; s[i] = 1.0f; }
    """
    args = [ONE, Scalar(name="i", scalar="int32", value=index // 4)]
    fault = cpu.fault(source, args, block=(1, 1, 1), lds_bytes=8)
    assert fault.verdict == Verdict.OUT_OF_BOUNDS
    assert "dynamic LDS" in fault.reason


def test_static_constructor_is_sandboxed(cpu: Any) -> None:
    """Code that runs before main can't open a file either, and shows as a crash on load."""
    source = """
    #include <fcntl.h>
    struct Early { Early() { open("/etc/passwd", O_RDONLY); } } early;
    __global__ void k(int* x) { *x = 1; }
    """
    with cpu.device.open(cpu.compile(source)) as session:
        fault = session.load((1, 1, 1), (1, 1, 1), 0, [ONE])
        assert isinstance(fault, Fault)
        assert (fault.verdict, "may not call" in fault.reason) == (Verdict.CRASHED, True)


def test_code_before_constructors_is_sandboxed(cpu: Any) -> None:
    """Code that runs before all constructors, or while symbols are resolved, can't get out."""
    early = """
    #include <fcntl.h>
    #include <unistd.h>
    static void early() { if (open("/etc/passwd", O_RDONLY) >= 0) for (;;) {} }
    """
    preinit = """
    __attribute__((used, section(".preinit_array"))) static void (*entry)() = early;
    __global__ void k(int* x) { *x = 1; }
    """
    resolver = """
    extern "C" int answer() { return 1; }
    extern "C" int (*choose())() { early(); return answer; }
    extern "C" int resolved() __attribute__((ifunc("choose")));
    __global__ void k(int* x) { *x = resolved(); }
    """
    for way in (preinit, resolver):
        with cpu.device.open(cpu.compile(early + way)) as session:
            fault = session.load((1, 1, 1), (1, 1, 1), 0, [ONE])
            assert isinstance(fault, Fault)
            assert fault.verdict == Verdict.CRASHED


def test_forged_reply(cpu: Any) -> None:
    """A kernel that says it is done and computes on is caught, whichever way it goes on."""
    forge = """
    #include <unistd.h>
    #include <sys/socket.h>
    __device__ void forge(int said) {
        unsigned message[14] = {3, (unsigned)said};
        write(0, message, sizeof message);
    }
    """
    spin = "__global__ void k(volatile int* x) { forge(2); while (*x == 0) {} }"
    both = "__global__ void k(int* x) { forge(2); *x = 1; }"
    wrong = "__global__ void k(int* x) { forge(99); *x = 1; }"
    junk = "__global__ void k(int* x) { write(0, x, 4); *x = 1; }"
    verdicts = [
        cpu.fault(forge + body, [ONE], block=(1, 1, 1), timeout_s=0.3).verdict
        for body in (spin, both, wrong, junk)
    ]
    assert verdicts == [Verdict.TIMEOUT] + [Verdict.REJECTED] * 3


def test_stolen_time_is_counted(cpu: Any) -> None:
    """A kernel that answers early is charged for what it does before it rests."""
    source = """
    #include <unistd.h>
    #include <sys/socket.h>
    #include <stdlib.h>
    __global__ void k(volatile int* x) {
        unsigned message[14] = {3, 2};
        write(0, message, sizeof message);
        for (int i = 0; i < 20000000; ++i) *x = i;
        char next[8];
        read(0, next, 8);
    }
    """
    with cpu.device.open(cpu.compile(source)) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
        launched = session.launch(10)
        assert isinstance(launched, Launched)
        assert launched.time_us > 2000


@pytest.mark.parametrize(
    ("parameters", "args", "words"),
    [
        ("int* a, int* b", [ONE], "takes 2 arguments, the workload has 1"),
        ("int* a, double b", [ONE, ("float32", 1.5)], "takes 8 bytes, the workload's float32"),
        ("int* a, int b", [ONE, ONE], "a value of 4 bytes, the workload has a buffer"),
        ("int* a, int* b", [ONE, ("int32", 1)], "takes a pointer, the workload has a int32"),
        ("int* a, int b", [ONE, ("int32", 3e9)], "3000000000"),
    ],
)
def test_misfitting_arguments(cpu: Any, parameters: str, args: list[Any], words: str) -> None:
    """Arguments that do not fit the kernel's parameters are refused before anything runs."""
    values = [
        Scalar(name="s", scalar=_dtype(a[0]), value=a[1]) if isinstance(a, tuple) else a
        for a in args
    ]
    fault = cpu.fault(f"__global__ void k({parameters}) {{ *a = 1; }}", values)
    assert fault.verdict == Verdict.REJECTED
    assert words in fault.reason


@pytest.mark.parametrize(
    "shape",
    [{"block": (1025, 1, 1)}, {"grid": (2**31, 1, 1)}, {"lds_bytes": 1 << 20}],
)
def test_impossible_shapes(cpu: Any, shape: dict[str, Any]) -> None:
    """A launch that no device could do is refused, not tried."""
    fault = cpu.fault("__global__ void k(int* x) { *x = 1; }", [ONE], **shape)
    assert fault.verdict == Verdict.REJECTED


def test_fair_kernels_are_never_accused(cpu: Any) -> None:
    """Thousands of short launches pass the checks that catch kernels which run on."""
    code = cpu.compile("__global__ void k(int* x) { *x = 1; }")
    with cpu.device.open(code) as session:
        assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
        for _ in range(3000):
            assert isinstance(session.launch(5), Launched)


def _dtype(name: DType) -> DType:
    return name


def test_files_and_memory_are_returned(cpu: Any) -> None:
    """A hundred sessions leave no descriptor open here."""
    code = cpu.compile("__global__ void k(int* x) { *x = 1; }")
    before = len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))
    for _ in range(100):
        with cpu.device.open(code) as session:
            assert session.load((1, 1, 1), (1, 1, 1), 0, [ONE]) is None
            assert isinstance(session.launch(5), Launched)
    assert len(list(Path(f"/proc/{os.getpid()}/fd").iterdir())) == before


def test_sandbox_is_reported(cpu: Any) -> None:
    """Kernels run under a system call filter and under Landlock, and the device says so."""
    assert cpu.device.try_walls().missing == {}

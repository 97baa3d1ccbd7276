"""What a candidate may and may not hold."""

import pytest

from hipopt.source.capsule import Capsule
from hipopt.source.rules import check_rules
from hipopt.source.slice import slice_kernel

REFERENCE = slice_kernel("__global__ void k(int* x, int n) { x[0] = n; }", "k")


def capsule(source: str) -> Capsule:
    """The capsule of kernel `k`, or one around the statements given."""
    if "__global__" not in source:
        source = f"__global__ void k(int* x, int n) {{ {source} }}"
    return slice_kernel(source, "k")


K = "__global__ void k(int* x, int n) { x[0] = USED; }"

HONEST = {
    "plain": "x[threadIdx.x] += n;",
    "printf and assert": 'printf("system(%d) fopen\\n", n); assert(n > 0);',
    "math": "x[0] = (int)exp(1.0) + min(n, 3); __syncthreads(); atomicAdd(x, 1);",
    "comments and strings": '/* system("rm"); */ const char* s = "fork() .globl"; // exec <x>\n',
    "own helpers": "__device__ int open_gap(int a) { return a; }\n"
    "__device__ int open(int a) { return open_gap(a); }\n"
    "__global__ void k(int* x, int n) { int kill = open(n), signal = 3; x[0] = kill + signal; }",
    "members": "struct S { int open; };\n"
    "__global__ void k(int* x, int n) { S s; s.open = n; x[0] = s.open; }",
    "tables": "static constexpr int USED_T[2] = {1, 2};\n__constant__ float c[2] = {1, 2};\n"
    "__global__ void k(int* x, int n) { "
    "static const int t[2] = {1, 2}; x[0] = t[n] + USED_T[n] + c[n]; }",
    "shared memory": "extern __shared__ int s[]; __shared__ float t[4]; "
    "static __shared__ int u; x[0] = s[0];",
    "GPU assembly": 'asm volatile("s_waitcnt vmcnt(0)\\n v_add_f32 %0, %1" : "=v"(x[0]) : "v"(n));',
    "pragmas": "#pragma unroll 4\nfor (int i = 0; i < n; ++i) x[i] = 0;",
    "attributes": "__global__ void __launch_bounds__(64) "
    "__attribute__((amdgpu_waves_per_eu(2))) k(int* x, int n) { [[maybe_unused]] int a = x[n]; }",
    "lambda": "auto f = [&](int i) { return x[i]; }; x[0] = f(x[x[0]]);",
    "macros": "#define SIZE 4\n#define LOOP(i) for (int i = 0; i < SIZE; ++i)\n"
    "__global__ void k(int* x, int n) { LOOP(i) x[i] = n; }",
    "hip names": "x[0] = hipThreadIdx_x + hipBlockIdx_x;",
    "overloaded atomics": "__device__ double atomicAdd(double* p, double v) { return v; }\n"
    "__global__ void k(int* x, int n) { double d; atomicAdd(&d, 1.0); }",
}  # fmt: skip

FORBIDDEN = {
    "shell": ('system("true");', "'system' starts"),
    "std shell": ('std::system("true");', "'system' starts"),
    "global shell": ('::system("true");', "'system' starts"),
    "function pointer": ('auto f = &system; f("true");', "'system' starts"),
    "announced shell": (
        'extern "C" __device__ int system(const char*);\n'
        '__global__ void k(int* x, int n) { system("true"); }',
        "'system' starts",
    ),
    "exec": ('execve("/bin/true", 0, 0);', "'execve'"),
    "exit": ("if (n) _exit(0);", "'_exit'"),
    "file": ('std::ofstream f("x");', "'ofstream' reaches files"),
    "syscall": ("syscall(60, 0);", "'syscall'"),
    "thread": ("std::jthread t;", "'jthread'"),
    "clock": ("auto t = std::chrono::steady_clock::now();", "'chrono'"),
    "host API": ("hipMemcpy(x, x, 4, hipMemcpyDeviceToDevice);", "'hipMemcpy' calls the host"),
    "sync": ("hipDeviceSynchronize();", "'hipDeviceSynchronize'"),
    "launch": ("k<<<1, 1>>>(x, n);", "'<<<' launches"),
    "pasted": (
        '#define CAT(a, b) a##b\n__global__ void k(int* x, int n) { CAT(sys, tem)("true"); }',
        "'system'",
    ),
    "hidden in a macro": (
        '#define USED system("true")\n' + K,
        "'system'",
    ),
    "include in the body": ('\n#include "/etc/passwd"\n', "/etc/passwd"),
    "include by macro": ("\n#define F <x>\n#include F\n", "F is not one of the headers"),
    "embed": ("\n#embed </etc/passwd>\n", "#embed"),
    "digraph": ("\n%:include </etc/passwd>\n", "'%:'"),
    "split word": ("sys\\\ntem(0);", "splits a word"),
    "universal name": ("\\u0073ystem(0);", "stands outside of strings"),
    "incbin": ('asm(".incbin \\"/etc/passwd\\"");', "'.incbin'"),
    "incbin in parts": ('asm volatile(".inc" "bin \\"/etc/passwd\\"");', "'.incbin'"),
    "incbin escaped": ('asm("\\x2eINCBIN \\"/etc/passwd\\"");', "'.INCBIN'"),
    "incbin raw": ('asm(R"x(.incbin "/etc/passwd")x");', "'.incbin'"),
    "incbin by macro": (
        '#define USED asm(".incbin \\"x\\"")\n' + K,
        "'.incbin'",
    ),
    "section": ('asm(".pushsection .init_array");', "'.pushsection'"),
    "x86 call": ('asm("syscall");', "'syscall' in inline assembly"),
    "poison": ("\n#pragma GCC poison printf\n", "#pragma GCC poison"),
    "poison operator": ('_Pragma("GCC poison printf");', "poison"),
    "redefined builtin": ("#define threadIdx USED\n" + K + "\n// threadIdx\n", None),
    "redefined and used": (
        "#define threadIdx fake\n__global__ void k(int* x, int n) { x[threadIdx.x] = 1; }",
        "#define threadIdx",
    ),
    "redefined keyword": (
        "#define if(x) while (x)\n__global__ void k(int* x, int n) { if (n) return; }",
        "#define if",
    ),
    "redefined barrier": (
        "#define __syncthreads()\n__global__ void k(int* x, int n) { __syncthreads(); }",
        "#define __syncthreads",
    ),
    "constructor": (
        "__attribute__((constructor)) __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
    ),
    "gnu constructor": (
        "[[gnu::__constructor__]] __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
    ),
    "attribute by macro": (
        "#define ATTR(a) __attribute__((a))\nATTR(constructor) __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
    ),
    "sanitizer off": (
        "__attribute__((no_sanitize(\"address\"))) __global__ void k(int* x, int n) {}",
        "attribute 'no_sanitize'",
    ),
    "dynamic initialiser": (
        "__device__ int f() { return 1; }\nstatic const int c = f();\n"
        "__global__ void k(int* x, int n) { x[0] = c; }",
        "'c' is initialised by code",
    ),
    "static constructor": (
        "struct S { int a; __device__ S() { a = 1; } };\n__device__ const S s;\n"
        "__global__ void k(int* x, int n) { x[0] = s.a; }",
        "'s' is initialised by code",
    ),
    "state": (
        "__device__ int calls = 0;\n__global__ void k(int* x, int n) { x[0] = calls++; }",
        "'calls' keeps its value",
    ),
    "state behind a pointer": (
        "__device__ const int* last;\n__global__ void k(int* x, int n) { last = x; }",
        "'last' keeps its value",
    ),
    "static local": ("static int calls; x[0] = calls++;", "'calls' keeps its value"),
    "static member": (
        "struct S { inline static __device__ int calls = 0; };\n"
        "__global__ void k(int* x, int n) { x[0] = S::calls++; }",
        "'calls' keeps its value",
    ),
    "thread local": ("thread_local int t; x[0] = t++;", "'t' keeps its value"),
    "build time": ("x[0] = __TIME__[0];", "'__TIME__'"),
    "sanitizer sniffing": ("\n#ifdef __SANITIZE_ADDRESS__\nx[0] = 1;\n#endif\n", "timed one"),
    "emulator": ("hipopt::scheduler();", "'hipopt' belongs"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_kernels_pass(name: str) -> None:
    """Nothing that an honest kernel does is refused."""
    assert check_rules(capsule(HONEST[name]), REFERENCE) is None


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden_things_are_named(name: str) -> None:
    """What a kernel may not hold is refused with its line, and the reason says what it is."""
    source, told = FORBIDDEN[name]
    reason = check_rules(capsule(source), REFERENCE)
    if told is None:
        assert reason is None  # never reached by the kernel, so the slice doesn't hold it
        return
    assert reason is not None
    assert reason.startswith("line ")
    assert told in reason


def test_what_the_reference_holds_is_excused() -> None:
    """A counter of the reference may stay, another one may not come."""
    reference = capsule("__device__ int calls;\n__global__ void k(int* x, int n) { calls++; }")
    assert check_rules(reference, reference) is None
    other = capsule("__device__ int more;\n__global__ void k(int* x, int n) { more++; }")
    assert "'more' keeps" in str(check_rules(other, reference))


def test_the_line_is_the_candidates() -> None:
    """The line counts in the capsule's source, as the compiler's lines do."""
    candidate = capsule("x[0] = 1;\n  x[1] = 2;\n  exit(1);")
    reason = str(check_rules(candidate, REFERENCE))
    number = int(reason.split(":")[0].removeprefix("line "))
    assert "exit" in candidate.source.splitlines()[number - 1]

"""What the compiled code shows, however the source spells it."""

from __future__ import annotations

from typing import Any

import pytest

HONEST = {
    "maths": "x[0] = (int)(sinf(n) + pow((double)n, 0.3) + erfcf(n) + tgamma((double)n) + "
    "fmodf(n, 3.0f) + hypot((double)n, 2.0) + rsqrtf(n) + cospif(n) + norm3df(n, n, n));",
    "memory": "char a[64]; memset(a, n, 64); memcpy(x, a, n); memmove(x + 1, x, n);",
    "heap": "int* p = (int*)malloc(4 * n); p[0] = n; x[0] = p[0]; free(p); "
    "int* q = new int[n]; x[1] = q[0]; delete[] q;",
    "printing": 'printf("%d\\n", n); printf("plain\\n"); assert(n > 0);',
    "wide integers": "__int128 a = n; x[0] = (int)((a * a + 7) / (a + x[1])) + __popcll(n) + "
    "(int)(unsigned long long)(float)x[2];",
    "barriers and waves": "__shared__ int s[64]; s[threadIdx.x] = n; __syncthreads(); "
    "x[threadIdx.x] = __shfl_down(s[63 - threadIdx.x], 1) + (int)__ballot(n); atomicAdd(x, 1);",
    "halves": "__half h = __float2half((float)n); x[0] = (int)__half2float(hexp(h) + h);",
    "switch": "switch (n) { case 0: x[0] = 7; break; case 1: x[0] = 9; break; case 2: x[0] = 3; "
    "break; case 3: x[0] = 8; break; case 4: x[0] = 1; break; default: x[0] = n; }",
    "classes": "struct A { __device__ virtual int f(int i) { return i; } }; "
    "struct B : A { __device__ int f(int i) override { return i + x0; } int x0; }; "
    "B b; b.x0 = n; A* a = &b; x[0] = a->f(n);",
    "unwinding": "struct G { int* p; ~G() { *p = 1; } }; G g{x}; printf(\"%d\", n);",
    "dynamic LDS": "extern __shared__ int s[]; s[threadIdx.x] = n; x[0] = s[0];",
}  # fmt: skip

FOREIGN = {
    "pasted": (
        "#define A(x, y) B(x, y)\n#define B(x, y) x##y\n"
        '__global__ void k(int* x, int n) { x[0] = A(get, env)("HOME") != 0; }',
        "'getenv' is no device function",
    ),
    "renamed by a label": (
        'int quiet(const char*) __asm__("system");\n'
        '__global__ void k(int* x, int n) { x[0] = quiet("true"); }',
        "'system' is no device function",
    ),
    "by assembly": (
        '__global__ void k(int* x, int n) { asm("call fork"); }',
        "'fork' is no device function",
    ),
    "host data": (
        'extern "C" char** environ;\n__global__ void k(int* x, int n) { x[0] = environ != 0; }',
        "'environ' is no device function",
    ),
    "a stream": (
        "#include <iostream>\n__global__ void k(int* x, int n) { std::cout << n; }",
        "is no device function",
    ),
    "constructor": (
        "__device__ int seen;\nstruct S { S() { seen = 1; } } s;\n"
        "__global__ void k(int* x, int n) { x[0] = seen; }",
        "outside of a launch (section .init_array",
    ),
    "constructor attribute": (
        "int seen;\n__attribute__((constructor)) static void f() { seen = 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = seen; }",
        "outside of a launch (section .init_array",
    ),
    "resolver": (
        'extern "C" int one() { return 1; }\nextern "C" int (*choose())() { return one; }\n'
        'int f() __attribute__((ifunc("choose")));\n'
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "is chosen by code that runs outside",
    ),
    "interposed": (
        'extern "C" long write(int, const void*, unsigned long) { return 1; }\n'
        "__global__ void k(int* x, int n) { x[0] = 1; }",
        "'write' has C linkage",
    ),
    "allocation": (
        "void* operator new(unsigned long) { return nullptr; }\n"
        "__global__ void k(int* x, int n) { x[0] = 1; }",
        "takes the place of the device's own allocation",
    ),
}


def objections(cpu: Any, source: str) -> tuple[str, ...]:
    """Those against kernel `k` of the source, or against a kernel around the statements."""
    if "__global__" not in source:
        source = f"__global__ void k(int* x, int n) {{ {source} }}"
    found: tuple[str, ...] = cpu.compile(source).objections
    return found


@pytest.mark.parametrize("name", HONEST)
def test_device_code_passes(cpu: Any, name: str) -> None:
    """Nothing that device code may use is objected to."""
    assert objections(cpu, HONEST[name]) == ()


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_things_are_named(cpu: Any, name: str) -> None:
    """What comes from the host or runs outside of a launch shows in the compiled code."""
    source, told = FOREIGN[name]
    assert any(told in objection for objection in objections(cpu, source))


def test_the_kernel_may_have_c_linkage(cpu: Any) -> None:
    """An `extern "C"` kernel is as good as any."""
    assert objections(cpu, 'extern "C" __global__ void k(int* x, int n) { x[0] = n; }') == ()


def test_a_kernels_short_name_excuses_nothing(cpu: Any) -> None:
    """Only the kernel itself may have C linkage, not what begins like it."""
    source = 'extern "C" void kill(int) {}\n__global__ void k(int* x, int n) { x[0] = n; }'
    assert any("'kill' has C linkage" in found for found in objections(cpu, source))

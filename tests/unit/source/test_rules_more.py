"""Ways around the rules, each beside an honest kernel of the same look."""

import pytest

from hipopt.source.capsule import Capsule
from hipopt.source.rules import check_rules
from hipopt.source.slice import slice_kernel

REFERENCE = slice_kernel("__global__ void k(int* x, int n) { x[0] = n; }", "k")
K = "\n__global__ void k(int* x, int n) { x[0] = USED; }"


def capsule(source: str) -> Capsule:
    """The capsule of kernel `k`, or one around the statements given."""
    if "__global__" not in source:
        source = f"__global__ void k(int* x, int n) {{ {source} }}"
    return slice_kernel(source, "k")


PAIRS = {
    "pasted twice": (
        "#define C(a, b) C2(a, b)\n#define C2(a, b) a##b\n#define S sy\n"
        '__global__ void k(int* x, int n) { C(S, stem)("true"); }',
        "'system'",
        "#define C(a, b) C2(a, b)\n#define C2(a, b) a##b\n#define S sy\n"
        "__global__ void k(int* x, int n) { int C(S, nc) = n; x[0] = sync; }",
    ),
    "pasted by a later reading": (
        "#define C(a, b) a##b\n"
        '__global__ void k(int* x, int n) { HIP_SYMBOL(C HIP_SYMBOL((sys, tem)))("true"); }',
        "'system'",
        "#define C(a, b) a##b\n__global__ void k(int* x, int n) { int C(a, b) = n; x[0] = ab; }",
    ),
    "a parameter's name excuses nothing": (
        "#define CALL(kill) kill(1, 9)\n__global__ void k(int* x, int n) { CALL(kill); }",
        "'kill' starts",
        "#define SET(kill) kill = 1\n__global__ void k(int* x, int n) { SET(x[0]); }",
    ),
    "asm put together": (
        '#define A(a, b) a##b\n__global__ void k(int* x, int n) { A(as, m)(".incbin \\"f\\""); }',
        "'.incbin'",
        '#define A(a, b) a##b\n__global__ void k(int* x, int n) { A(as, m)("s_nop 0"); }',
    ),
    "incbin quoted by a macro": (
        '#define Q(x) #x\n__global__ void k(int* x, int n) { asm(Q(.incbin "/etc/passwd")); }',
        "incbin",
        '#define Q(x) #x\n__global__ void k(int* x, int n) { asm(Q(s_nop 0)); printf(Q(n)); }',
    ),
    "assembler directive": (
        'asm volatile("v_nop\\n .set a, 1");',
        "in inline assembly",
        'asm volatile("v_nop\\n v_add_f32 %0, 1.0, %0" : "+v"(n));',
    ),
    "assembler directive behind a label": (
        'asm volatile("1: .byte 15, 5");',
        "in inline assembly",
        'asm volatile("s_waitcnt lgkmcnt(0)");',
    ),
    "clock in assembly": (
        'long t; asm volatile("s_memtime %0" : "=s"(t)); x[0] = t;',
        "'s_memtime' in inline assembly",
        'asm volatile("s_mov_b32 %0, 1" : "=s"(n));',
    ),
    "register of the machine in assembly": (
        'asm volatile("s_getreg_b32 %0, hwreg(HW_REG_HW_ID)" : "=s"(n));',
        "'s_getreg_b32'",
        'asm volatile("s_barrier");',
    ),
    "x86 clock": (
        'asm volatile("rdtsc" : "=a"(n));',
        "'rdtsc'",
        'asm volatile("v_mov_b32 %0, 0" : "=v"(n));',
    ),
    "clock": (
        "x[0] = (int)clock64();",
        "reads a clock",
        "int clock64 = n; x[0] = clock64;",
    ),
    "wall clock": ("x[0] = (int)wall_clock64();", "reads a clock", "__syncthreads(); x[0] = n;"),
    "cycle counter": (
        "x[0] = (int)__builtin_readcyclecounter();",
        "reads a clock",
        "x[0] = __builtin_popcount(n) + (int)__builtin_fmaf(1.0f, 2.0f, 3.0f);",
    ),
    "real time": (
        "x[0] = (int)__builtin_amdgcn_s_memrealtime();",
        "reads a clock",
        "__builtin_amdgcn_s_barrier(); x[0] = __builtin_amdgcn_readfirstlane(n);",
    ),
    "hardware id": (
        "x[0] = __builtin_amdgcn_s_getreg(63492);",
        "part of the hardware",
        "x[0] = __builtin_amdgcn_mbcnt_lo(~0u, 0u);",
    ),
    "implicit arguments": (
        "x[0] = *(int*)__builtin_amdgcn_implicitarg_ptr();",
        "'__builtin_amdgcn_implicitarg_ptr'",
        "x[0] = __builtin_amdgcn_ds_bpermute(4 * n, n);",
    ),
    "x86 builtin": (
        "x[0] = (int)__builtin_ia32_rdtsc();",
        "no instruction of a GPU",
        "if (__builtin_expect(n > 0, 1)) x[0] = n; else __builtin_unreachable();",
    ),
    "optimised or not": (
        "x[0] = __builtin_constant_p(n);",
        "checked build from a timed one",
        "x[0] = __builtin_bit_cast(int, 1.0f);",
    ),
    "object size": (
        "x[0] = __builtin_object_size(x, 0);",
        "checked build from a timed one",
        "x[0] = sizeof(int);",
    ),
    "sanitizer by another name": (
        "\n#ifdef __SANITIZE_HWADDRESS__\nx[0] = 1;\n#endif\n",
        "checked build",
        "\n#ifdef __HIP_PLATFORM_AMD__\nx[0] = 1;\n#endif\n",
    ),
    "optimisation level": (
        "\n#if defined(__OPTIMIZE__)\nx[0] = 1;\n#endif\n",
        "checked build",
        "\n#if defined(__gfx942__)\nx[0] = 1;\n#endif\n",
    ),
    "emulator by its processor": (
        "\n#if defined(__x86_64__)\nx[0] = 1;\n#endif\n",
        "the emulator from a GPU",
        "\n#if __HIP_DEVICE_COMPILE__\nx[0] = 1;\n#endif\n",
    ),
    "emulator by its compiler": (
        "\n#ifdef __GNUC__\nx[0] = 1;\n#endif\n",
        "the emulator from a GPU",
        "\n#if __has_builtin(__builtin_amdgcn_s_barrier)\nx[0] = 1;\n#endif\n",
    ),
    "emulator by its library": (
        "\n#ifdef __GLIBCXX__\nx[0] = 1;\n#endif\n",
        "headers of the host",
        "\n#ifndef BLOCK\n#define BLOCK 64\n#endif\nx[0] = BLOCK;\n",
    ),
    "pasted by a header's macro": (
        '__CONCAT(sys, tem)("true");',
        "headers of the host",
        "x[0] = (int)UINT64_C(7);",
    ),
    "attribute of a header": (
        "__attribute_used__ static __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "headers of the host",
        "__attribute__((unused)) static __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
    ),
    "attribute pasted": (
        "#define P(a, b) a##b\n__attribute__((P(con, structor))) static __device__ int f() "
        "{ return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
        "#define P(a, b) a##b\n__attribute__((P(no, inline))) static __device__ int f() "
        "{ return 1; }\n__global__ void k(int* x, int n) { x[0] = f(); }",
    ),
    "attribute behind a macro of its name": (
        "#define constructor constructor\n"
        "__attribute__((constructor)) static __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
        "#define INLINE __attribute__((always_inline))\nINLINE inline __device__ int f() "
        "{ return 1; }\n__global__ void k(int* x, int n) { x[0] = f(); }",
    ),
    "attribute with using": (
        "[[using gnu: unused, constructor]] static __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
        "attribute 'constructor'",
        "[[using gnu: unused, noinline]] __device__ int f() { return 1; }\n"
        "__global__ void k(int* x, int n) { x[0] = f(); }",
    ),
    "optimise": (
        '__attribute__((optimize("Ofast"))) __global__ void k(int* x, int n) { x[0] = n; }',
        "attribute 'optimize'",
        "__attribute__((amdgpu_flat_work_group_size(64, 256))) __global__ void k(int* x, int n) "
        "{ x[0] = n; }",
    ),
    "alias": (
        'extern "C" __device__ int a() { return 1; }\n'
        'extern "C" __device__ int b() __attribute__((alias("a")));\n'
        "__global__ void k(int* x, int n) { x[0] = b(); }",
        "attribute 'alias'",
        "struct __attribute__((aligned(16), packed)) S { float a, b; };\n"
        "__global__ void k(int* x, int n) { S s; s.a = n; x[0] = s.a; }",
    ),
    "digraph": (
        "x<:0:> = n;",
        "stands for '['",
        "template <class T> struct S { T a; };\nstruct Q { int b; };\n"
        "__global__ void k(int* x, int n) { S<::Q> s; x[0] = n ? s.a.b :n; }",
    ),
    "digraph paste": (
        "#define C(a, b) a %:%: b\n"
        '__global__ void k(int* x, int n) { C(sys, tem)("true"); }',
        "stands for '#'",
        "#define R(a, b) a % b\n__global__ void k(int* x, int n) { x[0] = R(n, 3); }",
    ),
    "comment that ends elsewhere": (
        '/* *\\\n/ x[0] = 1; /* */ x[0] = n;',
        "splits the mark of a comment",
        "/* a * b \\ c / d */ x[0] = n; // done \\\\ x\n",
    ),
    "string that ends elsewhere": (
        'const char* s = "a\\ \n"; x[0] = 1; // "\n',
        "remove the blanks",
        'const char* s = "a \\\n b"; x[0] = s[n];',
    ),
    "unknown pragma": (
        "\n#pragma GCC optimize(\"Ofast\")\nx[0] = n;",
        "none of the pragmas",
        "\n#pragma clang loop unroll_count(4)\nfor (int i = 0; i < n; ++i) x[i] = i;",
    ),
    "pragma that moves a macro": (
        '\n#pragma push_macro("threadIdx")\nx[0] = n;',
        "none of the pragmas",
        "\n#pragma unroll(4)\nfor (int i = 0; i < n; ++i) x[i] = i;",
    ),
    "pragma operator in a macro": (
        '#define USED (_Pragma("weak memcpy") 1)' + K,
        "none of the pragmas",
        '#define USED 1\n__global__ void k(int* x, int n) { _Pragma("unroll") '
        "for (int i = 0; i < n; ++i) x[i] = USED; }",
    ),
    "weak by pragma": (
        "\n#pragma weak memcpy\nx[0] = n;",
        "none of the pragmas",
        "\n#pragma nounroll\nfor (int i = 0; i < n; ++i) x[i] = i;",
    ),
    "coordinates written": (
        "threadIdx.x = 0; x[0] = n;",
        "'threadIdx' is changed",
        "if (threadIdx.x == 0) x[0] = n; int i = blockIdx.x; i += threadIdx.x; x[1] = i;",
    ),
    "coordinates counted up": (
        "x[blockIdx.x++] = n;",
        "'blockIdx' is changed",
        "x[blockIdx.x + 1] = n; x[+threadIdx.x] = n - -threadIdx.x;",
    ),
    "coordinates' address": (
        "unsigned* p = &threadIdx.x; p[9] = 0;",
        "'threadIdx' is changed or handed out",
        "unsigned p = n & threadIdx.x; x[0] = p && threadIdx.x; x[1] = (n) & blockDim.x;",
    ),
    "reference to coordinates": (
        "auto& t = threadIdx; t.x = 0;",
        "handed out",
        "const auto& t = threadIdx; auto b = blockIdx; x[0] = t.x + b.x;",
    ),
    "a constant written": (
        "__constant__ int c[4];\n__global__ void k(int* x, int n) { x[0] = c[1]; c[1] += n; }",
        "'c' is __constant__",
        "__constant__ int c[4];\n__global__ void k(int* x, int n) { x[0] = c[1] == c[n + 2]; }",
    ),
    "managed": (
        "__managed__ int m;\n__global__ void k(int* x, int n) { x[0] = m++; }",
        "'m' keeps its value",
        "__constant__ int m = 3;\n__global__ void k(int* x, int n) { x[0] = m; }",
    ),
    "mutable member": (
        "struct S { mutable int calls; };\n__device__ const S s = {0};\n"
        "__global__ void k(int* x, int n) { x[0] = s.calls++; }",
        "'calls' keeps its value",
        "__global__ void k(int* x, int n) { int c = 0; auto f = [=]() mutable { return ++c; }; "
        "x[0] = f(); }",
    ),
    "template state": (
        "template <int N> __device__ int calls;\n"
        "__global__ void k(int* x, int n) { x[0] = calls<3>++; }",
        "'calls' keeps its value",
        "template <int N> constexpr int size = N * 2;\n"
        "__global__ void k(int* x, int n) { x[0] = size<3>; }",
    ),
    "state in a namespace": (
        "namespace { __device__ int calls; }\n"
        "__global__ void k(int* x, int n) { x[0] = calls++; }",
        "'calls' keeps its value",
        "namespace { __device__ int f(int a) { return a; } }\n"
        "__global__ void k(int* x, int n) { x[0] = f(n); }",
    ),
    "state in a lambda": (
        "auto f = []() { static int calls; return ++calls; }; x[0] = f();",
        "'calls' keeps its value",
        "auto f = []() { static constexpr int t[2] = {1, 2}; return t[1]; }; x[0] = f();",
    ),
    "added to std": (
        "namespace std { template <class T> __device__ T min(T a, int b) { return a; } }\n"
        "__global__ void k(int* x, int n) { x[0] = std::min(n, 3); }",
        "namespace 'std' is not the kernel's own",
        "namespace mine { template <class T> __device__ T least(T a, T b) { return a; } }\n"
        "__global__ void k(int* x, int n) { using namespace std; x[0] = mine::least(n, 3); }",
    ),
    "macro of a macro of ours": (
        "#define atomicAdd(p, v) (*(p) = (v))\n"
        "__global__ void k(int* x, int n) { atomicAdd(x, n); }",
        "#define atomicAdd",
        "#define ADD(p, v) atomicAdd(p, v)\n__global__ void k(int* x, int n) { ADD(x, n); }",
    ),
    "include next": (
        "\n#include_next <stdio.h>\nx[0] = n;",
        "#include_next",
        'printf("#include_next <stdio.h>"); x[0] = n;',
    ),
    "line marker": (
        '\n# 7 "other.hip"\nx[0] = n;',
        "line",
        "\n#\nx[0] = n;",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_way_around_is_closed(name: str) -> None:
    """The candidate is refused, with its line and the reason."""
    source, told, _ = PAIRS[name]
    reason = check_rules(capsule(source), REFERENCE)
    assert reason is not None
    assert reason.startswith("line ")
    assert told in reason


@pytest.mark.parametrize("name", PAIRS)
def test_its_honest_twin_passes(name: str) -> None:
    """A kernel of the same look that does nothing wrong is not refused."""
    assert check_rules(capsule(PAIRS[name][2]), REFERENCE) is None


def test_a_macro_bomb_ends() -> None:
    """Macros that expand without end are refused, and the rules don't hang on them."""
    bomb = "".join(f"#define X{i + 1}(a) X{i}(X{i}(a)) X{i}(a) X{i}(a)\n" for i in range(30))
    source = f"#define X0(a) a a\n{bomb}__global__ void k(int* x, int n) {{ X30(n); }}"
    assert "has no end" in str(check_rules(capsule(source), REFERENCE))


def test_a_clock_of_the_reference_may_stay() -> None:
    """What the original reads, a candidate may read as well."""
    reference = capsule("x[0] = (int)clock64();")
    assert check_rules(capsule("x[0] = (int)clock64() + 0;"), reference) is None
    assert "reads a clock" in str(check_rules(reference, REFERENCE))

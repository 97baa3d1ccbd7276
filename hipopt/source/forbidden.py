"""The names that a candidate may not use, each group with the reason that a person reads."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PROCESS = "starts, ends or replaces a process, which a kernel has no business with"
_FILES = "reaches files, and a kernel computes from its arguments alone"
_MEMORY = "changes or finds memory that isn't the kernel's"
_SYSTEM = "asks the operating system, and a kernel computes from its arguments alone"
_THREADS = "starts host threads, which would run on after the launch"
_CLOCK = "reads a host clock, and a kernel must not depend on the time"
_BUILD = "makes the same code come out different from build to build"
_CHECKER = "tells a checked build from a timed one, and both must run the same code"
_MACHINE = "tells the emulator from a GPU, and both must run the same code"
_HOST_HEADERS = "belongs to the headers of the host, not to HIP"
_TIME = "reads a clock, and what a kernel computes must not depend on the time"
_PLACE = "asks which part of the hardware it runs on, which a kernel's result must not depend on"
_INSTRUCTION = "is no instruction of a GPU or reaches beyond what a kernel computes"
_DEVICE_API = "calls the host's API, and only device code is judged"

_WORDS_BY_REASON: Mapping[str, str] = {
    _PROCESS: "system fork vfork execl execlp execle execv execvp execvpe execve fexecve popen "
    "posix_spawn posix_spawnp kill raise exit _exit _Exit quick_exit at_quick_exit atexit "
    "longjmp _longjmp siglongjmp setjmp _setjmp sigsetjmp ptrace clone unshare setns",
    _FILES: "fopen freopen fdopen fopen64 open open64 openat creat ifstream ofstream fstream "
    "filebuf filesystem unlink unlinkat rename remove mkdir rmdir chmod chown symlink readlink "
    "opendir scandir sendfile splice tmpfile mkstemp fwrite fread dup2 dup3",
    _MEMORY: "mmap mmap64 munmap mremap mprotect shmat shmget shm_open memfd_create madvise "
    "process_vm_readv process_vm_writev __builtin_frame_address __builtin_return_address "
    "__builtin_longjmp __builtin_setjmp __builtin_apply __builtin_unwind_init",
    _SYSTEM: "syscall dlopen dlsym dlmopen socket connect bind listen accept sendto recvfrom "
    "signal sigaction getenv secure_getenv setenv putenv unsetenv ioctl prctl setrlimit fcntl "
    "getpid getppid sched_yield sched_setaffinity uname sysconf getauxval random_device",
    _THREADS: "pthread_create jthread async thrd_create",
    _CLOCK: "gettimeofday clock_gettime timespec_get nanosleep usleep chrono this_thread",
    _BUILD: "__TIME__ __DATE__ __TIMESTAMP__ __has_include __has_include_next __has_embed",
    _CHECKER: "__has_feature __has_extension address_sanitizer thread_sanitizer memory_sanitizer "
    "undefined_behavior_sanitizer coverage_sanitizer __OPTIMIZE__ __OPTIMIZE_SIZE__ __NO_INLINE__ "
    "__SSP__ __SSP_ALL__ __SSP_STRONG__ __PIC__ __pic__ __PIE__ __pie__ __INCLUDE_LEVEL__ "
    "__BASE_FILE__ __builtin_constant_p __builtin_object_size __builtin_dynamic_object_size "
    "__builtin_is_constant_evaluated is_constant_evaluated",
    _TIME: "clock clock64 wall_clock64 __clock __clock64 __rdtsc __rdtscp "
    "__builtin_readcyclecounter __builtin_readsteadycounter __builtin_amdgcn_s_memtime "
    "__builtin_amdgcn_s_memrealtime",
    _PLACE: "__smid __builtin_amdgcn_s_getreg __builtin_amdgcn_dispatch_ptr "
    "__builtin_amdgcn_queue_ptr __builtin_amdgcn_dispatch_id",
}

WORDS: Mapping[str, str] = {
    word: reason for reason, words in _WORDS_BY_REASON.items() for word in words.split()
}
"""Words that a candidate may use only as names of its own."""

_HOST_API = re.compile(
    r"(?:hip|cuda)(?:Malloc|Free|Memcpy|Memset|Mem[A-Z]|Launch(?!Parm)|Module|Stream|Event|Get|Set|Host|"
    r"Func|Graph|Ctx|Ipc|Drv|Runtime|Profiler|Occupancy|Ext|Init|Array|Pointer|Peek|"
    r"Device(?:Synchronize|Reset|Get|Set|Enable|Disable|Can))\w*|(?:hip|nv)rtc\w+|cu[A-Z][a-z]+\w+"
)
_OURS = re.compile(r"hipopt\w*|HIPOPT\w*|__(?:asan|ubsan|tsan|msan|lsan|sanitizer|gcov|llvm)_\w+")


_FAMILIES_OF_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"__SANITIZE_\w+"), _CHECKER),
    (
        re.compile(
            r"__x86_64(?:__)?|__amd64(?:__)?|__i[3-6]86(?:__)?|__aarch64__|__ARM_\w+|__SSE\w*|"
            r"__AVX\w*|__GNUC\w*|__GNUG__|__clang\w*|__linux(?:__)?|__unix(?:__)?|__gnu_linux__|"
            r"__ELF__|__MMX__|__FMA__|__CET__|__code_model_\w+"
        ),
        _MACHINE,
    ),
    (
        re.compile(
            r"_GLIBCXX\w*|_LIBCPP\w*|_PSTL\w*|__GLIBC\w*|__glibc_\w+|__GXX_\w+|__GCC_\w+|__CONCAT|"
            r"__STRING|__REDIRECT\w*|__ASMNAME2?|__attribute_\w+__|__attr_\w+|__PRAGMA\w+|"
            r"__gthr\w+|__errordecl|__extern_\w+|__fortify\w*|__warnattr|__THROW\w*|__gnu_cxx|"
            r"__cxxabiv1|__MATHDECL\w*"
        ),
        _HOST_HEADERS,
    ),
)

_MATHS = (
    "a?(?:cos|sin|tan)h?|atan2|sincos|cbrt|ceil|copysign|erfc?|exp(?:2|10|m1)?|fabs|fdim|floor|"
    "fma|fmax|fmin|fmod|frexp|hypot|ilogb|ldexp|lgamma|l?lrint|l?lround|log(?:2|10|1p|b)?|modf|"
    "nearbyint|nextafter|pow|powi|remainder|rint|round|roundeven|scalbl?n|sqrt|tgamma|trunc|"
    "huge_val|inf|nans?|canonicalize|j[01]|y[01]"
)
_BUILTIN = re.compile(
    rf"__builtin_(?:(?:{_MATHS})(?:[fl]|f16|f32|f64|f128)?"
    r"|is(?:nan|inf|inf_sign|finite|normal|greater|less|unordered|greaterequal|lessequal|fpclass|"
    r"lessgreater)|signbit[fl]?|fpclassify|abs|labs|llabs"
    r"|expect|expect_with_probability|assume|assume_aligned|unreachable|trap|prefetch|verbose_trap"
    r"|(?:popcount|clz|ctz|ffs|parity|clrsb)(?:l|ll|g|s)?|bswap\d+|bitreverse\d+"
    r"|rotate(?:left|right)\d+|bit_cast|nontemporal_(?:load|store)"
    r"|mem(?:cpy|set|move|cmp|chr)(?:_inline)?|strlen|alloca|shuffle|shufflevector|convertvector"
    r"|(?:elementwise|reduce|hip)_\w+|(?:[su]?(?:add|sub|mul)(?:l|ll)?)_overflow(?:_p)?"
    r"|addc[bsl]*|subc[bsl]*|choose_expr|types_compatible_p|offsetof|addressof|launder"
    r"|LINE|FUNCTION|FILE|COLUMN|va_\w+|complex|unpredictable|nondeterministic_value"
    r"|amdgcn_(?!s_getreg|s_setreg|s_mem|s_get|s_send|s_trap|s_sethalt|dispatch|queue|implicit|"
    r"kernarg|s_ttrace|s_set_gpr)\w+)"
)
"""What `__builtin_` names a kernel may use: arithmetic, memory, hints, and a GPU's instructions."""


def why_not(word: str) -> str | None:
    """Why a candidate may not use this word for anything that it didn't declare itself."""
    if word in WORDS:
        return WORDS[word]
    for pattern, reason in _FAMILIES_OF_WORDS:
        if pattern.fullmatch(word):
            return reason
    if word.startswith("__builtin_") and _BUILTIN.fullmatch(word) is None:
        return _INSTRUCTION
    if _HOST_API.fullmatch(word) and not word.startswith("cu"):
        return _DEVICE_API
    return None


NAMESPACES = frozenset({
    "std", "hip", "cooperative_groups", "rocprim", "hipcub", "thrust", "rocwmma", "__cxxabiv1",
    "__gnu_cxx",
})  # fmt: skip
"""Namespaces of HIP and the standard library, which a source may use but not add to."""

COORDINATES = frozenset({"threadIdx", "blockIdx", "blockDim", "gridDim"})
"""Where a thread stands: the device's to write."""


def is_ours(word: str) -> bool:
    """Whether the name belongs to the emulator or to a sanitizer's runtime."""
    return _OURS.fullmatch(word) is not None


ATTRIBUTES = re.compile(
    "aligned|packed|always_inline|gnu_inline|noinline|flatten|hot|cold|pure|const|unused|"
    "maybe_unused|nodiscard|deprecated|noreturn|nothrow|fallthrough|likely|unlikely|assume|"
    "no_unique_address|may_alias|warn_unused_result|artificial|returns_nonnull|nonnull|malloc|"
    "vector_size|ext_vector_type|address_space|opencl_\\w+|convergent|noduplicate|overloadable|"
    "internal_linkage|assume_aligned|mode|ext_vector_type|hip_\\w+|amdgpu_\\w+|"
    "reqd_work_group_size|work_group_size_hint|max_blocks_per_cluster|launch_bounds|global|"
    "device|host|shared|constant|device_builtin\\w*|loader_uninitialized|noescape|"
    "carries_dependency|uninitialized|no_builtin|nomerge|minsize|nonnull"
)
"""What an attribute may say: how data lies, how a function is compiled, hints to the optimiser."""

PRAGMAS = re.compile(
    r"(?:no)?unroll\b.*|once|(?:end)?region\b.*|(?:nv|hd|diag)_\w+.*|ivdep|vector\b.*|"
    r"(?:clang|GCC|gcc)\s+(?:loop|fp|unroll|ivdep|diagnostic)\b.*|STDC\s+FP_CONTRACT\b.*|"
    r"message\b.*|(?:clang|GCC)\s+pragma_messages.*|omp\s+(?:simd|unroll)\b.*|mark\b.*"
)
"""What a pragma may say: about the loop or the block that follows it, or to a person."""

DIRECTIVES: Mapping[str, str] = {
    "include_next": "a kernel may include headers of HIP and the standard library only",
    "import": "a kernel may include headers of HIP and the standard library only",
    "embed": "it would put a file of the building machine into the kernel",
    "line": "it would make errors point at other lines",
    "ident": "it puts data into the object file that no kernel needs",
}

ASSEMBLY = re.compile(
    r"(?:^|[\n;{:])\s*\.\s*[a-z_]\w*"  # any directive of the assembler
    r"|\.\s*(?:incbin|include|section|pushsection|popsection|macro)\b"
    r"|\b(?:syscall|sysenter|swapgs|wrmsr|rdmsr|rdtscp?|rdpmc|cpuid|xgetbv|rdfsbase|wrfsbase|"
    r"rdgsbase|wrgsbase|wrpkru|rdpkru|svc|mrs|msr|call|jmp)\b|\bint\s+\$?0x80\b"
    r"|\bs_(?:memtime|memrealtime|getreg\w*|setreg\w*|sendmsg\w*|trap|sethalt|getpc\w*|setpc\w*|"
    r"swappc\w*|call\w*|ttracedata\w*|icache\w*)\b",
    re.IGNORECASE,
)
"""What inline assembly may not hold: directives of the assembler, calls into the system or out of
the kernel, and instructions that read a clock or the state of the machine."""

FILE_DIRECTIVE = re.compile(r"\.\s*(?:incbin|include)\b", re.IGNORECASE)
"""Directives that read a file of the building machine."""

_KEYWORDS = (
    "alignas alignof asm auto bool break case catch char class concept const constexpr consteval "
    "constinit const_cast continue decltype default delete do double dynamic_cast else enum "
    "explicit export extern false float for friend goto if inline int long mutable namespace new "
    "noexcept nullptr operator private protected public register reinterpret_cast requires return "
    "short signed sizeof static static_assert static_cast struct switch template this "
    "thread_local throw true try typedef typeid typename union unsigned using virtual void "
    "volatile wchar_t while"
)
_BUILTINS = (
    "main std threadIdx blockIdx blockDim gridDim warpSize __global__ __device__ __host__ "
    "__shared__ __constant__ __managed__ __launch_bounds__ __restrict__ __forceinline__ "
    "__attribute__ __asm__ __noinline__ NULL NDEBUG __cplusplus __FILE__ __LINE__ "
    "hipThreadIdx_x hipThreadIdx_y hipThreadIdx_z hipBlockIdx_x hipBlockIdx_y hipBlockIdx_z "
    "hipBlockDim_x hipBlockDim_y hipBlockDim_z hipGridDim_x hipGridDim_y hipGridDim_z "
    "size_t int8_t uint8_t int16_t uint16_t int32_t uint32_t int64_t uint64_t"
)
_FAMILIES = re.compile(
    r"__syncthreads\w*|__syncwarp|__threadfence\w*|atomic[A-Z]\w*|__shfl\w*|__ballot\w*|__any\w*|"
    r"__all\w*|__builtin_\w+|__hip_\w+|__HIP\w*|__AMD\w*|__SANITIZE\w*"
)
_PROTECTED = frozenset((_KEYWORDS + " " + _BUILTINS).split())


def is_protected(name: str) -> bool:
    """Whether a `#define` or `#undef` of the name would change what the language or HIP means."""
    return name in _PROTECTED or _FAMILIES.fullmatch(name) is not None or is_ours(name)

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
    _CHECKER: "__SANITIZE_ADDRESS__ __SANITIZE_THREAD__ __has_feature address_sanitizer",
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


def why_not(word: str) -> str | None:
    """Why a candidate may not use this word for anything that it didn't declare itself."""
    if word in WORDS:
        return WORDS[word]
    if _HOST_API.fullmatch(word) and not word.startswith("cu"):
        return _DEVICE_API
    return None


def is_ours(word: str) -> bool:
    """Whether the name belongs to the emulator or to a sanitizer's runtime."""
    return _OURS.fullmatch(word) is not None


ATTRIBUTES = frozenset({
    "constructor", "destructor", "init_priority", "section", "ifunc", "alias", "weak", "weakref",
    "visibility", "naked", "used", "retain", "cleanup", "interrupt", "externally_visible",
    "no_sanitize", "no_sanitize_address", "no_sanitize_undefined", "no_address_safety_analysis",
    "disable_sanitizer_instrumentation", "no_instrument_function", "init_seg",
})  # fmt: skip
"""Attributes that make code run outside of a launch, or that hide it from the checks."""

PRAGMAS = frozenset({
    "poison", "system_header", "dependency", "include_alias", "optimize", "push_options",
    "target", "redefine_extname", "weak", "visibility", "attribute", "section", "init_seg",
    "comment", "module", "bss_seg", "data_seg", "code_seg", "const_seg", "reset_options",
})  # fmt: skip
"""Words of pragmas that reach beyond the code that follows them."""

DIRECTIVES: Mapping[str, str] = {
    "include_next": "a kernel may include headers of HIP and the standard library only",
    "import": "a kernel may include headers of HIP and the standard library only",
    "embed": "it would put a file of the building machine into the kernel",
    "line": "it would make errors point at other lines",
    "ident": "it puts data into the object file that no kernel needs",
}

ASSEMBLY = re.compile(
    r"\.\s*(?:incbin|include|section|pushsection|popsection|previous|text|data|bss|globa?l|weak|"
    r"symver|org|macro|altmacro|irpc?|rept|set|equ|init_array|ctors|amdgpu_\w+|amdhsa_\w+)\b"
    r"|\b(?:syscall|sysenter|swapgs|wrmsr)\b|\bint\s+\$?0x80\b",
    re.IGNORECASE,
)
"""What inline assembly may not hold: directives of the assembler, and calls into the system."""

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

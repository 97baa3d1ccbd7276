"""The HIP runtime and the CUDA driver behind one interface, over ctypes.

Guarantee: every call's error is checked and carried with the call's and the error's name
(`CallFailed`). Price: a microsecond or so a call, none of them inside what is timed. Scope: the
child process alone loads these libraries; the standard library is all that this module needs.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

MAX_THREADS_AT_ONCE = 2**32 - 1
"""Of one side of a grid, where launches count threads."""

Dim = tuple[int, int, int]


class CallFailed(Exception):
    """A call to the runtime returned an error."""

    def __init__(self, call: str, error: int, name: str) -> None:
        super().__init__(f"{call}: {name} ({error})")
        self.call = call
        self.error = error
        self.name = name


@dataclass(frozen=True)
class Names:
    """What one vendor calls the same things."""

    init: str
    count: str
    bus_id: str
    malloc: str
    free: str
    memory: str
    to_device: str
    to_host: str
    fill: str
    synchronize: str
    load: str
    unload: str
    function: str
    launch: str
    event_create: str
    event_record: str
    event_wait: str
    event_time: str
    error_name: str
    extra_end: int
    """Ends the list of what a launch takes its arguments from."""


HIP = Names(
    init="hipInit",
    count="hipGetDeviceCount",
    bus_id="hipDeviceGetPCIBusId",
    malloc="hipMalloc",
    free="hipFree",
    memory="hipMemGetInfo",
    to_device="hipMemcpyHtoD",
    to_host="hipMemcpyDtoH",
    fill="hipMemsetD8Async",
    synchronize="hipDeviceSynchronize",
    load="hipModuleLoadData",
    unload="hipModuleUnload",
    function="hipModuleGetFunction",
    launch="hipModuleLaunchKernel",
    event_create="hipEventCreateWithFlags",
    event_record="hipEventRecord",
    event_wait="hipEventSynchronize",
    event_time="hipEventElapsedTime",
    error_name="hipGetErrorName",
    extra_end=3,
)

CUDA = Names(
    init="cuInit",
    count="cuDeviceGetCount",
    bus_id="cuDeviceGetPCIBusId",
    malloc="cuMemAlloc_v2",
    free="cuMemFree_v2",
    memory="cuMemGetInfo_v2",
    to_device="cuMemcpyHtoD_v2",
    to_host="cuMemcpyDtoH_v2",
    fill="cuMemsetD8Async",
    synchronize="cuCtxSynchronize",
    load="cuModuleLoadData",
    unload="cuModuleUnload",
    function="cuModuleGetFunction",
    launch="cuLaunchKernel",
    event_create="cuEventCreate",
    event_record="cuEventRecord",
    event_wait="cuEventSynchronize",
    event_time="cuEventElapsedTime",
    error_name="cuGetErrorName",
    extra_end=0,
)

_ARGUMENTS, _ARGUMENT_BYTES = 1, 2
"""Keys of a launch's list, the same for both."""


class Properties(dict[str, Any]):
    """Of a device: name, arch, memory_bytes, wave_size, compute_units, lds_bytes, bus_id."""


class Runtime:
    """One vendor's calls; `open_runtime` makes the right one. Uses the process's first device.

    Raises:
        CallFailed: from every method, as soon as a call returns an error.
        OSError: the library can't be loaded, or lacks an entry point.
    """

    def __init__(self, library: str, names: Names) -> None:
        self._library = ctypes.CDLL(library)
        self._names = names
        self._events: tuple[c_void_p, c_void_p] | None = None

    def call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 (ctypes takes anything)
        """The call has succeeded."""
        error = getattr(self._library, name)(*arguments)
        if error:
            raise CallFailed(name, error, self.error_name(error))

    def error_name(self, error: int) -> str:
        """The vendor's name of an error."""
        raise NotImplementedError

    def begin(self) -> None:
        """The runtime is up, and the first device is the one in use."""
        raise NotImplementedError

    def properties(self, device: int) -> Properties:
        """What the runtime says of a device."""
        raise NotImplementedError

    def count(self) -> int:
        """How many devices this process sees."""
        found = c_int()
        self.call(self._names.count, byref(found))
        return found.value

    def bus_id(self, device: int) -> str:
        """The device's place on the machine's bus, e.g. `0000:c1:00.0`."""
        text = ctypes.create_string_buffer(64)
        self.call(self._names.bus_id, text, c_int(64), c_int(device))
        return text.value.decode()

    def memory(self) -> tuple[int, int]:
        """Bytes free and in all."""
        free, total = c_size_t(), c_size_t()
        self.call(self._names.memory, byref(free), byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """Address of `size` fresh bytes."""
        address = c_void_p()
        self.call(self._names.malloc, byref(address), c_size_t(size))
        return address.value or 0

    def free(self, address: int) -> None:
        """The allocation is given back."""
        self.call(self._names.free, c_void_p(address))

    def copy_to_device(self, address: int, source: int, size: int) -> None:
        """The bytes at host address `source` are on the device."""
        self.call(self._names.to_device, c_void_p(address), c_void_p(source), c_size_t(size))

    def copy_to_host(self, target: int, address: int, size: int) -> None:
        """The device's bytes are at host address `target`."""
        self.call(self._names.to_host, c_void_p(target), c_void_p(address), c_size_t(size))

    def fill(self, address: int, value: int, size: int) -> None:
        """The device is told to fill memory; it may not have done so yet."""
        self.call(
            self._names.fill, c_void_p(address), c_ubyte(value), c_size_t(size), c_void_p(None)
        )

    def synchronize(self) -> None:
        """The device has done all that it was told."""
        self.call(self._names.synchronize)

    def load(self, image: bytes) -> int:
        """A module of that code object."""
        module = c_void_p()
        self.call(self._names.load, byref(module), c_char_p(image))
        return module.value or 0

    def unload(self, module: int) -> None:
        """The module's code and variables are gone."""
        self.call(self._names.unload, c_void_p(module))

    def function(self, module: int, name: str) -> int:
        """The module's kernel of that (mangled) name."""
        function = c_void_p()
        self.call(self._names.function, byref(function), c_void_p(module), name.encode())
        return function.value or 0

    def timed_launch(
        self, function: int, grid: Dim, block: Dim, lds_bytes: int, arguments: bytes
    ) -> float:
        """Milliseconds between the device's own time stamps around the kernel, which has ended."""
        start, stop = self._pair()
        self._launch(function, grid, block, lds_bytes, arguments, start, stop)
        self.call(self._names.event_wait, stop)
        self.synchronize()
        took = c_float()
        self.call(self._names.event_time, byref(took), start, stop)
        return took.value

    def _launch(
        self, function: int, grid: Dim, block: Dim, lds_bytes: int, arguments: bytes,
        start: c_void_p, stop: c_void_p,
    ) -> None:  # fmt: skip
        """Told to the device: a time stamp, the kernel, a time stamp."""
        extra, _kept = self._extra(arguments)
        sides = [c_uint(side) for side in (*grid, *block)]
        self.call(self._names.event_record, start, c_void_p(None))
        self.call(
            self._names.launch, c_void_p(function), *sides, c_uint(lds_bytes), c_void_p(None),
            c_void_p(None), extra,
        )  # fmt: skip
        self.call(self._names.event_record, stop, c_void_p(None))

    def _extra(self, arguments: bytes) -> tuple[Any, Any]:
        """A launch's list of what it takes its arguments from; what must live as long as it."""
        block = ctypes.create_string_buffer(arguments, max(len(arguments), 1))
        size = c_size_t(len(arguments))
        kept = (block, size)
        values = (
            _ARGUMENTS, ctypes.addressof(block), _ARGUMENT_BYTES, ctypes.addressof(size),
            self._names.extra_end,
        )  # fmt: skip
        return (c_void_p * len(values))(*values), kept

    def _pair(self) -> tuple[c_void_p, c_void_p]:
        if self._events is None:
            self._events = (c_void_p(), c_void_p())
            for event in self._events:
                self.call(self._names.event_create, byref(event), c_uint(0))
        return self._events


class HipRuntime(Runtime):
    """AMD's. Times are those of the dispatch itself, where the runtime offers them."""

    def __init__(self, library: str) -> None:
        super().__init__(library, HIP)
        self._library.hipGetErrorName.restype = c_char_p
        self._dispatch = getattr(self._library, "hipExtModuleLaunchKernel", None)

    def error_name(self, error: int) -> str:
        """As `hipGetErrorName` says."""
        name: bytes | None = self._library.hipGetErrorName(error)
        return name.decode() if name else "an error without a name"

    def begin(self) -> None:
        """The runtime is up, and the first device is the one in use."""
        self.call("hipInit", c_uint(0))
        self.call("hipSetDevice", c_int(0))

    def properties(self, device: int) -> Properties:
        """Read at the offsets of the two layouts that the runtime has had (hip_runtime_api.h)."""
        # name, memory and wave size lie at the same places within each layout since it exists;
        # clang's offload-arch reads the arch at the same offsets
        is_new = hasattr(self._library, "hipGetDevicePropertiesR0600")
        call = "hipGetDevicePropertiesR0600" if is_new else "hipGetDeviceProperties"
        memory_at, lds_at, wave_at, units_at, arch_at = (
            (288, 296, 308, 388, 1160) if is_new else (256, 264, 276, 336, 396)
        )
        raw = (c_char * 4096)()
        self.call(call, raw, c_int(device))
        arch = ctypes.string_at(ctypes.addressof(raw) + arch_at).decode()
        return Properties(
            name=ctypes.string_at(raw).decode(),
            arch=arch.partition(":")[0],
            memory_bytes=c_size_t.from_buffer(raw, memory_at).value,
            wave_size=c_int.from_buffer(raw, wave_at).value,
            compute_units=c_int.from_buffer(raw, units_at).value,
            lds_bytes=c_size_t.from_buffer(raw, lds_at).value,
            bus_id=self.bus_id(device),
        )

    def _launch(
        self, function: int, grid: Dim, block: Dim, lds_bytes: int, arguments: bytes,
        start: c_void_p, stop: c_void_p,
    ) -> None:  # fmt: skip
        threads = [blocks * side for blocks, side in zip(grid, block, strict=True)]
        if self._dispatch is None or max(threads) > MAX_THREADS_AT_ONCE:
            super()._launch(function, grid, block, lds_bytes, arguments, start, stop)
            return
        extra, _kept = self._extra(arguments)
        self.call(
            "hipExtModuleLaunchKernel", c_void_p(function), *map(c_uint, (*threads, *block)),
            c_size_t(lds_bytes), c_void_p(None), c_void_p(None), extra, start, stop, c_uint(0),
        )  # fmt: skip


class CudaRuntime(Runtime):
    """NVIDIA's driver."""

    def __init__(self, library: str) -> None:
        super().__init__(library, CUDA)

    def error_name(self, error: int) -> str:
        """As `cuGetErrorName` says."""
        name = c_char_p()
        self._library.cuGetErrorName(c_int(error), byref(name))
        return name.value.decode() if name.value else "an error without a name"

    def begin(self) -> None:
        """The driver is up, and the first device's primary context is the one in use."""
        device, context = c_int(), c_void_p()
        self.call("cuInit", c_uint(0))
        self.call("cuDeviceGet", byref(device), c_int(0))
        self.call("cuDevicePrimaryCtxRetain", byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def properties(self, device: int) -> Properties:
        """By the driver's attributes, as cuda.h numbers them."""
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, c_int(256), c_int(device))
        total = c_size_t()
        self.call("cuDeviceTotalMem_v2", byref(total), c_int(device))
        major, minor = self._attribute(device, 75), self._attribute(device, 76)
        return Properties(
            name=name.value.decode(),
            arch=f"sm_{major}{minor}",
            memory_bytes=total.value,
            wave_size=self._attribute(device, 10),
            compute_units=self._attribute(device, 16),
            lds_bytes=self._attribute(device, 8),
            bus_id=self.bus_id(device),
        )

    def _attribute(self, device: int, which: int) -> int:
        value = c_int()
        self.call("cuDeviceGetAttribute", byref(value), c_int(which), c_int(device))
        return value.value


def open_runtime(kind: str, library: str) -> Runtime:
    """The runtime of `amd` or `nvidia`, its library loaded.

    Raises:
        OSError: it can't be loaded.
    """
    return HipRuntime(library) if kind == "amd" else CudaRuntime(library)

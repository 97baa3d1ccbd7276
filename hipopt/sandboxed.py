"""What the doctor says of the sandbox: each layer, whether it stands, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hipopt.device.confine.confinement import Confinement, Layer, LayerName
from hipopt.device.cpu.device import CpuDevice
from hipopt.device.cpu.walls import Walls
from hipopt.finding import Finding, Health

_HOLDS: Mapping[LayerName, str] = {
    LayerName.NAMESPACES: "compilers see their own files and one directory, no network, no process",
    LayerName.LANDLOCK: "files, TCP and signals outside of that are out of reach",
    LayerName.SECCOMP: "system calls that no compiler needs fail",
}
_MENDS: Mapping[LayerName, str] = {
    LayerName.NAMESPACES: "let users make namespaces: sysctl user.max_user_namespaces above 0; "
    "kernel.unprivileged_userns_clone=1 on older Debian; "
    "kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; a container's seccomp profile",
    LayerName.LANDLOCK: "Linux 5.13 or newer with landlock in its lsm= list",
    LayerName.SECCOMP: "a kernel or container that lets a process filter its own system calls",
}
_WALLS: Mapping[str, str] = {
    "seccomp": "kernels may read, write and use memory of their own; any other system call "
    "ends them",
    "landlock": "kernels open no file, no network, and signal nobody",
}


def sandbox_findings(device: CpuDevice) -> Iterator[Finding]:
    """One finding a layer, for compiling and for running, each tried just now.

    Raises:
        DeviceError: the device does not work, or there is no sandbox and that isn't allowed.
    """
    confinement = device.toolchain.confinement
    yield from map(_layer, confinement.layers)
    yield _attempts(confinement)
    walls = device.try_walls()
    yield from (_wall(name, walls) for name in _WALLS)


def _layer(layer: Layer) -> Finding:
    name = f"compile: {layer.name}"
    if layer.missing is None:
        return Finding(name=name, health=Health.OK, detail=f"yes; {_HOLDS[layer.name]}")
    detail = f"no: {layer.missing}; wants {_MENDS[layer.name]}"
    return Finding(name=name, health=Health.WARN, detail=detail)


def _attempts(confinement: Confinement) -> Finding:
    name = "compile: probe"
    if not confinement.breaches:
        detail = "nothing got out: files, descriptors, network, signals and tracing were tried"
        return Finding(name=name, health=Health.OK, detail=detail)
    return Finding(
        name=name,
        health=Health.WARN,
        detail=f"a program in there {', '.join(confinement.breaches)}. Judge only candidates that "
        "you trust here, or mend what is missing above",
    )


def _wall(name: str, walls: Walls) -> Finding:
    why = walls.missing.get(name)
    if why is None:
        return Finding(name=f"run: {name}", health=Health.OK, detail=f"yes; {_WALLS[name]}")
    detail = f"no: {why}; wants {_MENDS[LayerName(name)]}"
    return Finding(name=f"run: {name}", health=Health.WARN, detail=detail)

"""What the doctor says of the sandbox."""

from __future__ import annotations

from typing import Any

import msgspec

from hipopt.device.confine.confinement import Layer, LayerName
from hipopt.device.cpu.walls import Walls
from hipopt.finding import Health
from hipopt.sandboxed import sandbox_findings


class PartlyWalled:
    """A device on a machine where some layers can't be had."""

    def __init__(self, toolchain: Any) -> None:
        self.toolchain = toolchain

    def try_walls(self) -> Walls:
        """Landlock is missing."""
        return Walls(0, 38)


def test_each_layer_is_listed(cpu: Any) -> None:
    """The doctor names every layer with yes or no, and says what mends a missing one."""
    named = {f.name: f for f in sandbox_findings(cpu.device)}
    assert {f"compile: {name}" for name in LayerName} < set(named)
    assert {"compile: probe", "run: seccomp", "run: landlock"} < set(named)
    for layer in cpu.device.toolchain.confinement.layers:
        says = named[f"compile: {layer.name}"].detail
        assert says.startswith("yes" if layer.missing is None else "no")


def test_missing_layers_come_with_a_reason(cpu: Any) -> None:
    """What can't be had is a warning with the system's own reason and the way to mend it."""
    layers = (Layer(name=LayerName.NAMESPACES, missing="unshare: Operation not permitted"),)
    confinement = msgspec.structs.replace(
        cpu.device.toolchain.confinement, layers=layers, breaches=("inherits an open file",)
    )
    toolchain = msgspec.structs.replace(cpu.device.toolchain, confinement=confinement)
    device: Any = PartlyWalled(toolchain)
    named = {f.name: f for f in sandbox_findings(device)}
    missing = named["compile: namespaces"]
    assert missing.health is Health.WARN
    assert missing.detail.startswith("no: unshare: Operation not permitted; wants ")
    assert named["compile: probe"].health is Health.WARN
    assert "Function not implemented" in named["run: landlock"].detail
    assert named["run: seccomp"].health is Health.OK

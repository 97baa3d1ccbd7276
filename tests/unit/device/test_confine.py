"""What is compiled for a stranger can't get out, with real attempts and real compilers."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hipopt.device.confine.confinement import Confinement, Layer, LayerName, insist
from hipopt.device.confine.launcher import Launcher
from hipopt.device.confine.probe import probe
from hipopt.device.interface import CompileFailure
from hipopt.errors import DeviceError

SECRET = "planted-e8c1f0"
ENVIRON = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


@pytest.fixture(scope="session")
def confinement(cpu: Any) -> Confinement:
    """What compilers run in here."""
    found: Confinement = cpu.device.toolchain.confinement
    return found


def with_layers(confinement: Confinement, *names: LayerName) -> Confinement:
    """The same with only these layers."""
    return msgspec.structs.replace(
        confinement, layers=tuple(Layer(name=name, missing=None) for name in names)
    )


def shell(confinement: Confinement, scratch: Path, script: str, **more: Any) -> tuple[Any, str]:
    """Exit code and output of a script that runs closed in."""
    how = {"timeout_s": 10.0} | more
    done = confinement.run(["/bin/sh", "-c", script], scratch=scratch, environ=ENVIRON, **how)
    return done.exit_code, done.output


def launcher_of(confinement: Confinement) -> Launcher:
    """The programs behind a confinement."""
    return Launcher(confinement.launcher, confinement.launcher.parent / "attempts")


# -- the whole ----------------------------------------------------------------------------------

STEALS = {
    "incbin": 'asm(".pushsection .rodata\\n.incbin \\"{file}\\"\\n.popsection");',
    "assembler include": 'asm(".include \\"{file}\\"");',
    "include": '#include "{file}"',
    "include with brackets": "#include <{file}>",
    "climbing include": '#include "../../../../../../../../../..{file}"',
    "include by macro": "#define F <{file}>\n#include F",
    "pragma dependency": '#pragma GCC dependency "{file}"\n#pragma GCC pch_preprocess "{file}"',
}


@pytest.mark.parametrize("way", STEALS)
@pytest.mark.parametrize("home", [False, True])
def test_no_file_comes_in(cpu: Any, tmp_path: Path, way: str, home: bool) -> None:
    """A file outside of the scratch directory gets neither into the object nor into messages."""
    place = Path.home() if home else tmp_path
    planted = place / f".planted-{os.getpid()}.h"
    planted.write_text(f'static const char* stolen = "{SECRET}";\n')
    try:
        steal = STEALS[way].format(file=planted)
        source = f"{steal}\n__global__ void k(int* x) {{ *x = 1; }}"
        result = cpu.device.compile(cpu.capsule(source), (), 30.0)
    finally:
        planted.unlink()
    if isinstance(result, CompileFailure):
        assert SECRET not in result.output
    else:
        assert SECRET.encode() not in result.path.read_bytes()


def test_no_file_is_seen(cpu: Any, tmp_path: Path) -> None:
    """A source can't even ask whether a file outside of the scratch directory is there."""
    (tmp_path / "there.h").touch()
    source = f"""
    #if __has_include("{tmp_path}/there.h")
    #error seen
    #endif
    __global__ void k(int* x) {{ *x = 1; }}
    """
    assert not isinstance(cpu.device.compile(cpu.capsule(source), (), 30.0), CompileFailure)


def test_all_that_is_tried_fails(confinement: Confinement) -> None:
    """With all layers, nothing that tries to get out of the sandbox does."""
    if len(confinement.in_force) < len(LayerName):
        pytest.skip(f"this machine offers only {confinement.in_force}")
    assert confinement.breaches == ()


@pytest.mark.parametrize("name", list(LayerName))
def test_a_layer_alone(confinement: Confinement, tmp_path: Path, name: LayerName) -> None:
    """Each layer by itself holds what it is for, and the attempts do succeed without any."""
    if name not in confinement.in_force:
        pytest.skip(f"this machine offers no {name}")
    (tmp_path / "scratch").mkdir()
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    attempts = str(confinement.launcher.parent / "attempts")
    tried = ["descriptor=2", f"read={secret}", f"write={tmp_path / 'new'}", f"signal={os.getpid()}"]

    def succeeded(*names: LayerName) -> set[str]:
        done = with_layers(confinement, *names).run(
            [attempts, *tried], scratch=tmp_path / "scratch", environ=ENVIRON, timeout_s=10.0
        )
        return {line.partition("=")[0] for line in done.output.splitlines()}

    assert succeeded() == {"read", "write", "signal"}
    closed = {"read", "write"} if name is not LayerName.SECCOMP else {"signal"}
    assert succeeded(name).isdisjoint(closed)


def test_the_file_system_is_empty(confinement: Confinement, tmp_path: Path) -> None:
    """What isn't the compiler's is not there: no home, no temporary files, no other process."""
    if LayerName.NAMESPACES not in confinement.in_force:
        pytest.skip("this machine offers no namespaces")
    only = with_layers(confinement, LayerName.NAMESPACES)
    entries = set(shell(only, tmp_path, "ls -a /")[1].split())
    assert entries.isdisjoint({"home", "root", "srv", "var", "opt", "boot", ".old"})
    assert shell(only, tmp_path, "ls -A /tmp /proc")[1].count("canary") == 0
    assert shell(only, tmp_path, "cat /proc/net/dev | grep -vc lo:")[1] == "2\n"  # headings
    for script in ("echo x > /usr/x", "echo x > /x", "mkdir /etc/x"):
        assert shell(only, tmp_path, script)[0] != 0


def test_scratch_is_shared(confinement: Confinement, tmp_path: Path) -> None:
    """What is written into the scratch directory stands there afterwards."""
    assert shell(confinement, tmp_path, "mkdir d && echo made > d/f && cat d/f") == (0, "made\n")
    assert (tmp_path / "d/f").read_text() == "made\n"


def test_exit_codes_and_signals(confinement: Confinement, tmp_path: Path) -> None:
    """The program's end is passed on as it was."""
    assert shell(confinement, tmp_path, "exit 7")[0] == 7
    alone = with_layers(confinement)
    assert shell(alone, tmp_path, "kill -9 $$")[0] == -9
    if LayerName.NAMESPACES in confinement.in_force:
        inner = with_layers(confinement, LayerName.NAMESPACES)
        assert shell(inner, tmp_path, "(kill -9 $$; sh -c 'kill -9 $$')")[0] == 128 + 9


def test_limits(confinement: Confinement, tmp_path: Path) -> None:
    """Memory, processor time, file size and core dumps are limited in any case."""
    _, output = shell(
        confinement, tmp_path, "ulimit -v; ulimit -t; ulimit -c; ulimit -n", memory_bytes=1 << 30
    )
    assert output.split() == [str(1 << 20), "21", "0", "256"]


def test_environment_is_not_inherited(
    confinement: Confinement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of our environment reaches the program."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert SECRET not in shell(confinement, tmp_path, "env")[1]


def test_deadline_leaves_nothing(confinement: Confinement, tmp_path: Path) -> None:
    """At the deadline all processes end, also one that asked for a session of its own."""
    pipe = tmp_path / "held"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script = "exec 3>held; (setsid sleep 300 || sleep 300) & (sleep 300) & sleep 300"
        assert shell(confinement, tmp_path, script, timeout_s=0.3)[0] is None
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        assert poller.poll(10_000) == [(reader, select.POLLHUP)]  # nobody holds it any more
    finally:
        os.close(reader)


def test_what_does_not_close_is_our_failure(confinement: Confinement, tmp_path: Path) -> None:
    """Where the launcher can't do its work, our side has failed and no source is to blame."""
    with pytest.raises(DeviceError, match="sandbox does not close"):
        confinement.run(["/nowhere/cc"], scratch=tmp_path, environ=ENVIRON, timeout_s=5.0)


# -- what is missing ----------------------------------------------------------------------------

ESTABLISH = """
import json, sys
from pathlib import Path
from hipopt.device.cpu.device import CpuDevice
from hipopt.errors import DeviceError
try:
    found = CpuDevice(Path(sys.argv[1]), allow_unsandboxed=sys.argv[2] == "yes").toolchain
    print(json.dumps([layer.missing for layer in found.confinement.layers]))
except DeviceError as error:
    print(json.dumps(str(error)))
"""


def on_a_machine_without_layers(confinement: Confinement, scratch: Path, allow: str) -> Any:
    """What the device says where the system refuses namespaces, Landlock and seccomp."""
    (scratch / "establish.py").write_text(ESTABLISH)
    done = subprocess.run(
        [
            sys.executable, str(Path(__file__).with_name("without.py")), ",".join(LayerName),
            str(scratch / "establish.py"), str(confinement.launcher.parents[2]), allow,
        ],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return json.loads(done.stdout)


def test_refuses_without_any_sandbox(confinement: Confinement, tmp_path: Path) -> None:
    """Where the system refuses every layer, hipopt does too, with the reasons and what mends it."""
    told = on_a_machine_without_layers(confinement, tmp_path, "no")
    assert "no sandbox for candidates" in told
    assert "--allow-unsandboxed" in told
    assert all(f"{name}: " in told for name in LayerName)


def test_goes_on_where_told_so(confinement: Confinement, tmp_path: Path) -> None:
    """With --allow-unsandboxed it works there, and knows that nothing is in force."""
    told = on_a_machine_without_layers(confinement, tmp_path, "yes")
    assert len(told) == len(LayerName)
    assert all(told)


def test_a_missing_layer_is_said(
    confinement: Confinement, caplog: pytest.LogCaptureFixture
) -> None:
    """Where only a part can be had, hipopt goes on and says which part is missing."""
    part = msgspec.structs.replace(
        confinement,
        layers=(
            Layer(name=LayerName.NAMESPACES, missing="unshare: Operation not permitted"),
            Layer(name=LayerName.SECCOMP, missing=None),
        ),
    )
    with caplog.at_level(logging.WARNING):
        insist(part, allow_unsandboxed=False)
    assert caplog.records[0].__dict__["missing"] == {
        "namespaces": "unshare: Operation not permitted"
    }


def test_the_probe_sees_a_breach(confinement: Confinement, tmp_path: Path) -> None:
    """A sandbox with a hole is reported as such: the probe's attempts are real."""
    hole = [Path(tempfile.gettempdir()).resolve()]
    holed = probe(launcher_of(confinement), tmp_path, ENVIRON, confinement.read, hole)
    assert "reads a file outside of its directory" in holed.breaches
    assert "writes a file outside of its directory" in holed.breaches

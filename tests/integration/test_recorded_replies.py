"""Every recorded reply gets the verdict that it was written for, with no broker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hipopt.device.cpu.device import CpuDevice
from hipopt.device.interface import CodeObject
from hipopt.evaluate import evaluate
from hipopt.judge.judge import Judge
from hipopt.judge.options import JudgeOptions
from hipopt.llm.reply import Malformed, parse_reply
from hipopt.records import Verdict
from hipopt.source.slice import slice_kernel
from tests.integration.examples import EXAMPLES, ROWS, replies

TORCH = sorted(i for i, row in ROWS.items() if "torch/" in (EXAMPLES / row["hip_file"]).read_text())


def _name(reply: dict[str, Any]) -> str:
    return f"{reply['id']}-{reply['attempt']}-{reply['expect']}"


@pytest.mark.parametrize("reply", replies(), ids=_name)
def test_each_reply_gets_its_verdict(
    cpu_device: CpuDevice, tmp_path: Path, reply: dict[str, Any]
) -> None:
    """`evaluate` on the original's file and the reply's code says what the recording expects.

    A busy machine may leave how fast it is undecided, but not which of the two is faster.
    """
    row = ROWS[reply["id"]]
    parsed = parse_reply(reply["reply"], row["name"])
    if reply["expect"] == "malformed_reply":
        assert isinstance(parsed, Malformed)
        return
    assert not isinstance(parsed, Malformed), parsed.reason
    (tmp_path / "candidate.hip").write_text(parsed.code)
    workload = None
    if row.get("workloads"):
        workload = tmp_path / "workloads.json"
        workload.write_text(json.dumps(row["workloads"]))
    judge = Judge(cpu_device, JudgeOptions(launch_timeout_s=3.0))
    judgement = evaluate(
        judge, EXAMPLES / row["hip_file"], tmp_path / "candidate.hip", row["name"], workload
    )
    if reply["expect"] == "correct":
        assert judgement.verdict.correct, judgement.reason
    elif judgement.verdict is Verdict.INCONCLUSIVE:
        assert judgement.speedup is not None
        said = Verdict.FASTER if judgement.speedup > 1 else Verdict.SLOWER
        assert said == reply["expect"], judgement.reason
    else:
        assert judgement.verdict == reply["expect"], judgement.reason


def test_every_kind_of_outcome_is_recorded() -> None:
    """The demo shows each way that a reply can end."""
    seen = {reply["expect"] for reply in replies()}
    assert seen >= {
        "faster", "slower", "compile_error", "mismatch", "out_of_bounds", "timeout",
        "malformed_reply", "rejected", "crashed",
    }  # fmt: skip


@pytest.mark.parametrize("kernel_id", TORCH)
def test_a_torch_extensions_slice_compiles_without_torch(
    cpu_device: CpuDevice, kernel_id: int
) -> None:
    """Nothing of torch is in the capsule, and the device's compiler takes it."""
    row = ROWS[kernel_id]
    capsule = slice_kernel((EXAMPLES / row["hip_file"]).read_text(), row["name"])
    assert "torch" not in capsule.source
    assert "PYBIND11" not in capsule.source
    assert isinstance(cpu_device.compile(capsule, (), 60.0), CodeObject)


def test_there_are_enough_torch_extensions() -> None:
    """At least eight of the bundled files are PyTorch extensions."""
    assert len({ROWS[i]["hip_file"] for i in TORCH}) >= 8


def test_the_command_prints_one_json_object(tmp_path: Path) -> None:
    """`hipopt evaluate --json` gives verdict, speedup and reason, and exits 0 on a negative one."""
    reference = EXAMPLES / ROWS[118]["hip_file"]
    name = ROWS[118]["name"]
    (tmp_path / "w.json").write_text(json.dumps(ROWS[118]["workloads"][0]))
    broken = tmp_path / "broken.hip"
    broken.write_text(ROWS[118]["code_body"].replace(";", "", 1))
    for candidate, verdicts in (
        (reference, {v.value for v in Verdict if v.correct}),
        (broken, {"compile_error", "rejected"}),
    ):
        done = subprocess.run(
            [
                sys.executable, "-m", "hipopt", "evaluate", "--reference", str(reference),
                "--candidate", str(candidate), "--kernel", name, "--workload",
                str(tmp_path / "w.json"), "--cache-dir", str(tmp_path / "cache"), "--json",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["verdict"] in verdicts
        assert said["reason"]
        assert (said["speedup"] is None) == (candidate is broken)

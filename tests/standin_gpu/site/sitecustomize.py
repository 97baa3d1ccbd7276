"""A Python with this folder on its path makes code objects that the stand-in can run.

It waits neither for GPUs that are out of order nor, in a worker, after their failures. With
STANDIN_TIMING_BUDGET_S it times for as long, which is enough where times are not asked after.
"""

import functools
import os
import sys

from msgspec.structs import replace

import hipopt.devices
from hipopt.device.gpu.device import GpuDevice
from tests.standin_gpu.compiler import StandInCompiler

hipopt.devices.AmdCompiler = StandInCompiler  # type: ignore[misc]
hipopt.devices.GpuDevice = functools.partial(GpuDevice, patience_s=0.0)  # type: ignore[misc,assignment]

if budget_s := os.environ.get("STANDIN_TIMING_BUDGET_S"):
    judge_options = hipopt.devices.judge_options
    hipopt.devices.judge_options = lambda settings: replace(
        judge_options(settings), timing_budget_s=float(budget_s)
    )

if "celery" in sys.orig_argv:
    import tasks.optimize

    tasks.optimize.PAUSES_S = (0.5,)

"""A Python with this folder on its path makes code objects that the stand-in can run.

It waits neither for GPUs that are out of order nor, in a worker, after their failures.
"""

import functools
import sys

import hipopt.devices
from hipopt.device.gpu.device import GpuDevice
from tests.standin_gpu.compiler import StandInCompiler

hipopt.devices.AmdCompiler = StandInCompiler  # type: ignore[misc]
hipopt.devices.GpuDevice = functools.partial(GpuDevice, patience_s=0.0)  # type: ignore[misc,assignment]

if "celery" in sys.orig_argv:
    import tasks.optimize

    tasks.optimize.PAUSES_S = (0.5,)

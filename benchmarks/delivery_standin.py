"""The real worker with an optimiser that does nothing, or only waits, and stamps when."""

import os
import time

STAMPS = "BENCHMARK_STAMPS"


def _install() -> None:
    import tasks.optimize
    from hipopt.records import KernelTask, ResultRow
    from hipopt.settings import Settings

    path = os.environ[STAMPS]

    class Waiting:
        def optimize(self, task: KernelTask) -> ResultRow:
            word, _, seconds = task.code_body.partition("\n")[0].partition(" ")
            if word == "wait":
                began = time.time()
                time.sleep(float(seconds))
                with open(path, "a") as stamps:  # noqa: PTH123 (as quick as can be)
                    stamps.write(f"{began} {time.time()}\n")
            return ResultRow(id=task.id, status="success", name=task.name, opt_kernel="x" * 3000)

    def make(_: Settings) -> Waiting:
        return Waiting()

    tasks.optimize.optimizer = make  # type: ignore[assignment]


if STAMPS in os.environ:
    _install()
    from tasks.app import app  # noqa: F401 (Celery looks for it)

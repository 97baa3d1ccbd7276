"""From one launch that counts to several sizes of it, the largest for timing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hipopt.workload.case import Case
from hipopt.workload.plan import MAX_LDS_BYTES, Content, Plan
from hipopt.workload.sizes import Size, aligned_size, bytes_of, large_size
from hipopt.workload.trace import Sight
from hipopt.workload.tries import Start

FINITE_SHARE = 0.9
"""Of the outputs, at least: a comparison of infinities says little."""
LARGE_BYTES = 4 << 20
"""Of all buffers of the large launch: filling and comparing them would take longer than it."""
_LDS_STEP_BYTES = 8
_LEAST_SCALE = 1.5


def climb(case: Case, start: Start) -> list[Start]:
    """The launch with tame data, and others like it: small ones first, the last for timing."""
    start = _mostly_finite(case, _with_least_lds(case, start))
    found = [start]
    if start.size.name == "odd":
        found += _also(case, start, aligned_size(start.plan.block, case.axes))
    for scale in _scales(case, start.sight):
        size = large_size(start.size, scale, start.plan.block, case.axes)
        large = _also(case, start, size)
        if large:
            found += large
            break
    return list({s.sight.workload: s for s in found}.values())


def _also(case: Case, start: Start, size: Size) -> Iterator[Start] | list[Start]:
    """The launch at another size; nothing where it does not run well there, or does not count."""
    if case.diary.is_over:
        return []
    more = _with_lds(case, start, size)
    if more is not None and size.name == "large" and bytes_of(more.sight.workload) > LARGE_BYTES:
        return []
    if more is None or (more.sight.race is not None and start.sight.race is None):
        return []
    return [more] if case.does_count(more.sight.workload) else []


def _with_lds(case: Case, start: Start, size: Size) -> Start | None:
    """With the LDS that sufficed before; where it doesn't any more, with what does."""
    sight = case.look(start.plan, size)
    if sight.trouble is None:
        return Start(start.plan, size, sight)
    if start.plan.lds_bytes is None:
        case.diary.note(sight.reason)
        return None
    plan = start.plan._replace(lds_bytes=None)
    found = case.traced(plan, size)
    return None if found is None else _least_lds(case, Start(plan, size, found))


def _with_least_lds(case: Case, start: Start) -> Start:
    """With no more dynamic LDS than it needs, where the launch counts with that."""
    least = _least_lds(case, start)
    same = least.sight.workload == start.sight.workload
    return least if same or case.does_count(least.sight.workload) else start


def _least_lds(case: Case, start: Start) -> Start:
    """With no more dynamic LDS than it needs, where no host code says how much that is."""
    most = start.sight.workload.lds_bytes
    if not case.body.usage.lds_types or most < MAX_LDS_BYTES:
        return start
    low, high, sight = 0, most, start.sight
    while high - low > _LDS_STEP_BYTES:
        middle = (low + high) // 2 // _LDS_STEP_BYTES * _LDS_STEP_BYTES
        again = case.look(start.plan._replace(lds_bytes=middle), start.size)
        if again.trouble is None:
            high, sight = middle, again
        else:
            low = middle
    return Start(start.plan._replace(lds_bytes=high), start.size, sight)


def _scales(case: Case, sight: Sight) -> list[float]:
    """By how much to enlarge the launch seen, the most wanted first."""
    ran = case.run(sight.workload)
    time_us = max(1.0, ran[0]) if ran is not None else case.options.large_time_us
    threads = case.options.max_threads / max(1, sight.threads)
    patience = case.options.look_s / max(1e-3, sight.seconds)
    scale = min(case.options.large_time_us / time_us, threads, patience)
    return [s for s in (scale, scale / 4, scale / 16) if s > _LEAST_SCALE]


def _mostly_finite(case: Case, start: Start) -> Start:
    """With positive data, where ordinary data lead to infinities or NaN and these don't."""
    if _finite_share(case, start.sight) > FINITE_SHARE:
        return start
    tame = _positive(start.plan)
    again = case.look(tame, start.size)
    better = again.trouble is None and _finite_share(case, again) > FINITE_SHARE
    if better and case.counts(again.workload) is None:
        return Start(tame, start.size, again)
    return start


def _positive(plan: Plan) -> Plan:
    contents = {
        name: Content("uniform", 0.125, 1.0) if content.fill == "normal" else content
        for name, content in plan.contents.items()
    }
    return plan._replace(contents=contents)


def _finite_share(case: Case, sight: Sight) -> float:
    """Of the numbers in floating-point buffers that are written."""
    ran = case.run(sight.workload)
    if ran is None:
        return 1.0
    written = [
        array.astype(np.float64)
        for buffer, array in zip(sight.workload.buffers, ran[1], strict=True)
        if buffer.name in sight.written and "float" in buffer.buffer
    ]
    count = sum(a.size for a in written)
    return sum(int(np.isfinite(a).sum()) for a in written) / count if count else 1.0

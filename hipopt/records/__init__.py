"""The records that flow through hipopt, from a manifest row to a row of the result log.

All are frozen and checked where they are made. `to_json` and `from_json` of each record are the
only way in and out, so that the names here are the names in every file and message.
"""

from hipopt.records.judgement import Judgement, Mismatch, Resources, Timing, Verdict
from hipopt.records.record import Record
from hipopt.records.row import SCHEMA_VERSION, Attempt, FailureKind, KernelId, KernelTask, ResultRow
from hipopt.records.workload import (
    FAMILIES,
    RANDOM_FILLS,
    Argument,
    Buffer,
    DType,
    Family,
    Fill,
    Scalar,
    Workload,
)

__all__ = [
    "FAMILIES",
    "RANDOM_FILLS",
    "SCHEMA_VERSION",
    "Argument",
    "Attempt",
    "Buffer",
    "DType",
    "FailureKind",
    "Family",
    "Fill",
    "Judgement",
    "KernelId",
    "KernelTask",
    "Mismatch",
    "Record",
    "Resources",
    "ResultRow",
    "Scalar",
    "Timing",
    "Verdict",
    "Workload",
]

"""The plan beside a log (`LOG.plan.json`): what concerns the file and not a kernel.

Written whole and replaced at once by every dispatch, so that `hipopt status` can tell what is
missing without the manifest. Nothing relies on it: without it, status shows less.
Versions of its schema. 1: the first.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hipopt.dispatch.shards import Shard, ShardPlan
from hipopt.errors import LogError
from hipopt.records import Record
from hipopt.settings import SECRETS, Settings

SCHEMA = 1


class Plan(Record, frozen=True, kw_only=True):
    """What the last dispatch set out to do."""

    manifest: str
    kernels: int
    shards: tuple[Shard, ...]
    settings: dict[str, Any]
    """Those in force, without secrets and without the broker's URL."""
    started_at: str
    """UTC, ISO 8601."""
    schema: int = SCHEMA

    @property
    def shard_plan(self) -> ShardPlan:
        """The shards, able to tell an id's."""
        return ShardPlan(shards=self.shards)


def plan_path(log: Path) -> Path:
    """Where the plan of a log lies."""
    return log.with_name(log.name + ".plan.json")


def public_settings(settings: Settings) -> dict[str, Any]:
    """The settings without what must not be shown."""
    hidden = SECRETS | {"broker_url"}
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return {name: value for name, value in plain.items() if name not in hidden}


def write_plan(log: Path, plan: Plan) -> None:
    """The plan stands beside the log, whole, in place of an earlier one.

    Raises:
        LogError: there is no room for it, or no permission.
    """
    path = plan_path(log)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise LogError(
            f"{path}: can't be written: {error.strerror}; make room, or choose another --log"
        ) from None


def read_plan(log: Path) -> Plan | None:
    """The plan beside the log; None where there is none that this version can read."""
    try:
        plan = msgspec.json.decode(plan_path(log).read_bytes(), type=Plan)
    except (OSError, ValueError):
        return None
    return plan if plan.schema == SCHEMA and plan.shards else None

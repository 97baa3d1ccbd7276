"""What every record is."""

from __future__ import annotations

from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all records."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dumps`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

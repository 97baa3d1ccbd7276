"""The bundled kernels and their recorded replies, as tests want them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
REPLIES = EXAMPLES / "replies.jsonl"
ROWS: dict[int, dict[str, Any]] = {
    row["id"]: row for row in json.loads((EXAMPLES / "manifest.json").read_text())
}


def replies() -> list[dict[str, Any]]:
    """All recorded replies, each with the outcome that is expected of it."""
    return [json.loads(line) for line in REPLIES.read_text().splitlines()]


def write_manifest(path: Path, ids: Iterable[int]) -> Path:
    """A manifest of some bundled kernels, which finds their files wherever it lies."""
    rows = [ROWS[i] | {"hip_file": str(EXAMPLES / ROWS[i]["hip_file"])} for i in ids]
    path.write_text(json.dumps(rows))
    return path


def log_rows(path: Path) -> list[dict[str, Any]]:
    """Every line of a log; fails where one is no row."""
    return [json.loads(line) for line in path.read_text().splitlines()]

"""Fresh copies of programs."""

from pathlib import Path

from hipopt.device.interface import CodeObject
from hipopt.judge.fresh import fresh_copies
from hipopt.records import Resources


def test_copies_run_and_are_gone_afterwards(tmp_path: Path) -> None:
    """Same content and rights, another file each, even of one program; nothing stays."""
    path = tmp_path / "kernel"
    path.write_bytes(b"program")
    path.chmod(0o755)
    code = CodeObject(
        path=path, sha256="0", parameters=(), resources=Resources(), compile_seconds=0.0
    )
    with fresh_copies((code, code)) as copies:
        paths = [copy.path for copy in copies]
        assert len({path.stat().st_ino for path in [*paths, path]}) == 3
        assert all(p.read_bytes() == b"program" and p.stat().st_mode & 0o100 for p in paths)
        assert copies[0].sha256 == code.sha256
    assert list(tmp_path.iterdir()) == [path]

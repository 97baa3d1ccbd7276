"""All settings, read once at the edge: option, environment, `hipopt.toml`, default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from hipopt.errors import UsageError

ENV_PREFIX = "HIPOPT_"
DEFAULT_FILE = Path("hipopt.toml")
DEFAULT_ARCH = "gfx942"
"""What kernels are written for where nothing says it."""
SECRETS = frozenset({"api_key"})
_ARCH = re.compile(r"gfx[0-9a-f]{3,5}|sm_[0-9]{2,3}")
_USERINFO = re.compile(r"(?<=://)\S*@")
"""Of a URL: it may hold a password."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hipopt process was told.

    Every field is the option `--field-name`, the variable `HIPOPT_FIELD_NAME` and the key
    `field_name` in `hipopt.toml` (top level, no sections).
    """

    manifest: Path | None = None
    log: Path | None = None
    broker_url: str = "redis://127.0.0.1:6379/0"
    """`redis://`, `rediss://` or `redis+socket://`. Never shown with its password."""
    broker_ca: Path | None = None
    """Of a `rediss://` broker: who signed its certificate (PEM); None: the system's authorities."""
    broker_cert: Path | None = None
    """Our own certificate (PEM), where the broker wants one."""
    broker_key: Path | None = None
    """Its key (PEM); None: it stands in `broker_cert`."""
    namespace: str = "hipopt"
    """Prefix of all queue names, so that several runs can share one Redis."""
    lease_s: int = 40
    """How long a worker or collector may be silent before its messages go to another. Must be the
    same for all that share a namespace: the shortest wins."""
    shards: int = 8
    device: Literal["auto", "cpu", "amd", "nvidia"] = "auto"
    """`auto`: AMD's GPUs where the driver shows any, else the emulator."""
    arch: str | None = None
    """Of the GPUs that judge, e.g. `gfx942`. Dispatching: kernels go to workers with such GPUs, and
    to no others. Judging: GPUs of other archs are left alone. None: whatever there is."""
    concurrency: int | None = None
    """Pool processes of a worker; None: by the cores, see `worker.default_concurrency`."""
    cache_dir: Path = Path("~/.cache/hipopt")
    """Compiled code objects; shared by a node's workers."""
    slots_dir: Path | None = None
    """Where a node's workers agree on who has which core or GPU. They must name the same folder, on
    a file system of this node alone; None: `hipopt-slots-UID` among the temporary files, which
    containers and units with a `/tmp` of their own don't share."""
    allow_unsandboxed: bool = False
    """Whether candidates are compiled and run where the machine offers no sandbox at all."""

    model: str | None = None
    base_url: str | None = None
    """Of the OpenAI-compatible endpoint; None: the client library's default."""
    api_key: str | None = None
    """Also taken from `OPENAI_API_KEY`. Never shown, logged or sent anywhere but the endpoint."""
    temperature: float = 0.7
    max_tokens: int = 16384
    """Most tokens of one reply."""
    model_timeout_s: float = 600.0
    """Longest wait for one reply."""
    model_patience_s: float = 900.0
    """How long one task puts up with an endpoint that is down before it is requeued."""
    replay: Path | None = None
    """Recorded replies to use instead of a model."""
    candidates: Path | None = None
    """Candidates from a file to judge instead of asking a model."""
    target_arch: str | None = None
    """The architecture that the prompt asks the model to optimise for; None: see `prompt_arch`."""

    attempts: int = 4
    """Most attempts a kernel."""
    stop_at_speedup: float | None = None
    """A candidate this much faster ends a kernel's attempts; None: all attempts are used."""
    check_timeout_s: float = 200.0
    """Longest judging of one attempt, compile and timing included."""
    launch_timeout_s: float = 10.0
    """Longest single launch of a candidate."""
    min_speedup: float = 1.05
    """Least speedup that counts as faster."""
    seeds: int = 4
    """Fresh secret seeds a candidate is checked with; from 4 on, each family is among them."""

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}, expected {least} or more")
        if self.arch is not None and not _ARCH.fullmatch(self.arch):
            raise ValueError(f"arch is '{self.arch}', expected a GPU's, e.g. gfx942")

    @property
    def prompt_arch(self) -> str:
        """The architecture to optimise for: as asked, else of the GPUs that judge."""
        gpus = self.arch if self.arch is not None and self.arch.startswith("gfx") else None
        return self.target_arch or gpus or DEFAULT_ARCH

    def __repr__(self) -> str:
        fields = msgspec.structs.asdict(self).items()
        shown = (
            f"{k}={'***' if k in SECRETS and v else _USERINFO.sub('***@', repr(v))}"
            for k, v in fields
        )
        return f"Settings({', '.join(shown)})"

    def to_environ(self) -> dict[str, str]:
        """Environment variables that make `load` give these settings in a child process."""
        return {
            ENV_PREFIX + name.upper(): str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


_AT_LEAST = {
    "lease_s": 2,
    "shards": 1, "concurrency": 1, "attempts": 1, "seeds": 1, "max_tokens": 1, "min_speedup": 1.0,
    "stop_at_speedup": 1.0,
    "check_timeout_s": 1, "launch_timeout_s": 0.1, "model_timeout_s": 1, "model_patience_s": 0,
}  # fmt: skip


def load(
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """The settings in force; an option that is None counts as not given.

    Raises:
        UsageError: naming the option, variable or file and key, and what was expected.
    """
    environ = os.environ if environ is None else environ
    named = file or _path(environ.get("HIPOPT_CONFIG"))
    path = named or DEFAULT_FILE
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in (
        ("file", _from_file(path, required=named is not None)),
        ("environment", _from_environ(environ)),
        ("option", {k: v for k, v in (options or {}).items() if v is not None}),
    ):
        values |= layer
        sources |= dict.fromkeys(layer, source)
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise UsageError(_explain(str(error), sources, path)) from None


def _from_text(kind: type, text: object) -> Path:
    """What msgspec does not convert by itself: paths."""
    if kind is not Path or not isinstance(text, str | Path):
        raise ValueError(f"expected a path, got {text!r}")
    return Path(text)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UsageError(
                f"{path}: no such settings file (from --config or HIPOPT_CONFIG)"
            ) from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: not readable as TOML: {error}") from None


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: environ[ENV_PREFIX + name.upper()]
        for name in Settings.__struct_fields__
        if environ.get(ENV_PREFIX + name.upper())
    }
    if "api_key" not in found and environ.get("OPENAI_API_KEY"):
        found["api_key"] = environ["OPENAI_API_KEY"]
    return found


def _explain(message: str, sources: Mapping[str, str], path: Path) -> str:
    """Say where the bad value came from, under the name it has there."""
    match = re.search(r"`\$\.(\w+)`|unknown field `(\w+)`|^(\w+) is ", message)
    name = next((g for g in match.groups() if g), None) if match else None
    if name is None:
        return f"settings: {message}"
    place = {
        "file": f"{path}: '{name}'",
        "environment": ENV_PREFIX + name.upper(),
        "option": "--" + name.replace("_", "-"),
    }[sources.get(name, "option")]
    return f"{place}: {message}"

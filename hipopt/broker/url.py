"""The broker's URL: read in one place for redis-py, kombu and Flower, shown without its secrets.

The three differ in what they make of a URL: kombu takes `rediss://` without further words to mean
TLS with no check at all, redis-py the opposite. Here TLS means that the certificate and the name
in it are checked, unless the URL says otherwise.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from hipopt.errors import BrokerError
from hipopt.records import Record
from hipopt.settings import Settings

MEND_URL = "--broker-url, HIPOPT_BROKER_URL or broker_url in hipopt.toml"
_EXPECTED = (
    "expected redis://HOST:PORT/DB, rediss://... or redis+socket:///PATH?virtual_host=DB, with "
    "USER:PASSWORD@ before the host where one is wanted, and in it each of @ : / ? # % as %40 %3A "
    f"%2F %3F %23 %25; set it with {MEND_URL}"
)
_CERT_REQS = {
    "required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE,
}  # fmt: skip
_FILES = {
    "ssl_ca_certs": "broker_ca", "ssl_certfile": "broker_cert", "ssl_keyfile": "broker_key",
}  # fmt: skip
"""What may stand in the query, and the setting that is used where it doesn't."""
_QUERIES = {
    "redis": frozenset[str](),
    "rediss": frozenset({"ssl_cert_reqs", "ssl_check_hostname", *_FILES}),
    "redis+socket": frozenset({"virtual_host"}),
}
_USERINFO = re.compile(r"(?<=://)[^\s]*@")
_SECRET_QUERY = re.compile(r"(?<=password=)[^&\s]*")


class Endpoint(Record, frozen=True, kw_only=True):
    """Where the broker is, and how to get in. Shows no secret: print `shown`, not this."""

    shown: str
    """The URL without its secrets."""
    host: str | None
    """None: it is reached by a socket."""
    port: int
    path: str | None
    """Of the socket."""
    db: int
    user: str | None
    password: str | None
    tls: dict[str, Any] | None
    """What redis-py is told of TLS; None: none is spoken."""

    def __repr__(self) -> str:
        return f"Endpoint({self.shown})"

    @property
    def url(self) -> str:
        """The URL for kombu: all that is in the query, but for a socket's database, is in `tls`."""
        user = quote(self.user or "", safe="")
        password = f":{quote(self.password, safe='')}" if self.password else ""
        userinfo = f"{user}{password}@" if user or password else ""
        if self.path is not None:
            return f"redis+socket://{userinfo}{quote(self.path)}?virtual_host={self.db}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        scheme = "rediss" if self.tls is not None else "redis"
        return f"{scheme}://{userinfo}{host}:{self.port}/{self.db}"

    def client_options(self) -> dict[str, Any]:
        """What `redis.Redis` is made with."""
        options = {"db": self.db, "username": self.user, "password": self.password}
        if self.path is not None:
            return {"unix_socket_path": self.path, **options}
        tls = {} if self.tls is None else {"ssl": True, **self.tls}
        return {"host": self.host, "port": self.port, **options, **tls}

    def hides(self, text: str) -> str:
        """The text without the password, in whichever spelling it stands there."""
        for secret in {self.password or "", quote(self.password or "", safe="")} - {""}:
            text = text.replace(secret, "***")
        return text


def endpoint(settings: Settings) -> Endpoint:
    """The broker of these settings.

    Raises:
        BrokerError: the URL is of no kind that hipopt speaks, or names files that are not there.
    """
    url = settings.broker_url
    shown = masked(url)
    try:
        parts = urlsplit(url)
        query = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
        if parts.scheme not in _QUERIES or parts.fragment:
            raise ValueError
        _check_query(parts.scheme, query, shown)
        on_socket = parts.scheme == "redis+socket"
        database = query.get("virtual_host", "0") if on_socket else parts.path.strip("/") or "0"
        return Endpoint(
            shown=shown,
            host=None if on_socket else unquote(parts.hostname or "") or "127.0.0.1",
            port=_port(parts, shown),
            path=_socket(parts) if on_socket else None,
            db=int(database),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=_tls(settings, query, shown) if parts.scheme == "rediss" else None,
        )
    except ValueError:  # its words may hold a part of the password
        raise BrokerError(f"broker URL {shown}: {_EXPECTED}") from None


def _port(parts: SplitResult, shown: str) -> int:
    try:
        return parts.port or 6379
    except ValueError:  # its words may hold a part of the password
        raise BrokerError(
            f"broker URL {shown}: the port must be a number up to 65535; {_EXPECTED}"
        ) from None


def masked(url: str) -> str:
    """The URL with all that may be a password, wherever it stands, replaced by `***`."""
    found = _USERINFO.search(url)
    if found is None:
        return _SECRET_QUERY.sub("***", url)
    user, _, password = found[0][:-1].partition(":")
    secret = f"{user}:***@" if password else f"{user}@"
    if re.search(r"[^\w.%~-]", user):
        secret = "***@"  # noqa: S105 (it is none)
    return _SECRET_QUERY.sub("***", url[: found.start()] + secret + url[found.end() :])


def _check_query(scheme: str, query: dict[str, str], shown: str) -> None:
    if unknown := sorted(set(query) - _QUERIES[scheme]):
        known = ", ".join(sorted(_QUERIES[scheme])) or "nothing"
        hint = "; TLS is spoken with rediss://" if unknown[0].startswith("ssl_") else ""
        raise BrokerError(
            f"broker URL {shown}: '{unknown[0]}' means nothing here, {known} may stand after the "
            f"?{hint}; set it with {MEND_URL}"
        )


def _socket(parts: SplitResult) -> str:
    if not parts.path.strip("/") or parts.hostname:
        raise ValueError
    return unquote(parts.path)


def _tls(settings: Settings, query: dict[str, str], shown: str) -> dict[str, Any]:
    """What redis-py and kombu are told, so that both do the same."""
    wanted = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    check_name = query.get("ssl_check_hostname", "true").lower()
    if wanted not in _CERT_REQS or check_name not in ("true", "false"):
        raise BrokerError(
            f"broker URL {shown}: expected ssl_cert_reqs=required, optional or none, and "
            f"ssl_check_hostname=true or false; set it with {MEND_URL}"
        )
    checked = wanted != "none"
    found: dict[str, Any] = {
        "ssl_cert_reqs": _CERT_REQS[wanted],
        "ssl_check_hostname": checked and check_name == "true",
    }
    for name, setting in _FILES.items():
        if path := query.get(name) or getattr(settings, setting):
            found[name] = _file(Path(path), name in query, name, setting)
    return found


def _file(path: Path, in_url: bool, name: str, setting: str) -> str:
    path = path.expanduser()
    try:
        path.open("rb").close()
    except OSError as error:
        where = f"{name} in the broker's URL" if in_url else f"HIPOPT_{setting.upper()}"
        raise BrokerError(
            f"{path}: {error.strerror}; it is named by {where} ({setting} in hipopt.toml): name a "
            "file in PEM format that this user can read"
        ) from None
    return str(path)

"""What is not as it should be with a broker that works: who else can reach it, what it may lose."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from typing import Any

import redis
from msgspec.structs import replace
from redis.exceptions import RedisError

from hipopt.broker.app import check_broker, connect
from hipopt.broker.arrival import rejected_count, rejected_key
from hipopt.broker.url import Endpoint, endpoint
from hipopt.finding import Finding, Health
from hipopt.settings import Settings

_LOOK_S = 3.0


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """That it answers, then one warning for each thing that should be otherwise.

    Raises:
        BrokerError: it doesn't answer, or refuses us.
    """
    warnings = check_broker(settings)
    where = endpoint(settings)
    yield Finding(name="broker", health=Health.OK, detail=where.shown)
    for warning in warnings:
        yield _warn(warning.removeprefix("broker: "))
    yield from map(_warn, _in_the_clear(where))
    with connect(settings, timeout_s=_LOOK_S) as client:
        yield from map(_warn, _open_to_others(client, where))
        yield from map(_warn, _set_aside(client, settings.namespace))


def _warn(detail: str) -> Finding:
    return Finding(name="broker", health=Health.WARN, detail=detail)


def _in_the_clear(where: Endpoint) -> Iterator[str]:
    if where.tls is not None and where.tls["ssl_cert_reqs"] is ssl.CERT_NONE:
        yield (
            "its certificate is not checked, so anybody on the way can be the broker: take "
            "ssl_cert_reqs=none out of the URL and set HIPOPT_BROKER_CA"
        )
    if where.tls is None and where.password and not _is_local(where):
        yield (
            "the password crosses the network in the clear: let Redis speak TLS (deploy/redis.conf "
            "shows how) and use rediss://"
        )


def _open_to_others(client: redis.Redis, where: Endpoint) -> Iterator[str]:
    """Whoever can write to the broker can have kernels run, and stop workers."""
    if where.path is not None or not _lets_anybody_in(where):
        return
    config: dict[Any, Any] = {}
    try:
        for name in ("bind", "protected-mode"):
            config |= client.config_get(name)
    except RedisError:
        config = {"bind": "", "protected-mode": "yes"}
    bound = [address.lstrip("-") for address in config["bind"].split()] or ["*"]
    beyond = [address for address in bound if not _is_loopback(address)]
    if not _is_local(where) or (beyond and config["protected-mode"] == "no"):
        yield (
            "it is open: it wants no password and other hosts can reach it, and whoever can write "
            "to it can have kernels run here; set requirepass or users (deploy/redis.conf, "
            "deploy/users.acl), or bind it to 127.0.0.1"
        )


def _lets_anybody_in(where: Endpoint) -> bool:
    anybody = replace(where, user=None, password=None).client_options()
    try:
        with redis.Redis(**anybody, socket_timeout=_LOOK_S) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _set_aside(client: redis.Redis, namespace: str) -> Iterator[str]:
    key = rejected_key(namespace)
    try:
        count = rejected_count(client, namespace)
    except RedisError:
        return
    if count:
        yield (
            f"{count} messages were no messages of this hipopt's and are set aside: see "
            f"redis-cli lrange {key} 0 -1, then redis-cli del {key}"
        )


def _is_local(where: Endpoint) -> bool:
    return where.host is None or _is_loopback(where.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

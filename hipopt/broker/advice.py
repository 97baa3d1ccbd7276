"""Why the broker can't be used, in words that name the setting to change, and without a secret."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from redis import exceptions

from hipopt.broker.url import MEND_URL, Endpoint
from hipopt.settings import Settings

_UNTRUSTED = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes: self-signed, self-signed in the chain, issuer not found, not verified."""
_EXPIRED, _NOT_YET = 10, 9
_WRONG_NAME = frozenset({62, 64})
_CHARACTERS = 300


def explain(error: BaseException, where: Endpoint, settings: Settings) -> str:
    """What went wrong, and what mends it; a few lines for a person."""
    reason = " ".join(where.hides(str(error)).split())[:_CHARACTERS].rstrip(".")
    advice = _advice(error, where, settings)
    return f"broker {where.shown}: {reason}\nTo mend it: {advice}"


def _advice(error: BaseException, where: Endpoint, settings: Settings) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_advice(cause.verify_code, settings)
        if isinstance(cause, ssl.SSLError):
            return (
                "the other side speaks no TLS (then the URL begins with redis://) or wants a "
                f"certificate of ours (HIPOPT_BROKER_CERT and HIPOPT_BROKER_KEY): {MEND_URL}"
            )
    if isinstance(error, exceptions.NoPermissionError):
        user = where.user or "default"
        return (
            f"give the Redis user '{user}' the rights of deploy/users.acl for the namespace "
            f"'{settings.namespace}', or name another user: {MEND_URL}"
        )
    if isinstance(error, exceptions.AuthenticationError):
        return f"put the right user and password into the URL: {MEND_URL}"
    if where.tls is None and where.path is None and _hung_up(error):
        return f"if it speaks TLS, the URL begins with rediss://; else look at its log: {MEND_URL}"
    if where.tls is not None and isinstance(error, exceptions.TimeoutError):
        return (
            "a Redis that speaks no TLS waits without a word: then the URL begins with redis://; "
            f"else see whether it is there: {MEND_URL}"
        )
    return f"start it (redis-server), or name another: {MEND_URL}"


def _certificate_advice(code: int, settings: Settings) -> str:
    if code in _UNTRUSTED:
        now = settings.broker_ca or "none is set, so the system's authorities count"
        return (
            "name the authority that signed its certificate: HIPOPT_BROKER_CA, broker_ca in "
            f"hipopt.toml, or ssl_ca_certs in the URL (now: {now})"
        )
    if code in (_EXPIRED, _NOT_YET):
        return (
            "its certificate is not valid now: renew it on the broker's side, and look at the "
            f"clocks; or name another broker: {MEND_URL}"
        )
    if code in _WRONG_NAME:
        return f"its certificate is for another host: use the name that stands in it: {MEND_URL}"
    return f"its certificate is refused: renew it, or name another broker: {MEND_URL}"


def _hung_up(error: BaseException) -> bool:
    """It was reached, and gave no answer of Redis."""
    if isinstance(error, exceptions.InvalidResponse):
        return True
    if not isinstance(error, exceptions.ConnectionError):
        return False
    below = [cause for cause in _causes(error) if isinstance(cause, OSError)]
    return all(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in below)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

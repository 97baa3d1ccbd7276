"""Who may see Flower: whoever knows a user and a password, kept where only this user can read.

A web page that is open in somebody's browser can reach a loopback address, so that alone is no
door. The password is never on a command line: Flower takes it from its environment.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from hipopt.errors import UsageError

VARIABLE = "FLOWER_BASIC_AUTH"
_FILE = "flower-password"


def flower_environ(environ: Mapping[str, str], folder: Path, *, open_pages: bool) -> dict[str, str]:
    """The environment with which Flower asks for a user and a password.

    Args:
        environ: to start from; `FLOWER_BASIC_AUTH=USER:PASSWORD` in it is used.
        folder: where a password that we made up is kept.
        open_pages: the pages are shown to anybody; the API, which can stop workers, to nobody.

    Raises:
        UsageError: the variable is of another form, or the file can't be kept.
    """
    found = {k: v for k, v in environ.items() if k not in (VARIABLE, "FLOWER_UNAUTHENTICATED_API")}
    if open_pages:
        return found
    given = environ.get(VARIABLE) or kept_login(folder)
    user, _, password = given.partition(":")
    if not user or not password or "," in given:
        raise UsageError(f"{VARIABLE}: expected USER:PASSWORD, both without commas")
    return found | {VARIABLE: given}


def login_file(folder: Path) -> Path:
    """Where the user and password that we made up stand, as `USER:PASSWORD`."""
    return folder.expanduser() / _FILE


def kept_login(folder: Path) -> str:
    """The user and password of this user's Flower, made up once and kept in a file of mode 0600.

    Raises:
        UsageError: the file can't be kept, or others can read it.
    """
    path = login_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(f"hipopt:{secrets.token_urlsafe(18)}\n")
        except FileExistsError:
            pass
        if path.stat().st_mode & 0o077:
            raise UsageError(
                f"{path}: others can read it; chmod 600 it, or remove it for a new one"
            )
        return path.read_text().strip()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; Flower's password is kept there: set {VARIABLE}="
            "USER:PASSWORD instead, or another --cache-dir"
        ) from None

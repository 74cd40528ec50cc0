"""Where a database is: how its address is written, checked and shown."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from smoacs.errors import InputError

_SCHEMES = ("postgresql://", "postgres://")


def database_address(value: str) -> str:
    """Check how an address is written, and make a path absolute.

    Raises:
        InputError: It is neither a URL of PostgreSQL nor a path that ends in .db.
    """
    if is_url(value):
        return value
    if "://" in value or Path(value).suffix != ".db":
        raise InputError(
            f"database {without_password(value)!r}: give postgresql://user@host/name, or the path "
            "of a file that ends in .db"
        )
    return str(Path(value).expanduser().resolve())


def is_url(address: str) -> bool:
    """Whether an address names a server."""
    return address.startswith(_SCHEMES)


def without_password(address: str) -> str:
    """Give an address as it may be shown and kept."""
    if not is_url(address):
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(p for p in parts.query.split("&") if not p.startswith("password="))
    netloc = user.partition(":")[0] + at + host
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))

"""Where a database is: how its address is written, checked and shown."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from smoacs.errors import InputError, without_passwords

_SCHEMES = ("postgresql://", "postgres://")


def database_address(value: str) -> str:
    """Check how an address is written, and make a path absolute.

    Raises:
        InputError: It is neither a URL of PostgreSQL nor a path that ends in .db.
    """
    if is_url(value):
        try:
            _ = urlsplit(value).port
        except ValueError:  # its words quote the password
            raise InputError(
                f"database {without_passwords(value)!r} is no address; give "
                "postgresql://user@host/name, with signs such as / in a password as %2F"
            ) from None
        return value
    if "://" in value or Path(value).suffix != ".db":
        raise InputError(
            f"database {without_passwords(value)!r}: give postgresql://user@host/name, or the path "
            "of a file that ends in .db"
        )
    return str(Path(value).expanduser().resolve())


def is_url(address: str) -> bool:
    """Whether an address names a server."""
    return address.startswith(_SCHEMES)


def passwords_of(address: str) -> list[str]:
    """What of an address nobody may see, as it is written and as it is meant."""
    found = re.findall(r"://[^:/@]*:(.*)@", address) + re.findall(r"password=([^&#\s]*)", address)
    return sorted({form for text in found for form in (text, unquote(text)) if form}, key=len)[::-1]

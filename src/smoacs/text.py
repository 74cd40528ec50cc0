"""Text of files as users have them: compressed or not, in any usual encoding."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import Final

_OPENERS: Final = (
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ\x00", lzma.decompress),
)
_BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


def read_bytes(path: Path) -> bytes:
    """Bytes of a file, unpacked where they are those of gzip, bzip2 or xz, whatever its name.

    Raises:
        OSError: It cannot be read, or is damaged.
    """
    data = path.read_bytes()
    for mark, unpack in _OPENERS:
        if data.startswith(mark):
            try:
                return unpack(data)
            except (EOFError, lzma.LZMAError, zlib.error, OSError, ValueError) as error:
                raise OSError(0, f"it is packed and damaged: {error}") from error
    return data


def decode(data: bytes, *, fallback: str | None = None) -> str:
    """Text in UTF-8, UTF-16 or UTF-32, with a byte order mark or without; lines end alike.

    Args:
        data: The bytes.
        fallback: Encoding of what is none of them; None refuses it.

    Raises:
        UnicodeDecodeError: It is in another encoding.
    """
    encoding, start = _encoding(data)
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError:
        if fallback is None:
            raise
        text = data.decode(fallback)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(data: bytes) -> tuple[str, int]:
    """Encoding, and the length of its byte order mark."""
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return name, len(mark)
    head = data[:256]
    if len(head) > 1 and not len(data) % 2:  # ASCII in UTF-16: every other byte is zero
        if not any(head[1::2]):
            return "utf-16-le", 0
        if not any(head[0::2]):
            return "utf-16-be", 0
    return "utf-8", 0

"""How a ciphertext is written where it is kept: as bytes, or in base64. Pure."""

import base64
import binascii
from typing import NamedTuple

from strongroom.reencryption.items import MAX_BLOB, ItemError

_LINE_ENDS = b"\r\n"


class Encoded(NamedTuple):
    """A ciphertext blob, and what follows it in its place: the line end of a text file."""

    blob: bytes
    end: bytes


def decode(content: bytes, *, in_base64: bool) -> Encoded:
    """Return the blob in a content; raises ItemError if it cannot be one."""
    if not in_base64:
        return _of_fitting_size(content, b"")
    text = content.rstrip(_LINE_ENDS + b" ")
    end = content[len(text) :]
    try:
        blob = base64.b64decode(text.translate(None, _LINE_ENDS), validate=True)
    except (ValueError, binascii.Error):
        raise ItemError("it is not base64") from None
    return _of_fitting_size(blob, end)


def encode(blob: bytes, end: bytes, *, in_base64: bool) -> bytes:
    """Return the content for a blob; base64 is in one line."""
    return base64.b64encode(blob) + end if in_base64 else blob


def _of_fitting_size(blob: bytes, end: bytes) -> Encoded:
    if not 0 < len(blob) <= MAX_BLOB:
        raise ItemError(f"it has {len(blob)} bytes, and a ciphertext blob has 1 to {MAX_BLOB}")
    return Encoded(blob, end)

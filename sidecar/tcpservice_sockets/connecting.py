"""Failed connects, in Node's words (`connect ECONNREFUSED 10.0.0.1:3001`): people search for those.

Used by the sidecar and by the transport for Python apps.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def common_error(error: OSError) -> OSError:
    """Return the one error that all addresses of a name gave; `error` itself where they gave several.

    asyncio and aiohappyeyeballs have only the texts of the errors, joined.
    """
    numbers = set(_ERRNO.findall(str(error)))
    if len(numbers) != 1:
        return error
    number = int(numbers.pop())
    return OSError(number, os.strerror(number))


def connect_error(error: OSError, host: str, port: int) -> str:
    """Word a failed connect."""
    number = error.errno or 0
    text = errno.errorcode.get(number) or os.strerror(number) if number > 0 else str(error)
    return f"connect {text} {host}:{port}"

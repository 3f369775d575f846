"""NestJS as the benchmark runs it: the packages that benchmarks/ends pins, installed once for each lock file.

Used by `transports` and `pairs`.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import Final

from contest.places import BENCHMARKS, ROOT, say
from contest.tools import MissingError, run

_ENDS: Final = BENCHMARKS / "ends"
END: Final = ("node", str(_ENDS / "end.mjs"))


def install() -> None:
    """Install the packages, unless those of this lock file are installed. Raises MissingError."""
    if shutil.which("npm") is None:
        raise MissingError("it needs Node.js 20 and npm (https://nodejs.org)")
    digest = hashlib.sha256((_ENDS / "package-lock.json").read_bytes()).hexdigest()
    stamp = _ENDS / "node_modules" / ".installed"
    if not stamp.is_file() or stamp.read_text() != digest:
        say(f"Installing NestJS into {stamp.parent.relative_to(ROOT)} (once) ...")
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=_ENDS)
        stamp.write_text(digest)

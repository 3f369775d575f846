"""What to do when a replica does not start: read from its last lines.

Used by `tcpservice up`. The cases are those that people meet when an app written for a container runs beside its own
copies on one machine. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_HINTS: Final = (
    (r"EADDRINUSE|[Aa]ddress already in use",
     "its port is taken: replicas share this machine, so the app must listen on the port in the variable PORT"),
    (r"ENOTFOUND|EAI_AGAIN|[Nn]ame or service not known|nodename nor servname",
     "names of services are not known to this machine: dial the address in NAME_SERVICE_HOST and NAME_SERVICE_PORT, "
     "or in a variable of the manifest whose value is the service's name"),
    (r"Cannot find module '[^']+'|ERR_MODULE_NOT_FOUND.*'[^']+'",
     "something is not installed or not built: run npm ci (and npm run build) in {package}"),
    (r"ModuleNotFoundError: No module named '[^']+'",
     "Python does not find it: activate its environment first"),
    (r"can't open file|No such file or directory",
     "the command looks for a file that is not there; it runs in {folder}; "
     "annotate the Deployment with tcpservice.dev/local-dir to change that"),
)  # fmt: skip


def hint(lines: Sequence[str], folder: Path, exists: Callable[[Path], bool] = Path.exists) -> str | None:
    """Return what to do about a program that ended with these lines, None where they do not say."""
    text = "\n".join(lines)
    words = next((words for pattern, words in _HINTS if re.search(pattern, text)), None)
    if words is None:
        return None
    packages = (place for place in (folder, *folder.parents) if exists(place / "package.json"))
    return words.format(folder=folder, package=next(packages, folder))

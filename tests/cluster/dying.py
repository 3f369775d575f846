"""An operator that dies right after it has written so many objects (DIE_AFTER), as if it were killed there."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Awaitable

from tcpservice_operator.kube.kube_client import KubeClient
from tcpservice_operator.main import main

DIED = 9
_write = KubeClient._write


_written = itertools.count(1)


async def _write_and_die(self: KubeClient, answer: Awaitable[object]) -> None:
    await _write(self, answer)
    if next(_written) >= int(os.environ["DIE_AFTER"]):
        os._exit(DIED)


if __name__ == "__main__":
    KubeClient._write = _write_and_die  # type: ignore[method-assign]
    sys.exit(main())

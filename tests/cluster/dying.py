"""An operator that dies right after it has written so many objects (DIE_AFTER), as if it were killed there."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable

from tcpservice_operator.app import main
from tcpservice_operator.cluster import Cluster

DIED = 9
_write = Cluster._write


async def _write_and_die(self: Cluster, answer: Awaitable[object]) -> None:
    await _write(self, answer)
    if self.writes >= int(os.environ["DIE_AFTER"]):
        os._exit(DIED)


if __name__ == "__main__":
    Cluster._write = _write_and_die  # type: ignore[method-assign]
    sys.exit(main())

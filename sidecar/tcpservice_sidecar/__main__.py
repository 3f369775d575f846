"""`python -m tcpservice_sidecar`, and the `tcpservice-sidecar` command.

The sidecar needs packages that are an extra of the distribution; without them, one line says how to install them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

USAGE_ERROR = 2


def main() -> int:
    """Run the sidecar; return the exit status."""
    try:
        with _without_system_certificates():
            from tcpservice_sidecar.app import main as run
    except ModuleNotFoundError as error:
        install = "in a clone of the project: pip install '.[sidecar]'"
        sys.stderr.write(f"tcpservice-sidecar needs {error.name}; {install}\n")
        return USAGE_ERROR
    return run()


@contextmanager
def _without_system_certificates() -> Iterator[None]:
    """Let OpenSSL find no CA certificates for the time of the imports.

    When aiohttp is imported, it loads those of the system twice, for requests that name no CA: 75 ms and 2 MB in each
    pod. The sidecar makes no such request: discovery names the operator's CA.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


if __name__ == "__main__":
    sys.exit(main())

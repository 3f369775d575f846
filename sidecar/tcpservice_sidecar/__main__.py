"""`python -m tcpservice_sidecar`, and the `tcpservice-sidecar` command.

What the sidecar needs is an extra of the distribution; who installed it without is told so in one line.
"""

import sys

USAGE_ERROR = 2


def main() -> int:
    """Run the sidecar; return the exit status."""
    try:
        from tcpservice_sidecar.app import main as run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"tcpservice-sidecar needs {error.name}: pip install 'tcpservice[sidecar]'\n")
        return USAGE_ERROR
    return run()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tcpservice_cli`, and the `tcpservice` command.

The command's modules take a quarter of a second to import. Ctrl-C in that time ends the process without a traceback.
"""

import signal
import sys


def main() -> int:
    """Run the command; return its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tcpservice_cli.command_line import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tcpservice_sidecar` is the `tcpservice-sidecar` command."""

import sys

from tcpservice_sidecar.app import main

sys.exit(main())

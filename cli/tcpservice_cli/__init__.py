"""`tcpservice`, the command for people: one module for each subcommand, put together in `command_line`."""

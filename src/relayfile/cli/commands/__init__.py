"""One module a command: `DESCRIPTION`, `EXAMPLES`, `arguments(parser)` and `run(asked, context) -> exit code`."""

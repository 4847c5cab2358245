"""The command line: stdout is data, stderr is talk, the exit code is the error's own."""

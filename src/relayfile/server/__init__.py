"""The server: accounts, sign-in, workspaces, files with revisions, the ordered log, the live stream."""

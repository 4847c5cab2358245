"""The mirror daemon: one process keeps one directory equal to one workspace."""

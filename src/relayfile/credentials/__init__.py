"""The shared sign-in on this machine: the file, its lock, and the token that every process takes from it."""

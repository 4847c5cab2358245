"""relayfile: keep a local directory equal to a cloud workspace, and prove it."""

__version__ = "0.1.0"

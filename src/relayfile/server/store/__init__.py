"""What the server remembers, split by noun. Each public method is one transaction."""

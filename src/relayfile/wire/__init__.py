"""Model to bytes and back, one module a surface. Only it knows the field names of HTTP, sockets and files."""

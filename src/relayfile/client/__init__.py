"""The client library: requests described and answers read without I/O, and the two transports that carry them."""

"""Decisions only: no I/O, no clock, no randomness, no logging. All of it can be asked, tested and replayed."""

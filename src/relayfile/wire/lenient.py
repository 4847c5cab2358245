"""Reading what other programs send: null means absent, as to the v1 server (its SDK for Python sends nulls)."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What `decoder` makes of `body`; members that are null count as left out where it takes no null.

    Raises:
        msgspec.DecodeError: it is not JSON, or does not fit; RecursionError: nested too deeply.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        if b"null" not in body:
            raise
        return msgspec.convert(_without_nulls(msgspec.json.decode(body)), decoder.type)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value

"""Sign-in: by device, by password, or as the owner of a server on this machine. Gives a `Grant`; stores nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from relayfile.model import Grant, Secret


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person needs to approve a device sign-in."""

    user_code: str
    address: str
    complete_address: str
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh grant and the scope it was given."""

    grant: Grant
    scope: str | None


def probe(api_url: str) -> str:
    """The server's address in its one spelling, where a relayfile server has answered."""
    raise NotImplementedError


def sign_in(api_url: str, show: Callable[[Prompt], None], open_browser: Callable[[str], object] | None = None) -> SignedIn:
    """A grant that a person approved in a browser, on this machine or another."""
    raise NotImplementedError


def with_password(api_url: str, username: str, password: Secret, *, old_clients: bool = False) -> SignedIn:
    """A grant for a name and a password."""
    raise NotImplementedError


def as_owner(api_url: str, owner_signin: Secret) -> SignedIn:
    """A grant for the owner of a server on this machine, who holds DATA/owner-signin."""
    raise NotImplementedError

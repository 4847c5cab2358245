"""Which account a person of an OpenID Connect provider is here, if any. Decides; knows no database and no network.

An e-mail address is only ever looked at when a person comes for the first time: addresses are given to other people,
subjects are not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

SUBJECT: Final = "sub:"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the provider proved them. `email` is None unless the provider says that it is theirs."""

    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may come in.

    `domains`: whoever has a verified address in one of them. `named`: account name -> the address, or `sub:SUBJECT`,
    of the person it belongs to. Names, addresses and domains are casefolded.
    """

    domains: frozenset[str]
    named: Mapping[str, str]


class Standing(Enum):
    """What is there under an account name."""

    FREE = "no such account"
    UNLINKED = "an account that nobody of the provider is"
    LINKED = "an account that somebody of the provider is already"


@dataclass(frozen=True, slots=True)
class Welcome:
    """The person is that account. `fresh`: they become it now, and it is made when it is not there yet."""

    username: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The person may not come in; `code` for programs, `why` for people."""

    code: str
    why: str


def admit(
    person: Person, rules: Rules, linked: str | None, standing: Callable[[str], Standing]
) -> Welcome | TurnedAway:
    """Who this is here. `linked` is the account that this person became before, `standing` tells of account names.

    Order: the operator's word on this very subject; the link made before, as long as the rules still have room for
    it; the operator's word on the address, once; the domain of the address, for a name nobody has.
    """
    for username, whom in rules.named.items():
        if whom == SUBJECT + person.subject:
            return Welcome(username, fresh=linked != username)
    name, _, domain = (person.email or "").rpartition("@")
    in_domain = bool(name) and domain in rules.domains
    if linked is not None:
        if in_domain or linked in rules.named:
            return Welcome(linked, fresh=False)
        return _not_invited(person)
    for username, whom in rules.named.items():
        if whom == person.email:
            if standing(username) is Standing.LINKED:
                return TurnedAway(
                    "account_taken", f"the account {username!r} belongs to somebody else who had the address {whom}"
                )
            return Welcome(username, fresh=True)
    if in_domain and person.email is not None:
        if standing(person.email) is not Standing.FREE:
            return TurnedAway(
                "account_taken", f"there is an account {person.email!r} already, and it is not known yours"
            )
        return Welcome(person.email, fresh=True)
    return _not_invited(person)


def _not_invited(person: Person) -> TurnedAway:
    if person.email is None:
        return TurnedAway("email_unverified", "the provider does not vouch for an e-mail address of yours")
    return TurnedAway("not_invited", f"the address {person.email} is not among those that may sign in here")

"""Who somebody of a provider is here: the rules, without a provider."""

import pytest

from relayfile.core.admission import Person, Rules, Standing, TurnedAway, Welcome, admit

ADA = Person("1", "ada@example.org")


def decide(person, *, domains=(), named=None, linked=None, standing=None):
    standings = standing or {}
    rules = Rules(frozenset(domains), named or {})
    return admit(person, rules, linked, lambda name: standings.get(name, Standing.FREE))


def test_a_person_named_by_their_subject_is_that_account_whatever_else_is_known():
    named = {"ada": "sub:1", "old": "ada@example.org"}
    assert decide(Person("1", None), named=named) == Welcome("ada", fresh=True)
    assert decide(ADA, named=named, linked="old") == Welcome("ada", fresh=True)
    assert decide(ADA, named=named, linked="ada") == Welcome("ada", fresh=False)


def test_a_person_named_by_their_address_becomes_an_account_that_is_there_or_is_made():
    named = {"owner": "ada@example.org"}
    assert decide(ADA, named=named) == Welcome("owner", fresh=True)
    assert decide(ADA, named=named, standing={"owner": Standing.UNLINKED}) == Welcome("owner", fresh=True)


def test_a_second_person_with_the_same_address_does_not_become_the_first():
    found = decide(ADA, named={"owner": "ada@example.org"}, standing={"owner": Standing.LINKED})
    assert isinstance(found, TurnedAway)
    assert found.code == "account_taken"


def test_an_address_in_a_domain_is_an_account_of_its_own_and_never_one_that_is_there():
    assert decide(ADA, domains=["example.org"]) == Welcome("ada@example.org", fresh=True)
    for there in (Standing.UNLINKED, Standing.LINKED):
        found = decide(ADA, domains=["example.org"], standing={"ada@example.org": there})
        assert isinstance(found, TurnedAway)


@pytest.mark.parametrize("email", ["ada@sub.example.org", "ada@notexample.org", "example.org", "a@example.org@evil"])
def test_a_domain_is_the_whole_of_what_follows_the_last_at(email):
    assert isinstance(decide(Person("1", email), domains=["example.org"]), TurnedAway)


def test_who_came_before_stays_who_they_were_as_long_as_the_rules_have_room_for_them():
    moved = Person("1", "ada@elsewhere.example")
    assert decide(moved, named={"ada": "ada@example.org"}, linked="ada") == Welcome("ada", fresh=False)
    assert decide(ADA, domains=["example.org"], linked="old") == Welcome("old", fresh=False)
    assert isinstance(decide(moved, domains=["example.org"], linked="ada@example.org"), TurnedAway)
    assert isinstance(decide(ADA, named={"bob": "bob@example.org"}, linked="ada"), TurnedAway)


def test_an_address_that_nobody_vouches_for_counts_for_nothing():
    found = decide(Person("1", None), domains=["example.org"], named={"owner": "ada@example.org"})
    assert isinstance(found, TurnedAway)
    assert found.code == "email_unverified"

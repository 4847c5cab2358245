"""Many processes, one credential file, a server that ends a family on reuse (4-sessions T01 to T08, T18)."""

import itertools
import multiprocessing
import os
import signal
import time

import pytest

import logins
from fake_authority import Authority
from relayfile.errors import LoginRequired, Unavailable

spawn = multiprocessing.get_context("spawn")


def started(target, *args):
    process = spawn.Process(target=target, args=args)
    process.start()
    return process


def test_a_crowd_that_meets_an_expired_token_makes_one_request(place):
    path = place / "cloud-credentials.json"
    with Authority(latency_s=0.2) as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        results = spawn.Queue()
        crowd = [started(logins.ask_once, path, results) for _ in range(8)]
        tokens = {results.get(timeout=60) for _ in crowd}
        for process in crowd:
            process.join(30)
        assert len(tokens) == 1
        assert tokens.pop().startswith("cld_at_")
        assert authority.requests["/oauth/token"] == 1


def test_a_daemon_and_commands_share_a_short_login_for_many_lifetimes_without_one_rejection(place):
    path, seconds = place / "cloud-credentials.json", 5.0
    with Authority(access_ttl_s=1.0, latency_s=0.01) as authority:
        # Every seventh reply is lost after the server has rotated.
        authority.lose = lambda n: n % 7 == 0
        began = time.monotonic()
        logins.signed_in(path, authority.grant())
        results = spawn.Queue()
        daemon = started(logins.ask_for, path, seconds, "owner", results)
        commands = [started(logins.ask_for, path, seconds, "other", results) for _ in range(4)]
        reports = [results.get(timeout=90) for _ in range(5)]
        took = time.monotonic() - began
        for process in (daemon, *commands):
            process.join(30)
        assert not [wrong for _, wrong in reports if wrong]
        outcomes = authority.outcomes()
        assert set(outcomes) <= {"rotated", "replayed"}
        rotations = [one.at for one in authority.presented if one.outcome == "rotated"]
        assert 3 <= len(rotations) <= took / 0.58 + 1, "R5"
        generations = [one.generation for one in authority.presented if one.outcome == "rotated"]
        assert len(generations) == len(set(generations)), "each generation is rotated at most once"
        assert min(b - a for a, b in itertools.pairwise(rotations)) >= 0.65, "R5"


def test_a_stopped_holder_is_waited_for_and_then_named_and_the_token_is_not_shown_meanwhile(place):
    path = place / "cloud-credentials.json"
    with Authority() as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        held, release = spawn.Event(), spawn.Event()
        holder = started(logins.hold_the_lock, path, held, release)
        assert held.wait(30)
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            hasty = logins.session(path, limits=logins.Limits(lock_wait_s=0.3))
            with pytest.raises(Unavailable) as caught:
                hasty.token()
            assert caught.value.code == "auth_busy"
            assert str(holder.pid) in caught.value.message
            assert not authority.presented
            assert hasty.state().phase == "auth-busy"
            assert hasty.state().holder == holder.pid
        finally:
            os.kill(holder.pid, signal.SIGCONT)
        release.set()
        holder.join(30)
        assert hasty.token()
        assert authority.outcomes() == {"rotated": 1}


def test_a_killed_holder_leaves_no_lock_behind(place):
    path = place / "cloud-credentials.json"
    with Authority() as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        held, release = spawn.Event(), spawn.Event()
        holder = started(logins.hold_the_lock, path, held, release)
        assert held.wait(30)
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(30)
        began = time.monotonic()
        assert logins.session(path).token()
        assert time.monotonic() - began < 1.0


def test_a_revoked_login_is_presented_once_by_all_processes_together(place):
    path = place / "cloud-credentials.json"
    with Authority() as authority:
        grant = authority.grant(expires_in_s=0.0)
        logins.signed_in(path, grant)
        authority.families[grant.family].alive = False
        results = spawn.Queue()
        crowd = [started(logins.ask_once, path, results) for _ in range(5)]
        said = [results.get(timeout=60) for _ in crowd]
        for process in crowd:
            process.join(30)
        assert all(one.startswith("LoginRequired") for one in said), said
        for _ in range(20):
            with pytest.raises(LoginRequired):
                logins.session(path).token()
        assert len(authority.presented) == 1
        assert logins.session(path).state().phase == "auth-failed"


def test_a_signal_during_a_renewal_waits_until_the_pair_is_kept(place):
    path = place / "cloud-credentials.json"
    with Authority(latency_s=0.5) as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        results = spawn.Queue()
        process = started(logins.ask_once, path, results)
        until = time.monotonic() + 30
        while not authority.requests["/oauth/token"] and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        process.join(30)
        assert logins.session(path).state().generation == 2
        assert authority.outcomes() == {"rotated": 1}

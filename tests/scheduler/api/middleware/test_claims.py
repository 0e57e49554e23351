"""One runs a request, the others wait for its reply."""

import pytest

from scheduler.api.middleware import claims as module
from scheduler.api.middleware.claims import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    MAX_KEPT,
    Claims,
    IdempotencyName,
    ResponseCache,
    StoredResponse,
)
from scheduler.solving.trace import Trace
from tests.builders import ManualClock

NAME = IdempotencyName("alice", "/v1/chat/completions", "order-66")
BODY, OTHER = b"body", b"other"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def claims(clock: ManualClock) -> Claims:
    return Claims(clock)


def reply(body: bytes = b"{}") -> StoredResponse:
    return StoredResponse(BODY, 200, [], body, Trace("id"))


def test_the_first_runs_it_and_the_others_wait_for_its_reply(claims: Claims) -> None:
    assert claims.claim(NAME, BODY, "a").state == "yours"
    assert claims.claim(NAME, BODY, "b").state == "running"
    claims.finish(NAME, "a", reply())
    for owner in "abc":
        state, found = claims.claim(NAME, BODY, owner)
        assert state == "finished"
        assert found is not None and found.body == b"{}"


def test_an_owner_that_asks_again_still_owns_it(claims: Claims) -> None:
    claims.claim(NAME, BODY, "a")
    assert claims.claim(NAME, BODY, "a").state == "yours"


@pytest.mark.parametrize("is_over", [False, True])
def test_another_body_is_told_while_it_runs_and_after(claims: Claims, is_over: bool) -> None:
    claims.claim(NAME, BODY, "a")
    if is_over:
        claims.finish(NAME, "a", reply())
    assert claims.claim(NAME, OTHER, "b").state == "other_body"


def test_what_was_released_is_the_next_ones_even_with_another_body(claims: Claims) -> None:
    claims.claim(NAME, BODY, "a")
    claims.release(NAME, "b")
    assert claims.claim(NAME, BODY, "b").state == "running"
    claims.release(NAME, "a")
    assert claims.claim(NAME, OTHER, "b").state == "yours"


def test_the_claim_of_an_owner_that_died_lapses(claims: Claims, clock: ManualClock) -> None:
    claims.claim(NAME, BODY, "a")
    clock.now = LEASE_SECONDS - 0.1
    assert claims.claim(NAME, BODY, "b").state == "running"
    clock.now = LEASE_SECONDS
    assert claims.claim(NAME, BODY, "b").state == "yours"
    assert claims.claim(NAME, BODY, "c").state == "running"


def test_renewed_claims_do_not_lapse(claims: Claims, clock: ManualClock) -> None:
    claims.claim(NAME, BODY, "a")
    for _ in range(10):
        clock.now += LEASE_SECONDS - 1
        claims.renew("a", {NAME: BODY})
    assert claims.claim(NAME, BODY, "b").state == "running"


def test_an_owner_hears_once_that_others_wait(claims: Claims) -> None:
    claims.claim(NAME, BODY, "a")
    assert claims.renew("a", {NAME: BODY}) == []
    claims.claim(NAME, BODY, "b")
    assert claims.renew("b", {NAME: BODY}) == []
    assert claims.renew("a", {NAME: BODY}) == [NAME]
    assert claims.renew("a", {NAME: BODY}) == []


def test_claims_that_were_forgotten_are_learned_again_from_their_owners(claims: Claims) -> None:
    claims.renew("a", {NAME: BODY})
    assert claims.claim(NAME, BODY, "b").state == "running"


def test_young_claims_believe_who_was_told_that_it_runs(claims: Claims, clock: ManualClock) -> None:
    assert claims.claim(NAME, BODY, "b", waits=True).state == "running"
    claims.renew("a", {NAME: BODY})
    claims.release(NAME, "a")
    clock.now = LEASE_SECONDS
    assert claims.claim(NAME, BODY, "b", waits=True).state == "yours"


def test_lapsed_claims_are_not_held_in_memory(claims: Claims, clock: ManualClock) -> None:
    claims.claim(NAME, BODY, "a")
    clock.now = LEASE_SECONDS
    claims.renew("b", {})
    assert claims._leases == {}


def test_the_reply_of_an_owner_that_lost_its_claim_is_nobodys(
    claims: Claims, clock: ManualClock
) -> None:
    claims.claim(NAME, BODY, "a")
    clock.now = LEASE_SECONDS
    claims.claim(NAME, BODY, "b")
    claims.finish(NAME, "a", reply(b"late"))
    assert claims.claim(NAME, BODY, "c").state == "running"
    claims.finish(NAME, "b", reply(b"good"))
    claims.finish(NAME, "a", reply(b"later"))
    found = claims.claim(NAME, BODY, "c").reply
    assert found is not None and found.body == b"good"


def test_a_late_reply_counts_while_nobody_else_runs_it(claims: Claims, clock: ManualClock) -> None:
    claims.claim(NAME, BODY, "a")
    clock.now = 2 * LEASE_SECONDS
    claims.finish(NAME, "a", reply())
    assert claims.claim(NAME, BODY, "b").state == "finished"


def test_tenants_and_paths_have_their_own_keys(claims: Claims) -> None:
    claims.claim(NAME, BODY, "a")
    for name in (NAME._replace(tenant="bob"), NAME._replace(path="/v1/responses")):
        assert claims.claim(name, OTHER, "b").state == "yours"


def test_replies_are_forgotten_in_time(clock: ManualClock) -> None:
    replies = ResponseCache(clock)
    replies.keep(NAME, reply())
    clock.now = KEPT_SECONDS - 1
    assert replies.find(NAME) is not None
    clock.now = KEPT_SECONDS
    assert replies.find(NAME) is None


def test_a_tenant_has_so_many_replies_and_bytes(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = ResponseCache(clock)
    names = [NAME._replace(key=str(number)) for number in range(MAX_KEPT + 5)]
    for name in names:
        replies.keep(name, reply())
    assert [name for name in names if replies.find(name) is None] == names[:5]
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 10)
    replies.keep(NAME._replace(tenant="bob"), reply(b"x" * 9))
    assert replies.find(names[-1]) is not None
    replies.keep(NAME, reply(b"x" * 9))
    assert [name for name in (*names, NAME) if replies.find(name)] == [NAME]
    replies.keep(names[0], reply(b"x" * 11))
    assert replies.find(names[0]) is None

"""Account blocks."""

from __future__ import annotations

import random

import pytest

from sidecar.core.account import Account, AccountSettings
from sidecar.core.outcome import AccountEffect
from sidecar.domain import Gate


def account(*, jitter: float = 0.0) -> Account:
    """Return a free account."""
    return Account(AccountSettings(jitter=jitter), random.Random(3))


def test_rate_blocks_until_reset() -> None:
    """A 429 blocks exactly until the provider's time, plus at most a tenth."""
    own = account(jitter=0.1)
    own.block(AccountEffect.RATE, 20.0, 100.0)
    assert own.gate(119.9) is Gate.ACCOUNT_RATE
    until = own.blocked_until(100.0)
    assert until is not None
    assert 120.0 <= until <= 122.0
    assert own.gate(until) is None
    assert own.blocked_until(until) is None


@pytest.mark.parametrize("odd", [None, 0.0, -5.0, float("nan"), float("inf")])
def test_unstated_rate_blocks_double(odd: float | None) -> None:
    """429s that do not say when, one after the other, block for 5 s doubling to 60 s."""
    own = account()
    now = 0.0
    waits = []
    for _ in range(6):
        own.block(AccountEffect.RATE, odd, now)
        until = own.blocked_until(now)
        assert until is not None
        waits.append(until - now)
        now = until
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    own.ok(now)
    own.block(AccountEffect.RATE, odd, now)
    assert own.blocked_until(now) == now + 5.0


def test_siblings_are_one_refusal() -> None:
    """Calls refused side by side do not double the block."""
    own = account()
    for _ in range(5):
        own.block(AccountEffect.RATE, None, 0.0)
    assert own.blocked_until(0.0) == 5.0


def test_a_shorter_pushback_does_not_shorten() -> None:
    """The latest end of all pushbacks holds."""
    own = account()
    own.block(AccountEffect.RATE, 30.0, 0.0)
    own.block(AccountEffect.RATE, 1.0, 1.0)
    assert own.blocked_until(1.0) == 30.0


def test_pushback_is_bounded() -> None:
    """A mistaken header does not block for longer than a day."""
    own = account()
    own.block(AccountEffect.RATE, 1e12, 0.0)
    assert own.blocked_until(0.0) == 86_400.0


def test_quota_blocks_a_quarter_hour_or_as_stated() -> None:
    """Exhausted quota blocks 15 minutes, or until the stated date."""
    own = account()
    own.block(AccountEffect.QUOTA, None, 0.0)
    assert (own.gate(0.0), own.blocked_until(0.0)) == (Gate.ACCOUNT_QUOTA, 900.0)
    own.block(AccountEffect.QUOTA, 3600.0, 0.0)
    assert own.blocked_until(0.0) == 3600.0


def test_auth_blocks_at_the_second_in_a_row() -> None:
    """One 401 is a hiccup, two in a row a wrong key; a success between them starts anew."""
    own = account()
    own.block(AccountEffect.AUTH, None, 0.0)
    assert own.gate(0.0) is None
    own.ok(1.0)
    own.block(AccountEffect.AUTH, None, 2.0)
    assert own.gate(2.0) is None
    own.block(AccountEffect.AUTH, None, 3.0)
    assert (own.gate(3.0), own.blocked_until(3.0)) == (Gate.ACCOUNT_AUTH, 903.0)


def test_straggler_success_does_not_reset() -> None:
    """A success that was under way when the block began neither ends it nor its count."""
    own = account()
    own.block(AccountEffect.RATE, None, 0.0)
    own.ok(1.0)
    assert own.gate(1.0) is Gate.ACCOUNT_RATE
    own.block(AccountEffect.RATE, None, 5.0)
    assert own.blocked_until(5.0) == 15.0


def test_gate_names_what_needs_a_human_first() -> None:
    """Of several blocks the one that waiting does not cure is named; the last end is told."""
    own = account()
    own.block(AccountEffect.RATE, 5000.0, 0.0)
    own.block(AccountEffect.QUOTA, None, 0.0)
    assert (own.gate(0.0), own.blocked_until(0.0)) == (Gate.ACCOUNT_QUOTA, 5000.0)


@pytest.mark.parametrize("effect", [AccountEffect.NONE, AccountEffect.OK])
def test_other_effects_do_not_block(effect: AccountEffect) -> None:
    """What says nothing of the credential blocks nothing."""
    own = account()
    own.block(effect, 60.0, 0.0)
    assert own.gate(0.0) is None


def test_unblock_forgets_all() -> None:
    """A replaced credential starts clean, its first 401 included."""
    own = account()
    own.block(AccountEffect.QUOTA, None, 0.0)
    own.block(AccountEffect.AUTH, None, 0.0)
    own.unblock(1.0)
    assert own.gate(1.0) is None
    own.block(AccountEffect.AUTH, None, 2.0)
    assert own.gate(2.0) is None


def test_a_block_is_a_guess_where_no_time_was_stated() -> None:
    """Only a rate, and only beyond every time that the provider named; never what needs a human."""
    account = Account(AccountSettings(jitter=0.0), random.Random(1))
    assert not account.is_guess(100.0)
    account.block(AccountEffect.RATE, 2.0, 100.0)
    assert not account.is_guess(101.9)
    account.block(AccountEffect.RATE, None, 101.0)
    assert not account.is_guess(101.9)
    assert account.is_guess(102.0)
    account.block(AccountEffect.QUOTA, None, 102.0)
    assert not account.is_guess(102.0)

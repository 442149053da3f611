"""Whether a request may be sent again, and after what pause."""

import hypothesis.strategies as st
from hypothesis import given

from cno.pool.retries import FIRST_PAUSE, Retries


def test_pauses_double_and_are_bounded() -> None:
    retries = Retries(100, True)
    pauses = []
    for _ in range(12):
        assert retries.failed(retryable=True, passed_over=False, idempotent=False)
        pauses.append(retries.pause())
    assert pauses[:4] == [0.0, FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(pauses) == pauses[-1] == 64 * FIRST_PAUSE


@given(limit=st.integers(0, 10), errors=st.lists(st.booleans(), max_size=40))
def test_the_limit_counts_all_but_those_that_were_passed_over(
    limit: int, errors: list[bool]
) -> None:
    retries = Retries(limit, True)
    counted = 0
    for passed_over in errors:
        again = retries.failed(retryable=True, passed_over=passed_over, idempotent=False)
        assert again == (passed_over or counted < limit)
        if not again:
            break
        pause = retries.pause()
        if passed_over:
            assert pause == 0.0
        else:
            counted += 1
        assert retries.goes_first


def test_what_may_have_been_processed_is_sent_once_more() -> None:
    for allowed in (True, False):
        retries = Retries(5, allowed)
        assert retries.failed(retryable=True, passed_over=False, idempotent=True) == allowed
        assert retries.needs_unused == allowed
        assert not retries.failed(retryable=True, passed_over=False, idempotent=True)
        assert retries.failed(retryable=True, passed_over=False, idempotent=False)


def test_what_is_not_retryable_is_not_sent_again() -> None:
    assert not Retries(5, True).failed(retryable=False, passed_over=True, idempotent=False)


def test_a_misdirected_request_is_sent_once_more() -> None:
    retries = Retries(5, True)
    seen = [retries.needs_unused, retries.misdirected(), retries.needs_unused]
    assert seen == [False, True, True]
    assert not retries.misdirected()
    assert not Retries(0, True).misdirected()


def test_a_connection_that_did_not_take_the_request_is_no_reason_to_hurry() -> None:
    retries = Retries(5, True)
    assert retries.failed(retryable=True, passed_over=True, idempotent=False)
    assert retries.pause() == 0.0
    retries.blocked()
    assert [retries.pause() for _ in range(3)] == [0.0, FIRST_PAUSE, 2 * FIRST_PAUSE]

"""Duels one after another: together they risk what one was allowed."""

from __future__ import annotations

import pytest

from streamapp.learning.duel import STAKES, BlockState, DuelSettings
from streamapp.learning.rounds import Rounds

SETTINGS = DuelSettings(alpha=0.05, block_ms=0)


def blocks_to(capital: float, x: float) -> int:
    """Return the number of blocks of x after which the bettors' mean capital is reached."""
    count = 0
    while sum((1 + stake * x) ** count for stake in STAKES) / len(STAKES) < capital:
        count += 1
    return count


def fight(rounds: Rounds, at_ms: int, x: float = 0.5) -> int:
    """Let the challenger lose x less at each millisecond until the duel is decided; return when."""
    while rounds.decided is None:
        at_ms += 1
        rounds.update("v", x, at_ms, 1.0)
    return at_ms


def test_the_kth_duel_is_allowed_alpha_over_k_times_k_plus_1():
    rounds, at_ms, needed = Rounds(SETTINGS), 0, []
    for _ in range(6):
        at_ms = fight(rounds, at_ms)
        needed.append(rounds.blocks)
        rounds.restart()
    assert needed == [blocks_to(k * (k + 1) / 0.05, 0.5) for k in range(1, 7)]
    assert sum(0.05 / (k * (k + 1)) for k in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert len(set(needed)) > 1


def test_dismissals_are_spent_likewise():
    rounds = Rounds(SETTINGS)
    fight(rounds, 0, x=-0.5)
    assert rounds.decided == "champion"
    rounds.restart()
    fight(rounds, 1_000, x=-0.5)
    assert rounds.blocks == blocks_to(6 / 0.05, 0.5)


def test_a_duel_in_which_nothing_was_counted_has_risked_nothing():
    rounds = Rounds(SETTINGS)
    rounds.update("v", 0.5, 0, 1.0)  # its block is open
    rounds.restart()
    rounds.restart()
    assert rounds.number == 1
    fight(rounds, 10)
    assert rounds.blocks == blocks_to(2 / 0.05, 0.5)


def test_duels_that_do_not_spend_are_allowed_all_of_alpha_each():
    rounds, at_ms = Rounds(SETTINGS, spends=False), 0
    for _ in range(3):
        at_ms = fight(rounds, at_ms)
        assert rounds.blocks == blocks_to(1 / 0.05, 0.5)
        rounds.restart()


def test_a_restored_duel_is_the_kth_still():
    rounds, held = Rounds(SETTINGS), dict[str, BlockState | None]()
    at_ms = fight(rounds, 0)
    rounds.restart()
    for _ in range(5):
        at_ms += 1
        rounds.update("v", 0.5, at_ms, 1.0)
    held |= rounds.changed()
    again = Rounds(SETTINGS)
    for viewer, block in held.items():
        again.restore_block(viewer, block)
    again.restore(rounds.snapshot(), rounds.number)
    assert fight(again, at_ms) == fight(rounds, at_ms)
    assert again.blocks == rounds.blocks == blocks_to(6 / 0.05, 0.5)


def test_the_twentieth_duel_takes_about_twice_the_blocks_of_the_first():
    for x in (0.05, 0.2, 0.5):
        assert 1.8 < blocks_to(20 * 21 / 0.05, x) / blocks_to(2 / 0.05, x) < 2.6

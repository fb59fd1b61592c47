"""FTRL that learns on trial: what it learned since the last turn can be undone.

Time goes in *turns*. At the end of a turn what was learned in it is *accepted*, which is what
readers may be told, or *undone*. Three older states of each coordinate are kept beside it, each
copied when the coordinate is first touched after its time; one that nobody touches costs nothing:

* `old`: as last accepted, to go back to;
* `hour`: the weight as accepted at the first turn that ended in the present hour of stream time;
* `day`: likewise of the present day.

The copies of an hour and a day ago predict beside the model, as baselines that show what fresh
learning is worth. They are at most that old: each is used until the next full hour or day.

**Rare coordinates.** A coordinate that is not held gets in with the probability weight / admission
at each example (Poisson inclusion, McMahan et al. 2013, §3.1), drawn by a hash of the example's id
and the coordinate: on average at its `admission`th example, and equal in every run. The draw does
not depend on the label. Until then it weighs 0. Coordinates not touched for `expiry_days` days of
stream time are forgotten, by all copies. What readers hold of a forgotten one is known until they
hold it no more (`streamapp.learning.snapshots`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import copysign
from typing import Any, Final

from streamapp.learning.coordinate import settle, sigmoid, step
from streamapp.learning.model_settings import ModelSettings
from streamapp.learning.staged_coordinate import BIAS, StagedCoordinate, State

_MIX_HIGH: Final = 0x9E37
_MIX_LOW: Final = 0x79B1
_HASHES: Final = 1 << 32
_LOW: Final = (1 << 16) - 1


class StagedFtrl:
    """FTRL-proximal on hashed coordinates, in turns.

    Attributes:
        turn: number of the present turn.
        hour, day: of stream time, whose beginnings the copies are of.
    """

    def __init__(self, settings: ModelSettings, intercept_init: float) -> None:
        alpha, ridge = settings.alpha, settings.beta / settings.alpha
        self._penalised = (alpha, ridge + settings.l2, settings.l1)
        self._free = (alpha, ridge, 0.0)
        self._admission = settings.admission
        self._intercept_init = intercept_init
        self._coordinates: dict[int, StagedCoordinate] = {}
        self._found: list[StagedCoordinate | None] = []  # of the last example, None if not held
        self._forgotten = 0  # of these
        self._bias = StagedCoordinate(BIAS)
        self._mark = 0
        self._turned: list[StagedCoordinate] = []
        self._dirty: list[StagedCoordinate] = []
        self.turn = self.hour = self.day = 0

    def learn(
        self,
        indices: list[int],
        y: float,
        offset: float = 0.0,
        scale: float = 1.0,
        draw: int = 0,
        weight: float = 1.0,
        beside: StagedFtrl | None = None,
    ) -> tuple[float, float, float]:
        """Predict, then learn that the outcome was `y`, from 0 to 1.

        Args:
            indices: the coordinates that are on, each once.
            y: what happened.
            offset: added to the score while learning, as a known part of it.
            scale: how much of an example this one is.
            draw: 32 bits, a hash of the example's id.
            weight: examples this one stands for; for admission only.
            beside: one that has just learned from the same `indices`, each time the same one:
                by way of its coordinates these are found without looking most of them up.

        Returns:
            The scores (log-odds, without `offset`) from before learning: of the model, and of its
            copies of the hour and of the day.
        """
        known = self._known(indices, beside, draw, weight)
        mark, bias = self._mark, self._bias
        if bias.mark != mark:
            self._touch(bias)
        score = self._intercept_init + bias.w
        hour = self._intercept_init + bias.hour_w
        day = self._intercept_init + bias.day_w
        for coordinate in known:
            if coordinate.mark != mark:
                self._touch(coordinate)
            score += coordinate.w
            hour += coordinate.hour_w
            day += coordinate.day_w
        gradient = (sigmoid(score + offset) - y) * scale
        alpha, ridge, l1 = self._penalised
        step(known, gradient, alpha, ridge, l1)
        alpha, ridge, l1 = self._free
        step([bias], gradient, alpha, ridge, l1)
        return score, hour, day

    def _known(
        self, indices: list[int], beside: StagedFtrl | None, draw: int, weight: float
    ) -> list[StagedCoordinate]:
        """Return the coordinates that are held, those just admitted last."""
        found = self._look_up(indices) if beside is None else self._look_beside(indices, beside)
        self._found = found
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            unknown = [indices[place] for place, one in enumerate(found) if one is None]
            self._admit(known, unknown, draw, weight)
        return known

    def _look_up(self, indices: list[Any]) -> list[StagedCoordinate | None]:
        """Return the coordinates at their places; None for those that are not held.

        Indices are integers, and nothing that is computed with as long as it is only looked up.
        """
        held: dict[Any, StagedCoordinate] = self._coordinates
        found: list[StagedCoordinate | None] = []
        for index in indices:
            one = held.get(index)
            found.append(one if one is not None and one.held else None)
        return found

    def _look_beside(self, indices: list[Any], beside: StagedFtrl) -> list[StagedCoordinate | None]:
        """Do as `_look_up`, by way of what another has found."""
        held: dict[Any, StagedCoordinate] = self._coordinates
        found: list[StagedCoordinate | None] = []
        for place, theirs in enumerate(beside._found):
            one = None if theirs is None else theirs.beside
            if one is None or not one.held:
                one = held.get(indices[place])
                if one is not None and not one.held:
                    one = None
                if theirs is not None:
                    theirs.beside = one
            found.append(one)
        return found

    def _admit(
        self, known: list[StagedCoordinate], indices: list[int], draw: int, weight: float
    ) -> None:
        least, admission = _HASHES * weight, self._admission
        admitted = [index for index in indices if _mixed(draw ^ index) * admission < least]
        known += [self._hold(index) for index in admitted]

    def _hold(self, index: int) -> StagedCoordinate:
        """Return a coordinate that is held from now on."""
        coordinate = self._coordinates.get(index)
        if coordinate is None:
            coordinate = self._coordinates[index] = StagedCoordinate(index)
        else:
            coordinate.held = True
            self._forgotten -= 1
        return coordinate

    def _forget(self, coordinate: StagedCoordinate) -> None:
        """Hold a coordinate no longer; once that is written and told, it is not known either."""
        coordinate.clear()
        coordinate.held = False
        self._forgotten += 1

    def _touch(self, coordinate: StagedCoordinate) -> None:
        """Keep what a coordinate is, before it changes for the first time in a turn."""
        coordinate.mark = self._mark
        self._dirty.append(coordinate)
        if coordinate.turn != self.turn:
            coordinate.turn = self.turn
            coordinate.old_z, coordinate.old_n = coordinate.z, coordinate.n
            coordinate.old_w = coordinate.w
            self._turned.append(coordinate)
            if coordinate.hour != self.hour:
                coordinate.hour, coordinate.hour_w = self.hour, coordinate.w
            if coordinate.day != self.day:
                coordinate.day, coordinate.day_w = self.day, coordinate.w

    def predict(self, indices: Iterable[int]) -> float:
        """Return the score when these coordinates are on."""
        score = self._bias.w
        for index in indices:
            score += self.weight(index)
        return score + self._intercept_init

    def accepted_score(self, indices: Iterable[int]) -> float:
        """Return the score when these coordinates are on, as last accepted, less the intercept."""
        held, turn, score = self._coordinates.get, self.turn, 0.0
        for index in indices:
            one = held(index)
            if one is not None:
                score += one.accepted(turn)
        return score

    def weight(self, index: int) -> float:
        """Return the weight of one coordinate as it is learned now; 0 when it is not held."""
        coordinate = self._coordinates.get(index)
        return 0.0 if coordinate is None else coordinate.w

    def accepted(self, index: int) -> float:
        """Return the weight of one coordinate as last accepted."""
        coordinate = self._coordinates.get(index)
        return 0.0 if coordinate is None else coordinate.accepted(self.turn)

    @property
    def intercept(self) -> float:
        """Log-odds when no coordinate is on, as it is learned now."""
        return self._intercept_init + self._bias.w

    @property
    def accepted_intercept(self) -> float:
        """Log-odds when no coordinate is on, as last accepted."""
        return self._intercept_init + self._bias.accepted(self.turn)

    @property
    def size(self) -> int:
        """Coordinates held."""
        return len(self._coordinates) - self._forgotten

    def turned(self) -> Iterator[tuple[int, float]]:
        """Yield the coordinates learned from in this turn, with their weights now."""
        for one in self._turned:
            if one is not self._bias:
                yield one.index, one.w

    def accept(self, hour: int, day: int) -> list[StagedCoordinate]:
        """End the turn with what it learned; return the coordinates that may have changed.

        Args:
            hour, day: of stream time; the copies are taken anew when they are others than before.
        """
        changed = [one for one in self._turned if one is not self._bias]
        self._next_turn()
        self.hour, self.day = hour, day
        return changed

    def undo(self) -> None:
        """End the turn as if it had not been."""
        for one in self._turned:
            if one is self._bias:
                settle(one, one.old_z, one.old_n, *self._free)
            elif one.old_n == 0.0:
                self._forget(one)
            else:
                settle(one, one.old_z, one.old_n, *self._penalised)
        self._dirty += self._turned
        self._next_turn()

    def _next_turn(self) -> None:
        self._turned.clear()
        self.turn += 1
        self._mark += 1

    def expire(self, least_day: int) -> list[StagedCoordinate]:
        """Forget the coordinates not touched since a day began; return them. Between turns only."""
        gone = [one for one in self._held() if one.day < least_day]
        for one in gone:
            self._forget(one)
        self._dirty += gone
        return gone

    def _held(self) -> list[StagedCoordinate]:
        return [one for one in self._coordinates.values() if one.held]

    def return_to_hour(self) -> list[StagedCoordinate]:
        """Go back to the weights of an hour ago; return the coordinates that changed.

        What was learned of how fast to learn (n) stays. Between turns only.
        """
        changed = [one for one in self._held() if one.hour == self.hour]
        for one in changed:
            self._put(one, one.hour_w, one.n)
        if self._bias.hour == self.hour:
            self._put(self._bias, self._bias.hour_w, self._bias.n)
        self._dirty += [*changed, self._bias]
        return changed

    def follow(self, other: StagedFtrl) -> list[StagedCoordinate]:
        """Take the weights of another; return the coordinates that changed. Between turns only."""
        gone = [one for one in self._held() if not other.holds(one.index)]
        for one in gone:
            self._forget(one)
        changed = []
        for theirs in other._held():
            held = self.holds(theirs.index)
            mine = self._coordinates[theirs.index] if held else self._hold(theirs.index)
            self._copy(mine, theirs)
            changed.append(mine)
        self._copy(self._bias, other._bias)
        changed += gone
        self._dirty += [*changed, self._bias]
        return changed

    def holds(self, index: int) -> bool:
        """Return whether a coordinate is held."""
        one = self._coordinates.get(index)
        return one is not None and one.held

    def _copy(self, one: StagedCoordinate, theirs: StagedCoordinate) -> None:
        self._put(one, theirs.w, theirs.n)
        one.hour, one.hour_w = theirs.hour, theirs.hour_w
        one.day, one.day_w = theirs.day, theirs.day_w

    def _put(self, one: StagedCoordinate, weight: float, n: float) -> None:
        alpha, ridge, l1 = rule = self._free if one is self._bias else self._penalised
        pull = ridge + n**0.5 / alpha
        settle(one, -weight * pull - (copysign(l1, weight) if weight else 0.0), n, *rule)

    def tell(self, due: list[StagedCoordinate]) -> None:
        """Take note that readers are told of these coordinates, which is part of their state."""
        self._dirty += due

    def take_dirty(self) -> list[StagedCoordinate]:
        """Return the coordinates, never the intercept, that changed since this was last called.

        Each once, in the order they changed in first. Those that are neither held nor known to
        readers are returned for the last time.
        """
        dirty, self._dirty = self._dirty, []
        self._mark += 1
        mark, changed = self._mark, []
        for one in dirty:
            if one.mark != mark and one is not self._bias:
                one.mark = mark
                changed.append(one)
                if not one.held and not one.told:
                    del self._coordinates[one.index]
                    self._forgotten -= 1
        self._mark += 1
        return changed

    def snapshot(self, index: int) -> State | None:
        """Return all there is to restore of a coordinate; None if it is not held."""
        one = self._coordinates.get(index)
        return one.state if one is not None and one.held else None

    @property
    def bias(self) -> State:
        """All there is to restore of the intercept."""
        return self._bias.state

    def restore(self, index: int, state: State | None, told: float = 0.0) -> None:
        """Take what `snapshot` gave; call `ready` when `turn`, `hour` and `day` are set too.

        Args:
            told: the weight that readers hold.
        """
        one = StagedCoordinate(index)
        one.told, one.held = told, state is not None
        if state is not None:
            self._settle(one, state)
        if index == BIAS:
            self._bias = one
        elif one.held or told:
            self._coordinates[index] = one
        else:
            self._coordinates.pop(index, None)

    def _settle(self, one: StagedCoordinate, state: State) -> None:
        rule = self._free if one.index == BIAS else self._penalised
        z, n, one.turn, one.old_z, one.old_n, one.hour, one.hour_w, one.day, one.day_w = state
        settle(one, one.old_z, one.old_n, *rule)
        one.old_w = one.w
        settle(one, z, n, *rule)

    def ready(self) -> list[StagedCoordinate]:
        """All is restored; return the coordinates that are held or known to readers."""
        known = list(self._coordinates.values())
        self._turned = [one for one in (self._bias, *known) if one.turn == self.turn]
        self._forgotten = len(known) - len(self._held())
        return known


def _mixed(bits: int) -> int:
    """Return `bits` · 0x9E3779B1 modulo 2^32.

    In halves: compiled code multiplies at once what has less than 31 bits, and the rest as objects.
    """
    low, high = bits & _LOW, bits >> 16 & _LOW
    carried = low * _MIX_HIGH + high * _MIX_LOW & _LOW
    return (low * _MIX_LOW + carried * (_LOW + 1)) % _HASHES

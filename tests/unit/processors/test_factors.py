"""factors: what it publishes, seen by a reader; and that restarts do not show."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.features.erasure_requests import ErasureRequests
from streamapp.learning import earlier_pairs
from streamapp.processors.base import Cut
from streamapp.processors.factors import CONTRADICTED, Factors, FactorsSettings
from streamapp.signals import Example
from tests.unit.learning.examples import example

TOPIC = "training.examples"
MODEL = "factors-all"
SMALL = FactorsSettings(dimensions=3, admission=1, warm_up_requests=3, threshold=0.0)

Log = list[tuple[str, dict[str, Any] | None]]
Rows = dict[bytes, bytes]


class Reader:
    """A reader that knows only models.factors, and applies whole versions only."""

    def __init__(self) -> None:
        self.arriving: dict[str, list[float]] = {}
        self.rows: dict[str, list[float]] = {}
        self.epoch = 0

    def read(self, key: str, value: dict[str, Any] | None) -> None:
        _, _, name = key.partition("/")
        if name == "@epoch":
            assert value is not None
            self._close(value)
        elif value is None:
            self.arriving.pop(name)
        else:
            assert name == f"{value['kind']}/{value['id']}"
            self.arriving[name] = [value["bias"], *value["vector"]]

    def _close(self, close: dict[str, Any]) -> None:
        entries = (
            name.encode() + b"\x00" + struct.pack(f"<{len(row)}d", *row)
            for name, row in self.arriving.items()
        )
        checksum = sum(map(zlib.crc32, entries)) % 2**32
        if (len(self.arriving), checksum) == (close["count"], close["checksum"]):
            assert {len(row) for row in self.arriving.values()} <= {1 + close["dimensions"]}
            self.rows, self.epoch = dict(self.arriving), close["epoch"]

    def score(self, viewer: str, item: str) -> float:
        zeros = [0.0] * 99
        bias, *vector = self.rows.get(f"item/{item}", zeros)
        taste = self.rows.get(f"viewer/{viewer}", zeros)[1:]
        return bias + sum(p * q for p, q in zip(taste, vector, strict=False))


def factors(
    settings: FactorsSettings = SMALL,
    rows: Rows | None = None,
    now: int = 0,
    erasures: ErasureRequests | None = None,
) -> Factors:
    one = Factors(settings, erasures)
    one.restore((rows or {}).items())
    one.ready()
    one.advance(now)
    return one


def cut(one: Factors, stream_time_ms: int, rows: Rows | None = None) -> Cut:
    """Let stream time go on and take a cut, and keep its rows as a changelog does."""
    one.advance(stream_time_ms)
    taken = Cut(stream_time_ms, computed_at_ms=stream_time_ms + 5)
    for key, value in one.cut(taken):
        if rows is not None:
            rows.pop(key, None)
            if value is not None:
                rows[key] = value
    return taken


def log_of(taken: Cut, topic: str = "models.factors") -> Log:
    return [
        (key.decode(), None if value is None else msgspec.json.decode(value))
        for key, value, _ in taken.outputs.get(topic, [])
        if key is not None
    ]


def feed(one: Factors, examples: Iterable[Example]) -> None:
    for shown in examples:
        one.process(TOPIC, one.decoder(TOPIC)(msgspec.json.encode(shown)))


def slate(number: int, clicked: str, others: str = "", at: int = 0, **fields: Any) -> list[Example]:
    """Return the labels of one request."""
    shown = [(item, True) for item in clicked] + [(item, False) for item in others]
    fields = {"viewer_id": "v1", "request_id": f"r{number}"} | fields
    return [
        example(at, clicked=was, item_id=item, position=position, **fields)
        for position, (item, was) in enumerate(shown, 1)
    ]


slates = st.lists(
    st.builds(
        slate,
        st.integers(0, 4),
        st.text("abc", max_size=2),
        st.text("defg", max_size=3),
        viewer_id=st.sampled_from(["v1", "v/2", "v3"]),
        segment=st.sampled_from(["all", "market/de"]),
        kind=st.sampled_from(["click", "click", "click", "completion"]),
        features=st.sampled_from([{}, {"category": "drama"}, {"category": "x", "creator_id": "c"}]),
    ),
    max_size=12,
)
steps = st.lists(st.tuples(st.integers(0, 1500), st.booleans()), min_size=12, max_size=12)


def play(
    history: Sequence[list[Example]],
    steps: Sequence[tuple[int, bool]],
    restarts: Sequence[bool],
    settings: FactorsSettings,
) -> tuple[list[dict[str, Any]], Rows]:
    """Feed requests, cut in the middle of some, and restart from the changelog after some cuts."""
    rows: Rows = {}
    one, now, published = factors(settings), 0, []
    for labels, (gap, cuts), restart in zip(history, steps, restarts, strict=False):
        now += gap
        one.advance(now)
        timed = [msgspec.structs.replace(label, labelled_at_ms=now) for label in labels]
        feed(one, timed[:2])
        if cuts:
            published.append(cut(one, now, rows).outputs)
            if restart:
                one = factors(settings, rows, now)
        feed(one, timed[2:])
    one.advance(now + 5_000)
    published.append(cut(one, now + 5_000, rows).outputs)
    return published, rows


BOUNDED = FactorsSettings(
    dimensions=2, admission=2, viewers=1, items=3, threshold=0.05, bias_rate=0.5, item_rate=0.5
)


@settings(max_examples=40)
@given(slates, steps, st.lists(st.booleans(), min_size=12, max_size=12), st.booleans())
def test_a_restart_after_any_cut_shows_in_nothing(history, steps, restarts, bounded):
    settings = BOUNDED if bounded else SMALL
    undisturbed, rows = play(history, steps, [False] * len(restarts), settings)
    restarted, rows_again = play(history, steps, restarts, settings)
    assert restarted == undisturbed
    assert rows_again == rows


@settings(max_examples=40)
@given(slates, steps, st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_restart_shows_in_nothing_when_what_was_learned_is_forgotten_at_times(
    history, steps, restarts
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(earlier_pairs, "LEAST", 1)
        patch.setattr(earlier_pairs, "BOUND", 0.0)
        undisturbed, rows = play(history, steps, [False] * len(restarts), BOUNDED)
        restarted, rows_again = play(history, steps, restarts, BOUNDED)
    assert restarted == undisturbed
    assert rows_again == rows


@settings(max_examples=40)
@given(slates, steps, steps, st.booleans())
def test_when_cuts_are_taken_does_not_show_in_what_is_learned(history, steps, other, forgetful):
    cuts_elsewhere = [(gap, cuts) for (gap, _), (_, cuts) in zip(steps, other, strict=True)]
    never = [False] * len(steps)
    with pytest.MonkeyPatch.context() as patch:
        if forgetful:  # of much that was learned
            patch.setattr(earlier_pairs, "LEAST", 1)
            patch.setattr(earlier_pairs, "BOUND", 0.0)
        _, rows = play(history, steps, never, SMALL)
        _, rows_again = play(history, cuts_elsewhere, never, SMALL)
    kinds = (b"/viewer/", b"/item/", b"/bias/", b"/places", b"/recent")
    assert {k: r for k, r in rows.items() if any(kind in k for kind in kinds)} == {
        k: r for k, r in rows_again.items() if any(kind in k for kind in kinds)
    }


def test_a_reader_scores_as_the_model_it_was_told_of():
    one, reader = factors(), Reader()
    for number in range(60):
        shown = "abcdefg"[number % 5 :][:3]
        feed(
            one,
            slate(number, shown[0], shown[1:], at=1_000 * number, viewer_id=f"v{number % 4}"),
        )
        one.advance(1_000 * number)
        for record in log_of(cut(one, 1_000 * number)):
            reader.read(*record)
    model = one._models["all"]
    assert reader.epoch == model.publication.epoch > 50
    assert reader.rows
    for viewer in ("v0", "v1", "v2", "v3", "nobody"):
        for item in "abcdefgz":
            expected = model.bpr.predict_one(viewer, item)
            assert reader.score(viewer, item) == pytest.approx(expected, abs=1e-9)


def test_rows_of_which_little_changed_are_withheld_until_enough_did():
    one, reader = factors(FactorsSettings(dimensions=3, admission=1, threshold=0.05)), Reader()
    published = []
    for number in range(40):
        feed(one, slate(number, "a", "bc", at=1_000 * number))
        for record in log_of(cut(one, 1_000 * number)):
            reader.read(*record)
            published.append(record[0])
    model = one._models["all"]
    assert 0 < published.count(f"{MODEL}/item/a") < 30
    for item in "abc":
        row = model.bpr.items.get(item)
        assert row is not None
        told = reader.rows[f"item/{item}"]
        assert max(abs(x - y) for x, y in zip(row.tolist(), told, strict=True)) < 0.05


def test_a_version_is_its_rows_then_the_epoch_then_the_announcement():
    one = factors()
    feed(one, slate(1, "a", "b", at=900))
    one.advance(2_000)
    taken = cut(one, 2_000)
    records, [(key, version)] = log_of(taken), log_of(taken, "models.versions")
    assert list(taken.outputs) == ["models.factors", "models.versions"]
    keys = ["item/a", "item/b", "viewer/v1", "@epoch"]
    assert [key for key, _ in records] == [f"{MODEL}/{name}" for name in keys]
    assert {by for _, _, by in taken.outputs["models.factors"]} == {MODEL.encode()}
    assert key == MODEL
    close, row = records[-1][1], records[2][1]
    assert close is not None
    assert row is not None
    assert version is not None
    assert (close["epoch"], close["count"], close["dimensions"]) == (1, 3, 3)
    assert (row["kind"], row["id"], row["bias"], len(row["vector"])) == ("viewer", "v1", 0.0, 3)
    assert (version["segment"], version["objective"]) == ("all", "factors")
    assert (version["version"], version["status"], version["reason"]) == (1, "warming", None)
    assert version["examples"] == 2
    assert version["metrics"]["auc"] is not None
    assert set(version["metrics"]["baselines"]) == {"item_bias"}
    for record in (close, row, version):
        assert (record["as_of_ms"], record["computed_at_ms"]) == (900, 2_005)


def test_a_request_is_complete_a_second_after_its_last_label_or_with_the_next_one():
    #  labels   r1·····r1                 r2
    #  time     0      600       1600   1601
    #  learned                            ●
    one = factors()

    def requests() -> int:
        return one._models["all"].requests

    one.advance(0)
    feed(one, slate(1, "a", at=0))
    one.advance(600)
    feed(one, slate(1, "", "b", at=0))
    one.advance(1_600)
    assert requests() == 0
    one.advance(1_601)
    assert requests() == 1
    feed(one, slate(2, "a", "b", at=0))
    assert requests() == 1
    feed(one, slate(3, "", "b", at=0))
    assert requests() == 2


def test_versions_come_at_most_once_a_second_and_what_is_owed_still_comes():
    one = factors()

    def versions(now: int) -> int:
        return len(log_of(cut(one, now), "models.versions"))

    feed(one, [*slate(1, "a", "b"), *slate(2, "a", "b")])
    assert [versions(0), versions(1)] == [0, 1]  # more of time 0 might have followed
    feed(one, slate(3, "a", "b"))
    assert [versions(400), versions(1_000), versions(1_001), versions(1_500)] == [0, 0, 1, 0]


def test_a_cut_without_change_writes_nothing():
    one = factors()
    assert list(one.cut(Cut(0, 0))) == []
    feed(one, [*slate(1, "a", "b"), *slate(2, "a", "b")])
    assert not cut(one, 1).empty
    quiet = Cut(60_000, 60_000)
    assert list(one.cut(quiet)) == []
    assert quiet.empty


def test_examples_of_completions_are_left_alone():
    one = factors()
    feed(one, slate(1, "a", "b", kind="completion"))
    assert one.rows == 0


def test_whoever_was_not_seen_for_longest_leaves_readers_too():
    small = FactorsSettings(dimensions=2, admission=1, viewers=2, items=3)
    one, reader, rows = factors(small), Reader(), Rows()
    for number in range(12):
        feed(one, slate(number, "a", "b", at=2_000 * number, viewer_id=f"v{number}"))
        for record in log_of(cut(one, 2_000 * number, rows)):
            reader.read(*record)
    assert set(reader.rows) == {"viewer/v10", "viewer/v11", "item/a", "item/b"}
    assert reader.epoch == one._models["all"].publication.epoch
    held = {key.decode().partition("/")[2] for key in rows}
    assert {name for name in held if name.startswith("viewer")} == {"viewer/v11", "viewer/v10"}


def test_what_contradicts_earlier_pairs_is_forgotten_and_said_so(monkeypatch):
    monkeypatch.setattr(earlier_pairs, "LEAST", 10)
    quick = FactorsSettings(
        dimensions=3, admission=1, viewer_rate=0.5, item_rate=0.5, bias_rate=0.5
    )
    one, reader, rows = factors(quick), Reader(), Rows()
    for number in range(40):
        feed(one, slate(number, "a", "b", at=1_000 * number))
        for record in log_of(cut(one, 1_000 * number, rows)):
            reader.read(*record)
    epoch, before = reader.epoch, dict(reader.rows)
    for number in range(40, 90):
        feed(one, slate(number, "b", "a", at=40_000))
    taken = cut(one, 41_000, rows)
    assert log_of(taken) == []
    [(_, version)] = log_of(taken, "models.versions")
    assert version is not None
    assert (version["version"], version["reason"]) == (epoch, CONTRADICTED)
    feed(one, slate(91, "a", "b", at=42_000))
    feed(one, slate(92, "a", "b", at=42_000))
    for record in log_of(cut(one, 42_000, rows)):
        reader.read(*record)
    assert reader.epoch == epoch + 1
    assert reader.score("v1", "a") > reader.score("v1", "b") + 0.7 * (
        before["item/a"][0] - before["item/b"][0]
    )


def test_each_segment_is_a_model_of_its_own_whatever_its_name():
    one, rows = factors(), Rows()
    for segment in ("all", "market/de", "a-b"):
        feed(one, [*slate(1, "a", "b", segment=segment), *slate(2, "", "b", segment=segment)])
    taken = cut(one, 1, rows)
    ids = [key for key, _ in log_of(taken, "models.versions")]
    assert ids == ["factors-a-b", "factors-all", "factors-market%2Fde"]
    assert sorted(factors(rows=rows)._models) == ["a-b", "all", "market/de"]


def test_models_of_another_name_are_left_alone_and_other_dimensions_refused():
    one, rows = factors(), Rows()
    feed(one, [*slate(1, "a", "b"), *slate(2, "a", "b")])
    cut(one, 0, rows)
    assert factors(FactorsSettings(model="other"), rows).rows == 0
    with pytest.raises(ConfigurationError, match="factors-all has learned 3 dimensions"):
        factors(FactorsSettings(dimensions=4), rows)


def ask(erasures: ErasureRequests, viewer: str, at_ms: int) -> None:
    request = {"viewer_id": viewer, "requested_at_ms": at_ms}
    assert erasures.update(viewer, msgspec.json.encode(request))


def served(number: int, at: int, viewer: str = "v1") -> list[Example]:
    return slate(number, "a", "b", at=at + 2_000, viewer_id=viewer, served_at_ms=at)


def two_viewers(erasures: ErasureRequests) -> tuple[Factors, Rows, Reader]:
    """Return what has learned, and published, of two viewers; of v1 a request is open."""
    one, rows, reader = factors(erasures=erasures), Rows(), Reader()
    feed(one, [label for n in range(6) for label in served(n, 1_000 * n, f"v{n % 2 + 1}")])
    feed(one, served(6, 6_000))
    for record in log_of(cut(one, 9_000, rows)):
        reader.read(*record)
    assert {"viewer/v1", "viewer/v2"} < reader.rows.keys()
    assert any(b'"v1"' in row for row in rows.values())
    return one, rows, reader


def holds(rows: Rows, viewer: str) -> list[bytes]:
    name = viewer.encode()
    return [
        key
        for key, row in rows.items()
        if not key.startswith(b"!back/") and (key.endswith(b"/" + name) or b'"%s"' % name in row)
    ]


@pytest.mark.parametrize("restarts", [False, True])
def test_who_is_erased_leaves_rows_and_readers_at_once(restarts):
    erasures = ErasureRequests()
    one, rows, reader = two_viewers(erasures)
    ask(erasures, "v1", 8_000)
    if restarts:
        one = factors(rows=rows, now=9_000, erasures=erasures)
    else:
        one.follow("privacy.erasures", "v1")
    records = log_of(cut(one, 9_001, rows))
    assert (f"{MODEL}/viewer/v1", None) in records
    assert records[-1][0] == f"{MODEL}/@epoch"
    for record in records:
        reader.read(*record)
    assert reader.epoch == one._models["all"].publication.epoch == 2
    assert "viewer/v1" not in reader.rows
    assert "viewer/v2" in reader.rows
    assert holds(rows, "v1") == []
    assert holds(rows, "v2") != []


@pytest.mark.parametrize("restarts", [False, True])
def test_who_was_erased_comes_back_only_with_what_was_shown_after_the_request(restarts):
    erasures = ErasureRequests()
    one, rows, _ = two_viewers(erasures)
    ask(erasures, "v1", 8_000)
    one.follow("privacy.erasures", "v1")
    feed(one, served(7, 8_000))
    one.advance(20_000)
    cut(one, 20_000, rows)
    assert holds(rows, "v1") == []
    feed(one, served(8, 8_001))
    one.advance(30_000)
    cut(one, 30_000, rows)
    assert one._models["all"].bpr.viewers.get("v1") is not None
    back = dict(rows)
    if restarts:
        one = factors(rows=rows, now=30_000, erasures=erasures)
    assert log_of(cut(one, 40_000, rows)) == []
    assert rows == back
    ask(erasures, "v1", 50_000)
    one.follow("privacy.erasures", "v1")
    cut(one, 50_000, rows)
    assert holds(rows, "v1") == []


def test_who_is_erased_leaves_readers_even_when_what_was_learned_is_forgotten(monkeypatch):
    erasures = ErasureRequests()
    one, rows, reader = two_viewers(erasures)
    monkeypatch.setattr(earlier_pairs, "LEAST", 1)
    monkeypatch.setattr(earlier_pairs, "BOUND", -1e9)
    ask(erasures, "v1", 8_000)
    one.follow("privacy.erasures", "v1")
    feed(one, [*served(7, 9_000), *served(8, 9_000)])
    taken = cut(one, 11_000, rows)
    assert [key for key, _ in log_of(taken)] == [f"{MODEL}/viewer/v1", f"{MODEL}/@epoch"]
    for record in log_of(taken):
        reader.read(*record)
    assert reader.epoch == 2
    assert "viewer/v1" not in reader.rows
    [(_, version)] = log_of(taken, "models.versions")
    assert version is not None
    assert version["reason"] == CONTRADICTED


@pytest.mark.parametrize("name", ["", "a/b", "a-b", "a b"])
def test_a_name_that_would_make_keys_ambiguous_is_refused(name):
    with pytest.raises(ConfigurationError, match="model name"):
        Factors(FactorsSettings(model=name))

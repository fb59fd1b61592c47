"""The learner: what it publishes, seen by a reader; and that restarts and cuts do not show."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError, Rejection
from streamapp.features.erasure_requests import ErasureRequests
from streamapp.learning.features import Encoder
from streamapp.learning.model import Model
from streamapp.learning.model_settings import ModelSettings
from streamapp.learning.snapshots import checksum_of
from streamapp.metrics import GAUGES
from streamapp.processors.base import Cut
from streamapp.processors.learner import Learner
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.signals import Example, FeatureSpec, Labels
from tests.unit.learning.examples import World, example

TOPIC = "training.examples"
MODEL = "click-all"
EXACT = LearnerSettings(
    threshold=0.0,
    warm_up_examples=5,
    turn_examples=1,
    champion=ModelSettings(admission=1.0),
    challenger=ModelSettings(alpha=0.1, admission=1.0),
)

Log = list[tuple[str, dict[str, Any] | None]]
Rows = dict[bytes, bytes]


class Reader:
    """A scorer that knows only models.weights, and scores with whole versions of a model only."""

    def __init__(self, model: str = MODEL) -> None:
        self.model = model
        self.arriving: dict[str, float] = {}
        self.weights: dict[str, float] = {}
        self.epoch = 0
        self.intercept = 0.0
        self.encoder: Encoder | None = None

    def read(self, key: str, value: dict[str, Any] | None) -> None:
        model, feature = key.split("/")
        if model != self.model:
            return
        if feature == "@epoch":
            assert value is not None
            self._close(value)
        elif value is None:
            self.arriving.pop(feature, None)
        else:
            assert value["feature"] == feature
            self.arriving[feature] = value["weight"]

    def _close(self, close: dict[str, Any]) -> None:
        entries = (
            struct.pack("<Q", int(feature)) + struct.pack("<d", weight)
            for feature, weight in self.arriving.items()
        )
        checksum = sum(map(zlib.crc32, entries)) % 2**32
        if (len(self.arriving), checksum) == (close["count"], close["checksum"]):
            self.weights, self.epoch = dict(self.arriving), close["epoch"]
            self.intercept = close["intercept"]
            self.encoder = Encoder(msgspec.convert(close["spec"], FeatureSpec))

    def probability(self, shown: Example) -> float:
        assert self.encoder is not None
        on = self.encoder.indices(
            shown.features,
            viewer=shown.viewer_id,
            item=shown.item_id,
            surface=shown.surface,
            position=shown.position,
        )
        score = self.intercept + sum(self.weights.get(str(index), 0.0) for index in on)
        return 1 / (1 + math.exp(-score))


def learner(
    settings: LearnerSettings = EXACT,
    rows: Rows | None = None,
    erasures: ErasureRequests | None = None,
) -> Learner:
    one = Learner(settings, erasures)
    one.restore((rows or {}).items())
    one.ready()
    return one


def cut(one: Learner, stream_time_ms: int, rows: Rows | None = None) -> Cut:
    """Let stream time pass, take a cut, and keep its rows as a changelog does."""
    one.advance(stream_time_ms)
    taken = Cut(stream_time_ms, computed_at_ms=stream_time_ms + 5)
    for key, value in one.cut(taken):
        if rows is not None:
            rows.pop(key, None)
            if value is not None:
                rows[key] = value
    return taken


def log_of(taken: Cut, topic: str = "models.weights") -> Log:
    return [
        (key.decode(), None if value is None else msgspec.json.decode(value))
        for key, value, _ in taken.outputs.get(topic, [])
        if key is not None
    ]


def read_by(model: Model, shown: Example) -> float:
    """Return what a reader that holds all that was accepted of a model says."""
    indices = Encoder(model.spec).indices(
        shown.features,
        viewer=shown.viewer_id,
        item=shown.item_id,
        surface=shown.surface,
        position=shown.position,
    )
    score = model.ftrl.accepted_intercept + sum(map(model.ftrl.accepted, indices))
    return 1 / (1 + math.exp(-score))


def feed(one: Learner, examples: Iterable[Example]) -> None:
    for shown in examples:
        one.advance(shown.labelled_at_ms)
        one.process(TOPIC, one.decoder(TOPIC)(msgspec.json.encode(shown)))


def stream(count: int, seed: int = 1, interval_ms: int = 100) -> list[Example]:
    return [one for one, _ in World(seed=seed, base=-1.0).shown(count, interval_ms)]


examples = st.lists(
    st.builds(
        example,
        clicked=st.booleans(),
        viewer_id=st.sampled_from(["v1", "v2", "v3"]),
        item_id=st.sampled_from(["a", "b/c", "d"]),
        position=st.integers(1, 3),
        weight=st.sampled_from([1.0, 4.0]),
        segment=st.sampled_from(["all", "live", "market/de"]),
        features=st.dictionaries(
            st.sampled_from(["category", "duration_ms"]),
            st.sampled_from(["x", "y"]) | st.floats(0, 1e6),
        ),
    ),
    max_size=25,
)
steps = st.lists(st.tuples(st.integers(0, 1500), st.booleans()), min_size=25, max_size=25)


def play(
    history: Sequence[Example],
    steps: Sequence[tuple[int, bool]],
    restarts: Sequence[bool],
    settings: LearnerSettings,
) -> tuple[list[dict[str, Any]], Rows]:
    """Feed examples, cut after some, and restart from the changelog after some cuts."""
    rows: Rows = {}
    one, now, published = learner(settings), 0, []
    for shown, (gap, cuts), restart in zip(history, steps, restarts, strict=False):
        now += gap
        one.advance(now)
        feed(one, [msgspec.structs.replace(shown, labelled_at_ms=now)])
        if cuts:
            published.append(cut(one, now, rows).outputs)
            if restart:
                one = learner(settings, rows)
    published.append(cut(one, now + 5000, rows).outputs)
    return published, rows


@settings(max_examples=60)
@given(examples, steps, st.lists(st.booleans(), min_size=25, max_size=25), st.booleans())
def test_a_restart_after_any_cut_shows_in_nothing(history, steps, restarts, bounded):
    settings = LearnerSettings(item_capacity=2) if bounded else EXACT
    undisturbed, rows = play(history, steps, [False] * len(restarts), settings)
    restarted, rows_again = play(history, steps, restarts, settings)
    assert restarted == undisturbed
    assert rows_again == rows


@settings(max_examples=60)
@given(examples, steps, steps)
def test_when_cuts_are_taken_does_not_show_in_what_is_learned(history, steps, other):
    cuts_elsewhere = [(gap, cuts) for (gap, _), (_, cuts) in zip(steps, other, strict=True)]
    never = [False] * len(steps)
    _, rows = play(history, steps, never, EXACT)
    _, rows_again = play(history, cuts_elsewhere, never, EXACT)
    assert {key: row for key, row in rows.items() if b"/w/" in key} == {
        key: row for key, row in rows_again.items() if b"/w/" in key
    }


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}.b"])
def test_a_reader_gives_the_probability_of_the_model_it_was_told_of(name):
    one, reader, shown = learner(), Reader(name), stream(400)
    for number in range(0, 400, 20):
        feed(one, shown[number : number + 20])
        for record in log_of(cut(one, shown[number + 19].labelled_at_ms + 40)):
            reader.read(*record)
        model = one._contests["click-all"].models[name.endswith(".b")]
        assert reader.epoch == model.publication.epoch == number // 20 + 1
        for other in shown[::37]:
            assert math.isclose(reader.probability(other), read_by(model, other), rel_tol=1e-9)


def test_withheld_changes_keep_a_reader_at_the_published_copy():
    one, reader, shown = learner(LearnerSettings(threshold=0.01)), Reader(), stream(400)
    for number in range(0, 400, 20):
        feed(one, shown[number : number + 20])
        for record in log_of(cut(one, shown[number + 19].labelled_at_ms)):
            reader.read(*record)
    model = one._contests["click-all"].champion
    checksums = [checksum_of(int(index), weight) for index, weight in reader.weights.items()]
    assert len(reader.weights) == model.publication.told.count
    assert sum(checksums) % 2**32 == model.publication.told.checksum
    gaps = []
    for other in shown[::7]:
        probability, exact = reader.probability(other), read_by(model, other)
        coordinates = len(model.spec.names) + len(model.spec.crosses)
        gap = abs(math.log(probability / (1 - probability)) - math.log(exact / (1 - exact)))
        assert gap < 0.01 * coordinates
        gaps.append(gap)
    assert max(gaps) > 0


@pytest.mark.parametrize("cleaned", range(0, 300, 23))
def test_a_reader_that_starts_on_a_compacted_topic_never_scores_with_half_a_version(cleaned):
    one, log, shown = learner(LearnerSettings(threshold=0.05)), [], stream(300)
    versions: dict[int, dict[str, float]] = {}
    witness = Reader()
    for number in range(0, 300, 20):
        feed(one, shown[number : number + 20])
        for record in log_of(cut(one, shown[number + 19].labelled_at_ms)):
            log.append(record)
            witness.read(*record)
        versions[witness.epoch] = witness.weights
    position = len(log) * cleaned // 300
    last = {key: number for number, (key, _) in enumerate(log[:position])}
    compacted = [r for n, r in enumerate(log) if n >= position or last[r[0]] == n]
    reader = Reader()
    for record in compacted:
        reader.read(*record)
        assert reader.weights == versions.get(reader.epoch, {})
    assert reader.epoch == witness.epoch


def test_an_epoch_that_lost_a_weight_is_not_applied():
    one, reader, shown = learner(), Reader(), stream(40)
    feed(one, shown[:20])
    for record in log_of(cut(one, 2_000)):
        reader.read(*record)
    before = dict(reader.weights)
    feed(one, shown[20:])
    _, *rest = log_of(cut(one, 4_000))
    for record in rest:
        reader.read(*record)
    assert reader.epoch == 1
    assert reader.weights == before


def test_a_version_is_its_weights_then_the_epoch_then_the_announcement():
    one = learner()
    feed(one, [example(700, clicked=True), example(900)])
    taken = cut(one, 1_000)
    weights = [record for record in log_of(taken) if record[0].startswith(f"{MODEL}/")]
    versions = dict(log_of(taken, "models.versions"))
    assert list(taken.outputs) == ["models.weights", "models.versions"]
    assert [key for key, _ in weights][-1] == f"{MODEL}/@epoch"
    assert "@epoch" not in "".join(key for key, _ in weights[:-1])
    assert {by for key, _, by in taken.outputs["models.weights"] if b".b/" not in (key or b"")} == {
        MODEL.encode()
    }
    assert set(versions) == {MODEL, f"{MODEL}.b"}
    close, version = weights[-1][1], versions[MODEL]
    assert close is not None
    assert version is not None
    assert close["epoch"] == version["version"] == 1
    assert close["count"] == len(weights) - 1
    assert close["as_of_ms"] == version["as_of_ms"] == 900
    assert close["computed_at_ms"] == version["computed_at_ms"] == 1_005
    assert version["examples"] == 2
    assert (version["segment"], version["objective"]) == ("all", "click")
    assert {"log_loss", "auc", "calibration", "baselines"} <= set(version["metrics"])
    assert set(version["metrics"]["baselines"]) == {
        *("constant", "item_rate", "viewer_rate", "both"),
        *("hour_old", "day_old"),
    }


def test_a_version_comes_at_most_once_a_second_and_what_is_owed_still_comes():
    #  example  ×      ×                         ×
    #  cut      0    400    999   1000   1500   2300   2999   3000
    #  version  ·      ·      ·     ●      ·      ·      ·      ●
    one = learner()

    def versions(now: int) -> int:
        return [key for key, _ in log_of(cut(one, now), "models.versions")].count(MODEL)

    feed(one, [example(0)])
    assert versions(0) == 0
    feed(one, [example(400)])
    assert [versions(400), versions(999), versions(1_000), versions(1_500)] == [0, 0, 1, 0]
    feed(one, [example(2_300)])
    assert [versions(2_300), versions(2_999), versions(3_000), versions(9_000)] == [0, 0, 1, 0]


def test_an_owed_version_survives_a_restart():
    one, rows = learner(), Rows()
    feed(one, [example(0)])
    cut(one, 1_000, rows)
    feed(one, [example(1_300, clicked=True)])
    assert not cut(one, 1_300, rows).outputs
    again = learner(rows=rows)
    taken = cut(again, 2_000)
    assert [v and v["version"] for _, v in log_of(taken, "models.versions")] == [2, 2]
    assert log_of(taken) == log_of(cut(one, 2_000))


def test_a_cut_without_change_writes_nothing():
    one = learner()
    assert list(one.cut(Cut(0, 0))) == []
    feed(one, [example(0)])
    cut(one, 1_000)
    one.advance(60_000)
    quiet = Cut(60_000, 60_000)
    assert list(one.cut(quiet)) == []
    assert quiet.empty


def test_a_model_warms_up_and_then_is_champion():
    one, statuses = learner(replace(EXACT, reservoir_capacity=1)), []
    for second in range(7):
        feed(one, [example(second * 1_000, clicked=second % 2 == 1)])
        statuses += [
            v and v["status"]
            for key, v in log_of(cut(one, second * 1_000 + 999), "models.versions")
            if key == MODEL
        ]
        statuses += [
            v and v["status"]
            for key, v in log_of(cut(one, second * 1_000 + 1_000), "models.versions")
            if key == MODEL
        ]
    assert statuses == ["warming"] * 4 + ["champion"] * 3


def test_each_segment_is_a_model_of_its_own_whatever_its_name():
    one, rows = learner(), Rows()
    segments = ("all", "market/de", "a-b", "größe", "a.b")
    feed(one, [example(0, segment=segment) for segment in segments])
    taken = cut(one, 1_000, rows)
    ids = [key for key, _ in log_of(taken, "models.versions") if not key.endswith(".b")]
    assert ids == [
        *("click-a%2Eb", "click-a-b", "click-all"),
        *("click-gr%C3%B6%C3%9Fe", "click-market%2Fde"),
    ]
    assert all(key.count("/") == 1 for key, _ in log_of(taken))
    again = learner(rows=rows)
    assert sorted(one.segment for one in again._contests.values()) == sorted(segments)


def test_each_objective_learns_from_the_examples_that_tell_of_it():
    declared = "click=1,hide=-5,completion=2,watched_share=0.5"
    one = learner(LearnerSettings(objectives=declared, turn_examples=1))
    played = Labels(clicked=True, completed=True, watched_share=0.97)
    feed(one, [example(0), example(1)])
    feed(one, [msgspec.structs.replace(example(2), kind="completion", labels=played)])
    versions = [v for _, v in log_of(cut(one, 1_000), "models.versions") if v is not None]
    told = {v["objective"]: (v["examples"], v["objective_weight"]) for v in versions}
    assert told == {
        "click": (2, 1.0),
        "hide": (2, -5.0),
        "completion": (1, 2.0),
        "watched_share": (1, 0.5),
    }


def test_an_objective_that_was_not_asked_for_is_not_learned():
    one = learner(LearnerSettings(objectives="click=1"))
    feed(one, [msgspec.structs.replace(example(0), kind="completion")])
    assert one.rows == 0
    assert not cut(one, 9_000).outputs


def test_rows_are_bounded_by_the_items_shown_last():
    bounded = LearnerSettings(item_capacity=3)
    one, rows = learner(bounded), Rows()
    for number in range(50):
        feed(one, [example(number, item_id=f"i{number}")])
        cut(one, number, rows)
    assert [key for key in rows if b"/i/" in key] == [
        b"click-all/i/i47",
        b"click-all/i/i48",
        b"click-all/i/i49",
    ]
    assert one.rows == len(rows)


def test_models_of_another_suffix_are_left_alone():
    one, rows = learner(), Rows()
    feed(one, [example(0)])
    cut(one, 0, rows)
    assert learner(LearnerSettings(suffix="_2"), rows).rows == 0


def test_rows_of_another_version_say_what_to_do():
    with pytest.raises(ConfigurationError, match="another name"):
        learner(rows={b"click-all/w/7": b"[1,0.5,0.25,0.1]"})


@pytest.mark.parametrize("suffix", ["/b", "-b", " b", ".b"])
def test_a_suffix_that_would_make_keys_ambiguous_is_refused(suffix):
    with pytest.raises(ConfigurationError, match="suffix"):
        Learner(LearnerSettings(suffix=suffix))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weight": 0.5}, "invalid_field"),
        ({"weight": 1e300}, "invalid_field"),
        ({"labels": {"clicked": True, "watched_share": 1.5}}, "invalid_field"),
        ({"labels": {"clicked": True, "watched_share": None}, "weight": -1.0}, "invalid_field"),
        ({"position": "first"}, "invalid_field"),
        ({"labels": {}}, "missing_field"),
    ],
)
def test_an_example_that_cannot_be_used_is_rejected(change, reason):
    record = msgspec.json.encode(msgspec.to_builtins(example()) | change)
    with pytest.raises(Rejection) as rejection:
        learner().decoder(TOPIC)(record)
    assert rejection.value.reason == reason


def test_bytes_that_are_no_json_are_rejected():
    with pytest.raises(Rejection, match="invalid_json"):
        learner().decoder(TOPIC)(b"\xff{")


def test_gauges_tell_the_quality_and_leave_out_what_is_not_known():
    def gauges() -> dict[tuple[str, ...], float]:
        return {(name, *labels.values()): value for name, labels, value in one.labelled_gauges()}

    one = learner()
    assert gauges() == {}
    feed(one, [example(0)])
    assert ("model_log_loss", MODEL) in gauges()
    assert ("model_auc", MODEL) not in gauges()
    feed(one, [example(0, clicked=True)])
    cut(one, 1_000)
    assert gauges()["model_examples", MODEL] == 2.0
    assert gauges()["model_champion", f"{MODEL}.b"] == 0.0
    assert ("model_baseline_log_loss", MODEL, "hour_old") in gauges()
    assert {name for name, *_ in gauges()} <= set(GAUGES)
    assert {"model_auc", "model_calibration", "model_alarms"} <= {name for name, *_ in gauges()}


def of_viewer(rows: Rows, viewer: str) -> list[str]:
    """Return the rows of a viewer: rates, open blocks, and what a turn compared."""
    names = [key.decode() for key in rows if key.endswith(f"/{viewer}".encode())]
    heads = [k.decode() for k, row in rows.items() if f'"{viewer}"'.encode() in row]
    return [*(name for name in names if not name.startswith("!back/")), *heads]


@pytest.mark.parametrize("restarts", [False, True])
def test_who_is_erased_leaves_rates_and_duels_and_begins_afresh(restarts):
    erasures, rows = ErasureRequests(), Rows()
    one = learner(erasures=erasures)
    feed(one, stream(400))
    cut(one, 40_000, rows)
    feed(one, [example(40_000 + n, viewer_id="v7", example_id=f"x{n}:1") for n in range(3)])
    for key, value in one.cut(Cut(40_002, 40_002)):
        rows.pop(key, None)
        rows |= {} if value is None else {key: value}
    kinds = {name.split("/")[1] for name in of_viewer(rows, "v7")}
    assert {"v", "d", "c"} <= kinds
    erasures.update("v7", b'{"viewer_id":"v7","requested_at_ms":41000}')
    others = {key: row for key, row in rows.items() if key.endswith((b"/v8", b"/v9"))}
    if restarts:
        one = learner(rows=rows, erasures=erasures)
    else:
        one.follow("privacy.erasures", "v7")
    cut(one, 40_002, rows)
    assert of_viewer(rows, "v7") == []
    assert others.items() <= rows.items()
    late = example(42_000, viewer_id="v7", example_id="x7:1", served_at_ms=41_000)
    feed(one, [late])
    cut(one, 44_000, rows)
    assert of_viewer(rows, "v7") == []
    feed(one, [msgspec.structs.replace(late, example_id="x8:1", served_at_ms=41_001)])
    cut(one, 46_000, rows)
    again = learner(rows=rows, erasures=erasures)
    cut(again, 46_000, rows)
    [rate] = [msgspec.json.decode(rows[k]) for k in rows if k == b"click-all/v/v7"]
    assert rate[1][1] == 1.0

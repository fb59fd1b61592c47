"""The demo counts what it is given, shows it, and tells what a run did not produce."""

import collections
import io
import math

import msgspec
import pytest
from rich.console import Console

from streamapp.demo import view
from streamapp.demo.arms import ARMS
from streamapp.demo.board import (
    EXAMPLES,
    ITEMS,
    REJECTED,
    TOPICS,
    VERSIONS,
    VIEWERS,
    WEIGHTS,
    Board,
)
from streamapp.demo.logs import Logs
from streamapp.demo.split import SEGMENT_BY, Split, arm_of
from streamapp.demo.tally import Tally
from streamapp.demo.truth import truth_of
from streamapp.signals import (
    Affinities,
    Counter,
    Example,
    Habits,
    ItemSignal,
    Labels,
    ModelMetrics,
    ModelVersion,
    Quality,
    RejectedRecord,
    ViewerSession,
    ViewerSignal,
)
from streamapp.simulate import Sent, World, traffic

NOW = 1_700_000_000_000


def board() -> Board:
    return Board(lambda _: 0.25)


def visited(visit: str, at_ms: int, clicks: int, watched_ms: int = 0) -> list[Sent]:
    """A visit's events: a slate, clicks and a playback."""
    common = {"session_id": visit, "occurred_at_ms": at_ms}
    events = [("events.impressions", {**common, "items": []})]
    events += [("events.clicks", {**common, "action": "click"})] * clicks
    events += [("events.clicks", {**common, "action": "like"})]
    for ms in (0, watched_ms // 2, watched_ms):
        events += [("events.watches", {**common, "playback_id": f"{visit}-p", "watched_ms": ms})]
    return [Sent(topic, "v1", b"", at_ms, event) for topic, event in events]


def tally(since_ms: int | None, *visits: list[Sent]) -> Tally:
    made = Tally(since_ms)
    for visit in visits:
        for sent in visit:
            made.take(sent)
    return made


def item(item_id: str, clicks: float, as_of_ms: int = NOW) -> bytes:
    return msgspec.json.encode(
        ItemSignal(
            item_id=item_id,
            as_of_ms=as_of_ms,
            computed_at_ms=NOW,
            status="active",
            category="drama",
            creator_id="c1",
            counters={"clicks": Counter(clicks, clicks, clicks, clicks)},
            ctr=0.04,
            coec=1.0,
            completion_rate=0.3,
            watch_ratio=0.5,
            velocity=1.0,
            viewers=1,
        )
    )


def viewer(viewer_id: str, as_of_ms: int) -> bytes:
    return msgspec.json.encode(
        ViewerSignal(
            viewer_id=viewer_id,
            as_of_ms=as_of_ms,
            computed_at_ms=NOW,
            recent=[],
            affinity=Affinities({}, {}),
            session=ViewerSession(f"{viewer_id}:{as_of_ms}", as_of_ms, 1, 0, 0, 0),
            seen=["i1"],
            hidden=[],
            habits=Habits({}, 0.5),
        )
    )


def example(clicked: bool) -> bytes:
    return msgspec.json.encode(
        Example(
            example_id="r1:1",
            request_id="r1",
            viewer_id="v1",
            item_id="i1",
            surface="home",
            position=1,
            propensity=None,
            features={},
            labels=Labels(clicked=clicked),
            weight=1.0,
            served_at_ms=NOW,
            labelled_at_ms=NOW,
            as_of_ms=NOW,
            computed_at_ms=NOW,
        )
    )


def version() -> bytes:
    own = ModelMetrics(
        log_loss=0.25,
        auc=0.7,
        calibration=1.0,
        baselines={"item_rate": Quality(log_loss=0.3, auc=0.6, calibration=1.0)},
    )
    return msgspec.json.encode(
        ModelVersion(
            model="click-all",
            version=3,
            as_of_ms=NOW,
            computed_at_ms=NOW,
            examples=100,
            metrics=own,
            status="champion",
        )
    )


def rejected(reason: str) -> bytes:
    return msgspec.json.encode(
        RejectedRecord(
            topic="events.clicks",
            partition=0,
            offset=1,
            reason=reason,
            detail="",
            record=None,
            key=None,
            as_of_ms=NOW,
            computed_at_ms=NOW,
        )
    )


def test_the_hottest_items_have_the_most_clicks_of_late():
    shown = board()
    shown.take(ITEMS, b"a", item("a", 10, NOW - 3_600_000))  # two half-lives ago: 2.5 now
    shown.take(ITEMS, b"b", item("b", 3))
    shown.take(ITEMS, b"c", item("c", 1))
    shown.take(ITEMS, b"c", item("c", 2))
    assert [signal.item_id for signal in shown.hottest(3)] == ["b", "a", "c"]
    assert [signal.item_id for signal in shown.hottest(1)] == ["b"]


def test_a_deleted_signal_is_gone():
    shown = board()
    shown.take(ITEMS, b"a", item("a", 10))
    shown.take(ITEMS, b"a", None)
    assert shown.hottest(5) == []
    assert shown.received[ITEMS] == 2


def test_freshness_is_the_age_of_the_newest_signal_whenever_one_looks():
    shown = board()
    shown.look(NOW)
    assert (shown.age_ms, shown.freshness) == (None, None)
    shown.take(VIEWERS, b"v1", viewer("v1", NOW))
    shown.take(ITEMS, b"a", item("a", 1, NOW - 500))  # older: changes nothing
    for now in range(NOW + 1, NOW + 101):
        shown.look(now)
    assert shown.age_ms == 100
    assert shown.freshness == (50, 90, 99)
    shown.take(ITEMS, b"a", item("a", 1, NOW + 90))
    shown.look(NOW + 100)
    assert shown.age_ms == 10


def test_weights_are_those_a_reader_would_hold():
    shown = board()
    for key, value in [(b"m/1", b"{}"), (b"m/2", b"{}"), (b"m/@epoch", b"{}"), (b"m/1", None)]:
        shown.take(WEIGHTS, key, value)
    assert shown.weights == {"m/2"}
    assert (shown.weight_records, shown.epochs) == (3, 1)


def test_the_best_loss_is_that_of_the_true_probabilities():
    shown = board()
    assert shown.best_loss is None
    for clicked in (True, False, False):
        shown.take(EXAMPLES, b"all", example(clicked))
    assert shown.best_loss == pytest.approx(-(math.log(0.25) + 2 * math.log(0.75)) / 3)
    assert shown.clicked == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "challenger"},
        {"objective": "completion"},
        {"segment": "popularity"},
    ],
)
def test_the_model_shown_is_the_one_that_ranks_for_the_fresh_arm(changed: dict[str, str]):
    shown = board()
    own = msgspec.json.decode(version(), type=ModelVersion)
    fresh = msgspec.structs.replace(own, model="click-fresh", segment="fresh")
    other = msgspec.structs.replace(fresh, model="other", **changed)
    for one in (fresh, other):
        shown.take(VERSIONS, one.model.encode(), msgspec.json.encode(one))
    assert shown.model == fresh


def test_labels_are_counted_of_the_clicks_of_whom_the_model_learns_from():
    shown = board()
    own = msgspec.json.decode(example(clicked=True), type=Example)
    for changed in ({}, {"segment": "fresh"}, {"segment": "hour_old"}, {"kind": "completion"}):
        one = msgspec.structs.replace(own, **changed)
        shown.take(EXAMPLES, b"all", msgspec.json.encode(one))
    assert shown.clicked == 2
    assert shown.received[EXAMPLES] == 4


def test_visits_are_tallied_that_begin_when_it_is_time():
    early, late = visited("a", NOW - 1, 5, 900), visited("b", NOW, 2, 300)
    after = visited("a", NOW + 5, 1, 900)  # still the visit from before
    counted = tally(NOW, early, late, after, visited("c", NOW + 1, 0))
    assert (counted.visits, counted.clicks, counted.watched_ms) == (2, 2, 300)
    assert tally(None, late).visits == 0


def test_clicks_a_visit_come_with_their_standard_error():
    counted = tally(NOW, *(visited(str(n), NOW, n) for n in (0, 1, 2, 5)))
    mean, error = counted.clicks_a_visit or (0.0, 0.0)
    assert mean == pytest.approx(2.0)
    assert error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert tally(NOW, visited("one", NOW, 3)).clicks_a_visit is None


def test_viewers_are_split_evenly_and_for_good():
    world = World(seed=1, viewers=3_000, items=10)
    split = Split(hour_ms=60_000)
    people = [world.viewer(number) for number in range(3_000)]
    counts = collections.Counter(arm_of(person.viewer_id) for person in people)
    assert set(counts) == set(ARMS)
    assert min(counts.values()) > 900
    for person in people[:50]:
        assert split.human(person).experiments == {"ranker": arm_of(person.viewer_id)}
    assert SEGMENT_BY == "experiment:ranker"


def test_each_arm_counts_its_own_viewers():
    split = Split(hour_ms=60_000)
    split.count_from(NOW)
    for number in range(30):
        for sent in visited(f"s{number}", NOW, 1):
            split.count(sent._replace(key=f"v{number}"))
    expected = collections.Counter(arm_of(f"v{number}") for number in range(30))
    assert {name: one.visits for name, one in split.tallies.items()} == expected


def test_rejected_records_are_counted_by_reason():
    shown = board()
    for reason in ("too_late", "invalid_json", "too_late"):
        shown.take(REJECTED, b"v1", rejected(reason))
    assert shown.rejected == {"too_late": 2, "invalid_json": 1}


def test_the_rate_is_that_of_the_last_seconds():
    shown = board()
    for second in range(20):
        shown.count_sent(["events.clicks"] * (100 if second < 10 else 300), 0, float(second))
    assert shown.rate(19.0) == pytest.approx(300, rel=0.25)
    assert shown.rate(60.0) == 0.0
    assert shown.sent == {"events.clicks": 4_000}


def test_what_is_missing_is_named_until_it_came():
    shown = board()
    needed = ["events", ITEMS, VIEWERS, EXAMPLES, VERSIONS, WEIGHTS]
    assert shown.missing == needed
    shown.count_sent(["events.clicks"], 0, 0.0)
    shown.take(ITEMS, b"a", item("a", 1))
    shown.take(VIEWERS, b"v1", viewer("v1", NOW))
    shown.take(EXAMPLES, b"all", example(clicked=True))
    shown.take(VERSIONS, b"click-all", version())
    shown.take(WEIGHTS, b"m/@epoch", b"{}")
    assert shown.missing == [WEIGHTS]  # a version without a weight is not enough
    shown.take(WEIGHTS, b"m/1", b"{}")
    assert shown.missing == []


def test_only_broken_records_are_no_events():
    shown = board()
    shown.count_sent([], 3, 0.0)
    assert "events" in shown.missing
    assert set(TOPICS) >= {ITEMS, VIEWERS, EXAMPLES, VERSIONS, WEIGHTS, REJECTED}


def filled() -> Board:
    visits = [visited("a", NOW, 1, 3_000), visited("b", NOW, 3, 5_000)]
    shown = Board(lambda _: 0.25, {"hour_old": Tally(NOW), "fresh": tally(NOW, *visits)})
    shown.count_sent(["events.clicks"] * 3 + ["events.watches"] * 5, 2, 0.5)
    shown.take(ITEMS, b"i7", item("i7", 12))
    shown.take(VIEWERS, b"v1", viewer("v1", NOW))
    shown.take(EXAMPLES, b"all", example(clicked=True))
    shown.take(EXAMPLES, b"all", example(clicked=False))
    shown.take(VERSIONS, b"click-all", version())
    shown.take(WEIGHTS, b"m/1", b"{}")
    shown.take(WEIGHTS, b"m/@epoch", b"{}")
    shown.take(REJECTED, b"v1", rejected("too_late"))
    shown.look(NOW + 210)
    return shown


def rendered(shown: Board) -> str:
    console = Console(width=110, file=io.StringIO())
    console.print(view.live(shown, 1.0, "streamapp demo: running"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_view_shows_freshness_model_and_hottest_items():
    text = rendered(filled())
    for part in ("streamapp demo: running", "210 ms", "0.2500", "item rate 0.3000", "AUC 0.7000"):
        assert part in text
    row = next(line for line in text.splitlines() if "i7" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][:4] == ["i7", "drama", "0", "12"]
    assert "too_late 1" in text


def test_the_arms_are_shown_side_by_side():
    rows = [row for row in rendered(filled()).splitlines() if "fresh " in row or "hour-old" in row]
    cells = [[cell.strip() for cell in row.strip("│ ").split("│")] for row in rows]
    assert ["hour-old", "0", "–", "–"] in cells
    assert ["fresh", "2", "2.00 ± 1.00", "4.00 s"] in cells
    text = "\n".join(view.summary(filled(), 5.0))
    assert "ranked by fresh" in text
    assert "2.00 ± 1.00 clicks and 4.00 s watched in each" in text


def test_the_views_are_right_before_anything_came():
    assert "waits for the first labels" in rendered(board())
    assert view.line(board(), 1.0).startswith("0 events/s | fresh – ")
    assert any("events sent" in line for line in view.summary(board(), 0.0))


def test_a_line_says_it_all_where_there_is_no_terminal():
    line = view.line(filled(), 1.0)
    assert line.startswith("10 events/s | fresh 210 ms | items 1 | viewers 1 | examples 2 | ")
    assert "log loss 0.2500, AUC 0.7000" in line
    assert line.endswith("rejected 1")


def test_the_summary_sets_the_model_against_its_baselines_and_the_truth():
    text = "\n".join(view.summary(filled(), 5.0))
    assert "clicks 3, watches 5, broken 2" in text
    assert "2 a second" in text
    assert "50.0% clicked" in text
    assert "1 weights in 1 versions" in text
    assert "against item rate    0.3000  16.7% better" in text
    best = -(math.log(0.25) + math.log(0.75)) / 2
    assert f"{best:.4f}" in text


def test_the_truth_of_an_example_is_that_of_the_simulation():
    world = World(seed=3, viewers=20, items=30)
    truth = truth_of(world)
    slate = next(
        sent.event
        for sent in traffic(world, start_ms=NOW, rate=10.0, seed=1)
        if sent.event.get("items")
    )
    surface = next(s for s in world.surfaces if s.name == slate["surface"])
    person = next(v for v in map(world.viewer, range(20)) if v.viewer_id == slate["viewer_id"])
    for slot in slate["items"]:
        shown = next(i for i in world.catalog if i.item_id == slot["item_id"])
        asked = msgspec.structs.replace(
            msgspec.json.decode(example(clicked=False), type=Example),
            viewer_id=slate["viewer_id"],
            item_id=slot["item_id"],
            surface=slate["surface"],
            position=slot["position"],
        )
        chance = world.click_probability(person, shown, surface, slot["position"], NOW)
        assert truth(asked) == pytest.approx(chance)
    assert truth(msgspec.structs.replace(asked, item_id="of another world")) is None
    assert truth(msgspec.structs.replace(asked, viewer_id="somebody")) is None


def test_logs_keep_the_last_lines_of_every_process():
    logs = Logs()
    for number in range(1_000):
        logs("learn", f"line {number}")
    logs("ingest", "one")
    assert list(logs.last(2)) == [
        "ingest     | one",
        "learn      | line 998",
        "learn      | line 999",
    ]
    assert list(logs.last(1, ["learn"])) == ["learn      | line 999"]

"""A replay gives the same bytes for the same files, and says what is wrong with them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from itertools import islice
from math import exp2
from pathlib import Path
from typing import Any

import pytest

from streamapp import replay
from streamapp.cli import main
from streamapp.errors import ProcessorFailed
from streamapp.features.similarity import score
from streamapp.processors.anomalies import AnomaliesSettings
from streamapp.processors.viewers import Viewers
from streamapp.settings import Settings
from streamapp.simulate import Delivery, Sent, World, catalog, spoiled, traffic

START = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OUTPUTS = {
    "control.parameters",
    "events.rejected",
    "models.versions",
    "models.weights",
    "models.factors",
    "candidates.similar",
    "candidates.trending",
    "signals.items",
    "signals.queries",
    "signals.viewers",
    "training.examples",
}
Event = dict[str, Any]


def write(directory: Path, **topics: Iterable[Event | bytes]) -> Path:
    """Write files; `events_clicks=` stands for events.clicks."""
    directory.mkdir(exist_ok=True)
    for name, lines in topics.items():
        raw = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        path = directory / f"{name.replace('_', '.')}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in raw))
    return directory


def lines_of(records: Iterable[Sent]) -> dict[str, list[bytes]]:
    files: dict[str, list[bytes]] = {}
    for sent in records:
        files.setdefault(sent.topic.replace(".", "_"), []).append(sent.value)
    return files


def run(source: Path, target: Path, *, sort: bool = False, read: int = 1_000, **changed) -> Path:
    assert replay.run(source, target, sort, Settings(**changed), read_lines=read) == 0
    return target


def content(target: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".jsonl"): path.read_bytes() for path in target.iterdir()}


def records(target: Path, topic: str) -> list[tuple[str, Event | None]]:
    lines = (target / f"{topic}.jsonl").read_text("utf-8").splitlines()
    return [(line["key"], line["value"]) for line in map(json.loads, lines)]


def values(target: Path, topic: str) -> list[Event]:
    return [value for _, value in records(target, topic) if value is not None]


def last(target: Path, topic: str) -> dict[str, Event]:
    """What a reader of the compacted topic holds in the end."""
    return {key: value for key, value in dict(records(target, topic)).items() if value is not None}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours' traffic with late, doubled and broken records, and a catalog."""
    world = World(seed=7, viewers=40, items=30)
    stream = traffic(
        world,
        start_ms=START,
        rate=0.4,
        seed=1,
        delivery=Delivery(late_rate=0.2, late_ms=120_000, duplicate_rate=0.05),
    )
    sent = [*catalog(world, START), *islice(spoiled(stream, 0.02, seed=3), 3_000)]
    return write(tmp_path_factory.mktemp("simulated") / "in", **lines_of(sent))


@pytest.fixture(scope="module")
def replayed(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return content(run(simulated, tmp_path_factory.mktemp("replayed") / "out"))


def impression(at_ms: int, number: int = 1, *, viewer: str = "v1", **fields: Any) -> Event:
    slots = [{"item_id": "i1", "position": 1}, {"item_id": "i2", "position": 2}]
    common = {"event_id": f"m{number}", "occurred_at_ms": at_ms, "viewer_id": viewer}
    return common | {"request_id": f"r{number}", "surface": "home", "items": slots} | fields


def click(at_ms: int, number: int = 1, *, viewer: str = "v1", **fields: Any) -> Event:
    common = {"event_id": f"c{number}", "occurred_at_ms": at_ms, "viewer_id": viewer}
    return common | {"item_id": "i1", "action": "click"} | fields


def watch(at_ms: int, number: int = 1, *, viewer: str = "v1", **fields: Any) -> Event:
    common = {"event_id": f"w{number}", "occurred_at_ms": at_ms, "viewer_id": viewer}
    beat = {"item_id": "i1", "playback_id": "p1", "state": "start", "watched_ms": 0}
    return common | beat | {"duration_ms": HOUR} | fields


# --- the same bytes -----------------------------------------------------------------------------


def test_every_output_topic_gets_its_file_and_nothing_else_is_left(replayed):
    assert replayed.keys() == OUTPUTS
    assert all(replayed.values())


def test_the_same_files_give_the_same_bytes(simulated, replayed, tmp_path):
    assert content(run(simulated, tmp_path / "again")) == replayed


@pytest.mark.parametrize("read", [1, 7, 100_000])
def test_how_much_is_read_at_once_makes_no_difference(simulated, replayed, tmp_path, read):
    assert content(run(simulated, tmp_path / "out", read=read)) == replayed


def test_sorting_files_that_are_in_order_changes_nothing(tmp_path):
    world = World(seed=7, viewers=20, items=20)
    punctual = Delivery(late_rate=0.0, duplicate_rate=0.0)
    sent = islice(traffic(world, start_ms=START, rate=1.0, seed=1, delivery=punctual), 500)
    source = write(tmp_path / "in", **lines_of(sent))
    plain = content(run(source, tmp_path / "plain"))
    assert content(run(source, tmp_path / "sorted", sort=True)) == plain


# --- the order of events ------------------------------------------------------------------------


def test_lines_are_taken_in_their_order_unless_sorted(tmp_path):
    source = write(tmp_path / "in", events_clicks=[click(START + 2 * DAY, 1), click(START, 2)])
    assert [v["reason"] for v in values(run(source, tmp_path / "a"), "events.rejected")] == [
        "too_late"
    ]
    target = run(source, tmp_path / "b", sort=True)
    assert values(target, "events.rejected") == []
    assert last(target, "signals.items")["i1"]["counters"]["clicks"]["total"] == 2.0


def test_sorting_keeps_a_line_without_a_time_behind_the_line_before_it(tmp_path):
    lines: list[Event | bytes] = [click(START + HOUR, 1), b"no json", click(START, 2)]
    source = write(tmp_path / "in", events_clicks=lines)
    target = run(source, tmp_path / "out", sort=True)
    (rejected,) = values(target, "events.rejected")
    assert (rejected["offset"], rejected["as_of_ms"]) == (2, START + HOUR)


def test_topics_are_merged_by_event_time(tmp_path):
    """A click finds its impression though the files are read one after the other."""
    source = write(
        tmp_path / "in",
        events_clicks=[click(START + n * HOUR + 1_000, n, request_id=f"r{n}") for n in range(50)],
        events_impressions=[impression(START + n * HOUR, n) for n in range(50)],
    )
    examples = values(run(source, tmp_path / "out", read=3), "training.examples")
    assert len(examples) == 100
    assert {(e["item_id"], e["labels"]["clicked"]) for e in examples} == {
        ("i1", True),
        ("i2", False),
    }


def test_cuts_are_taken_at_whole_seconds_of_stream_time_and_silence_costs_none(tmp_path):
    times = [START, START + 400, START + 999, START + 1_000, START + 300 * DAY]
    clicks = [click(at_ms, number) for number, at_ms in enumerate(times)]
    target = run(write(tmp_path / "in", events_clicks=clicks), tmp_path / "out")
    signals = [
        (v["as_of_ms"], v["counters"]["clicks"]["total"]) for v in values(target, "signals.items")
    ]
    assert signals[:2] == [(START + 999, 3.0), (START + 1_000, 4.0)]
    # The item was forgotten in the silence: its count begins anew.
    assert signals[2:] == [(START + 300 * DAY, 1.0)]


# --- catalog, parameters, erasures --------------------------------------------------------------


def item(category: str, **fields: Any) -> Event:
    return {"item_id": "i1", "category": category, **fields}


def categories(target: Path) -> list[str | None]:
    return [example["features"].get("category") for example in values(target, "training.examples")]


def test_a_catalog_line_counts_from_its_time_on_and_before_the_events_of_that_time(tmp_path):
    slot = [{"item_id": "i1", "position": 1}]
    shown = [impression(START + n * HOUR, n, items=slot) for n in range(5)]
    lines = [
        item("first"),
        item("second", published_at_ms=START + HOUR),
        item("third", published_at_ms=START, timestamp_ms=START + 2 * HOUR),
        {"key": "i1", "value": None, "timestamp_ms": START + 4 * HOUR},
    ]
    source = write(tmp_path / "in", events_impressions=shown, catalog_items=lines)
    target = run(source, tmp_path / "out")
    assert categories(target) == ["first", "second", "third", "third", None]
    signals = [signal and signal["category"] for _, signal in records(target, "signals.items")]
    assert signals == ["first", "second", "third", "third", None]


def test_a_catalog_line_after_all_events_makes_nothing_expire(tmp_path):
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START)],
        events_clicks=[click(START + 1_000)],
        catalog_items=[
            {"item_id": "i1"},
            {"item_id": "i2", "kind": "live", "published_at_ms": START + 90 * DAY},
            {"item_id": "i1", "status": "hidden", "timestamp_ms": START + 91 * DAY},
        ],
    )
    target = run(source, tmp_path / "out")
    signal = last(target, "signals.items")["i1"]
    assert (signal["counters"]["clicks"]["total"], signal["status"]) == (1.0, "hidden")
    assert last(target, "signals.viewers").keys() == {"v1"}


def test_an_item_deleted_with_events_on_their_way_stays_deleted(tmp_path):
    watched = {**watch(START + 100), "duration_ms": 60_000}
    catalog: list[Event | bytes] = [
        {"item_id": "i1"},
        {"key": "i1", "value": None, "timestamp_ms": START + 5_500},
    ]
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START)],
        events_clicks=[click(START + 5_100)],
        events_watches=[watched],
        catalog_items=catalog,
    )
    told = records(run(source, tmp_path / "out"), "signals.items")
    of_i1 = [value and value["counters"]["clicks"]["total"] for key, value in told if key == "i1"]
    assert of_i1 == [0.0, 1.0, None]


def test_a_catalog_line_counts_from_its_time_on_within_one_cut_too(tmp_path):
    slot = [{"item_id": "i1", "position": 1}]
    shown = [impression(START + 10 * n, n, items=slot) for n in range(3)]
    lines = [item("first"), item("second", published_at_ms=START + 10)]
    source = write(tmp_path / "in", events_impressions=shown, catalog_items=lines)
    assert categories(run(source, tmp_path / "out")) == ["first", "second", "second"]


def test_an_item_deleted_from_the_catalog_is_deleted_from_the_signals(tmp_path):
    deletion = {"key": "i1", "value": None, "timestamp_ms": START + HOUR}
    source = write(
        tmp_path / "in",
        events_clicks=[click(START)],
        catalog_items=[item("first"), item("second", item_id="i2"), deletion],
    )
    target = run(source, tmp_path / "out")
    assert [(key, value is None) for key, value in records(target, "signals.items")] == [
        ("i1", False),
        ("i1", True),
    ]


def test_lines_of_one_catalog_item_keep_their_order(tmp_path):
    lines = [
        item("first", published_at_ms=START + HOUR),
        item("second", published_at_ms=START),
        {"item_id": "i2", "category": "other", "published_at_ms": START},
        {"key": "i2", "value": None},
    ]
    slots = [{"item_id": name, "position": 1} for name in ("i1", "i2")]
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START + 2 * HOUR, items=slots)],
        catalog_items=lines,
    )
    assert categories(run(source, tmp_path / "out")) == ["second", None]


def test_a_parameter_counts_from_its_time_on_wherever_its_line_is(tmp_path):
    slot = [{"item_id": "i1", "position": 1}]
    name = "position_ctr/home"
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START + n * HOUR, n, items=slot) for n in range(3)],
        control_parameters=[
            {"name": name, "valid_from_ms": START + 2 * HOUR, "value": [0.5]},
            {"name": name, "valid_from_ms": START + HOUR, "value": [0.25]},
            {"name": "prior/ctr", "valid_from_ms": START, "value": 0.5},
            {"key": "prior/ctr", "value": None},
        ],
    )
    signals = values(run(source, tmp_path / "out"), "signals.items")
    expected = [signal["counters"]["expected_clicks"]["total"] for signal in signals]
    assert expected == [0.05, pytest.approx(0.3), pytest.approx(0.8)]
    assert signals[0]["ctr"] == pytest.approx(20 * 0.03 / 21)


def test_without_a_file_of_parameters_those_estimated_count_from_their_time_on(tmp_path):
    # One slate a minute. The window of the first closes at 2 min, the estimate follows at 12 min.
    def shown(**more: Iterable[Event | bytes]) -> Path:
        slots = [{"item_id": "i1", "position": 1}]
        slates = [impression(START + n * MINUTE, n, items=slots * 20) for n in range(20)]
        return run(write(tmp_path / f"in{len(more)}", events_impressions=slates, **more), out)

    out = tmp_path / "out0"
    estimated = {p["name"]: p for p in values(shown(), "control.parameters")}
    assert estimated.keys() == {"position_ctr/home", "theta/home", "prior/ctr"}
    (rate,) = estimated["position_ctr/home"]["value"]
    assert rate == pytest.approx(1.0 / 220, rel=0.01)
    assert estimated["position_ctr/home"]["valid_from_ms"] == START + 13 * MINUTE
    signals = [s["counters"]["expected_clicks"]["total"] for s in values(out, "signals.items")]
    expected = [20 * (0.05 * min(n, 13) + rate * max(n - 13, 0)) for n in range(1, 21)]
    assert signals == pytest.approx(expected)

    out = tmp_path / "out1"
    given = [{"name": "prior/ctr", "valid_from_ms": 0, "value": 0.2}]
    assert values(shown(control_parameters=given), "control.parameters") == list(estimated.values())
    signals = [s["counters"]["expected_clicks"]["total"] for s in values(out, "signals.items")]
    assert signals == pytest.approx([n * 20 * 0.05 for n in range(1, 21)])


def test_what_a_viewer_wants_erased_is_as_if_it_had_never_been(tmp_path):
    def of(*viewers: str) -> dict[str, list[Event | bytes]]:
        return {
            "events_impressions": [
                impression(START + n * MINUTE, n, viewer=v)
                for n, v in enumerate(("v1", "v2", "v1"))
                if v in viewers
            ],
            "events_watches": [
                watch(START + n * MINUTE, n, viewer=v)
                for n, v in enumerate(("v2", "v1"))
                if v in viewers
            ],
        }

    erasure = {"viewer_id": "v1", "requested_at_ms": START + HOUR}
    older = {"viewer_id": "v1", "requested_at_ms": START}
    unusable = {"viewer_id": "v1", "occurred_at_ms": "then", "item_id": "i1"}
    later = click(START + HOUR + 1, viewer="v1", item_id="i9")
    erased = write(
        tmp_path / "erased",
        **of("v1", "v2"),
        events_clicks=[unusable, click(START + HOUR, 2), later],
        privacy_erasures=[erasure, older, {"key": "v1", "value": None}],
    )
    never = write(tmp_path / "never", **of("v2"), events_clicks=[later])
    assert content(run(erased, tmp_path / "a")) == content(run(never, tmp_path / "b"))


def test_an_erasure_that_cannot_be_read_is_rejected_and_the_others_count(tmp_path):
    source = write(
        tmp_path / "in",
        events_clicks=[click(START), click(START, viewer="v2")],
        privacy_erasures=[{"viewer_id": "v2"}, {"viewer_id": "v1", "requested_at_ms": START}],
    )
    target = run(source, tmp_path / "out")
    [refused] = values(target, "events.rejected")
    assert (refused["topic"], refused["offset"]) == ("privacy.erasures", 1)
    assert refused["reason"] == "missing_field"
    assert last(target, "signals.viewers").keys() == {"v2"}


def test_files_of_topics_that_nothing_reads_yet_are_left_alone(tmp_path):
    creator = {"creator_id": "c1", "status": "new"}
    source = write(tmp_path / "in", events_clicks=[click(START)], catalog_creators=[creator])
    assert last(run(source, tmp_path / "out"), "signals.items").keys() == {"i1"}


# --- bad lines ----------------------------------------------------------------------------------


def test_bad_lines_are_rejected_by_number_with_their_bytes_and_the_rest_counts(tmp_path):
    lines: list[Event | bytes] = [
        click(START, 1),
        b'{"event_id": "c2"',
        b"",
        b"\xff\xfe",
        click(START + 1, 5, action="stare"),
        {"event_id": "c6", "occurred_at_ms": START, "viewer_id": "v1", "action": "click"},
        {"key": "v1", "value": None},
        b"[1, 2]",
        click(START + 2, 9, reason="x" * 5_000),
        click(START + 3, 10),
    ]
    source = write(tmp_path / "in", events_clicks=lines, catalog_items=[{"category": "drama"}])
    target = run(source, tmp_path / "out", max_event_bytes=4_000)
    rejected = values(target, "events.rejected")
    assert [(r["topic"], r["offset"], r["reason"]) for r in rejected] == [
        ("catalog.items", 1, "missing_field"),
        ("events.clicks", 2, "invalid_json"),
        ("events.clicks", 4, "invalid_json"),
        ("events.clicks", 5, "invalid_field"),
        ("events.clicks", 6, "missing_field"),
        ("events.clicks", 7, "invalid_json"),
        ("events.clicks", 8, "invalid_field"),
        ("events.clicks", 9, "oversized"),
    ]
    assert b64decode(rejected[1]["record"]) == lines[1]
    assert b64decode(rejected[2]["record"]) == lines[3]
    assert rejected[5]["record"] is None
    assert last(target, "signals.items")["i1"]["counters"]["clicks"]["total"] == 2.0


def test_an_event_is_in_the_future_only_of_the_timestamp_its_line_gives(tmp_path):
    clicks = [
        click(START, 1, timestamp_ms=START - 5 * MINUTE),
        click(START + 1, 2, timestamp_ms=START - 5 * MINUTE),
        click(START + DAY, 3),
    ]
    target = run(write(tmp_path / "in", events_clicks=clicks), tmp_path / "out")
    assert [(r["offset"], r["reason"]) for r in values(target, "events.rejected")] == [
        (2, "in_future")
    ]


def test_a_line_that_makes_a_processor_raise_is_named_and_can_be_skipped(tmp_path, monkeypatch):
    take = Viewers.process

    def process(self: Viewers, topic: str, event: Any) -> None:
        if event.event_id == "c2":
            raise ValueError("two")
        take(self, topic, event)

    monkeypatch.setattr(Viewers, "process", process)
    clicks = [click(START + n, n) for n in (1, 2, 3)]
    source = write(tmp_path / "in", events_clicks=clicks)
    with pytest.raises(ProcessorFailed, match=r"STREAMAPP_SKIP=events\.clicks:0:2"):
        run(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    target = run(source, tmp_path / "out", skip=frozenset({("events.clicks", 0, 2)}))
    assert [r["reason"] for r in values(target, "events.rejected")] == ["skipped"]
    assert last(target, "signals.items")["i1"]["counters"]["clicks"]["total"] == 2.0


# --- the end ------------------------------------------------------------------------------------


def test_windows_still_open_at_the_end_are_closed_and_what_they_give_is_learned(tmp_path):
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START)],
        events_clicks=[click(START + 5_000, request_id="r1")],
        events_watches=[watch(START + 6_000, watched_ms=HOUR // 2)],
    )
    target = run(source, tmp_path / "out")
    examples = values(target, "training.examples")
    assert [(e["kind"], e["labels"]["clicked"], e["labelled_at_ms"]) for e in examples] == [
        ("click", True, START + 2 * MINUTE),
        ("click", False, START + 2 * MINUTE),
        ("completion", True, START + HOUR + 30 * MINUTE),
    ]
    assert examples[2]["labels"]["watched_share"] == 0.5
    counters = last(target, "signals.items")["i1"]["counters"]
    assert counters["closed"]["total"] == 1.0
    assert counters["ratio_sum"]["total"] == 0.5
    versions = last(target, "models.versions")
    models = ["click-all", "click-all.b", "completion-all", "completion-all.b", "factors-all"]
    assert sorted(versions) == models
    assert versions["completion-all"]["examples"] == 1
    for model, topic in (("click-all", "models.weights"), ("factors-all", "models.factors")):
        assert versions[model]["examples"] == 2
        assert last(target, topic)[f"{model}/@epoch"]["epoch"] == versions[model]["version"]
    recent = last(target, "signals.viewers")["v1"]["recent"]
    assert [(action["item_id"], action["action"]) for action in recent] == [
        ("i1", "watch"),
        ("i1", "click"),
    ]


def test_a_version_still_owed_at_the_end_is_published(tmp_path):
    source = write(
        tmp_path / "in",
        events_impressions=[impression(START, 1), impression(START + 500, 2)],
        events_clicks=[click(START + 2 * MINUTE + 100)],
    )
    target = run(source, tmp_path / "out")
    # Both slates' windows close in one turn, which ends after the last event.
    versions = [v for v in values(target, "models.versions") if v["model"].startswith("click")]
    assert [v["examples"] for v in versions] == [4, 4]  # champion, challenger
    assert last(target, "models.versions")["factors-all"]["examples"] == 4


def test_the_longest_click_window_of_any_surface_is_closed_too(tmp_path):
    source = write(tmp_path / "in", events_impressions=[impression(START, surface="slow")])
    target = run(source, tmp_path / "out", click_window_ms_by_surface={"slow": 5 * HOUR})
    assert [e["labelled_at_ms"] for e in values(target, "training.examples")] == [
        START + 5 * HOUR,
        START + 5 * HOUR,
    ]


def test_files_without_a_usable_event_give_files_without_signals(tmp_path):
    target = run(write(tmp_path / "in", events_clicks=[b"?"], events_watches=[]), tmp_path / "out")
    assert {topic: len(values(target, topic)) for topic in OUTPUTS} == dict.fromkeys(OUTPUTS, 0) | {
        "events.rejected": 1
    }


# --- the command --------------------------------------------------------------------------------


def test_the_command_tells_what_it_read_and_wrote(simulated, tmp_path, capsys, replayed):
    assert main(["replay", "--from", str(simulated), "--to", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("replayed 3,0")
    counts = {line.split()[-1]: int(line.split()[1].replace(",", "")) for line in out[1:]}
    assert counts["catalog.items"] == 30
    for topic, raw in replayed.items():
        assert counts[topic] == raw.count(b"\n")
    assert counts["invalid_json"] > 0
    assert counts["duplicates"] > 0


def test_the_command_tells_how_many_impressions_came_too_late_for_an_example(tmp_path, capsys):
    at_ms = 1_700_000_000_000
    source = write(
        tmp_path / "in",
        events_clicks=[click(at_ms + 10_000)],
        events_impressions=[impression(at_ms + 20_000, 2), impression(at_ms, 1)],
    )
    assert main(["replay", "--from", str(source), "--to", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["noted", "1", "late_impressions"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "is no directory"),
        ([], "holds no events; it may hold events.impressions.jsonl, "),
        (["catalog.items.jsonl"], "holds no events"),
        (["events.clicks.jsonl", "events.click.jsonl"], "is not replayed: events.click.jsonl; "),
        (["events.clicks.jsonl", "events.watches.jsonl.gz"], "events.watches.jsonl.gz"),
        (["events.clicks.jsonl", "signals.items.jsonl"], "is not replayed: signals.items.jsonl"),
    ],
)
def test_what_is_wrong_with_the_source_is_told_in_one_line(given, said, tmp_path, capsys):
    source = tmp_path / "in"
    if given is not None:
        source.mkdir()
        for name in given:
            (source / name).touch()
    assert main(["replay", "--from", str(source), "--to", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_none_of_its_business(tmp_path):
    source = write(tmp_path / "in", events_clicks=[click(START)])
    (source / ".DS_Store").touch()
    assert last(run(source, tmp_path / "out"), "signals.items").keys() == {"i1"}


def test_a_target_that_holds_anything_is_left_alone(tmp_path, capsys):
    source = write(tmp_path / "in", events_clicks=[click(START)])
    assert main(["replay", "--from", str(source), "--to", str(source)]) == 2
    assert "is not empty: it holds events.clicks.jsonl" in capsys.readouterr().err
    assert [path.name for path in source.iterdir()] == ["events.clicks.jsonl"]
    assert main(["replay", "--from", str(source), "--to", str(source / "events.clicks.jsonl")]) == 2
    assert "is no directory" in capsys.readouterr().err


# --- similar items ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 9])
def test_the_last_lists_of_similar_items_have_the_scores_of_the_formula(tmp_path, after):
    clicks, of_a, of_b = [], [], []
    for number in range(10 + after):  # sessions of both, then such of b alone
        at_ms = START + 5 * MINUTE * number
        if number < 10:
            clicks.append(click(at_ms, 2 * number, viewer=f"v{number}", item_id="a"))
            of_a.append(at_ms // MINUTE * MINUTE)
        clicks.append(click(at_ms + 1, 2 * number + 1, viewer=f"v{number}", item_id="b"))
        of_b.append(at_ms // MINUTE * MINUTE)
    source = write(
        tmp_path / "in", events_clicks=clicks, catalog_items=[{"item_id": "a"}, {"item_id": "b"}]
    )
    similar = last(run(source, tmp_path / "out"), "candidates.similar")
    for item_id, other_id in (("a", "b"), ("b", "a")):
        [listed] = similar[item_id]["items"]

        def decayed(minutes: list[int], as_of_ms: int = similar[item_id]["as_of_ms"]) -> float:
            return sum(exp2((minute_ms - as_of_ms) / (48 * HOUR)) for minute_ms in minutes)

        expected = score(decayed(of_a), decayed(of_a), decayed(of_b))
        assert listed == {"item_id": other_id, "score": pytest.approx(expected, rel=1e-9)}


# --- bots ---------------------------------------------------------------------------------------


def test_bots_are_told_and_unusual_sessions_learnt_the_same_way_each_time(tmp_path, monkeypatch):
    small = AnomaliesSettings(window=5, least_scored=5)
    monkeypatch.setattr("streamapp.processors.anomalies.AnomaliesSettings", lambda: small)
    world = World(seed=9, viewers=40, items=60, bots=0.2)
    sent = list(islice(traffic(world, start_ms=START, rate=4.0, seed=2), 8_000))
    lines = lines_of([*catalog(world, START), *sent])
    first = run(write(tmp_path / "in", **lines), tmp_path / "first")
    assert content(run(tmp_path / "in", tmp_path / "again", read=7)) == content(first)
    trusted = {key: signal["trust"] for key, signal in last(first, "signals.viewers").items()}
    bots = {key for key, trust in trusted.items() if trust == "bot"}
    assert len(bots) >= 5
    assert {world.viewer(int(key[1:])).bot is not None for key in bots} == {True}
    learnt = values(first, "control.parameters")
    assert "anomaly/session" in {parameter["name"] for parameter in learnt}
    # Given what was learnt, as it was live, the same comes out.
    given = write(tmp_path / "given", **lines, control_parameters=learnt)
    second = run(given, tmp_path / "second")
    for topic in ("signals.viewers", "signals.items", "training.examples", "control.parameters"):
        assert content(second)[topic] == content(first)[topic], topic

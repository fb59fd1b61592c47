"""Rankings: who is left out, what is done without, and what is logged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.errors import ConfigurationError
from streamapp.events import Impression
from streamapp.learning.features import Encoder
from streamapp.reader.ranker import Ranker
from streamapp.reader.request import Context, Options, Ranking
from streamapp.reader.state import State
from tests.unit.reader.worlds import (
    NOW_MS,
    SPEC,
    Author,
    Sent,
    catalog_item,
    encoded,
    feed,
    item_signal,
    viewer_signal,
)


def context(**fields: Any) -> Context:
    known: dict[str, Any] = {"request_id": "r1", "at_ms": NOW_MS, "surface": "home"}
    return Context(**known | fields)


def rank(
    records: list[Sent],
    candidates: list[str],
    options: Options | None = None,
    viewer: str = "v1",
    **fields: Any,
) -> Ranking:
    return Ranker(feed(State(), records), options).rank(viewer, candidates, context(**fields))


def ids(ranking: Ranking) -> list[str]:
    return [one.item_id for one in ranking.items]


def model(objective: str, by_item: dict[str, float], weight: float = 1.0) -> list[Sent]:
    """A champion that knows items by name and nothing else."""
    author, encoder = Author(f"{objective}-all"), Encoder(SPEC)
    weights = {encoder.coordinate(f"item={item}"): score for item, score in by_item.items()}
    version: Any = {"objective": objective, "objective_weight": weight}
    return [*author.publish(weights, intercept=-1.0), author.version(**version)]


SIGNALS = [item_signal(item) for item in "abc"]
VIEWER = viewer_signal("v1")


def sigmoid(score: float) -> float:
    return float(1 / (1 + 2.718281828459045**-score))


def test_items_come_in_the_order_of_their_value_each_once():
    clicks = model("click", {"a": 0.5, "b": 2.0})
    ranking = rank([*SIGNALS, VIEWER, *clicks], ["a", "b", "c", "b"])
    assert ids(ranking) == ["b", "a", "c"]
    assert [one.position for one in ranking.items] == [1, 2, 3]
    assert [one.score for one in ranking.items] == pytest.approx(
        [sigmoid(1.0), sigmoid(-0.5), sigmoid(-1.0)]
    )
    assert ranking.notes == ()
    assert ranking.model_version == "click-all@1"


def test_objectives_are_combined_by_their_weights():
    records = [
        *SIGNALS,
        VIEWER,
        *model("click", {"a": 0.5}, weight=2.0),
        *model("completion", {"a": 1.0, "b": 3.0}, weight=3.0),
        *model("watched_share", {"b": 1.0}, weight=0.5),
        *model("hide", {"a": -1.0}, weight=-4.0),
    ]
    ranking = rank(records, ["a", "b"])
    (first, second) = ranking.items
    by_id = {one.item_id: one for one in (first, second)}
    for item, (click, done, watched, hide) in {
        "a": (-0.5, 0.0, -1.0, -2.0),
        "b": (-1.0, 2.0, 0.0, -1.0),
    }.items():
        p = sigmoid(click)
        value = 2 * p + p * (3 * sigmoid(done) + 0.5 * sigmoid(watched)) - 4 * sigmoid(hide)
        assert by_id[item].score == pytest.approx(value)
        assert by_id[item].probabilities == pytest.approx(
            {
                "click": p,
                "completion": sigmoid(done),
                "watched_share": sigmoid(watched),
                "hide": sigmoid(hide),
            }
        )
    assert first.score > second.score
    assert ranking.models == {
        "click-all": 1, "completion-all": 1, "hide-all": 1, "watched_share-all": 1
    }  # fmt: skip


def test_hidden_seen_and_inactive_items_are_left_out_unless_asked_for():
    records = [
        *(item_signal(item) for item in "abcdefgh"),
        item_signal("i", status="removed"),
        catalog_item("c", status="hidden"),
        catalog_item("d", status="removed"),
        catalog_item("e", kind="live", ends_at_ms=NOW_MS),
        catalog_item("f", kind="live", starts_at_ms=NOW_MS, ends_at_ms=NOW_MS + 1),
        catalog_item("h", kind="live", starts_at_ms=NOW_MS + 1),
        viewer_signal("v1", seen=["a", "b"], hidden=["b"]),
    ]
    ranking = rank(records, list("abcdefghi"))
    assert ids(ranking) == ["f", "g"]
    assert ranking.left_out == {"seen": 1, "hidden": 1, "inactive": 5}
    everything = Options(show_seen=True, show_hidden=True, show_inactive=True)
    assert ids(rank(records, list("abcdefghi"), everything)) == list("abcdefghi")
    assert ids(rank(records, list("abcdefghi"), Options(show_seen=True))) == ["a", "f", "g"]


def test_without_a_model_items_come_by_click_rate_and_unseen_ones_by_their_categorys_prior():
    prior = {"name": "prior/ctr/news", "valid_from_ms": 0, "value": 0.07}
    records = [
        VIEWER,
        item_signal("a", ctr=0.05),
        item_signal("b", ctr=0.09),
        catalog_item("c", category="news"),
        catalog_item("d", category="drama"),
        Sent("control.parameters", "prior/ctr/news", encoded(prior)),
    ]
    ranking = rank(records, ["a", "b", "c", "d", "unknown"])
    assert ids(ranking) == ["b", "c", "a", "d", "unknown"]
    assert [one.score for one in ranking.items] == [0.09, 0.07, 0.05, 0.03, 0.03]
    assert ranking.notes == ("no_model:click",)
    assert ranking.model_version is None
    assert [one.flags for one in ranking.items] == [
        (), ("new", "unseen"), (), ("new", "unseen"), ("unseen",)
    ]  # fmt: skip


def test_models_can_be_left_aside():
    records = [*SIGNALS, VIEWER, item_signal("b", ctr=0.5), *model("click", {"c": 9.0})]
    assert ids(rank(records, ["a", "b", "c"])) == ["c", "a", "b"]
    ranking = rank(records, ["a", "b", "c"], Options(with_models=False))
    assert ids(ranking) == ["b", "a", "c"]
    assert ranking.models == {}


def test_other_objectives_count_though_there_is_no_model_of_clicks():
    records = [*SIGNALS, VIEWER, *model("completion", {"c": 9.0})]
    ranking = rank(records, ["a", "b", "c"])
    assert ids(ranking) == ["c", "a", "b"]
    assert ranking.items[0].score == pytest.approx(0.05 + 0.05 * sigmoid(8.0))
    assert "no_model:click" in ranking.notes


def test_a_viewer_nobody_knows_is_ranked_for_and_that_is_noted():
    ranking = rank([*SIGNALS, VIEWER, *model("click", {"b": 1.0})], ["a", "b"], viewer="other")
    assert ids(ranking) == ["b", "a"]
    assert ranking.notes == ("unseen_viewer",)


def test_old_signals_of_a_viewer_are_left_out_and_that_is_noted():
    records = [*SIGNALS, viewer_signal("v1", seen=["a"], hidden=["c"])]
    later: Any = {"at_ms": NOW_MS + 31 * 86_400_000}
    ranking = rank(records, ["a", "b", "c"], Options(stale_item_ms=10**12), **later)
    assert ids(ranking) == ["a", "b"], "what was hidden stays so"
    assert "stale_viewer" in ranking.notes
    assert "stale:signals.viewers" in ranking.notes


@pytest.mark.parametrize("wrong", [{"per_creator": 0}, {"per_category": -3}, {"stale_item_ms": -1}])
def test_options_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name} is "):
        Options(**wrong)


def test_an_old_signal_of_an_item_is_left_out_and_flagged():
    old = item_signal("a", ctr=0.9, as_of_ms=NOW_MS - 8 * 86_400_000)
    ranking = rank([VIEWER, old, item_signal("b", ctr=0.05)], ["a", "b"])
    assert ids(ranking) == ["b", "a"]
    assert ranking.items[1].flags == ("stale",)
    assert ranking.items[1].score == 0.03
    assert "stale:signals.items" not in ranking.notes


def test_topics_that_stand_still_are_noted():
    ranking = rank([*SIGNALS, VIEWER], ["a"], at_ms=NOW_MS + 11 * 60_000)
    assert set(ranking.notes) >= {"stale:signals.items", "stale:signals.viewers"}
    assert set(rank([], ["a"]).notes) >= {"stale:signals.items", "stale:signals.viewers"}


def test_limits_by_creator_and_category_hold():
    records = [
        VIEWER,
        *(item_signal(item, ctr=0.5, creator_id="c1", category=item) for item in "abc"),
        *(item_signal(item, ctr=0.1, creator_id=item, category="x") for item in "def"),
        catalog_item("f", creator_id="f", category="y"),
    ]
    options = Options(per_creator=2, per_category=2)
    assert ids(rank(records, list("abcdef"), options, limit=5)) == ["a", "b", "d", "e", "f"]
    ranking = rank(records, list("abc"), options)
    assert ids(ranking) == ["a", "b", "c"]
    assert ranking.notes[-1] == "limits_lifted"


def test_a_drawn_ranking_is_logged_as_an_impression_takes_it():
    records = [*SIGNALS, VIEWER, *model("click", {"b": 1.0})]
    ranking = rank(records, ["a", "b", "c"], temperature=1.0)
    event = {
        "event_id": "e1",
        "occurred_at_ms": NOW_MS,
        "viewer_id": ranking.viewer_id,
        "request_id": ranking.request_id,
        "surface": "home",
        "items": ranking.impression_items(),
        "model_version": ranking.model_version,
    }
    impression = msgspec.json.decode(encoded(event), type=Impression)
    assert [slot.item_id for slot in impression.items] == ids(ranking)
    assert [slot.position for slot in impression.items] == [1, 2, 3]
    assert [slot.score for slot in impression.items] == [one.score for one in ranking.items]
    assert [slot.propensity for slot in impression.items] == [
        one.propensity for one in ranking.items
    ]
    assert impression.items[-1].propensity == 1.0  # nothing else was left
    assert impression.model_version == "click-all@1"


def test_a_ranking_without_chance_logs_no_propensities():
    ranking = rank([*SIGNALS, VIEWER], ["a", "b"])
    assert [slot.keys() for slot in ranking.impression_items()] == [
        {"item_id", "position", "score"}
    ] * 2


def test_the_names_of_many_models_fit_into_an_impression():
    models = {f"model-{number}-{'x' * 60}": 12 for number in range(6)}
    named = Ranking("r", "v", (), models).model_version
    assert named is not None
    assert len(named) <= 256
    assert named.split() == [f"{name}@12" for name in list(models)[:3]]


def test_no_candidates_make_an_empty_ranking():
    assert rank([VIEWER, *model("click", {"b": 1.0})], []).items == ()
    assert rank([*SIGNALS, VIEWER], ["a"], limit=0).items == ()


@pytest.mark.parametrize(
    "fields",
    [{"temperature": -1.0}, {"temperature": 1e-9}, {"new_share": 1.1}, {"limit": -1}],
)
def test_a_request_that_makes_no_sense_is_refused(fields):
    with pytest.raises(ConfigurationError, match="temperature"):
        context(**fields)

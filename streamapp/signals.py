"""What goes out: every record streamapp writes, as msgspec structs.

Times are integers, epoch milliseconds UTC; durations integer ms. `as_of_ms` is the event time
a record is true at, `computed_at_ms` the wall clock it was computed at (outside parity).
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = 1


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What the viewer did with one shown item, final when the window closed.

    Attributes:
        clicked: within the click window.
        actions: other actions of events.clicks within that window, each once, sorted.
        watched_ms: of the playback that the impression led to; examples of kind completion.
        completed: that playback was watched to its end.
        watched_share: watched_ms by the item's duration, at most 1.
    """

    clicked: bool
    actions: list[str] = []
    watched_ms: int | None = None
    completed: bool | None = None
    watched_share: float | None = None


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One record of training.examples: an item as shown, and what came of it.

    Attributes:
        example_id: request_id + ":" + position: within the viewer and kind as unique as these are.
        kind: which labels it has: click (clicked, actions) of every item shown, or completion
            (watched_ms, completed, watched_share) of an item that a playback was begun of.
        features: point-in-time features by name: a number is a magnitude, a string a category.
        weight: 1 / keep rate of the negatives, for metrics only.
    """

    schema: int = SCHEMA
    example_id: str
    request_id: str
    viewer_id: str
    item_id: str
    surface: str
    position: int
    propensity: float | None
    features: dict[str, float | str]
    labels: Labels
    weight: float
    served_at_ms: int
    labelled_at_ms: int
    as_of_ms: int
    computed_at_ms: int
    segment: str = "all"
    kind: Literal["click", "completion"] = "click"

    @property
    def occurred_at_ms(self) -> int:
        """Stream time of the learner is the time labels became known."""
        return self.labelled_at_ms

    @property
    def key(self) -> str:
        """Records are keyed by model segment."""
        return self.segment


Sums = tuple[float, float, float, float]
"""Of one counter: its total, and a decayed sum for each of the three half-lives."""


class ItemDelta(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of activity.items: what one cut of a viewers task adds to an item's counters.

    Attributes:
        as_of_ms: newest event time in the delta; the decayed values are as at this time.
        first_ms: oldest event time in the delta.
        deltas: by counter: total, then the decayed sums of `streamapp.features.decay.HALF_LIVES`.
        viewers: who acted or began to watch, each as 8 bytes of a hash, base64.
    """

    schema: int = SCHEMA
    item_id: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, Sums]
    viewers: bytes = b""

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by item."""
        return self.item_id


class Counter(msgspec.Struct, frozen=True, gc=False, rename={"m30": "30m", "h6": "6h", "d7": "7d"}):
    """A counter: its total, and its decayed sums by half-life, as at the record's `as_of_ms`."""

    total: float
    m30: float
    h6: float
    d7: float


class ItemSignal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of signals.items: what viewers do with an item, as of its newest event.

    Attributes:
        status, category, creator_id: from the catalog; None when it does not know the item.
        counters: by the names in `streamapp.features.rates.COUNTERS`.
        ctr, completion_rate, watch_ratio: shrunk rates over the 6 h counters.
        coec: clicks over expected clicks; 1 is average for the places it was shown in.
        velocity: watches of late against watches before; 1 is constant traffic.
        viewers: distinct viewers who ever acted on it or began to watch it; to be shown it is not
            enough. An estimate, exact while few, and never taken back.
    """

    schema: int = SCHEMA
    item_id: str
    as_of_ms: int
    computed_at_ms: int
    status: str | None
    category: str | None
    creator_id: str | None
    counters: dict[str, Counter]
    ctr: float
    coec: float
    completion_rate: float
    watch_ratio: float
    velocity: float
    viewers: int

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by item."""
        return self.item_id


class TrendingItem(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An item in a report of activity.trending, as a list of these.

    Attributes:
        watches_30m, watches_6h: its decayed counters as at the report's `as_of_ms`.
        first_ms: its first event.
    """

    item_id: str
    watches_30m: float
    watches_6h: float
    first_ms: int


class TrendingReport(msgspec.Struct, frozen=True, kw_only=True):
    """One record of activity.trending: the best items that one partition has for a list.

    Attributes:
        name: of the list: all, kind:live or category:X.
        source: partition of the items; its newest report of a list replaces the former.
        as_of_ms: a full minute of stream time.
        items: fastest first, at most as many as the list has; none when none rises any more.
    """

    schema: int = SCHEMA
    name: str
    source: int
    as_of_ms: int
    items: list[TrendingItem]

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by list: one task owns it."""
        return self.name


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An item to consider, and how good it is among the others of its list."""

    item_id: str
    score: float


class TrendingList(msgspec.Struct, frozen=True):
    """One record of candidates.trending: the last one of a list is the truth, null deletes it.

    Attributes:
        name: all, kind:live or category:X.
        items: at most 50 active items of a velocity above 1, fastest first; the score is the
            velocity as at `as_of_ms`.
    """

    name: str
    as_of_ms: int
    computed_at_ms: int
    items: list[Candidate]
    schema: int = SCHEMA

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by list."""
        return self.name


class SessionVector(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of activity.sessions: how a viewer's session looked when it was taken.

    It says nothing of who the viewer is.

    Attributes:
        model: what learns from it; one task has all sessions.
        as_of_ms: newest event time merged of the viewer.
        vector: see `streamapp.features.session_vector`.
    """

    schema: int = SCHEMA
    model: str = "session"
    as_of_ms: int
    vector: tuple[float, ...]

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by model: one task owns it."""
        return self.model


class Told(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an item is told of another in a record of activity.pairs, as a list of these.

    Attributes:
        item_id: who is told.
        other_id: of whom.
        engaged: sessions of the other, decayed, as at the record's full minute.
        together: sessions of both to count at that minute, negative to take them back; 0 to say
            no more than `engaged`.
    """

    item_id: str
    other_id: str
    engaged: float
    together: int


class PairDelta(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One record of activity.pairs: what a cut says of items that viewers engaged together.

    All of it counts at one time, the full minute that `as_of_ms` is in.

    Attributes:
        shard: of the items it is for, 0 to 63: `streamapp.features.co_engagement.shard_of`.
        as_of_ms: newest event time in the record.
        engaged: from viewers: an item, and those it is paired with, once a session.
        retracted: from viewers: what was sent as `engaged` and is taken back.
        asked: from the items' own tasks: count these, and answer with your own sessions.
        told: count these, or note how many sessions the other has now.
    """

    shard: str
    as_of_ms: int
    engaged: list[list[str]] = []
    retracted: list[list[str]] = []
    asked: list[Told] = []
    told: list[Told] = []
    schema: int = SCHEMA

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by shard: one task owns its items."""
        return self.shard


class SimilarList(msgspec.Struct, frozen=True):
    """One record of candidates.similar: the last one of an item is the truth, null deletes it.

    Attributes:
        items: at most 50 active items that viewers engage in the same sessions, most similar
            first; the score is that of `streamapp.features.similarity` as at `as_of_ms`.
    """

    item_id: str
    as_of_ms: int
    computed_at_ms: int
    items: list[Candidate]
    schema: int = SCHEMA

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by item."""
        return self.item_id


class QueryDelta(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of activity.queries: what one cut of a viewers task adds to a query.

    Amounts may be negative: a late event can move a click from one query to another.

    Attributes:
        query: normalised.
        as_of_ms: newest event time in the delta; the decayed values are as at this time.
        first_ms: oldest event time in the delta.
        deltas: by counter: total, then the decayed sums of `streamapp.features.decay.HALF_LIVES`.
        items: by item, decayed with 6 h: impressions, clicks expected of their positions, clicks.
    """

    schema: int = SCHEMA
    query: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, Sums]
    items: dict[str, list[float]]

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by normalised query."""
        return self.query


class QueryItem(msgspec.Struct, frozen=True, gc=False):
    """How an item does in a query: impressions and clicks decayed with 6 h.

    Attributes:
        rate: click rate corrected for the positions it was shown at, shrunk, at most 1.
    """

    item_id: str
    impressions: float
    clicks: float
    rate: float


class QuerySignal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of signals.queries: what viewers do with a query, as of its newest event.

    Attributes:
        query: normalised: Unicode NFKC, casefold, whitespace collapsed, at most 256 characters.
        counters: by the names in `streamapp.features.queries.COUNTERS`.
        velocity: searches of late against searches before; 1 is constant traffic.
        items: the best 50 by `rate`, best first.
    """

    schema: int = SCHEMA
    query: str
    as_of_ms: int
    computed_at_ms: int
    counters: dict[str, Counter]
    velocity: float
    items: list[QueryItem]

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by normalised query."""
        return self.query


class RecentAction(msgspec.Struct, frozen=True, gc=False):
    """One action of a viewer: an action of events.clicks, or `watch`, or `complete`."""

    item_id: str
    action: str
    occurred_at_ms: int


class Interest(msgspec.Struct, frozen=True, gc=False, rename={"h6": "6h", "d7": "7d"}):
    """How a viewer feels about one category or creator: decayed sums as of `as_of_ms`.

    Below 0 is dislike.
    """

    h6: float
    d7: float


class Affinities(msgspec.Struct, frozen=True, gc=False):
    """How a viewer feels about categories and creators, at most 20 of each, by name."""

    category: dict[str, Interest]
    creator: dict[str, Interest]


class ViewerSession(msgspec.Struct, frozen=True, gc=False):
    """A viewer's newest session: events with gaps under 30 min.

    Attributes:
        id: viewer_id + ":" + started_at_ms, the time of its first event.
        impressions: slate entries shown.
        clicks: actions `click`.
        watches: playbacks begun.
        watched_ms: time watched.
    """

    id: str
    started_at_ms: int
    impressions: int
    clicks: int
    watches: int
    watched_ms: int


class Habits(msgspec.Struct, frozen=True, gc=False):
    """When and how far a viewer watches, decayed with half-life 7 d, as of the record's `as_of_ms`.

    Attributes:
        watched_ms_by_hour: time watched by hour of the day, "0" to "23" UTC.
        watch_ratio: share of a playback watched on average, at most 3 each, shrunk.
    """

    watched_ms_by_hour: dict[str, float]
    watch_ratio: float


class ViewerSignal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of signals.viewers: what a viewer did of late, and what they care for.

    Formulas are in `streamapp.features.profile`, those of trust in `streamapp.features.trust`.

    Attributes:
        trust: ok, suspect, or bot: then what the viewer does counts nowhere.
        trust_reasons: what was found since the viewer was last ok.
        recent: the last 50 actions, newest first.
        seen: the last 50 items shown, newest first.
        hidden: the last 50 items hidden or reported, newest first.
    """

    schema: int = SCHEMA
    viewer_id: str
    as_of_ms: int
    computed_at_ms: int
    trust: Literal["ok", "suspect", "bot"] = "ok"
    trust_reasons: list[str] = []
    recent: list[RecentAction]
    affinity: Affinities
    session: ViewerSession
    seen: list[str]
    hidden: list[str]
    habits: Habits

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by viewer."""
        return self.viewer_id


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of events.rejected: an input record that could not be used, and why.

    Attributes:
        topic, partition, offset: where the original is.
        reason: one of `streamapp.events.REASONS`; `detail` says more, to a person.
        record, key: the original bytes, base64; None where the original had none.
        truncated: True when `record` holds only the beginning of the original.
        size: bytes of the whole original value.
        sha256: hex digest of the whole original value, when truncated.
    """

    schema: int = SCHEMA
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    record: str | None
    key: str | None
    truncated: bool = False
    size: int = 0
    sha256: str | None = None
    as_of_ms: int
    computed_at_ms: int

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How features become the coordinates of a model; published with its weights.

    `streamapp.learning.features` builds the encoder and says exactly what each field does.

    Attributes:
        names: what is learned from, in this order; `viewer`, `item`, `surface`, `position` are
            known of every example, the others are names in its `features`.
        crosses: pairs of names whose tokens are also taken together; never with `position`.
        hash, seed, bits: a token's coordinate is the low `bits` bits of its seeded hash.
        buckets: how a magnitude becomes a token.
        last_position: positions beyond it count as it.
        max_magnitude: a number beyond it, in absolute value, is refused.
        max_length: a string of more characters is refused.
    """

    names: tuple[str, ...]
    crosses: tuple[tuple[str, str], ...] = ()
    hash: str = "murmur3_x86_32"
    seed: int = 0
    bits: int = 20
    buckets: str = "half_octave"
    last_position: int = 50
    max_magnitude: float = 1e15
    max_length: int = 256


class ModelWeight(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of models.weights: the weight of one coordinate. A null deletes: weight 0.

    Attributes:
        feature: the coordinate, in decimal; the key is `<model>/<feature>`.
    """

    schema: int = SCHEMA
    model: str
    feature: str
    weight: float
    as_of_ms: int
    computed_at_ms: int


class EpochClose(msgspec.Struct, frozen=True, kw_only=True):
    """The record `<model>/@epoch` of models.weights: all before it are one consistent version.

    Attributes:
        epoch: grows by one with each version of the model.
        count: weights other than 0 a reader holds now.
        checksum: of those weights, as `streamapp.learning.snapshots.checksum_of` says.
        intercept: what is added to the sum of weights; the rate negatives were kept at is in it.
        spec: how features become coordinates.
    """

    schema: int = SCHEMA
    model: str
    epoch: int
    count: int
    checksum: int
    intercept: float
    spec: FeatureSpec
    as_of_ms: int
    computed_at_ms: int


class ModelFactor(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One record of models.factors: bias and latent vector of a viewer or item. A null deletes.

    How well an item suits a viewer is the item's bias + the dot product of the two vectors. The
    key is `<model>/<kind>/<id>`; all of a model lie in one partition, and `<model>/@epoch` closes
    a version.

    Attributes:
        id: viewer_id or item_id.
        bias: 0 of a viewer: it would change no order.
        vector: as long for all rows of a model.
    """

    schema: int = SCHEMA
    model: str
    kind: Literal["viewer", "item"]
    id: str
    bias: float
    vector: list[float]
    as_of_ms: int
    computed_at_ms: int


class FactorsClose(msgspec.Struct, frozen=True, kw_only=True):
    """The record `<model>/@epoch` of models.factors: all before it are one consistent version.

    Attributes:
        epoch: grows by one with each version of the model.
        count: rows a reader holds now, of viewers and items.
        checksum: of those rows, as `streamapp.learning.factor_table.checksum_of` says.
        dimensions: numbers in a vector.
    """

    schema: int = SCHEMA
    model: str
    epoch: int
    count: int
    checksum: int
    dimensions: int
    as_of_ms: int
    computed_at_ms: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model or baseline predicted, each example before it was learned from.

    Attributes:
        log_loss: mean −ln of the probability given to what happened; None before any example.
        auc: chance that a random positive scores above a random negative; None without both.
        calibration: Σ probability / Σ positives; None without positives.
    """

    log_loss: float | None
    auc: float | None
    calibration: float | None


class ModelMetrics(Quality, frozen=True, kw_only=True):
    """Quality of a model beside that of what it has to beat, over the same examples.

    Attributes:
        baselines: constant, item_rate, viewer_rate, both, and the model as it was at the last full
            hour and day of stream time: hour_old, day_old.
        ndcg: of the order a model of clicks gives the items of a request, each click weighing 1 /
            propensity. None before a whole request was seen whose places were drawn, and so
            always while negatives are sampled.
        slices: of the champion, by feature and value.
    """

    baselines: dict[str, Quality]
    ndcg: float | None = None
    slices: dict[str, dict[str, Quality]] = {}


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One record of models.versions: which version of a model to score with, and how good it is.

    Attributes:
        segment: of the examples the model learns from.
        objective: what it predicts the probability of: click, completion, watched_share or hide.
        objective_weight: what one such outcome is worth when objectives are combined.
        version: epoch of the weights; a reader that holds this epoch or a later one may score.
        examples: learned from, since the model began.
        metrics: prequential, decayed, negatives weighted back to all that were shown.
        status: warming until enough examples were seen. Of each segment and objective one model
            is the champion, which readers score with; rolled_back is a champion that went back to
            older weights, with a new version. Others are challengers.
        reason: why the status is what it is, where there is something to say.
    """

    schema: int = SCHEMA
    model: str
    segment: str = "all"
    objective: str = "click"
    objective_weight: float = 1.0
    version: int
    as_of_ms: int
    computed_at_ms: int
    examples: int
    metrics: ModelMetrics
    status: Literal["warming", "champion", "challenger", "rolled_back"]
    reason: str | None = None

    @property
    def occurred_at_ms(self) -> int:
        """Event time of the record."""
        return self.as_of_ms

    @property
    def key(self) -> str:
        """Keyed by model."""
        return self.model

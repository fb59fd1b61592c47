"""A viewer population with known truth, for tests and for the demo.

`World` holds the truth: tastes, items, how likely each position is looked at, who is a bot. A
`Behaviour` (`Human`, and four kinds of bots) turns one visit of one viewer into events; `Delivery`
brings them late, out of order and twice; `traffic` is the endless stream of all visits in the
order it would reach Kafka, `audience` the same of viewers who are shown what a ranker makes of
what came before; `spoiled` mixes broken records into it. Streams of different behaviours
are merged with `heapq.merge(*streams, key=lambda sent: sent.timestamp_ms)`.

Everything follows from seeds: the same arguments give the same records.

>>> world = World(seed=7, viewers=50, items=40)
>>> first = next(traffic(world, start_ms=1_700_000_000_000, rate=100.0, seed=1))
>>> first.topic, first.key == first.event["viewer_id"]
('events.impressions', True)
"""

from streamapp.simulate.audience import Visit, arrivals, audience
from streamapp.simulate.behaviour import Behaviour, Happening, Human
from streamapp.simulate.bots import Burster, Metronome, Repeater, Scraper
from streamapp.simulate.delivery import Delivery, Sent, spoiled
from streamapp.simulate.slates import Exploring, Placed, Ranker, shuffled
from streamapp.simulate.traffic import catalog, events_per_visit, traffic
from streamapp.simulate.world import BOTS, SURFACES, Item, Surface, Viewer, World, sigmoid

__all__ = [
    "BOTS",
    "SURFACES",
    "Behaviour",
    "Burster",
    "Delivery",
    "Exploring",
    "Happening",
    "Human",
    "Item",
    "Metronome",
    "Placed",
    "Ranker",
    "Repeater",
    "Scraper",
    "Sent",
    "Surface",
    "Viewer",
    "Visit",
    "World",
    "arrivals",
    "audience",
    "catalog",
    "events_per_visit",
    "shuffled",
    "sigmoid",
    "spoiled",
    "traffic",
]

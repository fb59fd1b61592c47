"""The ranking layer's side: signals, candidates and models from Kafka in memory, and rank().

    async with Reader(Settings.from_env(os.environ)) as reader:
        await reader.ready()
        context = Context(request_id="r1", at_ms=now_ms, surface="home", limit=10)
        ranking = reader.rank("v1", reader.candidates("v1", context), context)

`State` and `Ranker` are the same without Kafka: fed record by record, by a replay or a test.
"""

from streamapp.reader.kafka import Reader
from streamapp.reader.ranker import Ranker
from streamapp.reader.request import Context, Options, Ranked, Ranking
from streamapp.reader.state import Bounds, Freshness, State

__all__ = [
    "Bounds",
    "Context",
    "Freshness",
    "Options",
    "Ranked",
    "Ranker",
    "Ranking",
    "Reader",
    "State",
]

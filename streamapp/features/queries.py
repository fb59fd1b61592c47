"""Queries: when two are one, what is counted about each, and how well items answer them."""

from __future__ import annotations

from unicodedata import normalize

from streamapp.features.rates import PRIOR_STRENGTH

COUNTERS = ("searches", "clicks", "zero_results", "reformulations")
"""Counters of a query.

searches: impressions that answered it. clicks: clicks on those, and clicks that carry the query
and belong to no search. zero_results: searches whose slate was empty. reformulations: searches
given up for another query, see `streamapp.features.searches`.
"""

MAX_QUERY = 256
"""Characters of a normalised query; what is longer counts as its beginning."""


def normalised(query: str | None) -> str:
    r"""Return a query in the form it is counted under; empty when there is none.

    Unicode NFKC, then casefold, then every run of whitespace one space and none at the ends;
    cut after `MAX_QUERY` characters.

    >>> normalised("  Ｋｉｍ\u00a0 CHI ")
    'kim chi'
    >>> normalised("Straße")
    'strasse'
    """
    if not query:
        return ""
    folded = query.lower() if query.isascii() else normalize("NFKC", query).casefold()
    return " ".join(folded.split())[:MAX_QUERY].rstrip()


def corrected_rate(clicks: float, expected_clicks: float, prior: float) -> float:
    """Return the click rate of an item in a query, had it been shown at average places.

    prior · (clicks + s·prior) / (expected_clicks + s·prior), s = 20, at most 1; `expected_clicks`
    is the Σ of the mean click rates of the surfaces and positions the item was shown at.

    It is the shrunk rate (clicks + s·prior)/(n + s) of `streamapp.features.rates`, with n not the
    impressions themselves but as many at average places as would be looked at as much,
    n = expected_clicks/prior. An item clicked as often as its places let expect gets the prior,
    however high or low it was shown.

    Worked example: shown 20 times far down, at a mean rate of 0.015 each, an item got 3 clicks
    where 0.3 were to be expected. With a prior of 0.03 that is 0.03 · (3 + 0.6)/(0.3 + 0.6):

    >>> round(corrected_rate(3.0, 20 * 0.015, prior=0.03), 9)
    0.12
    >>> corrected_rate(1.0, 20 * 0.05, prior=0.03)  # on top one click is no more than average
    0.03
    """
    strength = PRIOR_STRENGTH * prior
    if expected_clicks + strength <= 0.0:
        return 0.0
    return max(0.0, min(1.0, prior * (clicks + strength) / (expected_clicks + strength)))

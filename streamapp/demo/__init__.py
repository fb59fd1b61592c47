"""`streamapp demo`: the whole of it on one machine, live, with simulated viewers.

A broker (embedded, unless one is given), the three roles as processes, traffic made by
`streamapp.simulate`, and a view of what comes out. It ends by itself and leaves nothing behind.
"""

from streamapp.demo.session import run

__all__ = ["run"]

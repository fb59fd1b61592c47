"""Real-time streaming event processor for video-commerce and OTT ranking."""

from streamapp import compiled

__version__ = "0.1.0"

compiled.check()

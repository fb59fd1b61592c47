"""Real-time streaming event processor for video-commerce and OTT ranking."""

__version__ = "0.1.0"

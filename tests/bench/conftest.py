"""Nothing here is collected: `make bench` runs it, partly in another environment."""

collect_ignore_glob = ["*.py", "three_half_lives/*.py", "mixed_traffic/*.py"]

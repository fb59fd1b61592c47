"""What runs in another environment, with packages of its own, is not imported here."""

collect_ignore = ["vowpal_learner.py"]

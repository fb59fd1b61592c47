"""What can be configured of the learner."""

from __future__ import annotations

from dataclasses import dataclass

from streamapp.learning import objectives
from streamapp.learning.model_settings import ContestSettings


@dataclass(frozen=True)
class LearnerSettings(ContestSettings):
    """Settings of the contests; each has the prior of its objective.

    Attributes:
        objectives: what is predicted, as STREAMAPP_OBJECTIVES says it.
        suffix: in the ids of models, behind the objective; another one begins new models and
            leaves the old ones be.
    """

    objectives: str = objectives.DEFAULT
    suffix: str = ""

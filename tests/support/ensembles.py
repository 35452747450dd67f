"""The score of several templates as one classifier."""

from __future__ import annotations

from collections.abc import Sequence

from ipo_prompts.metrics.classification import ClipReward, EncodedPictures
from ipo_prompts.metrics.reward import Score, class_embeddings


def ensemble_score(reward: ClipReward, templates: Sequence[str], pictures: EncodedPictures) -> Score:
    """Score the mean of class embeddings."""
    embeddings = class_embeddings(reward.clip, templates, reward.class_names)
    return reward.score_embeddings(["ensemble"], [embeddings], pictures)[0]

"""Other tasks of a CLIP, each a small real example on the embedded CLIP and pictures: the same search, another reward.

python -m ipo.experiments.tasks.retrieval [OUT]
python -m ipo.experiments.tasks.segmentation [OUT]
"""

"""Data: sources, parts, few-shot draws and checks.

>>> data = load_data("embedded", seed=0)  # doctest: +SKIP
>>> run = draw(data, shots=4, val_shots=4, seed=0, classes="base")  # doctest: +SKIP
"""

from ipo_prompts.experiments.data.dataset import DataSet, Item, default_task
from ipo_prompts.experiments.data.draw import Draw, draw, fresh
from ipo_prompts.experiments.data.load import load_data

__all__ = [
    "DataSet",
    "Draw",
    "Item",
    "default_task",
    "draw",
    "fresh",
    "load_data",
]

"""Names chosen by loss, against sums over all classes written out; and the gate, against labels that say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ipo_prompts.experiments.data import draw, load_data
from ipo_prompts.metrics.calibration import cross_entropies
from ipo_prompts.metrics.classification import ClipReward, EncodedImages
from ipo_prompts.metrics.clip import Clip
from ipo_prompts.metrics.reward import class_embeddings
from ipo_prompts.metrics.sampling import Numbers
from ipo_prompts.metrics.template import BASELINE
from ipo_prompts.programs import naming
from ipo_prompts.programs.naming import choose_names, find_names
from ipo_prompts.programs.other_names import candidates_of


def images_of(logits: np.ndarray, labels: list[int]) -> tuple[np.ndarray, EncodedImages]:
    """Texts that are axes, so that an image's feature is its logit for each text."""
    texts = np.eye(logits.shape[1], dtype=np.float32)
    return texts, EncodedImages(logits.astype(np.float32), np.array(labels), tuple(map(str, range(len(labels)))))


def written_out(images: EncodedImages, chosen: Numbers, given: Numbers, temperature: float) -> float:
    losses = cross_entropies(images.features[:, chosen], images.labels, temperature)
    return float(losses.sum()) + naming.PRICE * int((chosen != given).sum())


def test_no_other_name_of_one_class_has_a_lower_loss() -> None:
    draw = np.random.default_rng(3)
    candidates = [[label, *range(6 + 3 * label, 9 + 3 * label)] for label in range(6)]
    labels = [label for label in range(6) for _ in range(4)]
    logits = draw.normal(size=(24, 24))
    for label, own in enumerate(candidates):
        logits[4 * label : 4 * label + 4, own] += draw.uniform(0, 4, size=4)
    texts, images = images_of(logits, labels)
    given = np.arange(6)
    chosen, temperature = choose_names(texts, candidates, images, seed=0)
    assert (chosen != given).any()
    best = written_out(images, chosen, given, temperature)
    for label, own in enumerate(candidates):
        for row in own:
            other = chosen.copy()
            other[label] = row
            assert written_out(images, other, given, temperature) >= best - 1e-6


@pytest.mark.parametrize(("gained", "leaves"), [(0.3, False), (2.0, True)])
def test_a_name_is_left_for_more_than_a_nat(gained: float, leaves: bool) -> None:
    """Four images of two classes, one of each on the wrong side, so that a temperature fits; text 2 lifts class 0."""
    logits = np.array([[1.0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 1]])
    labels = [0, 0, 1, 1]
    texts, images = images_of(logits, labels)
    temperature = choose_names(texts, [[0], [1]], images, seed=0)[1]
    logits[:2, 2] += gained * temperature  # a class of two images: less than `gained` nats each
    texts, images = images_of(logits, labels)
    moved = written_out(images, np.array([2, 1]), np.array([0, 1]), temperature)
    stayed = written_out(images, np.array([0, 1]), np.array([0, 1]), temperature)
    assert (moved < stayed) == leaves
    assert choose_names(texts, [[0, 2], [1]], images, seed=0)[0].tolist() == [2 if leaves else 0, 1]


def renamed(labels: np.ndarray, seed: int) -> naming.Found:
    """Find names where a candidate of each class is its true name, and the other one the given name, said vaguely."""
    draw, classes = np.random.default_rng(seed), 12
    truth = np.repeat(np.arange(classes), 6)
    given = 3 * draw.normal(size=(72, classes))
    right = 3 * draw.normal(size=(72, classes)) + 12 * (truth[:, None] == np.arange(classes))
    texts, images = images_of(np.hstack([given, right, 0.1 * given]), labels.tolist())
    return find_names(texts, [[c, c + classes, c + 2 * classes] for c in range(classes)], images)


def test_what_images_speak_for_is_taken() -> None:
    found = renamed(np.repeat(np.arange(12), 6), 0)
    assert found.chosen.tolist() == list(range(12, 24))
    assert found.held.hits > 0.8


def test_the_temperature_keeps_the_gate_shut_on_labels_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled = [np.random.default_rng(seed).permutation(np.repeat(np.arange(12), 6)) for seed in range(6)]
    found = [renamed(labels, seed) for seed, labels in enumerate(shuffled)]
    assert not any(one.held.loss > one.held.loss_error or (one.chosen >= 12).any() for one in found)
    monkeypatch.setattr(naming, "best_temperature", lambda logits, labels: 1.0)
    raw = [renamed(labels, seed) for seed, labels in enumerate(shuffled)]
    assert all(one.held.loss > 3 * one.held.loss_error for one in raw)  # the raw loss is taken in by vagueness


def test_a_class_of_one_base_image_keeps_its_name() -> None:
    """However often it was turned into variants."""
    logits = np.full((8, 3), -5.0)
    logits[:4, 1], logits[:4, 2], logits[4:, 1] = 1.0, 40.0, 5.0
    texts, images = images_of(logits, [0] * 4 + [1] * 4)
    variants = replace(images, groups=tuple("00004567"))
    assert find_names(texts, [[0, 2], [1]], images).chosen.tolist() == [2, 1]
    assert find_names(texts, [[0, 2], [1]], variants).chosen.tolist() == [0, 1]


def test_a_variant_does_not_judge_the_name_that_its_twin_chose() -> None:
    """Each of four images of a class is taken for another, and a name of its own says nothing of the others."""
    labels = np.repeat(np.arange(4), 4)
    given = 5.0 * np.roll(np.eye(4), 1, axis=1)[labels]
    texts, once = images_of(np.hstack([given, given[:, labels] + 200 * np.eye(16)]), labels.tolist())
    twins = once.part(np.repeat(np.arange(16), 2).tolist())
    candidates = [[c, *range(4 + 4 * c, 8 + 4 * c)] for c in range(4)]
    apart = replace(twins, groups=tuple(map(str, range(32))))
    assert find_names(texts, candidates, apart).held.hits == 1 / 4
    found = find_names(texts, candidates, twins)
    assert found.held.hits == 0 and found.chosen.tolist() == [0, 1, 2, 3]


def test_a_harmful_name_does_not_come_in_with_names_that_gain(clip: Clip) -> None:
    """Each class has another word for its name, such as "moo-cow"; all words for it are tried."""
    data = draw(load_data("embedded:upside-down+noise", seed=0), shots=4, val_shots=0, seed=0)
    right = data.class_names
    learnt, test = (ClipReward(clip, right).examples(data.examples(part)) for part in ("train", "test"))
    typed: list[str] = []
    for name, others in zip(right, candidates_of(right, [[]] * len(right)), strict=True):
        typed.append(next((other for other in others if other not in (*typed, *right)), str(name)))
    candidates = candidates_of(typed, [[str(name)] for name in right])
    texts = list(dict.fromkeys([*typed, *(name for own in candidates for name in own)]))
    rows = [[label, *map(texts.index, own)] for label, own in enumerate(candidates)]
    every = class_embeddings(clip, [BASELINE], texts)
    images = replace(learnt, features=clip.logit_scale * learnt.features, groups=tuple(map(str, range(len(learnt)))))
    cow, given = typed.index("moo-cow"), np.arange(len(typed))
    without_check, chosen = choose_names(every, rows, images, 0)[0], find_names(every, rows, images).chosen
    assert texts[without_check[cow]] == "cattle" and texts[chosen[cow]] == "moo-cow"
    hits = [(test.features @ every[names].T).argmax(axis=1) == test.labels for names in (given, without_check, chosen)]
    assert [row[test.labels == cow].sum() for row in hits] == [1, 0, 1]
    assert hits[2].mean() > hits[0].mean() + 0.05 and (chosen != given).sum() > 20


def test_two_classes_never_share_a_text() -> None:
    """Though that would be the better guess where all names as given mislead."""
    logits = np.full((8, 3), -5.0)
    logits[:4, 1], logits[4:, 0], logits[:, 2] = 60.0, 60.0, 5.0
    texts, images = images_of(logits, [0] * 4 + [1] * 4)
    chosen = choose_names(texts, [[0, 2], [1, 2]], images, seed=0)[0].tolist()
    assert sorted(chosen) != [2, 2]
    assert 2 in chosen


def test_a_name_that_one_class_leaves_is_free_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of class 1 look like the name that class 0 was given and leaves for text 2."""
    logits = np.zeros((8, 3))
    logits[4:, 0] = logits[:4, 2] = 200
    texts, images = images_of(logits, [0] * 4 + [1] * 4)

    def chosen(seed: int) -> tuple[int, ...]:
        return tuple(choose_names(texts, [[0, 2], [1, 0]], images, seed)[0].tolist())

    assert {chosen(seed) for seed in range(6)} == {(2, 0)}
    monkeypatch.setattr(naming, "ROUNDS", 1)
    assert {chosen(seed) for seed in range(6)} == {(2, 0), (2, 1)}  # as class 0 is asked first or last


def test_the_seed_says_which_class_takes_a_text_that_two_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming.Held, "opens", True)
    logits = np.full((8, 3), -5.0)
    logits[:4, 1], logits[4:, 0], logits[:, 2] = 60.0, 60.0, 5.0
    texts, images = images_of(logits, [0] * 4 + [1] * 4)
    found = {tuple(find_names(texts, [[0, 2], [1, 2]], images, seed).chosen.tolist()) for seed in range(6)}
    assert found == {(2, 1), (0, 2)}


def test_images_and_classes_in_several_blocks_choose_and_judge_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(12), 6)
    whole = renamed(labels, 1)
    monkeypatch.setattr(naming, "BLOCK", 5)
    found = renamed(labels, 1)
    assert found.chosen.tolist() == whole.chosen.tolist() and found.held == pytest.approx(whole.held)


def test_variants_of_images_make_a_gain_no_surer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "PRICE", 0.0)  # of all images together, so that variants weigh more against it
    draw, labels = np.random.default_rng(4), np.repeat(np.arange(4), 6)
    logits = 3 * draw.normal(size=(24, 8))
    logits[:, 4:] += 12 * np.eye(4)[labels]
    texts, once = images_of(logits, labels.tolist())
    twins = once.part(np.repeat(np.arange(24), 2).tolist())
    candidates = [[label, label + 4] for label in range(4)]
    single, double = (find_names(texts, candidates, images).held for images in (once, twins))
    assert single.hits_error > 0.05
    assert (double.hits, double.hits_error) == pytest.approx((single.hits, single.hits_error))


@pytest.mark.parametrize(
    ("held", "opens"),
    [
        ((0.1, 0.2, 0.5, 0.2), True),
        ((0.1, 0.0, 0.4, 0.2), False),
        ((0.0, 0.0, 0.5, 0.2), False),
        ((-0.1, 0.0, 0.5, 0.2), False),
    ],
)
def test_the_gate_needs_a_clear_fall_of_the_loss_and_more_hits(held: tuple[float, ...], opens: bool) -> None:
    assert naming.Held(*held).opens is opens

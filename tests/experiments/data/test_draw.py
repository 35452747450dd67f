import random
from dataclasses import replace
from pathlib import Path

import dspy
import pytest
from dspy.propose.dataset_summary_generator import create_dataset_summary

from ipo_prompts.experiments.data import draw, fresh
from ipo_prompts.experiments.data.dataset import OFFICIAL, without
from ipo_prompts.experiments.data.draw import cut, many
from ipo_prompts.experiments.data.load import load_data
from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.images import LazyImage
from support.runs import copy_images


def names(items):
    return [item.image.name for item in items]


def published_rule(train, val, shots, val_shots, seed):
    """The published rule, written over items and with the global generator, as the benchmark has it."""
    random.seed(seed)
    result = []
    for part, count in ((train, shots), (val, val_shots)):
        groups = {}
        for item in part:
            groups.setdefault(item.label, []).append(item)
        result.append([item for group in groups.values() for item in random.sample(group, count)])
    return result


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("shots", "val_shots"), [(1, 1), (4, 4), (16, 4)])
def test_without_variants_it_is_the_published_rule(closed, seed, shots, val_shots):
    data = closed(7, per_class=20, order=[3, 0, 6, 1, 5, 2, 4])
    search, selection = published_rule(data.train, data.val, shots, val_shots, seed)
    drawn = draw(data, shots, val_shots, seed)
    assert list(drawn.train) == search
    assert list(drawn.val) == selection


@pytest.mark.parametrize("seed", [1, 2])
def test_it_draws_over_all_classes_and_cuts_afterwards(closed, seed):
    data = closed(7, per_class=20, order=[3, 0, 6, 1, 5, 2, 4])
    search, selection = published_rule(data.train, data.val, 2, 2, seed)
    drawn = draw(data, 2, 2, seed, "base")
    assert list(drawn.train) == [item for item in search if item.label < 4]
    assert list(drawn.val) == [item for item in selection if item.label < 4]


@pytest.mark.parametrize(("classes", "base", "new"), [(37, 19, 18), (47, 24, 23), (397, 199, 198), (10, 5, 5)])
def test_odd_class_counts_give_the_base_half_one_more(closed, classes, base, new):
    data = closed(classes, per_class=2)
    drawn = draw(data, 1, 1, 0, "base")
    assert (len(drawn.class_names), len(drawn.new_class_names)) == (base, new)
    assert drawn.class_names + drawn.new_class_names == data.class_names
    assert {i.label for i in drawn.train} == {i.label for i in drawn.test} == set(range(base))
    assert {i.label for i in drawn.new_test} == set(range(new))
    for item in drawn.new_test:
        assert item.image.name.split("/")[1] == drawn.new_class_names[item.label].removeprefix("class ")
    assert len(drawn.test) + len(drawn.new_test) == len(data.test)


def test_a_seed_gives_one_draw_and_another_gives_another(closed):
    data = closed(10, per_class=20)
    one = draw(data, 4, 2, 7)
    random.seed(99)
    assert one == draw(data, 4, 2, 7)
    assert names(one.train) != names(draw(data, 4, 2, 8).train)
    assert names(one.val) != names(draw(data, 4, 2, 8).val)


def test_a_shot_is_a_base_image_with_all_its_variants(closed):
    data, plain = closed(4, per_class=9, variants=5), closed(4, per_class=9)
    drawn = draw(data, 3, 2, 0)
    assert len(drawn.train) == 4 * 3 * 5
    assert len({i.group for i in drawn.train}) == 4 * 3
    assert list(dict.fromkeys(i.group for i in drawn.train)) == [i.group for i in draw(plain, 3, 2, 0).train]


def sized(data, *sizes):
    """Keep so many base images of each class in train and in val."""

    def first(items, part):
        return tuple(i for i in items if int(i.group.rpartition("/")[2]) < sizes[i.label][part])

    return replace(data, train=first(data.train, 0), val=first(data.val, 1))


def test_without_a_val_part_a_short_class_keeps_one_image_to_select_with(closed):
    data = replace(sized(closed(4, per_class=9), (4, 0), (9, 0), (2, 0), (1, 0)), val=())
    drawn = draw(data, 4, 3, 0)
    counts = [[sum(i.label == label for i in part) for label in range(4)] for part in (drawn.train, drawn.val)]
    assert counts == [[3, 4, 1, 1], [1, 3, 1, 0]]


def test_a_short_class_gives_all_and_leaves_the_stream_alone(closed):
    data = closed(4, per_class=9, variants=2)
    short = sized(data, (9, 9), (2, 1), (9, 9), (1, 0))
    drawn, whole = draw(short, 5, 3, 7), draw(data, 5, 3, 7)
    count = [
        [len({i.group for i in part if i.label == label}) for label in range(4)] for part in (drawn.train, drawn.val)
    ]
    assert count == [[5, 2, 5, 1], [3, 1, 3, 0]]
    # The first class is drawn before any short one; the third as if the second were not there.
    assert [i for i in drawn.train if i.label == 0] == [i for i in whole.train if i.label == 0]
    alone = replace(short, train=tuple(i for i in short.train if i.label in (0, 2)), class_names=data.class_names)
    stream = random.Random(7)
    for label in (0, 2):
        groups = list(dict.fromkeys(i.group for i in alone.train if i.label == label))
        assert names(i for i in drawn.train if i.label == label)[::2] == [f"{g}/0" for g in stream.sample(groups, 5)]


def test_only_a_class_without_any_image_to_search_with_is_refused(closed):
    data = sized(closed(8), (6, 6), (0, 6), *[(1, 0)] * 6)
    with pytest.raises(InputError) as one:
        draw(data, 4, 2, 0)
    assert str(one.value) == (
        "1 of 8 classes of made has no image in train to search with: 'class 1'; add one of each, or leave them out "
        """with 'exclude=["class 1"]'."""
    )
    assert {i.label for i in draw(without(data, ["class 1"]), 4, 2, 0).train} == set(range(7))
    assert draw(sized(closed(8), (6, 6), *[(1, 0)] * 7), 400, 400, 0).train


def test_without_a_val_part_a_small_class_leaves_one_image_to_choose_with(closed):
    data = replace(sized(closed(3), (6, 6), (2, 0), (1, 0)), val=())
    drawn = draw(data, 4, 2, 0)
    assert [[i.label for i in part].count(label) for part in (drawn.train, drawn.val) for label in range(3)] == [
        *(4, 1, 1),
        *(2, 1, 0),
    ]
    assert not {i.group for i in drawn.train} & {i.group for i in drawn.val}
    assert [i.label for i in draw(data, 4, 0, 0).train].count(1) == 2


def test_classes_without_a_test_image_are_untested(closed):
    data = closed(4)
    some = replace(data, test=tuple(i for i in data.test if i.label not in (1, 3)))
    assert draw(some, 1, 1, 0).untested == ["'class 1'", "'class 3'"]
    assert draw(some, 1, 1, 0, "base").untested == ["'class 1'"]
    assert draw(data, 1, 1, 0).untested == []


@pytest.mark.parametrize(
    ("size", "parts"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (1, 1, 2)), (10, (3, 2, 5))]
)
def test_a_small_class_is_cut_into_what_it_has(size, parts):
    found = cut({0: {f"a{k}" for k in range(size)}, 1: {f"b{k}" for k in range(20)}}, 0, test=True)
    own = [part for key, part in found.items() if key[0] == "a"]
    assert tuple(own.count(part) for part in ("train", "val", "test")) == parts
    kept = cut({0: {f"a{k}" for k in range(size)}}, 0, test=False)
    assert list(kept.values()).count("val") == (0 if size == 1 else max(1, size // 5))


def test_without_a_val_part_selection_takes_what_the_search_left_in_train(closed):
    data = replace(closed(5, per_class=8, variants=2), val=())
    drawn = draw(data, 3, 2, 7)
    whole = draw(closed(5, per_class=8, variants=2), 3, 2, 7)
    assert [item.image.name for item in drawn.train] == [item.image.name for item in whole.train]
    groups = [{i.group for i in part} for part in (drawn.train, drawn.val)]
    assert [len(part) for part in groups] == [15, 10]
    assert not groups[0] & groups[1]
    assert {i.group.split("/")[0] for i in drawn.val} == {"train"}


def test_examples_tell_classes_with_one_name_apart(closed):
    drawn = draw(replace(closed(4), class_names=("tench", "missile", "missile", "tent")), 1, 1, 0)
    examples = drawn.examples("train")
    assert [(e.label, e.class_index) for e in examples[1:3]] == [("missile", 1), ("missile", 2)]
    assert list(examples[0].inputs().keys()) == ["image"]


def test_fewer_train_images_leave_everything_else_as_it_is(closed):
    data = closed(10, per_class=20)
    whole, few = draw(data, 4, 2, 7), draw(data, 4, 2, 7, at_most=6)
    assert len(few.train) == 6 and set(names(few.train)) < set(names(whole.train))
    assert few == replace(whole, train=few.train)
    assert draw(data, 4, 2, 7, at_most=40) == draw(data, 4, 2, 7, at_most=None) == whole


@pytest.mark.parametrize("classes", ["all", "base"])
@pytest.mark.parametrize(("per_class", "expected"), [(3, 4), (20, 38)])
def test_fresh_images_neither_searched_nor_chose_and_are_of_every_class(closed, classes, per_class, expected):
    data = closed(7, per_class=per_class)
    drawn = draw(data, 1, 1, 0, classes)
    found = fresh(data, drawn, 0)
    known = {item.group for part in (drawn.train, drawn.val, data.test) for item in part}
    assert known.isdisjoint(item.group for item in found)
    assert {item.group for item in found} <= {item.group for item in (*data.train, *data.val)}
    labels = [item.label for item in found]
    assert labels == sorted(labels)
    assert {labels.count(label) for label in labels} == {expected}
    assert set(labels) == set(range(len(drawn.class_names)))
    assert fresh(data, drawn, 0) == found
    assert fresh(data, drawn, 1) != found
    assert draw(data, 1, 1, 0, classes) == drawn


def test_a_prompt_that_holds_examples_does_not_hold_paths(tmp_path, scripted):
    """As DSPy's optimizers print them: MIPROv2 sends the training set's `repr` and demonstrations as text."""
    images = copy_images(tmp_path / "sorted by hand")
    drawn = draw(load_data(f"folder:{images}", seed=0), 2, 1, 0)
    examples = drawn.examples("train")
    lm, engine = scripted(
        *["[[ ## observations ## ]]\nCOMPLETE\n[[ ## summary ## ]]\nimages\n[[ ## completed ## ]]"] * 4
    )
    with dspy.context(lm=lm):
        create_dataset_summary(examples, 5, lm)
    asked = " ".join(str(request) for request in engine.requests)
    assert engine.requests and "<image>" in asked
    found = drawn.train[0].image
    for text in (asked, repr(examples), str(found), f"{found!r} {found}", repr(LazyImage.from_bytes("cat.png", b""))):
        assert "sorted by hand" not in text and not any(Path(name).name in text for name in names(drawn.train))
    groups = [example.group for part in ("train", "val", "test") for example in drawn.examples(part)]
    assert len(set(groups)) == len({item.group for item in (*drawn.train, *drawn.val, *drawn.test)})


def test_more_labelled_images_are_offered_but_not_of_a_published_split(closed):
    data = sized(closed(4, per_class=99, variants=3), (9, 9), (1, 1), (20, 9), (9, 2))
    assert many(data, 4, 2) == ["shots=16", "val_shots=9"]
    assert many(data, 20, 9) == many(replace(data, split=OFFICIAL), 4, 2) == []
    assert many(data, 4, 0) == ["shots=16"], "none were wanted to choose with"
    assert many(data, 20, 0) == []

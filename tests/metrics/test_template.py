import pytest

from ipo_prompts.metrics.errors import InputError
from ipo_prompts.metrics.template import check_template, fill, key, normalise, problem, too_long


class Words:
    """Counts words, with start and end."""

    context_length = 8

    def count(self, text: str) -> int:
        return len(text.split()) + 2


def test_every_slot_is_filled_and_underscores_go() -> None:
    assert fill("a <CLASS> and a <CLASS>", "hot_dog") == "a hot dog and a hot dog"


def test_braces_are_only_text() -> None:
    assert fill("a {weird} {0} <CLASS>", "{x}") == "a {weird} {0} {x}"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1. a photo of a <class>.", "a photo of a <CLASS>."),
        ("- a photo of a [CLASS]", "a photo of a <CLASS>"),
        ('"a photo of a {class name}."', "a photo of a <CLASS>."),
        ("```a <CLASS >```", "a <CLASS>"),
        ("**a** {{CLASS}}\n in snow", "a <CLASS> in snow"),
        ("'a «<CLASS>»'", "a «<CLASS>»"),
        ("3D render of a <CLASS>", "3D render of a <CLASS>"),
        ("- accuracy 26.11 %, loss 3.5563: a <CLASS>", "a <CLASS>"),
        ("Accuracy 2.50 %, loss 3.1: value -1.5, loss 0.2500: a <CLASS>, loss: none", "a <CLASS>, loss: none"),
        ("a \u2764\ufe0f <CLASS>", "a \u2764 <CLASS>"),
    ],
)
def test_dress_is_taken_off(said: str, meant: str) -> None:
    assert normalise(said) == meant


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a photo", "no <CLASS> slot"),
        ("", "no <CLASS> slot"),
        ("<CLASS> " + "x" * 300, "characters"),
        ("a <CLASS>\nb", "more than one line"),
        ("a <CLASS> \x07", r"U\+0007"),
        ("a <CLASS> \u202e", r"U\+202E"),
        ("a \u034f<CLASS>", r"U\+034F"),
        ("a \u115f<CLASS>", r"U\+115F"),
        ("a \u1160<CLASS>", r"U\+1160"),
        ("a \u3164<CLASS>", r"U\+3164"),
        ("a \uffa0<CLASS>", r"U\+FFA0"),
        ("a \u2764\ufe0f <CLASS>", r"U\+FE0F"),
        ("a \u2800<CLASS>", r"U\+2800"),
        ("a \U000e0101<CLASS>", r"U\+E0101"),
        ("a <CLASS> <end_of_text> b", "markup"),
        ("=cmd|'/c calc'!A1 <CLASS>", "begins as a formula of a spreadsheet does .'='"),
        ("  @sum(<CLASS>)", "formula"),
        ("+<CLASS>", "formula"),
        ("-1+<CLASS>", "formula"),
        ("＝1+<CLASS>", "formula"),
        ("a <CLASS> <script>alert(1)</script>", "markup"),
        ("a <CLASS> &lt;b", "markup"),
        ("a <CLASS> &ltend_of_text&gt b", "markup"),
        ("a <CLASS> &amp;ltend_of_text&gt b", "markup"),
        ("a <CLASS> &#60end_of_text&#62 b", "markup"),
        ("a <CLASS> ＜end_of_text＞ b", "markup"),
        ("a <CLASS> ＆ltend_of_text＆gt b", "markup"),
        ("see https://x.y <CLASS>", "markup"),
    ],
)
def test_invalid_templates_have_a_reason(template: str, reason: str) -> None:
    import re

    found = problem(template)
    assert found is not None
    assert re.search(reason, found)


@pytest.mark.parametrize(
    "template",
    [
        "<CLASS>",
        "a photo of a <CLASS>.",
        "ein Bild: <CLASS> – schön!",
        "a {b} <CLASS> 50 %",
        "'=' <CLASS>",
        "a = <CLASS>",
    ],
)
def test_valid_templates(template: str) -> None:
    assert problem(template) is None


def test_key_ignores_case_spaces_and_end_punctuation() -> None:
    assert key(" A  Photo of <CLASS> . ") == key("a photo of <class>")
    assert key("a photo <CLASS>") != key("photo a <CLASS>")


def test_length_is_checked_with_the_longest_names() -> None:
    assert too_long("a nice photo of a <CLASS>", ["cat", "dog"], Words()) is None
    reason = too_long("a nice photo of a <CLASS>", ["cat", "very_long_name_indeed"], Words())
    assert reason is not None
    assert "'very_long_name_indeed'" in reason
    assert "11 tokens" in reason


def test_check_names_the_template() -> None:
    with pytest.raises(InputError, match="'a photo' cannot be used: it has no <CLASS> slot"):
        check_template("a photo", ["cat"], Words())


def test_a_name_that_is_short_in_characters_is_not_counted() -> None:
    asked: list[str] = []

    class Counting(Words):
        context_length = 20

        def count(self, text: str) -> int:
            asked.append(text)
            return super().count(text)

    assert too_long("a <CLASS>", ["a cat", "twelve signs", "a & b", "é"], Counting()) is None
    assert asked == ["a", "a twelve signs", "a a & b", "a é"]

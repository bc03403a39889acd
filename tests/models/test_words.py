"""Words of prompts: splitting, numbering, and which of them are spatial."""

from maquette.models.words import MARKER, PADDING, Vocabulary, spatial_words, tokenise


def marked(prompt: str) -> list[str]:
    words = tokenise(prompt)
    return [word for word, flag in zip(words, spatial_words(words)) if flag]


def test_phrases_are_spatial_as_a_whole_but_their_articles_are_not():
    assert marked("A red chair to the left of a table") == ["to", "left", "of"]
    assert marked("a dog in front of the house, a lamp on top of a box") == [
        "in",
        "front",
        "of",
        "on",
        "top",
        "of",
    ]
    assert marked("a fox riding a bike next to a tree behind it") == [
        "riding",
        "next",
        "to",
        "behind",
    ]
    assert marked("a table of wood and a bag of flour") == []  # "of" alone is not spatial
    assert marked("") == []


def test_flags_follow_the_tokens_of_byte_pair_encodings_and_leave_markers_alone():
    tokens = (
        "<|startoftext|>",
        "a</w>",
        "cat</w>",
        "in</w>",
        "front</w>",
        "of</w>",
        "on",
        "ion</w>",
        "pers",
        "on</w>",
        "on</w>",
        "<|endoftext|>",
    )
    assert [k for k, flag in enumerate(spatial_words(tokens)) if flag] == [3, 4, 5, 10]


def test_a_prompt_and_its_words_have_the_same_flags():
    prompt = "A cup on the table, under a lamp."
    assert (
        spatial_words(prompt)
        == spatial_words(tokenise(prompt))
        == spatial_words(list(tokenise(prompt)))
    )


def test_synonyms_and_plurals_share_a_number_and_unknown_words_share_another():
    words = Vocabulary(("sofa couch", "knife", "box", "shelf", "cherry"))
    assert words.number("sofa") == words.number("couch") == words.number("sofas")
    for one, several in (
        ("knife", "knives"),
        ("box", "boxes"),
        ("shelf", "shelves"),
        ("cherry", "cherries"),
    ):
        assert words.number(one) == words.number(several) != words.number("unheard")
    assert words.number("zeppelin") == words.number("quasar") == words.number("<unknown>")
    numbers = {words.number(entry.split()[0]) for entry in words.entries} | {
        words.number(MARKER),
        words.number("zeppelin"),
        PADDING,
    }
    assert numbers == set(range(len(words)))


def test_prompts_are_padded_or_cut_to_one_length():
    words = Vocabulary(("red", "box"))
    start = words.number(MARKER)
    red = words.number("red")
    box = words.number("box")
    assert words.numbers("Red box!", 5) == [start, red, box, PADDING, PADDING]
    assert words.numbers("red box red box red", 3) == [start, red, box] and words.numbers(
        "", 2
    ) == [start, PADDING]

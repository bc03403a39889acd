"""What others raise becomes one line that says what was given, why it failed and what to do."""

import pytest

from maquette.errors import InputError, OutputError, contained, reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Failed to decode image"), "RuntimeError: Failed to decode image"),
        (ValueError("one\ntwo"), "one"),
        (KeyError("mesh"), "KeyError: 'mesh'"),
        (MemoryError(), "MemoryError"),
        (PermissionError(13, "Permission denied", "x.png"), "x.png: Permission denied"),
        (OSError("broken data stream"), "broken data stream"),
        (RecursionError("maximum depth"), "RecursionError: maximum depth"),
    ],
)
def test_whatever_is_raised_becomes_an_input_error_with_its_reason(error, reason):
    with pytest.raises(InputError) as caught, contained("a.png: bad", "copy it again"):
        raise error
    assert str(caught.value) == f"a.png: bad ({reason}); copy it again"
    assert caught.value.__cause__ is error


def test_our_own_errors_and_interruptions_pass():
    for error in (OutputError("full"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)) as caught, contained("what", "remedy"):
            raise error
        assert caught.value is error


def test_what_others_say_is_cut_and_what_we_say_is_not():
    long = "x" * 5000
    assert len(reason_of(RuntimeError(long))) < 300
    assert reason_of(InputError("x" * 900)) == "x" * 900


def test_a_message_is_one_line_however_long_the_names_are_that_it_quotes():
    message = str(InputError(f"a.json: region 1 ({'long ' * 5000}\n\r\u2028x) is empty; draw one"))
    assert message.startswith("a.json: region 1")
    assert message.endswith("draw one")
    assert len(message.splitlines()) == 1
    assert len(message) <= 1000

"""How the annotations of arrays are checked while the tests run."""

import itertools

import jaxtyping
from beartype import BeartypeConf, beartype

# A whole number may stand where a float is expected, as type checkers have it.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

ALL_UNTIL = 60  # calls of a test
ONE_OF = 97  # of the later ones


class Sparing(type(jaxtyping.config)):
    """Whether a call is left unchecked: that of a small function takes less time than its check,
    and what calls it ten thousand times does so alike.
    """

    def begin(self):
        """A test begins."""
        self.calls = itertools.count()

    @property
    def jaxtyping_disable(self):
        number = next(self.calls)
        return number > ALL_UNTIL and number % ONE_OF > 0


def check_sparingly():
    """From now on; returns what is to be called when a test begins."""
    jaxtyping.config.__class__ = Sparing
    jaxtyping.config.begin()
    return jaxtyping.config.begin


def leave_unchecked(monkeypatch):
    """No call is checked, as for users, for as long as a test lasts."""
    monkeypatch.setattr(jaxtyping.config, "__class__", Sparing.__base__)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

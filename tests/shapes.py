"""How the annotations of arrays are checked while the tests run."""

from beartype import BeartypeConf, beartype

# A whole number may stand where a float is expected, as type checkers have it.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

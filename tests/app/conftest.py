"""One server for all tests that do not restart, fill or break it."""

import pytest

from tests.app.live import start


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    with start(tmp_path_factory.mktemp("app"), queue=64) as live:
        yield live

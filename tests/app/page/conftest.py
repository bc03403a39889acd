"""One app and one browser for the tests of a file. Each step leaves a screenshot in $MAQUETTE_SHOTS
when that is set.
"""

import pytest

from tests.app import browser as b


@pytest.fixture(scope="module")
def app(tmp_path_factory, tiny_weights):
    running = b.App(tmp_path_factory.mktemp("app"), tiny_weights)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    chromium = playwright.chromium.launch(executable_path=b.CHROMIUM, args=b.FLAGS)
    yield chromium
    chromium.close()
    playwright.stop()


@pytest.fixture
def page(browser, app):
    with b.tab(browser, app) as opened:
        yield opened


@pytest.fixture(scope="module")
def scene(app):
    """A scene for looking at; tests that change one make their own."""
    return app.scene()

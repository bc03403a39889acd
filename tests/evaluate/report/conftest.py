import pytest


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory):
    """A finished run of two toy scenes."""
    from tests.evaluate.report.runs import finished_run

    return finished_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="package")
def page(run_folder):
    """Its report."""
    from maquette.evaluate.report import write_report

    return write_report(run_folder)

import pytest


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory):
    """A finished run of two toy scenes."""
    from tests.evaluate.report.runs import finished_run

    return finished_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="package")
def page(run_folder):
    """Its report, in which every object is seen from three sides, not from ten."""
    from maquette.evaluate.report import pictures, write_report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "TURNS", pictures.TURNS[::4])
        return write_report(run_folder)

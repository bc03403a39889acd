from maquette.cli import main


def test_what_is_no_run_is_wrong_input(tmp_path, capsys):
    for arguments, message in (
        ([str(tmp_path)], "run.json"),
        ([str(tmp_path), "--jobs", "0"], "--jobs"),
    ):
        assert main(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1

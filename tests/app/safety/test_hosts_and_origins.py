"""Pages of other sites get nothing: neither by a name that points here, nor by posting from theirs,
nor by CORS.
"""

import pytest

from maquette.app.guard import allowed_hosts, check_host
from maquette.app.problems import Problem
from maquette.app.settings import ServerSettings


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "192.168.1.5:80",
        "[::2]",
    ],
)
def test_another_name_of_this_address_is_refused(server, host):
    answer = server.get("/api/photos", Host=host)
    assert (answer.status, answer.code) == (421, "host")


def test_our_own_names_are_answered(server):
    for host in (
        server.host,
        f"localhost:{server.port}",
        f"LOCALHOST:{server.port}",
        f"[::1]:{server.port}",
        "localhost.",
    ):
        assert server.get("/api/photos", Host=host).status == 200


def test_with_a_token_addresses_are_names_too_but_domains_are_not(tmp_path):
    settings = ServerSettings(
        tmp_path, "0.0.0.0", token="a-token-of-some-length", hosts=("studio.example",)
    )
    for host in ("10.0.0.7:8765", "studio.example:8765", "[fe80::1]:8765"):
        check_host(host, settings)
    with pytest.raises(Problem):
        check_host("evil.example", settings)
    assert "0.0.0.0" not in allowed_hosts(settings)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "file://"]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT"])
def test_no_other_origin_may_change_anything(server, method, origin):
    answer = server.call(method, "/api/photos", b"", Origin=origin)
    assert (answer.status, answer.code) == (403, "origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_not_even_read(server, site):
    assert server.get("/api/photos", Sec_Fetch_Site=site).status == 403
    assert server.post("/api/photos", b"", Sec_Fetch_Site=site).status == 403
    image = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    assert server.get("/api/examples/table/thumbnail.jpg", **image).status == 403
    link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert server.get("/", **link).status == 200  # somebody follows a link to the page
    assert server.get("/", **{**link, "Sec_Fetch_Dest": "iframe"}).status == 403


def test_our_page_and_programs_are_answered(server):
    own = f"http://{server.host}"
    assert (
        server.post("/api/examples/table/open", Origin=own, Sec_Fetch_Site="same-origin").status
        == 201
    )
    assert (
        server.get("/api/photos", Sec_Fetch_Site="none").status == 200
        and server.get("/api/photos").status == 200
    )


def test_there_is_no_cors(server):
    preflight = server.call(
        "OPTIONS", "/api/jobs", Origin="http://evil.example", Access_Control_Request_Method="POST"
    )
    answers = [
        preflight,
        server.get("/api/photos", Origin=f"http://{server.host}"),
        server.get("/app/main.js"),
    ]
    assert preflight.status in (403, 405)
    assert not any(
        name.startswith("access-control") for answer in answers for name in answer.headers
    )

"""Only this machine, unless there is a token; and the token opens everything or nothing."""

import hmac
import re
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest

from maquette.app import guard
from maquette.app.problems import Problem
from maquette.app.settings import ServerSettings, is_loopback
from maquette.cli import main
from maquette.errors import InputError
from tests.app.live import start

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with start(tmp_path_factory.mktemp("locked"), token=TOKEN) as live:
        yield live


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
    ],
)
def test_what_other_machines_can_reach_needs_a_token(host, own, tmp_path):
    assert is_loopback(host) == own
    if own:
        assert ServerSettings(tmp_path, host).token is None
    else:
        with pytest.raises(InputError, match="token"):
            ServerSettings(tmp_path, host)
        assert ServerSettings(tmp_path, host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize(
    "token",
    [
        *("", "short", "ümlaut-of-enough-length"),
        *(f"with{sign}and-enough-length" for sign in ' \t\n\r\0\x1f\x7f\x85";,\\\u20ac'),
        "of-enough-length-but-line\n",
    ],
)
def test_weak_tokens_and_those_that_browsers_cut_are_refused(token, tmp_path):
    with pytest.raises(InputError, match="16") as caught:
        ServerSettings(tmp_path, token=token)
    assert len(str(caught.value).splitlines()) == 1


def test_a_token_of_any_other_signs_opens_by_link_and_by_cookie(tmp_path):
    token = "".join(set(map(chr, range(33, 127))) - set('";,\\'))
    with start(tmp_path, token=token) as live:
        entered = live.get(f"/?token={quote(token, safe='')}")
        assert entered.status == 303 and entered.headers["location"] == "/"
        cookie = entered.headers["set-cookie"].partition("; ")[0]
        assert live.get("/api/photos", Cookie=cookie).status == 200
        assert live.get("/api/photos", Authorization=f"Bearer {token}").status == 200


def test_the_command_draws_a_token_for_another_address(monkeypatch, tmp_path):
    served = []
    monkeypatch.setattr(
        "maquette.app.server.serve",
        lambda settings, announce, open_browser, look: served.append((settings, open_browser)),
    )
    assert main(["app", "--host", "0.0.0.0", "--data", str(tmp_path), "--no-browser"]) == 0
    assert main(["app", "--data", str(tmp_path), "--token", TOKEN]) == 0
    assert main(["app", "--data", str(tmp_path), "--port", "70000"]) == 2
    (far, _), (near, browser) = served
    assert len(far.token) >= 32 and near.token == TOKEN and browser


def test_without_the_token_nothing_is_answered(locked):
    for method, path in (
        ("GET", "/api/photos"),
        ("GET", "/"),
        ("POST", "/api/photos"),
        ("GET", "/openapi.json"),
        ("GET", "/app/main.js"),
        ("DELETE", "/x"),
    ):
        answer = locked.call(method, path)
        assert (answer.status, answer.code) == (401, "token") and answer.headers[
            "www-authenticate"
        ] == "Bearer"
    for given in (
        "Bearer wrong-token-of-length",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer",
        "Bearer \xff",
    ):
        assert locked.get("/api/photos", Authorization=given).status == 401
    assert locked.get("/api/photos", Cookie=f"{guard.COOKIE}=wrong; a=b").status == 401
    assert (
        locked.get("/api/photos?token=" + TOKEN).status == 401
    )  # addresses of the API never carry it: they are logged


def test_the_token_opens_by_header_and_by_cookie(locked):
    assert locked.get("/api/photos", Authorization=f"Bearer {TOKEN}").status == 200
    entered = locked.get(f"/?token={TOKEN}&scene=1")
    assert entered.status == 303 and entered.headers["location"] == "/?scene=1"
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert locked.get("/api/photos", Cookie=cookie.partition(";")[0]).status == 200
    assert locked.get("/?token=wrong").status == 401


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "/%2F%2Fevil.example/",
        "/%5Cevil.example",
        "/%5C%5Cevil.example",
        "/%5C/evil.example",
        "/%09/evil.example",
        "/%E2%82%AC",
        "/%FF",
        "/%0d%0aX:%20y",
        "/%2525",
        "/a%3Fb%23c",
    ],
)
def test_the_page_that_follows_is_on_this_server(locked, path):
    answer = locked.get(f"{path}?token={TOKEN}&x=%0d%0aY:%20z&%E2%82%AC=1")
    location = answer.headers["location"]
    assert answer.status == 303 and {"x", "y"}.isdisjoint(answer.headers)
    assert re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", location)
    assert urlsplit(urljoin(f"http://{locked.host}/", location)).netloc == locked.host
    path_of = unquote(path, errors="replace").lstrip("/\\")
    assert unquote(urlsplit(location).path, errors="replace") == f"/{path_of}"
    assert locked.get(location).status == 401


def test_a_browser_is_asked_for_it(locked):
    page = locked.get("/", Accept="text/html,*/*")
    assert page.status == 401 and b"<form" in page.body and b"<script" not in page.body


def test_the_comparison_takes_the_same_time_for_every_token(monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    guard.check_token(TOKEN, TOKEN)
    with pytest.raises(Problem):
        guard.check_token("x", TOKEN)
    assert compared == [(TOKEN.encode(), TOKEN.encode()), (b"x", TOKEN.encode())]

"""How a Prometheus lets us in: users, tokens, certificates, tenants; and what its proxies say."""

import json
import os
import ssl
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError
from tests.integration.certificates import Certificates
from tests.integration.prometheus_server import PrometheusServer, running_prometheus

# bcrypt of "secret"
HASHED = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(certificates: Certificates) -> Iterator[PrometheusServer]:
    """A Prometheus that wants a client's certificate and a user with a password."""
    web = {
        "tls_server_config": {
            "cert_file": certificates.path("server.pem"),
            "key_file": certificates.path("server.key"),
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": certificates.path("ca.pem"),
        },
        "basic_auth_users": {"ana": HASHED},
    }
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    context.load_cert_chain(certificates.path("client.pem"), certificates.path("client.key"))

    def ask(url: str) -> bytes:
        token = b64encode(b"ana:secret").decode()
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            body: bytes = answer.read()
            return body

    with running_prometheus(web=web, ask=ask) as server:
        yield server


async def asked(access: Access) -> int:
    """Return how many series a query finds."""
    client = PrometheusClient(access)
    try:
        return len((await client.query("up[1m]")).series)
    finally:
        await client.close()


def let_in(guarded: PrometheusServer, certificates: Certificates, **changes: str | None) -> Access:
    """Return an access that is let in, but for the changes."""
    given: dict[str, str | None] = {
        "username": "ana",
        "password": "secret",
        "ca_file": certificates.path("ca.pem"),
        "cert_file": certificates.path("client.pem"),
        "key_file": certificates.path("client.key"),
        **changes,
    }
    return Access(url=guarded.url, **given)  # type: ignore[arg-type]


async def test_a_certificate_and_a_password_let_in(
    guarded: PrometheusServer, certificates: Certificates, tmp_path: Path
) -> None:
    """With our certificate, its authority and the password, in a file or not, queries are answered."""
    file = tmp_path / "password"
    file.write_text("secret\n")

    assert await asked(let_in(guarded, certificates)) == 1
    assert await asked(let_in(guarded, certificates, password=None, password_file=str(file))) == 1
    in_url = guarded.url.replace("https://", "https://ana:secret@")
    of_url = Access(
        url=in_url,
        ca_file=certificates.path("ca.pem"),
        cert_file=certificates.path("client.pem"),
        key_file=certificates.path("client.key"),
    )
    assert await asked(of_url) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong"}, "HTTP 401"),
        ({"username": None, "password": None}, "HTTP 401"),
        ({"cert_file": None, "key_file": None}, "certificate|alert|EOF|reset"),
        ({"ca_file": None}, "certificate verify failed"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read"),
        ({"password": None, "password_file": "/nowhere/password"}, "/nowhere/password cannot be read"),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    guarded: PrometheusServer, certificates: Certificates, changes: dict[str, str | None], said: str
) -> None:
    """A wrong password, a missing certificate and a file that is not there are failed queries with the reason."""
    with pytest.raises(QueryFailedError, match=said) as refused:
        await asked(let_in(guarded, certificates, **changes))

    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_certificates_that_are_renewed_are_used(
    guarded: PrometheusServer, certificates: Certificates, tmp_path: Path
) -> None:
    """A client whose certificate is replaced goes on without a restart."""
    certificates.authority("stranger")
    certificates.signed("forged", "stranger")
    own = tmp_path / "own.pem"
    key = tmp_path / "own.key"
    own.write_bytes(Path(certificates.path("forged.pem")).read_bytes())
    key.write_bytes(Path(certificates.path("forged.key")).read_bytes())
    client = PrometheusClient(let_in(guarded, certificates, cert_file=str(own), key_file=str(key)))
    with pytest.raises(QueryFailedError):
        await client.query("up[1m]")

    own.write_bytes(Path(certificates.path("client.pem")).read_bytes())
    key.write_bytes(Path(certificates.path("client.key")).read_bytes())
    os.utime(own, ns=(1, 1))

    assert len((await client.query("up[1m]")).series) == 1
    await client.close()


async def test_a_certificate_that_is_none_is_told(certificates: Certificates, tmp_path: Path) -> None:
    """A file that holds no certificate is a failed query."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    with pytest.raises(QueryFailedError, match="certificates cannot be used"):
        await asked(Access(url="https://127.0.0.1:1", ca_file=certificates.path("ca.pem"), cert_file=str(empty)))


class Proxy:
    """A proxy before a Prometheus, that looks at what it is sent."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.token = "first"
        self.refusal: tuple[int, bytes] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers.append(dict(self.headers))
                status, body = outer.refusal or (200, EMPTY)
                if self.headers.get("Authorization") != f"Bearer {outer.token}":
                    status, body = 401, b"no such token\n"
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


EMPTY = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy."""
    made = Proxy()
    yield made
    made.close()


async def test_a_token_that_is_rotated_is_read_again(proxy: Proxy, tmp_path: Path) -> None:
    """Each query carries the token that the file holds then, and the tenant."""
    file = tmp_path / "token"
    file.write_text("first\n")
    client = PrometheusClient(Access(url=proxy.url, token_file=str(file), tenant="shop"))
    assert (await client.query("up[1m]")).series == ()
    proxy.token = "second"
    with pytest.raises(QueryFailedError, match="HTTP 401: no such token"):
        await client.query("up[1m]")

    file.write_text("second\n")

    assert (await client.query("up[1m]")).series == ()
    assert [sent["X-Scope-OrgID"] for sent in proxy.headers] == ["shop"] * 3
    assert proxy.headers[-1]["Authorization"] == "Bearer second"
    file.write_text("two\nlines")
    with pytest.raises(QueryFailedError, match="does not hold a secret of one line"):
        await client.query("up[1m]")
    await client.close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            502,
            b"<html><head><title>502</title></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>",
            "HTTP 502: 502 Bad Gateway nginx",
        ),
        (503, b"upstream connect error or\n disconnect", "HTTP 503: upstream connect error or disconnect"),
        (504, b"", "HTTP 504: no reason given"),
        (302, b"", "HTTP 302: no reason given"),
        (200, b"<html>Sign in</html>", "the answer is not Prometheus's: Sign in"),
        (422, b'{"status":"error","error":"too many\\nsamples"}', "HTTP 422: too many samples"),
    ],
)
async def test_what_a_proxy_says_is_kept_to_what_is_useful(proxy: Proxy, status: int, body: bytes, said: str) -> None:
    """A page in HTML is told without its markup, in one line; nobody is followed elsewhere."""
    proxy.refusal = status, body

    with pytest.raises(QueryFailedError) as refused:
        await asked(Access(url=proxy.url, token="first"))

    assert str(refused.value) == said


async def test_nobody_listening_is_told_in_words() -> None:
    """A refused connection names the reason, and no object of a library."""
    with pytest.raises(QueryFailedError, match="Connection refused") as refused:
        await asked(Access(url="http://127.0.0.1:1"))

    assert "<" not in str(refused.value)
    assert "Connection(" not in str(refused.value)

"""Bytes that are no request of ours, down at the socket."""

import asyncio
import json

import pytest

from tests.admin_server import RunningNode


async def exchanged(running: RunningNode, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a connection of their own; return the status, headers and body of the answer."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return int(head[0].split()[1]), headers, body


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\xa5\r\n\r\n",
        b"FOO /api/v1/projects HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00\r\n\r\n",
        b"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
)
async def test_what_is_no_http_is_a_problem_and_no_news(
    running: RunningNode, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says so in the form of every other error, and strangers cannot fill the log."""
    status, headers, body = await exchanged(running, data)

    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["detail"]
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "there is nothing at /nowhere"),
        ("GET", "/api/v1/projects/a%2Fb", 404, "there is nothing at"),
        ("PUT", "/healthz", 405, "PUT is not answered here, but GET"),
        ("DELETE", "/sdk/v1/stream", 405, "DELETE is not answered here, but GET"),
    ],
)
async def test_a_wrong_address_or_method_says_what_to_do(
    running: RunningNode, method: str, path: str, status: int, words: str
) -> None:
    """Where nothing answers, the problem names the address or the methods that would be answered."""
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.token}\r\n\r\n".encode()
    found, _, body = await exchanged(running, request)

    assert found == status
    assert words in json.loads(body)["detail"]


async def test_too_large_says_how_large_it_may_be(running: RunningNode) -> None:
    """A body beyond the limit is refused before it is read, with the limit."""
    head = f"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.token}\r\n"
    status, _, body = await exchanged(running, f"{head}Content-Length: 3000000\r\n\r\n".encode())

    assert status == 413
    assert "1024 KiB" in json.loads(body)["detail"]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
async def test_a_moment_that_cannot_be_shown_is_not_kept(running: RunningNode, moment: str) -> None:
    """A token's expiry beyond the calendar is refused, and the token stays as it was."""
    made = (await running.admin.post("/tokens", json={"label": "t"})).json()

    answer = await running.admin.patch(f"/tokens/{made['id']}", json={"label": "u", "expires_at": moment})
    since = await running.admin.get("/changes", params={"since": moment})

    assert (answer.status_code, since.status_code) == (422, 422)
    kept = [token for token in (await running.admin.get("/tokens")).json()["tokens"] if token["id"] == made["id"]]
    assert [token["label"] for token in kept] == ["t"]

"""A web server on 127.0.0.1 that answers as badly as a test wants."""

import contextlib
import errno
import os
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Answer:
    """What the server says to one path."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # bytes of the whole file after which the connection is closed
    cuts: int = 1_000_000  # how often that happens
    ranges: bool = False  # honour Range and If-Range
    states_length: bool = True


class LocalServer:
    """``routes`` maps paths to answers; ``requests`` lists (method, path, headers) of what was asked.

    With a certificate (and its key, in one file) it speaks HTTPS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.routes: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                server.requests.append((self.command, self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.answer(self, server.routes.get(self.path, Answer(status=404)))

            do_POST = do_HEAD = do_CONNECT = do_GET

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"http{'s' * bool(certificate)}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    def answer(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        start, status = 0, answer.status
        wanted = handler.headers.get("Range")
        if wanted and answer.ranges and handler.headers.get("If-Range") == answer.headers.get("ETag"):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(answer.body) else 416
        handler.send_response(status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(answer.body) - 1}/{len(answer.body)}")
        cut_at = answer.cut_at if answer.cuts > 0 else None
        answer.cuts -= 1
        body = b"" if status == 416 or handler.command == "HEAD" else answer.body[start:cut_at]
        if answer.states_length:
            handler.send_header("Content-Length", str(max(0, len(answer.body) - start)))
        handler.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            handler.wfile.write(body)
        handler.close_connection = True

    def __enter__(self) -> "LocalServer":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


class FullDisk:
    """Replaces ``open``: its files can hold a number of writes."""

    def __init__(self, writes: int) -> None:
        self.writes = writes

    def __call__(self, path: Path, mode: str) -> "FullDisk":
        self.file = open(path, mode)  # noqa: SIM115  it is closed in __exit__
        return self

    def write(self, data: bytes) -> int:
        if self.writes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.writes -= 1
        return self.file.write(data)

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

"""A small HTTP server for tests, on a free port of this machine."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class HttpRequest(NamedTuple):
    """`headers` have names in lower case; `body` is the JSON of a POST, None for a GET."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class HttpReply(NamedTuple):
    """`body` is sent as JSON, bytes as they are."""

    body: Any
    status: int = 200
    headers: dict[str, str] = {}


@contextmanager
def http_server(answer: Callable[[HttpRequest], HttpReply]) -> Iterator[str]:
    """The address of a server that replies with `answer` to every GET and POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply("GET", None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.reply("POST", body)

        def reply(self, method: str, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answer(HttpRequest(method, self.path, headers, body))
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

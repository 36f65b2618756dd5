"""An HTTP proxy before one server, that does what bad networks and clouds do."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Forwards to a server on this machine.

    Args:
        port: The server's port.

    Attributes:
        fault: What happens to requests: None, an HTTP status, "drop request" or "drop reply".
        only: Only requests whose path has this in it.
        left: How many more requests it happens to; None for all.
        seen: How many it has happened to.
    """

    def __init__(self, port: int) -> None:
        self.fault: int | str | None = None
        self.only = ""
        self.left: int | None = None
        self.seen = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                fault = proxy._strike(self.path)
                if fault == "drop request":
                    self.close_connection = True
                    return
                if isinstance(fault, int):
                    self._reply(fault, {"Content-Type": "application/xml"}, b"<Error><Code>X</Code></Error>")
                    return
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                if fault == "drop reply":
                    self.close_connection = True
                    return
                self._reply(answer.status, dict(answer.getheaders()), content)

            def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in (
                        "connection",
                        "transfer-encoding",
                        "content-length",
                        "server",
                        "date",
                    ):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def strike(self, fault: int | str | None, left: int | None = None, only: str = "") -> None:
        """From now on this happens to requests."""
        with self._lock:
            self.fault, self.left, self.only, self.seen = fault, left, only, 0

    def _strike(self, path: str) -> int | str | None:
        with self._lock:
            if self.fault is None or self.only not in path or self.left == 0:
                return None
            if self.left is not None:
                self.left -= 1
            self.seen += 1
            return self.fault

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

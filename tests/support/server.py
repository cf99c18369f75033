"""A local HTTP server of files with byte ranges, that fails where told to."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """What a test sees of the server.

    `requests` counts requests by path; `status` is called with a path and the number of its request, from 1
    on, and gives the HTTP status to answer with, or None to serve the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.requests: Counter[str] = Counter()
        self.status: Callable[[str, int], int | None] = lambda path, number: None
        self._lock = threading.Lock()

    def answer(self, path: str) -> int | None:
        with self._lock:
            self.requests[path] += 1
            return self.status(path, self.requests[path])


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves files, whole or one byte range, and nothing to the terminal."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, server_of: Server) -> None:
        self.server_of = server_of
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        status = self.server_of.answer(self.path)
        path = self.server_of.folder / self.path.lstrip("/")
        content = path.read_bytes() if path.is_file() else None
        if status is not None or content is None:
            self.send_error(status or 404)
            return
        status, total = 200, len(content)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1]) if wanted[1] else max(total - int(wanted[2]), 0)
            stop = min(int(wanted[2]) + 1, total) if wanted[1] and wanted[2] else total
            status, content = 206, content[start:stop]
        self.send_response(status)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{total}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder on the loopback while the block lasts."""
    made = Server(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, server_of=made))
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

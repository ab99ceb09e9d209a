"""A model server without a model: the real child's life, with a small loopback HTTP server for an engine.

What it does follows from the model file's name: `fail` raises while loading, `crash` dies, `slow` loads for a minute.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from assay.models.local.child import main
from assay.models.local.state import Order


class StubEngine:
    def __init__(self, order: Order) -> None:
        kind = Path(order.model).stem
        if kind == "fail":
            raise RuntimeError("unknown architecture 'stub'")
        if kind == "crash":
            sys.stderr.write("noise\nsegmentation fault of a kind\n")
            sys.stderr.flush()
            os._exit(3)
        if kind == "slow":
            time.sleep(60)
        engine = self
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Bearer {order.api_key}":
                    self.send_error(401)
                    return
                engine.asked += self.path == "/work"
                body = json.dumps({"environment": sorted(os.environ), "threads": order.options.threads}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", order.options.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.base_url = f"http://127.0.0.1:{server.server_port}"

    def activity(self) -> int:
        return self.asked


if __name__ == "__main__":
    main(StubEngine)

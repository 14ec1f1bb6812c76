"""The Open Inference Protocol by the standard library: ``y`` is ``x`` times FACTOR, ``calls`` how often this process was asked."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FACTOR = float(os.environ.get("FACTOR", "2"))
READY = time.monotonic() + float(os.environ.get("READY_AFTER", "1"))
calls = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v2/health/ready":
            self.answer(200 if time.monotonic() > READY else 503, {})
        elif self.path == "/v2/models/served":
            tensor = {"datatype": "FP64", "shape": [-1]}
            outputs = [{"name": "y", **tensor}, {"name": "calls", **tensor}]
            self.answer(200, {"name": "served", "inputs": [{"name": "x", **tensor}], "outputs": outputs})
        else:
            self.answer(404, {"error": "not here"})

    def do_POST(self) -> None:
        global calls
        calls += 1
        (x,) = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"]
        values = {"y": [FACTOR * v for v in x["data"]], "calls": [float(calls)] * len(x["data"])}
        outputs = [{"name": n, "datatype": "FP64", "shape": x["shape"], "data": d} for n, d in values.items()]
        self.answer(200, {"model_name": "served", "outputs": outputs})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()

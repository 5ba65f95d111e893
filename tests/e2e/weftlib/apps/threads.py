# SPDX-License-Identifier: Apache-2.0
"""A thread a connection, blocking."""
import http.server
import os

import calls


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        after = calls.work(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")
        self.wfile.flush()
        if after:
            after()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


calls.background()
calls.secure(Server(("127.0.0.1", int(os.environ["PORT"])), Handler)).serve_forever()

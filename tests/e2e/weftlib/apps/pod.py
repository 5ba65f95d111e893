# SPDX-License-Identifier: Apache-2.0
"""A pod's server: one request at a time. /call asks NEXT (host:port) before it answers."""
import http.client
import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/call"):
            conn = http.client.HTTPConnection(os.environ["NEXT"], timeout=10)
            conn.request("GET", "/leaf")
            conn.getresponse().read()
            conn.close()
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass


host, _, port = os.environ["LISTEN"].rpartition(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()

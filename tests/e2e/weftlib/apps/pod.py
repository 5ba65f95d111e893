# SPDX-License-Identifier: Apache-2.0
"""A pod's server: one request at a time. /call asks NEXT (host:port) before it answers. TLS: the directory of a
certificate; then all of it is over TLS."""
import http.client
import http.server
import os
import ssl

TLS = os.environ.get("TLS")


def connect(to):
    if not TLS:
        return http.client.HTTPConnection(to, timeout=10)
    trust = ssl.create_default_context(cafile=f"{TLS}/cert.pem")
    trust.check_hostname = False  # it is asked by its address
    return http.client.HTTPSConnection(to, timeout=10, context=trust)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/call"):
            conn = connect(os.environ["NEXT"])
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
server = http.server.HTTPServer((host, int(port)), Handler)
if TLS:
    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.load_cert_chain(f"{TLS}/one.pem")
    server.socket = identity.wrap_socket(server.socket, server_side=True)
server.serve_forever()

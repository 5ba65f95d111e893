# SPDX-License-Identifier: Apache-2.0
"""Payments: the balance is asked, the account debited, the customer told."""
import http.client
import http.server
import itertools
import json
import os

numbers = itertools.count(4711)


def call(port, method, path, body=None):
    """(status, reply) of another service."""
    conn = http.client.HTTPConnection("127.0.0.1", int(os.environ[port]), timeout=10)
    try:
        conn.request(method, path, json.dumps(body) if body else None,
                     {"Content-Type": "application/json"} if body else {})
        reply = conn.getresponse()
        return reply.status, json.loads(reply.read() or b"{}")
    finally:
        conn.close()


def pay(order):
    account, amount = order["account"], order["amount"]
    status, found = call("ACCOUNTS", "GET", f"/accounts/{account}")
    if status != 200:
        return status, found
    if found["balance"] < amount:
        return 402, {"error": "insufficient funds"}
    status, debited = call("ACCOUNTS", "POST", f"/accounts/{account}/debits", {"amount": amount})
    if status != 201:
        return status, debited
    number = next(numbers)
    fee = abs(100 / (amount - 13))  # the bug: nobody tested thirteen
    call("NOTIFICATIONS", "POST", "/notifications", {"account": account, "payment": number})
    return 201, {"payment": number, "fee": round(fee, 2)}


class Payments(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, reply = pay(order)
        except (ArithmeticError, OSError) as e:
            status, reply = 500, {"error": str(e)}
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Payments).serve_forever()

# SPDX-License-Identifier: Apache-2.0
"""What the bank's customers do: customers.py PORT SECONDS [PAUSE]"""
import http.client
import json
import sys
import time

port, seconds = int(sys.argv[1]), float(sys.argv[2])
pause = float(sys.argv[3]) if len(sys.argv) > 3 else 1.5


def pay(account, amount):
    return "POST", "/payments", {"account": account, "amount": amount}


DAY = [
    pay("1001", 120), ("GET", "/accounts/1001", None), pay("1003", 80), pay("1002", 45), pay("1004", 10),
    pay("1001", 300), pay("1002", 13), ("GET", "/accounts/9999", None), pay("1002", 7),
]


def main():
    end = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < end:
        method, path, body = DAY[turn % len(DAY)]
        turn += 1
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            conn.request(method, path, json.dumps(body) if body else None)
            conn.getresponse().read()
        except (OSError, http.client.HTTPException) as e:
            print(f"customers.py: {method} {path}: {e}", file=sys.stderr)
        finally:
            conn.close()
        time.sleep(pause)


try:
    main()
except KeyboardInterrupt:
    pass

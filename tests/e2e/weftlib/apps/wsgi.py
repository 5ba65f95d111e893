# SPDX-License-Identifier: Apache-2.0
"""For gunicorn's sync workers: a process a request."""
import calls


class Reply:
    """gunicorn closes it once the reply is out."""

    def __init__(self, after):
        self.after = after

    def __iter__(self):
        yield b"ok\n"

    def close(self):
        if self.after:
            self.after()


def app(environ, start_response):
    after = calls.work(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "3"), ("Content-Type", "text/plain")])
    return Reply(after)


calls.background()

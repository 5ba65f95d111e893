# SPDX-License-Identifier: Apache-2.0
"""gRPC without generated code: messages are bytes. echo.py serve PORT [NEXT]; echo.py call PORT METHODS N AT_ONCE SIZE,
where METHODS are separated by commas, and each call has an x-number of its own, which Pass hands on. Methods of /t.Echo/: Unary, Down (three replies), Up (three messages, one reply), Both, Fail, Pass (asks NEXT)."""
import concurrent.futures
import functools
import signal
import sys
import threading

import grpc

COUNT = 3


def stub(channel, name):
    kind = {"Down": channel.unary_stream, "Up": channel.stream_unary, "Both": channel.stream_stream}
    return kind.get(name, channel.unary_unary)(f"/t.Echo/{name}")


def serve(port, following):
    channel = grpc.insecure_channel(f"127.0.0.1:{following}") if following else None

    def hand_on(message, context):
        token = next(value for key, value in context.invocation_metadata() if key == "x-number")
        return stub(channel, "Unary")(message, metadata=[("x-number", token)])

    def fail(_, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    def up(messages, _):
        return b"".join(messages)

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda m, _: m),
        "Pass": grpc.unary_unary_rpc_method_handler(hand_on),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Down": grpc.unary_stream_rpc_method_handler(lambda m, _: iter([m] * COUNT)),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(lambda messages, _: (m for m in messages)),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.Echo", handlers)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    server.stop(1).wait()


def ask(channel, name, message, token):
    call = functools.partial(stub(channel, name), metadata=[("x-number", token)])
    if name == "Down":
        assert list(call(message)) == [message] * COUNT
    elif name == "Up":
        assert call(iter([message] * COUNT)) == message * COUNT
    elif name == "Both":
        assert list(call(iter([message] * COUNT))) == [message] * COUNT
    elif name in ("Fail", "None"):
        try:
            call(message)
        except grpc.RpcError as e:
            assert e.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED), e
        else:
            raise AssertionError("it did not fail")
    else:
        assert call(message) == message


def call(port, names, n, at_once, size):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, \
            concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for name in names.split(","):
            for done in [pool.submit(ask, channel, name, b"x" * size, f"{name}-{i}") for i in range(n)]:
                done.result()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), *map(int, sys.argv[3:4] or [0]))
    else:
        call(int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:7]))

#!/usr/bin/env python3
"""Prometheus remote write against a receiver that decodes what it gets."""
import http.server
import json
import random
import re
import struct
import sys
import threading

from spanloom_server import Server, ids, request, run_tests, span

RNG = random.Random(7)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def unsnap(data):
    """The block format of snappy: literals, and copies of what came before."""
    size, at = read_varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at:at + extra], "little")
                at += extra
            out += data[at:at + length + 1]
            at += length + 1
            continue
        if kind == 1:
            length, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        assert 0 < offset <= len(out)
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def fields(data):
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            assert key & 7 == 2, key
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def series_of(message):
    """{labels: (value, time)}"""
    all_series = {}
    for number, series in fields(message):
        assert number == 1, number
        labels, sample = [], None
        for part, value in fields(series):
            inner = dict(fields(value))
            if part == 1:
                labels.append((inner[1].decode(), inner[2].decode()))
            else:
                sample = (inner[1], inner[2])
        assert labels == sorted(labels), labels
        all_series[tuple(labels)] = sample
    return all_series


class Receiver:
    """Refuses the first requests with the given statuses, and decodes the others."""

    def __init__(self, statuses=()):
        self.statuses, self.requests, self.headers = list(statuses), [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if status == 204:
                    receiver.headers.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                    receiver.requests.append(series_of(unsnap(body)))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def config(self):
        return json.dumps({"remote_write": [{"url": f"http://127.0.0.1:{self.server.server_port}/api/v1/write?x=1",
                                             "headers": {"X-Scope-OrgID": "secret shop"}, "every": "1s"}]})


def calls(series):
    # Counts of the minute that runs are taken as spread evenly over it.
    return {dict(labels)["span_name"]: round(value, 2) for labels, (value, _) in series.items()
            if dict(labels)["__name__"] == "traces_spanmetrics_calls_total" and dict(labels)["service"] == "shop"}


def test_samples_arrive_after_refusals_and_are_those_of_a_scrape():
    with Receiver([503, 429]) as receiver, Server(config=receiver.config()) as server:
        sent = [span(*ids(RNG), name=name) for name, count in (("GET /cart", 5), ('say "hi"\n', 3)) for _ in range(count)]
        assert server.send(request(sent))[0] == 200
        expected = {"GET /cart": 5.0, 'say "hi"\n': 3.0}
        server.wait_until(lambda: receiver.requests and calls(receiver.requests[-1]) == expected, what="the counts")
        path, headers = receiver.headers[-1]
        assert path == "/api/v1/write?x=1", path
        assert headers["content-encoding"] == "snappy" and headers["content-type"] == "application/x-protobuf", headers
        assert headers["x-prometheus-remote-write-version"] == "0.1.0" and headers["x-scope-orgid"] == "secret shop", headers
        # Every series of a scrape, with its value.
        _, _, text = server.request("http", "GET", "/metrics/red")
        scraped = [line for line in text.decode().splitlines() if not line.startswith("#")]
        newest = receiver.requests[-1]
        assert len(newest) == len(scraped), (len(newest), len(scraped))
        names = {re.match(r"\w+", line)[0] for line in scraped}
        assert names == {dict(labels)["__name__"] for labels in newest}
        assert server.metric("spanloom_remote_write_retries_total") == 2
        # Times go up, and what was refused at first came too.
        times = [max(time for _, time in series.values()) for series in receiver.requests]
        assert times == sorted(times) and len(set(times)) == len(times), times
        # Nobody sees the secret.
        _, _, settings = server.request("http", "GET", "/api/ui/v1/settings")
        assert b"secret shop" not in settings


def test_the_end_does_not_wait_for_a_receiver_that_hangs():
    with Receiver() as receiver:
        # Taken, never answered.
        receiver.server.RequestHandlerClass.do_POST = lambda handler: receiver.hangs.wait(60)
        receiver.hangs = threading.Event()
        try:
            server = Server(config=receiver.config()).start()
            try:
                server.wait_until(lambda: server.metric("spanloom_queries_total") > 2, what="a scrape")
                assert server.terminate(timeout_s=8) == 0
            finally:
                server.clean()
        finally:
            receiver.hangs.set()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

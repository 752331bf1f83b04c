#!/usr/bin/env python3
"""Loads that are out of all proportion: one giant trace, endless names, ids made to collide, little memory. The server
lives on, stays within its memory, and an honest sender beside it loses nothing."""
import os
import random
import stat
import sys
import tempfile
import threading
import time

import spanloom_server
from spanloom_server import BINARY, Server, ids, request, run_tests, span

RNG = random.Random(3)
RSS_MAX = 700 << 20


class HonestSender:
    """One small trace after the other while something else happens; all of them must be there afterwards."""

    def __init__(self, server):
        self.server, self.rng, self.sent, self.slowest_s = server, random.Random(77), [], 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.is_set():
            trace_id, root = ids(self.rng)
            started = time.time()
            status, _, _ = self.server.send(request([span(trace_id, root, name="honest")], service="honest"))
            self.slowest_s = max(self.slowest_s, time.time() - started)
            if status == 200:
                self.sent.append(trace_id.hex())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()

    def check(self):
        assert len(self.sent) > 5, "the honest sender got hardly anything through"
        for trace_id in self.rng.sample(self.sent, min(50, len(self.sent))):
            self.server.wait_until(lambda: self.server.get_json(f"/api/traces/{trace_id}")[0] == 200, what=trace_id)


def is_alive(server):
    return server.process.poll() is None and server.request("http", "GET", "/healthz")[0] == 200


def test_one_trace_with_very_many_spans():
    with Server() as server, HonestSender(server) as honest:
        trace_id, root = ids(RNG)
        for _ in range(60):
            spans = [span(trace_id, RNG.randbytes(8), parent=root) for _ in range(4000)]
            assert server.send(request(spans, service="giant"))[0] in (200, 429, 503)
        assert is_alive(server) and server.rss_bytes("VmHWM") < RSS_MAX, server.rss_bytes("VmHWM")
        status, _, reply = server.request("http", "GET", f"/api/ui/v1/trace/{trace_id.hex()}/skeleton")
        assert status in (200, 404, 413, 422), (status, reply[:200])
        honest.stop.set()
        honest.thread.join()
        honest.check()
        assert honest.slowest_s < 10, honest.slowest_s


def test_endless_service_names_span_names_and_keys():
    with Server() as server, HonestSender(server) as honest:
        for i in range(60):
            body = b""
            for j in range(100):
                n = i * 100 + j
                trace_id, _ = ids(RNG)
                spans = [span(trace_id, RNG.randbytes(8), name=f"name-{n}-{k}", attributes={f"key-{n}-{k}": k}) for k in range(4)]
                body += request(spans, service=f"service-{n}")
            assert server.send(body)[0] in (200, 429, 503)
        last = trace_id.hex()
        server.wait_until(lambda: server.get_json(f"/api/traces/{last}")[0] == 200, what="the last trace")
        tags = {t["key"] for s in server.get_json(f"/api/traces/{last}")[1]["data"][0]["spans"] for t in s["tags"]}
        assert {f"key-5999-{k}" for k in range(4)} <= tags, tags
        assert is_alive(server) and server.rss_bytes("VmHWM") < RSS_MAX, server.rss_bytes("VmHWM")
        _, _, metrics = server.request("http", "GET", "/metrics")
        assert len(metrics) < 2 << 20, len(metrics)
        honest.stop.set()
        honest.thread.join()
        honest.check()


def test_trace_ids_made_to_collide():
    with Server(config="store:\n  flush_after: 200ms\n") as server:
        made = []
        for i in range(40):
            spans = []
            for j in range(100):
                trace_id = (i * 100 + j + 1).to_bytes(9, "big") + b"\0\0\0\0\0\0\7"
                made.append(trace_id.hex())
                spans.append(span(trace_id, RNG.randbytes(8)))
            assert server.send(request(spans))[0] == 200
        for trace_id in made[:: len(made) // 60]:
            server.wait_until(lambda: server.get_json(f"/api/traces/{trace_id}")[0] == 200, what=trace_id, timeout_s=120)
        assert server.get_json("/api/traces/" + "0" * 30 + "07")[0] == 404


def test_headers_beyond_measure_are_refused():
    with Server() as server:
        for size in (100_000, 1_000_000):
            try:
                status, _, _ = server.request("http", "GET", "/api/services", headers={"Authorization": "Bearer " + "x" * size})
                assert status in (400, 413, 431), status
            except (ConnectionError, OSError):
                pass  # closed before all of it was sent
        assert is_alive(server)


def test_little_memory_sheds_load_and_does_not_end_the_server():
    folder = tempfile.mkdtemp(prefix="spanloom-memory-")
    wrapper = os.path.join(folder, "spanloom")
    with open(wrapper, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\nulimit -v 700000\nexec "{BINARY}" "$@"\n')
    os.chmod(wrapper, stat.S_IRWXU)
    spanloom_server.BINARY = wrapper
    try:
        with Server(config="store:\n  memory: 32MiB\nreceive:\n  memory: 64MiB\n") as server:
            taken = []

            def flood(seed):
                rng = random.Random(seed)
                for _ in range(12):
                    trace_id, root = ids(rng)
                    spans = [span(trace_id, rng.randbytes(8), parent=root, attributes={"pad": rng.randbytes(900).hex()}) for _ in range(3000)]
                    try:
                        if server.send(request(spans), headers={})[0] == 200:
                            taken.append(trace_id.hex())
                    except OSError:
                        pass
            threads = [threading.Thread(target=flood, args=(s,)) for s in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert is_alive(server), server.stderr_tail()
            assert taken, "nothing was taken at all"
            for trace_id in taken[::5]:
                server.wait_until(lambda: server.get_json(f"/api/traces/{trace_id}")[0] == 200, what=trace_id, timeout_s=120)
    finally:
        spanloom_server.BINARY = BINARY
        os.remove(wrapper)
        os.rmdir(folder)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

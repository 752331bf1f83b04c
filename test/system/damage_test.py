#!/usr/bin/env python3
"""Damaged files on disk: found, named, set aside, and the rest served."""
import os
import random
import subprocess
import sys

from spanloom_server import BINARY, Server, ids, request, run_tests, span

RNG = random.Random(11)


def check(data):
    done = subprocess.run([BINARY, "check", data], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def files(data, ending):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names if name.endswith(ending))


def fill(server, requests=5):
    traces = []
    for _ in range(requests):
        trace_id, span_id = ids(RNG)
        assert server.send(request([span(trace_id, span_id, attributes={"k": "v" * 100})]))[0] == 200
        traces.append(trace_id.hex())
    return traces


def test_a_flipped_bit_in_a_segment_is_found_and_named():
    server = Server().start()
    try:
        fill(server, 50)
        server.terminate()
        segments = files(server.data, ".seg")
        assert segments, os.listdir(server.data)
        size = os.path.getsize(segments[0])
        for offset in sorted(RNG.sample(range(size), min(size, 40))):
            with open(segments[0], "r+b") as f:
                f.seek(offset)
                byte = f.read(1)
                f.seek(offset)
                f.write(bytes([byte[0] ^ 1 << RNG.randrange(8)]))
            code, out = check(server.data)
            assert code == 1 and os.path.basename(segments[0]) in out, (offset, out)
            with open(segments[0], "r+b") as f:
                f.seek(offset)
                f.write(byte)
        code, out = check(server.data)
        assert code == 0, out
    finally:
        server.clean()


def test_a_destroyed_segment_does_not_stop_the_others():
    server = Server().start()
    try:
        first = fill(server)
        server.terminate()
        destroyed = files(server.data, ".seg")
        server.start()
        second = fill(server)
        server.terminate()
        for path in destroyed:
            if os.path.exists(path):  # merging may have moved the spans on
                with open(path, "r+b") as f:
                    f.truncate(os.path.getsize(path) // 2)
        server.start()
        for trace_id in second:
            assert server.get_json(f"/api/traces/{trace_id}")[0] == 200
        if any(os.path.exists(p) for p in destroyed):
            assert server.metric("spanloom_store_quarantined_segments") >= 1
            assert all(server.get_json(f"/api/traces/{t}")[0] in (404, 200) for t in first)
        assert server.send(request([span(*ids(RNG))]))[0] == 200
    finally:
        server.clean()


def test_a_torn_tail_of_the_log_loses_only_what_was_torn():
    server = Server().start()
    try:
        traces = fill(server, 20)
        server.kill()
        logs = files(server.data, ".log")
        with open(logs[-1], "ab") as f:
            f.write(RNG.randbytes(777))  # a record that was being written
        server.start()
        for trace_id in traces:
            assert server.get_json(f"/api/traces/{trace_id}")[0] == 200, trace_id
        more = fill(server, 3)
        server.kill()
        server.start()
        for trace_id in traces + more:
            assert server.get_json(f"/api/traces/{trace_id}")[0] == 200, trace_id
    finally:
        server.clean()


def test_an_empty_and_a_zero_filled_log_file_are_harmless():
    server = Server().start()
    try:
        traces = fill(server, 5)
        server.kill()
        logs = files(server.data, ".log")
        with open(logs[-1], "ab") as f:
            f.write(b"\0" * 65536)
        server.start()
        for trace_id in traces:
            assert server.get_json(f"/api/traces/{trace_id}")[0] == 200, trace_id
    finally:
        server.clean()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

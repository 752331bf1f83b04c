#!/usr/bin/env python3
"""kill -9 during ingest, flushes, merges, deletions and backups: every acknowledged span is found after the
restart, none twice; what was deleted is not; a backup that says it is whole is."""
import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from spanloom_server import BINARY, Server, ids, request, span

SENDERS = 3
SPANS_PER_REQUEST = 50


class Sender(threading.Thread):
    """Sends until the server dies; keeps what was acknowledged, and what may or may not have been."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.rng = server, random.Random(seed)
        self.acknowledged, self.uncertain = {}, {}
        self.stop = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["otlp-http"], timeout=30)
        while not self.stop.is_set():
            trace_id, _ = ids(self.rng)
            span_ids = [self.rng.randbytes(8) for _ in range(SPANS_PER_REQUEST)]
            spans = [span(trace_id, s, parent=span_ids[0] if i else b"", attributes={"n": i}) for i, s in enumerate(span_ids)]
            try:
                connection.request("POST", "/v1/traces", request(spans), {"Content-Type": "application/x-protobuf"})
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException):
                self.uncertain[trace_id.hex()] = span_ids
                return
            if reply.status == 200:
                self.acknowledged[trace_id.hex()] = span_ids
            else:
                self.uncertain[trace_id.hex()] = span_ids


class Disturber(threading.Thread):
    """Deletes acknowledged traces and makes backups, until the server dies."""

    def __init__(self, server, senders, seed, folder):
        super().__init__(daemon=True)
        self.server, self.senders, self.rng, self.folder = server, senders, random.Random(seed), folder
        self.deleted, self.perhaps, self.backups = set(), set(), []
        self.stop = threading.Event()

    def post(self, path, body):
        return self.server.request("http", "POST", path, json.dumps(body), {"Content-Type": "application/json"})[0]

    def run(self):
        while not self.stop.is_set():
            known = list(self.rng.choice(self.senders).acknowledged)
            if not known:
                time.sleep(0.01)
                continue
            place = os.path.join(self.folder, str(len(self.backups)))
            trace_id = self.rng.choice(known)
            try:
                if self.rng.random() < 0.2:
                    self.backups.append(place)
                    self.post("/api/admin/backup", {"directory": place})
                    continue
                self.perhaps.add(trace_id)
                if self.post("/api/admin/delete", {"traces": [trace_id], "by": "crash test"}) == 200:
                    self.deleted.add(trace_id)
            except (OSError, http.client.HTTPException):
                return


def check_backups(disturber, failures):
    for place in disturber.backups:
        if not os.path.exists(os.path.join(place, "BACKUP")):
            continue
        done = subprocess.run([BINARY, "check", place], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if done.returncode != 0:
            failures.append(f"backup {place}: {done.stdout.decode()[-300:]}")


def stored_spans(server, trace_id):
    status, reply = server.get_json(f"/api/traces/{trace_id}")
    if status == 404:
        return []
    assert status == 200, (status, reply)
    return [s["spanID"] for s in reply["data"][0]["spans"]]


def check(server, trace_id, span_ids, failures, must_exist):
    stored = stored_spans(server, trace_id)
    if len(stored) != len(set(stored)):
        failures.append(f"trace {trace_id}: {len(stored) - len(set(stored))} spans are there twice")
    missing = {s.hex() for s in span_ids} - set(stored)
    if missing and (must_exist or stored):
        failures.append(f"trace {trace_id}: {len(missing)} of {len(span_ids)} spans are lost" + ("" if must_exist else " (a request was cut in two)"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    everything, failures, deleted = {}, [], set()
    # Small limits, so that flushes and merges happen between the kills as well.
    config = "store:\n  flush_after: 300ms\n"
    server = Server(config=config)
    rounds_passed = 0
    slowest_start_s = 0.0
    try:
        for number in range(options.rounds):
            started = time.time()
            server.start()
            slowest_start_s = max(slowest_start_s, time.time() - started)
            senders = [Sender(server, rng.getrandbits(64)) for _ in range(SENDERS)]
            folder = tempfile.mkdtemp(prefix="spanloom-crash-backups-")
            disturber = Disturber(server, senders, rng.getrandbits(64), folder)
            for s in [*senders, disturber]:
                s.start()
            time.sleep(0.2 + rng.random() * 1.3)  # the moment of the crash is what is random here
            server.kill()
            for s in [*senders, disturber]:
                s.stop.set()
                s.join()
            deleted |= disturber.deleted
            server.start()
            before = len(failures)
            check_backups(disturber, failures)
            shutil.rmtree(folder)
            fresh = {}
            for s in senders:
                fresh.update(s.acknowledged)
                for trace_id, span_ids in s.uncertain.items():
                    check(server, trace_id, span_ids, failures, False)
            for trace_id in disturber.perhaps:  # one whose answer did not come may be there or not
                fresh.pop(trace_id, None)
            for trace_id in rng.sample(sorted(deleted), min(30, len(deleted))):
                if stored_spans(server, trace_id):
                    failures.append(f"trace {trace_id} was deleted and is there again")
            everything.update(fresh)
            for trace_id, span_ids in fresh.items():
                check(server, trace_id, span_ids, failures, True)
            for trace_id in rng.sample(sorted(everything), min(30, len(everything))):
                check(server, trace_id, everything[trace_id], failures, True)
            server.kill()
            rounds_passed += len(failures) == before
            print(f"round {number + 1}: {sum(map(len, fresh.values()))} acknowledged spans, {len(failures) - before} failures", flush=True)
        server.start()
        for trace_id, span_ids in everything.items():
            check(server, trace_id, span_ids, failures, True)
        server.terminate()
    finally:
        server.clean()
    for f in failures[:20]:
        print("FAIL", f)
    total = sum(map(len, everything.values()))
    print(f"{total} spans were acknowledged and not deleted, {len(deleted)} traces deleted; the slowest start took {slowest_start_s:.2f} s")
    assert total > 1000 * options.rounds / 20, "hardly anything was sent: this test shows nothing"
    print(f"{rounds_passed} passed, {options.rounds - rounds_passed + bool(failures and rounds_passed == options.rounds)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

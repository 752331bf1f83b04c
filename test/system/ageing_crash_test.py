#!/usr/bin/env python3
"""kill -9 during ageing, merging and forwarding: no kept trace is lost, no dropped one comes back, no decision changes, and a
target gets each chosen trace, and no other; what it gets twice is counted.

Between one life of the server and the next two hours pass on its wall clock (test/shifted_clock.cc), so that each life decides
about what the one before it received."""
import argparse
import http.client
import json
import os
import random
import sys
import threading
import time

from spanloom_server import ROOT, Server, ids, request, span

SHIFTED_CLOCK = os.path.join(ROOT, "build", "release", "test", "libshifted_clock.so")
SENDERS = 2
SPANS = 4
HOURS_S = 2 * 3600
END = 1 << 56
# Rates whose thresholds are exact: what is kept follows from the trace's id alone.
CONFIG = """
store: {{flush_after: 500ms}}
recent: {{for: 1h}}
keep:
  - {{name: errors, match: '{{ status = error }}', for: 90d}}
  - {{name: half, match: '{{ name = "half" }}', rate: 0.5, for: 90d}}
  - {{name: rest, rate: 0.25, for: 90d}}
retention: {{for: 90d, decisions: 90d}}
forward:
  - name: b
    endpoint: 127.0.0.1:{port}
    wait: 1s
    keep:
      - {{name: errors, match: '{{ status = error }}'}}
      - {{name: quarter, rate: 0.25}}
"""


class Sent:
    """A trace: two requests of two spans each; what is to become of it follows from its id, its kind and whether both came."""

    def __init__(self, rng):
        self.id, _ = ids(rng)
        self.kind = rng.choice(("error", "half", "plain", "plain"))
        self.spans = [rng.randbytes(8) for _ in range(SPANS)]
        randomness = int.from_bytes(self.id[9:], "big")
        self.rule = {"error": "errors", "half": "half", "plain": "rest"}[self.kind]
        self.is_kept = randomness >= {"error": 0, "half": END // 2, "plain": END * 3 // 4}[self.kind]
        self.is_forwarded = self.kind == "error" or randomness >= END * 3 // 4
        self.decision = None

    def requests(self):
        name = "half" if self.kind == "half" else "work"
        spans = [span(self.id, s, name=name, parent=self.spans[0] if i else b"", attributes={"text": "x" * 200},
                      error="no" if self.kind == "error" and i == 0 else None) for i, s in enumerate(self.spans)]
        return request(spans[:2]), request(spans[2:])


class Sender(threading.Thread):
    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.rng = server, random.Random(seed)
        self.acknowledged = []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["otlp-http"], timeout=30)
        while True:
            trace = Sent(self.rng)
            try:
                for body in trace.requests():
                    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                    reply = connection.getresponse()
                    reply.read()
                    if reply.status != 200:
                        return
            except (OSError, http.client.HTTPException):
                return
            self.acknowledged.append(trace)


class Reader:
    """Asks one server on one connection."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)

    def get(self, path):
        self.connection.request("GET", path, headers={"Accept": "application/json"})
        reply = self.connection.getresponse()
        body = reply.read()
        return json.loads(body) if reply.status == 200 else None

    def spans(self, trace):
        found = self.get(f"/api/traces/{trace.id.hex()}")
        return [s["spanID"] for s in found["data"][0]["spans"]] if found else []

    def why(self, trace):
        return self.get(f"/api/keep/why/{trace.id.hex()}")


def wait_for_file(folder, names, timeout_s):
    """Until a file appears in a directory whose name is one of these: ageing writes one; or until the time is over."""
    def count():
        return sum(len(files) for name in names for _, _, files in os.walk(os.path.join(folder, name)))
    before, deadline = count(), time.time() + timeout_s
    while time.time() < deadline and count() == before:
        time.sleep(0.001)


def kill_at_random(server, rng):
    """Half of the time at any moment, else soon after ageing, or sending, began to write something."""
    way = rng.randrange(4)
    if way == 0:
        wait_for_file(server.data, ("kept", "decisions", "counts"), 3)
        time.sleep(rng.uniform(0, 0.05))
    elif way == 1:
        time.sleep(rng.uniform(0.8, 1.3))  # the first look of the maintenance
    elif way == 2:
        time.sleep(rng.uniform(1.0, 2.5))  # the first is sent
    else:
        time.sleep(rng.uniform(0.05, 2.5))
    server.kill()


def decision_of(answer):
    """The first decision, which is about the trace; when is not known better than it is said."""
    if not answer["decisions"]:
        return None
    first = answer["decisions"][-1]
    return first["at"], first["fate"], first["rule"], first["threshold"], first["rules_version"]


class Checks:
    def __init__(self):
        self.failures, self.decided = [], 0

    def expect(self, is_so, trace, text):
        if not is_so:
            self.failures.append(f"trace {trace.id.hex()} ({trace.kind}): {text}")

    def trace(self, reader, trace, has_settled):
        """What is stored of an acknowledged trace, and what is said of it."""
        answer = reader.why(trace)
        if has_settled:
            states = [one["state"] for one in answer["forwarded"] if not one["late"]]
            self.expect(states == ["sent"] if trace.is_forwarded else states in (["unknown"], ["not_chosen"]), trace, f"the target is said to have {states}")
        decision = decision_of(answer)
        stored = reader.spans(trace)
        self.expect(len(stored) == len(set(stored)), trace, "spans are there twice")
        if trace.decision:
            self.expect(decision == trace.decision, trace, f"the decision changed from {trace.decision} to {decision}")
        if decision:
            self.decided += trace.decision is None
            trace.decision = decision
            self.expect(decision[1] == ("kept" if trace.is_kept else "dropped") and decision[2] == trace.rule, trace, f"was decided {decision}")
        is_there = trace.is_kept or not decision
        self.expect(len(stored) == (SPANS if is_there else 0), trace, f"{len(stored)} spans are there, decided {decision}")


def all_quiet(server):
    target = server.get_json("/api/forward")[1]["targets"][0]
    return target["held_traces"] == 0 and target["unsent_traces"] == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    checks, sent, rounds_passed = Checks(), [], 0
    with Server() as target:
        server = Server(config=CONFIG.format(port=target.ports["otlp-grpc"]))
        server.environment = {"LD_PRELOAD": SHIFTED_CLOCK}
        try:
            for number in range(options.rounds + 2):
                is_last = number >= options.rounds  # one to decide about what came last, one to see it
                server.environment["SPANLOOM_TEST_CLOCK_AHEAD_S"] = str(number * HOURS_S)
                server.start()
                before = len(checks.failures)
                if is_last:
                    server.wait_until(lambda: all_quiet(server), 60, "everything to be sent")
                    server.wait_until(lambda: not sent or decision_of(Reader(server).why(sent[-1])), 60, "the last decision")
                    checked = sent
                else:
                    senders = [Sender(server, rng.getrandbits(64)) for _ in range(SENDERS)]
                    for one in senders:
                        one.start()
                    kill_at_random(server, rng)
                    for one in senders:
                        one.join()
                        sent += one.acknowledged
                    server.start()
                    checked = rng.sample(sent, min(60, len(sent)))
                reader = Reader(server)
                for trace in checked:
                    checks.trace(reader, trace, is_last)
                server.kill()
                rounds_passed += len(checks.failures) == before and not is_last
                print(f"round {number + 1}: {len(sent)} traces, {checks.decided} seen to be decided, {len(checks.failures) - before} failures", flush=True)
            undecided = [trace for trace in sent if not trace.decision]
            for trace in undecided:
                checks.expect(False, trace, "was never decided about")
            chosen = [trace for trace in sent if trace.is_forwarded]
            time.sleep(1.5)  # until the last can be found
            reader = Reader(target)
            for trace in sent:
                got = len(reader.spans(trace))
                checks.expect(got == (SPANS if trace.is_forwarded else 0), trace, f"the target has {got} spans")
            received, again = target.metric("spanloom_store_accepted_spans_total"), target.metric("spanloom_store_duplicate_spans_total")
        finally:
            server.clean()
    for failure in checks.failures[:20]:
        print("FAIL", failure)
    kept = sum(trace.is_kept for trace in sent)
    print(f"{len(sent)} acknowledged traces, {kept} kept, {len(chosen)} forwarded; the target took {received:.0f} spans, {SPANS * len(chosen)} of these traces, "
          f"and recognised {again:.0f} as sent again")
    assert len(chosen) > 10 * options.rounds and kept > 10 * options.rounds, "hardly anything was sent: this test shows nothing"
    failed = options.rounds - rounds_passed + bool(checks.failures and rounds_passed == options.rounds)
    print(f"{rounds_passed} passed, {failed} failed")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    sys.exit(main())

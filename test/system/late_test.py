#!/usr/bin/env python3
"""Keep rules with the real program: what would be kept, what was, and why, through a kill -9."""
import json
import os
import random
import subprocess
import sys
import tempfile

from spanloom_server import BINARY, Server, ids, request, run_tests, span

RNG = random.Random(8)
RULES = """
recent: {for: 24h, disk: 50GiB}
keep: [{name: errors, match: '{ status = error }', rate: 1, for: 30d},
       {name: slow, match: '{ duration > 2s }', rate: 0.5},
       {name: rest, per_second: 50, by: [resource.service.name, name]}]
"""


def command(*args, code=0):
    done = subprocess.run([BINARY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == code, (args, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return (done.stdout if code == 0 else done.stderr).decode(errors="replace")


def http_of(server):
    return f"http://127.0.0.1:{server.ports['http']}"


def send_trace(server, **options):
    trace_id, span_id = ids(RNG)
    status, _, reply = server.send(request([span(trace_id, span_id, **options)]))
    assert status == 200, (status, reply)
    return trace_id.hex()


def change(server, method, path, body, headers=None):
    headers = {"Content-Type": "application/json", **(headers or {})}
    status, _, reply = server.request("http", method, path, json.dumps(body), headers)
    return status, json.loads(reply)


def test_rules_of_the_configuration_are_in_force_and_can_be_previewed():
    with Server(config=RULES) as server:
        failed = [send_trace(server, error="broken") for _ in range(5)]
        slow = [send_trace(server, duration_ns=3 * 10**9) for _ in range(40)]
        for _ in range(10):
            send_trace(server)
        status, rules = server.get_json("/api/keep/rules")
        assert status == 200 and rules["source"] == "file", rules
        assert rules["rules"]["recent"] == {"for": "1d", "disk": 50 << 30}, rules
        assert [r["name"] for r in rules["rules"]["keep"]] == ["errors", "slow", "rest"]
        server.wait_until(lambda: change(server, "POST", "/api/keep/preview", {})[1]["total"]["traces"] == 55, what="55 traces to be found")
        out = command("preview", "--server", http_of(server))
        assert "5 of          5 traces (100.0 %)" in out, out
        status, preview = change(server, "POST", "/api/keep/preview", {})
        by_rule = {row["rule"]: row for row in preview["by_rule"]}
        assert by_rule["errors"]["kept"]["traces"] == 5, preview
        assert by_rule["slow"]["traces"] == 40 and 5 < by_rule["slow"]["kept"]["traces"] < 35, preview
        assert by_rule["rest"]["kept"]["traces"] == 10, preview
        why = command("why", failed[0], "--server", http_of(server))
        assert "is recent" in why, why
        assert "never came" in command("why", "ab" * 16, "--server", http_of(server))
        # A file with other rules, before it is used.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as other:
            other.write("keep: [{name: none, match: '{ }', rate: 0}]\n")
            other.flush()
            out = command("preview", other.name, "--server", http_of(server))
            assert "0 of         55 traces" in out, out
        command("pin", slow[0], "--reason", "the outage", "--by", "ada", "--server", http_of(server))
        assert "the outage" in command("pin", "--list", "--server", http_of(server))
        server.kill()
        server.start()
        assert "pinned" in command("why", slow[0], "--server", http_of(server))
        command("pin", slow[0], "--remove", "--server", http_of(server))
        assert command("pin", "--list", "--server", http_of(server)) == ""


def test_bad_rules_are_refused_with_their_place():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "spanloom.yaml")
        with open(path, "w") as f:
            f.write("retention:\n  for: 2d\nkeep:\n  - {name: errors, match: '{ status = }'}\n")
        said = command("config", "check", path, code=1)
        assert f"{path}:3: keep: keep[0] (errors): match: parse error at line 1, col 12" in said, said
        with open(path, "w") as f:
            f.write("retention: {for: 2h}\nrecent: {for: 24h}\n")
        assert "shorter than recent.for" in command("config", "check", path, code=1)


def test_rules_that_were_set_outlive_a_kill_and_can_be_given_up():
    with Server(config=RULES) as server:
        send_trace(server)
        status, _, reply = server.request("http", "PUT", "/api/keep/rules",
                                          json.dumps({"recent": {"for": "1h"}, "keep": []}),
                                          {"Content-Type": "application/json", "If-None-Match": "*"})
        assert status == 200, reply
        server.kill()
        server.start()
        status, rules = server.get_json("/api/keep/rules")
        assert rules["source"] == "api" and rules["version"] == 1 and rules["rules"]["keep"] == [], rules
        status, _, reply = server.request("http", "DELETE", "/api/keep/rules", "",
                                          {"Content-Type": "application/json", "If-Match": '"1"'})
        assert status == 200 and json.loads(reply)["source"] == "file", reply


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

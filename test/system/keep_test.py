#!/usr/bin/env python3
"""Backup, restore, export, import, deletion and quotas with the real program."""
import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from spanloom_server import BINARY, Server, ids, request, run_tests, span

RNG = random.Random(5)


def command(*args, code=0, stdin=None):
    done = subprocess.run([BINARY, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == code, (args, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout.decode(errors="replace")


def http_of(server):
    return f"http://127.0.0.1:{server.ports['http']}"


def send_trace(server, spans=3, **attributes):
    trace_id, root = ids(RNG)
    span_ids = [root] + [RNG.randbytes(8) for _ in range(spans - 1)]
    body = request([span(trace_id, s, parent=root if i else b"", attributes=attributes) for i, s in enumerate(span_ids)])
    status, _, reply = server.send(body)
    assert status == 200, (status, reply)
    return trace_id.hex()


def spans_of(server, trace_id):
    status, reply = server.get_json(f"/api/traces/{trace_id}")
    return 0 if status == 404 else len(reply["data"][0]["spans"])


def post(server, path, body, headers=None):
    headers = {"Content-Type": "application/json", **(headers or {})}
    status, _, reply = server.request("http", "POST", path, json.dumps(body), headers)
    return status, json.loads(reply)


def is_on_disk(directory, needle):
    for folder, _, files in os.walk(directory):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                if needle in f.read():
                    return os.path.join(folder, name)
    return None


def test_deleted_traces_are_gone_at_once_and_for_good():
    with Server() as server:
        secret = "ada-lovelace-4815162342"
        kept = [send_trace(server, plain="yes") for _ in range(5)]
        gone = send_trace(server, **{"user.name": secret})
        by_id = send_trace(server)
        place = tempfile.mkdtemp(prefix="spanloom-backup-")
        os.rmdir(place)
        server.wait_until(lambda: spans_of(server, gone) == 3, what="the trace")
        command("backup", place, "--server", http_of(server))
        query = f'{{ span.user.name = "{secret}" }}'
        out = command("delete", "--query", query, "--server", http_of(server))
        assert "1 traces would be deleted" in out, out
        assert spans_of(server, gone) == 3
        out = command("delete", "--query", query, "--server", http_of(server), "--yes", "--reason", "t1")
        assert "deletion 1: 1 traces, 3 spans" in out and place in out, out
        assert spans_of(server, gone) == 0
        command("delete", by_id, "--server", http_of(server), "--yes")
        assert spans_of(server, by_id) == 0
        _, found = server.get_json("/api/traces?service=shop&limit=100")
        assert {t["traceID"] for t in found["data"]} <= set(kept), found
        server.kill()
        server.start()
        assert spans_of(server, gone) == 0 and all(spans_of(server, t) == 3 for t in kept)
        erased = lambda: all(d["erased"] for d in server.get_json("/api/admin/deletions")[1]["deletions"])
        server.wait_until(erased, 60, "erasing")
        assert is_on_disk(server.data, secret.encode()) is None, is_on_disk(server.data, secret.encode())
        listed = command("delete", "--list", "--server", http_of(server))
        assert "t1" in listed and "erased" in listed and secret not in listed, listed
        assert "none of the" in post(server, "/api/admin/delete", {"traces": ["ab" * 16]})[1]["message"]
        assert server.terminate() == 0
        assert "every checksum is right" in command("check", server.data)
        shutil.rmtree(place)


def test_admin_takes_only_posts_of_this_machine():
    with Server() as server:
        trace = send_trace(server)
        server.wait_until(lambda: spans_of(server, trace) == 3, what="the trace")
        assert server.request("http", "GET", "/api/admin/delete")[0] == 405
        body = {"traces": [trace]}
        assert post(server, "/api/admin/delete", body, {"Origin": "https://evil.example"})[0] == 403
        assert post(server, "/api/admin/delete", body, {"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert post(server, "/api/admin/delete", body, {"Content-Type": "text/plain"})[0] == 400
        assert post(server, "/api/admin/delete", body, {"X-Forwarded-For": "10.0.0.1"})[0] == 403
        assert post(server, "/api/admin/backup", {"directory": "relative"})[0] == 400
        for bad in ({}, {"traces": "x"}, {"traces": [1]}, {"traces": ["zz"]}, {"q": "{"}, {"q": "{}", "traces": []}):
            status, reply = post(server, "/api/admin/delete", bad)
            assert status == 400 and reply["message"], (bad, status, reply)
        assert spans_of(server, trace) == 3


def test_backup_restores_to_the_same_traces():
    place = tempfile.mkdtemp(prefix="spanloom-backup-")
    restored = tempfile.mkdtemp(prefix="spanloom-restored-")
    try:
        with Server() as server:
            traces = [send_trace(server, n=i) for i in range(20)]
            backup = os.path.join(place, "b1")
            out = command("backup", backup, "--server", http_of(server))
            assert "60 spans" in out, out
            later = send_trace(server)
            command("backup", backup, "--server", http_of(server), code=1)  # not empty
            command("backup", os.path.join(place, "b2"), "--data", server.data, code=1)  # in use
            assert server.terminate() == 0
            command("backup", os.path.join(place, "b2"), "--data", server.data)
        command("restore", backup, "--data", os.path.join(restored, "data"))
        with Server(data=os.path.join(restored, "data")) as server:
            assert all(spans_of(server, t) == 3 for t in traces)
            assert spans_of(server, later) == 0
            server.terminate()
        command("check", os.path.join(place, "b2"))
        # Damage is found before anything is restored.
        segment = next(os.path.join(f, n) for f, _, names in os.walk(backup) for n in names if n.endswith(".seg"))
        with open(segment, "r+b") as f:
            f.seek(40)
            byte = f.read(1)
            f.seek(40)
            f.write(bytes([byte[0] ^ 1]))
        command("restore", backup, "--data", os.path.join(restored, "other"), code=1)
        os.remove(os.path.join(place, "b2", "BACKUP"))
        command("restore", os.path.join(place, "b2"), "--data", os.path.join(restored, "other"), code=1)
    finally:
        shutil.rmtree(place)
        shutil.rmtree(restored)


def test_what_is_exported_can_be_imported_again():
    folder = tempfile.mkdtemp(prefix="spanloom-export-")
    files = {form: os.path.join(folder, f"all.{form}") for form in ("otlp", "json", "csv", "jaeger", "zipkin")}
    try:
        with Server() as server:
            traces = [send_trace(server, formula="=1+1", n=i) for i in range(30)]
            server.wait_until(lambda: spans_of(server, traces[-1]) == 3, what="the traces")
            for form in ("otlp", "json", "csv"):
                command("export", f"--{form}", "-o", files[form], "--server", http_of(server))
            command("export", "--json", "-o", files["json"], "--server", http_of(server), code=1)  # exists
            assert len(command("export", "{ span.n < 5 }", "--server", http_of(server)).splitlines()) == 5
            whole = {t: server.get_json(f"/api/traces/{t}")[1]["data"][0] for t in traces}
            with open(files["jaeger"], "w", encoding="utf-8") as f:
                json.dump({"data": list(whole.values())}, f)
            with open(files["zipkin"], "w", encoding="utf-8") as f:
                json.dump([{"traceId": "5" * 32, "id": "6" * 16, "name": "z", "timestamp": 1_700_000_000_000_000,
                            "duration": 5, "localEndpoint": {"serviceName": "zip"}}], f)
            assert server.terminate() == 0
            lines = command("export", "--data", server.data).splitlines()
            assert len(lines) == 30 and all("resourceSpans" in json.loads(line) for line in lines)
        with open(files["csv"], encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        assert len(rows) == 90 and {r["trace_id"] for r in rows} == set(traces)
        assert all(r["duration_nano"].lstrip("-").isdigit() and r["start_unix_nano"].isdigit() for r in rows)
        for row in rows:
            assert not any(cell[:1] in "=+-@" and not cell.lstrip("-").isdigit() for cell in row.values() if cell), row
        for form in ("otlp", "json", "jaeger"):
            with Server() as other:
                endpoint = f"http://127.0.0.1:{other.ports['otlp-grpc']}"
                out = command("import", files[form], files["zipkin"], "--endpoint", endpoint)
                assert "imported 91 spans" in out, (form, out)
                other.wait_until(lambda: spans_of(other, "5" * 32) == 1, what="the import")
                for t in traces[::7]:
                    found = other.get_json(f"/api/traces/{t}")[1]["data"][0]
                    key = lambda s: (s["spanID"], s["operationName"], s["startTime"], s["duration"],
                                     sorted((t["key"], str(t["value"])) for t in s["tags"]))
                    assert sorted(map(key, found["spans"])) == sorted(map(key, whole[t]["spans"])), form
        bad = os.path.join(folder, "bad")
        for content in (b"hello", b"{\"data\": 5}", b"\x0a\xff\xff\xff\xff\x0f", b"[{}]", b"{\"resourceSpans\": 7}\n{}"):
            with open(bad, "wb") as f:
                f.write(content)
            command("import", bad, "--endpoint", "http://127.0.0.1:1", code=1)
    finally:
        shutil.rmtree(folder)


def test_a_service_over_its_quota_waits_and_the_others_do_not():
    with Server(config='receive:\n  quotas: ["noisy 50 spans/s"]\n') as server:
        def send(service, spans):
            trace_id, root = ids(RNG)
            return server.send(request([span(trace_id, RNG.randbytes(8)) for _ in range(spans)], service=service))
        assert send("noisy", 1000)[0] == 200  # the request that uses up the share is still taken
        status, headers, reply = send("noisy", 100)
        assert status == 429 and int(headers["retry-after"]) >= 1 and b"quota" in reply, (status, reply)
        assert send("quiet", 500)[0] == 200
        assert server.metric("spanloom_quota_refused_spans_total", "noisy") == 100
        assert server.metric("spanloom_quota_refused_spans_total", "quiet") == 0


def test_what_is_beyond_the_limits_of_a_span_is_cut_and_counted():
    with Server() as server:
        big = "x" * 200_000
        trace = send_trace(server, 1, big=big, **{f"k{i:05}": i for i in range(3000)})
        server.wait_until(lambda: spans_of(server, trace) == 1, what="the trace")
        found = server.get_json(f"/api/traces/{trace}")[1]["data"][0]["spans"][0]
        tags = {t["key"]: t["value"] for t in found["tags"]}
        assert len(tags["big"]) == 64 * 1024, len(tags["big"])
        assert 1000 <= sum(k.startswith("k0") for k in tags) <= 1024
        assert server.metric("spanloom_dropped_attributes_total") == 3001 - 1024
        assert server.metric("spanloom_cut_values_total") == 1


def test_documents_are_changed_only_by_who_knows_the_version():
    with Server() as server:
        def put(body, **headers):
            headers = {k.replace("_", "-"): v for k, v in headers.items()}
            return server.request("http", "PUT", "/api/documents/searches/slow%2F..%2Fones", body,
                                  {"Content-Type": "application/json", **headers})
        assert put("{}")[0] == 400
        status, headers, _ = put('{"a":1}', If_None_Match="*")
        assert status == 200 and headers["etag"] == '"1"'
        assert put("{}", If_None_Match="*")[0] == 412
        assert put('{"a":2}', If_Match='"1"')[0] == 200
        assert put('{"a":3}', If_Match='"1"')[0] == 412
        assert put("{", If_Match='"2"')[0] == 400
        status, headers, body = server.request("http", "GET", "/api/documents/searches/slow%2F..%2Fones")
        assert (status, headers["etag"], json.loads(body)) == (200, '"2"', {"a": 2})
        server.kill()
        server.start()
        assert server.get_json("/api/documents/searches")[1]["documents"][0]["version"] == 2
        assert put("{}", If_Match='"2"', Origin="https://evil.example")[0] == 403
        assert server.request("http", "DELETE", "/api/documents/searches/slow%2F..%2Fones", headers={"If-Match": '"2"'})[0] == 200
        assert server.request("http", "GET", "/api/documents/searches/slow%2F..%2Fones")[0] == 404
        status, _, body = server.request("http", "GET", "/api/documents/searches/slow%2F..%2Fones?absent=null")
        assert (status, body) == (200, b"null"), (status, body)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

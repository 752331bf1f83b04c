#!/usr/bin/env python3
"""What is stored can be read by docs/format/segment.md alone: an independent reader gives back every span as sent."""
import glob
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import counts_reader
import decisions_reader
import log_reader
import segment_reader
from spanloom_server import ROOT, Server, attribute, field, fixed64, ids, number, request, run_tests, span, text

RNG = random.Random(9)
BASE_NS = time.time_ns()


def value_of(kind, value):
    return value.decode() if kind == "text" else value


def odd_spans(count):
    """(what was sent by span id, OTLP spans) of every form that columns have."""
    sent, spans = {}, []
    trace_id, root = ids(RNG)
    for i in range(count):
        if i % 7 == 0:
            trace_id, root = ids(RNG)
        span_id = root if i % 7 == 0 else RNG.randbytes(8)
        parent = b"" if span_id == root else root if i % 3 else RNG.randbytes(8)
        attributes = {"n": i, "big": RNG.randint(-2**63, 2**63 - 1), "share": i / 8, "exact": RNG.random(), "flag": i % 2 == 0,
                      "user": f"user-{i % 5}", "path": f"/api/item/{i}/part/{i * 31}", "uuid": f"{RNG.randbytes(4).hex()}-{RNG.randbytes(2).hex()}-4abc-8abc-{RNG.randbytes(6).hex()}",
                      "blob": RNG.randbytes(3), "hex": RNG.randbytes(8).hex(), "empty": "", "umlaut": "größe ✓", f"rare{i}": i}
        if i % 4 == 0:
            attributes = dict(reversed(attributes.items()))
        event_ns = BASE_NS + i * 1000 + 7
        extra = field(11, fixed64(1, event_ns) + text(2, f"event {i % 3}") + field(3, attribute("at", i)))
        extra += field(13, field(1, b"L" * 16) + field(2, b"l" * 8) + field(4, attribute("why", "because")))
        extra += number(10, 3) + text(3, "vendor=1")
        start = BASE_NS + i * 1_000_003
        spans.append(span(trace_id, span_id, name=f"GET /item/{i % 11}", parent=parent, start_ns=start, duration_ns=i * 977, kind=i % 6,
                          attributes=attributes, error="broken" if i % 10 == 0 else None, extra=extra))
        sent[span_id] = {"trace_id": trace_id, "parent": parent, "name": f"GET /item/{i % 11}", "start": start, "end": start + i * 977, "kind": i % 6,
                         "status": 2 if i % 10 == 0 else 0, "status_message": "broken" if i % 10 == 0 else "", "trace_state": "vendor=1",
                         "dropped_attributes": 3, "attributes": list(attributes.items()), "event": (event_ns, f"event {i % 3}", i)}
    return sent, spans


def check_span(found, sent):
    for key in ("trace_id", "parent", "name", "start", "end", "kind", "status", "status_message", "trace_state", "dropped_attributes"):
        assert found[key] == sent[key], (key, found[key], sent[key])
    assert [a[0] for a in found["attributes"]] == [k for k, _ in sent["attributes"]]
    for (key, kind, value), (_, wanted) in zip(found["attributes"], sent["attributes"]):
        if isinstance(wanted, bytes):
            assert value == field(7, wanted), (key, value)
        else:
            assert type(value_of(kind, value)) is type(wanted) and value_of(kind, value) == wanted, (key, kind, value, wanted)
    time_ns, name, attributes = found["events"][0]
    assert (time_ns, name, attributes[0][2]) == sent["event"]
    assert found["links"][0][:2] == (b"L" * 16, b"l" * 8) and found["links"][0][2][0][2] == b"because"


def test_a_reader_made_from_the_document_gives_every_span_back():
    with Server(config="store:\n  flush_after: 200ms\n") as server:
        sent = {}
        for i in range(6):
            more, spans = odd_spans(400)
            sent.update(more)
            status, _, reply = server.send(request(spans, service=f"service-{i % 2}", resource={"host.id": i}))
            assert status == 200, reply
            time.sleep(0.3)  # several files, which are then merged
        assert server.terminate() == 0
        found = {}
        for path in glob.glob(server.data + "/recent/default/*.seg"):
            segment = segment_reader.read(path)
            spans = segment.read_spans()
            assert len(spans) == segment.spans
            for one in spans:
                assert one["span_id"] not in found
                found[one["span_id"]] = one
                resource = segment.resources[segment.scopes[one["scope"]][0]][1] or segment.resources[segment.scopes[one["scope"]][0]][0]
                assert b"service-" in resource
        assert found.keys() == sent.keys()
        for span_id, one in found.items():
            check_span(one, sent[span_id])


def test_parents_scopes_and_names_of_many_spans_come_back():
    """More than the first row groups, from which the models are learnt."""
    with Server() as server:
        sent, services = {}, {f"service-{i}": [] for i in range(5)}
        for trace in range(1_500):
            trace_id, rows = RNG.randbytes(16), []
            for i in range(12):
                span_id = RNG.randbytes(8)
                back = min(i, RNG.choice((1, 1, 1, 1, 2, 3, i)))  # 0 for the root
                parent = rows[i - back] if back and RNG.random() > 0.02 else (RNG.randbytes(8) if back else b"", "")
                service = parent[1] if parent[1] and RNG.random() < 0.7 else f"service-{RNG.randrange(5)}"
                name = f"{service} {RNG.choice('aaaaabbbcd')}" if RNG.random() > 0.01 else f"rare {trace}"
                rows.append((span_id, service))
                sent[span_id] = (parent[0], service, name)
                services[service].append(span(trace_id, span_id, name, parent[0], BASE_NS + trace * 10**6 + i * 1000))
        for service, spans in services.items():
            assert server.send(request(spans, service=service))[0] == 200
        # What somebody looks for is merged when it is written, and merges make models.
        assert server.get_json("/api/search?q=%7B%20%7D")[0] == 200
        assert server.terminate() == 0
        [path] = glob.glob(server.data + "/recent/default/*.seg")
        segment = segment_reader.read(path)
        assert all(model.contexts for model in (segment.parent_model, segment.scope_model, segment.name_model))
        found = segment.read_spans()
        assert len(found) == len(sent)
        for one in found:
            service = segment_reader.service_of(segment.resources[segment.scopes[one["scope"]][0]][1]).decode()
            assert (one["parent"], service, one["name"]) == sent[one["span_id"]]


def test_files_that_nobody_has_read_have_a_filter():
    with Server() as server:
        for part in range(20):
            spans = []
            for i in range(1_000):
                trace_id, span_id = ids(RNG)
                spans.append(span(trace_id, span_id, start_ns=BASE_NS, attributes={"user.id": f"user-{part * 1000 + i}"}))
            assert server.send(request(spans))[0] == 200
        assert server.terminate() == 0
        [path] = glob.glob(server.data + "/recent/default/*.seg")
        segment = segment_reader.read(path)
        assert segment.pages > 0 and segment.directory_bytes == 0
        assert all(segment.filter_passes(b"user.id", f"user-{i}".encode()) for i in range(20_000))
        assert sum(segment.filter_passes(b"user.id", f"nobody-{i}".encode()) for i in range(2_000)) < 120


def test_when_spans_came_that_came_late_is_what_the_document_says():
    with Server() as server:
        now, sent = time.time_ns(), {}
        for round_number in range(3):
            trace_id, root = ids(RNG)
            late = RNG.randbytes(8)
            spans = [span(trace_id, root, start_ns=time.time_ns() - 2 * 10**9, duration_ns=10**9), span(trace_id, late, parent=root, start_ns=now - 100 * 10**9, duration_ns=10**9)]
            before = time.time_ns() // 10**9
            assert server.send(request(spans))[0] == 200
            sent[root], sent[late] = None, range(before, time.time_ns() // 10**9 + 1)
            time.sleep(1.1)
        assert server.terminate() == 0
        [path] = glob.glob(server.data + "/recent/default/*.seg")
        check_delays(segment_reader.read(path), sent)


def check_delays(segment, sent):
    """`sent`: of the id of each span None where it came in time, else the seconds in which it may have come."""
    assert segment.delays_complete
    first = segment.arrival_min // 10**9
    for row, one in enumerate(segment.read_spans()):
        came = sent[one["span_id"]]
        arrival = segment.delays.get(row, None if came is None else first)
        assert arrival is None if came is None else arrival in came, (row, arrival, came)
    assert len(segment.delays) >= 2, segment.delays


def test_files_of_both_forms_are_kept_for_readers_to_come():
    """600 spans each: all an hour old and of one second; half of them 3 s after the others."""
    golden = os.path.join(ROOT, "test", "golden")
    old = segment_reader.read(os.path.join(golden, "segment-v5.seg"))
    assert (old.version, old.spans, old.delays, old.delays_complete) == (5, 600, {}, False)
    late = segment_reader.read(os.path.join(golden, "late.seg"))
    assert (late.version, late.spans, late.delays_complete) == (6, 600, True)
    seconds = {second - late.arrival_min // 10**9 for second in late.delays.values()}
    assert 280 <= len(late.delays) <= 300 and seconds <= {2, 3, 4}, (len(late.delays), seconds)


def test_what_rules_kept_and_what_they_noted_agree():
    """An hour of 600 spans that aged by {"name": "half", "rate": 0.5}: its segment in kept/ and its decisions."""
    golden = os.path.join(ROOT, "test", "golden")
    segment = segment_reader.read(os.path.join(golden, "kept.seg"))
    with open(os.path.join(golden, "kept.dec"), "rb") as f:
        decisions = decisions_reader.Decisions(f.read())
    kept = [d for d in decisions.of_hash.values() if d[1] == "kept"]
    assert 0 < segment.fragments == len(kept) < len(decisions.of_hash), (segment.fragments, len(kept))
    assert sum(d[3] for d in decisions.of_hash.values()) == 600
    assert all(d[0] == "half" and d[2] == 1 << 55 for d in decisions.of_hash.values())
    for (trace_id, _, rows), threshold in zip(segment.read_fragments(), segment.thresholds):
        assert threshold == 1 << 55 and int.from_bytes(trace_id[9:], "big") >= threshold
        found = decisions.find(trace_id)
        assert found[1] == "kept" and found[3] == rows, (found, rows)


def test_what_is_counted_of_an_hour_is_what_the_document_says():
    """An hour in which a front calls a cart each minute, every third call failing; the same as a day and a month, and as version 1 wrote it."""
    for name, detail, step_s in (("hour.cnt", "short", 10), ("minutes.cnt", "minutes", 60), ("day.cnt", "hours", 3600), ("month.cnt", "month", 3600),
                                 ("hour-v2.cnt", "short", 10), ("minutes-v2.cnt", "minutes", 60), ("day-v2.cnt", "hours", 3600), ("month-v2.cnt", "month", 3600),
                                 ("hour-v1.cnt", "minutes", 60), ("day-v1.cnt", "hours", 3600)):
        with open(os.path.join(ROOT, "test", "golden", name), "rb") as f:
            data = f.read()
        counts = counts_reader.Counts(data)
        assert (counts.tenant, counts.detail, counts.step_s) == ("default", detail, step_s), (name, counts.detail, counts.step_s)
        sums = {key: [sum(cell[i] for cell in cells.values()) for i in range(3)] for key, cells in counts.operations.items()}
        assert sums == {("cart", "op", 2): [60, 20, 60.0], ("front", "op", 2): [60, 0, 60.0], ("front", "op", 3): [60, 0, 60.0]}
        sizes = {key: sum(cell[4] for cell in cells.values()) for key, cells in counts.operations.items()}
        for operation, size in sizes.items():
            # Version 2 and before did not count them. In buckets, but for steps of 10 s.
            exact = {("cart", "op", 2): 3880, ("front", "op", 2): 3120, ("front", "op", 3): 3720}[operation] if "-v" not in name else 0
            assert size == exact if counts.step_s == 10 else abs(size - exact) <= exact / 31, (name, operation, size, exact)
        steps = {step for cells in counts.operations.values() for step in cells}
        assert steps == {(600 + minute) * 60 // step_s for minute in range(60)}, (name, steps)
        for side in ("server", "client"):
            cells = counts.edges["front", "cart", "", "", side].values()
            assert (sum(c[0] for c in cells), sum(c[1] for c in cells)) == (60, 20)
        assert sum(c[0] for c in counts.edges["user", "front", "virtual_node", "", "server"].values()) == 60
        bucket = bucket_of(3000)
        in_middle = bucket // 4 * 4 + 2 if detail == "month" else bucket
        assert {b for c in counts.edges["front", "cart", "", "", "server"].values() for b in c[3]} == {in_middle}
        try:
            counts_reader.Counts(data[:40] + bytes([data[40] ^ 1]) + data[41:])
            raise AssertionError("damage was not found")
        except ValueError:
            pass


def test_the_log_of_a_killed_server_has_what_was_acknowledged():
    with Server() as server:
        bodies = []
        for i in range(20):
            _, spans = odd_spans(1 + i)
            bodies.append(request(spans, service=f"service-{i}"))
            assert server.send(bodies[-1])[0] == 200
        before_ns = time.time_ns()
        server.kill()
        requests = log_reader.read(os.path.join(server.data, "log"))
        assert [one.payload for one in requests] == bodies
        assert all(one.tenant == "default" and 0 <= before_ns - one.arrival_ns < 60e9 for one in requests)


def test_a_pack_of_the_log_is_what_the_document_says():
    """Six requests of eight spans, written as one pack."""
    with open(os.path.join(ROOT, "test", "golden", "packed.log"), "rb") as f:
        data = f.read()
    log = log_reader.LogFile(data)
    assert (log.version, log.packs, len(log.requests)) == (2, 1, 6)
    assert [one.arrival_ns for one in log.requests] == [5000, 5010, 5020, 5030, 5040, 5050]
    assert len({len(one.payload) for one in log.requests}) == 1


def bucket_of(duration_ns):
    shift = duration_ns.bit_length() - 5
    return 16 * shift + (duration_ns >> shift) if duration_ns >= 32 else duration_ns


def test_the_reader_finds_damage():
    with Server() as server:
        _, spans = odd_spans(50)
        server.send(request(spans))
        assert server.terminate() == 0
        path = glob.glob(server.data + "/recent/default/*.seg")[0]
        with open(path, "rb") as f:
            data = f.read()
        whole = segment_reader.Segment(data).read_spans()
        changed = 0
        for at in range(0, len(data), 97):
            damaged = bytearray(data)
            damaged[at] ^= 4
            try:
                assert segment_reader.Segment(bytes(damaged)).read_spans() == whole
            except (ValueError, AssertionError) as e:
                assert isinstance(e, ValueError), at
                changed += 1
        assert changed > 10


if __name__ == "__main__":
    run_tests(sys.modules[__name__])

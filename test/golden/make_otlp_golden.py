#!/usr/bin/env python3
"""Writes otlp_request.bin and otlp_request.json beside itself.

Both come from the official protobuf definitions (pip install opentelemetry-proto), so the tests that
read them compare spanloom with an implementation that is not its own. Run it again only to extend
what the request holds.
"""
import json
import math
import pathlib

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

HERE = pathlib.Path(__file__).parent


def value(content):
    v = common_pb2.AnyValue()
    if isinstance(content, bool):
        v.bool_value = content
    elif isinstance(content, int):
        v.int_value = content
    elif isinstance(content, float):
        v.double_value = content
    elif isinstance(content, bytes):
        v.bytes_value = content
    elif isinstance(content, str):
        v.string_value = content
    elif isinstance(content, list):
        v.array_value.SetInParent()
        v.array_value.values.extend(value(x) for x in content)
    elif isinstance(content, dict):
        v.kvlist_value.SetInParent()
        v.kvlist_value.values.extend(pairs(content))
    return v


def pairs(content):
    return [common_pb2.KeyValue(key=k, value=value(x)) for k, x in content.items()]


def span(number, **fields):
    return trace_pb2.Span(trace_id=bytes(range(16)), span_id=bytes([number] * 8), name=f"span {number}",
                          start_time_unix_nano=1_763_820_000_000_000_000 + number,
                          end_time_unix_nano=1_763_820_000_000_500_000 + number, **fields)


def request():
    r = trace_service_pb2.ExportTraceServiceRequest()
    a = r.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.40.0")
    a.resource.attributes.extend(pairs({"service.name": "cart", "service.instance.id": "pod-1", "process.pid": 17}))
    a.resource.dropped_attributes_count = 2
    s = a.scope_spans.add(schema_url="https://example.org/scope")
    s.scope.name, s.scope.version, s.scope.dropped_attributes_count = "io.shop", "1.2.3", 1
    s.scope.attributes.extend(pairs({"short": True}))
    one = span(1, trace_state="ot=th:8,vendor=x", parent_span_id=bytes([9] * 8), flags=0x301, kind=trace_pb2.Span.SPAN_KIND_SERVER,
               dropped_attributes_count=3, dropped_events_count=4, dropped_links_count=5)
    one.attributes.extend(pairs({
        "text": "çödé 漢字 \u2028 <b>&\"\\", "empty": "", "yes": True, "no": False, "large": 2**63 - 1, "small": -(2**63), "zero": 0,
        "half": 0.5, "tiny": 5e-324, "huge": 1.7976931348623157e308, "minus zero": -0.0, "nan": math.nan, "infinite": -math.inf,
        "bytes": bytes(range(256)), "list": ["a", 1, 2.5, [True, []]], "map": {"a": {"b": {"c": [1]}}, "e": {}}, "nothing": None}))
    one.attributes.extend(pairs({"text": "twice"}))
    one.events.add(time_unix_nano=1_763_820_000_000_000_100, name="exception", dropped_attributes_count=6).attributes.extend(
        pairs({"exception.type": "Timeout", "exception.stacktrace": "at a\n\tat b"}))
    one.events.add(name="bare")
    one.links.add(trace_id=bytes(range(16, 32)), span_id=bytes([7] * 8), trace_state="c=d", dropped_attributes_count=1, flags=0x101).attributes.extend(
        pairs({"why": "batch"}))
    one.status.code, one.status.message = trace_pb2.Status.STATUS_CODE_ERROR, "too slow"
    two = span(2, kind=trace_pb2.Span.SPAN_KIND_CONSUMER)
    two.status.SetInParent()
    s.spans.extend([one, two])
    plain = a.scope_spans.add()
    plain.scope.SetInParent()
    plain.spans.add(trace_id=bytes(range(16)), span_id=bytes([3] * 8)).status.code = trace_pb2.Status.STATUS_CODE_OK
    b = r.resource_spans.add()
    b.resource.attributes.extend(pairs({"service.name": "checkout"}))
    t = b.scope_spans.add()
    t.scope.name = "other"
    for kind in range(6):
        t.spans.append(span(10 + kind, kind=kind))
        t.spans[-1].status.SetInParent()
    return r


def main():
    r = request()
    (HERE / "otlp_request.bin").write_bytes(r.SerializeToString(deterministic=True))
    (HERE / "otlp_request.json").write_text(json.dumps(json_format.MessageToDict(r), ensure_ascii=False, indent=1, sort_keys=False) + "\n")


if __name__ == "__main__":
    main()

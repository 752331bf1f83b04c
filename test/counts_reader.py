"""Reads files of counts, and the rollups in them, made from docs/format/counts.md and rollup.md alone: an independent check of document and writer."""
import struct

from segment_reader import Bytes, Model, integers_of, xxh3

MAGIC = b"SPANCNT1"
MODELLED = 9


def read_modelled(b, contexts):
    model = Model(b)
    body = b.text()
    if not model.contexts:
        return integers_of(body, len(contexts)) if contexts else []
    if body[0] != MODELLED:
        raise ValueError(f"numbers of form {body[0]} where a model is")
    return model.read(Bytes(body[1:]), contexts)


def read_section(data):
    """{(service, name, kind): {minute: (spans, errors, weight, {bucket: spans})}}"""
    if not data:
        return {}
    b = Bytes(data)
    if b.u8() != 2:
        raise ValueError("a section of another version")
    services = [b.text().decode() for _ in range(b.varint())]
    operations = []
    for _ in range(b.varint()):
        service, kind = b.varint(), b.u8()
        operations.append((services[service], b.text().decode(), kind))
    count = b.varint()
    steps, minutes, errors, sizes, firsts = (integers_of(b.text(), count) for _ in range(5))
    bits = [min(size.bit_length(), 9) for size in sizes]
    gaps = read_modelled(b, [s for s, size in zip(bits, sizes) for _ in range(size - 1)])
    before, contexts, at = iter(gaps), [], 0
    for s, size in zip(bits, sizes):
        own = [next(before) for _ in range(size - 1)]
        for i in range(size):
            left, right = own[i - 1] if i else 0, own[i] if i + 1 < size else 0
            contexts.append(16 * s + 4 * min(left, 3) + min(right, 3))
    counts, gap = iter(read_modelled(b, contexts)), iter(gaps)
    weights, number = {}, 0
    for _ in range(b.varint()):
        number += b.varint()
        weights[number] = struct.unpack("<d", b.take(8))[0]
    if b.rest():
        raise ValueError("there is more behind a section")
    found, operation, minute = {}, 0, 0
    for i in range(count):
        operation, minute, bucket, buckets = operation + steps[i], minute + minutes[i], firsts[i], {}
        for j in range(sizes[i]):
            bucket += next(gap) + 1 if j else 0
            buckets[bucket] = next(counts) + 1
        spans = sum(buckets.values())
        found.setdefault(operations[operation], {})[minute] = (spans, errors[i], weights.get(i, float(spans)), buckets)
    return found


class Counts:
    def __init__(self, data):
        if data[:8] != MAGIC or struct.unpack("<Q", data[8:16])[0] != xxh3(data[16:]):
            raise ValueError("the file is damaged")
        b = Bytes(data[16:])
        fields = {}
        while b.at < len(b.data):
            key = b.varint()
            fields[key >> 3] = {0: b.varint, 1: b.u64, 2: b.text}[key & 7]()
        self.tenant, self.hour, self.is_day = fields[1].decode(), fields.get(2, 0), bool(fields.get(3, 0))
        self.start_ns_min, self.end_ns_max = fields.get(4, 0), fields.get(5, 0)
        body = Bytes(fields[6])
        if body.u8() != 1:
            raise ValueError("counts of another version")
        self.step = body.varint()
        self.operations, edges = read_section(body.text()), read_section(body.text())
        self.edges = {}  # (client, server, type, side) -> minutes
        for (client, name, kind), cells in edges.items():
            server, _, connection_type = name.partition("\0")
            self.edges[client, server, connection_type, {2: "server", 3: "client", 5: "queue"}[kind]] = cells

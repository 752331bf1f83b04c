"""Reads files of decisions, made from docs/format/decisions.md alone: an independent check of document and writer."""
import struct

from segment_reader import Bytes, integers_of, read_part, xxh3

MAGIC = b"SPANDEC1"
FATES = ("dropped", "kept", "dropped_late", "kept_late", "thinned")


def middle_of(bucket):
    if bucket < 64:
        return bucket
    shift = bucket // 32 - 1
    return ((32 + bucket % 32) << shift) + (1 << shift) // 2


class Decisions:
    def __init__(self, data):
        trailer = data[-28:]
        offset, size, checksum = struct.unpack("<QIQ", trailer[:20])
        footer = data[offset:offset + size]
        if data[:8] != MAGIC or trailer[20:] != MAGIC or xxh3(trailer[:12], xxh3(footer)) != checksum:
            raise ValueError("the footer is damaged")
        b = Bytes(read_part(Bytes(footer)))
        self.key, self.hour, self.at_ns = b.u64(), b.varint(), b.u64()
        self.source, self.version, self.rules_json = b.text().decode(), b.varint(), b.text()
        self.rules = [(b.text().decode(), b.varint()) for _ in range(b.varint())]
        outcomes = [(b.varint(), b.u8(), b.varint()) for _ in range(b.varint())]
        left, at = b.varint(), 8
        self.of_hash = {}  # hash -> (rule, fate, threshold, spans, has error, bytes, duration)
        while left:
            count = min(left, 4096)
            hash_, length = b.u64(), b.varint()
            body, stored = data[at:at + length], data[at + length:at + length + 4]
            if struct.pack("<Q", xxh3(body, at))[:4] != stored:
                raise ValueError("a block is damaged")
            block = Bytes(body)
            steps, numbers, spans, sizes, durations = (integers_of(block.text(), count) for _ in range(5))
            for i in range(count):
                hash_ = (hash_ + steps[i]) % 2**64
                rule, fate, threshold = outcomes[numbers[i]]
                name = self.rules[rule - 1][0] if rule else None
                self.of_hash[hash_] = (name, FATES[fate], threshold, spans[i] // 2, bool(spans[i] % 2), middle_of(sizes[i]), middle_of(durations[i]))
            left -= count
            at += length + 4

    def find(self, trace_id):
        return self.of_hash.get(xxh3(trace_id, self.key))

"""Reads files of counts, and the rollups in them, made from docs/format/counts.md and rollup.md alone: an independent check of document and writer."""
import struct

from segment_reader import Bytes, Model, integers_of, read_part, xxh3

MAGIC = b"SPANCNT2"
MAGIC_BEFORE = b"SPANCNT1"
MODELLED = 9


def read_modelled(b, contexts):
    model = Model(b)
    body = b.text()
    if not model.contexts:
        return integers_of(body, len(contexts)) if contexts else []
    if body[0] != MODELLED:
        raise ValueError(f"numbers of form {body[0]} where a model is")
    return model.read(Bytes(body[1:]), contexts)


class Chance:
    def __init__(self):
        self.zero, self.seen = 32768, 0

    def learn(self, bit):
        shift = 2 + self.seen
        self.seen = min(self.seen + 1, 4)
        self.zero += -((self.zero - 512) >> shift) if bit else (65024 - self.zero) >> shift


class Numbers:
    """Coded numbers, each in a context: a name of any kind."""

    def __init__(self, data):
        self.data, self.at, self.range, self.code = data, 0, (1 << 32) - 1, 0
        self.contexts = {}
        for _ in range(4):
            self.shift()

    def shift(self):
        self.code = self.code << 8 | self.data[self.at]
        self.at += 1

    def normalise(self):
        while self.range < 1 << 24:
            self.range <<= 8
            self.shift()

    def bit(self, name):
        chance = self.contexts.setdefault(name, Chance())
        bound = (self.range >> 12) * (chance.zero >> 4)
        bit = self.code >= bound
        if bit:
            self.code -= bound
            self.range -= bound
        else:
            self.range = bound
        chance.learn(bit)
        self.normalise()
        return int(bit)

    def plain_bit(self):
        self.range >>= 1
        bit = self.code >= self.range
        if bit:
            self.code -= self.range
        self.normalise()
        return int(bit)

    def number(self, context):
        length = 0
        while length < 63 and self.bit((context, "longer", length)):
            length += 1
        value, above = 1, 0
        for i in range(length):
            bit = self.bit((context, "upper", length, above)) if i < 2 else self.plain_bit()
            above = 2 if bit else 1
            value = 2 * value + bit
        return value - 1

    def signed(self, context):
        n = self.number(context)
        return -(n + 1) // 2 if n & 1 else n // 2

    def near(self, what, expected):
        sixteenths = int(expected * 16)
        bits = sixteenths.bit_length()
        level = sixteenths if sixteenths < 2 else min(2 * bits - 2 + (sixteenths >> (bits - 2) & 1), 63)
        return int(expected + 0.5) + self.signed((what, level))


def added(share, count):
    return share - (share >> 3) + (count << 4)


def bucket_of(value):
    shift = value.bit_length() - 5
    return 16 * shift + (value >> shift) if value >= 32 else value


def middle_of(bucket):
    shift = bucket // 16 - 1
    return bucket if bucket < 32 else (16 + bucket % 16 << shift) + (1 << shift >> 1)


def mean(total, number):
    return (total + number // 2) // number


def read_series(b, version):
    """What read_section gives, of versions 3 and 6."""
    merged, together = b.u8(), b.u8()
    has_sizes = version == 6 and b.u8() == 1
    names, n = Bytes(read_part(Bytes(b.text()))), Numbers(b.text())
    services = [names.text().decode() for _ in range(names.varint())]
    operations = []
    for _ in range(names.varint()):
        service, kind = names.varint(), names.u8()
        operations.append((services[service], names.text().decode(), kind & 7, kind >> 3))
    cells, first_step, totals, first_size = [], 0, {}, 0
    for operation in operations:
        count, lowest, width = n.number("cells"), n.number("lowest"), n.number("width")
        first_step += n.signed("first step")
        step, gap, failed, good, shares, own = first_step, 0, 1, 1, [1] * (width + 1), []
        for i in range(count):
            expected = 0.0
            if i:
                gap = n.number(("gap", min(gap.bit_length(), 7)))
                before, spans = step, own[-1][1]
                step += gap + 1
                expected = float(spans) * float(totals[step]) / float(totals[before]) if {step, before} <= totals.keys() else float(spans)
            spans = n.near("spans", expected)
            errors = n.near("errors", float(spans) * float(failed) / float(failed + good))
            failed, good = added(failed, errors), added(good, spans - errors)
            own.append([step, spans, errors, float(spans), {}, 0])
        for step, spans, *_ in own:
            totals[step] = totals.get(step, 0) + spans
        byte_share, span_share = 0, 0
        for group in sorted({cell[0] // together for cell in own}):
            of_group = [cell for cell in own if cell[0] // together == group]
            left = all_spans = sum(cell[1] for cell in of_group)
            shares_left, held = sum(shares), []
            for j, share in enumerate(shares):
                number = left
                if left and j < width:
                    number = n.near("bucket", float(left) * float(share) / float(shares_left))
                left, shares_left, shares[j] = left - number, shares_left - share, added(share, number)
                held.append(number)
            for cell in of_group:
                passed, taken, all_left = 0, 0, sum(held)
                for j, number in enumerate(held):
                    passed += number
                    until = (2 * passed * cell[1] + all_left) // (2 * all_left)
                    if until > taken:
                        cell[4][(lowest + j << merged) + (1 << merged >> 1)] = until - taken
                    held[j] -= until - taken
                    taken = until
            if not has_sizes:
                continue
            size = bucket_of(mean(byte_share, span_share)) if span_share else first_size
            size += n.signed(("size", min(all_spans.bit_length(), 15)))
            first_size = first_size if span_share else size
            byte_share, span_share = added(byte_share, middle_of(size) * all_spans), added(span_share, all_spans)
            for cell in of_group:
                cell[5] = middle_of(size) * cell[1]
        cells += [(operation, cell) for cell in own]
    if n.at != len(n.data):
        raise ValueError("there is more behind numbers")
    changes, number = {}, 0
    for _ in range(b.varint()):
        number += b.varint()
        changes[number] = struct.unpack("<f", b.take(4))[0]
    ratio = 1.0
    for i, (operation, cell) in enumerate(cells):
        ratio = changes.get(i, 1.0 if i and operation != cells[i - 1][0] else ratio)
        cell[3] = cell[1] * ratio
    if b.rest():
        raise ValueError("there is more behind a section")
    return both_statuses(cells)


def both_statuses(cells):
    """Failed spans and others of an operation and step as one."""
    found = {}
    for (service, name, kind, is_error), (step, spans, errors, weight, buckets, size) in cells:
        if is_error and errors != spans:
            raise ValueError("an operation of failed spans has others")
        before = found.setdefault((service, name, kind), {}).get(step, (0, 0, 0.0, {}, 0))
        both = {b: before[3].get(b, 0) + buckets.get(b, 0) for b in before[3].keys() | buckets.keys()}
        found[service, name, kind][step] = (before[0] + spans, before[1] + errors, before[2] + weight, both, before[4] + size)
    return found


def read_section(data):
    """{(service, name, kind): {step: (spans, errors, weight, {bucket: spans}, bytes)}}"""
    if not data:
        return {}
    b = Bytes(data)
    version = b.u8()
    if version in (3, 6):
        return read_series(b, version)
    if version not in (2, 4, 5):
        raise ValueError("a section of another version")
    flags = {2: 1, 4: 0}[version] if version < 5 else b.u8()
    services = [b.text().decode() for _ in range(b.varint())]
    operations = []
    for _ in range(b.varint()):
        service, kind = b.varint(), b.u8()
        operations.append((services[service], b.text().decode(), kind & 7, kind >> 3))
    count = b.varint()
    steps, minutes = integers_of(b.text(), count), integers_of(b.text(), count)
    errors = integers_of(b.text(), count) if flags & 1 else None
    sizes, firsts = integers_of(b.text(), count), integers_of(b.text(), count)
    bits = [min(size.bit_length(), 9) for size in sizes]
    gaps = read_modelled(b, [s for s, size in zip(bits, sizes) for _ in range(size - 1)])
    before, contexts = iter(gaps), []
    for s, size in zip(bits, sizes):
        own = [next(before) for _ in range(size - 1)]
        for i in range(size):
            left, right = own[i - 1] if i else 0, own[i] if i + 1 < size else 0
            contexts.append(16 * s + 4 * min(left, 3) + min(right, 3))
    counts, gap = iter(read_modelled(b, contexts)), iter(gaps)
    beyond = integers_of(b.text(), count) if flags & 2 else None
    weights, number = {}, 0
    for _ in range(b.varint()):
        number += b.varint()
        weights[number] = struct.unpack("<d", b.take(8))[0]
    if b.rest():
        raise ValueError("there is more behind a section")
    cells, operation, minute, spans, size = [], 0, 0, 0, 0
    for i in range(count):
        operation, minute, bucket, buckets = operation + steps[i], minute + minutes[i], firsts[i], {}
        for j in range(sizes[i]):
            bucket += next(gap) + 1 if j else 0
            buckets[bucket] = next(counts) + 1
        before, spans = spans, sum(buckets.values())
        size = (size * spans // before if before else 0) + beyond[i] if beyond else 0
        failed = errors[i] if errors is not None else spans * operations[operation][3]
        cells.append((operations[operation], (minute, spans, failed, weights.get(i, float(spans)), buckets, size)))
    return both_statuses(cells)


class Counts:
    def __init__(self, data):
        if data[:8] not in (MAGIC, MAGIC_BEFORE) or struct.unpack("<Q", data[8:16])[0] != xxh3(data[16:]):
            raise ValueError("the file is damaged")
        b = Bytes(data[16:])
        fields = {}
        while b.at < len(b.data):
            key = b.varint()
            fields[key >> 3] = {0: b.varint, 1: b.u64, 2: b.text}[key & 7]()
        self.tenant, self.hour = fields[1].decode(), fields.get(2, 0)
        self.detail = {1: "short", 2: "minutes", 3: "hours", 4: "month"}[fields.get(7, 3 if fields.get(3) else 2)]
        self.start_ns_min, self.end_ns_max = fields.get(4, 0), fields.get(5, 0)
        body = Bytes(fields[6])
        self.version = body.u8()
        if self.version not in (1, 2, 3):
            raise ValueError("counts of another version")
        self.step_s = body.varint() * (60 if self.version == 1 else 1)
        self.operations, edges = read_section(body.text()), read_section(body.text())
        if self.version == 1:  # its steps are numbered by minutes
            self.operations, edges = ({key: {step * 60 // self.step_s: cell for step, cell in cells.items()} for key, cells in one.items()}
                                      for one in (self.operations, edges))
        self.edges = {}  # (client, server, type, protocol, side) -> steps
        for (client, name, kind), cells in edges.items():
            server, _, connection_type = name.rpartition("\0")
            connection_type, _, protocol = connection_type.partition(":")
            self.edges[client, server, connection_type, protocol, {2: "server", 3: "client", 5: "queue"}[kind]] = cells

"""Reads segment files by docs/format/segment.md alone, apart from the program's own code: what this understands is
what the document says. Slow, and bounded by nothing: for tests, and for whoever wants their data without spanloom."""
import ctypes
import struct
import sys

_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
_zstd = ctypes.CDLL("libzstd.so.1")
_zstd.ZSTD_decompress.restype = ctypes.c_size_t
_zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

MAGIC = b"SPLMSEG1"
MASK = (1 << 64) - 1
FIXED = 30
TEXT_COLUMNS = {4, 7, 9, 14, 15, 18, 20, 21, 25, 28, 29}
EVENT_COLUMNS, LINK_COLUMNS = range(16, 22), range(22, 30)


def xxh3(data, seed=0):
    return _xxhash.XXH3_64bits_withSeed(data, len(data), seed)


def signed(value):
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


class Bytes:
    """A place in some bytes that moves on as they are read."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise ValueError("damage: it ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value & MASK

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def text(self):
        return self.take(self.varint())


def read_part(b):
    form, size = b.u8(), b.varint()
    if form == 0:
        return b.take(size)
    if form == 1:
        return b.take(1) * size
    if form != 2:
        raise ValueError(f"a part of form {form}")
    frame = b.text()
    out = ctypes.create_string_buffer(max(size, 1))
    if _zstd.ZSTD_decompress(out, size, frame, len(frame)) != size:
        raise ValueError("a zstd frame is damaged")
    return out.raw[:size]


def read_packed(b, count, width):
    data = int.from_bytes(b.take((count * width + 7) // 8), "little")
    mask = (1 << width) - 1
    return [(data >> (i * width)) & mask for i in range(count)]


def read_integers(b, count, expected=()):
    """`expected`: for each value the one that follows from its row's name, for the form that leaves these out."""
    form = b.u8()
    if form == 5:
        exceptions = b.varint()
        if not exceptions:
            return list(expected)
        gaps, others = integers_of(b.text(), exceptions), read_integers(b, exceptions)
        values, at = list(expected), 0
        for gap, other in zip(gaps, others):
            at += gap
            values[at] = other
            at += 1
        return values
    if form == 0:
        return [signed(b.zigzag())] * count
    if form == 1:
        least, width = b.zigzag(), b.u8()
        return [signed(least + v) for v in read_packed(b, count, width)]
    if form == 2:
        value, least, width = b.zigzag(), b.zigzag(), b.u8()
        values = [signed(value)]
        for step in read_packed(b, count - 1, width):
            value += least + step
            values.append(signed(value))
        return values[:count]
    if form == 3:
        entries = [b.zigzag() for _ in range(b.varint())]
        width = max(len(entries) - 1, 0).bit_length()
        return [signed(entries[c]) for c in read_packed(b, count, width)]
    if form == 4:
        least, planes = b.zigzag(), b.u8()
        values = [least] * count
        for plane in range(planes):
            data = read_part(b)
            values = [v + (data[i] << (8 * plane)) for i, v in enumerate(values)]
        return [signed(v) for v in values]
    raise ValueError(f"integers of form {form}")


def integers_of(text, count):
    return read_integers(Bytes(text), count)


def read_doubles(b, count):
    form = b.u8()
    if form == 0:
        return [struct.unpack("<d", struct.pack("<q", v))[0] for v in read_integers(b, count)]
    if form == 1:
        power = 10 ** b.u8()
        return [v / power for v in read_integers(b, count)]
    raise ValueError(f"doubles of form {form}")


def read_list(b, count):
    form = b.u8()
    if form == 0:
        lengths = integers_of(b.text(), count)
        data = Bytes(read_part(b))
        return [data.take(n) for n in lengths]
    if form != 1:
        raise ValueError(f"a list of texts of form {form}")
    number = b.varint()
    patterns = read_list(Bytes(b.text()), number)
    chosen = integers_of(b.text(), count)
    numbers = []
    for p, pattern in enumerate(patterns):
        uses = chosen.count(p)
        numbers.append([iter(integers_of(b.text(), uses)) for _ in range(placeholders(pattern))])
    digits = Bytes(read_part(b))
    return [fill(patterns[p], numbers[p], digits) for p in chosen]


def walk(pattern):
    """(kind, value): 0 a byte as it is, 1 a number, 2 so many bytes in hexadecimal, 3 sixteen as an address."""
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == 2:
            yield 2, pattern[i + 1] - 4
            i += 2
            continue
        yield (c, 0) if c in (1, 3) else (0, c)
        i += 1


def placeholders(pattern):
    return sum(kind == 1 for kind, _ in walk(pattern))


def fill(pattern, numbers, digits):
    out, number = bytearray(), 0
    for kind, value in walk(pattern):
        if kind == 0:
            out.append(value)
        elif kind == 1:
            out += str(next(numbers[number])).encode()
            number += 1
        elif kind == 2:
            out += digits.take(value).hex().encode()
        else:
            h = digits.take(16).hex()
            out += "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])).encode()
    return bytes(out)


class Segment:
    def __init__(self, data):
        self.data = data
        trailer = data[-32:]
        offset, size, self.version, checksum = struct.unpack("<QIIQ", trailer[:24])
        if data[:8] != MAGIC or trailer[24:] != MAGIC or self.version not in (1, 2):
            raise ValueError("no segment of version 1 or 2")
        footer = data[offset:offset + size]
        if xxh3(trailer[:16], xxh3(footer)) != checksum:
            raise ValueError("the footer is damaged")
        self.read_footer(Bytes(read_part(Bytes(footer))))

    def block(self, offset, size):
        body = self.data[offset:offset + size - 8]
        if xxh3(body, offset) != struct.unpack("<Q", self.data[offset + size - 8:offset + size])[0]:
            raise ValueError(f"the block at {offset} is damaged")
        return Bytes(body)

    def read_footer(self, b):
        self.spans, self.fragments = b.varint(), b.varint()
        self.start_min, self.end_max, self.newest_start, self.arrival_min, self.arrival_max = (b.u64() for _ in range(5))
        self.attributes = []  # (table, type, is boolean, key)
        for _ in range(b.varint()):
            bits = b.u8()
            self.attributes.append((bits & 3, bits >> 2 & 7, bool(bits & 32), b.text().decode()))
        self.dictionaries = {}
        for column in range(FIXED + len(self.attributes)):
            is_text = column in TEXT_COLUMNS if column < FIXED else self.attributes[column - FIXED][1] in (2, 4)
            entries = b.varint() if is_text else 0
            if entries:
                offset, size = b.varint(), b.varint()
                self.dictionaries[column] = read_list(self.block(offset, size), entries)
        self.resources = [(b.text(), b.text()) for _ in range(b.varint())]
        self.scopes = [(b.varint(), b.text(), b.text()) for _ in range(b.varint())]
        self.groups = []
        for _ in range(b.varint()):
            rows, events, links = b.varint(), b.varint(), b.varint()
            b.take(16)  # earliest start, latest end
            b.zigzag()  # longest duration
            b.u8()
            b.varint()  # first fragment
            offset, column, blocks = b.varint(), 0, {}
            for _ in range(b.varint()):
                column += b.varint()
                size = b.varint()
                blocks[column] = (offset, size)
                offset += size
            self.groups.append((rows, events, links, blocks))
        self.chunks = [(b.varint(), b.varint()) for _ in range(b.varint())]
        self.followers = {}  # column -> value by code of the name
        if self.version >= 2:
            for _ in range(6):  # trace index, cells and directory of the places
                b.varint()
            offset, size = b.varint(), b.varint()
            if size:
                self.read_followers(self.block(offset, size))

    def read_followers(self, b):
        for _ in range(b.varint()):
            column, names = b.varint(), b.varint()
            has_value = integers_of(b.text(), names)
            values = iter(integers_of(b.text(), sum(has_value)))
            self.followers[column] = {code: next(values) for code in range(names) if has_value[code]}

    def expected(self, blocks, column, count, rows=None):
        """What follows from the names of a group's `count` rows, or of these of its rows, for a column's values."""
        table = self.followers.get(column)
        if table is None or 4 not in blocks:
            return ()
        names = self.block(*blocks[4])
        if names.u8() != 1:
            return ()
        codes = read_integers(names, count)
        return [table.get(codes[row]) for row in (range(count) if rows is None else rows)]

    def read_fragments(self):
        """(trace id, start, rows) in order."""
        left = self.fragments
        for offset, size in self.chunks:
            b, count = self.block(offset, size), min(left, 1024)
            left -= count
            b.u32()
            ids = read_part(b)
            starts, _, rows, _ = (integers_of(b.text(), count) for _ in range(4))
            for i in range(count):
                yield ids[16 * i:16 * i + 16], starts[i] & MASK, rows[i]

    def texts(self, b, count, column, expected=()):
        form = b.u8()
        if form == 1:
            dictionary = self.dictionaries[column]
            return [dictionary[c] for c in read_integers(b, count, expected)]
        if form == 2:
            entries = b.varint()
            values = read_list(Bytes(b.text()), entries)
            return [values[c] for c in read_integers(b, count)]
        return read_list(b, count)

    def column(self, blocks, column, count, kind):
        if column not in blocks:
            return [b"" if kind == "text" else 0] * count
        b, expected = self.block(*blocks[column]), self.expected(blocks, column, count)
        if kind == "text":
            return self.texts(b, count, column, expected)
        return read_integers(b, count, expected)

    def read_attributes(self, blocks, table, count, order_column):
        """For each row of a table, its attributes in order: (key, type, value)."""
        orders = [[int.from_bytes(o[i:i + 4], "little") for i in range(0, len(o), 4)]
                  for o in self.column(blocks, order_column, count, "text")]
        values = {}
        for column, (of_table, kind, is_boolean, key) in enumerate(self.attributes, FIXED):
            if of_table != table:
                continue
            rows = [row for row, order in enumerate(orders) for c in order if c == column]
            uses = len(rows)
            if not uses:
                continue
            if column not in blocks:
                found = [b"" if kind in (2, 4) else 0] * uses
            else:
                b, expected = self.block(*blocks[column]), self.expected(blocks, column, count, rows) if table == 0 else ()
                found = read_doubles(b, uses) if kind == 1 else read_integers(b, uses, expected) if kind == 0 else self.texts(b, uses, column, expected)
            name = "bool" if is_boolean else ("int", "double", "text", "", "value")[kind]
            values[column] = iter([(key, name, bool(v) if is_boolean else v) for v in found])
        rows = [[next(values[c]) for c in order] for order in orders]
        for row, overflow in zip(rows, self.column(blocks, order_column + 1, count, "text")):
            for position, message in overflow_of(overflow):
                row.insert(position, ("overflow", "message", message))
        return rows

    def read_spans(self):
        """Every span as a dictionary, in the order of rows."""
        fragments = list(self.read_fragments())
        place, left, spans, unresolved = -1, 0, [], []
        for rows, events, links, blocks in self.groups:
            ids = read_part(self.block(*blocks[0])) if 0 in blocks else bytes(8 * rows)
            starts, durations = (self.column(blocks, c, rows, "") for c in (2, 3))
            names = self.column(blocks, 4, rows, "text")
            numbers = {name: self.column(blocks, c, rows, "") for name, c in
                       {"kind": 5, "status": 6, "flags": 8, "dropped_attributes": 10, "dropped_events": 11, "dropped_links": 12, "scope": 13}.items()}
            messages, states = (self.column(blocks, c, rows, "text") for c in (7, 9))
            attributes = self.read_attributes(blocks, 0, rows, 14)
            parents, foreign = [0] * rows, Bytes(b"")
            if 1 in blocks:
                b = self.block(*blocks[1])
                parents = integers_of(b.text(), rows)
                foreign = Bytes(read_part(b))
            first, before = len(spans), None
            for i in range(rows):
                while not left:
                    place += 1
                    left, before = fragments[place][2], None
                if before is None:
                    before = fragments[place][1]
                left -= 1
                before += starts[i]
                one = {"trace_id": fragments[place][0], "span_id": ids[8 * i:8 * i + 8], "start": before & MASK,
                       "end": before + durations[i] & MASK, "name": names[i].decode(), "status_message": messages[i].decode(),
                       "trace_state": states[i].decode(), "attributes": attributes[i], "events": [], "links": [], "parent": b"",
                       **{name: values[i] for name, values in numbers.items()}}
                if parents[i] == 1:
                    one["parent"] = foreign.take(8)
                elif parents[i]:
                    unresolved.append((first + i, first + i - parents[i] // 2 if parents[i] % 2 == 0 else first + i + parents[i] // 2))
                spans.append(one)
            self.read_children(blocks, events, links, spans[first:])
        for child, parent in unresolved:
            spans[child]["parent"] = spans[parent]["span_id"]
        return spans

    def read_children(self, blocks, events, links, spans):
        owners, times = (self.column(blocks, c, events, "") for c in (16, 17))
        names = self.column(blocks, 18, events, "text")
        for owner, time, name, attributes in zip(owners, times, names, self.read_attributes(blocks, 1, events, 20)):
            spans[owner]["events"].append((spans[owner]["start"] + time & MASK, name.decode(), attributes))
        owners = self.column(blocks, 22, links, "")
        ids = [read_part(self.block(*blocks[c])) if c in blocks else bytes(n * links) for c, n in ((23, 16), (24, 8))]
        for i, (owner, attributes) in enumerate(zip(owners, self.read_attributes(blocks, 2, links, 28))):
            spans[owner]["links"].append((ids[0][16 * i:16 * i + 16], ids[1][8 * i:8 * i + 8], attributes))


def overflow_of(value):
    """(position, KeyValue message) of an overflow value, ascending."""
    found, b = [], Bytes(value)
    while b.at < len(value):
        if b.varint() != 1 << 3 | 2:
            raise ValueError("an overflow value holds something else")
        message = b.text()
        position, m = 0, Bytes(message)
        while m.at < len(message):
            key = m.varint()
            if key == 15 << 3:
                position = m.varint()
            elif key & 7 == 2:
                m.text()
            else:
                m.varint()
        found.append((position, message))
    return sorted(found)


def read(path):
    with open(path, "rb") as f:
        return Segment(f.read())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        segment = read(name)
        for s in segment.read_spans():
            print(s["trace_id"].hex(), s["span_id"].hex(), s["start"], s["end"] - s["start"], s["name"])

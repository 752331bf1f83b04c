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


FILTER_SALTS = (0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31)


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
    if form == 6:
        offset, scale = b.zigzag(), b.varint()
        return [signed(offset + scale * v) for v in read_integers(b, count)]
    if form == 7:
        least, widths = b.zigzag(), read_part(b)
        bits = sum(max(w - 1, 0) for w in widths)
        data, values, at = int.from_bytes(b.take((bits + 7) // 8), "little"), [], 0
        for w in widths:
            top = 1 << (w - 1) if w else 0
            values.append(signed(least + top + ((data >> at) & (top - 1) if w > 1 else 0)))
            at += max(w - 1, 0)
        return values
    raise ValueError(f"integers of form {form}")


class Model:
    """How often values come in each context: for each (value, first share, shares), the others first."""

    def __init__(self, b):
        count = b.varint()
        sizes = integers_of(b.text(), count) if count else []
        values, shares = (iter(integers_of(b.text(), sum(sizes))) if count else () for _ in range(2))
        self.contexts = []
        for size in sizes:
            entries, at = [], 0
            for value, share in [(next(values), next(shares)) for _ in range(size)]:
                entries.append((value, share))
            at = 1024 - sum(share for _, share in entries)
            placed = [(None, 0, at)]
            for value, share in entries:
                placed.append((value, at, share))
                at += share
            self.contexts.append(placed)

    def read(self, b, contexts):
        """The values of a body of form 9 (after the form), one for each context."""
        others_count = b.varint()
        others = iter(integers_of(b.text(), others_count) if others_count else [])
        states, values = [b.u32(), b.u32()], []
        for i, context in enumerate(contexts):
            state = states[i % 2]
            share = state % 1024
            entries = self.contexts[context] if context < len(self.contexts) else [(None, 0, 1024)]
            value, first, shares = next(e for e in entries if e[1] <= share < e[1] + e[2])
            state = shares * (state >> 10) + share - first
            if state < 1 << 16:
                state = state << 16 | struct.unpack("<H", b.take(2))[0]
            states[i % 2] = state
            values.append(next(others) if value is None else value)
        if states != [1 << 16, 1 << 16]:
            raise ValueError("values of a model are damaged")
        return values


def links_of_steps(steps):
    links, above = [], []
    for row, step in enumerate(steps):
        link = step if step < 2 else step - 64
        if 2 <= step < 64:
            at = row - 1
            for _ in range(step - 2):
                at = above[at]
            link = 2 * (row - at)
        links.append(link)
        above.append(row - link // 2 if link > 1 and link % 2 == 0 and link // 2 <= row else None)
    return links


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


def read_list(b, count, patterns=(), expected=()):
    """`patterns`: those of the column, for lists that refer to them."""
    form = b.u8()
    if form == 0:
        lengths = integers_of(b.text(), count)
        data = Bytes(read_part(b))
        return [data.take(n) for n in lengths]
    if form not in (1, 2, 3):
        raise ValueError(f"a list of texts of form {form}")
    marks = 4 if form == 1 else 5
    if form != 2:
        patterns = patterns_of(b)
    chosen = read_integers(Bytes(b.text()), count, expected)
    numbers = {}
    for p, pattern in enumerate(patterns):
        uses = chosen.count(p)
        if uses:
            numbers[p] = [iter(integers_of(b.text(), uses)) for _ in range(placeholders(pattern, marks))]
    digits = Bytes(read_part(b))
    return [fill(patterns[p], numbers[p], digits, marks) for p in chosen]


def patterns_of(b):
    number = b.varint()
    return read_list(Bytes(b.text()), number)


def walk(pattern, marks):
    """(kind, value): 0 a byte as it is, 1 a number, 2 so many bytes in hexadecimal, 3 a UUID, 4 a random one."""
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == 2:
            yield 2, pattern[i + 1] - marks
            i += 2
            continue
        yield (c, 0) if 0 < c < marks else (0, c)
        i += 1


def placeholders(pattern, marks):
    return sum(kind in (1, 4) for kind, _ in walk(pattern, marks))


def fill(pattern, numbers, digits, marks):
    out, number = bytearray(), 0
    for kind, value in walk(pattern, marks):
        if kind == 0:
            out.append(value)
        elif kind == 1:
            out += str(next(numbers[number])).encode()
            number += 1
        elif kind == 2:
            out += digits.take(value).hex().encode()
        else:
            if kind == 4:
                n, random = next(numbers[number]), digits.take(14)
                number += 1
                h = (random[:6] + bytes([0x40 | n >> 6]) + random[6:7] + bytes([0x80 | n & 63]) + random[7:]).hex()
            else:
                h = digits.take(16).hex()
            out += "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])).encode()
    return bytes(out)


class Segment:
    def __init__(self, data):
        self.data = data
        trailer = data[-32:]
        offset, size, self.version, checksum = struct.unpack("<QIIQ", trailer[:24])
        if data[:8] != MAGIC or trailer[24:] != MAGIC or self.version not in range(1, 7):
            raise ValueError("no segment of version 1 to 6")
        footer = data[offset:offset + size]
        if xxh3(trailer[:16], xxh3(footer)) != checksum:
            raise ValueError("the footer is damaged")
        self.read_footer(Bytes(read_part(Bytes(footer))))

    def block(self, offset, size):
        checksum_size = 4 if self.version >= 4 else 8
        body = self.data[offset:offset + size - checksum_size]
        if struct.pack("<Q", xxh3(body, offset))[:checksum_size] != self.data[offset + size - checksum_size:offset + size]:
            raise ValueError(f"the block at {offset} is damaged")
        return Bytes(body)

    def read_footer(self, b):
        self.spans, self.fragments = b.varint(), b.varint()
        self.start_min, self.end_max, self.newest_start, self.arrival_min, self.arrival_max = (b.u64() for _ in range(5))
        self.attributes = []  # (table, type, is boolean, key)
        for _ in range(b.varint()):
            bits = b.u8()
            self.attributes.append((bits & 3, bits >> 2 & 7, bool(bits & 32), b.text().decode()))
        self.dictionaries, self.patterns = {}, {}
        for column in range(FIXED + len(self.attributes)):
            is_text = column in TEXT_COLUMNS if column < FIXED else self.attributes[column - FIXED][1] in (2, 4)
            entries = b.varint() if is_text else 0
            if entries:
                offset, size = b.varint(), b.varint()
                self.dictionaries[column] = read_list(self.block(offset, size), entries)
            entries = b.varint() if is_text and self.version >= 3 else 0
            if entries:
                offset, size = b.varint(), b.varint()
                self.patterns[column] = read_list(self.block(offset, size), entries)
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
        families = {}
        self.families = [families.setdefault((service_of(self.resources[resource][1]), name_of(message)), len(families))
                         for resource, _, message in self.scopes]
        self.followers = {}  # (column, of its patterns) -> value by family (0 before version 3) and code of the name
        if self.version >= 2:
            b.varint(), b.varint()  # trace index
            self.cells, self.pages, _, self.directory_bytes = (b.varint() for _ in range(4))  # of the places
            offset, size = b.varint(), b.varint()
            if size:
                self.read_followers(self.block(offset, size))
        if self.version >= 4:
            offset, size = b.varint(), b.varint()
            if size:
                models = self.block(offset, size)
                self.parent_model, self.scope_model, self.name_model = Model(models), Model(models), Model(models)
        self.thresholds = [0] * self.fragments
        if self.version >= 5:
            offset, size = b.varint(), b.varint()
            if size:
                block = self.block(offset, size)
                distinct = [block.u64() for _ in range(block.varint())]
                self.thresholds = [distinct[i] for i in integers_of(block.rest(), self.fragments)]
        self.delays = {}  # row -> the second in which it came
        self.delays_complete = self.version >= 6
        if self.version >= 6:
            offset, size = b.varint(), b.varint()
            if size:
                self.read_delays(self.block(offset, size))

    def filter_passes(self, key, text):
        """Whether the spans' attribute may have this text, by the filter of a file that has no directory of places."""
        bits = 2**64 - 1
        pair = (xxh3(key, 1 << 16 | 5) ^ xxh3(text)) * 0x9e3779b97f4a7c15 & bits
        pair = (pair ^ pair >> 32) * 0xd6e8feb86659fd93 & bits
        pair ^= pair >> 29
        block = (pair >> 32) * (self.pages * 128) >> 32
        size = 4096 + (4 if self.version >= 4 else 8)
        words = struct.unpack_from("<8I", self.block(self.cells + block // 128 * size, size).take(4096), block % 128 * 32)
        return all(word >> ((pair * salt & 0xffffffff) >> 27) & 1 for word, salt in zip(words, FILTER_SALTS))

    def read_delays(self, b):
        flags, runs, row = b.u8(), b.varint(), 0
        self.delays_complete = not flags & 1
        columns = [integers_of(b.text(), runs) for _ in range(3)] if runs else ((), (), ())
        for gap, rows, seconds in zip(*columns):
            for row in range(row + gap, row + gap + rows):
                self.delays[row] = self.arrival_min // 10**9 + seconds
            row += 1

    def read_followers(self, b):
        pairs = []
        if self.version >= 3:
            number = b.varint()
            pairs = list(zip(integers_of(b.text(), number), integers_of(b.text(), number)))
        for _ in range(b.varint()):
            column, is_pattern, keys = b.varint(), False, pairs
            if self.version >= 3:
                column, is_pattern = column // 2, bool(column % 2)
            else:
                keys = [(0, code) for code in range(b.varint())]
            has_value = integers_of(b.text(), len(keys))
            values = iter(integers_of(b.text(), sum(has_value)))
            self.followers[column, is_pattern] = {key: next(values) for key, has in zip(keys, has_value) if has}

    def expected(self, blocks, column, count, rows=None, is_pattern=False):
        """What follows for a column's values from a group's `count` rows, or from these of its rows."""
        table = self.followers.get((column, is_pattern))
        if table is None or 4 not in blocks:
            return ()
        names = self.block(*blocks[4])
        if names.u8() != 1:
            return ()
        codes, families = self.name_codes(names, blocks, count), [0] * count
        if self.version >= 3 and 13 in blocks:
            families = [self.families[scope] for scope in self.scopes_of(blocks, count)]
        elif self.version >= 3:
            families = [self.families[0]] * count
        return [table.get((families[row], codes[row])) for row in (range(count) if rows is None else rows)]

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

    def texts(self, b, count, column, expected=(), expected_patterns=()):
        form, patterns = b.u8(), self.patterns.get(column, ())
        if form == 1:
            dictionary = self.dictionaries[column]
            if column == 4:
                return [dictionary[c] for c in self.name_codes(b, self.blocks, count)]
            return [dictionary[c] for c in read_integers(b, count, expected)]
        if form == 2:
            entries = b.varint()
            values = read_list(Bytes(b.text()), entries, patterns)
            return [values[c] for c in read_integers(b, count)]
        return read_list(b, count, patterns, expected_patterns)

    def column(self, blocks, column, count, kind):
        if column not in blocks:
            return [b"" if kind == "text" else 0] * count
        if column == 13 and self.version >= 3:
            return self.scopes_of(blocks, count)
        self.blocks = blocks
        b, expected = self.block(*blocks[column]), self.expected(blocks, column, count)
        if kind == "text":
            return self.texts(b, count, column, expected, self.expected(blocks, column, count, None, True))
        return read_integers(b, count, expected)

    def parents_of(self, blocks, count):
        """Links, steps (where the block has them), and the bytes of the ids that are elsewhere."""
        if 1 not in blocks:
            return [0] * count, None, Bytes(b"")
        b = self.block(*blocks[1])
        text, steps = Bytes(b.text()), None
        if text.data[0] == 9:
            text.u8()
            steps = self.parent_model.read(text, [0] * count)
        return links_of_steps(steps) if steps else read_integers(text, count), steps, Bytes(read_part(b))

    def scopes_of(self, blocks, count):
        if 13 not in blocks:
            return [0] * count
        b = self.block(*blocks[13])
        if b.data[0] != 8:
            return read_integers(b, count)
        b.u8()
        parents, steps, _ = self.parents_of(blocks, count)
        if b.data[1] == 9:
            b.u8()
            scopes = self.scope_model.read(b, [min(step, 15) for step in steps])
        else:
            scopes = read_integers(b, count)
        for i, scope in enumerate(scopes):
            scopes[i] = scope - 1 if scope else scopes[i - parents[i] // 2]
        return scopes

    def name_codes(self, b, blocks, count):
        if b.data[b.at] != 9:
            return read_integers(b, count)
        b.u8()
        parents, scopes, contexts = self.parents_of(blocks, count)[0], self.scopes_of(blocks, count), []
        for i, (link, scope) in enumerate(zip(parents, scopes)):
            is_before = link > 1 and link % 2 == 0 and link // 2 <= i
            contexts.append(2 * min(self.families[scope], 127) + int(is_before and scopes[i - link // 2] == scope))
        return self.name_model.read(b, contexts)

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
            expected, patterns = (self.expected(blocks, column, count, rows, p) if table == 0 else () for p in (False, True))
            if column not in blocks:  # all of it follows
                found = [self.dictionaries[column][v] if kind == 2 else v for v in expected]
            else:
                b = self.block(*blocks[column])
                found = read_doubles(b, uses) if kind == 1 else read_integers(b, uses, expected) if kind == 0 else self.texts(b, uses, column, expected, patterns)
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
            parents, _, foreign = self.parents_of(blocks, rows)
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

    def link_traces(self, blocks, links):
        if 23 not in blocks:
            return bytes(16 * links)
        b = self.block(*blocks[23])
        if b.data[0] != 3:
            return read_part(b)
        b.u8()
        numbers, traces = integers_of(b.text(), links), [trace for trace, _, _ in self.read_fragments()]
        others = Bytes(read_part(b))
        return b"".join(traces[n - 1] if n else others.take(16) for n in numbers)

    def read_children(self, blocks, events, links, spans):
        owners, times = (self.column(blocks, c, events, "") for c in (16, 17))
        names = self.column(blocks, 18, events, "text")
        for owner, time, name, attributes in zip(owners, times, names, self.read_attributes(blocks, 1, events, 20)):
            spans[owner]["events"].append((spans[owner]["start"] + time & MASK, name.decode(), attributes))
        owners = self.column(blocks, 22, links, "")
        ids = [self.link_traces(blocks, links), read_part(self.block(*blocks[24])) if 24 in blocks else bytes(8 * links)]
        for i, (owner, attributes) in enumerate(zip(owners, self.read_attributes(blocks, 2, links, 28))):
            spans[owner]["links"].append((ids[0][16 * i:16 * i + 16], ids[1][8 * i:8 * i + 8], attributes))


def fields_of(message):
    """(field number, value) of a protobuf message: bytes where it has a length."""
    b = Bytes(message)
    while b.at < len(message):
        key = b.varint()
        if key & 7 == 2:
            yield key >> 3, b.text()
        else:
            yield key >> 3, b.varint() if key & 7 == 0 else b.take(8 if key & 7 == 1 else 4)


def service_of(resource):
    service = b""
    for field, attribute in fields_of(resource):
        pair = dict(fields_of(attribute)) if field == 1 else {}
        if pair.get(1) == b"service.name":
            service = dict(fields_of(pair.get(2, b""))).get(1, b"")
    return service if isinstance(service, bytes) else b""


def name_of(scope):
    return dict(fields_of(scope)).get(1, b"")


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

"""Reads the files of a log by docs/format/log.md alone, apart from the program's own code: what this understands is
what the document says. Damage is an error here, but for what follows the last record."""
import collections
import ctypes
import os
import struct

from segment_reader import xxh3

_zstd = ctypes.CDLL("libzstd.so.1")
_zstd.ZSTD_decompress.restype = ctypes.c_size_t
_zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_getFrameContentSize.restype = ctypes.c_uint64
_zstd.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

Request = collections.namedtuple("Request", "position tenant arrival_ns payload")


def unpack(pack, position):
    size = _zstd.ZSTD_getFrameContentSize(pack, len(pack))
    assert size <= 16 << 20, size
    out = ctypes.create_string_buffer(size)
    assert _zstd.ZSTD_decompress(out, size, pack, len(pack)) == size
    data, at = out.raw, 0
    while at < size:
        tenant_bytes, _, payload_bytes, arrival_ns, checksum = struct.unpack_from("<HHIQQ", data, at)
        at += 24
        tenant, payload = data[at:at + tenant_bytes], data[at + tenant_bytes:at + tenant_bytes + payload_bytes]
        at += tenant_bytes + payload_bytes
        assert xxh3(payload) == checksum
        yield Request(position, tenant.decode(), arrival_ns, payload)
        position += 56 + tenant_bytes + payload_bytes


class LogFile:
    def __init__(self, data):
        for header in (data[:64], data[4096:4160]):
            magic, self.version, first, self.number, self.start, self.acknowledged_end, self.salt, self.former_bytes, checksum = struct.unpack("<8sII6Q", header)
            if magic == b"SPANLOG1" and xxh3(header[:56]) == checksum:
                break
        else:
            raise ValueError("no valid header")
        assert self.version in (1, 2) and first == 8192
        self.requests, self.packs, self.end = [], 0, self.start
        at = first
        while record := self._record(data, at):
            at = record

    def _record(self, data, at):
        """The offset behind the record at this one; None where there is none."""
        head = data[at:at + 56]
        if len(head) < 56 or head[:4] != b"SpLr":
            return None
        form, tenant_bytes, payload_bytes, extent, position, _, arrival_ns, checksum, head_checksum = struct.unpack_from("<HHII5Q", head, 4)
        tenant = data[at + 56:at + 56 + tenant_bytes]
        if xxh3(head[:48] + tenant, self.salt) != head_checksum:
            return None
        payload = data[at + 56 + tenant_bytes:at + 56 + tenant_bytes + payload_bytes]
        assert position == self.end and xxh3(payload) == checksum and form in (0, 1), at
        if form == 0:
            self.requests.append(Request(position, tenant.decode(), arrival_ns, payload))
            self.end += 56 + tenant_bytes + payload_bytes
        else:
            self.packs += 1
            self.requests.extend(unpack(payload, position))
            self.end += extent
            last = self.requests[-1]
            assert last.position + 56 + len(last.tenant) + len(last.payload) == self.end
        return at + 56 + tenant_bytes + payload_bytes


def read(directory):
    """The requests of all files, in order."""
    files = []
    for name in os.listdir(directory):
        if name.endswith(".log"):
            with open(os.path.join(directory, name), "rb") as file:
                files.append(LogFile(file.read()))
    files.sort(key=lambda file: (file.start, file.number))
    return [request for i, file in enumerate(files) for request in file.requests
            if i + 1 == len(files) or request.position < files[i + 1].acknowledged_end]

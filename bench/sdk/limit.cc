// What a span costs at least: a bare program that reads the processor's counter twice, makes ids
// and writes the OTLP bytes of the same spans as the other programs of ./dev bench sdk. No sampler,
// no limits, no checks of what is handed in, no context, one thread: a mark to hold an SDK against.
//
// usage: limit [NAME ...]
#include <array>
#include <cstring>

#include <x86intrin.h>

#include "sdk/measure.h"

namespace {

const std::vector<bench::Texts> texts = bench::make_texts();

uint64_t seeds[4] = {0x9e3779b97f4a7c15U, 0xbf58476d1ce4e5b9U, 0x94d049bb133111ebU, 1};

uint64_t rotate(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

// xoshiro256++.
uint64_t next_random() {
    const uint64_t result = rotate(seeds[0] + seeds[3], 23) + seeds[0];
    const uint64_t shifted = seeds[1] << 17;
    seeds[2] ^= seeds[0];
    seeds[3] ^= seeds[1];
    seeds[1] ^= seeds[2];
    seeds[0] ^= seeds[3];
    seeds[2] ^= shifted;
    seeds[3] = rotate(seeds[3], 45);
    return result;
}

// Short text without a call.
void copy(uint8_t* to, const char* from, size_t size) {
    if (size >= 16) {
        for (size_t i = 0; i + 16 < size; i += 16)
            std::memcpy(to + i, from + i, 16);
        std::memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        std::memcpy(to, from, 8);
        std::memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        std::memcpy(to, from, 4);
        std::memcpy(to + size - 4, from + size - 4, 4);
    } else {
        for (size_t i = 0; i < size; ++i)
            to[i] = static_cast<uint8_t>(from[i]);
    }
}

std::array<uint8_t, 2048> bytes;

// One span's bytes; every length is one byte here. A local value, so that its place stays in a
// register.
class Writer {
  public:
    void byte(size_t value) { *at_++ = static_cast<uint8_t>(value); }
    void word(uint64_t value) {
        std::memcpy(at_, &value, sizeof value);
        at_ += sizeof value;
    }
    void text(std::string_view text) {
        byte(text.size());
        copy(at_, text.data(), text.size());
        at_ += text.size();
    }
    void time(uint8_t tag, uint64_t ticks) {
        byte(tag);
        word(ticks);
    }
    void key(std::string_view key, size_t value_size, uint8_t tag = 0x4a) {
        byte(tag);
        byte(4 + key.size() + value_size);
        byte(0x0a);
        text(key);
        byte(0x12);
        byte(value_size);
    }
    void attribute(std::string_view name, std::string_view value, uint8_t tag = 0x4a) {
        key(name, 2 + value.size(), tag);
        byte(0x0a);
        text(value);
    }
    void attribute(std::string_view name, uint64_t value) {
        size_t size = 1;
        for (uint64_t rest = value; rest >= 0x80; rest >>= 7)
            ++size;
        key(name, 1 + size);
        byte(0x18);
        for (; value >= 0x80; value >>= 7)
            byte(value | 0x80);
        byte(value);
    }
    void attribute(std::string_view name, double value) {
        key(name, 9);
        byte(0x21);
        uint64_t bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        word(bits);
    }
    void attribute(std::string_view name, bool value) {
        key(name, 2);
        byte(0x10);
        byte(value ? 1 : 0);
    }

  private:
    uint8_t* at_ = bytes.data();
};

inline void start(Writer& writer, std::string_view name, bool is_child) {
    writer.byte(0x0a);
    writer.byte(16);
    writer.word(is_child ? 0x1122334455667788 : next_random());
    writer.word(is_child ? 0x99aabbccddeeff00 : next_random());
    writer.byte(0x12);
    writer.byte(8);
    writer.word(next_random());
    writer.time(0x39, __rdtsc());
    writer.byte(0x30);
    writer.byte(1);
    writer.byte(0x2a);
    writer.text(name);
    if (!is_child) return;
    writer.byte(0x22);
    writer.byte(8);
    writer.word(0x123456789abcdef0);
}

inline void end(Writer& writer) {
    writer.time(0x41, __rdtsc());
    bench::consume(bytes);
}

inline void set_4(Writer& writer, uint64_t i) {
    const bench::Texts& text = texts[i & 1023];
    writer.attribute("user.id", text.user);
    writer.attribute("http.route", text.route);
    writer.attribute("http.response.status_code", i);
    writer.attribute("server.address", text.address);
}

inline void set_10(Writer& writer, uint64_t i) {
    const bench::Texts& text = texts[i & 1023];
    set_4(writer, i);
    writer.attribute("k8s.pod.name", text.pod);
    writer.attribute("db.namespace", text.user);
    writer.attribute("server.port", uint64_t{5432});
    writer.attribute("app.ratio", static_cast<double>(i) * 0.5);
    writer.attribute("app.cached", (i & 1) == 0);
    writer.attribute("app.region", text.route);
}

inline void event(Writer& writer, uint64_t i) {
    const std::string_view user = texts[i & 1023].user;
    writer.byte(0x5a);
    writer.byte(9 + 12 + 6 + 9 + 2 + user.size());
    writer.time(0x09, __rdtsc());
    writer.byte(0x12);
    writer.text("cache.miss");
    writer.attribute("cache.key", user, 0x1a);
}

void spans(bench::Report& report) {
    report.time("start_end", [](uint64_t) {
        Writer writer;
        start(writer, "operation", false);
        end(writer);
    });
    report.time("attributes_4", [](uint64_t i) {
        Writer writer;
        start(writer, "operation", false);
        set_4(writer, i);
        end(writer);
    });
    report.time("attributes_10_event", [](uint64_t i) {
        Writer writer;
        start(writer, "operation", false);
        set_10(writer, i);
        event(writer, i);
        end(writer);
    });
    report.time("sampled_out", [](uint64_t) {
        uint64_t ids[3] = {next_random(), next_random(), next_random()};
        bench::consume(ids);
    });
    report.time("child_active", [](uint64_t) {
        Writer writer;
        start(writer, "child", true);
        end(writer);
    });
}

void primitives(bench::Report& report) {
    report.time("counter", [](uint64_t) {
        uint64_t ticks = __rdtsc();
        bench::consume(ticks);
    });
    report.time("clock_gettime", [](uint64_t) {
        timespec time = {};
        clock_gettime(CLOCK_MONOTONIC, &time);
        bench::consume(time);
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::Report report(argc, argv);
    spans(report);
    primitives(report);
    report.print();
    return 0;
}

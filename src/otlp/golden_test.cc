#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>
#include <simdjson.h>

#include "otlp/json.h"

// The files were made by the official protobuf definitions; see test/golden/make_otlp_golden.py.
namespace spanloom::otlp {
namespace {

std::string golden(std::string_view name) {
    const std::string path = std::string(SPANLOOM_GOLDEN "/") + std::string(name);
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file.good());
    return {std::istreambuf_iterator<char>(file), {}};
}

// Equal as JSON, whatever the order of keys and the way numbers are spelt.
bool is_same(simdjson::dom::element a, simdjson::dom::element b) {
    if (a.is_object() && b.is_object()) {
        simdjson::dom::object left = a;
        simdjson::dom::object right = b;
        if (left.size() != right.size()) return false;
        for (const auto field : left) {
            simdjson::dom::element other;
            if (right.at_key(field.key).get(other) || !is_same(field.value, other)) return false;
        }
        return true;
    }
    if (a.is_array() && b.is_array()) {
        simdjson::dom::array left = a;
        simdjson::dom::array right = b;
        if (left.size() != right.size()) return false;
        for (size_t i = 0; i < left.size(); ++i) {
            if (!is_same(left.at(i), right.at(i))) return false;
        }
        return true;
    }
    if (a.is_number() && b.is_number()) {
        const double left = a.get_double();
        const double right = b.get_double();
        return left == right && std::signbit(left) == std::signbit(right);
    }
    return simdjson::minify(a) == simdjson::minify(b);
}

std::string written(const Batch& batch, JsonForm form) {
    std::string text;
    JsonWriter out(text);
    write_traces_json(out, batch, form);
    return text;
}

}  // namespace

TEST_CASE("a request of the official library is written as that library writes it") {
    const Batch batch = decode(Blob::copy_of(golden("otlp_request.bin"))).value();
    CHECK(batch.spans.size() == 9);
    CHECK(batch.spans_rejected == 0);
    simdjson::dom::parser ours;
    simdjson::dom::parser theirs;
    CHECK(is_same(ours.parse(written(batch, JsonForm::kProto3)),
                  theirs.parse(golden("otlp_request.json"))));
}

TEST_CASE("a request survives the way to OTLP/JSON and back") {
    const Batch batch = decode(Blob::copy_of(golden("otlp_request.bin"))).value();
    const std::string json = written(batch, JsonForm::kOtlp);
    const Batch again = decode(json_to_protobuf(json).value()).value();
    CHECK(written(again, JsonForm::kOtlp) == json);
    CHECK(written(again, JsonForm::kProto3) == written(batch, JsonForm::kProto3));
}

}  // namespace spanloom::otlp

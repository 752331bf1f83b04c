#include "api/skeleton.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "otlp/tracestate.h"
#include "otlp/wire.h"

static_assert(std::endian::native == std::endian::little,
              "columns are written as they lie in memory");

namespace spanloom::api {
namespace {

constexpr uint32_t kMagic = 0x31544c53;  // "SLT1"
constexpr size_t kAlignment = 8;
// Rows that one finding lists; the message says how many there are.
constexpr size_t kFindingRowsMax = 100;
// An offset is written with blanks behind it, so that the header's length does not depend on it.
constexpr size_t kOffsetDigits = 12;

// Numbers distinct texts in the order in which they come.
class Names {
  public:
    uint32_t number_of(std::string_view text) {
        const auto [found, is_new] =
            numbers_.try_emplace(text, static_cast<uint32_t>(list_.size()));
        if (is_new) list_.push_back(text);
        return found->second;
    }
    const std::vector<std::string_view>& list() const { return list_; }

  private:
    struct TextHash {
        using is_avalanching = void;
        size_t operator()(std::string_view text) const { return hash64(text); }
    };

    boost::unordered_flat_map<std::string_view, uint32_t, TextHash> numbers_;
    std::vector<std::string_view> list_;
};

struct Column {
    std::string_view key;
    std::string_view type;
    std::string_view encoding;
    std::string bytes;
};

struct Finding {
    std::string_view rule;
    std::string message;
    std::vector<uint32_t> rows;
    uint64_t ns = 0;  // by how much, where it is about time
};

template <typename T>
std::string narrowed(const std::vector<uint64_t>& values) {
    std::string out(values.size() * sizeof(T), '\0');
    for (size_t i = 0; i < values.size(); ++i) {
        const auto value = static_cast<T>(values[i]);
        std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
    }
    return out;
}

std::string raw_bytes(const std::vector<uint64_t>& values, size_t width) {
    return width == 1   ? narrowed<uint8_t>(values)
           : width == 2 ? narrowed<uint16_t>(values)
                        : narrowed<uint32_t>(values);
}

std::string shuffled_bytes(const std::vector<uint64_t>& values, size_t first, size_t width) {
    std::string out(values.size() * width, '\0');
    for (size_t plane = 0; plane < width; ++plane) {
        char* to = out.data() + plane * values.size();
        const size_t shift = 8 * (first + plane);
        for (size_t i = 0; i < values.size(); ++i)
            to[i] = static_cast<char>(values[i] >> shift);
    }
    return out;
}

std::string_view unsigned_type(size_t width) {
    return width == 1 ? "u8" : width == 2 ? "u16" : "u32";
}

size_t width_for(uint64_t value_max) {
    return value_max < 256 ? 1 : value_max < 65'536 ? 2 : 4;
}

uint64_t children_flags(std::string_view span) {
    uint64_t flags = 0;
    otlp::WireReader reader(span);
    for (; reader.next(); reader.skip()) {
        if (reader.field() == 11) flags |= kFlagEvents;
        if (reader.field() == 13) flags |= kFlagLinks;
    }
    return flags;
}

// The place that a person would know it by.
std::string resource_label(const otlp::ResourceView& resource) {
    constexpr std::string_view kKeys[] = {"k8s.pod.name", "host.name", "service.instance.id",
                                          "container.id"};
    std::string_view found[std::size(kKeys)];
    for (const otlp::AttributeView& attribute : resource.attributes()) {
        for (size_t i = 0; i < std::size(kKeys); ++i) {
            if (attribute.key == kKeys[i] && attribute.value.type == otlp::ValueType::kString)
                found[i] = attribute.value.bytes;
        }
    }
    for (const std::string_view label : found) {
        if (!label.empty()) return std::string(label.substr(0, 120));
    }
    return "";
}

int64_t whole_seconds(uint64_t ns) {
    constexpr uint64_t kSecond = 1'000'000'000;
    return static_cast<int64_t>(ns / kSecond * kSecond);
}

class Skeleton {
  public:
    Skeleton(const traceql::Trace& trace, const std::optional<SpanId>& selected)
        : trace_(trace), selected_(selected), rows_(trace.preorder.size()) {}

    std::string write() {
        number_rows();
        mark_critical_path();
        fill_columns();
        find_problems();
        return assemble();
    }

  private:
    uint64_t late_ns(uint32_t row) const {
        return trace_.late_ns.empty() ? 0 : trace_.late_ns[row];
    }
    bool is_unended(uint32_t place) const { return ends_[place] < starts_[place]; }

    // One walk over the spans, which lie far apart in this order; the rest reads what is noted
    // here.
    void number_rows() {
        std::vector<uint32_t> place_of(rows_);
        for (uint32_t place = 0; place < rows_; ++place)
            place_of[trace_.preorder[place]] = place;
        flags_.resize(rows_);
        parents_.resize(rows_);
        starts_.resize(rows_);
        ends_.resize(rows_);
        name_.resize(rows_);
        if (trace_.root >= 0) root_ = place_of[trace_.root];
        for (uint32_t place = 0; place < rows_; ++place) {
            const uint32_t row = trace_.preorder[place];
            const otlp::SpanView& span = trace_.spans[row];
            const int32_t parent = trace_.parent[row];
            parents_[place] = parent >= 0 ? static_cast<int32_t>(place_of[parent]) : -1;
            starts_[place] = span.start_ns;
            ends_[place] = span.end_ns;
            name_[place] = names_.number_of(span.name);
            uint64_t flags = static_cast<uint64_t>(span.kind) << kFlagKindShift;
            if (span.status == otlp::StatusCode::kError) flags |= kFlagError;
            flags |= children_flags(span.message);
            if (parent == traceql::Trace::kOrphan) flags |= kFlagOrphan;
            if (span.end_ns < span.start_ns) flags |= kFlagUnended;
            if (late_ns(row) > 0) flags |= kFlagLate;
            flags_[place] = flags;
        }
    }

    // From the end of the earliest root backwards: of the children that end before the point
    // reached, the last one was waited for.
    void mark_critical_path() {
        if (rows_ == 0) return;
        // The children of a place are a run of `children`, which begins at first[place].
        std::vector<uint32_t> first(rows_ + 1, 0);
        for (uint32_t place = 0; place < rows_; ++place) {
            if (parents_[place] >= 0) ++first[parents_[place] + 1];
        }
        std::partial_sum(first.begin(), first.end(), first.begin());
        std::vector<uint32_t> children(first.back());
        std::vector<uint32_t> filled(first.begin(), first.end() - 1);
        for (uint32_t place = 0; place < rows_; ++place) {
            if (parents_[place] >= 0) children[filled[parents_[place]]++] = place;
        }
        std::vector<std::pair<uint32_t, uint64_t>> pending = {{root_, UINT64_MAX}};
        while (!pending.empty()) {
            const auto [place, until] = pending.back();
            pending.pop_back();
            flags_[place] |= kFlagCritical;
            uint64_t cursor = std::min(until, ends_[place]);
            const std::span<uint32_t> below(children.data() + first[place],
                                            first[place + 1] - first[place]);
            std::sort(below.begin(), below.end(),
                      [this](uint32_t a, uint32_t b) { return ends_[a] > ends_[b]; });
            for (const uint32_t child : below) {
                // Work that outlives its parent was not waited for.
                if (ends_[child] > cursor || is_unended(child)) continue;
                pending.emplace_back(child, cursor);
                cursor = starts_[child];
            }
        }
    }

    void fill_columns() {
        std::vector<uint64_t> start(rows_);
        std::vector<uint64_t> duration(rows_);
        std::vector<uint64_t> up(rows_);
        std::vector<uint64_t> resource(rows_);
        std::vector<uint32_t> number_of(trace_.resources.size(), UINT32_MAX);
        for (uint32_t place = 0; place < rows_; ++place) {
            const int32_t parent = parents_[place];
            const uint64_t origin = parent >= 0 ? starts_[parent] : trace_.start_ns;
            start[place] = starts_[place] - origin;
            if (starts_[place] < origin) is_signed_ = true;
            duration[place] = is_unended(place) ? 0 : ends_[place] - starts_[place];
            up[place] = parent >= 0 ? place - static_cast<uint32_t>(parent) : 0;
            const uint32_t in_trace = trace_.resource_of[trace_.preorder[place]];
            uint32_t& number = number_of[in_trace];
            if (number == UINT32_MAX)
                number = resources_.number_of(trace_.resources[in_trace].message);
            resource[place] = number;
        }
        add_time("start", "start_hi", start, is_signed_);
        add_time("dur", "dur_hi", duration, false);
        columns_.push_back({"up", "u32", "raw", raw_bytes(up, 4)});
        const size_t name_width = std::max<size_t>(2, width_for(names_.list().size()));
        columns_.push_back(
            {"name", unsigned_type(name_width), "raw", raw_bytes(name_, name_width)});
        const size_t resource_width = width_for(resources_.list().size());
        columns_.push_back(
            {"res", unsigned_type(resource_width), "raw", raw_bytes(resource, resource_width)});
        columns_.push_back({"flags", "u16", "raw", raw_bytes(flags_, 2)});
    }

    void add_time(std::string_view low, std::string_view high, const std::vector<uint64_t>& values,
                  bool has_sign) {
        uint64_t magnitude = 0;
        for (const uint64_t value : values) {
            const auto number = static_cast<int64_t>(value);
            const bool is_negative = has_sign && number < 0;
            const uint64_t bits = is_negative ? ~value : value;
            magnitude |= has_sign ? bits << 1 : bits;
            // The shift loses the top bit; such values need all bits anyway.
            if (has_sign && (bits >> 63) != 0) magnitude = UINT64_MAX;
        }
        columns_.push_back({low, "u32", "shuffle", shuffled_bytes(values, 0, 4)});
        if (magnitude <= UINT32_MAX) return;
        const size_t width = width_for(magnitude >> 32);
        columns_.push_back(
            {high, unsigned_type(width), "shuffle", shuffled_bytes(values, 4, width)});
    }

    void find_problems() {
        std::vector<uint32_t> orphans;
        std::vector<uint32_t> early;
        std::vector<uint32_t> unended;
        std::vector<uint32_t> late;
        uint64_t late_ns_max = 0;
        for (uint32_t place = 0; place < rows_; ++place) {
            const int32_t parent = parents_[place];
            if ((flags_[place] & kFlagOrphan) != 0) orphans.push_back(place);
            if (parent >= 0 && starts_[place] < starts_[parent]) early.push_back(place);
            if (is_unended(place)) unended.push_back(place);
            if ((flags_[place] & kFlagLate) == 0) continue;
            late.push_back(place);
            late_ns_max = std::max(late_ns_max, late_ns(trace_.preorder[place]));
        }
        missing_parents_ = orphans.size();
        if (!orphans.empty())
            findings_.push_back({"missing-parent",
                                 std::to_string(orphans.size()) +
                                     " span(s) name a parent that never arrived: it was not sent, "
                                     "is still running, or its service is not instrumented",
                                 std::move(orphans)});
        if (!early.empty())
            findings_.push_back({"clock-skew",
                                 std::to_string(early.size()) +
                                     " span(s) start before their parent: the clocks of the "
                                     "machines differ",
                                 std::move(early)});
        if (!unended.empty())
            findings_.push_back({"negative-duration",
                                 std::to_string(unended.size()) + " span(s) end before they start",
                                 std::move(unended)});
        if (!late.empty()) {
            const std::string by = format_duration_ns(whole_seconds(late_ns_max));
            findings_.push_back({"late",
                                 std::to_string(late.size()) + " span(s) came late, up to " + by +
                                     " after the rest of the trace was over: a sender was slow, or "
                                     "tried again",
                                 std::move(late), late_ns_max});
        }
    }

    int64_t selected_place() const {
        if (!selected_) return -1;
        for (uint32_t place = 0; place < rows_; ++place) {
            if (trace_.spans[trace_.preorder[place]].span_id == *selected_) return place;
        }
        return -1;
    }

    double weight() const {
        if (trace_.root < 0) return 1;
        const auto& state = trace_.spans[trace_.root].trace_state;
        return otlp::adjusted_count(state).value;
    }

    std::string header(const std::vector<size_t>& offsets) {
        std::string out;
        JsonWriter json(out);
        json.begin_object().field("v", 1).field("n", rows_);
        json.field("traceId", rows_ == 0 ? std::string() : trace_.spans[0].trace_id.hex());
        json.key("t0").quoted(trace_.start_ns);
        json.field("dur", trace_.end_ns - trace_.start_ns);
        write_names(json);
        json.field("sel", selected_place());
        json.field("complete", !trace_.is_partial && trace_.root >= 0 && missing_parents_ == 0);
        json.field("missingParents", missing_parents_);
        json.key("skew").begin_array().end_array();
        json.field("weight", weight()).field("keptBy", std::string_view());
        write_findings(json);
        json.field("signed", is_signed_);
        json.key("cols").begin_array();
        for (size_t i = 0; i < columns_.size(); ++i) {
            const Column& column = columns_[i];
            json.begin_object().field("k", column.key).field("t", column.type);
            json.field("enc", column.encoding);
            std::string offset = std::to_string(offsets[i]);
            offset.resize(kOffsetDigits, ' ');
            json.key("off").raw(offset);
            json.field("n", rows_).end_object();
        }
        json.end_array().end_object();
        return out;
    }

    void write_names(JsonWriter& json) {
        Names services;
        std::vector<std::pair<uint32_t, std::string>> resources;
        for (const std::string_view message : resources_.list()) {
            const auto view = otlp::ResourceView::parse(message);
            const std::string_view service = view.service_name();
            resources.emplace_back(services.number_of(service), resource_label(view));
        }
        json.key("services").begin_array();
        for (const std::string_view name : services.list())
            json.string(name);
        json.end_array().key("names").begin_array();
        for (const std::string_view name : names_.list())
            json.string(name);
        json.end_array().key("resources").begin_array();
        for (const auto& [service, label] : resources)
            json.begin_object().field("service", service).field("label", label).end_object();
        json.end_array();
    }

    void write_findings(JsonWriter& json) const {
        json.key("findings").begin_array();
        for (const Finding& finding : findings_) {
            json.begin_object().field("rule", finding.rule).field("message", finding.message);
            if (finding.ns > 0) json.key("ns").quoted(finding.ns);
            json.key("rows").begin_array();
            for (size_t i = 0; i < std::min(finding.rows.size(), kFindingRowsMax); ++i)
                json.number(finding.rows[i]);
            json.end_array().end_object();
        }
        json.end_array();
    }

    static size_t aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

    std::string assemble() {
        std::vector<size_t> offsets(columns_.size(), 0);
        const size_t header_bytes = aligned(header(offsets).size());
        size_t at = 8 + header_bytes;
        for (size_t i = 0; i < columns_.size(); ++i) {
            offsets[i] = at;
            at = aligned(at + columns_[i].bytes.size());
        }
        std::string out;
        out.reserve(at);
        const uint32_t lead[] = {kMagic, static_cast<uint32_t>(header_bytes)};
        out.append(reinterpret_cast<const char*>(lead), sizeof lead);
        out += header(offsets);
        out.resize(8 + header_bytes, ' ');
        for (const Column& column : columns_) {
            out += column.bytes;
            out.resize(aligned(out.size()), '\0');
        }
        return out;
    }

    const traceql::Trace& trace_;
    const std::optional<SpanId>& selected_;
    const size_t rows_;
    uint32_t root_ = 0;  // its place
    // By place in pre-order.
    std::vector<int32_t> parents_;  // -1: none
    std::vector<uint64_t> starts_;
    std::vector<uint64_t> ends_;
    std::vector<uint64_t> name_;
    std::vector<uint64_t> flags_;
    std::vector<Column> columns_;
    std::vector<Finding> findings_;
    Names names_;
    Names resources_;
    size_t missing_parents_ = 0;
    bool is_signed_ = false;
};

}  // namespace

std::string write_skeleton(const traceql::Trace& trace, const std::optional<SpanId>& selected) {
    return Skeleton(trace, selected).write();
}

}  // namespace spanloom::api

#include "base/metrics.h"

#include <fmt/format.h>

namespace spanloom {
namespace {

std::string render_labels(const Labels& labels) {
    if (labels.empty()) return "";
    std::string text = "{";
    for (const auto& [key, value] : labels) {
        if (text.size() > 1) text += ',';
        text += key + "=\"";
        append_label_value(text, value);
        text += '"';
    }
    return text + "}";
}

}  // namespace

void append_label_value(std::string& out, std::string_view value) {
    for (const char c : value) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
}

MetricsRegistry::Family& MetricsRegistry::family(std::string_view name, std::string_view help,
                                                 bool is_counter) {
    for (Family& family : families_) {
        if (family.name == name) return family;
    }
    Family& family = families_.emplace_back();
    family.name = name;
    family.help = help;
    family.is_counter = is_counter;
    return family;
}

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
    std::lock_guard lock(mutex_);
    Family& of = family(name, help, true);
    const std::string text = render_labels(labels);
    for (Series& series : of.series) {
        if (series.labels == text) return series.counter;
    }
    Series& series = of.series.emplace_back();
    series.labels = text;
    return series.counter;
}

void MetricsRegistry::gauge(std::string_view name, std::string_view help,
                            std::function<double()> read, Labels labels) {
    std::lock_guard lock(mutex_);
    Series& series = family(name, help, false).series.emplace_back();
    series.labels = render_labels(labels);
    series.read = std::move(read);
}

std::string MetricsRegistry::render() const {
    std::lock_guard lock(mutex_);
    std::string out;
    for (const Family& family : families_) {
        fmt::format_to(std::back_inserter(out), "# HELP spanloom_{} {}\n# TYPE spanloom_{} {}\n",
                       family.name, family.help, family.name,
                       family.is_counter ? "counter" : "gauge");
        for (const Series& series : family.series) {
            if (family.is_counter) {
                fmt::format_to(std::back_inserter(out), "spanloom_{}{} {}\n", family.name,
                               series.labels, series.counter.value());
            } else {
                fmt::format_to(std::back_inserter(out), "spanloom_{}{} {}\n", family.name,
                               series.labels, series.read());
            }
        }
    }
    return out;
}

uint64_t MetricsRegistry::total(std::string_view name) const {
    std::lock_guard lock(mutex_);
    uint64_t sum = 0;
    for (const Family& family : families_) {
        if (family.name != name) continue;
        for (const Series& series : family.series)
            sum += series.counter.value();
    }
    return sum;
}

}  // namespace spanloom

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "otlp/wire.h"
#include "otlp/writer.h"
#include "privacy/redact_otlp.h"
#include "privacy/redactor.h"

// Any text: what is found lies within it, in order; what is hidden is found no more; statements and
// URLs that are sanitised stay as they are; and a span around the text comes out whole.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace spanloom;
    using namespace spanloom::privacy;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::vector<Finding> findings;
    find_personal_data(text, "customer.phone", DetectorSet::all(), findings);
    size_t at = 0;
    for (const Finding& finding : findings) {
        if (finding.begin < at || finding.end <= finding.begin || finding.end > size) std::abort();
        at = finding.end;
    }

    std::string once;
    std::string twice;
    sanitize_urls(text, default_url_query_keys(), once);
    if (sanitize_urls(once, default_url_query_keys(), twice)) std::abort();
    for (const StatementKind kind :
         {StatementKind::kSql, StatementKind::kSqlMysql, StatementKind::kRedis})
        sanitize_statement(text, kind);

    static const Redactor redactor({});
    std::string span;
    otlp::WireWriter writer(span);
    writer.bytes_field(5, text);
    const size_t mark = writer.begin(9);
    writer.bytes_field(1, text.substr(0, size / 2));
    const size_t value = writer.begin(2);
    writer.bytes_field(1, text.substr(size / 2));
    writer.end(value);
    writer.end(mark);
    std::string out;
    if (redact_span(span, redactor, out)) {
        otlp::WireReader reader(out);
        while (reader.next())
            reader.skip();
    }
    return 0;
}

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "main/config.h"
#include "sampling/policy_import.h"

namespace spanloom {

// What each command does after its flags are read. All print their result to standard output,
// errors as one sentence to standard error, and return the exit code.

int run_serve(const Config& config);

struct DemoOptions {
    std::string endpoint = "http://127.0.0.1:4317";
    std::string protocol = "grpc";
    double spans_per_s = 200;
    uint64_t duration_ns = 0;               // 0: until it is stopped
    uint64_t history_ns = 600'000'000'000;  // traces spread over the past, sent first
    uint64_t seed = 0;                      // 0: from the system
    bool wait_for_server = false;
};
int run_demo(const DemoOptions& options);

int run_check(const std::string& data);

struct TraceOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string id;
    bool as_json = false;
};
int run_trace(const TraceOptions& options);

struct SearchOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string query = "{ }";
    std::string since = "1h";
    uint32_t limit = 20;
    bool as_json = false;
};
int run_search(const SearchOptions& options);

// Where the commands below find the store: a running server, or a data directory that none holds.
struct StorePlace {
    std::string server = "http://127.0.0.1:16686";
    std::string data;  // not "": read and change it here, without a server
};

struct BackupOptions {
    StorePlace place;
    std::string directory;
};
int run_backup(const BackupOptions& options);

struct RestoreOptions {
    std::string backup;
    std::string data;
    bool skips_verify = false;
};
int run_restore(const RestoreOptions& options);

struct DeleteOptions {
    StorePlace place;
    std::vector<std::string> traces;
    std::string query;
    std::string since;  // "": all time
    std::string by;
    std::string reason;
    bool is_sure = false;
    bool lists = false;
};
int run_delete(const DeleteOptions& options);

struct WhyOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string trace;
    bool as_json = false;
};
int run_why(const WhyOptions& options);

struct PreviewOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string config_path;  // whose rules; "": those in force
    std::string since;        // "": all that is recent
    bool as_json = false;
};
int run_preview(const PreviewOptions& options);

struct PinOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string trace;
    std::string by;
    std::string reason;
    bool removes = false;
    bool lists = false;
};
int run_pin(const PinOptions& options);

enum class ExportForm : uint8_t { kOtlp, kJson, kCsv };
struct ExportOptions {
    StorePlace place;
    ExportForm form = ExportForm::kJson;
    std::string query = "{ }";
    std::string since;  // "": all time
    std::string until;
    std::string output;  // "": standard output
};
int run_export(const ExportOptions& options);

struct ImportOptions {
    std::vector<std::string> files;
    std::string endpoint = "http://127.0.0.1:4317";
};
int run_import(const ImportOptions& options);

struct PolicyOptions {
    std::string file;
    std::string forward_to;  // "": rules for what is stored
    sampling::ImportOptions counted;
};
Result<sampling::ImportedPolicies> read_policies(std::string_view yaml,
                                                 const PolicyOptions& options);
int run_import_policies(const PolicyOptions& options);

struct QueryOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string query = "{ }";
    std::string since = "1h";
    std::string step;  // of series; empty: what fits
    uint32_t limit = 20;
    bool as_json = false;
    bool as_ndjson = false;
    bool explain = false;  // how it is answered, instead of what is found
};
int run_query(const QueryOptions& options);

struct TailOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string query = "{ }";
    uint64_t duration_ns = 0;  // 0: until it is stopped
    bool as_ndjson = false;
};
int run_tail(const TailOptions& options);

struct ListOptions {
    std::string server = "http://127.0.0.1:16686";
    std::string name;  // of a tag whose values are listed; empty: tags
    std::string since = "1h";
    bool as_json = false;
};
int run_services(const ListOptions& options);
int run_tags(const ListOptions& options);

// "spanloom: text" on standard error, and the exit code 1.
int report(const Error& error);

}  // namespace spanloom

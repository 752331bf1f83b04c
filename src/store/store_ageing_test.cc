#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/hash.h"
#include "otlp/tracestate.h"
#include "store/engine_fixture.h"
#include "store/hiding_segment.h"
#include "store/search.h"
#include "store/store_paths.h"

// Deletion, ageing, backups and documents, with nothing but a disk in memory below.
namespace spanloom::store {
namespace {

std::vector<TraceId> trace_ids(std::initializer_list<uint64_t> numbers) {
    std::vector<TraceId> ids;
    for (const uint64_t number : numbers)
        ids.push_back(test_trace_id(number));
    return ids;
}

Result<Deletion> erase(StoreFixture& f, std::initializer_list<uint64_t> traces) {
    DeletionRequest request;
    request.traces = trace_ids(traces);
    request.by = "ada";
    request.reason = "ticket 7";
    return f.store->erase(std::move(request));
}

// Spans of these traces gone from a range.
Numbers without(const Numbers& all, std::initializer_list<uint64_t> traces) {
    Numbers rest;
    for (const uint64_t number : all) {
        if (std::find(traces.begin(), traces.end(), number / 4) == traces.end())
            rest.push_back(number);
    }
    return rest;
}

// Nothing below the directory holds these bytes.
bool is_anywhere(const StoreFixture& f, std::string_view bytes) {
    const auto files = f.contents();
    return std::any_of(files.begin(), files.end(), [&](const auto& file) {
        return !file.first.starts_with("deletions/") &&
               file.second.find(bytes) != std::string::npos;
    });
}

constexpr uint64_t kHalf = otlp::kThresholdEnd / 2;

// What lies in the files of decisions.
std::vector<std::string> decisions_of(const StoreFixture& f) {
    std::vector<std::string> texts;
    for (const DecisionsFile& file : f.store->decisions("default")) {
        const auto opened = f.store->open_decisions(file);
        REQUIRE(opened.has_value());
        CHECK((*opened)->size() == file.bytes);
        texts.emplace_back((*opened)->read(0, (*opened)->size())->view());
    }
    return texts;
}

// Keeps traces with an even number by one rule, those that 3 divides by another, drops the rest.
Ageing two_rules(uint64_t three_for_ms = 12'600'000) {
    Ageing ageing;
    ageing.recent_for_ms = 3'600'000;
    ageing.verdict = [three_for_ms](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        AgeingAnswer answer;
        answer.rules = {{"even", 0}, {"three", three_for_ms}};
        for (const TraceId& id : question.traces) {
            const uint64_t number = trace_number(id);
            answer.rule_of.push_back(number % 2 == 0   ? 0
                                     : number % 3 == 0 ? 1
                                                       : AgeingAnswer::kDrop);
            answer.thresholds.push_back(number % 2 == 0 ? kHalf : 0);
        }
        answer.decisions = "decided about hour " + std::to_string(question.hour);
        return answer;
    };
    return ageing;
}

Numbers kept_by_two_rules(const Numbers& all) {
    Numbers rest;
    for (const uint64_t number : all) {
        const uint64_t trace = number / 4;
        if (trace % 2 == 0 || trace % 3 == 0) rest.push_back(number);
    }
    return rest;
}

}  // namespace

TEST_CASE("a deleted trace is seen no more at once, and is gone from every file afterwards") {
    StoreFixture f;
    f.open();
    REQUIRE(f.send(test_batch(0, 16, f.clock.wall_ns(), "alpha-name")).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.send(test_batch(16, 4, f.clock.wall_ns(), "omega-name")).has_value());
    REQUIRE(f.store->seal().has_value());
    REQUIRE(f.send(test_batch(20, 4, f.clock.wall_ns(), "third-name")).has_value());

    const Result<Deletion> deletion = erase(f, {1, 4, 5});
    REQUIRE(deletion.has_value());
    CHECK(deletion->traces == 3);
    CHECK(deletion->spans == 12);
    CHECK(deletion->by == "ada");

    const auto check_unseen = [&] {
        CHECK(f.stored() == without(range(0, 16), {1}));
        const auto segments = f.store->snapshot("default");
        for (const uint64_t trace : {1, 4, 5}) {
            const auto read = read_trace(segments, test_trace_id(trace));
            CHECK(read.error().code == ErrorCode::kNotFound);
        }
        const auto found = search(segments, {});
        REQUIRE(found.has_value());
        CHECK(found->traces.size() == 3);
        const auto others = read_trace(segments, test_trace_id(2));
        REQUIRE(others.has_value());
        CHECK(others->spans == 4);
    };
    check_unseen();
    f.kill();
    f.open();
    check_unseen();
    CHECK(is_anywhere(f, "omega-name"));
    REQUIRE(erase(f, {2}).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.store->settle().has_value());
    CHECK_FALSE(is_anywhere(f, "omega-name"));
    CHECK_FALSE(is_anywhere(f, "third-name"));
    CHECK(f.stored() == without(range(0, 16), {1, 2}));
    CHECK(f.store->state().hiding == 0);
    for (const Deletion& one : f.store->deletions())
        CHECK(one.erased_at_ns != 0);
    // The log that held them is gone too: nothing comes back.
    f.kill();
    f.open();
    CHECK(f.stored() == without(range(0, 16), {1, 2}));
}

TEST_CASE("deleted spans are no longer counted, before they are erased and afterwards") {
    StoreFixture f;
    // Counts: operations by name, with how many rows each has.
    f.options.rollup = [](const RollupRows& rows) {
        std::vector<int> counts(rows.operations.size());
        for (const uint32_t operation : rows.operation)
            ++counts[operation];
        std::string text;
        for (size_t i = 0; i < counts.size(); ++i)
            text += std::string(rows.operations[i].service) + "/" +
                    std::string(rows.operations[i].name) + " " + std::to_string(counts[i]) + "\n";
        return text;
    };
    f.open();
    REQUIRE(f.send(test_batch(0, 16, f.clock.wall_ns(), "call")).has_value());
    REQUIRE(f.send(test_batch(16, 4, f.clock.wall_ns(), "other")).has_value());
    REQUIRE(f.store->flush().has_value());
    const auto counted = [&] {
        std::string text;
        for (const auto& segment : f.store->snapshot("default")) {
            const auto rollup = segment->rollup();
            REQUIRE(rollup.has_value());
            const auto bytes = std::string(rollup->view());
            text += bytes;
        }
        return text;
    };
    CHECK(counted().find("shop/call 16\n") != std::string::npos);
    REQUIRE(erase(f, {1, 4}).has_value());
    CHECK(counted() == "shop/call 12\n");
    REQUIRE(f.store->settle().has_value());
    CHECK(f.store->state().hiding == 0);
    CHECK(counted() == "shop/call 12\n");
}

TEST_CASE("spans of a deleted trace that come later are deleted, until it is forgotten") {
    StoreFixture f;
    f.options.deletion_memory_ms = 1'000;
    f.open();
    REQUIRE(f.send(0, 6).has_value());
    REQUIRE(erase(f, {1}).has_value());
    REQUIRE(f.send(6, 2).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored() == range(0, 4));
    f.clock.advance(2'000'000'000);
    REQUIRE(f.store->settle().has_value());
    REQUIRE(f.send(test_batch(5, 1, f.clock.wall_ns(), "anew")).has_value());
    REQUIRE(f.store->flush().has_value());
    CHECK(f.stored() == Numbers{0, 1, 2, 3, 5});
    const auto records = f.store->deletions();
    REQUIRE(records.size() == 1);
    CHECK(records.front().reason == "ticket 7");
    CHECK(records.front().spans == 2);
}

TEST_CASE("what is not there cannot be deleted, and nothing is noted") {
    StoreFixture f;
    f.open();
    REQUIRE(f.send(0, 4).has_value());
    CHECK(erase(f, {9}).error().code == ErrorCode::kNotFound);
    CHECK(f.store->deletions().empty());
    CHECK(f.stored() == range(0, 4));
}

TEST_CASE("a damaged record of a deletion is read from its copy") {
    Deletion deletion;
    deletion.id = 3;
    deletion.tenant = "default";
    deletion.ids = trace_ids({1, 2});
    const std::string whole = encode_deletion(deletion);
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::string bytes = whole;
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
        bool copy_used = false;
        const auto read = decode_deletion(bytes, copy_used);
        REQUIRE(read.has_value());
        CHECK(read->ids == deletion.ids);
        CHECK(copy_used == (bit / 8 < whole.size() / 2));
    }
    for (size_t size = 0; size < whole.size(); ++size) {
        bool copy_used = false;
        const auto read = decode_deletion(std::string_view(whole).substr(0, size), copy_used);
        CHECK_FALSE(read.has_value());
    }
}

TEST_CASE("a number where a deletion's record has a text is passed over") {
    Deletion deletion;
    deletion.id = 3;
    const std::string whole = encode_deletion(deletion);
    std::string body = whole.substr(16, whole.size() / 2 - 16);
    body += "\x10\x05";  // field 2 as a varint
    const uint64_t checksum = hash64(body);
    std::string bytes = whole.substr(0, 8);
    bytes.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    bytes += body;
    bool copy_used = false;
    const auto read = decode_deletion(bytes + bytes, copy_used);
    REQUIRE(read.has_value());
    CHECK(read->id == 3);
    CHECK(read->tenant.empty());
}

TEST_CASE("an hour that ages moves what rules keep to its day, and drops the rest") {
    StoreFixture f;
    f.options.segment_spans_max = 16;
    f.open();
    REQUIRE(f.send(0, 40).has_value());
    REQUIRE(f.store->flush().has_value());
    f.store->set_ageing(two_rules());
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored() == range(0, 40));  // young
    f.clock.advance(3 * kHour);
    REQUIRE(f.store->settle().has_value());
    const Numbers kept = kept_by_two_rules(range(0, 40));
    CHECK(f.stored() == kept);
    for (const std::string& path : f.segment_paths())
        CHECK(path.starts_with("kept/default/2023111400-"));
    CHECK(f.store->state().kept_bytes == f.store->state().disk_bytes);
    CHECK(f.metrics.render().find("store_aged_traces_total 10") != std::string::npos);
    const std::map<uint64_t, uint64_t> thresholds = {{0, kHalf}, {2, kHalf}, {3, 0}, {4, kHalf},
                                                     {6, kHalf}, {8, kHalf}, {9, 0}};
    CHECK(f.thresholds() == thresholds);
    const std::vector<std::string> decisions = {"decided about hour " +
                                                std::to_string(kNow / kHour)};
    CHECK(decisions_of(f) == decisions);
    f.kill();
    f.open();
    CHECK(f.stored() == kept);
    CHECK(f.thresholds() == thresholds);
    CHECK(decisions_of(f) == decisions);
    // The second rule keeps for three hours and a half, the first as long as there is room.
    f.clock.advance(kHour);
    REQUIRE(f.store->settle().has_value());
    Numbers even;
    for (const uint64_t number : range(0, 40)) {
        if (number / 4 % 2 == 0) even.push_back(number);
    }
    CHECK(f.stored() == even);
    REQUIRE(f.store->flush().has_value());
    f.store.reset();
    const auto report = check_data(f.io, {});
    REQUIRE(report.has_value());
    CHECK(report->damage.empty());
}

TEST_CASE("a crash at any call while an hour ages gives all of before or all of after") {
    const auto prepare = [](StoreFixture& f) {
        f.open();
        REQUIRE(f.send(0, 40).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(3 * kHour);
        f.store->set_ageing(two_rules());
    };
    StoreFixture whole;
    prepare(whole);
    const uint64_t before = whole.io.changes();
    REQUIRE(whole.store->settle().has_value());
    const uint64_t calls = whole.io.changes() - before;
    CHECK(calls > 8);
    for (uint64_t crash = 1; crash <= calls; ++crash) {
        StoreFixture f;
        prepare(f);
        CAPTURE(crash);
        f.crash_in_settle(crash);
        const Numbers stored = f.stored();
        const Numbers kept = kept_by_two_rules(range(0, 40));
        CHECK((stored == range(0, 40) || stored == kept));
        // What was decided is known exactly when it is done, and no file is left over.
        CHECK(decisions_of(f).size() == (stored == kept ? 1 : 0));
        f.store->set_ageing(two_rules());
        REQUIRE(f.store->settle().has_value());
        CHECK(f.stored() == kept);
        CHECK(decisions_of(f).size() == 1);
        const auto files = f.io.files();
        CHECK(std::count_if(files.begin(), files.end(), [](const std::string& path) {
                  return path.starts_with("decisions/");
              }) == 1);
    }
}

TEST_CASE(
    "too many bytes in recent age the oldest hour first, and rules have limits of their own") {
    StoreFixture f;
    f.open();
    for (uint64_t hour = 0; hour < 4; ++hour) {
        REQUIRE(f.send(hour * 40, 40).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(kHour);
    }
    Ageing ageing = two_rules(0);
    ageing.recent_for_ms = 0;
    ageing.recent_bytes_max = f.store->state().disk_bytes / 2;
    f.store->set_ageing(ageing);
    REQUIRE(f.store->settle().has_value());
    const Numbers stored = f.stored();
    const Numbers newest = range(120, 40);
    CHECK(std::includes(stored.begin(), stored.end(), newest.begin(), newest.end()));
    CHECK_FALSE(std::binary_search(stored.begin(), stored.end(), 4U));  // trace 1 was dropped
    CHECK(std::binary_search(stored.begin(), stored.end(), 0U));
    ageing.rule_bytes_max["even"] = 1;
    f.store->set_ageing(ageing);
    REQUIRE(f.store->settle().has_value());
    const Numbers rest = f.stored();
    CHECK_FALSE(std::binary_search(rest.begin(), rest.end(), 0U));
    CHECK(std::binary_search(rest.begin(), rest.end(), 12U));  // trace 3: the other
}

TEST_CASE("where no verdict can be had nothing goes undecided, and merging goes on") {
    StoreFixture f;
    f.options.merge_segments_min = 2;
    f.open();
    for (uint64_t i = 0; i < 2; ++i) {
        REQUIRE(f.send(i * 40, 40).has_value());
        REQUIRE(f.store->flush().has_value());
    }
    f.clock.advance(3 * kHour);
    f.options.retention_bytes = 1;
    f.open();
    Ageing broken = two_rules();
    broken.verdict = [](const AgeingQuestion&) -> Result<AgeingAnswer> {
        return fail(ErrorCode::kResourceExhausted, "too much");
    };
    f.store->set_ageing(broken);
    CHECK(f.store->settle().error().code == ErrorCode::kResourceExhausted);
    CHECK(f.stored() == range(0, 80));
    CHECK(f.store->state().segments == 1);
    f.store->set_ageing(two_rules());
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored().empty());  // decided, and then there was no room
    CHECK(decisions_of(f).size() == 1);
}

TEST_CASE("where there is no room recent hours give way down to a half, then the oldest kept go") {
    StoreFixture f;
    f.open();
    for (uint64_t hour = 0; hour < 12; ++hour) {
        REQUIRE(f.send(hour * 400, 400).has_value());
        REQUIRE(f.store->flush().has_value());
        f.clock.advance(kHour);
    }
    const uint64_t all_bytes = f.store->state().disk_bytes;
    f.options.retention_bytes = all_bytes / 2;
    f.open();
    Ageing ageing = two_rules();
    ageing.recent_for_ms = 0;
    ageing.verdict = [](const AgeingQuestion& question) -> Result<AgeingAnswer> {
        return AgeingAnswer{{{"all", 0}}, std::vector<uint32_t>(question.traces.size(), 0), {}, {}};
    };
    f.store->set_ageing(ageing);
    REQUIRE(f.store->settle().has_value());
    const StoreState state = f.store->state();
    CHECK(state.disk_bytes <= all_bytes / 2);
    const uint64_t recent_bytes = state.disk_bytes - state.kept_bytes;
    CHECK(recent_bytes <= all_bytes / 4);
    CHECK(recent_bytes > all_bytes / 8);
    const Numbers stored = f.stored();
    CHECK(stored.back() == 12 * 400 - 1);
    CHECK(stored.front() > 0);
    CHECK(stored.size() > 400 * 3);
}

TEST_CASE("files of decisions go when they are old, and come along into a backup") {
    StoreFixture f;
    f.options.decisions_ms = 7'200'000;
    f.open();
    REQUIRE(f.send(0, 40).has_value());
    REQUIRE(f.store->flush().has_value());
    f.clock.advance(3 * kHour);
    f.store->set_ageing(two_rules());
    REQUIRE(f.store->settle().has_value());
    CHECK(decisions_of(f).size() == 1);
    MemoryIo backup;
    REQUIRE(f.store->backup(backup, "there").has_value());
    StoreFixture g;
    REQUIRE(restore_backup(backup, g.io, RestoreCheck::kVerify, {}).has_value());
    g.open();
    CHECK(decisions_of(g) == decisions_of(f));
    f.clock.advance(2 * kHour);
    REQUIRE(f.store->settle().has_value());
    CHECK(decisions_of(f).empty());
    for (const std::string& path : f.io.files())
        CHECK_FALSE(path.starts_with("decisions/"));
    f.kill();
    f.open();
    CHECK(decisions_of(f).empty());
}

TEST_CASE("a trace that is kept for ever outlives its hour, is shown once, and can be released") {
    StoreFixture f;
    f.open();
    REQUIRE(f.send(0, 40).has_value());
    const Keeping for_ever{"pinned", Keeping::kForEver};
    CHECK(f.store->keep_traces("default", trace_ids({77}), for_ever).error().code ==
          ErrorCode::kNotFound);
    REQUIRE(f.store->keep_traces("default", trace_ids({1}), for_ever).has_value());
    f.kill();
    f.open();
    SearchRequest request;
    request.limit = 100;
    const auto found = search(f.store->snapshot("default"), request);
    REQUIRE(found.has_value());
    CHECK(found->traces.size() == 10);
    CHECK(found->traces.back().spans == 4);
    f.clock.advance(3 * kHour);
    Ageing ageing = two_rules();
    ageing.recent_bytes_max = 1;
    f.store->set_ageing(ageing);
    REQUIRE(f.store->settle().has_value());
    const auto has_one = [&] {
        const Numbers stored = f.stored();
        return std::binary_search(stored.begin(), stored.end(), 4U);
    };
    CHECK(has_one());  // its hour dropped it
    f.options.retention_ms = 1;
    f.clock.advance(3 * kHour);
    f.open();
    REQUIRE(f.store->settle().has_value());
    CHECK(has_one());
    CHECK(f.stored() == range(4, 4));
    REQUIRE(
        f.store->release_traces("default", trace_ids({1}), for_ever, {"pinned", 0}).has_value());
    CHECK(has_one());
    REQUIRE(f.store->settle().has_value());
    CHECK(f.stored().empty());
}

TEST_CASE("spans of 1970 and of 2262 lie in the partition of their arrival") {
    StoreFixture f;
    f.open();
    for (uint64_t i = 0; i < 50; ++i) {
        std::string bytes;
        otlp::WireWriter out(bytes);
        const size_t resource = out.begin(1);
        const size_t scope = out.begin(2);
        const size_t span = out.begin(2);
        out.bytes_field(1, test_trace_id(i).view());
        out.bytes_field(2, test_span_id(i).view());
        out.bytes_field(5, "far");
        out.fixed64_field(7, i % 2 == 0 ? i : 9'223'372'036'854'775'807ULL - i * kHour);
        out.fixed64_field(8, i % 3 == 0 ? 1 : UINT64_MAX);
        out.end(span);
        out.end(scope);
        out.end(resource);
        Result<Batch> batch = otlp::decode(Blob::copy_of(bytes));
        REQUIRE(batch.has_value());
        batch->arrival_ns = f.clock.wall_ns();
        REQUIRE(f.send(std::move(*batch)).has_value());
    }
    REQUIRE(f.store->flush().has_value());
    CHECK(f.segment_paths().size() == 1);
    CHECK(f.stored().size() == 50);
}

TEST_CASE("a backup made while the store works is a store of its own, with all up to then") {
    StoreFixture f;
    f.open();
    REQUIRE(f.send(0, 20).has_value());
    REQUIRE(f.store->flush().has_value());
    REQUIRE(f.send(20, 20).has_value());
    REQUIRE(erase(f, {2}).has_value());
    REQUIRE(f.store->documents()
                .put("default", "notes", {"first", 0, 1, "{\"text\":\"x\"}"}, 0)
                .has_value());
    MemoryIo backup;
    const Result<BackupReport> report = f.store->backup(backup, "/mnt/backup");
    REQUIRE(report.has_value());
    CHECK(report->segments > 0);
    REQUIRE(f.send(40, 20).has_value());  // after it
    const auto noted = f.store->documents().list("default", kBackupKind);
    REQUIRE(noted.has_value());
    CHECK(noted->size() == 1);
    CHECK(f.store->backup(backup, "again").error().code == ErrorCode::kAlreadyExists);

    StoreFixture g;
    const auto restored = restore_backup(backup, g.io, RestoreCheck::kVerify, {});
    REQUIRE(restored.has_value());
    CHECK(restored->spans == report->spans);
    g.open();
    CHECK(g.stored() == without(range(0, 40), {2}));
    CHECK(g.store->documents().get("default", "notes", "first")->body == "{\"text\":\"x\"}");
    CHECK(g.store->deletions().size() == 1);
    REQUIRE(g.send(60, 4).has_value());
    g.kill();
    g.open();
    CHECK(g.stored().size() == 40);

    // Damage in the backup is found before anything is restored.
    for (const std::string& path : backup.files()) {
        if (path.ends_with(".seg")) {
            backup.flip_bit(path, 8 * 60);
            break;
        }
    }
    StoreFixture h;
    CHECK(restore_backup(backup, h.io, RestoreCheck::kVerify, {}).error().code ==
          ErrorCode::kDataLoss);
    REQUIRE(backup.remove("BACKUP").has_value());
    CHECK(restore_backup(backup, h.io, RestoreCheck::kVerify, {}).error().code ==
          ErrorCode::kNotFound);
}

TEST_CASE("a document is changed only by who knows its version") {
    MemoryIo io;
    Documents documents(io);
    const auto put = [&](std::string body, std::optional<uint64_t> expected) {
        return documents.put("default", "searches", {"slow ones/../x", 0, 5, std::move(body)},
                             expected);
    };
    CHECK(put("{}", 7).error().code == ErrorCode::kNotFound);
    REQUIRE(put("{}", 0).has_value());
    CHECK(put("{}", 0).error().code == ErrorCode::kAlreadyExists);
    CHECK(put("{\"a\":1}", 1)->version == 2);
    CHECK(put("{\"a\":2}", 1).error().code == ErrorCode::kAlreadyExists);
    CHECK(documents.get("default", "searches", "slow ones/../x")->body == "{\"a\":1}");
    CHECK(documents.list("default", "searches")->size() == 1);
    CHECK(documents.list("other", "searches")->empty());
    for (const std::string& path : io.files())
        CHECK(path == "documents/default/searches/slow%20ones%2F%2E%2E%2Fx.doc");
    CHECK(documents.remove("default", "searches", "slow ones/../x", 1).error().code ==
          ErrorCode::kAlreadyExists);
    REQUIRE(documents.remove("default", "searches", "slow ones/../x", 2).has_value());
    CHECK(documents.get("default", "searches", "slow ones/../x").error().code ==
          ErrorCode::kNotFound);
    CHECK(put(std::string(kDocumentBytesMax + 1, 'x'), 0).error().code ==
          ErrorCode::kInvalidArgument);
}

TEST_CASE("a document is whole after a crash at any call, before or after its change") {
    for (uint64_t crash = 1; crash < 14; ++crash) {
        MemoryIo io;
        Documents documents(io);
        REQUIRE(documents.put("default", "notes", {"n", 0, 1, "before"}, 0).has_value());
        io.crash_at(io.changes() + crash);
        const auto changed = documents.put("default", "notes", {"n", 0, 2, "after"}, 1);
        SeededRandom dice(crash);
        io.restart(dice);
        const auto found = documents.get("default", "notes", "n");
        CAPTURE(crash);
        REQUIRE(found.has_value());
        CHECK((found->body == "after" || (!changed && found->body == "before")));
    }
}

}  // namespace spanloom::store

#include "base/io.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

namespace spanloom {
namespace {

struct Folder {
    Folder() {
        char name[] = "/tmp/spanloom-io-XXXXXX";
        path = mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
};

}  // namespace

TEST_CASE("what is appended in pieces is read back, and not beyond its end") {
    Folder folder;
    auto io = open_posix_io(folder.path + "/deep/er").value();
    auto file = io->create("log").value();
    std::vector<std::string> texts(1500, "piece ");  // more than one writev takes
    std::vector<std::string_view> pieces(texts.begin(), texts.end());
    pieces.push_back("");
    REQUIRE(file->append(pieces).has_value());
    REQUIRE(file->append("end").has_value());
    REQUIRE(file->sync().has_value());
    auto reading = io->open("log").value();
    CHECK(reading->size() == 9003);
    CHECK(reading->read(8994, 9).value().view() == "piece end");
    CHECK(reading->read(9000, 4).error().code == ErrorCode::kDataLoss);
    CHECK(reading->read(UINT64_MAX, 1).error().code == ErrorCode::kDataLoss);
    CHECK(io->read_all("log").value().size() == 9003);
}

TEST_CASE("a file that is overwritten keeps what is not reached") {
    Folder folder;
    auto io = open_posix_io(folder.path).value();
    CHECK(io->overwrite("log").error().code == ErrorCode::kNotFound);
    REQUIRE(io->create("log").value()->append("a long text").has_value());
    auto file = io->overwrite("log").value();
    REQUIRE(file->append("THE").has_value());
    REQUIRE(file->append("N").has_value());
    REQUIRE(file->sync().has_value());
    CHECK(io->read_all("log").value().view() == "THENng text");
    REQUIRE(file->append(" and then more").has_value());
    CHECK(io->read_all("log").value().view() == "THEN and then more");
}

TEST_CASE("directories list sorted, absent ones are empty, absent files are not found") {
    Folder folder;
    auto io = open_posix_io(folder.path).value();
    for (const char* name : {"b", "a", "c"})
        REQUIRE(io->create(name).has_value());
    CHECK(io->list("").value() == std::vector<std::string>{"a", "b", "c"});
    CHECK(io->list("nothing").value().empty());
    REQUIRE(io->rename("a", "z").has_value());
    REQUIRE(io->remove("b").has_value());
    REQUIRE(io->sync_directory("").has_value());
    CHECK(io->list("").value() == std::vector<std::string>{"c", "z"});
    CHECK(io->open("b").error().code == ErrorCode::kNotFound);
    CHECK(io->space().value().free_bytes > 0);
}

TEST_CASE("a lock is held by one at a time and given back") {
    Folder folder;
    auto io = open_posix_io(folder.path).value();
    {
        auto held = io->lock("lock");
        REQUIRE(held.has_value());
        CHECK(io->lock("lock").error().code == ErrorCode::kAlreadyExists);
    }
    CHECK(io->lock("lock").has_value());
}

TEST_CASE("a file in the way of the directory is named") {
    Folder folder;
    auto io = open_posix_io(folder.path).value();
    REQUIRE(io->create("file").has_value());
    const auto blocked = open_posix_io(folder.path + "/file");
    REQUIRE_FALSE(blocked.has_value());
    CHECK(blocked.error().message.find(folder.path + "/file") != std::string::npos);
}

}  // namespace spanloom

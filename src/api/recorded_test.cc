#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <re2/re2.h>

#include "api/test_server.h"
#include "otlp/writer.h"
#include "send/proto_reader.h"

using namespace spanloom;
using namespace spanloom::api;

namespace {

struct Recorded {
    std::vector<std::string> comment;
    std::string method;
    std::string target;
    TestServer::Fields fields;
    std::vector<std::string> body;
    std::vector<std::string> reply;
};

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    std::istringstream in{std::string(text)};
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

std::vector<Recorded> read(const std::string& path) {
    std::ifstream file(path);
    std::vector<Recorded> all(1);
    for (std::string line; std::getline(file, line);) {
        if (line.empty()) {
            if (!all.back().target.empty()) all.emplace_back();
        } else if (line.starts_with("#")) {
            all.back().comment.push_back(line);
        } else if (line.starts_with(">| ")) {
            all.back().body.push_back(line.substr(3));
        } else if (line.starts_with("> ") && all.back().target.empty()) {
            const size_t blank = line.find(' ', 2);
            all.back().method = line.substr(2, blank - 2);
            all.back().target = line.substr(blank + 1);
        } else if (line.starts_with("> ")) {
            // Names come in lower case from the connection.
            const size_t colon = line.find(": ");
            std::string name = line.substr(2, colon - 2);
            for (char& c : name)
                c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            all.back().fields.emplace_back(std::move(name), line.substr(colon + 2));
        } else {
            all.back().reply.push_back(line);
        }
    }
    if (all.back().target.empty()) all.pop_back();
    return all;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string out;
    for (const std::string& line : lines)
        out += (out.empty() ? "" : "\n") + line;
    return out;
}

// One field, as "8=\"{ }\"", "4=20" or "1.2=\"x\"".
void write_field(otlp::WireWriter& out, std::string_view field) {
    const size_t end = field.find_first_of(".=");
    const auto number = static_cast<uint32_t>(std::stoul(std::string(field.substr(0, end))));
    const std::string_view rest = field.substr(end + 1);
    if (field[end] == '.') {
        const size_t mark = out.begin(number);
        write_field(out, rest);
        out.end(mark);
    } else if (rest.starts_with('"')) {
        out.bytes_field(number, rest.substr(1, rest.size() - 2));
    } else {
        out.varint_field(number, std::stoull(std::string(rest)));
    }
}

bool is_text(std::string_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Fields by number, without knowing their names: texts, messages or numbers, as they look. A field
// that is `hidden` changes from version to version.
std::string shown(std::string_view message, uint32_t hidden = 0) {
    std::string out;
    send::ProtoReader reader(message);
    while (reader.next()) {
        if (!out.empty()) out += ' ';
        out += std::to_string(reader.field()) + "=";
        const std::string_view bytes = reader.bytes();
        if (reader.field() == hidden) {
            out += 'N';
        } else if (bytes.data() == nullptr) {
            out += std::to_string(reader.number());
        } else if (is_text(bytes)) {
            out += '"' + std::string(bytes) + '"';
        } else {
            out += '{' + shown(bytes) + '}';
        }
    }
    return out;
}

std::string without_sizes(const std::string& text) {
    static const re2::RE2 sizes(R"re(("(?:inspectedBytes|totalBlockBytes)":)"\d+")re");
    std::string shown = text;
    re2::RE2::GlobalReplace(&shown, sizes, R"(\1"N")");
    return shown;
}

std::vector<std::string> ask_grpc(TestServer& server, const Recorded& recorded) {
    std::string message;
    otlp::WireWriter out(message);
    for (const std::string& field : recorded.body)
        write_field(out, field);
    const auto reply = server.call(recorded.target.substr(1), message, recorded.fields);
    std::vector<std::string> lines = {"< grpc-status " + reply.status};
    if (!reply.text.empty()) lines.push_back("<| " + reply.text);
    // The metrics, with what was read, come second.
    for (const std::string& one : reply.messages)
        lines.push_back("<| " + shown(one, 2));
    return lines;
}

std::vector<std::string> ask(const Recorded& recorded) {
    TestServer server({kShopTrace, kLaterTrace});
    if (recorded.method == "GRPC") return ask_grpc(server, recorded);
    const Reply reply =
        server.ask(recorded.method, recorded.target, recorded.fields, joined(recorded.body));
    const std::string_view type = reply.headers.get("content-type");
    std::vector<std::string> lines = {fmt::format("< {} {}", reply.status, type)};
    const bool is_protobuf = type.find("protobuf") != std::string_view::npos;
    for (const std::string& line :
         lines_of(is_protobuf ? shown(reply.body) : without_sizes(reply.body)))
        lines.push_back("<| " + line);
    return lines;
}

void write(const std::string& path, const std::vector<Recorded>& all) {
    std::ofstream file(path);
    for (size_t i = 0; i < all.size(); ++i) {
        if (i != 0) file << "\n";
        for (const std::string& line : all[i].comment)
            file << line << "\n";
        file << "> " << all[i].method << " " << all[i].target << "\n";
        for (const auto& [name, value] : all[i].fields)
            file << "> " << name << ": " << value << "\n";
        for (const std::string& line : all[i].body)
            file << ">| " << line << "\n";
        for (const std::string& line : all[i].reply)
            file << line << "\n";
    }
}

}  // namespace

TEST_CASE("what existing clients ask is answered as it was") {
    size_t asked = 0;
    for (const auto& entry : std::filesystem::directory_iterator(SPANLOOM_GOLDEN "/requests")) {
        const std::string path = entry.path();
        if (entry.path().extension() != ".txt") continue;
        std::vector<Recorded> all = read(path);
        for (Recorded& recorded : all) {
            CAPTURE(path);
            CAPTURE(recorded.target);
            std::vector<std::string> reply = ask(recorded);
            if (std::getenv("SPANLOOM_GOLDEN_UPDATE") != nullptr) {
                recorded.reply = std::move(reply);
            } else {
                CHECK(joined(reply) == joined(recorded.reply));
            }
            ++asked;
        }
        if (std::getenv("SPANLOOM_GOLDEN_UPDATE") != nullptr) write(path, all);
    }
    CHECK(asked > 60);
}

#include "spanloom/instrumentation/libpq.h"

#include <memory>

#include "test/sdk/real_servers.h"
#include "test/sdk/recorded_spans.h"

using namespace spanloom;
using spanloom::test::as_json;
using spanloom::test::is_child;
using spanloom::test::RecordedSpans;

namespace {

// One server for all cases.
const test::PostgresServer& postgres() {
    static const test::PostgresServer server;
    return server;
}

struct Connected {
    RecordedSpans spans;
    PGconn* raw = PQconnectdb(postgres().connection_string().c_str());
    PqConnection database{spans.tracer, raw};

    Connected() {
        REQUIRE(PQstatus(raw) == CONNECTION_OK);
        PQclear(PQexec(raw,
                       "SET client_min_messages = error; DROP TABLE IF EXISTS users; CREATE TABLE "
                       "users (id int primary key, email text)"));
    }
    ~Connected() { PQfinish(raw); }
};

// Checks and forgets.
ExecStatusType status(PGresult* result) {
    const ExecStatusType found = PQresultStatus(result);
    PQclear(result);
    return found;
}

}  // namespace

TEST_CASE("libpq: a statement is a client span without its data") {
    Connected at;
    const ActiveSpan parent = at.spans.tracer.start_active("parent");
    CHECK(status(at.database.exec("INSERT INTO users VALUES (7, 'ann@example.com')")) ==
          PGRES_COMMAND_OK);
    CHECK(status(at.database.exec("SELECT email FROM users WHERE id = 7")) == PGRES_TUPLES_OK);
    const auto insert = at.spans.named("INSERT users");
    CHECK(insert.attribute("db.query.text") == as_json("INSERT INTO users VALUES (?, ...)"));
    const auto select = at.spans.named("SELECT users");
    CHECK(select.kind == SpanKind::kClient);
    CHECK(select.parent_span_id == parent.context().span_id().hex());
    CHECK(select.attribute("db.system.name") == as_json("postgresql"));
    CHECK(select.attribute("db.namespace") == as_json("postgres"));
    CHECK(select.attribute("db.query.summary") == as_json("SELECT users"));
    CHECK(select.attribute("db.query.text") == as_json("SELECT email FROM users WHERE id = ?"));
    CHECK(select.attribute("server.address") == as_json("127.0.0.1"));
    CHECK(select.attribute("server.port") == std::to_string(postgres().port()));
    CHECK(select.attribute("network.peer.address") == as_json("127.0.0.1"));
    CHECK(select.attribute("error.type").empty());
    CHECK(select.status == StatusCode::kUnset);
    for (const auto& span : at.spans.all()) {
        CHECK(span.message.find("ann@") == std::string::npos);
    }
}

TEST_CASE("libpq: parameters and prepared statements") {
    Connected at;
    const char* values[] = {"8", "bob@example.com"};
    CHECK(status(at.database.exec_params("INSERT INTO users VALUES ($1, $2)", 2, nullptr, values,
                                         nullptr, nullptr, 0)) == PGRES_COMMAND_OK);
    CHECK(at.spans.named("INSERT users").attribute("db.query.text") ==
          as_json("INSERT INTO users VALUES ($1, $2)"));
    CHECK(status(at.database.prepare("find", "SELECT * FROM users WHERE id = $1", 1, nullptr)) ==
          PGRES_COMMAND_OK);
    CHECK(at.spans.named("PREPARE SELECT users").status == StatusCode::kUnset);
    CHECK(status(at.database.exec_prepared("find", 1, values, nullptr, nullptr, 0)) ==
          PGRES_TUPLES_OK);
    const auto found = at.spans.named("SELECT users");
    CHECK(found.attribute("db.query.text") == as_json("SELECT * FROM users WHERE id = $1"));
    CHECK(found.message.find("bob@") == std::string::npos);
    // Prepared by somebody else.
    CHECK(status(at.database.exec_prepared("unknown", 1, values, nullptr, nullptr, 0)) ==
          PGRES_FATAL_ERROR);
    CHECK(at.spans.named("EXECUTE unknown").attribute("error.type") == as_json("26000"));
}

TEST_CASE("libpq: an error is its SQLSTATE, and does not quote data") {
    Connected at;
    CHECK(status(at.database.exec("INSERT INTO users VALUES ('secret')")) == PGRES_FATAL_ERROR);
    const auto failed = at.spans.last();
    CHECK(failed.status == StatusCode::kError);
    CHECK(failed.attribute("error.type") == as_json("22P02"));
    CHECK(failed.attribute("db.response.status_code") == as_json("22P02"));
    CHECK(failed.message.find("secret") == std::string::npos);
}

TEST_CASE("libpq: asynchronous statements end with their last result") {
    Connected at;
    REQUIRE(at.database.send_query("SELECT 1; SELECT * FROM users") == 1);
    CHECK(at.spans.all().empty());
    CHECK(status(at.database.get_result()) == PGRES_TUPLES_OK);
    CHECK(status(at.database.get_result()) == PGRES_TUPLES_OK);
    CHECK(at.spans.all().empty());
    CHECK(at.database.get_result() == nullptr);
    CHECK(at.spans.last().name == "SELECT SELECT users");
    at.spans.clear();

    REQUIRE(PQenterPipelineMode(at.raw) == 1);
    REQUIRE(at.database.send_query_params("SELECT 1", 0, nullptr, nullptr, nullptr, nullptr, 0) ==
            1);
    REQUIRE(at.database.send_query_params("SELECT * FROM nowhere", 0, nullptr, nullptr, nullptr,
                                          nullptr, 0) == 1);
    REQUIRE(at.database.send_prepare("later", "SELECT 2", 0, nullptr) == 1);
    REQUIRE(PQpipelineSync(at.raw) == 1);
    CHECK(status(at.database.get_result()) == PGRES_TUPLES_OK);
    CHECK(at.database.get_result() == nullptr);
    CHECK(status(at.database.get_result()) == PGRES_FATAL_ERROR);
    CHECK(at.database.get_result() == nullptr);
    CHECK(status(at.database.get_result()) == PGRES_PIPELINE_ABORTED);
    CHECK(at.database.get_result() == nullptr);
    CHECK(status(at.database.get_result()) == PGRES_PIPELINE_SYNC);
    REQUIRE(at.spans.all().size() == 3);
    CHECK(at.spans.named("SELECT").status == StatusCode::kUnset);
    CHECK(at.spans.named("SELECT nowhere").attribute("error.type") == as_json("42P01"));
    CHECK(at.spans.named("PREPARE SELECT").attribute("error.type") == as_json("pipeline_aborted"));
}

TEST_CASE("libpq: a lost connection is said to be lost") {
    Connected at;
    CHECK(status(at.database.exec("SELECT pg_terminate_backend(pg_backend_pid())")) ==
          PGRES_FATAL_ERROR);
    CHECK(at.spans.last().attribute("error.type") == as_json("connection_lost"));
    CHECK(status(at.database.exec("SELECT 1")) == PGRES_FATAL_ERROR);
    CHECK(at.spans.last().attribute("error.type") == as_json("connection_lost"));
    CHECK(at.database.send_query("SELECT 1") == 0);
    CHECK(at.spans.last().attribute("error.type") == as_json("connection_lost"));
}

TEST_CASE("libpq: the text can be kept as it is, or left out") {
    Connected at;
    PqConnection as_written(at.spans.tracer, at.raw, PqQueryText::kAsWritten);
    PQclear(as_written.exec("SELECT 1"));
    CHECK(at.spans.last().attribute("db.query.text") == as_json("SELECT 1"));
    PqConnection without(at.spans.tracer, at.raw, PqQueryText::kNone);
    PQclear(without.exec("SELECT 1"));
    CHECK(at.spans.last().attribute("db.query.text").empty());
    CHECK(at.spans.last().attribute("db.query.summary") == as_json("SELECT"));
}

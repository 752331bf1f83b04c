#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include <libpq-fe.h>

#include "spanloom/span.h"
#include "spanloom/tracer.h"

namespace spanloom {

// What of a statement's text a span shows. Parameters' values are never shown.
enum class PqQueryText { kSanitized, kAsWritten, kNone };

// A libpq connection whose statements are spans: the functions of libpq under their own names, with
// the connection left out. The connection is the caller's and must outlive this; one thread at a
// time, as libpq wants it.
//
//     PqConnection database(tracer, PQconnectdb("dbname=shop"));
//     PGresult* rows = database.exec_params("SELECT * FROM users WHERE id = $1", 1, ...);
//
// A span is named by what the statement does ("SELECT users"). Its text has `?` in place of
// literals; `error.type` and `db.response.status_code` are the SQLSTATE, or `connection_lost`. The
// server's error message is left out, because it quotes data. `db.namespace` is the database of the
// connection.
class PqConnection {
  public:
    PqConnection(Tracer tracer, PGconn* connection,
                 PqQueryText query_text = PqQueryText::kSanitized);

    PGresult* exec(const char* query);
    PGresult* exec_params(const char* query, int count, const Oid* types, const char* const* values,
                          const int* lengths, const int* formats, int result_format);
    PGresult* prepare(const char* name, const char* query, int count, const Oid* types);
    PGresult* exec_prepared(const char* name, int count, const char* const* values,
                            const int* lengths, const int* formats, int result_format);

    // Asynchronous calls, also in pipeline mode: a span ends where `get_result` gives null for its
    // statement. Wait with PQconsumeInput and PQisBusy on the connection as usual.
    int send_query(const char* query);
    int send_query_params(const char* query, int count, const Oid* types, const char* const* values,
                          const int* lengths, const int* formats, int result_format);
    int send_prepare(const char* name, const char* query, int count, const Oid* types);
    int send_query_prepared(const char* name, int count, const char* const* values,
                            const int* lengths, const int* formats, int result_format);
    PGresult* get_result();

    PGconn* connection() const noexcept { return connection_; }

  private:
    struct Statement {
        std::string text;
        std::string summary;
    };
    struct Pending {
        Span span;
        bool has_result = false;
    };

    Statement describe(std::string_view query) const;
    void remember(const char* name, const Statement& statement);
    Statement prepared(const char* name) const;
    Span start(const Statement& statement);
    Span start_prepare(const Statement& statement);
    void set_result(Span& span, const PGresult* result);
    PGresult* finish(Span span, PGresult* result);
    int sent(Span span, int is_sent);

    Tracer tracer_;
    PGconn* connection_;
    PqQueryText query_text_;
    std::string database_;
    std::string host_;
    std::string peer_;
    uint16_t port_ = 0;
    std::unordered_map<std::string, Statement> prepared_;  // by name; up to kPreparedMax
    std::deque<Pending> pending_;
};

}  // namespace spanloom

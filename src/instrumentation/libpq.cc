#include "spanloom/instrumentation/libpq.h"

#include <cstdlib>
#include <utility>

#include "instrumentation/sql.h"

namespace spanloom {
namespace {

// Later ones are named by EXECUTE and their name.
constexpr size_t kPreparedMax = 1024;
constexpr uint16_t kDefaultPort = 5432;

std::string text_or_empty(const char* text) {
    return text == nullptr ? "" : text;
}

bool is_error(ExecStatusType status) {
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

}  // namespace

PqConnection::PqConnection(Tracer tracer, PGconn* connection, PqQueryText query_text)
    : tracer_(tracer),
      connection_(connection),
      query_text_(query_text),
      database_(text_or_empty(PQdb(connection))),
      host_(text_or_empty(PQhost(connection))),
      peer_(text_or_empty(PQhostaddr(connection))),
      port_(static_cast<uint16_t>(std::atoi(text_or_empty(PQport(connection)).c_str()))) {}

PqConnection::Statement PqConnection::describe(std::string_view query) const {
    const char* const standard = PQparameterStatus(connection_, "standard_conforming_strings");
    const bool is_standard = standard == nullptr || std::string_view(standard) != "off";
    const auto backslash =
        is_standard ? instrumentation::Backslash::kLiteral : instrumentation::Backslash::kEscape;
    auto described = instrumentation::describe_sql(query, backslash);
    switch (query_text_) {
        case PqQueryText::kSanitized:
            return {std::move(described.text), std::move(described.summary)};
        case PqQueryText::kAsWritten:
            return {std::string(query), std::move(described.summary)};
        case PqQueryText::kNone:
            break;
    }
    return {"", std::move(described.summary)};
}

void PqConnection::remember(const char* name, const Statement& statement) {
    if (prepared_.size() < kPreparedMax || prepared_.count(name) != 0) {
        prepared_[name] = statement;
    }
}

PqConnection::Statement PqConnection::prepared(const char* name) const {
    const auto found = prepared_.find(name);
    if (found != prepared_.end()) {
        return found->second;
    }
    return {"", std::string("EXECUTE ") + name};
}

Span PqConnection::start(const Statement& statement) {
    const Attribute attributes[] = {
        {"db.system.name", "postgresql"},
        {"db.namespace", database_},
        {"db.query.summary", statement.summary},
        {"server.address", host_},
        {"server.port", port_ == 0 ? kDefaultPort : port_},
        {"db.query.text", statement.text},
    };
    SpanOptions options;
    options.kind = SpanKind::kClient;
    options.attributes =
        AttributeList(attributes, std::size(attributes) - (statement.text.empty() ? 1 : 0));
    Span span = tracer_.start_span(
        statement.summary.empty() ? std::string_view("postgresql") : statement.summary, options);
    if (!peer_.empty()) {
        span.set_attribute("network.peer.address", peer_);
        span.set_attribute("network.peer.port", port_);
    }
    return span;
}

Span PqConnection::start_prepare(const Statement& statement) {
    return start({statement.text, "PREPARE " + statement.summary});
}

void PqConnection::set_result(Span& span, const PGresult* result) {
    if (!span.is_recording()) {
        return;
    }
    std::string_view error_type;
    if (result == nullptr) {
        error_type = PQstatus(connection_) == CONNECTION_BAD ? "connection_lost" : "_OTHER";
    } else if (PQresultStatus(result) == PGRES_PIPELINE_ABORTED) {
        error_type = "pipeline_aborted";
    } else if (is_error(PQresultStatus(result))) {
        const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (state != nullptr) {
            span.set_attribute("db.response.status_code", state);
            error_type = state;
        } else {
            error_type = PQstatus(connection_) == CONNECTION_BAD ? "connection_lost" : "_OTHER";
        }
    }
    if (!error_type.empty()) {
        span.set_attribute("error.type", error_type);
        span.set_status(StatusCode::kError);
    }
}

PGresult* PqConnection::finish(Span span, PGresult* result) {
    set_result(span, result);
    return result;
}

PGresult* PqConnection::exec(const char* query) {
    Span span = start(describe(query));
    return finish(std::move(span), PQexec(connection_, query));
}

PGresult* PqConnection::exec_params(const char* query, int count, const Oid* types,
                                    const char* const* values, const int* lengths,
                                    const int* formats, int result_format) {
    Span span = start(describe(query));
    return finish(std::move(span), PQexecParams(connection_, query, count, types, values, lengths,
                                                formats, result_format));
}

PGresult* PqConnection::prepare(const char* name, const char* query, int count, const Oid* types) {
    const Statement statement = describe(query);
    Span span = start_prepare(statement);
    PGresult* const result = PQprepare(connection_, name, query, count, types);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        remember(name, statement);
    }
    return finish(std::move(span), result);
}

PGresult* PqConnection::exec_prepared(const char* name, int count, const char* const* values,
                                      const int* lengths, const int* formats, int result_format) {
    Span span = start(prepared(name));
    return finish(std::move(span), PQexecPrepared(connection_, name, count, values, lengths,
                                                  formats, result_format));
}

int PqConnection::sent(Span span, int is_sent) {
    if (is_sent == 1) {
        pending_.push_back({std::move(span), false});
    } else {
        set_result(span, nullptr);
    }
    return is_sent;
}

int PqConnection::send_query(const char* query) {
    Span span = start(describe(query));
    return sent(std::move(span), PQsendQuery(connection_, query));
}

int PqConnection::send_query_params(const char* query, int count, const Oid* types,
                                    const char* const* values, const int* lengths,
                                    const int* formats, int result_format) {
    Span span = start(describe(query));
    return sent(std::move(span), PQsendQueryParams(connection_, query, count, types, values,
                                                   lengths, formats, result_format));
}

int PqConnection::send_prepare(const char* name, const char* query, int count, const Oid* types) {
    const Statement statement = describe(query);
    Span span = start_prepare(statement);
    const int is_sent = PQsendPrepare(connection_, name, query, count, types);
    if (is_sent == 1) {
        remember(name, statement);
    }
    return sent(std::move(span), is_sent);
}

int PqConnection::send_query_prepared(const char* name, int count, const char* const* values,
                                      const int* lengths, const int* formats, int result_format) {
    Span span = start(prepared(name));
    return sent(std::move(span), PQsendQueryPrepared(connection_, name, count, values, lengths,
                                                     formats, result_format));
}

PGresult* PqConnection::get_result() {
    PGresult* const result = PQgetResult(connection_);
    if (pending_.empty()) {
        return result;
    }
    Pending& front = pending_.front();
    if (result == nullptr) {
        if (front.has_result) {
            pending_.pop_front();
        } else if (PQstatus(connection_) == CONNECTION_BAD) {
            set_result(front.span, nullptr);
            pending_.pop_front();
        }
    } else if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        front.has_result = true;
        set_result(front.span, result);
    }
    return result;
}

}  // namespace spanloom

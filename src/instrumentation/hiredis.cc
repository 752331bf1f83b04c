#include "spanloom/instrumentation/hiredis.h"

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "instrumentation/redis_command.h"
#include "spanloom/flow.h"

namespace spanloom {
namespace {

using instrumentation::RedisCommand;

constexpr int kDefaultPort = 6379;

detail::RedisServer server_of(const redisContext* connection, int database) {
    detail::RedisServer server;
    server.database = database;
    if (connection == nullptr) {
        return server;
    }
    if (connection->connection_type == REDIS_CONN_UNIX && connection->unix_sock.path != nullptr) {
        server.address = connection->unix_sock.path;
    } else if (connection->tcp.host != nullptr) {
        server.address = connection->tcp.host;
        server.port =
            static_cast<uint16_t>(connection->tcp.port == 0 ? kDefaultPort : connection->tcp.port);
    }
    return server;
}

// A command as hiredis formats it; freed with it.
class Formatted {
  public:
    Formatted(const char* format, va_list arguments)
        : size_(redisvFormatCommand(&text_, format, arguments)) {}
    Formatted(int count, const char** arguments, const size_t* sizes)
        : size_(redisFormatCommandArgv(&text_, count, arguments, sizes)) {}
    Formatted(const Formatted&) = delete;
    Formatted& operator=(const Formatted&) = delete;
    ~Formatted() {
        if (size_ > 0) {
            redisFreeCommand(text_);
        }
    }
    bool is_good() const { return size_ > 0; }
    std::string_view text() const { return {text_, static_cast<size_t>(size_)}; }

  private:
    char* text_ = nullptr;
    int size_;
};

Span start(const Tracer& tracer, const detail::RedisServer& server, const RedisCommand& command) {
    const std::string database = std::to_string(server.database);
    std::vector<Attribute> attributes = {{"db.system.name", "redis"},
                                         {"db.operation.name", command.operation},
                                         {"db.namespace", database},
                                         {"db.query.text", command.text}};
    if (!server.address.empty()) {
        attributes.push_back({"server.address", server.address});
    }
    if (server.port != 0) {
        attributes.push_back({"server.port", server.port});
    }
    if (!command.procedure.empty()) {
        attributes.push_back({"db.stored_procedure.name", command.procedure});
    }
    SpanOptions options;
    options.kind = SpanKind::kClient;
    options.attributes = attributes;
    return tracer.start_span(command.operation, options);
}

void set_error(Span& span, std::string_view error_type) {
    span.set_attribute("error.type", error_type);
    span.set_status(StatusCode::kError);
}

std::string_view error_type_of(int error) {
    switch (error) {
        case REDIS_ERR_IO:
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT ? "timeout"
                                                                                 : "io_error";
        case REDIS_ERR_EOF:
            return "connection_closed";
        case REDIS_ERR_PROTOCOL:
            return "protocol_error";
        case REDIS_ERR_OOM:
            return "out_of_memory";
        default:
            return "_OTHER";
    }
}

void set_reply(Span& span, const redisReply* reply, int error) {
    if (reply == nullptr) {
        set_error(span, error_type_of(error));
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        const std::string_view message(reply->str, static_cast<size_t>(reply->len));
        const std::string_view prefix = message.substr(0, message.find(' '));
        span.set_attribute("db.response.status_code", prefix);
        set_error(span, prefix);
    }
}

bool is_word(std::string_view a, std::string_view upper_case) {
    return a.size() == upper_case.size() && strncasecmp(a.data(), upper_case.data(), a.size()) == 0;
}

// The database a SELECT asks for.
std::optional<int> selected_database(const std::vector<std::string_view>& arguments) {
    if (arguments.size() != 2 || !is_word(arguments[0], "SELECT")) {
        return std::nullopt;
    }
    return std::atoi(std::string(arguments[1]).c_str());
}

}  // namespace

RedisConnection::RedisConnection(Tracer tracer, redisContext* connection, int database)
    : tracer_(tracer), connection_(connection), server_(server_of(connection, database)) {}

redisReply* RedisConnection::run(std::string_view formatted) {
    const auto arguments = instrumentation::read_redis_command(formatted);
    Span span = start(tracer_, server_, instrumentation::describe_redis(arguments));
    void* answer = nullptr;
    if (redisAppendFormattedCommand(connection_, formatted.data(), formatted.size()) == REDIS_OK) {
        redisGetReply(connection_, &answer);
    }
    auto* const reply = static_cast<redisReply*>(answer);
    set_reply(span, reply, connection_->err);
    if (const auto database = selected_database(arguments);
        database && reply != nullptr && reply->type != REDIS_REPLY_ERROR) {
        server_.database = *database;
    }
    return reply;
}

redisReply* RedisConnection::vcommand(const char* format, va_list arguments) {
    const Formatted formatted(format, arguments);
    return formatted.is_good() ? run(formatted.text()) : nullptr;
}

redisReply* RedisConnection::command(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply* const reply = vcommand(format, arguments);
    va_end(arguments);
    return reply;
}

redisReply* RedisConnection::command_argv(int count, const char** arguments, const size_t* sizes) {
    const Formatted formatted(count, arguments, sizes);
    return formatted.is_good() ? run(formatted.text()) : nullptr;
}

int RedisConnection::append(std::string_view formatted) {
    const auto command =
        instrumentation::describe_redis(instrumentation::read_redis_command(formatted));
    if (pipeline_.appended == 0) {
        pipeline_ = Pipeline();
        pipeline_.span = start(tracer_, server_, command);
        pipeline_.operation = command.operation;
        pipeline_.text = command.text;
    } else {
        if (command.operation != pipeline_.operation) {
            pipeline_.operation.clear();
        }
        if (pipeline_.text.size() < instrumentation::kRedisTextBytesMax) {
            pipeline_.text.append("; ").append(command.text);
        }
    }
    ++pipeline_.appended;
    return redisAppendFormattedCommand(connection_, formatted.data(), formatted.size());
}

int RedisConnection::append_command(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const Formatted formatted(format, arguments);
    va_end(arguments);
    return formatted.is_good() ? append(formatted.text()) : REDIS_ERR;
}

int RedisConnection::append_command_argv(int count, const char** arguments, const size_t* sizes) {
    const Formatted formatted(count, arguments, sizes);
    return formatted.is_good() ? append(formatted.text()) : REDIS_ERR;
}

int RedisConnection::get_reply(redisReply** reply) {
    void* answer = nullptr;
    const int status = redisGetReply(connection_, &answer);
    *reply = static_cast<redisReply*>(answer);
    if (pipeline_.appended == 0) {
        return status;
    }
    set_reply(pipeline_.span, *reply, connection_->err);
    ++pipeline_.answered;
    if (pipeline_.answered < pipeline_.appended && status == REDIS_OK) {
        return status;
    }
    if (pipeline_.appended > 1) {
        std::string name = "PIPELINE";
        if (!pipeline_.operation.empty()) {
            name.append(" ").append(pipeline_.operation);
        }
        pipeline_.span.update_name(name);
        pipeline_.span.set_attribute("db.operation.name", name);
        pipeline_.span.set_attribute("db.operation.batch.size", pipeline_.appended);
        pipeline_.span.set_attribute("db.query.text", pipeline_.text);
    }
    pipeline_ = Pipeline();
    return status;
}

RedisAsyncConnection::RedisAsyncConnection(Tracer tracer, redisAsyncContext* connection,
                                           int database)
    : tracer_(tracer),
      connection_(connection),
      server_(server_of(connection == nullptr ? nullptr : &connection->c, database)) {}

int RedisAsyncConnection::send(redisCallbackFn* callback, void* user, std::string_view formatted) {
    const auto arguments = instrumentation::read_redis_command(formatted);
    const std::string_view name = arguments.empty() ? std::string_view() : arguments[0];
    if (is_word(name, "SUBSCRIBE") || is_word(name, "PSUBSCRIBE") || is_word(name, "UNSUBSCRIBE") ||
        is_word(name, "PUNSUBSCRIBE") || is_word(name, "MONITOR")) {
        return redisAsyncFormattedCommand(connection_, callback, user, formatted.data(),
                                          formatted.size());
    }
    struct Waiting {
        Span span;
        Context context;
        redisCallbackFn* callback;
        void* user;
    };
    auto waiting = std::make_unique<Waiting>(
        Waiting{start(tracer_, server_, instrumentation::describe_redis(arguments)),
                Context::current(), callback, user});
    const auto finish = [](redisAsyncContext* connection, void* answer, void* owned) {
        const std::unique_ptr<Waiting> done(static_cast<Waiting*>(owned));
        set_reply(done->span, static_cast<redisReply*>(answer), connection->err);
        done->span.end();
        if (done->callback != nullptr) {
            const FlowScope scope(done->context);
            done->callback(connection, answer, done->user);
        }
    };
    const int status = redisAsyncFormattedCommand(connection_, finish, waiting.get(),
                                                  formatted.data(), formatted.size());
    if (status == REDIS_OK) {
        if (const auto database = selected_database(arguments)) {
            server_.database = *database;
        }
        waiting.release();  // NOLINT: hiredis hands it to `finish`, also where it is closed
    } else {
        set_error(waiting->span, error_type_of(connection_->err));
    }
    return status;
}

int RedisAsyncConnection::command(redisCallbackFn* callback, void* user, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const Formatted formatted(format, arguments);
    va_end(arguments);
    return formatted.is_good() ? send(callback, user, formatted.text()) : REDIS_ERR;
}

int RedisAsyncConnection::command_argv(redisCallbackFn* callback, void* user, int count,
                                       const char** arguments, const size_t* sizes) {
    const Formatted formatted(count, arguments, sizes);
    return formatted.is_good() ? send(callback, user, formatted.text()) : REDIS_ERR;
}

}  // namespace spanloom

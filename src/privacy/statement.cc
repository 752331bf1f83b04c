#include "privacy/statement.h"

#include <algorithm>
#include <array>

#include "privacy/character_class.h"

namespace spanloom::privacy {
namespace {

bool equals_any_case(std::string_view text, std::string_view upper) noexcept {
    return text.size() == upper.size() &&
           std::equal(text.begin(), text.end(), upper.begin(),
                      [](char a, char b) { return to_lower(a) == to_lower(b); });
}

bool is_name_byte(char c) noexcept {
    return is_alnum(c) || c == '_' || c == '$' || static_cast<uint8_t>(c) >= 0x80;
}

// One pass over a SQL statement.
class SqlSanitizer {
  public:
    SqlSanitizer(std::string_view text, bool is_mysql) : text_(text), is_mysql_(is_mysql) {}

    std::string run() {
        out_.reserve(text_.size());
        while (at_ < text_.size())
            step();
        while (!out_.empty() && is_blank(out_.back()))
            out_.pop_back();
        return std::move(out_);
    }

  private:
    char byte(size_t i) const noexcept { return i < text_.size() ? text_[i] : '\0'; }

    void step() {
        const char c = text_[at_];
        if (is_blank(c)) {
            if (!out_.empty() && !is_blank(out_.back())) out_ += ' ';
            ++at_;
        } else if ((c == '-' && byte(at_ + 1) == '-') || (c == '#' && is_mysql_)) {
            skip_to("\n");
        } else if (c == '/' && byte(at_ + 1) == '*') {
            at_ += 2;
            skip_to("*/");
        } else if (c == '\'' || (c == '"' && is_mysql_)) {
            skip_quoted(c);
            put_literal();
        } else if (c == '"' || c == '`') {
            copy_quoted_name(c);
        } else if (c == '$' && !is_digit(byte(at_ + 1)) && skip_dollar_quoted()) {
            put_literal();
        } else if (is_digit(c) || (c == '.' && is_digit(byte(at_ + 1)) && !follows_name())) {
            skip_number();
            put_literal();
        } else if (is_name_byte(c) || c == ':' || c == '@') {
            copy_word();
        } else {
            out_ += c;
            ++at_;
        }
    }

    bool follows_name() const noexcept {
        return !out_.empty() && (is_name_byte(out_.back()) || out_.back() == '"' ||
                                 out_.back() == '`' || out_.back() == ']');
    }
    void skip_to(std::string_view end) {
        const size_t found = text_.find(end, at_);
        at_ = found == std::string_view::npos ? text_.size() : found + end.size();
        if (!out_.empty() && !is_blank(out_.back())) out_ += ' ';
    }
    // A doubled quote is a quote; a backslash escapes what follows it where the dialect has that,
    // and where "E'...'" was written.
    void skip_quoted(char quote) {
        const bool has_escapes = is_mysql_ || is_escape_string_;
        is_escape_string_ = false;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '\\' && has_escapes) {
                ++at_;
            } else if (text_[at_] == quote) {
                if (byte(at_ + 1) != quote) break;
                ++at_;
            }
        }
        at_ = std::min(at_ + 1, text_.size());
    }
    void copy_quoted_name(char end) {
        const size_t found = text_.find(end, at_ + 1);
        const size_t after = found == std::string_view::npos ? text_.size() : found + 1;
        // An open quote: who knows what this is.
        if (found == std::string_view::npos) {
            out_ += '?';
        } else {
            out_.append(text_.substr(at_, after - at_));
        }
        at_ = after;
    }
    // PostgreSQL: $$text$$ and $tag$text$tag$.
    bool skip_dollar_quoted() {
        size_t end = at_ + 1;
        while (end < text_.size() && (is_alnum(text_[end]) || text_[end] == '_'))
            ++end;
        if (byte(end) != '$') return false;
        const std::string_view tag = text_.substr(at_, end + 1 - at_);
        const size_t found = text_.find(tag, end + 1);
        at_ = found == std::string_view::npos ? text_.size() : found + tag.size();
        return true;
    }
    void skip_number() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            const bool is_sign = (c == '+' || c == '-') && to_lower(text_[at_ - 1]) == 'e' &&
                                 is_digit(byte(at_ + 1));
            if (!is_alnum(c) && c != '.' && c != '_' && !is_sign) break;
            ++at_;
        }
    }
    void put_literal() {
        // A sign belongs to the number before which nothing else could take it.
        size_t end = out_.size();
        while (end > 0 && is_blank(out_[end - 1]))
            --end;
        if (end > 1 && (out_[end - 1] == '-' || out_[end - 1] == '+')) {
            const char before = out_[end - 2];
            if (before == '(' || before == ',' || before == '=' || before == ' ' || before == '<' ||
                before == '>') {
                const size_t earlier = out_.find_last_not_of(' ', end - 2);
                const char word = earlier == std::string::npos ? '(' : out_[earlier];
                if (!is_name_byte(word) && word != '?' && word != ')') out_.resize(end - 1);
            }
        }
        // "?, ?, ?" says no more than "?".
        end = out_.find_last_not_of(' ');
        if (end != std::string::npos && end > 0 && out_[end] == ',') {
            const size_t before = out_.find_last_not_of(' ', end - 1);
            if (before != std::string::npos && out_[before] == '?') {
                out_.resize(before + 1);
                return;
            }
        }
        out_ += '?';
    }
    // Names and keywords stay, and so do parameters ($1, :name, @name); N'..', X'..' and E'..' are
    // text.
    void copy_word() {
        size_t end = at_ + 1;
        while (end < text_.size() && is_name_byte(text_[end]))
            ++end;
        const std::string_view word = text_.substr(at_, end - at_);
        at_ = end;
        if (byte(end) == '\'' && word.size() == 1 && is_letter(word[0])) {
            is_escape_string_ = to_lower(word[0]) == 'e';
            return;
        }
        out_.append(word);
    }

    std::string_view text_;
    bool is_mysql_;
    bool is_escape_string_ = false;
    size_t at_ = 0;
    std::string out_;
};

// How many arguments of a command name things (keys, fields) before data comes.
struct RedisCommand {
    std::string_view name;
    int names;               // -1: all of them
    bool has_pairs = false;  // after those, a name and a value in turn
};
constexpr RedisCommand kRedisCommands[] = {
    {"GET", -1},    {"MGET", -1},     {"DEL", -1},       {"UNLINK", -1},      {"EXISTS", -1},
    {"EXPIRE", 1},  {"PEXPIRE", 1},   {"TTL", -1},       {"PTTL", -1},        {"PERSIST", -1},
    {"TYPE", -1},   {"RENAME", -1},   {"KEYS", -1},      {"SCAN", 0},         {"INCR", -1},
    {"DECR", -1},   {"INCRBY", 1},    {"DECRBY", 1},     {"STRLEN", -1},      {"SET", 1},
    {"SETNX", 1},   {"SETEX", 1},     {"PSETEX", 1},     {"GETSET", 1},       {"GETDEL", -1},
    {"GETEX", 1},   {"APPEND", 1},    {"MSET", 0, true}, {"MSETNX", 0, true}, {"HGET", -1},
    {"HMGET", -1},  {"HGETALL", -1},  {"HKEYS", -1},     {"HVALS", -1},       {"HLEN", -1},
    {"HDEL", -1},   {"HEXISTS", -1},  {"HINCRBY", 2},    {"HSET", 1, true},   {"HMSET", 1, true},
    {"HSETNX", 2},  {"LPUSH", 1},     {"RPUSH", 1},      {"LPOP", 1},         {"RPOP", 1},
    {"LLEN", -1},   {"LRANGE", -1},   {"LINDEX", -1},    {"LREM", 1},         {"SADD", 1},
    {"SREM", 1},    {"SMEMBERS", -1}, {"SISMEMBER", 1},  {"SCARD", -1},       {"ZADD", 1},
    {"ZREM", 1},    {"ZRANGE", -1},   {"ZSCORE", 1},     {"ZCARD", -1},       {"ZRANGEBYSCORE", -1},
    {"XADD", 1},    {"XREAD", 0},     {"PUBLISH", 1},    {"SUBSCRIBE", -1},   {"PING", 0},
    {"SELECT", -1}, {"MULTI", -1},    {"EXEC", -1},      {"DISCARD", -1},     {"WATCH", -1},
    {"INFO", -1},   {"FLUSHALL", -1}, {"FLUSHDB", -1},   {"DBSIZE", -1},
};

void sanitize_redis_line(std::string_view line, std::string& out) {
    const auto take_word = [&line] {
        while (!line.empty() && is_blank(line.front()))
            line.remove_prefix(1);
        if (line.empty()) return std::string_view();
        // A quoted argument is one, blanks and all.
        const char quote = line.front() == '"' || line.front() == '\'' ? line.front() : '\0';
        size_t end = 1;
        while (end < line.size() && (quote == '\0' ? !is_blank(line[end]) : line[end] != quote))
            end += quote != '\0' && line[end] == '\\' ? 2 : 1;
        end = std::min(end + (quote != '\0' ? 1 : 0), line.size());
        const std::string_view word = line.substr(0, end);
        line.remove_prefix(end);
        return word;
    };
    const std::string_view name = take_word();
    out.append(name);
    const RedisCommand* command = std::find_if(
        std::begin(kRedisCommands), std::end(kRedisCommands),
        [name](const RedisCommand& known) { return equals_any_case(name, known.name); });
    // Of a command nobody knows (AUTH, EVAL and CONFIG among them), nothing is shown.
    const int names = command == std::end(kRedisCommands) ? 0 : command->names;
    const bool has_pairs = command != std::end(kRedisCommands) && command->has_pairs;
    int index = 0;
    while (true) {
        const std::string_view word = take_word();
        if (word.empty()) return;
        const bool is_name = names < 0 || index < names || (has_pairs && (index - names) % 2 == 0);
        out += ' ';
        out.append(is_name ? word : std::string_view("?"));
        ++index;
    }
}

}  // namespace

StatementKind statement_kind(std::string_view db_system) noexcept {
    for (const std::string_view name : {"redis", "valkey", "memcached", "dragonfly"}) {
        if (db_system == name) return StatementKind::kRedis;
    }
    for (const std::string_view name : {"mysql", "mariadb", "clickhouse", "hive", "spark"}) {
        if (db_system == name) return StatementKind::kSqlMysql;
    }
    return StatementKind::kSql;
}

bool looks_like_sql(std::string_view text) noexcept {
    while (!text.empty() && (is_blank(text.front()) || text.front() == '('))
        text.remove_prefix(1);
    size_t end = 0;
    while (end < text.size() && is_letter(text[end]))
        ++end;
    const std::string_view word = text.substr(0, end);
    if (end == text.size() || !is_blank(text[end])) return false;
    for (const std::string_view verb :
         {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "REPLACE", "CALL", "EXEC",
          "EXECUTE", "COPY", "ALTER", "CREATE", "DROP", "SET"}) {
        if (equals_any_case(word, verb)) return true;
    }
    return false;
}

std::string sanitize_statement(std::string_view statement, StatementKind kind) {
    if (kind != StatementKind::kRedis)
        return SqlSanitizer(statement, kind == StatementKind::kSqlMysql).run();
    std::string out;
    while (!statement.empty()) {
        const size_t end = std::min(statement.find('\n'), statement.size());
        sanitize_redis_line(statement.substr(0, end), out);
        statement.remove_prefix(std::min(end + 1, statement.size()));
        if (!statement.empty()) out += '\n';
    }
    return out;
}

}  // namespace spanloom::privacy

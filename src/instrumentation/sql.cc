#include "instrumentation/sql.h"

#include <algorithm>
#include <initializer_list>

#include "instrumentation/sql_tokens.h"

namespace spanloom::instrumentation {
namespace {

using Words = std::initializer_list<std::string_view>;
using Tokens = std::vector<SqlToken>;

bool is_one_of(const SqlToken& token, Words words) {
    return std::any_of(words.begin(), words.end(), [&](auto word) { return token.is(word); });
}

const SqlToken& at(const Tokens& tokens, size_t index) {
    static const SqlToken kEnd;
    return index < tokens.size() ? tokens[index] : kEnd;
}

// Notes operations and what they work on, in their order. It does not parse: it knows where in a
// statement the name of a table can stand, and keeps quiet about everything else.
class Summary {
  public:
    explicit Summary(const Tokens& tokens) : tokens_(tokens) {}

    std::string read() {
        for (size_t i = 0; i < tokens_.size() && !full_;) {
            i = tokens_[i].kind == SqlKind::kSymbol ? symbol(i)
                : tokens_[i].kind == SqlKind::kWord ? word(i)
                                                    : i + 1;
        }
        return std::move(summary_);
    }

  private:
    // What one pair of parentheses, or the whole, holds.
    struct Level {
        bool query = false;   // a statement: FROM and JOIN are clauses here, and not arguments
        bool tables = false;  // a list of tables: a comma brings the next one
    };

    size_t symbol(size_t i) {
        if (tokens_[i].is(';')) {
            levels_.assign(1, {});
            start_ = true;
            common_tables_ = false;
        } else if (tokens_[i].is('(')) {
            levels_.emplace_back();
        } else if (tokens_[i].is(')') && levels_.size() > 1) {
            levels_.pop_back();
        } else if (tokens_[i].is(',') && levels_.back().tables) {
            return table(i + 1);
        }
        return i + 1;
    }

    size_t word(size_t i) {
        const SqlToken& token = tokens_[i];
        const SqlToken& before = i > 0 ? tokens_[i - 1] : at(tokens_, tokens_.size());
        if (start_ && token.is("WITH")) {
            start_ = false;
            common_tables_ = true;
            return i + 1;
        }
        const bool writes = is_one_of(token, {"INSERT", "UPDATE", "DELETE", "MERGE"});
        const bool after_tables = common_tables_ && levels_.size() == 1 && before.is(')');
        if (start_ || token.is("SELECT") || (writes && (before.is('(') || after_tables))) {
            start_ = false;
            return operation(i);
        }
        Level& level = levels_.back();
        if (!level.query) {
            return i + 1;
        }
        const bool using_tables = token.is("USING") && using_names_tables_;
        if ((token.is("FROM") && !before.is("DISTINCT")) || using_tables) {
            level.tables = true;
            return table(i + 1);
        }
        if (token.is("JOIN")) {
            return table(i + 1);
        }
        if (is_one_of(token,
                      {"WHERE", "SET", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "FETCH",
                       "UNION", "EXCEPT", "INTERSECT", "RETURNING", "VALUES", "WINDOW", "FOR"})) {
            level.tables = false;
        }
        return i + 1;
    }

    size_t operation(size_t i) {
        const SqlToken& token = tokens_[i];
        note(token.text);
        levels_.back() = {true, false};
        using_names_tables_ = is_one_of(token, {"DELETE", "MERGE"});
        if (is_one_of(token, {"CREATE", "ALTER", "DROP", "REFRESH"})) {
            return definition(i + 1);
        }
        if (token.is("EXPLAIN")) {
            start_ = true;
            i = skip(i + 1, {"ANALYZE", "VERBOSE"});
            return at(tokens_, i).is('(') ? close(i) : i;
        }
        if (is_one_of(token, {"INSERT", "UPDATE", "MERGE", "COPY"})) {
            return table(i + 1);
        }
        if (is_one_of(token,
                      {"CALL", "EXECUTE", "TRUNCATE", "LOCK", "VACUUM", "ANALYZE", "PREPARE"})) {
            levels_.back().tables = true;
            return table(i + 1);
        }
        return i + 1;
    }

    // CREATE OR REPLACE VIEW IF NOT EXISTS name: the kind belongs to the operation.
    size_t definition(size_t i) {
        i = skip(i, {"OR", "REPLACE", "TEMP", "TEMPORARY", "GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE",
                     "MATERIALIZED", "FOREIGN", "EVENT"});
        if (at(tokens_, i).kind != SqlKind::kWord) {
            return i;
        }
        note(tokens_[i].text);
        return table(i + 1);
    }

    // One name with its dots, where one stands.
    size_t table(size_t i) {
        i = skip(i, {"INTO", "ONLY", "LATERAL", "TABLE", "IF", "NOT", "EXISTS", "CONCURRENTLY"});
        while (at(tokens_, i).is('(') &&
               !is_one_of(at(tokens_, i + 1), {"SELECT", "WITH", "VALUES"})) {
            levels_.push_back({true, true});  // FROM (a JOIN b ON ...)
            ++i;
        }
        if (!is_name(i)) {
            return i;
        }
        const char* const begin = tokens_[i].text.data();
        while (at(tokens_, i + 1).is('.') && is_name(i + 2)) {
            i += 2;
        }
        const char* const end = tokens_[i].text.data() + tokens_[i].text.size();
        note({begin, static_cast<size_t>(end - begin)});
        return i + 1;
    }

    bool is_name(size_t i) const {
        const SqlToken& token = at(tokens_, i);
        return token.kind == SqlKind::kQuotedName ||
               (token.kind == SqlKind::kWord &&
                !is_one_of(token, {"SELECT", "VALUES", "WITH", "AS"}));
    }

    size_t skip(size_t i, Words words) const {
        while (is_one_of(at(tokens_, i), words)) {
            ++i;
        }
        return i;
    }

    // Past the parenthesis that closes the one at `i`.
    size_t close(size_t i) const {
        size_t depth = 0;
        for (; i < tokens_.size(); ++i) {
            depth += tokens_[i].is('(') ? 1 : 0;
            if (tokens_[i].is(')') && --depth == 0) {
                return i + 1;
            }
        }
        return i;
    }

    // Whole words only: a name cut in two would be another name.
    void note(std::string_view word) {
        const size_t size = word.size() + (summary_.empty() ? 0 : 1);
        if (summary_.size() + size > kSqlSummaryBytesMax) {
            full_ = true;
            return;
        }
        if (!summary_.empty()) {
            summary_ += ' ';
        }
        summary_ += word;
    }

    const Tokens& tokens_;
    std::string summary_;
    std::vector<Level> levels_ = std::vector<Level>(1);
    bool start_ = true;                // the next word is an operation
    bool common_tables_ = false;       // after WITH
    bool using_names_tables_ = false;  // in a JOIN, USING names columns
    bool full_ = false;
};

// Past a list in parentheses that holds data alone; `i` where there is none.
size_t skip_data_list(const Tokens& tokens, size_t i) {
    if (!at(tokens, i).is('(')) {
        return i;
    }
    for (size_t end = i + 1; end < tokens.size(); ++end) {
        const SqlToken& token = tokens[end];
        if (token.is(')')) {
            return end == i + 1 ? i : end + 1;
        }
        if (token.kind != SqlKind::kLiteral && !token.is(',') && !token.is('-') &&
            !is_one_of(token, {"NULL", "DEFAULT"})) {
            return i;
        }
    }
    return i;
}

// The statement without its data. How long a list is counts as data, too.
std::string text_without_data(const Tokens& tokens) {
    std::string text;
    const auto write = [&](const SqlToken& token, std::string_view as) {
        if (token.spaced && !text.empty()) {
            text += ' ';
        }
        text += as;
    };
    bool after_list = false;  // a row of VALUES was just written
    for (size_t i = 0; i < tokens.size();) {
        const SqlToken& token = tokens[i];
        const bool in_list = i > 0 && tokens[i - 1].is("IN");
        const bool row = i > 0 && tokens[i - 1].is("VALUES");
        if (const size_t end = in_list || row ? skip_data_list(tokens, i) : i; end > i) {
            write(token, row ? "(?, ...)" : "(?)");
            after_list = row;
            i = end;
            continue;
        }
        if (after_list && token.is(',')) {
            if (const size_t end = skip_data_list(tokens, i + 1); end > i + 1) {
                i = end;
                continue;
            }
        }
        after_list = false;
        write(token, token.kind == SqlKind::kLiteral ? "?" : token.text);
        ++i;
    }
    return text;
}

}  // namespace

SqlStatement describe_sql(std::string_view statement, Backslash backslash) {
    const Tokens tokens = read_sql(statement.substr(0, kSqlBytesMax), backslash);
    return {text_without_data(tokens), Summary(tokens).read()};
}

}  // namespace spanloom::instrumentation

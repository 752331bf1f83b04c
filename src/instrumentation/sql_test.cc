#include "instrumentation/sql.h"

#include <string>

#include <doctest/doctest.h>

using namespace spanloom::instrumentation;

namespace {

std::string text(std::string_view statement) {
    return describe_sql(statement).text;
}
std::string summary(std::string_view statement) {
    return describe_sql(statement).summary;
}

}  // namespace

TEST_CASE("sql: data leaves the text, the shape stays") {
    CHECK(text("SELECT * FROM users WHERE email = 'ann@example.com' AND age > 42") ==
          "SELECT * FROM users WHERE email = ? AND age > ?");
    CHECK(text("select 'it''s', \"User Name\" from t") == "select ?, \"User Name\" from t");
    CHECK(text("SELECT E'a\\'b', B'101', x'ff', U&'\\0041', N'n'") == "SELECT ?, ?, ?, ?, ?");
    CHECK(text("SELECT $$it's$$, $body$ $$ 'x' $body$, $1, $2") == "SELECT ?, ?, $1, $2");
    CHECK(text("SELECT 1, 1.5, .5, 1e-9, 0xFF, 1_000, -7") == "SELECT ?, ?, ?, ?, ?, ?, -?");
    CHECK(text("SELECT true, FALSE, null") == "SELECT ?, ?, null");
    CHECK(text("SELECT DATE '2020-01-01' + INTERVAL '1 day'") == "SELECT DATE ? + INTERVAL ?");
    CHECK(text("SELECT a1, table2.x3 FROM table2") == "SELECT a1, table2.x3 FROM table2");
    CHECK(text("SELECT a::int, b->>'key', c ? 'k'") == "SELECT a::int, b->>?, c ? ?");
    CHECK(text("CREATE USER ann PASSWORD 'secret'") == "CREATE USER ann PASSWORD ?");
}

TEST_CASE("sql: comments and the length of lists are left out") {
    CHECK(text("SELECT 1 -- ann's row\n FROM t /* a /* nested */ secret */ WHERE x") ==
          "SELECT ? FROM t WHERE x");
    CHECK(text("SELECT * FROM t WHERE id IN (1, 2, -3, NULL)") ==
          "SELECT * FROM t WHERE id IN (?)");
    CHECK(text("SELECT * FROM t WHERE id IN ($1, $2)") == "SELECT * FROM t WHERE id IN ($1, $2)");
    CHECK(text("SELECT * FROM t WHERE id IN (SELECT 1)") ==
          "SELECT * FROM t WHERE id IN (SELECT ?)");
    CHECK(text("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, DEFAULT) RETURNING a") ==
          "INSERT INTO t (a, b) VALUES (?, ...) RETURNING a");
    CHECK(text("INSERT INTO t VALUES (now(), 'x')") == "INSERT INTO t VALUES (now(), ?)");
}

TEST_CASE("sql: what is not closed is data to its end") {
    CHECK(text("SELECT 'abc") == "SELECT ?");
    CHECK(text("SELECT $x$ abc") == "SELECT ?");
    CHECK(text("SELECT /* abc") == "SELECT");
    CHECK(text("SELECT \"abc") == "SELECT \"abc");
    CHECK(text("SELECT $ 1") == "SELECT $ ?");
    CHECK(text("") == "");
    CHECK(text("'") == "?");
    CHECK(text("E'\\") == "?");
    CHECK(describe_sql("SELECT 'a\\' OR x = 'secret'", Backslash::kEscape).text ==
          "SELECT ?secret?");
    CHECK(describe_sql("SELECT 'a\\', 'secret'", Backslash::kLiteral).text == "SELECT ?, ?");
    const std::string long_statement = "SELECT '" + std::string(100'000, 'x') + "'";
    CHECK(text(long_statement) == "SELECT ?");
    CHECK(text("SELECT " + std::string(100'000, '(')).size() <= kSqlBytesMax);
}

TEST_CASE("sql: the summary names operations and targets in their order") {
    // The examples of the semantic conventions.
    CHECK(summary("SELECT * FROM wuser_table WHERE username = ?") == "SELECT wuser_table");
    CHECK(summary("INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM "
                  "orders WHERE order_id = ?") == "INSERT shipping_details SELECT orders");
    CHECK(summary("SELECT * FROM songs, artists WHERE songs.artist_id == artists.id") ==
          "SELECT songs artists");
    CHECK(summary("SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON "
                  "o.customer_id = c.customer_id)") == "SELECT SELECT orders customers");
    CHECK(summary("SELECT * FROM \"song list\"") == "SELECT \"song list\"");
    CHECK(summary("call some_stored_procedure(1)") == "call some_stored_procedure");
}

TEST_CASE("sql: statements of every kind") {
    CHECK(summary("update only public.users u set name = 'x' from teams t where t.id = u.team") ==
          "update public.users teams");
    CHECK(summary("DELETE FROM a USING b, c WHERE a.x = b.x") == "DELETE a b c");
    CHECK(summary("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET y = 1") ==
          "MERGE a b");
    CHECK(summary("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1") == "INSERT t");
    CHECK(summary("SELECT * FROM a LEFT JOIN b USING (x) JOIN c ON true WHERE a.y IN (SELECT y "
                  "FROM d)") == "SELECT a b c SELECT d");
    CHECK(summary("SELECT * FROM (a JOIN b ON a.x = b.x), c") == "SELECT a b c");
    CHECK(summary("WITH r AS (SELECT * FROM a), w AS (DELETE FROM b RETURNING *) INSERT INTO c "
                  "SELECT * FROM r") == "SELECT a DELETE b INSERT c SELECT r");
    CHECK(summary("SELECT extract(year FROM at), substring(name FROM 1 FOR 2) FROM t") ==
          "SELECT t");
    CHECK(summary("SELECT a IS DISTINCT FROM b FROM t") == "SELECT t");
    CHECK(summary("SELECT count(*), x FROM generate_series(1, 5) AS s, t WHERE x > 1, 2") ==
          "SELECT generate_series t");
    CHECK(summary("SELECT * FROM a FOR UPDATE") == "SELECT a");
    CHECK(summary("SELECT 1 UNION ALL SELECT 2 FROM b") == "SELECT SELECT b");
    CHECK(summary("CREATE TABLE IF NOT EXISTS app.users (id int)") == "CREATE TABLE app.users");
    CHECK(summary("CREATE OR REPLACE VIEW v AS SELECT * FROM t") == "CREATE VIEW v SELECT t");
    CHECK(summary("DROP INDEX CONCURRENTLY IF EXISTS i") == "DROP INDEX i");
    CHECK(summary("TRUNCATE TABLE a, b") == "TRUNCATE a b");
    CHECK(summary("COPY t (a, b) FROM STDIN") == "COPY t STDIN");
    CHECK(summary("EXPLAIN (ANALYZE, COSTS off) SELECT * FROM t") == "EXPLAIN SELECT t");
    CHECK(summary("EXECUTE find_user(1)") == "EXECUTE find_user");
    CHECK(summary("BEGIN; UPDATE t SET x = 1; COMMIT") == "BEGIN UPDATE t COMMIT");
    CHECK(summary("SET search_path TO tenant_4815") == "SET");
    CHECK(summary("SELECT 1") == "SELECT");
    CHECK(summary("") == "");
}

TEST_CASE("sql: a summary is never cut inside a name") {
    std::string statement = "SELECT * FROM t0";
    for (int i = 1; i < 200; ++i) {
        statement += ", table" + std::to_string(i);
    }
    const std::string found = summary(statement);
    CHECK(found.size() <= kSqlSummaryBytesMax);
    CHECK(found.ends_with(" table31"));
}

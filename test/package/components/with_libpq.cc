#include <spanloom/instrumentation/libpq.h>

#include "traced.h"

int main() {
    return traced(1, [](const spanloom::Tracer& tracer) {
        PGconn* connection = PQconnectdb("host=127.0.0.1 port=1 dbname=shop");
        spanloom::PqConnection database(tracer, connection);
        PQclear(database.exec("SELECT 1"));
        PQfinish(connection);
    });
}

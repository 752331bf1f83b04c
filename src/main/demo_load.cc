#include "main/demo_load.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

namespace spanloom {
namespace {

using demo::Attributes;
using demo::kMs;
using demo::Link;
using demo::Service;
using demo::Span;
using demo::Trace;
using otlp::SpanKind;

constexpr size_t kOrdersMax = 64;
constexpr size_t kOrdersPerBatch = 5;
constexpr int64_t kKnownUser = 4815;  // the one to search for
constexpr uint64_t kMinuteNs = 60'000'000'000;

constexpr std::array<std::string_view, 8> kProducts = {"OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O",
                                                       "L9ECAV7KIM", "2ZYFJ3GM2N", "0PUK6V6EV0",
                                                       "LS4PSXUNUM", "9SIQT8TOJO"};
constexpr std::array<std::string_view, 4> kAgents = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
    "ShopApp/7.3 (Android 16)"};

constexpr std::string_view kDeclinedStack =
    "com.shop.payment.CardDeclinedException: card ending in 4242 declined: insufficient funds\n"
    "\tat com.shop.payment.gateway.BankGateway.authorize(BankGateway.java:118)\n"
    "\tat com.shop.payment.ChargeService.charge(ChargeService.java:64)\n"
    "\tat com.shop.payment.grpc.PaymentEndpoint.charge(PaymentEndpoint.java:41)\n"
    "\tat io.grpc.stub.ServerCalls$UnaryServerCallHandler.invoke(ServerCalls.java:182)\n";
constexpr std::string_view kTimeoutStack =
    "java.net.SocketTimeoutException: Read timed out\n"
    "\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)\n"
    "\tat com.shop.payment.gateway.BankGateway.authorize(BankGateway.java:131)\n"
    "\tat com.shop.payment.ChargeService.charge(ChargeService.java:64)\n";
constexpr std::string_view kIndexStack =
    "Traceback (most recent call last):\n"
    "  File \"/app/recommend/server.py\", line 87, in ListRecommendations\n"
    "    products = self.rank(request.product_ids)\n"
    "  File \"/app/recommend/rank.py\", line 31, in rank\n"
    "    return [scores[i] for i in order[:5]]\n"
    "IndexError: list index out of range\n";

template <typename List>
std::string_view pick(Random& random, const List& list) {
    return list[random.below(list.size())];
}

void add_exception(Span& span, uint64_t at_ns, std::string_view type, std::string message,
                   std::string_view stack) {
    span.events.push_back({at_ns,
                           "exception",
                           {{"exception.type", std::string(type)},
                            {"exception.message", message},
                            {"exception.stacktrace", std::string(stack)}}});
    span.set("error.type", std::string(type));
    span.fail(std::move(message));
}

// A gRPC call: the span of the one who calls and of the one who answers.
struct Call {
    size_t client;
    size_t server;
    uint64_t start_ns;  // of the server's work
};

Call call_grpc(Trace& trace, size_t parent, Service callee, std::string_view service,
               std::string_view method, uint64_t at_ns) {
    const std::string name = fmt::format("{}/{}", service, method);
    const Service caller = trace.at(parent).service;
    const uint64_t start_ns = at_ns + trace.about_ms(0.4);
    const size_t client = trace.add(parent, caller, SpanKind::kClient, name, at_ns);
    const size_t server = trace.add(client, callee, SpanKind::kServer, name, start_ns);
    for (const size_t index : {client, server}) {
        Span& span = trace.at(index);
        span.set("rpc.system.name", std::string("grpc"));
        span.set("rpc.method", name);
        span.set("server.address", std::string(demo::name_of(callee)));
        span.set("server.port", int64_t{8080});
    }
    trace.at(server).set("thread.name", fmt::format("grpc-default-executor-{}", start_ns % 7));
    return {client, server, start_ns};
}

// The time at which the caller goes on.
uint64_t finish(Trace& trace, const Call& call, uint64_t end_ns, std::string_view status = "OK") {
    trace.end(call.server, end_ns);
    const uint64_t client_end_ns = end_ns + trace.about_ms(0.4);
    trace.end(call.client, client_end_ns);
    for (const size_t index : {call.client, call.server}) {
        Span& span = trace.at(index);
        span.set("rpc.response.status_code", std::string(status));
        if (status != "OK" && span.status != otlp::StatusCode::kError) {
            span.set("error.type", std::string(status));
            span.fail(std::string(status));
        }
    }
    return client_end_ns;
}

uint64_t query_postgres(Trace& trace, size_t parent, std::string_view operation,
                        std::string_view table, std::string_view text, uint64_t at_ns,
                        double milliseconds) {
    const size_t index = trace.add(parent, trace.at(parent).service, SpanKind::kClient,
                                   fmt::format("{} {}", operation, table), at_ns);
    trace.end(index, at_ns + trace.about_ms(milliseconds));
    Span& span = trace.at(index);
    span.set("db.system.name", std::string("postgresql"));
    span.set("db.namespace", std::string("shop"));
    span.set("db.operation.name", std::string(operation));
    span.set("db.collection.name", std::string(table));
    span.set("db.query.text", std::string(text));
    span.set("server.address", std::string("postgres.shop.svc"));
    span.set("server.port", int64_t{5432});
    return span.end_ns;
}

uint64_t ask_redis(Trace& trace, size_t parent, std::string_view command, std::string key,
                   uint64_t at_ns) {
    const size_t index =
        trace.add(parent, trace.at(parent).service, SpanKind::kClient, std::string(command), at_ns);
    trace.end(index, at_ns + trace.about_ms(0.7));
    Span& span = trace.at(index);
    span.set("db.system.name", std::string("redis"));
    span.set("db.operation.name", std::string(command));
    span.set("db.query.text", fmt::format("{} {}", command, key));
    span.set("server.address", std::string("redis.shop.svc"));
    span.set("server.port", int64_t{6379});
    return span.end_ns;
}

// The basket of the visitor, out of redis.
uint64_t get_cart(Trace& trace, size_t parent, int64_t user, uint64_t at_ns) {
    const Call call =
        call_grpc(trace, parent, Service::kCart, "shop.CartService", "GetCart", at_ns);
    trace.at(call.server).set("user.id", fmt::format("{}", user));
    const uint64_t end_ns = ask_redis(trace, call.server, "HGETALL", fmt::format("cart:{}", user),
                                      call.start_ns + trace.about_ms(0.3));
    return finish(trace, call, end_ns + trace.about_ms(0.3));
}

uint64_t get_product(Trace& trace, size_t parent, std::string_view product, uint64_t at_ns,
                     double query_ms = 1.5) {
    const Call call =
        call_grpc(trace, parent, Service::kCatalog, "shop.CatalogService", "GetProduct", at_ns);
    trace.at(call.server).set("shop.product.id", std::string(product));
    const uint64_t end_ns =
        query_postgres(trace, call.server, "SELECT", "products",
                       "SELECT id, name, price_cents, picture FROM products WHERE id = $1",
                       call.start_ns + trace.about_ms(0.3), query_ms);
    return finish(trace, call, end_ns + trace.about_ms(0.2));
}

// One try to charge the card.
struct Charge {
    uint64_t end_ns;
    bool is_good;
    bool is_worth_a_retry;
};

Charge charge_card(Trace& trace, size_t parent, int64_t cents, uint64_t at_ns, bool is_bank_down) {
    const Call call =
        call_grpc(trace, parent, Service::kPayment, "shop.PaymentService", "Charge", at_ns);
    Random& random = trace.random();
    trace.at(call.server).set("shop.payment.amount_cents", cents);
    trace.at(call.server).set("shop.payment.currency", std::string("EUR"));
    const uint64_t bank_start_ns = call.start_ns + trace.about_ms(1.2);
    const size_t bank =
        trace.add(call.server, Service::kPayment, SpanKind::kClient, "POST", bank_start_ns);
    const bool is_canary = trace.pod(Service::kPayment) + 1 == demo::kPodsPerService;
    const bool is_timeout = is_bank_down && random.below(10) < 8;
    const bool is_declined = !is_timeout && random.below(100) < (is_canary ? 18U : 4U);
    const uint64_t bank_end_ns = bank_start_ns + trace.about_ms(is_timeout ? 900 : 70);
    trace.end(bank, bank_end_ns);
    Span& span = trace.at(bank);
    span.set("http.request.method", std::string("POST"));
    span.set("url.full", std::string("https://api.bank.example/v2/authorizations"));
    span.set("server.address", std::string("api.bank.example"));
    span.set("server.port", int64_t{443});
    span.set("network.protocol.version", std::string("2"));
    if (is_timeout) {
        add_exception(span, bank_end_ns, "java.net.SocketTimeoutException", "Read timed out",
                      kTimeoutStack);
    } else {
        span.set("http.response.status_code", int64_t{is_declined ? 402 : 201});
    }
    if (is_declined) {
        span.set("error.type", std::string("402"));
        span.fail("");
        add_exception(trace.at(call.server), bank_end_ns + kMs / 5,
                      "com.shop.payment.CardDeclinedException",
                      "card ending in 4242 declined: insufficient funds", kDeclinedStack);
    }
    const std::string_view status = is_timeout    ? "UNAVAILABLE"
                                    : is_declined ? "FAILED_PRECONDITION"
                                                  : "OK";
    const uint64_t end_ns = finish(trace, call, bank_end_ns + trace.about_ms(0.8), status);
    return {end_ns, status == "OK", is_timeout};
}

}  // namespace

struct DemoLoad::Visit {
    size_t root;
    int64_t user;
    uint64_t start_ns;  // of the work inside
};

DemoLoad::Visit DemoLoad::begin_visit(Trace& trace, std::string_view method,
                                      std::string_view route) {
    const size_t root = trace.add(Trace::kNone, Service::kFrontend, SpanKind::kServer,
                                  fmt::format("{} {}", method, route), 0);
    const int64_t user =
        random_.below(33) == 0 ? kKnownUser : 1'000 + static_cast<int64_t>(random_.below(4'000));
    Span& span = trace.at(root);
    span.set("http.request.method", std::string(method));
    span.set("http.route", std::string(route));
    span.set("url.scheme", std::string("https"));
    span.set("url.path", std::string(route));
    span.set("server.address", std::string("shop.example"));
    span.set("client.address", fmt::format("203.0.113.{}", user % 250));
    span.set("user_agent.original", std::string(pick(random_, kAgents)));
    span.set("user.id", fmt::format("{}", user));
    span.set("session.id",
             fmt::format("{:016x}", static_cast<uint64_t>(user) * 0x9e3779b97f4a7c15U));
    return {root, user, trace.about_ms(1)};
}

void DemoLoad::finish_visit(Trace& trace, const Visit& visit, uint64_t end_ns, int64_t status) {
    trace.end(visit.root, end_ns);
    Span& span = trace.at(visit.root);
    span.set("http.response.status_code", status);
    if (status < 500) return;
    span.set("error.type", fmt::format("{}", status));
    span.fail("");
}

void DemoLoad::browse(Trace& trace) {
    const Visit visit = begin_visit(trace, "GET", "/products");
    const Call call = call_grpc(trace, visit.root, Service::kCatalog, "shop.CatalogService",
                                "ListProducts", visit.start_ns);
    uint64_t at_ns = ask_redis(trace, call.server, "GET", "catalog:front", call.start_ns);
    const bool is_cached = random_.below(3) > 0;
    trace.at(call.server).set("shop.cache.hit", is_cached);
    if (!is_cached) {
        // Now and then the planner forgets its index.
        const bool is_slow = random_.below(40) == 0;
        at_ns = query_postgres(trace, call.server, "SELECT", "products",
                               "SELECT id, name, price_cents FROM products WHERE visible ORDER BY "
                               "popularity DESC LIMIT 60",
                               at_ns, is_slow ? 2'600 : 6);
        at_ns = ask_redis(trace, call.server, "SETEX", "catalog:front 60", at_ns);
    }
    at_ns = finish(trace, call, at_ns + trace.about_ms(0.5));
    const size_t render =
        trace.add(visit.root, Service::kFrontend, SpanKind::kInternal, "render products", at_ns);
    trace.end(render, at_ns + trace.about_ms(4));
    finish_visit(trace, visit, trace.at(render).end_ns + trace.about_ms(0.2), 200);
}

void DemoLoad::look_at_product(Trace& trace) {
    const Visit visit = begin_visit(trace, "GET", "/products/{id}");
    const bool is_unknown = random_.below(25) == 0;
    const uint64_t product_end_ns =
        get_product(trace, visit.root, pick(random_, kProducts), visit.start_ns);
    // The process in the middle died before it could export its span.
    const bool is_broken = random_.below(20) == 0;
    const size_t lost = trace.add(visit.root, Service::kFrontend, SpanKind::kClient,
                                  "shop.ShippingService/Quote", visit.start_ns);
    trace.at(lost).is_lost = is_broken;
    const size_t quote = trace.add(lost, Service::kShipping, SpanKind::kServer,
                                   "shop.ShippingService/Quote", visit.start_ns + kMs);
    trace.end(quote, visit.start_ns + kMs + trace.about_ms(3));
    trace.end(lost, trace.at(quote).end_ns + kMs / 2);
    trace.at(quote).set("rpc.system.name", std::string("grpc"));
    trace.at(quote).set("shop.shipping.country", std::string("DE"));
    const uint64_t end_ns = std::max(product_end_ns, trace.at(lost).end_ns) + trace.about_ms(3);
    finish_visit(trace, visit, end_ns, is_unknown ? 404 : 200);
}

void DemoLoad::view_cart(Trace& trace) {
    const Visit visit = begin_visit(trace, "GET", "/cart");
    uint64_t at_ns = get_cart(trace, visit.root, visit.user, visit.start_ns);
    // The old page asks for each item by itself.
    const bool is_one_by_one = random_.below(6) == 0;
    const uint64_t items = is_one_by_one ? 15 + random_.below(15) : 2;
    trace.at(visit.root).set("shop.cart.items", static_cast<int64_t>(items));
    if (is_one_by_one) trace.at(visit.root).set("shop.page.version", std::string("legacy"));
    for (uint64_t i = 0; i < items; ++i)
        at_ns = get_product(trace, visit.root, kProducts[i % kProducts.size()], at_ns);
    finish_visit(trace, visit, at_ns + trace.about_ms(3), 200);
}

void DemoLoad::check_out(Trace& trace, bool is_bank_down) {
    constexpr int kTriesMax = 6;
    const Visit visit = begin_visit(trace, "POST", "/checkout");
    const Call call = call_grpc(trace, visit.root, Service::kCheckout, "shop.CheckoutService",
                                "PlaceOrder", visit.start_ns);
    const int64_t cents = 990 + static_cast<int64_t>(random_.below(30'000));
    trace.at(call.server).set("user.id", fmt::format("{}", visit.user));
    trace.at(call.server).set("shop.order.total_cents", cents);
    uint64_t at_ns = get_cart(trace, call.server, visit.user, call.start_ns + trace.about_ms(0.5));
    at_ns = get_product(trace, call.server, pick(random_, kProducts), at_ns);
    // A storm: every failed try is followed by another, and the bank has more to do than before.
    Charge charge{at_ns, false, true};
    for (int tries = 1; tries <= kTriesMax && !charge.is_good && charge.is_worth_a_retry; ++tries) {
        if (tries > 1) {
            trace.at(call.server)
                .events.push_back(
                    {charge.end_ns, "retry", {{"shop.retry.attempt", int64_t{tries}}}});
            charge.end_ns += (uint64_t{10} << tries) * kMs;
        }
        charge = charge_card(trace, call.server, cents, charge.end_ns, is_bank_down);
    }
    at_ns = charge.end_ns;
    if (!charge.is_good) {
        const std::string_view status =
            charge.is_worth_a_retry ? "UNAVAILABLE" : "FAILED_PRECONDITION";
        at_ns = finish(trace, call, at_ns + trace.about_ms(0.5), status);
        return finish_visit(trace, visit, at_ns + kMs, charge.is_worth_a_retry ? 503 : 402);
    }
    at_ns = query_postgres(trace, call.server, "INSERT", "orders",
                           "INSERT INTO orders (id, user_id, total_cents) VALUES ($1, $2, $3)",
                           at_ns, 3);
    const size_t publish =
        trace.add(call.server, Service::kCheckout, SpanKind::kProducer, "send orders", at_ns);
    trace.end(publish, at_ns + trace.about_ms(2));
    Span& span = trace.at(publish);
    span.set("messaging.system", std::string("kafka"));
    span.set("messaging.destination.name", std::string("orders"));
    span.set("messaging.operation.type", std::string("send"));
    span.set("messaging.operation.name", std::string("send"));
    span.set("messaging.kafka.offset", ++kafka_offset_);
    if (orders_.size() < kOrdersMax)
        orders_.push_back({trace.id(), span.id, {{"messaging.kafka.offset", kafka_offset_}}});
    at_ns = finish(trace, call, span.end_ns + trace.about_ms(0.5));
    finish_visit(trace, visit, at_ns + trace.about_ms(2), 201);
}

void DemoLoad::recommend(Trace& trace) {
    const Visit visit = begin_visit(trace, "GET", "/recommendations");
    const Call call =
        call_grpc(trace, visit.root, Service::kRecommendation, "shop.RecommendationService",
                  "ListRecommendations", visit.start_ns);
    const uint64_t ranked_ns =
        get_product(trace, call.server, pick(random_, kProducts), call.start_ns + kMs);
    const size_t rank = trace.add(call.server, Service::kRecommendation, SpanKind::kInternal,
                                  "rank products", ranked_ns);
    const uint64_t end_ns = ranked_ns + trace.about_ms(random_.below(30) == 0 ? 1'400 : 25);
    trace.end(rank, end_ns);
    trace.at(rank).set("shop.model.version", std::string("2026-11-03"));
    trace.at(rank).set("shop.model.score", 0.5 + 0.5 * random_.unit());
    if (random_.below(50) > 0) {
        const uint64_t done_ns = finish(trace, call, end_ns + kMs / 2);
        return finish_visit(trace, visit, done_ns + trace.about_ms(1), 200);
    }
    add_exception(trace.at(rank), end_ns, "IndexError", "list index out of range", kIndexStack);
    const uint64_t done_ns = finish(trace, call, end_ns + kMs / 2, "INTERNAL");
    finish_visit(trace, visit, done_ns + trace.about_ms(1), 500);
}

// A batch of messages in a trace of its own, linked to the traces that sent them.
void DemoLoad::consume_orders(Trace& trace) {
    const size_t batch =
        trace.add(Trace::kNone, Service::kOrders, SpanKind::kConsumer, "process orders", 0);
    const size_t count = std::min(orders_.size(), kOrdersPerBatch);
    Span& span = trace.at(batch);
    span.set("messaging.system", std::string("kafka"));
    span.set("messaging.destination.name", std::string("orders"));
    span.set("messaging.operation.type", std::string("process"));
    span.set("messaging.operation.name", std::string("poll"));
    span.set("messaging.consumer.group.name", std::string("orders-worker"));
    span.set("messaging.batch.message_count", static_cast<int64_t>(count));
    const auto first = orders_.begin();
    const auto last = first + static_cast<std::ptrdiff_t>(count);
    span.links.assign(std::make_move_iterator(first), std::make_move_iterator(last));
    orders_.erase(first, last);
    uint64_t at_ns = trace.about_ms(1);
    for (size_t i = 0; i < count; ++i) {
        at_ns = query_postgres(trace, batch, "UPDATE", "orders",
                               "UPDATE orders SET state = 'confirmed' WHERE id = $1", at_ns, 2);
        const Call call =
            call_grpc(trace, batch, Service::kShipping, "shop.ShippingService", "Ship", at_ns);
        at_ns = finish(trace, call, call.start_ns + trace.about_ms(12));
    }
    trace.end(batch, at_ns + trace.about_ms(0.5));
}

Trace DemoLoad::make_trace(uint64_t now_ns) {
    Trace trace(random_);
    const bool is_bank_down = now_ns / kMinuteNs % 10 == 7 || random_.below(200) == 0;
    if (orders_.size() >= kOrdersPerBatch) {
        consume_orders(trace);
        return trace;
    }
    const uint64_t choice = random_.below(100);
    if (choice < 30) {
        browse(trace);
    } else if (choice < 55) {
        look_at_product(trace);
    } else if (choice < 70) {
        view_cart(trace);
    } else if (choice < 88) {
        check_out(trace, is_bank_down);
    } else {
        recommend(trace);
    }
    return trace;
}

std::string DemoLoad::next_request(uint64_t now_ns, uint32_t spans_about) {
    owed_spans_ += spans_about;
    demo::RequestBuilder request;
    while (owed_spans_ > 0) {
        const Trace trace = make_trace(now_ns);
        owed_spans_ -= static_cast<int64_t>(request.add(trace, now_ns - random_.below(500) * kMs));
    }
    return request.finish();
}

}  // namespace spanloom

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>

#include "http/test_server.h"

using namespace spanloom;
using namespace spanloom::http;

namespace {

const std::string kGet = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

struct Free {
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(X509* p) const { X509_free(p); }
    void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
    void operator()(SSL* p) const { SSL_free(p); }
};

// A self-signed certificate for 127.0.0.1 and its key, as files below a directory of their own.
class Certificate {
  public:
    explicit Certificate(long valid_s = 3'600) {
        char name[] = "/tmp/spanloom_tls_XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        directory_ = name;
        const std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
        const std::unique_ptr<X509, Free> x509(X509_new());
        X509_set_version(x509.get(), 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
        X509_gmtime_adj(X509_getm_notBefore(x509.get()), -7'200);
        X509_gmtime_adj(X509_getm_notAfter(x509.get()), valid_s);
        X509_set_pubkey(x509.get(), key.get());
        X509_NAME* subject = X509_get_subject_name(x509.get());
        const auto* text = reinterpret_cast<const unsigned char*>("spanloom test");
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0);
        X509_set_issuer_name(x509.get(), subject);
        X509_EXTENSION* names =
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
        X509_add_ext(x509.get(), names, -1);
        X509_EXTENSION_free(names);
        X509_sign(x509.get(), key.get(), EVP_sha256());
        std::FILE* file = std::fopen(certificate().c_str(), "w");
        PEM_write_X509(file, x509.get());
        std::fclose(file);
        file = std::fopen(this->key().c_str(), "w");
        PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
        std::fclose(file);
    }
    ~Certificate() {
        std::remove(certificate().c_str());
        std::remove(key().c_str());
        std::remove(directory_.c_str());
    }
    Certificate(const Certificate&) = delete;
    Certificate& operator=(const Certificate&) = delete;
    std::string certificate() const { return directory_ + "/certificate.pem"; }
    std::string key() const { return directory_ + "/key.pem"; }

  private:
    std::string directory_;
};

// A TLS client over a RawClient's socket.
class TlsClient {
  public:
    TlsClient(uint16_t port, const std::string& protocols, const Certificate* own = nullptr)
        : raw_(port), context_(SSL_CTX_new(TLS_client_method())) {
        if (own != nullptr) {
            SSL_CTX_use_certificate_chain_file(context_.get(), own->certificate().c_str());
            SSL_CTX_use_PrivateKey_file(context_.get(), own->key().c_str(), SSL_FILETYPE_PEM);
        }
        ssl_.reset(SSL_new(context_.get()));
        SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
        SSL_set_fd(ssl_.get(), raw_.socket());
        is_connected_ = SSL_connect(ssl_.get()) == 1;
    }
    bool is_connected() const { return is_connected_; }
    SSL* ssl() { return ssl_.get(); }
    std::string protocol() const {
        const unsigned char* data = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(ssl_.get(), &data, &size);
        return {reinterpret_cast<const char*>(data), size};
    }
    std::string ask_until(const std::string& request, const std::string& end,
                          size_t step = 1 << 14) {
        for (size_t at = 0; at < request.size(); at += step) {
            const std::string part = request.substr(at, step);
            if (SSL_write(ssl_.get(), part.data(), static_cast<int>(part.size())) <= 0) return "";
        }
        std::string answer;
        char buffer[16384];
        while (answer.find(end) == std::string::npos) {
            const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
            if (n <= 0) break;
            answer.append(buffer, static_cast<size_t>(n));
        }
        return answer;
    }

  private:
    RawClient raw_;
    std::unique_ptr<SSL_CTX, Free> context_;
    std::unique_ptr<SSL, Free> ssl_;
    bool is_connected_ = false;
};

const std::string kHttp1("\x08http/1.1", 9);
const std::string kHttp2("\x02h2\x08http/1.1", 12);

}  // namespace

TEST_CASE("TLS serves the protocol that ALPN settled on") {
    const Certificate certificate;
    TestServer server({}, echo, {certificate.certificate(), certificate.key(), ""});
    TlsClient http1(server.port, kHttp1);
    REQUIRE(http1.is_connected());
    CHECK(http1.protocol() == "http/1.1");
    CHECK(http1.ask_until(kGet, "GET /x").starts_with("HTTP/1.1 200"));
    TlsClient http2(server.port, kHttp2);
    REQUIRE(http2.is_connected());
    CHECK(http2.protocol() == "h2");
    const std::string request = std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") +
                                std::string("\0\0\0\x04\0\0\0\0\0", 9) +
                                std::string(
                                    "\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01"
                                    "a",
                                    15);
    CHECK(http2.ask_until(request, "GET / ").find("GET / ") != std::string::npos);
}

TEST_CASE("large bodies cross TLS both ways, in records of one byte too") {
    const Certificate certificate;
    TestServer server({}, echo, {certificate.certificate(), certificate.key(), ""});
    TlsClient client(server.port, kHttp1);
    const std::string body(1'000'000, 'b');
    const std::string answer = client.ask_until(
        "POST /l HTTP/1.1\r\nhost: a\r\ncontent-length: 1000001\r\n\r\n" + body + "!", "b!");
    CHECK(answer.ends_with("POST /l " + body + "!"));
    CHECK(client.ask_until(kGet, "GET /x ", 1).starts_with("HTTP/1.1 200"));
}

TEST_CASE("a TLS port never falls back to plaintext, and refuses renegotiation") {
    const Certificate certificate;
    TestServer server({}, echo, {certificate.certificate(), certificate.key(), ""});
    RawClient plain(server.port);
    CHECK(plain.ask(kGet).find("HTTP/") == std::string::npos);
    CHECK(server.refused("tls_handshake"));
    TlsClient client(server.port, kHttp1);
    SSL_renegotiate(client.ssl());
    CHECK(client.ask_until(kGet, "GET /x").starts_with("HTTP/1.1 200"));
}

TEST_CASE("clients without a certificate of the configured CA are refused") {
    const Certificate ours;
    const Certificate other;
    TestServer server({}, echo, {ours.certificate(), ours.key(), ours.certificate()});
    TlsClient known(server.port, kHttp1, &ours);
    CHECK(known.ask_until(kGet, "GET /x").starts_with("HTTP/1.1 200"));
    TlsClient nobody(server.port, kHttp1);
    CHECK(nobody.ask_until(kGet, "GET /x").empty());
    TlsClient stranger(server.port, kHttp1, &other);
    CHECK(stranger.ask_until(kGet, "GET /x").empty());
    const Certificate expired(-3'600);
    TestServer strict({}, echo, {ours.certificate(), ours.key(), expired.certificate()});
    TlsClient late(strict.port, kHttp1, &expired);
    CHECK(late.ask_until(kGet, "GET /x").empty());
}

TEST_CASE("bad TLS files and addresses are named before anything is served") {
    const Certificate certificate;
    const Certificate other;
    MemoryBudget budget(1'000);
    MetricsRegistry metrics;
    auto server = Server::create({}, 1, budget, metrics);
    const auto listen = [&](const std::string& host, TlsFiles tls) {
        Endpoint endpoint;
        endpoint.name = "e";
        endpoint.host = host;
        endpoint.tls = std::move(tls);
        endpoint.handler = echo;
        auto port = (*server)->listen(std::move(endpoint));
        return port ? std::string("listens") : port.error().message;
    };
    CHECK(listen("127.0.0.1", {"/nowhere.pem", certificate.key(), ""}).find("/nowhere.pem") !=
          std::string::npos);
    CHECK(listen("127.0.0.1", {certificate.certificate(), other.key(), ""}).find(other.key()) !=
          std::string::npos);
    CHECK(listen("example.org", {}).find("not an IP address") != std::string::npos);
    CHECK(listen("localhost", {}) == "listens");
}

TEST_CASE("a port in use is an error that says so") {
    TestServer first;
    MemoryBudget budget(1'000);
    MetricsRegistry metrics;
    auto second = Server::create({}, 1, budget, metrics);
    Endpoint endpoint;
    endpoint.name = "web";
    endpoint.host = "127.0.0.1";
    endpoint.port = first.port;
    endpoint.handler = echo;
    auto port = (*second)->listen(std::move(endpoint));
    REQUIRE(!port);
    CHECK(port.error().code == ErrorCode::kAlreadyExists);
    CHECK(port.error().message.find("web") != std::string::npos);
}

TEST_CASE("connections over the cap are closed, and the ones before it are served") {
    ServerLimits limits;
    limits.connections_max = 3;
    TestServer server(limits);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(std::make_unique<RawClient>(server.port));
        clients.back()->send(kGet);
        CHECK(clients.back()->receive_until("GET /x").starts_with("HTTP/1.1 200"));
    }
    RawClient fourth(server.port);
    CHECK(fourth.receive_all().empty());
    CHECK(server.refused("connection_limit"));
    clients[0]->send(kGet);
    CHECK(clients[0]->receive_until("GET /x").starts_with("HTTP/1.1 200"));
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kChecksNeedDescriptors = true;  // UBSan opens a pipe to check a vtable pointer
#else
constexpr bool kChecksNeedDescriptors = false;
#endif

TEST_CASE("running out of descriptors delays connections, and loses none" *
          doctest::skip(kChecksNeedDescriptors)) {
    TestServer server;
    RawClient before(server.port);
    before.send(kGet);
    before.receive_until("GET /x");
    rlimit old = {};
    getrlimit(RLIMIT_NOFILE, &old);
    // The client needs one descriptor; the server finds none left for its side. The answer above
    // says that it has taken its descriptor for the first connection, so that none is taken while
    // the free ones are counted.
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    std::unique_ptr<RawClient> late;
    const rlimit tight = {static_cast<rlim_t>(lowest_free + 1), old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &tight);
    late = std::make_unique<RawClient>(server.port);
    late->send(kGet);
    while (server.refused("accept_failed", 0))
        std::this_thread::yield();
    before.send(kGet);
    CHECK(before.receive_until("GET /x").starts_with("HTTP/1.1 200"));
    setrlimit(RLIMIT_NOFILE, &old);
    CHECK(late->receive_until("GET /x").starts_with("HTTP/1.1 200"));
}

TEST_CASE("many connections come and go while a server stops") {
    for (int round = 0; round < 5; ++round) {
        TestServer server;
        std::vector<std::thread> threads;
        std::atomic<bool> done = false;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                while (!done) {
                    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                    sockaddr_in to = {};
                    to.sin_family = AF_INET;
                    to.sin_port = htons(server.port);
                    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                    if (::connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
                        char answer[512];
                        ::send(socket, kGet.data(), kGet.size(), MSG_NOSIGNAL);
                        [[maybe_unused]] const ssize_t n = ::recv(socket, answer, sizeof answer, 0);
                    }
                    ::close(socket);
                }
            });
        }
        const std::string many =
            R"(http_requests_total{endpoint="test",protocol="http1",class="2xx"})";
        while (server.counted(many, 0))
            std::this_thread::yield();
        server.server->stop(100);
        done = true;
        for (std::thread& thread : threads)
            thread.join();
    }
}

TEST_CASE("idle keep-alive connections do not hold up a stop") {
    TestServer server;
    RawClient client(server.port);
    client.send(kGet);
    client.receive_until("GET /x");
    std::thread closer([&] {
        client.receive_all();
        client.close();
    });
    server.server->stop(5'000);
    closer.join();
    CHECK(server.counted(R"(http_connections_open{endpoint="test"})", 0));
}

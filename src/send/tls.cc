#include "send/tls.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "send/socket_calls.h"

namespace spanloom::send {
namespace {

constexpr size_t kRecordBytesMax = 16U << 10;

std::string last_error() {
    char text[256] = "no reason given";
    if (const unsigned long code = ERR_get_error(); code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    ERR_clear_error();
    return text;
}

// OpenSSL's own socket BIO raises SIGPIPE in the program where the server has gone.
int descriptor_of(BIO* bio) {
    return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* bytes, int size) {
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::send(descriptor_of(bio), bytes, static_cast<size_t>(size), kSendFlags);
    if (n < 0 && is_transient(errno)) BIO_set_retry_write(bio);
    return static_cast<int>(n);
}

int bio_read(BIO* bio, char* bytes, int size) {
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::recv(descriptor_of(bio), bytes, static_cast<size_t>(size), 0);
    if (n < 0 && is_transient(errno)) BIO_set_retry_read(bio);
    return static_cast<int>(n);
}

long bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int bio_create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
}

struct FreeBioMethod {
    void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};
struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;
using Ssl = std::unique_ptr<SSL, FreeSsl>;

class OpenSslStream final : public TlsStream {
  public:
    OpenSslStream(Ssl ssl, std::string name, Alpn alpn)
        : ssl_(std::move(ssl)), name_(std::move(name)), alpn_(alpn) {}
    ~OpenSslStream() override {
        ERR_clear_error();
        if (is_open_) SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }

    Result<Step> handshake() override;
    Result<size_t> read_some(char* to, size_t size) override;
    Result<size_t> write_some(const iovec* parts, size_t count) override;
    void abandon() override { is_open_ = false; }

  private:
    Result<size_t> outcome(int n, std::string_view what);
    Result<void> check_protocol() const;

    Ssl ssl_;
    std::string name_;
    Alpn alpn_;
    bool is_open_ = false;
    // A record that the socket did not take whole must be offered again as it was.
    std::vector<char> record_;
};

Result<TlsStream::Step> OpenSslStream::handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) {
        TRY(check_protocol());
        is_open_ = true;
        return Step::kDone;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return Step::kWantRead;
    if (error == SSL_ERROR_WANT_WRITE) return Step::kWantWrite;
    if (const long verified = SSL_get_verify_result(ssl_.get()); verified != X509_V_OK) {
        ERR_clear_error();
        return fail(ErrorCode::kPermissionDenied, "the TLS certificate of {} is refused: {}", name_,
                    X509_verify_cert_error_string(verified));
    }
    if (error == SSL_ERROR_SYSCALL) {
        return fail(ErrorCode::kUnavailable, "{} closed the connection in the TLS handshake",
                    name_);
    }
    return fail(ErrorCode::kUnavailable, "no TLS with {}: {}", name_, last_error());
}

Result<void> OpenSslStream::check_protocol() const {
    if (alpn_ == Alpn::kHttp1) return {};
    const unsigned char* chosen = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
    if (size == 2 && std::memcmp(chosen, "h2", 2) == 0) return {};
    return fail(ErrorCode::kUnsupported, "{} offers no HTTP/2 over TLS, which gRPC needs", name_);
}

Result<size_t> OpenSslStream::outcome(int n, std::string_view what) {
    if (n > 0) return static_cast<size_t>(n);
    const int error = SSL_get_error(ssl_.get(), n);
    // Either may wait for the other direction while keys change.
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return size_t{0};
    is_open_ = false;
    if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL) {
        return fail(ErrorCode::kUnavailable, "{} closed the connection", name_);
    }
    return fail(ErrorCode::kUnavailable, "cannot {} {}: {}", what, name_, last_error());
}

Result<size_t> OpenSslStream::read_some(char* to, size_t size) {
    ERR_clear_error();
    return outcome(SSL_read(ssl_.get(), to, static_cast<int>(std::min<size_t>(size, INT32_MAX))),
                   "read from");
}

Result<size_t> OpenSslStream::write_some(const iovec* parts, size_t count) {
    size_t taken = record_.size();
    if (record_.empty()) {
        // Small parts share a record.
        for (size_t i = 0; i < count && record_.size() < kRecordBytesMax; ++i) {
            const char* from = static_cast<const char*>(parts[i].iov_base);
            const size_t n = std::min(parts[i].iov_len, kRecordBytesMax - record_.size());
            record_.insert(record_.end(), from, from + n);
        }
        taken = record_.size();
        if (taken == 0) return size_t{0};
    }
    ERR_clear_error();
    TRY_ASSIGN(const size_t written,
               outcome(SSL_write(ssl_.get(), record_.data(), static_cast<int>(taken)), "send to"));
    if (written == 0) return size_t{0};
    record_.clear();
    return written;
}

class OpenSslClient final : public TlsClient {
  public:
    OpenSslClient(Context context, std::unique_ptr<BIO_METHOD, FreeBioMethod> method)
        : method_(std::move(method)), context_(std::move(context)) {}

    Result<std::unique_ptr<TlsStream>> open(int descriptor, const Endpoint& endpoint,
                                            Alpn alpn) override;

  private:
    std::unique_ptr<BIO_METHOD, FreeBioMethod> method_;
    Context context_;
};

bool is_address(const std::string& host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
           inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

Result<std::unique_ptr<TlsStream>> OpenSslClient::open(int descriptor, const Endpoint& endpoint,
                                                       Alpn alpn) {
    static constexpr unsigned char kHttp1[] = "\x08http/1.1";
    static constexpr unsigned char kHttp2[] = "\x02h2";
    Ssl ssl(SSL_new(context_.get()));
    BIO* bio = ssl == nullptr ? nullptr : BIO_new(method_.get());
    if (bio == nullptr) return fail(ErrorCode::kInternal, "cannot start TLS: {}", last_error());
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(descriptor)));
    SSL_set_bio(ssl.get(), bio, bio);
    SSL_set_connect_state(ssl.get());
    const char* host = endpoint.host.c_str();
    bool is_named = false;
    if (is_address(endpoint.host)) {
        is_named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host) == 1;
    } else {
        is_named =
            SSL_set1_host(ssl.get(), host) == 1 && SSL_set_tlsext_host_name(ssl.get(), host) == 1;
    }
    if (!is_named) {
        return fail(ErrorCode::kInvalidArgument, "host {} cannot be checked by TLS", host);
    }
    if (alpn == Alpn::kHttp2) {
        SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof kHttp2 - 1);
    } else {
        SSL_set_alpn_protos(ssl.get(), kHttp1, sizeof kHttp1 - 1);
    }
    return std::unique_ptr<TlsStream>(
        std::make_unique<OpenSslStream>(std::move(ssl), endpoint.authority(), alpn));
}

Result<void> trust(SSL_CTX* context, const std::string& ca_file) {
    if (ca_file.empty()) {
        if (SSL_CTX_set_default_verify_paths(context) == 1) return {};
        return fail(ErrorCode::kInternal, "cannot load the system's certificates: {}",
                    last_error());
    }
    if (SSL_CTX_load_verify_file(context, ca_file.c_str()) == 1) return {};
    return fail(ErrorCode::kInvalidArgument, "cannot load the certificates in {}: {}", ca_file,
                last_error());
}

Result<void> identify(SSL_CTX* context, const TlsOptions& options) {
    const std::string& certificate = options.client_certificate_file;
    const std::string& key = options.client_key_file;
    if (certificate.empty() && key.empty()) return {};
    if (certificate.empty() || key.empty()) {
        return fail(ErrorCode::kInvalidArgument,
                    "a client certificate and its key are needed together; only {} is given",
                    certificate.empty() ? key : certificate);
    }
    if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
        return fail(ErrorCode::kInvalidArgument, "cannot load the client certificate {}: {}",
                    certificate, last_error());
    }
    if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return fail(ErrorCode::kInvalidArgument, "cannot load the client key {}: {}", key,
                    last_error());
    }
    if (SSL_CTX_check_private_key(context) == 1) return {};
    return fail(ErrorCode::kInvalidArgument, "the client key {} does not belong to {}", key,
                certificate);
}

}  // namespace

Result<std::unique_ptr<TlsClient>> TlsClient::create(const TlsOptions& options) {
    Context context(SSL_CTX_new(TLS_client_method()));
    std::unique_ptr<BIO_METHOD, FreeBioMethod> method(
        BIO_meth_new(BIO_TYPE_SOURCE_SINK, "spanloom socket"));
    if (context == nullptr || method == nullptr) {
        return fail(ErrorCode::kInternal, "cannot start TLS: {}", last_error());
    }
    BIO_meth_set_write(method.get(), bio_write);
    BIO_meth_set_read(method.get(), bio_read);
    BIO_meth_set_ctrl(method.get(), bio_control);
    BIO_meth_set_create(method.get(), bio_create);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    TRY(trust(context.get(), options.ca_file));
    TRY(identify(context.get(), options));
    return std::unique_ptr<TlsClient>(
        std::make_unique<OpenSslClient>(std::move(context), std::move(method)));
}

}  // namespace spanloom::send

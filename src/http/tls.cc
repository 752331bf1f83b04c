#include "http/tls.h"

#include <cstring>

#include <openssl/err.h>

namespace spanloom::http {
namespace {

std::string last_tls_error() {
    char text[256] = "no reason given";
    if (const unsigned long code = ERR_get_error(); code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    ERR_clear_error();
    return text;
}

int select_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned int in_size, void*) {
    static constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";
    unsigned char* chosen = nullptr;
    const int result =
        SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs - 1, in, in_size);
    if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Result<SslContext> make_server_tls(const TlsFiles& files) {
    SslContext context(SSL_CTX_new(TLS_server_method()));
    if (context == nullptr) {
        return fail(ErrorCode::kInternal, "cannot start TLS: {}", last_tls_error());
    }
    SSL_CTX* raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
    if (SSL_CTX_use_certificate_chain_file(raw, files.certificate.c_str()) != 1) {
        return fail(ErrorCode::kInvalidArgument, "cannot load the TLS certificate {}: {}",
                    files.certificate, last_tls_error());
    }
    if (SSL_CTX_use_PrivateKey_file(raw, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return fail(ErrorCode::kInvalidArgument, "cannot load the TLS key {}: {}", files.key,
                    last_tls_error());
    }
    if (SSL_CTX_check_private_key(raw) != 1) {
        return fail(ErrorCode::kInvalidArgument, "the TLS key {} does not belong to {}", files.key,
                    files.certificate);
    }
    if (files.client_ca.empty()) return context;
    if (SSL_CTX_load_verify_file(raw, files.client_ca.c_str()) != 1) {
        return fail(ErrorCode::kInvalidArgument, "cannot load the client CA {}: {}",
                    files.client_ca, last_tls_error());
    }
    SSL_CTX_set_client_CA_list(raw, SSL_load_client_CA_file(files.client_ca.c_str()));
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    static constexpr unsigned char kSessionContext[] = "spanloom";
    SSL_CTX_set_session_id_context(raw, kSessionContext, sizeof kSessionContext - 1);
    return context;
}

}  // namespace spanloom::http

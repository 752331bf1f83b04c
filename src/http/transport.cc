#include "http/transport.h"

#include <algorithm>
#include <array>

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

namespace spanloom::http {
namespace {

constexpr size_t kVectorsMax = 64;
constexpr size_t kTlsRecordBytes = 16U << 10;

class PlainTransport final : public Transport {
  public:
    explicit PlainTransport(int socket) : socket_(socket) {}

    IoStatus handshake() override { return IoStatus::kDone; }
    IoResult read(uint8_t* to, size_t size) override {
        const ssize_t n = ::recv(socket_, to, size, 0);
        if (n > 0) return {IoStatus::kDone, static_cast<size_t>(n)};
        if (n == 0) return {IoStatus::kEnd, 0};
        return {is_wait() ? IoStatus::kWantRead : IoStatus::kBroken, 0};
    }
    IoResult write(OutputQueue& queue) override {
        std::array<iovec, kVectorsMax> vectors;
        msghdr message = {};
        message.msg_iov = vectors.data();
        message.msg_iovlen = queue.gather(vectors.data(), vectors.size());
        const ssize_t n = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
        if (n < 0) return {is_wait() ? IoStatus::kWantWrite : IoStatus::kBroken, 0};
        queue.consume(static_cast<size_t>(n));
        return {IoStatus::kDone, static_cast<size_t>(n)};
    }
    void close_write() override { ::shutdown(socket_, SHUT_WR); }
    bool buffers_input() const override { return false; }

  private:
    static bool is_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

    int socket_;
};

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL, so a client that goes would raise SIGPIPE.
int bio_write(BIO* bio, const char* data, int size) {
    const int socket = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::send(socket, data, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
    return static_cast<int>(n);
}

int bio_read(BIO* bio, char* data, int size) {
    const int socket = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::recv(socket, data, static_cast<size_t>(size), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
    if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return static_cast<int>(n);
}

long bio_control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int bio_create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
}

BIO* make_socket_bio(int socket) {
    static BIO_METHOD* const kMethod = [] {
        BIO_METHOD* method =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "quiet socket");
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_ctrl(method, bio_control);
        BIO_meth_set_create(method, bio_create);
        return method;
    }();
    BIO* bio = BIO_new(kMethod);
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(socket)));
    return bio;
}

struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class TlsTransport final : public Transport {
  public:
    TlsTransport(int socket, SSL_CTX* context) : socket_(socket), ssl_(SSL_new(context)) {
        BIO* bio = make_socket_bio(socket);
        SSL_set_bio(ssl_.get(), bio, bio);
        SSL_set_accept_state(ssl_.get());
    }

    IoStatus handshake() override {
        if (SSL_is_init_finished(ssl_.get()) != 0) return IoStatus::kDone;
        ERR_clear_error();
        const int result = SSL_do_handshake(ssl_.get());
        return result == 1 ? IoStatus::kDone : status_of(result);
    }
    IoResult read(uint8_t* to, size_t size) override {
        size_t filled = 0;
        // A record holds at most 16 KiB; several calls fill a large buffer.
        while (filled < size) {
            ERR_clear_error();
            size_t n = 0;
            const int result = SSL_read_ex(ssl_.get(), to + filled, size - filled, &n);
            if (result != 1) {
                const IoStatus status = status_of(result);
                if (filled > 0) break;
                return {status, 0};
            }
            filled += n;
        }
        return {IoStatus::kDone, filled};
    }
    IoResult write(OutputQueue& queue) override {
        size_t sent = 0;
        while (!queue.empty() || !record_.empty()) {
            if (record_.empty()) fill_record(queue);
            ERR_clear_error();
            size_t n = 0;
            const int result = SSL_write_ex(ssl_.get(), record_.data(), record_.size(), &n);
            if (result != 1) {
                const IoStatus status = status_of(result);
                return sent > 0 && status == IoStatus::kWantWrite
                           ? IoResult{IoStatus::kWantWrite, sent}
                           : IoResult{status, sent};
            }
            // What left the record leaves the queue only now, so that "empty" means sent.
            record_.erase(0, n);
            queue.consume(n);
            sent += n;
        }
        return {IoStatus::kDone, sent};
    }
    void close_write() override {
        ERR_clear_error();
        SSL_shutdown(ssl_.get());
        ::shutdown(socket_, SHUT_WR);
    }
    bool buffers_input() const override { return true; }

  private:
    void fill_record(const OutputQueue& queue) {
        std::array<iovec, kVectorsMax> vectors;
        const size_t count = queue.gather(vectors.data(), vectors.size());
        for (size_t i = 0; i < count && record_.size() < kTlsRecordBytes; ++i) {
            const size_t room = kTlsRecordBytes - record_.size();
            record_.append(static_cast<const char*>(vectors[i].iov_base),
                           std::min(vectors[i].iov_len, room));
        }
    }
    IoStatus status_of(int result) {
        switch (SSL_get_error(ssl_.get(), result)) {
            case SSL_ERROR_WANT_READ:
                return IoStatus::kWantRead;
            case SSL_ERROR_WANT_WRITE:
                return IoStatus::kWantWrite;
            case SSL_ERROR_ZERO_RETURN:
                return IoStatus::kEnd;
            default:
                return IoStatus::kBroken;
        }
    }

    int socket_;
    std::unique_ptr<SSL, FreeSsl> ssl_;
    std::string record_;  // the front of the queue, as one piece
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(int socket) {
    return std::make_unique<PlainTransport>(socket);
}

std::unique_ptr<Transport> make_tls_transport(int socket, SSL_CTX* context) {
    return std::make_unique<TlsTransport>(socket, context);
}

}  // namespace spanloom::http

#pragma once

#include <functional>
#include <string>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/optional.hpp>

#include "base/text.h"
#include "http/message.h"

namespace spanloom::http {

// Beast's parser for one request's header, and for its body where that is chunked. What it is
// lenient about and others read differently (request smuggling) is refused here.
class Http1Parser final : public boost::beast::http::basic_parser<true> {
  public:
    using BodySink = std::function<bool(std::string_view)>;  // false: stop

    Http1Parser(Request& request, size_t header_bytes_max, BodySink sink)
        : request_(request), sink_(std::move(sink)) {
        header_limit(static_cast<uint32_t>(header_bytes_max));
        body_limit(boost::none);
    }

    // Why the request is refused; "" where the parser found it.
    const std::string& problem() const { return problem_; }
    uint64_t length() const { return length_; }
    bool has_length() const { return has_length_; }
    int version() const { return version_; }  // 10 or 11
    bool expects_continue() const { return expects_continue_; }

  private:
    using ErrorCode = boost::beast::error_code;
    using Text = boost::beast::string_view;

    static std::string_view view(Text text) { return {text.data(), text.size()}; }
    static std::string lower(std::string_view text) {
        std::string out(text);
        for (char& c : out) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        }
        return out;
    }
    void refuse(std::string_view why, ErrorCode& error) {
        problem_ = why;
        error = boost::beast::http::error::bad_value;
    }

    void on_request_impl(boost::beast::http::verb, Text method, Text target, int version,
                         ErrorCode& error) override {
        version_ = version;
        request_.method = view(method);
        const std::string_view text = view(target);
        if (!text.starts_with('/')) return refuse("request target does not begin with '/'", error);
        const size_t mark = text.find('?');
        request_.path = text.substr(0, mark);
        if (mark != std::string_view::npos) request_.raw_query = text.substr(mark + 1);
    }
    void on_response_impl(int, Text, int, ErrorCode&) override {}

    void on_field_impl(boost::beast::http::field known, Text name, Text value,
                       ErrorCode& error) override {
        if (header_done_) return;  // trailers are not kept
        if (request_.headers.size() >= kFieldsMax) return refuse("too many header fields", error);
        using boost::beast::http::field;
        const std::string_view text = view(value);
        if (known == field::content_length) {
            if (has_length_) return refuse("more than one content-length", error);
            const std::optional<int64_t> number = parse_int(text);
            const bool is_digits = text.find_first_not_of("0123456789") == std::string_view::npos;
            if (!number || !is_digits) return refuse("content-length is not a number", error);
            has_length_ = true;
            length_ = static_cast<uint64_t>(*number);
        } else if (known == field::transfer_encoding) {
            if (has_coding_ || lower(text) != "chunked" || version_ < 11) {
                return refuse("transfer-encoding must be chunked, once, and in HTTP/1.1", error);
            }
            has_coding_ = true;
        } else if (known == field::host) {
            if (request_.headers.has("host")) return refuse("more than one host", error);
        } else if (known == field::expect) {
            if (lower(text) != "100-continue") return refuse("unknown expectation", error);
            expects_continue_ = version_ >= 11;
        }
        if (has_length_ && has_coding_) {
            return refuse("both content-length and transfer-encoding", error);
        }
        request_.headers.add(lower(view(name)), std::string(text));
    }

    void on_header_impl(ErrorCode& error) override {
        header_done_ = true;
        if (version_ >= 11 && !request_.headers.has("host")) refuse("no host field", error);
    }
    void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
    size_t on_body_impl(Text body, ErrorCode&) override { return body.size(); }
    void on_chunk_header_impl(uint64_t, Text extensions, ErrorCode& error) override {
        if (extensions.size() > kExtensionBytesMax) refuse("chunk extension is too long", error);
    }
    size_t on_chunk_body_impl(uint64_t, Text body, ErrorCode& error) override {
        if (!sink_(view(body))) refuse("request body is refused", error);
        return body.size();
    }
    void on_finish_impl(ErrorCode&) override {}

    static constexpr size_t kFieldsMax = 200;
    static constexpr size_t kExtensionBytesMax = 256;

    Request& request_;
    BodySink sink_;
    std::string problem_;
    uint64_t length_ = 0;
    int version_ = 11;
    bool has_length_ = false;
    bool has_coding_ = false;
    bool expects_continue_ = false;
    bool header_done_ = false;
};

}  // namespace spanloom::http

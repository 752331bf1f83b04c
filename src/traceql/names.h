#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "store/field.h"
#include "traceql/ast.h"

namespace spanloom::traceql {

struct IntrinsicName {
    std::string_view name;
    store::Intrinsic intrinsic;
};

// All spellings; the first of an intrinsic is the one that is printed.
std::span<const IntrinsicName> intrinsic_names();
std::optional<store::Intrinsic> intrinsic_of(std::string_view name);
std::string_view intrinsic_name(store::Intrinsic intrinsic);

// true, false, nil, error, server, minInt and the like.
std::optional<store::Value> keyword_value(std::string_view word);
std::string_view kind_keyword(otlp::SpanKind kind);
std::string_view status_keyword(otlp::StatusCode status);

std::optional<FunctionKind> function_of(std::string_view name);
std::optional<Aggregate> aggregate_of(std::string_view name);

// "name", "span.http.method", `resource."odd name"`.
std::string field_text(const store::Field& field);

// The words nearest to what was written: intrinsics, keywords, functions. "" where none is near.
std::string_view nearest_word(std::string_view written);

}  // namespace spanloom::traceql

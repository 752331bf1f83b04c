#pragma once

#include "store/field.h"

// Conditions that the APIs of several families ask alike.
namespace spanloom::api {

inline store::Field intrinsic(store::Intrinsic which) {
    return {store::Scope::kIntrinsic, which, ""};
}

inline store::Predicate has_status(otlp::StatusCode code) {
    return store::Predicate::compare(intrinsic(store::Intrinsic::kStatus),
                                     store::Comparison::kEqual, store::Value::of_status(code));
}

inline store::Predicate presence(store::Field field) {
    store::Predicate exists;
    exists.kind = store::Predicate::Kind::kExists;
    exists.field = std::move(field);
    return exists;
}

}  // namespace spanloom::api

#pragma once

#include "spanloom/ids.h"

// TraceId and SpanId are the public ones: the program and the SDK speak of the same type.

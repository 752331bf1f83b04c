#pragma once

#include "spanloom/tracer_provider.h"

namespace spanloom {

// Makes opentelemetry-cpp's API report through spanloom: its global TracerProvider, and its runtime
// context, which becomes one with spanloom's. A span that one API made active is the parent of what
// the other starts. Call it once, before libraries take their tracers.
//
// Comes as source (the CMake target spanloom::opentelemetry_cpp), for that API's types depend on
// how a program compiles it: OPENTELEMETRY_ABI_VERSION_NO 1 and 2, with and without
// OPENTELEMETRY_STL.
void install_opentelemetry_cpp(TracerProvider provider = TracerProvider::global());

}  // namespace spanloom

#pragma once

#include <string>

#include "otlp/batch.h"

namespace spanloom {

// Spans as a table of text (RFC 4180), a row each. The columns and their types do not change:
// programs turn the file into typed tables with them. Texts that a spreadsheet would take for a
// formula get an apostrophe in front.
std::string span_table_header();
void append_span_rows(std::string& out, const Batch& batch);

}  // namespace spanloom

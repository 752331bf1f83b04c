#include "store/search.h"

#include "store/predicate.h"
#include "store/trace_stream.h"
#include "store/trace_summary.h"

namespace spanloom::store {

Result<SearchAnswer> search(Segments segments, const SearchRequest& request) {
    TRY_ASSIGN(const CompiledPredicate predicate, CompiledPredicate::compile(request.where));
    TraceStream stream(segments, request, predicate);
    SearchAnswer answer;
    while (const auto found = stream.next()) {
        if (answer.traces.size() >= request.limit) {
            if (!answer.traces.empty())
                answer.next = Cursor{answer.traces.back().start_ns, answer.traces.back().trace_id};
            break;
        }
        if (stream.is_interrupted()) break;
        SummaryOutcome outcome = summarize(found->trace_id, *found->places, request);
        if (!outcome.reason.empty())
            stream.note({ErrorCode::kDataLoss, std::move(outcome.reason), 0});
        answer.traces.push_back(std::move(outcome.summary));
    }
    answer.stats = stream.stats();
    return answer;
}

}  // namespace spanloom::store

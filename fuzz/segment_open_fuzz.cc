// Segment files from anywhere: opening one and asking it everything never crashes. Checksums are
// made right first, so that what lies behind them is reached. An input that begins with a small
// byte edits a good file: three bytes of place and one of value each.
#include <cstdint>
#include <string>

#include "store/segment_test_damage.h"
#include "store/segment_test_spans.h"

namespace {

using namespace spanloom;

std::string good_image(uint64_t seed) {
    store::OddRequests requests(seed);
    store::SegmentBuilder builder({16, static_cast<int>(seed & 1), {}});
    builder.add(requests.next(30));
    return std::string(builder.finish()->view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::string images[4] = {good_image(1), good_image(2), good_image(3),
                                          good_image(4)};
    if (size == 0) return 0;
    std::string image(reinterpret_cast<const char*>(data), size);
    if (data[0] < 4) {
        image = images[data[0]];
        for (size_t at = 1; at + 4 <= size; at += 4) {
            const size_t place = data[at] | data[at + 1] << 8 | data[at + 2] << 16;
            image[place % image.size()] = static_cast<char>(data[at + 3]);
        }
    }
    store::seal(image);
    const auto segment = store::Segment::open(Blob::copy_of(image));
    if (segment) store::ask_everything(**segment);
    return 0;
}

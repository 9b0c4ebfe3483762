// links: lib_stream
// Feeds any bytes to the HTTP request and response parsers, whole and cut at a point the input
// chooses. Proves: no crash, no read outside, and both ways of cutting see the same requests.
#include "lib/base/assert.h"
#include "lib/stream/http1.h"

#include <cstddef>
#include <cstdint>

using namespace qtool;
using namespace qtool::stream;

namespace {

struct Seen {
    std::vector<HttpRequest> requests;
    int status = 0;
};

void feed_all(HttpRequestParser& parser, ByteView bytes, Seen& seen) {
    while (!bytes.empty() && parser.state() != HttpRequestParser::State::failed) {
        const size_t taken = parser.feed(bytes);
        QT_ASSERT(taken <= bytes.size());
        bytes = bytes.subspan(taken);
        if (parser.state() == HttpRequestParser::State::ready) {
            seen.requests.push_back(parser.take());
        } else {
            QT_ASSERT(taken > 0 || parser.state() == HttpRequestParser::State::failed);
        }
    }
    seen.status = parser.status();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const ByteView bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    const size_t cut = bytes.empty() ? 0 : data[0] % (bytes.size() + 1);

    Seen whole;
    HttpRequestParser one;
    feed_all(one, bytes, whole);
    Seen halves;
    HttpRequestParser two;
    feed_all(two, bytes.first(cut), halves);
    feed_all(two, bytes.subspan(cut), halves);
    QT_ASSERT(whole.status == halves.status);
    QT_ASSERT(whole.requests.size() == halves.requests.size());
    for (size_t i = 0; i < whole.requests.size(); i++) {
        QT_ASSERT(whole.requests[i].path == halves.requests[i].path);
        QT_ASSERT(whole.requests[i].segments == halves.requests[i].segments);
        QT_ASSERT(!whole.requests[i].segments.empty());
        QT_ASSERT(whole.requests[i].body == halves.requests[i].body);
        QT_ASSERT(whole.requests[i].body.size() <= kHttpBodyBytesMax);
    }

    HttpResponseParser response;
    if (response.feed(bytes.first(cut)) && response.feed(bytes.subspan(cut)) &&
        response.end_of_stream()) {
        response.take();
    }
    return 0;
}

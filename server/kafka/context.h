// What a handler gets and what it answers. A handler is a function (Context&) -> Outcome, one file
// an API under handlers/; the table of them is api_table.cc.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "lib/base/chunk.h"
#include "lib/protocol/api.h"
#include "lib/protocol/header.h"
#include "lib/protocol/primitive.h"
#include "server/kafka/answer_errors.h"
#include "server/kafka/fetch_session.h"
#include "server/request/door.h"
#include "server/request/services.h"

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace qtool::kafka {

class Throttle;

/// What is needed to answer later: copied by pending requests.
struct ReplyHead {
    int16_t api_key = 0;
    int16_t api_version = 0;
    int32_t correlation_id = 0;
    MonoTime received_at{};
    metrics::ApiCounters* counters = nullptr; // of this API; nullptr: nothing is counted
};

struct Context {
    ReplyHead head;
    std::string_view client_id; // view into the frame
    ByteSpan body;              // after the header; produce patches batches in place
    ChunkRef chunk;             // keeps client_id and body alive
    request::Services& services;
    const port::SocketAddress& peer;
    metrics::CoreCounters& counters;
    FetchSessions& sessions; // of this connection; outlives its pending requests
    Throttle& throttle;      // likewise
};

/// The whole answer is these pieces, frame length included.
struct Answer {
    std::vector<port::Piece> pieces;
};
/// No answer is owed (acks=0).
struct NoAnswer {};
/// The request cannot be answered: the connection closes, for this reason.
struct Close {
    std::string reason;
};
using Outcome = std::variant<Answer, std::unique_ptr<request::Pending>, NoAnswer, Close>;

using Handler = Outcome (*)(const Context& context);

/// Starts an answer: four bytes for the length, then the response header of this API and version.
ByteWriter begin_answer(const ReplyHead& head);
/// Sets the length and turns the writer into pieces.
std::vector<port::Piece> end_answer(ByteWriter writer);
/// The same for an answer with external records: `ranges` go, in order, where `splits` say. Each
/// range is as long as its split.
std::vector<port::Piece> end_answer(ByteWriter writer,
                                    const std::vector<protocol::RecordsSplit>& splits,
                                    std::vector<port::FileRange> ranges);

/// Encodes `response` as the whole answer, and counts its errors.
template <class Response>
std::vector<port::Piece> make_answer(const ReplyHead& head, const Response& response) {
    if (head.counters != nullptr) {
        count_errors(*head.counters, response);
    }
    ByteWriter writer = begin_answer(head);
    response.encode(writer, head.api_version);
    return end_answer(std::move(writer));
}

/// Decodes the body as `Request`, or closes the connection as Kafka does.
/// Usage: KAFKA_DECODE(protocol::MetadataRequest, request, context);
#define KAFKA_DECODE(Type, name, context)                                                          \
    auto name##_decoded = Type::decode((context).body, (context).head.api_version);                \
    if (!name##_decoded) {                                                                         \
        (context).counters.frames_malformed.add();                                                 \
        return Close{to_string(name##_decoded.error())};                                           \
    }                                                                                              \
    Type& name = *name##_decoded

} // namespace qtool::kafka

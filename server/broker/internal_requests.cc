#include "server/broker/internal_requests.h"

#include "lib/base/log.h"

namespace qtool::broker {

namespace {

constexpr Duration kMarkerTimeout = 30s; // its coordinator tries again
constexpr Duration kRefillTimeout = 30s;
constexpr Duration kIsrTimeout = 10s; // then it is asked again

} // namespace

void MarkerWrite::start(Token self, request::Services& services) {
    self_ = self;
    const coordinator::MarkerRequest& wanted = marker_.request;
    replica::PartitionRequest request;
    request.request = self;
    request.key = wanted.partition;
    request.op = replica::WriteMarkerOp{wanted.marker, wanted.transaction_version,
                                        services.now() + kMarkerTimeout};
    std::vector<replica::PartitionRequest> requests;
    requests.push_back(std::move(request));
    services.submit_to_leaders(std::move(requests));
}

void MarkerWrite::on_partition_reply(replica::PartitionReply reply, request::Services& services) {
    done_(marker_, reply.result ? Result<void>() : Result<void>(std::move(reply.result).error()));
    services.finish(self_, {});
}

void ProducerIdRefill::start(Token self, request::Services& services) {
    self_ = self;
    services.change(self, operation_, services.now() + kRefillTimeout);
}

void ProducerIdRefill::on_changed(request::Services& services) {
    if (const Result<int64_t> first = operation_.outcome(); first) {
        request::ProducerIdBlock& block = services.producer_ids();
        if (block.next == block.end) {
            block = {*first, *first + metadata::kProducerIdBlockSize};
        }
    } else {
        log_line(LogLevel::warn, "producer_ids_not_allocated",
                 {{"error", to_string(first.error())}});
    }
    done_();
    services.finish(self_, {});
}

void IsrChange::start(Token self, request::Services& services) {
    self_ = self;
    services.change(self, operation_, services.now() + kIsrTimeout);
}

void IsrChange::on_changed(request::Services& services) {
    for (size_t i = 0; i < proposals_.size(); i++) {
        const metadata::IsrOutcome outcome = operation_.results()[i];
        Result<void> result;
        if (outcome == metadata::IsrOutcome::unfinished) {
            result = Error(Code::timed_out);
        } else if (proposals_[i].is_copy_lost && outcome != metadata::IsrOutcome::committed) {
            result = Error(Code::store_conflict);
        }
        done_(proposals_[i], result);
    }
    services.finish(self_, {});
}

} // namespace qtool::broker

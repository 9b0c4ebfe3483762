// Routes about transactions: what their coordinators say, in JSON.
#include "lib/admin/group_model.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/admin/coordinator_query.h"

#include <algorithm>

namespace qtool::admin {

namespace {

constexpr int16_t kDescribeVersion = 0;
constexpr int16_t kInitVersion = 5;
constexpr int32_t kFenceTimeoutMs = 60'000; // of the new producer epoch, which nobody will use

std::string quoted(std::string_view id) {
    return "transactional id '" + std::string(id) + "'";
}

Error no_such(std::string_view id) {
    return {Code::resource_not_found, quoted(id) + " does not exist"};
}

struct TransactionListing {
    using Request = protocol::ListTransactionsRequest;
    using Response = protocol::ListTransactionsResponse;
    using List = TransactionList;
    static constexpr std::string_view kTopic = metadata::kTransactionTopic;
    static constexpr int16_t kVersion = 1;

    static void add(const Response& response, List& list) {
        for (const auto& one : response.transaction_states) {
            list.transactions.push_back({std::string(one.transactional_id), one.producer_id,
                                         std::string(one.transaction_state)});
        }
    }
    static void sort(List& list) {
        std::sort(list.transactions.begin(), list.transactions.end(),
                  [](const TransactionSummary& a, const TransactionSummary& b) {
                      return a.transactional_id < b.transactional_id;
                  });
    }
};

class DescribeTransactionQuery final : public CoordinatorQuery {
public:
    explicit DescribeTransactionQuery(const Exchange& exchange)
        : CoordinatorQuery(exchange, metadata::kTransactionTopic),
          id_(exchange.name) {}

private:
    void begin() override {
        if (shard_count() == 0) {
            return;
        }
        protocol::DescribeTransactionsRequest request;
        request.transactional_ids.push_back(id_);
        ask_coordinator_of(id_, 0, kDescribeVersion, request);
    }

    void take(uint32_t, Result<replica::PartitionResult> result) override {
        const auto response =
            decode_answer<protocol::DescribeTransactionsResponse>(result, kDescribeVersion);
        if (!response) {
            failure_ = response.error();
            return;
        }
        for (const auto& one : response->transaction_states) {
            if (one.error_code != 0) {
                failure_ = coordinator_answer_error(one.error_code, quoted(id_));
                return;
            }
            TransactionDescription& out = description_.emplace();
            out.transactional_id = one.transactional_id;
            out.state = one.transaction_state;
            out.producer_id = one.producer_id;
            out.producer_epoch = one.producer_epoch;
            out.timeout_ms = one.transaction_timeout_ms;
            out.start_ms = one.transaction_start_time_ms;
            for (const auto& topic : one.topics) {
                out.partitions.push_back({std::string(topic.topic), topic.partitions});
            }
        }
    }

    stream::HttpReply finish() override {
        if (!description_) {
            return reply_error(failure_.value_or(no_such(id_)));
        }
        return reply_json(200, encode(*description_));
    }

    std::string id_;
    std::optional<TransactionDescription> description_;
    std::optional<Error> failure_;
};

// What Kafka's own tool calls "force terminate": a new epoch fences the producer, and its open
// transaction is aborted. Of an id that does not exist nothing is made: it is looked up first.
class AbortTransactionQuery final : public ChangeQuery {
public:
    explicit AbortTransactionQuery(const Exchange& exchange)
        : ChangeQuery(exchange, metadata::kTransactionTopic) {}

private:
    enum Question : uint32_t { look_up, fence };

    void begin() override {
        if (shard_count() == 0) {
            fail(no_such(name()));
            return;
        }
        protocol::DescribeTransactionsRequest request;
        request.transactional_ids.push_back(name());
        ask_coordinator_of(name(), look_up, kDescribeVersion, request);
    }

    void take(uint32_t index, Result<replica::PartitionResult> result) override {
        if (index == look_up) {
            take_found(
                decode_answer<protocol::DescribeTransactionsResponse>(result, kDescribeVersion));
            return;
        }
        const auto response = decode_answer<protocol::InitProducerIdResponse>(result, kInitVersion);
        if (!response) {
            fail(response.error());
            return;
        }
        // "Concurrent transactions" means here: fenced, and the abort is under way.
        const auto concurrent = static_cast<int16_t>(protocol::KafkaError::concurrent_transactions);
        if (response->error_code != concurrent) {
            fail(response->error_code, quoted(name()));
        }
    }

    void take_found(const Result<protocol::DescribeTransactionsResponse>& response) {
        if (!response) {
            fail(response.error());
            return;
        }
        for (const auto& one : response->transaction_states) {
            fail(one.error_code, quoted(name()));
        }
        if (has_failed()) {
            return;
        }
        protocol::InitProducerIdRequest request;
        request.transactional_id = name();
        request.transaction_timeout_ms = kFenceTimeoutMs;
        ask_coordinator_of(name(), fence, kInitVersion, request);
    }
};

} // namespace

RouteOutcome get_transactions(Exchange exchange) {
    return std::make_unique<ListQuery<TransactionListing>>(exchange);
}

RouteOutcome get_transaction(Exchange exchange) {
    return std::make_unique<DescribeTransactionQuery>(exchange);
}

RouteOutcome delete_transaction(Exchange exchange) {
    return std::make_unique<AbortTransactionQuery>(exchange);
}

} // namespace qtool::admin

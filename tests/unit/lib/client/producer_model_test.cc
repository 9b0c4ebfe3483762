// The producer against a model of a partition that keeps sequences (KIP-98), with random refusals,
// lost answers, connections that break and requests that are carried out long after. Whatever
// happens: nothing is written twice or out of order, what is reported delivered is written, and
// what is reported failed is not, unless the report says that this is not known.
#include "lib/base/prng.h"
#include "lib/client/producer.h"
#include "tests/unit/lib/client/fake_broker.h"

#include <map>

using namespace qtool;
using namespace qtool::client;
using protocol::KafkaError;

namespace {

struct ModelPartition {
    struct Written {
        int32_t sequence;
        int64_t offset;
    };

    KafkaError append(const FakeBroker::Produced& request, int64_t& offset) {
        const int16_t batch_epoch = request.batch.producer_epoch.value();
        const int32_t sequence = request.batch.base_sequence;
        if (epoch < 0) { // a producer that it knows nothing of may begin with any sequence
            epoch = batch_epoch;
            next_sequence = sequence;
        }
        if (batch_epoch < epoch) {
            return KafkaError::invalid_producer_epoch;
        }
        if (batch_epoch > epoch) {
            if (sequence != 0) {
                return KafkaError::out_of_order_sequence_number;
            }
            epoch = batch_epoch;
            next_sequence = 0;
            last.clear();
        }
        for (const Written& one : last) {
            if (one.sequence == sequence) {
                offset = one.offset;
                return KafkaError::none;
            }
        }
        if (sequence != next_sequence) {
            return KafkaError::out_of_order_sequence_number;
        }
        offset = static_cast<int64_t>(log.size());
        last.push_back({sequence, offset});
        if (last.size() > 5) {
            last.pop_front();
        }
        next_sequence += request.batch.records_count;
        for (const std::string& value : request.values) {
            log.push_back(std::stoull(value));
        }
        return KafkaError::none;
    }

    int16_t epoch = -1;
    int32_t next_sequence = 0;
    std::deque<Written> last;
    std::vector<uint64_t> log; // tags
};

class Run {
public:
    explicit Run(uint64_t seed)
        : random_(seed),
          producer_(make_config(), seed),
          broker_(producer_.cluster()) {}

    void run() {
        for (int i = 0; i < 400; i++) {
            act();
            step();
        }
        broker_.is_up = true;
        for (int i = 0; i < 2000 && producer_.undelivered_count() > 0; i++) {
            serve(KafkaError::none, true);
            now_ += 200ms;
            step();
        }
        while (!late_.empty()) {
            serve_late();
        }
        check();
    }

private:
    static config::ClientConfig make_config() {
        config::ClientConfig config;
        config.linger_ms = 1;
        config.batch_size_bytes = 130; // a few records
        config.delivery_timeout_ms = 40'000;
        return config;
    }

    void step() {
        for (int i = 0; i < 3; i++) {
            producer_.step(now_, out_);
            broker_.apply(out_, now_);
        }
        for (const DeliveredBatch& batch : producer_.take_deliveries()) {
            for (size_t i = 0; i < batch.tags.size(); i++) {
                REQUIRE(delivered_.count(batch.tags[i]) == 0);
                delivered_.emplace(batch.tags[i], batch.result);
            }
        }
    }

    void act() {
        const int64_t dice = random_.between(0, 99);
        if (dice < 40) {
            add();
        } else if (dice < 70) {
            serve(KafkaError::none, true);
        } else if (dice < 73) {
            serve(KafkaError::request_timed_out, true); // written all the same
        } else if (dice < 76) {
            serve(KafkaError::not_leader_or_follower, false);
        } else if (dice < 79) {
            serve(KafkaError::message_too_large, false);
        } else if (dice < 81) {
            serve(KafkaError::invalid_record, false);
        } else if (dice < 82) {
            serve(KafkaError::unknown_producer_id, false);
        } else if (dice < 86) {
            cut();
        } else if (dice < 89) {
            serve_late();
        } else if (dice < 91) {
            broker_.is_up = !broker_.is_up;
            cut();
        } else if (dice < 92) {
            now_ += 25s; // two of these in a row expire what waits
        } else {
            now_ += std::chrono::milliseconds(random_.between(1, 600));
        }
    }

    void add() {
        const std::string value = std::to_string(next_tag_);
        const RecordParts parts{std::nullopt, as_bytes(value), {}, 1000};
        const auto take = producer_.add("t", std::nullopt, parts, next_tag_, now_);
        REQUIRE(take);
        next_tag_ += *take == Producer::Take::taken || *take == Producer::Take::closed_batch;
    }

    void serve(KafkaError error, bool writes) {
        if (broker_.produced.empty()) {
            return;
        }
        int64_t offset = -1;
        const KafkaError outcome =
            writes ? model_.append(broker_.produced.front(), offset) : KafkaError::none;
        broker_.answer(error == KafkaError::none ? outcome : error, offset, now_, out_);
        broker_.apply(out_, now_);
    }

    /// What was asked may still be carried out; nobody hears of it.
    void cut() {
        late_.insert(late_.end(), broker_.produced.begin(), broker_.produced.end());
        broker_.cut(now_);
    }

    void serve_late() {
        if (!late_.empty()) {
            int64_t offset = -1;
            static_cast<void>(model_.append(late_.front(), offset));
            late_.pop_front();
        }
    }

    void check() {
        CHECK(producer_.undelivered_count() == 0);
        CHECK(delivered_.size() == next_tag_);
        std::map<uint64_t, bool> written;
        for (size_t i = 0; i < model_.log.size(); i++) {
            written[model_.log[i]] = true;
            if (i > 0) {
                CHECK(model_.log[i - 1] < model_.log[i]); // once, and in order
            }
        }
        for (const auto& [tag, result] : delivered_) {
            CAPTURE(tag);
            if (result) {
                CHECK(written.count(tag) == 1);
            } else if (written.count(tag) == 1) {
                CHECK(result.error().detail.find("not known") != std::string::npos);
            }
        }
    }

    Prng random_;
    MonoTime now_ = MonoTime{} + 1000s;
    Producer producer_;
    FakeBroker broker_;
    Outbox out_;
    ModelPartition model_;
    std::deque<FakeBroker::Produced> late_;
    uint64_t next_tag_ = 0;
    std::map<uint64_t, Result<void>> delivered_;
};

} // namespace

TEST_CASE("producer: nothing is written twice, and every report is true") {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        CAPTURE(seed);
        Run(seed).run();
    }
}

// GET /metrics: a survey of all cores, then the lag of what groups have committed, then text.
//
//   asking cores --all answered--> asking partitions, a few in each turn of the core --all-->
//   answered
//
// A few in each turn, because partitions of this core would otherwise all be asked in one: 10,000
// headers read from disk would hold up everybody else.
#include "lib/base/assert.h"
#include "server/admin/exchange.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace qtool::admin {

namespace {

constexpr size_t kPartitionsPerTurn = 64;

class MetricsQuery final : public HttpPending {
public:
    explicit MetricsQuery(const Exchange& exchange) : HttpPending(exchange) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        waiting_ = services.survey(self, metrics::kLagSeriesMax);
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(waiting_ > 0);
        waiting_--;
        if (reply.result) {
            if (auto* core = std::get_if<metrics::CoreSurvey>(&*reply.result)) {
                take_core(std::move(*core));
            } else {
                take_lag(reply.index, std::get<replica::LagResult>(*reply.result),
                         services.wall_now());
            }
        }
        if (!reply.result && reply.result.error().code == Code::timed_out) {
            is_somebody_silent_ = true; // who scrapes does not wait for it in each turn again
        }
        go_on(services);
    }

    void on_deadline(request::Services& services) override {
        if (waiting_ > 0) {
            return;
        }
        std::vector<replica::PartitionRequest> here;
        std::vector<replica::PartitionRequest> elsewhere;
        for (; next_ < asked_.size() && here.size() + elsewhere.size() < kPartitionsPerTurn;
             next_++) {
            replica::PartitionRequest request;
            request.request = self_;
            request.index = static_cast<uint32_t>(next_);
            request.key = asked_[next_].key;
            request.op = replica::LagOp{Offset(asked_[next_].committed.offset)};
            if (has_replica(request.key, services)) { // a follower's knowledge is fresh enough
                here.push_back(std::move(request));
            } else if (!is_somebody_silent_) {
                elsewhere.push_back(std::move(request));
            }
        }
        waiting_ = here.size() + elsewhere.size();
        services.submit(std::move(here));
        services.submit_to_leaders(std::move(elsewhere));
        go_on(services);
    }

private:
    void go_on(request::Services& services) {
        if (waiting_ > 0) {
            return;
        }
        if (!has_surveyed_) {
            has_surveyed_ = true;
            resolve(*services.image());
        }
        if (next_ < asked_.size()) {
            services.set_deadline(self_, services.now());
        } else {
            finish(services);
        }
    }

    static bool has_replica(const PartitionKey& key, request::Services& services) {
        const metadata::PartitionImage* partition = services.image()->partition(key);
        return partition == nullptr ||
               std::find(partition->replicas.begin(), partition->replicas.end(),
                         services.broker_id()) != partition->replicas.end();
    }

    struct Asked {
        metrics::CommittedOffset committed;
        PartitionKey key;
    };

    void take_core(metrics::CoreSurvey core) {
        survey_.logs.add(core.logs);
        survey_.coordinators.add(core.coordinators);
        survey_.lag_left_out += core.offsets_left_out;
        std::move(core.offsets.begin(), core.offsets.end(), std::back_inserter(offsets_));
    }

    // Offsets of partitions that are no more have no lag.
    void resolve(const metadata::Image& image) {
        for (metrics::CommittedOffset& committed : offsets_) {
            const metadata::TopicImage* topic = image.topic(committed.topic);
            if (topic == nullptr || committed.offset < 0 || committed.partition < 0 ||
                static_cast<size_t>(committed.partition) >= topic->partitions.size()) {
                continue;
            }
            if (asked_.size() == metrics::kLagSeriesMax) {
                survey_.lag_left_out++;
                continue;
            }
            const PartitionKey key{topic->id, PartitionIndex(committed.partition)};
            asked_.push_back({std::move(committed), key});
        }
        offsets_.clear();
    }

    void take_lag(uint32_t index, const replica::LagResult& result, WallTime wall) {
        metrics::LagRow& row = survey_.lag.emplace_back();
        row.committed = std::move(asked_.at(index).committed);
        row.records = std::max<int64_t>(result.high_watermark.value() - row.committed.offset, 0);
        if (row.records > 0 && result.timestamp_ms >= 0) {
            row.ms = std::max<int64_t>(wall.time_since_epoch().count() - result.timestamp_ms, 0);
        }
    }

    void finish(request::Services& services) {
        std::sort(survey_.lag.begin(), survey_.lag.end(),
                  [](const metrics::LagRow& a, const metrics::LagRow& b) {
                      return std::tie(a.committed.group, a.committed.topic, a.committed.partition) <
                             std::tie(b.committed.group, b.committed.topic, b.committed.partition);
                  });
        stream::HttpReply reply;
        reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
        reply.body = services.metrics_text(survey_);
        answer(self_, std::move(reply), services);
    }

    Token self_;
    size_t waiting_ = 0; // answers of cores, then of partitions
    bool has_surveyed_ = false;
    bool is_somebody_silent_ = false; // a broker that was asked
    std::vector<metrics::CommittedOffset> offsets_;
    std::vector<Asked> asked_;
    size_t next_ = 0; // of asked_
    metrics::Survey survey_;
};

} // namespace

RouteOutcome get_metrics(Exchange exchange) {
    return std::make_unique<MetricsQuery>(exchange);
}

} // namespace qtool::admin

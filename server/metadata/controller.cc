#include "server/metadata/controller.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/config/broker_config.h"
#include "server/metadata/decide_reassign.h"
#include "server/metadata/placement.h"
#include "server/metadata/record_codec.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace qtool::metadata {

namespace {

PartitionIndex index_of(size_t i) {
    return PartitionIndex(static_cast<int32_t>(i));
}

// Replicas that an internal topic shall have, by the options of its coordinator.
size_t wanted_replicas(const Image& image, const TopicImage& topic) {
    if (!image.broker || !topic.is_internal()) {
        return 0;
    }
    return static_cast<size_t>(topic.name == kGroupTopic
                                   ? image.broker->offsets_topic_replication_factor
                                   : image.broker->transaction_state_replication_factor);
}

} // namespace

std::optional<PartitionImage> react(const Image& image, const TopicImage& topic, size_t index) {
    const auto is_live = [&](BrokerId broker) { return image.is_live(broker); };
    PartitionChange change(topic, topic.partitions[index]);
    change.leave_isr(is_live);
    change.clear_elr_if_idle();
    change.finish_reassignment();
    change.elect(is_live);
    const PartitionImage& now = change.now();
    const size_t wanted = wanted_replicas(image, topic);
    if (now.replicas.size() < wanted && !now.is_reassigning() && now.leader != kNoBroker) {
        std::vector<BrokerId> more = more_replicas(image.brokers, now.replicas, wanted, index);
        if (more.size() > now.replicas.size()) {
            change.reassign(more);
        }
    }
    return change.result();
}

// ---- who acts -----------------------------------------------------------------------------------

void Controller::set_claim(Revision revision, MonoTime now) {
    claim_ = revision;
    activate(now);
    pump();
}

void Controller::set_willing(bool is_willing, MonoTime now) {
    is_willing_ = is_willing;
    if (!is_willing) {
        claim_ = Revision{0};
    }
    activate(now);
    pump();
}

// Begins or ends to act, or claims the key where nobody has it.
void Controller::activate(MonoTime now) {
    const bool is_now = is_active();
    if (is_now && !was_active_) {
        log_line(LogLevel::info, "controller", {{"broker", std::to_string(self_.value())}});
        enqueue_all();
        balance_at_ = kMonoNever;
        if (image_->broker && image_->broker->auto_leader_rebalance_enable) {
            balance_at_ =
                now + std::chrono::seconds(image_->broker->leader_imbalance_check_interval_seconds);
        }
        aside_at_ = now + kAsideAfter;
    }
    if (!is_now && was_active_) {
        log_line(LogLevel::info, "controller_no_more", {{"broker", std::to_string(self_.value())}});
        leaderless_.clear();
        queued_.clear();
        imbalanced_.clear();
        balance_at_ = kMonoNever;
        forget_aside();
    }
    was_active_ = is_now;
    if (!is_now && is_willing_ && image_ && image_->controller.revision == Revision{0}) {
        claim();
    }
}

void Controller::claim() {
    const BrokerImage* broker = image_->find_broker(self_);
    if (is_claiming_ || retry_at_ != kMonoNever || broker == nullptr || !broker->is_live()) {
        return;
    }
    is_claiming_ = true;
    Commit& commit = commits_.emplace_back();
    commit.batch = batches_.emplace();
    commit.transaction.guards = {{controller_key(), Revision{0}}, {live_key(self_), broker->epoch}};
    commit.transaction.writes.push_back(
        {controller_key(), encode_controller(self_), /*ephemeral=*/true});
}

// ---- events -------------------------------------------------------------------------------------

void Controller::on_image(ImageRef image, const Delta& delta, MonoTime now) {
    const ImageRef before = std::exchange(image_, std::move(image));
    activate(now);
    if (is_active()) {
        if (!delta.brokers_changed.empty()) {
            enqueue_all();
        } else {
            for (const TopicId& id : delta.topics_created) {
                enqueue_topic(*image_->topic(id));
            }
            for (const TopicId& id : delta.topics_changed) {
                const TopicImage* old = before ? before->topic(id) : nullptr;
                const TopicImage& topic = *image_->topic(id);
                if (old == nullptr || old->effective != topic.effective) {
                    enqueue_topic(topic);
                }
            }
            for (const PartitionKey& key : delta.partitions_changed) {
                enqueue(*image_->topic(key.topic_id), static_cast<size_t>(key.index.value()));
            }
        }
    }
    pump();
}

void Controller::on_committed(Token token, const Result<Revision>& result, MonoTime now) {
    Batch* found = batches_.find(token);
    QT_ASSERT(found != nullptr);
    const Batch batch = std::move(*found);
    batches_.erase(token);
    if (!result) {
        retry_at_ = std::min(retry_at_, now + kControllerRetryAfter);
    }
    if (batch.is_aside) {
        is_deleting_aside_ = false;
        if (!result) {
            left_behind_.clear(); // what is still to go is seen at the next look
        }
    } else if (batch.partitions.empty()) {
        is_claiming_ = false;
        // The answer may come when a later registration has claimed the key already.
        if (result && is_willing_) {
            claim_ = std::max(claim_, *result);
        }
        activate(now);
    }
    for (const PartitionKey& key : batch.partitions) {
        const auto node = in_flight_.extract(key);
        const TopicImage* topic = image_->topic(key.topic_id);
        if (is_active() && topic != nullptr && (!result || node.mapped())) {
            enqueue(*topic, static_cast<size_t>(key.index.value()));
        }
    }
    pump();
}

void Controller::on_time(MonoTime now) {
    if (retry_at_ <= now) {
        retry_at_ = kMonoNever;
        activate(now);
    }
    if (balance_at_ <= now) {
        balance_at_ =
            now + std::chrono::seconds(image_->broker->leader_imbalance_check_interval_seconds);
        enqueue_imbalanced();
    }
    pump();
}

// ---- what no image shows ------------------------------------------------------------------------

void Controller::on_aside(std::vector<port::StoreGuard> keys, MonoTime now) {
    if (!is_active()) {
        return;
    }
    aside_at_ = now + kAsideAfter;
    left_behind_.clear();
    const std::map<std::string, Revision> before = std::exchange(aside_, {});
    for (port::StoreGuard& key : keys) {
        aside_.emplace(key.key, key.mod_revision);
        const auto at = before.find(key.key);
        if (at != before.end() && at->second == key.mod_revision) {
            left_behind_.push_back(std::move(key));
        }
    }
    pump();
}

void Controller::forget_aside() {
    aside_at_ = kMonoNever;
    aside_.clear();
    left_behind_.clear();
}

void Controller::pump_aside() {
    if (left_behind_.empty() || is_deleting_aside_ || batches_.size() >= kBatchesInFlightMax) {
        return;
    }
    is_deleting_aside_ = true;
    Commit& commit = commits_.emplace_back();
    commit.batch = batches_.emplace(Batch{{}, true});
    commit.transaction.guards.push_back({controller_key(), claim_});
    while (!left_behind_.empty() && commit.transaction.writes.size() < kBatchPartitionsMax) {
        commit.transaction.writes.push_back({left_behind_.front().key, std::nullopt});
        commit.transaction.guards.push_back(std::move(left_behind_.front()));
        left_behind_.pop_front();
    }
    log_line(LogLevel::info, "deletes_half_made",
             {{"keys", std::to_string(commit.transaction.writes.size())},
              {"first", commit.transaction.writes.front().key}});
}

// ---- queues -------------------------------------------------------------------------------------

void Controller::enqueue(const TopicImage& topic, size_t index) {
    if (index >= topic.partitions.size()) {
        return;
    }
    const PartitionKey key{topic.id, index_of(index)};
    if (const auto flying = in_flight_.find(key); flying != in_flight_.end()) {
        flying->second = true;
    } else if (!image_->is_live(topic.partitions[index].leader)) {
        leaderless_.insert(key);
    } else {
        queued_.insert(key);
    }
}

void Controller::enqueue_topic(const TopicImage& topic) {
    for (size_t i = 0; i < topic.partitions.size(); i++) {
        enqueue(topic, i);
    }
}

void Controller::enqueue_all() {
    for (const auto& entry : image_->topics_by_id) {
        enqueue_topic(*entry.second);
    }
}

void Controller::enqueue_imbalanced() {
    for (const auto& [id, topic] : image_->topics_by_id) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const PartitionImage& partition = topic->partitions[i];
            const BrokerId preferred = preferred_leader(partition);
            if (preferred != partition.leader && contains(partition.isr, preferred) &&
                image_->is_live(preferred)) {
                imbalanced_.insert({id, index_of(i)});
            }
        }
    }
}

// Fills transactions as long as there is room for them in flight.
void Controller::pump() {
    if (!is_active() || retry_at_ != kMonoNever) {
        return;
    }
    pump_queue(leaderless_);
    pump_queue(queued_);
    pump_queue(imbalanced_);
    pump_aside();
}

void Controller::pump_queue(std::set<PartitionKey>& queue) {
    const bool is_balancing = &queue == &imbalanced_;
    while (!queue.empty() && batches_.size() < kBatchesInFlightMax) {
        Batch batch;
        port::StoreTransaction transaction;
        transaction.guards.push_back({controller_key(), claim_});
        while (!queue.empty() && batch.partitions.size() < kBatchPartitionsMax) {
            const PartitionKey key = *queue.begin();
            queue.erase(queue.begin());
            const PartitionImage* partition = image_->partition(key);
            if (partition == nullptr || in_flight_.contains(key)) {
                continue; // gone, or looked at again when it is answered
            }
            std::optional<PartitionImage> next;
            if (is_balancing) {
                PartitionChange change(*image_->topic(key.topic_id), *partition);
                const BrokerId preferred = preferred_leader(*partition);
                if (contains(partition->isr, preferred) && image_->is_live(preferred)) {
                    change.set_leader(preferred);
                }
                next = change.result();
            } else {
                next = react(*image_, *image_->topic(key.topic_id),
                             static_cast<size_t>(key.index.value()));
            }
            if (!next) {
                continue;
            }
            const std::string text = partition_key(key.topic_id, key.index.value());
            transaction.guards.push_back({text, partition->mod_revision});
            transaction.writes.push_back({text, encode_partition(*next)});
            batch.partitions.push_back(key);
            in_flight_.emplace(key, false);
        }
        if (batch.partitions.empty()) {
            return;
        }
        Commit& commit = commits_.emplace_back();
        commit.batch = batches_.emplace(std::move(batch));
        commit.transaction = std::move(transaction);
    }
}

} // namespace qtool::metadata

#include "server/coordinator/runtime.h"

#include "lib/base/assert.h"
#include "server/coordinator/shard.h"

#include <algorithm>
#include <utility>

namespace qtool::coordinator {

Runtime::Runtime(Setup setup)
    : setup_(std::move(setup)),
      image_(std::make_shared<metadata::Image>()) {}

Runtime::~Runtime() = default;

void Runtime::forget(const metadata::Image& image, replica::Outbox& out) {
    for (auto at = shards_.begin(); at != shards_.end();) {
        const metadata::TopicImage* topic = image.topic(at->first.topic_id);
        const auto index = static_cast<size_t>(at->first.index.value());
        if (topic != nullptr && topic->partitions[index].leader == setup_.self) {
            ++at;
            continue;
        }
        at->second.shard->release(Code::not_coordinator, out);
        set_due(at, kMonoNever);
        touched_.erase(at->first);
        at = shards_.erase(at);
    }
}

void Runtime::apply(metadata::ImageRef image, const metadata::Delta& delta) {
    image_ = std::move(image);
    for (const auto& [name, make] : setup_.machines) {
        const metadata::TopicImage* topic = image_->topic(name);
        if (topic == nullptr) {
            continue;
        }
        open_shards(*topic, make);
    }
    if (!std::exchange(is_first_image_, false)) {
        for (auto& [key, entry] : shards_) {
            entry.shard->on_image(delta);
        }
        touch_all();
    }
}

void Runtime::open_shards(const metadata::TopicImage& topic, const MakeMachine& make) {
    for (size_t i = 0; i < topic.partitions.size(); i++) {
        const PartitionKey key{topic.id, PartitionIndex(static_cast<int32_t>(i))};
        if (!setup_.is_mine(key) || topic.partitions[i].leader != setup_.self ||
            shards_.contains(key)) {
            continue;
        }
        replica::Partition* partition = setup_.partitions->find(key);
        QT_ASSERT(partition != nullptr);
        partition->watch_moves();
        shards_[key].shard = std::make_unique<Shard>(*this, *partition, make(key.index));
        touch(key);
    }
}

void Runtime::handle(const replica::PartitionRequest& request, CoreId from, replica::Outbox& out) {
    const auto at = shards_.find(request.key);
    if (at == shards_.end() || is_draining_) {
        out.answers.push_back(
            {from, replica::PartitionReply{
                       request.request, request.index,
                       Error(Code::not_coordinator, "this broker does not coordinate it")}});
        return;
    }
    at->second.shard->handle(request, from, out);
    touch(request.key);
}

void Runtime::touch_all() {
    for (const auto& [key, entry] : shards_) {
        touch(key);
    }
}

void Runtime::set_due(Shards::iterator at, MonoTime due) {
    if (at->second.due == due) {
        return;
    }
    if (at->second.due != kMonoNever) {
        due_.erase({at->second.due, at->first});
    }
    if (due != kMonoNever) {
        due_.insert({due, at->first});
    }
    at->second.due = due;
}

void Runtime::on_progress(replica::Outbox& out) {
    for (const PartitionKey& key : setup_.partitions->take_moved()) {
        touch(key);
    }
    for (const PartitionKey& key : std::exchange(touched_, {})) {
        const auto at = shards_.find(key);
        if (at == shards_.end()) {
            continue;
        }
        at->second.shard->on_progress(out);
        set_due(at, at->second.shard->next_due());
        if (at->second.shard->is_reading()) {
            touch(key); // the next step, whoever asks for it
        }
    }
}

void Runtime::survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const {
    for (const auto& [key, entry] : shards_) {
        entry.shard->survey(survey, offsets_max);
    }
}

MonoTime Runtime::next_due() const {
    return due_.empty() ? kMonoNever : due_.begin()->first;
}

void Runtime::on_time(replica::Outbox& out) {
    const MonoTime now = setup_.clock->mono();
    for (auto at = due_.begin(); at != due_.end() && at->first <= now; at++) {
        shards_.at(at->second).shard->on_time();
        touch(at->second);
    }
    on_progress(out);
}

void Runtime::on_marker_written(const PartitionKey& shard, uint64_t id,
                                const Result<void>& result) {
    if (const auto at = shards_.find(shard); at != shards_.end()) {
        at->second.shard->on_marker_written(id, result);
        touch(shard);
    }
}

void Runtime::close(replica::Outbox& out) {
    for (auto& [key, entry] : shards_) {
        entry.shard->release(Code::not_coordinator, out);
    }
    shards_.clear();
    touched_.clear();
    due_.clear();
}

void Runtime::begin_drain(replica::Outbox& out) {
    is_draining_ = true;
    for (auto& [key, entry] : shards_) {
        entry.shard->release_parked(Code::not_coordinator, out);
    }
}

} // namespace qtool::coordinator

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

void Runtime::forget_deleted(const metadata::Delta& delta, replica::Outbox& out) {
    for (const TopicId& id : delta.topics_deleted) {
        auto at = shards_.lower_bound(PartitionKey{id, PartitionIndex(0)});
        while (at != shards_.end() && at->first.topic_id == id) {
            at->second->release(Code::not_coordinator, out);
            at = shards_.erase(at);
        }
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
        for (auto& [key, shard] : shards_) {
            shard->on_image(delta);
        }
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
        shards_.emplace(key, std::make_unique<Shard>(*this, *partition, make(key.index)));
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
    at->second->handle(request, from, out);
}

void Runtime::on_progress(replica::Outbox& out) {
    for (auto& [key, shard] : shards_) {
        shard->on_progress(out);
    }
}

MonoTime Runtime::next_due() const {
    MonoTime due = kMonoNever;
    for (const auto& [key, shard] : shards_) {
        due = std::min(due, shard->next_due());
    }
    return due;
}

void Runtime::on_time(replica::Outbox& out) {
    for (auto& [key, shard] : shards_) {
        shard->on_time();
    }
    on_progress(out);
}

void Runtime::on_marker_written(const PartitionKey& shard, uint64_t id,
                                const Result<void>& result) {
    if (const auto at = shards_.find(shard); at != shards_.end()) {
        at->second->on_marker_written(id, result);
    }
}

void Runtime::close(replica::Outbox& out) {
    for (auto& [key, shard] : shards_) {
        shard->release(Code::not_coordinator, out);
    }
    shards_.clear();
}

void Runtime::begin_drain(replica::Outbox& out) {
    is_draining_ = true;
    for (auto& [key, shard] : shards_) {
        shard->release_parked(Code::not_coordinator, out);
    }
}

} // namespace qtool::coordinator

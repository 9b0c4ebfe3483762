#include "server/metadata/store_copy.h"

#include "lib/base/assert.h"
#include "server/metadata/record_codec.h"

#include <algorithm>
#include <map>
#include <utility>

namespace qtool::metadata {

namespace {

constexpr const char* kMark = "migrating";
constexpr size_t kChunkBytesMax = port::kStoreTransactionBytesMax / 2;
constexpr Token kToken{0, 1}; // one transaction at a time

} // namespace

void StoreCopy::start() {
    target_.set_events(this);
    target_.load();
}

void StoreCopy::on_store_loaded(Result<port::StoreSnapshot> snapshot) {
    if (!snapshot) {
        end(std::move(snapshot).error());
    } else if (life_ == Life::loading) {
        plan(*snapshot);
    } else if (life_ == Life::verifying) {
        verify(*snapshot);
    }
}

// What the target holds already is of an earlier run of ours, or nothing is touched.
void StoreCopy::plan(const port::StoreSnapshot& target) {
    std::map<std::string, std::string> held;
    std::optional<port::StoreEntry> mark;
    for (const port::StoreEntry& entry : target.entries) {
        if (entry.key == kMark) {
            mark = entry;
        } else {
            held[entry.key] = entry.value;
        }
    }
    std::optional<port::StoreEntry> cluster;
    for (const port::StoreEntry& entry : source_.entries) {
        if (entry.key == cluster_key()) {
            cluster = entry;
            continue;
        }
        const auto found = held.find(entry.key);
        if (found == held.end() || found->second != entry.value) {
            writes_.push_back({entry.key, entry.value});
        }
        if (found != held.end()) {
            held.erase(found);
        }
    }
    if (!cluster) {
        end(Error(Code::invalid_config, "there is no cluster to move: no broker has used it yet"));
        return;
    }
    cluster_ = {cluster->key, cluster->value};
    if (mark ? mark->value != cluster->value : !target.entries.empty()) {
        const auto other = held.find(cluster_key());
        const bool is_same = other != held.end() && other->second == cluster->value;
        end(Error(Code::invalid_config,
                  is_same ? "the target holds this cluster already: it was moved before"
                          : "the target holds another cluster's metadata; choose another "
                            "cluster.name (--cluster)"));
        return;
    }
    for (const auto& [key, value] : held) {
        writes_.push_back({key, std::nullopt}); // the source has lost it since the earlier run
    }
    if (mark) {
        mark_ = mark->mod_revision;
        life_ = Life::copying;
        send_chunk();
        return;
    }
    life_ = Life::marking;
    target_.commit(
        {{{kMark, Revision{0}}, {cluster_key(), Revision{0}}}, {{kMark, cluster->value}}}, kToken);
}

void StoreCopy::on_store_committed(Token, Result<Revision> revision) {
    if (!revision) {
        Error error = std::move(revision).error();
        if (error.code == Code::store_conflict) {
            error = Error(Code::invalid_config, "somebody else writes into the target");
        }
        end(std::move(error));
        return;
    }
    switch (life_) {
    case Life::marking:
        mark_ = *revision;
        life_ = Life::copying;
        send_chunk();
        return;
    case Life::copying:
        send_chunk();
        return;
    case Life::finishing:
        life_ = Life::verifying;
        target_.load();
        return;
    case Life::loading:
    case Life::verifying:
    case Life::done:
        break;
    }
    QT_UNREACHABLE();
}

void StoreCopy::send_chunk() {
    port::StoreTransaction transaction{{{kMark, mark_}}, {}};
    const size_t writes_max = std::min(kChunkWritesMax, target_.max_writes());
    size_t bytes = 0;
    while (written_ < writes_.size() && transaction.writes.size() < writes_max) {
        const port::StoreWrite& write = writes_[written_];
        bytes += write.key.size() + write.value.value_or("").size();
        if (bytes > kChunkBytesMax && !transaction.writes.empty()) {
            break;
        }
        transaction.writes.push_back(write);
        written_++;
    }
    if (transaction.writes.empty()) {
        life_ = Life::finishing;
        transaction.writes = {cluster_, {kMark, std::nullopt}};
    }
    target_.commit(std::move(transaction), kToken);
}

void StoreCopy::verify(const port::StoreSnapshot& target) {
    const bool is_same =
        std::equal(source_.entries.begin(), source_.entries.end(), target.entries.begin(),
                   target.entries.end(), [](const auto& a, const auto& b) {
                       return a.key == b.key && a.value == b.value;
                   });
    if (!is_same) {
        end(Error(Code::internal, "the target does not hold what was written into it"));
        return;
    }
    end(source_.entries.size());
}

void StoreCopy::end(Result<size_t> result) {
    life_ = Life::done;
    result_ = std::move(result);
}

} // namespace qtool::metadata

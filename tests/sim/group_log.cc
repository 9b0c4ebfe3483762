#include "tests/sim/group_log.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <charconv>

namespace qtool::sim {

namespace {

constexpr size_t kGenerationsKept = 8;

} // namespace

void GroupLog::violate(const std::string& what) {
    world_.violate("group " + name_ + ": " + what);
}

// ---- commits ------------------------------------------------------------------------------------

uint64_t GroupLog::on_commit_sent(uint16_t partition, int64_t offset, int32_t generation,
                                  std::string_view member_id) {
    Commit& commit = commits_.emplace_back();
    commit.partition = partition;
    commit.offset = offset;
    commit.generation = generation;
    commit.sent = moment();
    commit.must_fail =
        (generation >= 0 && generation < generation_) || left_.count(std::string(member_id)) > 0;
    return commits_.size() - 1;
}

void GroupLog::on_commit_done(uint64_t number) {
    Commit& commit = commits_[number];
    commits_acknowledged_++;
    if (commit.must_fail) {
        violate("commit " + std::to_string(number) + " of generation " +
                std::to_string(commit.generation) +
                " was acknowledged, though its member was fenced when it was sent");
        return;
    }
    make_certain(commit);
}

void GroupLog::make_certain(Commit& commit) {
    const uint64_t now = moment();
    if (commit.end == 0) {
        commit.end = now;
    }
    std::vector<Moment>& moments = certain_[commit.partition];
    Certain certain = moments.empty() ? Certain{} : moments.back().certain;
    certain.sent = std::max(certain.sent, commit.sent);
    certain.generation = std::max(certain.generation, commit.generation);
    certain.offset = std::max(certain.offset, commit.offset);
    moments.push_back({now, certain});
    // A fetch is answered within seconds; what lies further back nobody asks for.
    constexpr size_t kMomentsKept = 4096;
    if (moments.size() > 2 * kMomentsKept) {
        moments.erase(moments.begin(), moments.begin() + kMomentsKept);
    }
}

void GroupLog::on_fetched(uint16_t partition, uint64_t asked, int64_t offset,
                          std::string_view metadata) {
    const std::vector<Moment>& moments = certain_[partition];
    const auto behind = std::upper_bound(moments.begin(), moments.end(), asked,
                                         [](uint64_t at, const Moment& m) { return at < m.at; });
    const Certain certain = behind == moments.begin() ? Certain{} : std::prev(behind)->certain;
    const std::string where = "partition " + std::to_string(partition) + ": ";
    if (offset < 0) {
        if (certain.offset >= 0) {
            violate(where + "no offset is shown, but " + std::to_string(certain.offset) +
                    " was committed");
        }
        return;
    }
    uint64_t number = 0;
    const auto read = std::from_chars(metadata.data(), metadata.data() + metadata.size(), number);
    if (read.ec != std::errc() || number >= commits_.size() ||
        commits_[number].partition != partition || commits_[number].offset != offset) {
        violate(where + "offset " + std::to_string(offset) + " with metadata '" +
                std::string(metadata) + "' is shown, which nobody committed");
        return;
    }
    Commit& shown = commits_[number];
    const std::string text = where + "commit " + std::to_string(number) + " of offset " +
                             std::to_string(offset) + " is shown";
    if (offset < certain.offset) {
        violate(text + ", but " + std::to_string(certain.offset) + " was there before");
        return;
    }
    if (shown.generation < certain.generation || (shown.end != 0 && shown.end < certain.sent)) {
        violate(text + ", but a later one was there before");
        return;
    }
    make_certain(shown);
}

int64_t GroupLog::committed(uint16_t partition) const {
    const auto at = certain_.find(partition);
    return at == certain_.end() || at->second.empty() ? -1 : at->second.back().certain.offset;
}

// ---- a classic group ----------------------------------------------------------------------------

void GroupLog::on_joined(int32_t known_generation, int32_t generation) {
    if (generation < known_generation) {
        violate("generation " + std::to_string(generation) + " is joined, but " +
                std::to_string(known_generation) + " was assigned before");
    }
}

void GroupLog::on_assigned(int32_t generation, std::string_view member_id,
                           const std::vector<uint16_t>& partitions) {
    auto& owners = owners_[generation];
    for (const uint16_t partition : partitions) {
        const auto [owner, is_new] = owners.emplace(partition, member_id);
        if (!is_new && owner->second != member_id) {
            violate("partition " + std::to_string(partition) + " in generation " +
                    std::to_string(generation) + " was given to " + owner->second + " and to " +
                    std::string(member_id));
            return;
        }
    }
    generation_ = std::max(generation_, generation);
    while (owners_.size() > kGenerationsKept) {
        owners_.erase(owners_.begin());
    }
}

// ---- a consumer group ---------------------------------------------------------------------------

void GroupLog::on_granted(std::string_view member_id, const std::vector<uint16_t>& partitions,
                          MonoTime until) {
    for (const uint16_t partition : partitions) {
        Hold& hold = holds_[partition];
        if (!hold.member_id.empty() && hold.member_id != member_id && hold.until > world_.now()) {
            violate("partition " + std::to_string(partition) + " is given to " +
                    std::string(member_id) + ", but " + hold.member_id + " has it");
            return;
        }
        hold.member_id = member_id;
        hold.until = until;
    }
}

void GroupLog::on_kept(std::string_view member_id, const std::vector<uint16_t>& partitions) {
    for (auto& [partition, hold] : holds_) {
        if (hold.member_id == member_id &&
            std::find(partitions.begin(), partitions.end(), partition) == partitions.end()) {
            hold.member_id.clear();
        }
    }
}

void GroupLog::on_gone(std::string_view member_id) {
    on_kept(member_id, {});
}

void GroupLog::on_left(std::string_view member_id) {
    left_.emplace(member_id, moment());
}

} // namespace qtool::sim

#include "cli/commands/consume_group.h"

#include "cli/commands/record_options.h"
#include "cli/commands/resolve_position.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <map>

namespace qtool::cli {

namespace {

using client::GroupChange;
using client::PartitionOffset;
using client::TopicPartition;

constexpr Duration kWakeTime = 100ms; // how soon a signal or a gone reader is noticed when idle
constexpr Duration kCommitInterval = 5s;
constexpr Duration kLeaveTime = 2s; // then the group finds out by itself
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

/// One partition that we may read now.
struct Owned {
    int64_t next = 0;       // all before it is in the output
    int64_t to = kNoLimit;  // the first offset that is not wanted
    int64_t committed = -1; // or on its way

    [[nodiscard]] bool is_done() const { return next >= to; }
};

class GroupReading {
public:
    GroupReading(Context& context, client::BlockingConsumer& consumer,
                 const GroupReadingOptions& options, const RecordPrinter& printer)
        : context_(context),
          consumer_(consumer),
          options_(options),
          printer_(printer),
          left_(options.count == 0 ? std::numeric_limits<uint64_t>::max() : options.count) {}

    ExitCode run();

private:
    /// Why reading is over; `output`: see written_.
    enum class End : uint8_t { none, count, at_end, reader_gone, output, failed };

    End turn();
    bool print(const std::vector<client::ConsumerRecord>& records);
    void advance();
    bool flush(); // false: see written_
    End follow_group();
    Result<void> give_up(const std::vector<TopicPartition>& revoked);
    Result<void> take_on(const std::vector<PartitionOffset>& assigned);
    Result<void> take_on_topic(const std::string& topic, const std::vector<int32_t>& partitions,
                               const std::vector<int64_t>& committed);
    void assign();
    std::vector<PartitionOffset> uncommitted(const std::vector<TopicPartition>* only);
    Result<void> heed(Result<void> commit_result);
    End check_end(bool any_records);
    ExitCode finish(End end);
    End fail(const Error& error, std::string_view what = {});
    [[nodiscard]] std::string group_name() const { return "group '" + options_.group + "'"; }

    Context& context_;
    client::BlockingConsumer& consumer_;
    const GroupReadingOptions& options_;
    const RecordPrinter& printer_;
    uint64_t left_; // records still wanted
    std::map<TopicPartition, Owned> owned_;
    bool has_joined_ = false; // and got partitions, ever
    bool had_any_ = false;    // partitions, since it joined last
    MonoTime stalled_at_{};
    MonoTime commit_at_{};
    Result<void> written_; // not a value: some of what was printed is lost, nothing is committed
    ExitCode failed_with_ = ExitCode::failed;
};

GroupReading::End GroupReading::fail(const Error& error, std::string_view what) {
    failed_with_ = context_.fail(error, what.empty() ? group_name() : what);
    return End::failed;
}

/// False: as many as were wanted, or the output failed. `next` then stands behind the last record.
bool GroupReading::print(const std::vector<client::ConsumerRecord>& records) {
    std::string_view topic;
    int32_t partition = -1;
    Owned* owned = nullptr;
    for (const client::ConsumerRecord& record : records) {
        if (record.topic != topic || record.partition != partition) {
            topic = record.topic;
            partition = record.partition;
            const auto found = owned_.find({std::string(topic), partition});
            owned = found == owned_.end() ? nullptr : &found->second;
        }
        if (owned == nullptr || record.offset < owned->next || record.offset >= owned->to) {
            continue;
        }
        printer_.append(context_.out().buffer(), record);
        owned->next = record.offset + 1;
        left_--;
        written_ = context_.out().flush_if_full();
        if (!written_ || left_ == 0) {
            return false;
        }
    }
    return true;
}

/// All that poll() gave is printed: `next` moves over gaps too.
void GroupReading::advance() {
    for (auto& [key, owned] : owned_) {
        const int64_t position = consumer_.position(key.topic, key.partition);
        if (position >= owned.to && !owned.is_done()) {
            consumer_.pause(key.topic, key.partition);
        }
        owned.next = std::max(owned.next, std::min(position, owned.to));
    }
}

bool GroupReading::flush() {
    if (written_) {
        written_ = context_.out().flush();
    }
    return written_.has_value();
}

void GroupReading::assign() {
    std::vector<PartitionOffset> positions;
    for (const auto& [key, owned] : owned_) {
        if (!owned.is_done()) {
            positions.push_back({key.topic, key.partition, owned.next});
        }
    }
    consumer_.assign(positions);
}

/// What is printed, and not committed yet: of all partitions, or of these. Counts as committed from
/// now on.
std::vector<PartitionOffset> GroupReading::uncommitted(const std::vector<TopicPartition>* only) {
    std::vector<PartitionOffset> offsets;
    for (auto& [key, owned] : owned_) {
        if (owned.next != owned.committed &&
            (only == nullptr || std::find(only->begin(), only->end(), key) != only->end())) {
            offsets.push_back({key.topic, key.partition, owned.next});
            owned.committed = owned.next;
        }
    }
    return offsets;
}

/// To be fenced is no end: the member joins again. The records are printed twice then, which at
/// least once allows.
Result<void> GroupReading::heed(Result<void> commit_result) {
    if (!commit_result && commit_result.error().code == Code::cancelled) {
        context_.note("qtool: " + commit_result.error().detail + "; records may come again");
        return {};
    }
    return commit_result;
}

Result<void> GroupReading::give_up(const std::vector<TopicPartition>& revoked) {
    const std::vector<PartitionOffset> offsets = uncommitted(&revoked);
    for (const TopicPartition& key : revoked) {
        owned_.erase(key);
    }
    assign();
    QT_TRY(heed(consumer_.commit(offsets, answer_deadline(context_))));
    consumer_.give_back();
    return {};
}

Result<void> GroupReading::take_on_topic(const std::string& topic,
                                         const std::vector<int32_t>& partitions,
                                         const std::vector<int64_t>& committed) {
    const auto resolve = [&](const Position& position) {
        return resolve_position(consumer_, topic, partitions, position, answer_deadline(context_));
    };
    QT_TRY_ASSIGN(const std::vector<int64_t> begins, resolve({Position::Kind::beginning, 0}));
    QT_TRY_ASSIGN(const std::vector<int64_t> ends, resolve({Position::Kind::end, 0}));
    QT_TRY_ASSIGN(const std::vector<int64_t> starts, resolve(options_.from));
    for (size_t i = 0; i < partitions.size(); i++) {
        Owned owned;
        owned.next = owned.committed = committed[i];
        // The end is the last stable offset when read_committed; others may have read beyond it.
        const bool is_beyond = committed[i] > ends[i] && !options_.is_read_committed;
        if (committed[i] >= 0 && (committed[i] < begins[i] || is_beyond)) {
            context_.note("qtool: " + topic + "-" + std::to_string(partitions[i]) +
                          ": the committed offset " + std::to_string(committed[i]) +
                          " is not there (any more); going on at " + std::to_string(starts[i]));
            owned.next = starts[i];
        } else if (committed[i] < 0) {
            owned.next = starts[i];
        }
        if (options_.exit_at_end) {
            owned.to = ends[i];
        }
        owned_[{topic, partitions[i]}] = owned;
    }
    return {};
}

Result<void> GroupReading::take_on(const std::vector<PartitionOffset>& assigned) {
    for (const std::string& topic : options_.topics) {
        std::vector<int32_t> partitions;
        std::vector<int64_t> committed;
        for (const PartitionOffset& one : assigned) {
            if (one.topic == topic) {
                partitions.push_back(one.partition);
                committed.push_back(one.offset);
            }
        }
        if (!partitions.empty()) {
            QT_TRY(take_on_topic(topic, partitions, committed));
        }
    }
    assign();
    had_any_ = true;
    has_joined_ = true;
    stalled_at_ = answer_deadline(context_);
    return {};
}

GroupReading::End GroupReading::follow_group() {
    while (const std::optional<GroupChange> change = consumer_.take_group_change()) {
        if (change->lost) {
            owned_.clear();
            had_any_ = false;
            stalled_at_ = answer_deadline(context_);
            consumer_.assign({});
            context_.note("qtool: " + group_name() +
                          " went on without this member, which joins again; records since the "
                          "last commit come again");
        } else if (!change->revoked.empty()) {
            if (!flush()) {
                return End::output;
            }
            if (const auto result = give_up(change->revoked); !result) {
                return fail(result.error());
            }
        } else if (const auto result = take_on(change->assigned); !result) {
            return fail(result.error());
        }
    }
    return End::none;
}

GroupReading::End GroupReading::check_end(bool any_records) {
    if (any_records) {
        stalled_at_ = answer_deadline(context_);
    } else if (is_reader_gone()) {
        return End::reader_gone;
    }
    const bool all_done = std::all_of(owned_.begin(), owned_.end(),
                                      [](const auto& entry) { return entry.second.is_done(); });
    if (options_.exit_at_end && had_any_ && all_done) {
        return End::at_end;
    }
    if (client::mono_now() < stalled_at_) {
        return End::none;
    }
    if (!has_joined_ && !consumer_.has_joined()) {
        return fail(Error(Code::timed_out, "the group's coordinator did not answer"));
    }
    if (options_.exit_at_end) {
        return fail(Error(Code::timed_out,
                          had_any_ ? "no records came, though not all were read"
                                   : "no partition was assigned; other members have them"));
    }
    return End::none;
}

GroupReading::End GroupReading::turn() {
    const auto records = consumer_.poll(client::mono_now() + kWakeTime);
    if (!records) {
        return fail(records.error());
    }
    if (!print(**records)) {
        return written_ ? End::count : End::output;
    }
    advance();
    const bool commit_due = client::mono_now() >= commit_at_;
    if ((commit_due || !consumer_.has_ready()) && !flush()) {
        return End::output;
    }
    if (const End end = follow_group(); end != End::none) {
        return end;
    }
    if (const auto result = heed(consumer_.take_commit_result()); !result) {
        return fail(result.error());
    }
    const End end = check_end(!(*records)->empty());
    if (end == End::none && commit_due) {
        consumer_.commit_soon(uncommitted(nullptr));
        commit_at_ = client::mono_now() + kCommitInterval;
    }
    return end;
}

/// Waits until the reader of our pipe has taken everything, then a little longer: `head` closes it
/// when it has what it wants, and the rest must not count as read.
bool is_all_taken(MonoTime deadline) {
    struct stat status {};
    if (::fstat(1, &status) != 0 || !S_ISFIFO(status.st_mode)) {
        return true;
    }
    int unread_bytes = 0;
    do {
        if (is_reader_gone(kWakeTime)) {
            return false;
        }
    } while (::ioctl(1, FIONREAD, &unread_bytes) == 0 && unread_bytes > 0 && stop_requested == 0 &&
             client::mono_now() < deadline);
    return true;
}

ExitCode GroupReading::finish(End end) {
    const bool is_read =
        flush() && end != End::reader_gone &&
        (end == End::count || // its reader may well know when it has them all
         (end == End::at_end ? is_all_taken(answer_deadline(context_)) : !is_reader_gone()));
    while (const std::optional<GroupChange> change = consumer_.take_group_change()) {
        if (change->lost) {
            owned_.clear(); // others have it, and may be further
            context_.note("qtool: " + group_name() +
                          " went on without this member; records since the last commit come again");
        }
    }
    ExitCode exit = ExitCode::done;
    if (!written_ && !context_.out().is_closed()) {
        exit = context_.fail(written_.error());
    } else if (is_read) {
        const auto committed = consumer_.commit(uncommitted(nullptr), answer_deadline(context_));
        if (!committed && end != End::failed) { // else: one reason is enough
            exit = context_.fail(committed.error(), group_name());
        }
    }
    // Late: nobody is harmed, the group ends the session by itself.
    static_cast<void>(consumer_.leave_group(client::mono_now() + kLeaveTime).has_value());
    if (end == End::failed) {
        return failed_with_;
    }
    if (end == End::none && exit == ExitCode::done &&
        (options_.exit_at_end || options_.count != 0)) {
        context_.note("qtool: stopped before all was read");
        return ExitCode::failed;
    }
    return exit;
}

ExitCode GroupReading::run() {
    for (const std::string& topic : options_.topics) {
        const auto count = consumer_.partition_count(topic, answer_deadline(context_));
        if (!count) {
            return context_.fail(count.error(), "topic '" + topic + "'");
        }
    }
    consumer_.join_group({options_.group, options_.topics});
    stalled_at_ = answer_deadline(context_);
    commit_at_ = client::mono_now() + kCommitInterval;
    End end = End::none;
    while (end == End::none && stop_requested == 0) {
        end = turn();
    }
    return finish(end);
}

} // namespace

bool is_reader_gone(Duration wait) {
    pollfd entry{1, 0, 0};
    const auto wait_ms = static_cast<int>(duration_cast<std::chrono::milliseconds>(wait).count());
    return ::poll(&entry, 1, wait_ms) > 0 && (entry.revents & (POLLERR | POLLHUP)) != 0;
}

ExitCode read_as_member(Context& context, client::BlockingConsumer& consumer,
                        const GroupReadingOptions& options, const RecordPrinter& printer) {
    return GroupReading(context, consumer, options, printer).run();
}

} // namespace qtool::cli

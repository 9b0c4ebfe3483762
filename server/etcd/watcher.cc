#include "server/etcd/watcher.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>
#include <utility>

namespace qtool::etcd {

namespace {

constexpr Duration kPageTime = 5s;
constexpr Duration kVersionTime = 2s;
constexpr Duration kCreateTime = 3s; // until a stream says that it watches
constexpr Duration kExpectTime = 2s; // from a commit's answer to its change
constexpr Duration kAheadTime = 10s; // etcd is ahead and the stream is silent
constexpr Duration kReopenWait = 50ms;
constexpr Duration kReopenWaitMax = 1s;

} // namespace

// ---- load ---------------------------------------------------------------------------------------

void Watcher::load() {
    is_answer_due_ = true;
    load_until_ = clock_.mono() + kLoadWaitMax;
    begin_load();
}

void Watcher::begin_load() {
    calls_.cancel(std::exchange(call_, {}));
    drop_stream();
    life_ = Life::loading;
    reopen_at_ = kMonoNever;
    snapshot_ = {};
    next_key_ = prefix_;
    change_.reset();
    if (is_version_known_) {
        ask_page();
    } else {
        ask_version();
    }
}

void Watcher::ask_version() {
    Call call;
    call.path = "/version";
    call.attempt_time = kVersionTime;
    call.give_up_at = load_until_;
    call.is_plain = true;
    call.user = this;
    call.what = kVersion;
    call_ = calls_.start(std::move(call));
}

void Watcher::ask_page() {
    Range range;
    range.key = next_key_;
    range.key_end = prefix_end_;
    range.revision = snapshot_.revision;
    range.limit = kPageKeysMax;
    Call call;
    call.path = "/v3/kv/range";
    call.body = encode_range(range);
    call.attempt_time = kPageTime;
    call.give_up_at = is_answer_due_ ? load_until_ : kMonoNever;
    call.user = this;
    call.what = kPage;
    call_ = calls_.start(std::move(call));
}

void Watcher::on_called(uint32_t what, Outcome outcome) {
    call_ = {};
    if (what == kPage) {
        on_page(std::move(outcome));
        return;
    }
    if (!outcome.answer) {
        fail_load(std::move(outcome.answer).error());
        return;
    }
    const Result<std::string> version = decode_version(outcome.body);
    const Result<void> checked = version ? check_version(*version) : Result<void>(version.error());
    if (!checked) {
        // Another member may be a right one; when none is, this is what is told.
        calls_.leave_member(checked.error());
        fail_load(checked.error());
        return;
    }
    is_version_known_ = true;
    ask_page();
}

void Watcher::on_page(Outcome outcome) {
    if (!outcome.answer) {
        const Error& error = outcome.answer.error();
        if (error.detail.find("compacted") != std::string::npos) {
            begin_load(); // the load took too long; from the start
            return;
        }
        fail_load(error);
        return;
    }
    Answer& answer = *outcome.answer;
    if (snapshot_.revision == Revision{0}) {
        snapshot_.revision = answer.header.revision;
    }
    for (KeyValue& found : answer.key_values) {
        if (!found.key.starts_with(prefix_)) {
            fail_load(Error(Code::malformed, "etcd answers with a key that was not asked for"));
            return;
        }
        snapshot_.entries.push_back(
            {found.key.substr(prefix_.size()), std::move(found.value), found.mod_revision});
    }
    if (answer.has_more && !answer.key_values.empty()) {
        next_key_ = answer.key_values.back().key + std::string(1, '\0');
        ask_page();
        return;
    }
    life_ = Life::watching;
    position_ = snapshot_.revision;
    verified_ = position_;
    failures_ = 0;
    open_stream();
    port::StoreSnapshot snapshot = std::exchange(snapshot_, {});
    if (std::exchange(is_answer_due_, false)) {
        told_.loaded(std::move(snapshot));
    } else {
        counters_.reloads.add();
        told_.reloaded(std::move(snapshot));
    }
}

void Watcher::fail_load(Error error) {
    if (!is_answer_due_) {
        // In the middle of a reload: permissions that changed, for one. Again until it goes.
        log_line(LogLevel::error, "etcd_reload_failed", {{"error", to_string(error)}});
        reopen_at_ = clock_.mono() + kReopenWaitMax;
        return;
    }
    life_ = Life::none;
    is_answer_due_ = false;
    told_.loaded(std::move(error));
}

// ---- watch --------------------------------------------------------------------------------------

void Watcher::open_stream() {
    reopen_at_ = kMonoNever;
    is_created_ = false;
    line_.clear();
    change_.reset(); // told again from position_ on
    stream_member_ = calls_.member_changes();
    created_by_ = clock_.mono() + kCreateTime;
    ahead_since_ = kMonoNever;
    stream_ =
        calls_.open_stream("/v3/watch", encode_watch(prefix_, prefix_end_, position_ + 1), *this);
}

void Watcher::drop_stream() {
    if (stream_) {
        calls_.close_stream(std::exchange(stream_, {}));
    }
    created_by_ = kMonoNever;
}

void Watcher::reopen_stream_soon() {
    counters_.watch_restarts.add();
    drop_stream();
    const auto doublings = std::min<uint32_t>(failures_, 5);
    reopen_at_ =
        clock_.mono() + (failures_ == 0
                             ? Duration{}
                             : std::min<Duration>(kReopenWait * (1 << doublings), kReopenWaitMax));
    failures_++;
}

void Watcher::on_stream_end(Error error) {
    stream_ = {};
    if (stream_member_ == calls_.member_changes()) {
        calls_.leave_member(error);
    }
    reopen_stream_soon();
}

void Watcher::on_stream_part(std::string_view bytes) {
    const Token stream = stream_;
    while (!bytes.empty() && stream_ == stream) {
        const size_t end = bytes.find('\n');
        if (end == std::string_view::npos) {
            line_ += bytes;
            break;
        }
        line_ += bytes.substr(0, end);
        bytes.remove_prefix(end + 1);
        if (!line_.empty()) {
            on_line(std::exchange(line_, {}));
        }
    }
    if (stream_ == stream && line_.size() > kWatchLineMax) {
        calls_.leave_member(Error(Code::too_large, "a message of the watch has no end"));
        reopen_stream_soon();
    }
}

void Watcher::on_line(std::string_view line) {
    Result<WatchAnswer> answer = decode_watch(line);
    if (!answer) {
        calls_.leave_member(answer.error());
        reopen_stream_soon();
        return;
    }
    if (answer->compact_revision != Revision{0}) {
        log_line(LogLevel::warn, "etcd_compacted",
                 {{"wanted", std::to_string(position_.value() + 1)},
                  {"compacted", std::to_string(answer->compact_revision.value())}});
        begin_load();
        return;
    }
    if (answer->is_canceled) {
        calls_.leave_member(
            Error(Code::store_unavailable, "the watch was ended: " + answer->reason));
        reopen_stream_soon();
        return;
    }
    calls_.saw(answer->header);
    ahead_since_ = kMonoNever;
    if (answer->is_created) {
        is_created_ = true;
        created_by_ = kMonoNever;
        failures_ = 0;
        verified_ = std::max(verified_, answer->header.revision);
    }
    on_events(*std::move(answer));
}

// All events of one revision are one change; a fragment may end within one.
void Watcher::on_events(WatchAnswer answer) {
    for (WatchAnswer::Event& event : answer.events) {
        KeyValue& found = event.key_value;
        if (found.mod_revision <= position_ || !found.key.starts_with(prefix_)) {
            continue; // told before the stream was opened anew
        }
        if (change_ && change_->revision != found.mod_revision) {
            flush_change();
        }
        if (!change_) {
            change_ = port::StoreChange{found.mod_revision, {}};
        }
        port::StoreWrite write{found.key.substr(prefix_.size()), std::nullopt, found.lease != 0};
        if (!event.is_delete) {
            write.value = std::move(found.value);
        }
        change_->writes.push_back(std::move(write));
    }
    if (!answer.is_fragment) {
        flush_change();
    }
}

void Watcher::flush_change() {
    if (!change_) {
        return;
    }
    port::StoreChange change = *std::exchange(change_, std::nullopt);
    position_ = change.revision;
    if (expected_ <= position_) {
        expected_by_ = kMonoNever;
    }
    told_.changed(std::move(change));
}

void Watcher::expect(Revision revision) {
    expected_ = std::max(expected_, revision);
    if (expected_ > position_ && expected_by_ == kMonoNever) {
        expected_by_ = clock_.mono() + kExpectTime;
    }
}

// ---- time ---------------------------------------------------------------------------------------

void Watcher::on_time() {
    const MonoTime now = clock_.mono();
    if (life_ == Life::loading && reopen_at_ <= now) {
        begin_load();
        return;
    }
    if (life_ != Life::watching) {
        return;
    }
    if (stream_ && stream_member_ != calls_.member_changes()) {
        reopen_stream_soon(); // all of us moves to the other member
    }
    if (created_by_ <= now) {
        calls_.leave_member(Error(Code::timed_out, "the watch does not begin"));
        reopen_stream_soon();
    }
    if (expected_by_ <= now) {
        expected_by_ = expected_ > position_ ? now + kExpectTime : kMonoNever;
        if (expected_ > position_ && is_created_) {
            log_line(LogLevel::warn, "etcd_watch_late",
                     {{"position", std::to_string(position_.value())},
                      {"expected", std::to_string(expected_.value())}});
            reopen_stream_soon();
        }
    }
    // Somebody wrote, here or elsewhere in this etcd, and the stream said nothing since.
    const Revision seen = calls_.seen_revision();
    if (ahead_since_ == kMonoNever && seen > std::max(position_, verified_)) {
        ahead_since_ = now;
        ahead_ = seen;
    } else if (ahead_since_ != kMonoNever && ahead_ <= std::max(position_, verified_)) {
        ahead_since_ = kMonoNever;
    } else if (ahead_since_ != kMonoNever && now - ahead_since_ >= kAheadTime) {
        reopen_stream_soon();
        failures_ = 0; // nothing failed
        ahead_since_ = kMonoNever;
    }
    if (!stream_ && reopen_at_ <= now) {
        open_stream();
    }
}

MonoTime Watcher::next_due() const {
    const MonoTime ahead = ahead_since_ == kMonoNever ? kMonoNever : ahead_since_ + kAheadTime;
    return std::min({created_by_, reopen_at_, life_ == Life::watching ? expected_by_ : kMonoNever,
                     life_ == Life::watching ? ahead : kMonoNever});
}

} // namespace qtool::etcd

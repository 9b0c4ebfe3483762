// Watcher: everything under one prefix, then each change, in order and once. Loads page by page at
// one revision, watches from the next, goes on where it was when a stream ends, and loads again
// when etcd has compacted what it still needs. Sans-IO on Calls; metadata core.
//
//   none -> loading -> watching --compacted--> loading ...
//
// A stream that says nothing may have nothing to say, or be stuck. It is opened anew, from where
// it was, when etcd is known to be ahead of it for a while: by a commit of our own whose change has
// not come, or by the revision in answers to other calls (which may be of other users of that etcd;
// opening anew costs nothing then).
#pragma once

#include "server/etcd/calls.h"
#include "server/port/metadata_store.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::etcd {

/// Keys of one page.
inline constexpr uint32_t kPageKeysMax = 2000;
/// One message of a watch: at most some MiB, since fragments are asked for.
inline constexpr size_t kWatchLineMax = 64 * 1024 * 1024;
/// The first load waits so long for an etcd that does not answer.
inline constexpr Duration kLoadWaitMax = 15s;

class Watcher final : public CallUser {
public:
    struct Told {
        std::function<void(Result<port::StoreSnapshot>)> loaded;
        std::function<void(port::StoreSnapshot)> reloaded;
        std::function<void(port::StoreChange)> changed;
    };
    Watcher(std::string prefix, Calls& calls, const port::Clock& clock,
            metrics::StoreCounters& counters, Told told)
        : prefix_(std::move(prefix)),
          prefix_end_(end_of_prefix(prefix_)),
          calls_(calls),
          clock_(clock),
          counters_(counters),
          told_(std::move(told)) {}

    /// Everything from the start; `loaded` answers.
    void load();
    /// A change of that revision exists under the prefix.
    void expect(Revision revision);

    void on_time();
    [[nodiscard]] MonoTime next_due() const;

    void on_called(uint32_t what, Outcome outcome) override;
    void on_stream_part(std::string_view bytes) override;
    void on_stream_end(Error error) override;

private:
    enum class Life : uint8_t { none, loading, watching };
    enum What : uint32_t { kVersion, kPage };

    void begin_load();
    void ask_version();
    void ask_page();
    void on_page(Outcome outcome);
    void fail_load(Error error);
    void open_stream();
    void drop_stream();
    void reopen_stream_soon();
    void on_line(std::string_view line);
    void on_events(WatchAnswer answer);
    void flush_change();

    std::string prefix_;
    std::string prefix_end_;
    Calls& calls_;
    const port::Clock& clock_;
    metrics::StoreCounters& counters_;
    Told told_;

    Life life_ = Life::none;
    bool is_answer_due_ = false; // of load(); else loading is a reload
    bool is_version_known_ = false;
    MonoTime load_until_ = kMonoNever;
    Token call_;
    port::StoreSnapshot snapshot_; // being loaded
    std::string next_key_;

    Revision position_; // everything up to it was told
    Token stream_;
    uint64_t stream_member_ = 0; // member_changes of when it was opened
    bool is_created_ = false;
    std::string line_;                        // what came of the next one
    std::optional<port::StoreChange> change_; // may go on in the next fragment
    MonoTime created_by_ = kMonoNever;
    MonoTime reopen_at_ = kMonoNever;
    uint32_t failures_ = 0; // streams in a row that were not created
    Revision expected_;
    MonoTime expected_by_ = kMonoNever;
    Revision verified_; // etcd's revision when the stream was created
    Revision ahead_;    // etcd's revision that is looked at
    MonoTime ahead_since_ = kMonoNever;
};

} // namespace qtool::etcd

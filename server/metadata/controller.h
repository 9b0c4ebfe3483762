// Controller: what the cluster does by itself when brokers die, return and join. One broker at a
// time may act, the one that wrote the `controller` key; everything it writes is guarded by that
// key's revision, so an old controller writes nothing. It only reacts to images:
//
//   a broker is not live     its ISR memberships end, its leaderships move (partition_change.h)
//   a broker comes alive     partitions without leader get one, if it may lead
//   adding replicas in sync  the reassignment ends, old replicas go
//   from time to time        leaderships return to preferred leaders
//   more brokers             internal topics get the replicas their options ask for
//   keys that show nothing   left of a topic in the making, or half deleted, by a broker that
//                            died: they go when they were the same kAsideAfter ago
//
// Sans-IO: images in, transactions out, in batches of kBatchPartitionsMax, several in flight; what
// meets a conflict is decided again. Partitions without a live leader come first. Lives on the
// metadata core. Source: Kafka's ReplicationControlManager; KIP-966, KIP-455.
#pragma once

#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "server/metadata/image.h"
#include "server/metadata/partition_change.h"
#include "server/port/metadata_store.h"

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace qtool::metadata {

/// Enough to keep a store busy that answers in a few milliseconds.
inline constexpr size_t kBatchesInFlightMax = 8;
/// Wait after a conflict or while the store is away; a newer image comes sooner mostly.
inline constexpr Duration kControllerRetryAfter = 20ms;
/// Longer than whoever makes a topic waits between two parts of it; should one be slower all the
/// same, it begins anew (write_parts.h).
inline constexpr Duration kAsideAfter = 10min;

class Controller {
public:
    struct Commit {
        Token batch;
        port::StoreTransaction transaction;
    };

    explicit Controller(BrokerId self) : self_(self) {}

    /// The key was written by this process, at that revision; or its session is over (0).
    void set_claim(Revision revision, MonoTime now);
    /// This broker is live and would be controller if there is none.
    void set_willing(bool is_willing, MonoTime now);
    /// `delta` is against the image given before.
    void on_image(ImageRef image, const Delta& delta, MonoTime now);
    /// The image that has the commit was given before its answer.
    void on_committed(Token batch, const Result<Revision>& result, MonoTime now);
    void on_time(MonoTime now);
    /// Whether it is time for on_aside().
    [[nodiscard]] bool wants_aside(MonoTime now) const { return aside_at_ <= now; }
    /// Keys that no image shows, those of a topic together, lowest partition first.
    void on_aside(std::vector<port::StoreGuard> keys, MonoTime now);

    [[nodiscard]] bool is_active() const {
        return image_ && claim_ != Revision{0} && image_->controller.revision == claim_;
    }
    [[nodiscard]] MonoTime next_due() const {
        return std::min({retry_at_, balance_at_, aside_at_});
    }
    std::vector<Commit> take_commits() { return std::exchange(commits_, {}); }

private:
    struct Batch {
        std::vector<PartitionKey> partitions; // empty: the claim, or
        bool is_aside = false;                // deletes of what no image shows
    };

    void activate(MonoTime now);
    void enqueue(const TopicImage& topic, size_t index);
    void enqueue_topic(const TopicImage& topic);
    void enqueue_all();
    void enqueue_imbalanced();
    void claim();
    void pump();
    void pump_queue(std::set<PartitionKey>& queue);
    void pump_aside();
    void forget_aside();
    [[nodiscard]] std::optional<PartitionImage> decide(const PartitionKey& key) const;

    BrokerId self_;
    ImageRef image_;
    Revision claim_{0};
    bool is_willing_ = false;
    bool is_claiming_ = false;
    bool was_active_ = false;
    std::set<PartitionKey> leaderless_;      // queued: no live leader
    std::set<PartitionKey> queued_;          // the others that may want a change
    std::set<PartitionKey> imbalanced_;      // queued, to be led by the preferred leader
    std::map<PartitionKey, bool> in_flight_; // true: look again when it is answered
    SlotMap<Batch> batches_;
    std::vector<Commit> commits_;
    MonoTime retry_at_ = kMonoNever;
    MonoTime balance_at_ = kMonoNever;
    MonoTime aside_at_ = kMonoNever;
    std::map<std::string, Revision> aside_;    // as they were at the last look
    std::deque<port::StoreGuard> left_behind_; // queued: were the same at the look before
    bool is_deleting_aside_ = false;           // one batch at a time: the first key goes first
};

/// What the cluster does by itself with one partition, as of that image; nothing: it is in order.
std::optional<PartitionImage> react(const Image& image, const TopicImage& topic, size_t index);

} // namespace qtool::metadata

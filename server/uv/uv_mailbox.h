// UvMailbox: the mailbox of one core, over one MailRing to and from each core. Lives on its core.
#pragma once

#include "lib/base/assert.h"
#include "server/port/mailbox.h"
#include "server/uv/arrivals.h"
#include "server/uv/core_context.h"
#include "server/uv/mail_ring.h"
#include "server/uv/wake.h"

#include <memory>
#include <vector>

namespace qtool::uv {

/// The rings between all cores, whose ring to a core holds mail, and each core's Wake; made before
/// the threads, shared by them.
class PostOffice {
public:
    explicit PostOffice(uint16_t core_count)
        : core_count_(core_count),
          rings_(static_cast<size_t>(core_count) * core_count),
          arrivals_(core_count),
          wakes_(core_count) {
        QT_ASSERT(core_count <= Arrivals::kSenderCountMax);
    }

    [[nodiscard]] uint16_t core_count() const { return core_count_; }
    [[nodiscard]] MailRing& ring(CoreId from, CoreId to) {
        return rings_[static_cast<size_t>(from.value()) * core_count_ + to.value()];
    }
    [[nodiscard]] Arrivals& arrivals(CoreId to) { return arrivals_[to.value()]; }
    [[nodiscard]] Wake& wake(CoreId core) { return wakes_[core.value()]; }

private:
    uint16_t core_count_; // with the metadata core
    std::vector<MailRing> rings_;
    std::vector<Arrivals> arrivals_;
    std::vector<Wake> wakes_;
};

class UvMailbox final : public port::Mailbox {
public:
    UvMailbox(CoreContext& context, PostOffice& office);

    void post(CoreId to, std::unique_ptr<port::Mail> mail) override;

    /// Delivers what has arrived.
    void deliver();
    [[nodiscard]] bool has_arrived();
    /// Moves mail that waits for room into its ring, announces to those who got mail since the last
    /// call, and wakes them. Called at the end of each turn, so that many mails cost one wake; and
    /// again between Wake::going_to_sleep and the wait, so that room made meanwhile is either seen
    /// here, or its maker sees us asleep.
    void wake_receivers();

private:
    void note_posted(CoreId to);

    CoreContext& context_;
    PostOffice& office_;
    std::vector<CoreId> posted_to_; // got mail since the last wake_receivers; each once
    std::vector<char> is_posted_;   // by core: is in posted_to_
    uint32_t waiting_rings_ = 0;    // rings whose overflow holds mail
};

} // namespace qtool::uv

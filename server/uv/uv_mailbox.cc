#include "server/uv/uv_mailbox.h"

namespace qtool::uv {

UvMailbox::UvMailbox(CoreContext& context, PostOffice& office)
    : context_(context),
      office_(office),
      posted_(office.core_count(), 0) {}

void UvMailbox::post(CoreId to, std::unique_ptr<port::Mail> mail) {
    QT_ASSERT(to.value() < office_.core_count() && mail != nullptr);
    MailRing& ring = office_.ring(context_.id, to);
    const bool waited = ring.waiting() != 0;
    ring.push(std::move(mail));
    waiting_rings_ += !waited && ring.waiting() != 0 ? 1 : 0;
    posted_[to.value()] = 1;
    any_posted_ = true;
    context_.turn_open = true; // the wake is owed at the end of the turn
}

bool UvMailbox::has_arrived() {
    for (uint16_t from = 0; from < office_.core_count(); from++) {
        if (!office_.ring(CoreId(from), context_.id).is_empty()) {
            return true;
        }
    }
    return false;
}

void UvMailbox::deliver() {
    for (uint16_t from = 0; from < office_.core_count(); from++) {
        const bool sender_waits =
            office_.ring(CoreId(from), context_.id).drain([&](std::unique_ptr<port::Mail> mail) {
                context_.turn_open = true;
                context_.events->on_mail(std::move(mail));
            });
        if (sender_waits) {
            office_.wake(CoreId(from)).wake();
        }
    }
}

void UvMailbox::wake_receivers() {
    if (!any_posted_ && waiting_rings_ == 0) {
        return;
    }
    any_posted_ = false;
    for (uint16_t to = 0; to < office_.core_count(); to++) {
        MailRing& ring = office_.ring(context_.id, CoreId(to));
        bool wake = posted_[to] != 0;
        posted_[to] = 0;
        if (ring.waiting() != 0) {
            wake |= ring.push_waiting();
            waiting_rings_ -= ring.waiting() == 0 ? 1 : 0;
        }
        if (wake) {
            office_.wake(CoreId(to)).wake();
        }
    }
}

} // namespace qtool::uv

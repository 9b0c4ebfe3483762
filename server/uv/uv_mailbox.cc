#include "server/uv/uv_mailbox.h"

namespace qtool::uv {

UvMailbox::UvMailbox(CoreContext& context, PostOffice& office)
    : context_(context),
      office_(office),
      is_posted_(office.core_count(), 0) {}

void UvMailbox::post(CoreId to, std::unique_ptr<port::Mail> mail) {
    QT_ASSERT(to.value() < office_.core_count() && mail != nullptr);
    MailRing& ring = office_.ring(context_.id, to);
    const bool waited = ring.waiting() != 0;
    ring.push(std::move(mail));
    waiting_rings_ += !waited && ring.waiting() != 0 ? 1 : 0;
    note_posted(to);
    context_.turn_open = true; // the announcement is owed at the end of the turn
}

void UvMailbox::note_posted(CoreId to) {
    if (is_posted_[to.value()] == 0) {
        is_posted_[to.value()] = 1;
        posted_to_.push_back(to);
    }
}

bool UvMailbox::has_arrived() {
    return office_.arrivals(context_.id).any();
}

void UvMailbox::deliver() {
    office_.arrivals(context_.id).take([this](CoreId from) {
        const bool sender_waits =
            office_.ring(from, context_.id).drain([&](std::unique_ptr<port::Mail> mail) {
                context_.turn_open = true;
                context_.events->on_mail(std::move(mail));
            });
        if (sender_waits) {
            office_.wake(from).wake();
        }
    });
}

void UvMailbox::wake_receivers() {
    for (uint16_t to = 0; waiting_rings_ != 0 && to < office_.core_count(); to++) {
        MailRing& ring = office_.ring(context_.id, CoreId(to));
        if (ring.waiting() != 0) {
            if (ring.push_waiting()) {
                note_posted(CoreId(to));
            }
            waiting_rings_ -= ring.waiting() == 0 ? 1 : 0;
        }
    }
    for (const CoreId to : posted_to_) {
        is_posted_[to.value()] = 0;
        office_.arrivals(to).announce(context_.id);
        office_.wake(to).wake();
    }
    posted_to_.clear();
}

} // namespace qtool::uv

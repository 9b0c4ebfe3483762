// How cores talk: values posted from one to another, in order between each pair of cores.
#pragma once

#include "lib/base/ids.h"

#include <memory>

namespace qtool::port {

/// A message. What kinds exist is known to server/broker alone (broker/mail.h).
struct Mail {
    virtual ~Mail() = default;

protected:
    Mail() = default;
    Mail(const Mail&) = default;
    Mail& operator=(const Mail&) = default;
};

class Mailbox {
public:
    virtual ~Mailbox() = default;
    /// Delivered as CoreEvents::on_mail on core `to`; never from within. The queue is bounded by
    /// what the sender may have outstanding (requests in flight, connections), so posting cannot
    /// fail.
    virtual void post(CoreId to, std::unique_ptr<Mail> mail) = 0;
};

} // namespace qtool::port

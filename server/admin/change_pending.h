// ChangePending: a pending request that runs one metadata operation and answers when it is
// finished. Lives on the core of the connection.
#pragma once

#include "server/admin/exchange.h"

#include <utility>

namespace qtool::admin {

template <class Operation>
class ChangePending : public HttpPending {
public:
    ChangePending(const Exchange& exchange, Operation operation)
        : HttpPending(exchange),
          operation_(std::move(operation)) {}

    void start(Token self, request::Services& services) final {
        self_ = self;
        services.change(self, operation_, services.now() + kChangeMax);
    }

    void on_changed(request::Services& services) final { answer(self_, reply(services), services); }

protected:
    /// The operation is finished: its results say what happened.
    virtual stream::HttpReply reply(request::Services& services) = 0;

    Operation operation_;

private:
    Token self_;
};

} // namespace qtool::admin
